//! What readers see, and what they must.

use super::journal::{Entry, Partition, Value};
use super::node::Data;
use super::{PARTITIONS, World, owner};
use crate::epoch::Attempt;
use std::collections::BTreeMap;

/// Everything that was ever seen or acknowledged.
#[derive(Default)]
pub(super) struct Reader {
    seen: BTreeMap<Partition, Vec<Value>>,
    acknowledged: BTreeMap<(Partition, usize), u32>,
    /// Data for tasks that have not begun yet.
    pub(super) early_data: BTreeMap<(u64, Attempt, usize), Vec<(usize, Data)>>,
}

/// How often each key of each input was counted, for each job.
pub(super) type Counts = BTreeMap<(u64, u8, u8), u32>;

impl Reader {
    pub(super) fn acknowledge(&mut self, partition: Partition, offset: usize, value: u32) {
        self.acknowledged.insert((partition, offset), value);
    }
}

impl World {
    /// Reads all output at one moment, if every shard can answer, and checks it: what was seen or acknowledged before is still there
    /// at the same offsets; each key's counts are 1, 2, 3, ...; both halves of the output have the same; and no more of it
    /// than there is durable input.
    pub(super) fn read(&mut self) -> Option<Counts> {
        let shards = self.nodes.len();
        for shard in 0..shards {
            if self.apply(shard, self.published).is_err() {
                return None;
            }
        }
        let mut halves = [Counts::new(), Counts::new()];
        let mut is_whole = true;
        let partitions: Vec<_> = (0..self.config.jobs)
            .flat_map(|job| (0..2 * PARTITIONS).map(move |number| (job, number)))
            .collect();
        for partition in partitions {
            let Some(values) = self.read_partition(partition) else {
                is_whole = false;
                continue;
            };
            for value in values {
                let Value::Count { input, key, count } = value else { continue };
                let half = &mut halves[(partition.1 / PARTITIONS) as usize];
                let last = half.insert((partition.0, input, key), count).unwrap_or(0);
                assert_eq!(count, last + 1, "{partition:?}: input {input}, key {key}");
            }
        }
        if !is_whole {
            return None;
        }
        let [first, second] = halves;
        assert_eq!(first, second, "an epoch is visible by half");
        for (&(job, input, key), &count) in &first {
            let durable = self.durable(input, key);
            assert!(count <= durable, "job {job} counts {count} of {durable} in input {input}, key {key}");
        }
        Some(first)
    }

    /// How many durable records of a key an input has.
    fn durable(&self, input: u8, key: u8) -> u32 {
        let input = &self.inputs[usize::from(input)];
        input.keys[..input.high_watermark].iter().filter(|&&k| k == key).count() as u32
    }

    /// The partition up to its high watermark, unless a splice lies above it.
    fn read_partition(&mut self, partition: Partition) -> Option<Vec<Value>> {
        let shards = self.nodes.len();
        let journal = &self.journals[usize::from(owner(partition.1, shards).0)];
        let slots = self.partitions.get(&partition).map_or(&[][..], Vec::as_slice);
        let is_splice = |at: usize| matches!(journal.entries.get(at), Some(Entry::Splice { .. }));
        let is_safe = |at: usize| at < journal.durable || is_splice(at);
        let kept = self.kept.get(&partition).copied().unwrap_or(0);
        let end = kept + slots[kept..].iter().take_while(|(_, at)| is_safe(*at)).count();
        let values: Vec<_> = slots[..end].iter().map(|&(value, _)| value).collect();
        let seen = self.reader.seen.entry(partition).or_default();
        assert!(
            values.len() >= seen.len() && values[..seen.len()] == seen[..],
            "{partition:?} has changed: {seen:?} {values:?}"
        );
        seen.clone_from(&values);
        for (&(_, offset), &value) in self.reader.acknowledged.range((partition, 0)..=(partition, usize::MAX))
        {
            assert_eq!(
                slots.get(offset).map(|slot| slot.0),
                Some(Value::Client(value)),
                "acknowledged in {partition:?}"
            );
        }
        let is_fenced = slots[end..].iter().any(|&(_, at)| is_splice(at));
        (!is_fenced).then_some(values)
    }

    /// Whether all input is counted.
    pub(super) fn is_complete(&self, found: &Counts) -> bool {
        (0..self.config.jobs).all(|job| {
            self.inputs.iter().enumerate().all(|(input, keys)| {
                keys.keys
                    .iter()
                    .all(|&key| found.get(&(job, input as u8, key)) == Some(&self.durable(input as u8, key)))
                    && keys.high_watermark == keys.keys.len()
            })
        })
    }
}
