//! What was sent, acknowledged and seen, and whether a log agrees with it.

use std::collections::{BTreeMap, BTreeSet};

/// A record: who sent it, and which of the producer's records to its partition it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    pub(crate) producer: u32,
    pub(crate) number: u64,
}

impl Mark {
    /// The value of the record: the mark, and as many further bytes as it tells.
    pub(crate) fn value(self) -> Vec<u8> {
        let mut value = [&self.producer.to_be_bytes()[..], &self.number.to_be_bytes()].concat();
        // Most are small; some go to their segment directly.
        let len = if self.number % 211 == 100 { 90_000 } else { 12 + (self.number * 7 % 400) as usize };
        value.resize(len, self.number as u8);
        value
    }

    /// The mark of a value, which must be the whole and unharmed value.
    pub(crate) fn of(value: &[u8]) -> Self {
        let mark = Self {
            producer: u32::from_be_bytes(value[..4].try_into().unwrap()),
            number: u64::from_be_bytes(value[4..12].try_into().unwrap()),
        };
        assert_eq!(value, mark.value(), "the value of {mark:?} is not what was sent");
        mark
    }
}

/// The records of every partition, from its first offset on.
pub(crate) type Logs = BTreeMap<i32, Vec<Mark>>;

/// What clients know.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Producers whose records must be there once.
    pub(crate) idempotent: BTreeSet<u32>,
    /// Records that were acknowledged, by partition, with their offset if it was told.
    pub(crate) acknowledged: BTreeMap<i32, Vec<(Option<i64>, Mark)>>,
    /// Records that a consumer has read.
    pub(crate) seen: BTreeMap<(i32, i64), Mark>,
}

impl Ledger {
    pub(crate) fn acknowledge(&mut self, partition: i32, offset: i64, mark: Mark) {
        let offset = (offset >= 0).then_some(offset);
        self.acknowledged.entry(partition).or_default().push((offset, mark));
    }

    pub(crate) fn acknowledgements(&self) -> usize {
        self.acknowledged.values().map(Vec::len).sum()
    }

    /// Holds `logs`, all there is, against what is known.
    pub(crate) fn check(&self, logs: &Logs) {
        for (partition, acknowledged) in &self.acknowledged {
            let log = &logs[partition];
            let there: BTreeSet<Mark> = log.iter().copied().collect();
            for (offset, mark) in acknowledged {
                assert!(
                    there.contains(mark),
                    "{mark:?} of partition {partition} was acknowledged and is lost"
                );
                if let Some(offset) = offset {
                    let found = log.get(*offset as usize);
                    assert_eq!(found, Some(mark), "at offset {offset} of partition {partition}");
                }
            }
        }
        for ((partition, offset), mark) in &self.seen {
            let found = logs[partition].get(*offset as usize);
            assert_eq!(found, Some(mark), "a consumer read it at offset {offset} of partition {partition}");
        }
        for (partition, log) in logs {
            self.check_order(*partition, log);
        }
    }

    /// A producer's records come in their order, none left out; those of an idempotent one come once.
    fn check_order(&self, partition: i32, log: &[Mark]) {
        let mut next: BTreeMap<u32, u64> = BTreeMap::new();
        let mut last: BTreeMap<u32, u64> = BTreeMap::new();
        for (offset, mark) in log.iter().enumerate() {
            let at = format!("{mark:?} at offset {offset} of partition {partition}");
            let next = next.entry(mark.producer).or_default();
            if mark.number == *next {
                *next += 1;
            } else {
                assert!(mark.number < *next, "{at} comes before record {next}");
                assert!(!self.idempotent.contains(&mark.producer), "{at} is there twice");
                // A batch that was sent again: it goes back once, and then on without a gap.
                let last = last.get(&mark.producer).copied();
                let goes_on = last.is_some_and(|last| mark.number == last + 1);
                let begins_again = last.is_none_or(|last| last + 1 == *next);
                assert!(goes_on || begins_again, "{at} comes after record {last:?}");
            }
            last.insert(mark.producer, mark.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(numbers: &[u64]) -> Logs {
        BTreeMap::from([(0, numbers.iter().map(|&number| Mark { producer: 1, number }).collect())])
    }

    fn fails(ledger: &Ledger, numbers: &[u64]) -> bool {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| ledger.check(&log(numbers)))).is_err()
    }

    #[test]
    fn what_is_wrong_is_found() {
        let mut ledger = Ledger::default();
        ledger.acknowledge(0, 2, Mark { producer: 1, number: 2 });
        assert!(!fails(&ledger, &[0, 1, 2, 3]));
        assert!(fails(&ledger, &[0, 1]), "lost");
        assert!(fails(&ledger, &[0, 2, 1]), "out of order");
        assert!(fails(&ledger, &[0, 1, 1, 2]), "moved");
        assert!(!fails(&ledger, &[0, 1, 2, 1, 2, 3]), "sent again");
        assert!(fails(&ledger, &[0, 1, 2, 3, 1, 3]), "sent again, with one left out");
        ledger.idempotent.insert(1);
        assert!(fails(&ledger, &[0, 1, 2, 1, 2, 3]), "twice");
        ledger.seen.insert((0, 3), Mark { producer: 1, number: 3 });
        assert!(fails(&ledger, &[0, 1, 2]), "seen and gone");
    }
}
