use super::*;
use crate::epoch::Epoch;
use crate::key::{HashedKey, KeyGroups, KeyHash};
use crate::table::{Namespace, PointTable, Table, TableId, TableSpec, Width};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Step {
    Arm { ahead: i64, namespace: u64, key: u8 },
    Advance { by: i64, budget: usize },
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    let ahead = prop_oneof![-50..200_i64, -3..3_i64, 0..2_000_000_i64, Just(i64::MAX), Just(i64::MIN)];
    prop_oneof![
        8 => (ahead, 0..3_u64, any::<u8>()).prop_map(|(ahead, namespace, key)| Step::Arm { ahead, namespace, key }),
        4 => (prop_oneof![0..20_i64, 0..2_000_000_i64], 0..6_usize)
            .prop_map(|(by, budget)| Step::Advance { by, budget }),
        1 => Just(Step::Clear),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Against a sorted map of (deadline, order of arming).
    #[test]
    fn names_what_is_due_the_earliest_first(
        steps in vec(step(), 0..150),
        width in prop_oneof![Just(1), Just(10), Just(100), 1..5_000_i64],
        start in prop_oneof![Just(0), -100..100_i64, Just(1_700_000_000_000)],
    ) {
        let (mut index, mut model, mut now, mut armed) = (TimerIndex::new(width), BTreeMap::new(), start, 0_u64);
        let mut key = Vec::new();
        for step in steps {
            match step {
                Step::Arm { ahead, namespace, key } => {
                    let deadline = now.saturating_add(ahead);
                    index.arm(deadline, Namespace(namespace), &vec![key; usize::from(key % 20)]);
                    model.insert((deadline, armed), (namespace, vec![key; usize::from(key % 20)]));
                    armed += 1;
                }
                Step::Advance { by, budget } => {
                    now += by;
                    for _ in 0..budget {
                        let next = model.first_key_value().map(|(&(deadline, _), _)| deadline);
                        prop_assert!(index.next() <= next || next.is_none());
                        prop_assert_eq!(index.next().is_none(), next.is_none());
                        let due = index.pop(now, &mut key);
                        let expected = model.first_entry().filter(|entry| entry.key().0 <= now);
                        let expected = expected.map(std::collections::btree_map::OccupiedEntry::remove_entry);
                        let found = due.map(|due| (due.deadline, due.namespace.0, key.clone()));
                        let expected = expected.map(|((deadline, _), (namespace, key))| (deadline, namespace, key));
                        prop_assert_eq!(found, expected);
                    }
                }
                Step::Clear => {
                    index.clear();
                    model.clear();
                }
            }
            prop_assert_eq!(index.len(), model.len());
        }
    }

    /// Sessions whose deadlines live in a table and are armed lazily close at the same times as sessions of a model that
    /// looks at all of them all the time, also over a restore.
    #[test]
    fn sessions_close_in_time_over_a_restore(
        records in vec((0..15_u64, 0..40_i64), 1..200),
        gap in 5..100_i64,
        restore_at in any::<prop::sample::Index>(),
    ) {
        let groups = KeyGroups::default();
        let width = Width::Fixed(8);
        let spec = TableSpec { id: TableId(0), types: 0, groups, range: groups.all(), key: width, value: width };
        let (mut table, mut index) = (PointTable::new(spec), TimerIndex::new(10));
        let (mut model, mut closed, mut expected) = (BTreeMap::new(), Vec::new(), Vec::new());
        let (mut now, mut scratch) = (0, Vec::new());
        let restore_at = restore_at.index(records.len());
        for (n, (user, pause)) in records.into_iter().enumerate() {
            now += pause;
            let due: Vec<_> = model.iter().filter(|&(_, &deadline)| deadline <= now).map(|(&u, &d)| (d, u)).collect();
            for &(deadline, user) in &due {
                model.remove(&user);
                expected.push((deadline, user));
            }
            while index.pop(now, &mut scratch).is_some() {
                let key = HashedKey::new(&scratch);
                let Some(deadline) = table.get(Namespace::NONE, key) else { continue };
                let deadline = i64::from_be_bytes(deadline.try_into().unwrap());
                if deadline <= now {
                    closed.push((deadline, u64::from_be_bytes(scratch.as_slice().try_into().unwrap())));
                    table.remove(Namespace::NONE, key);
                } else {
                    index.arm(deadline, Namespace::NONE, &scratch);
                }
            }
            let bytes = user.to_be_bytes();
            let key = HashedKey::new(&bytes);
            if table.get(Namespace::NONE, key).is_none() {
                index.arm(now + gap, Namespace::NONE, &bytes);
            }
            table.put(Namespace::NONE, key, &(now + gap).to_be_bytes());
            model.insert(user, now + gap);
            if n == restore_at {
                let delta = table.seal(Epoch(1));
                table = PointTable::new(spec);
                delta.runs.iter().for_each(|run| table.apply(&run.bytes).unwrap());
                index.clear();
                let mut from = Some(KeyHash(0));
                while let Some(at) = from {
                    from = table.scan(Namespace::NONE, at, |key, deadline| {
                        index.arm(i64::from_be_bytes(deadline.try_into().unwrap()), Namespace::NONE, key);
                    });
                }
            }
            expected.sort_unstable();
            closed.sort_unstable();
            prop_assert_eq!(&closed, &expected);
        }
    }
}
