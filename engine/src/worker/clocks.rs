//! The clocks of a task, as entries of a table of its own: the watermark of each input, and processing time.
//!
//! A **keyed** input has one watermark for all shards: each sender puts the same marks before the same barrier on all of
//! its channels, so that at a barrier all shards have come to the same watermark. It is one entry, and holds for any
//! placement.
//!
//! A **local** input has the watermark of what its own shard reads. Its entry names the shard and the partitions that it
//! read; where these have changed, the input begins anew, and hears from its sender before the first record.

use crate::{
    data::Encode as _,
    epoch::Epoch,
    key::{EncodeKey, HashedKey, Key, KeyHash, KeyReader, Placement},
    source::SplitSpec,
    table::{Delta, DeltaError, Namespace, PointTable, Table, TableId, TableSpec, Width},
    task::types_hash,
};
use millrace_runtime::ShardId;
use xxhash_rust::xxh3::xxh3_64;

/// The number of the table: beyond all of the task's own.
pub(crate) const CLOCK_TABLE: TableId = TableId(u32::MAX);

/// The number that stands for processing time, where others are inputs.
const PROCESSING_TIME: u32 = u32::MAX;
/// The shard in the key of an entry that is the same on all.
const ALL_SHARDS: u16 = u16::MAX;

/// The clocks of a task on one shard.
pub(crate) struct Clocks {
    shard: ShardId,
    /// The partitions that the job reads on this shard.
    splits: u64,
    /// Which inputs are keyed.
    keyed: Vec<bool>,
    table: PointTable,
    /// What the table has, by input; processing time last.
    saved: Vec<Option<i64>>,
}

impl Clocks {
    pub(crate) fn new(shard: ShardId, placement: &Placement, keyed: Vec<bool>, splits: &[SplitSpec]) -> Self {
        let table = PointTable::new(TableSpec {
            id: CLOCK_TABLE,
            types: types_hash(&[<(i64, u64)>::DESCRIPTOR]),
            groups: placement.groups(),
            range: placement.groups().all(),
            key: Width::of(<(u32, u16)>::WIDTH),
            value: Width::Fixed(size_of::<(i64, u64)>() as u32),
        });
        let saved = vec![None; keyed.len() + 1];
        Self { shard, splits: hash_of(splits), keyed, table, saved }
    }

    /// Brings the table up to date.
    pub(crate) fn save(&mut self, watermarks: impl Iterator<Item = i64>, now_ms: Option<i64>) {
        for (input, watermark) in watermarks.enumerate() {
            let (shard, splits) =
                if self.keyed[input] { (ALL_SHARDS, 0) } else { (self.shard.0, self.splits) };
            self.put(input, (input as u32, shard), watermark, splits);
        }
        if let Some(now_ms) = now_ms {
            self.put(self.keyed.len(), (PROCESSING_TIME, self.shard.0), now_ms, 0);
        }
    }

    fn put(&mut self, index: usize, key: (u32, u16), clock: i64, splits: u64) {
        if self.saved[index] == Some(clock) {
            return;
        }
        self.saved[index] = Some(clock);
        let mut value = [0; 16];
        value[..8].copy_from_slice(&clock.to_le_bytes());
        value[8..].copy_from_slice(&splits.to_le_bytes());
        self.table.put(Namespace::NONE, HashedKey::new(&key.to_key_bytes()), &value);
    }

    /// The clocks that the table has: the watermark of each input, and the latest processing time of any shard.
    pub(crate) fn load(&mut self) -> (Vec<i64>, i64) {
        let mut watermarks = vec![i64::MIN; self.keyed.len()];
        let mut now_ms = i64::MIN;
        let mut from = Some(KeyHash(0));
        while let Some(at) = from {
            let Self { shard, splits, keyed, table, .. } = self;
            from = table.scan(Namespace::NONE, at, |key, value| {
                let (Ok((number, of_shard)), Some((clock, of_splits))) =
                    (<(u32, u16) as Key>::decode(&mut KeyReader::new(key)), read(value))
                else {
                    return;
                };
                let own = (of_shard, of_splits) == (shard.0, *splits);
                match keyed.get(number as usize) {
                    Some(is_keyed) if own || (*is_keyed && of_shard == ALL_SHARDS) => {
                        watermarks[number as usize] = clock;
                    }
                    None if number == PROCESSING_TIME => now_ms = now_ms.max(clock),
                    _ => {}
                }
            });
        }
        self.saved.fill(None);
        (watermarks, now_ms)
    }

    pub(crate) fn seal(&mut self, epoch: Epoch) -> Delta {
        self.table.seal(epoch)
    }

    pub(crate) fn commit(&mut self, through: Epoch) {
        self.table.commit(through);
    }

    pub(crate) fn rollback(&mut self, to: Epoch) {
        self.table.rollback(to);
    }

    pub(crate) fn apply(&mut self, run: &[u8]) -> Result<(), DeltaError> {
        self.table.apply(run)
    }
}

fn read(value: &[u8]) -> Option<(i64, u64)> {
    let (clock, splits) = value.split_first_chunk()?;
    Some((i64::from_le_bytes(*clock), u64::from_le_bytes(*splits.first_chunk()?)))
}

/// A hash over partitions, whatever their order.
fn hash_of(splits: &[SplitSpec]) -> u64 {
    let mut names: Vec<_> = splits
        .iter()
        .map(|split| (split.source.0, *split.topic.as_bytes(), split.partition).to_key_bytes())
        .collect();
    names.sort_unstable();
    xxh3_64(&names.concat())
}
