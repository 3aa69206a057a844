//! A set of block numbers as disjoint runs.

use std::{collections::BTreeMap, ops::Range};

/// Which blocks of a file have space on the device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extents {
    /// Start to end of each run; runs neither touch nor overlap.
    runs: BTreeMap<u64, u64>,
    count: u64,
}

impl Extents {
    /// How many blocks the set holds.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// How many blocks of `range` the set does not hold.
    pub(crate) fn missing(&self, range: &Range<u64>) -> u64 {
        let mut missing = range.end.saturating_sub(range.start);
        for (&start, &end) in self.runs.range(..range.end).rev() {
            if end <= range.start {
                break;
            }
            missing -= end.min(range.end) - start.max(range.start);
        }
        missing
    }

    /// Adds all of `range`.
    pub(crate) fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let Range { mut start, mut end } = range;
        // Every run that overlaps or touches the range becomes part of it.
        while let Some((&run_start, &run_end)) = self.runs.range(..=end).next_back() {
            if run_end < start {
                break;
            }
            self.runs.remove(&run_start);
            self.count -= run_end - run_start;
            start = start.min(run_start);
            end = end.max(run_end);
        }
        self.runs.insert(start, end);
        self.count += end - start;
    }

    /// Removes every block from `first` on.
    pub(crate) fn truncate(&mut self, first: u64) {
        let beyond = self.runs.split_off(&first);
        self.count -= beyond.iter().map(|(start, end)| end - start).sum::<u64>();
        if let Some(mut last) = self.runs.last_entry()
            && *last.get() > first
        {
            self.count -= *last.get() - first;
            *last.get_mut() = first;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Extents;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn behaves_as_a_set(steps in prop::collection::vec((any::<bool>(), 0u64..60, 0u64..12), 1..40)) {
            let mut extents = Extents::default();
            let mut model = BTreeSet::new();
            for (insert, start, len) in steps {
                if insert {
                    extents.insert(start..start + len);
                    model.extend(start..start + len);
                } else {
                    extents.truncate(start);
                    model.retain(|&block| block < start);
                }
                prop_assert_eq!(extents.count(), model.len() as u64);
                for from in (0..70).step_by(7) {
                    let missing = (from..from + 9).filter(|block| !model.contains(block)).count();
                    prop_assert_eq!(extents.missing(&(from..from + 9)), missing as u64);
                }
                let ends: Vec<_> = extents.runs.iter().collect();
                prop_assert!(ends.windows(2).all(|pair| pair[0].1 < pair[1].0));
            }
        }
    }
}
