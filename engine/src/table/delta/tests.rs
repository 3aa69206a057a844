use super::*;
use crate::fuzzing::seeds::{Seed, hold};
use crate::key::{HashedKey, KeyGroups};
use crate::table::tests::{Subject, spec};
use crate::table::{Namespace, OrderedTable, PointTable, Table, TableSpec, Width};
use proptest::collection::vec;
use proptest::prelude::*;

/// Something of everything, in several runs.
fn sample<T: Subject>(spec: TableSpec, keys: u16) -> Vec<Bytes> {
    let mut table = T::make(spec);
    for key in 0..keys {
        let bytes = key.to_be_bytes().repeat(4);
        table.put(u64::from(key % 3), &bytes, &[key as u8], &bytes);
        table.put(u64::from(key % 3), &bytes, &[key as u8, 1], &bytes);
        if key % 5 == 0 {
            table.remove(u64::from(key % 3), &bytes, &[key as u8]);
        }
        if key % 7 == 0 {
            table.remove_range(0, &bytes, std::ops::Bound::Included(&[1]), std::ops::Bound::Unbounded);
        }
    }
    table.drop_namespace(1);
    let delta = table.seal(Epoch(3));
    delta.runs.into_iter().map(|run| run.bytes).collect()
}

/// A table that has something already refuses the run and stays as it is, or takes it; it never panics.
fn takes_or_refuses<T: Subject>(spec: TableSpec, run: &[u8]) -> Result<(), DeltaError> {
    let mut table = T::make(spec);
    table.put(0, &[9; 8], b"x", &[9; 8]);
    let before = table.dump();
    let result = table.apply(run);
    if result.is_err() {
        assert_eq!(table.dump(), before, "a refused run changes nothing");
    }
    result
}

fn specs() -> [TableSpec; 2] {
    [spec(Width::Fixed(8), Width::Fixed(8)), spec(Width::Variable, Width::Variable)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn headers_round_trip(
        (table, epoch, types, part) in any::<(u32, u64, u64, u32)>(),
        (group_count, a, b) in (1..=KeyGroups::MAX, any::<u16>(), any::<u16>()),
        kind in 1..=2_u8,
        (key, value) in any::<(Option<u16>, Option<u16>)>(),
        body in vec(any::<u8>(), 0..30),
    ) {
        let (a, b) = (a % group_count, b % group_count);
        let header = RunHeader {
            table: TableId(table),
            epoch: Epoch(epoch),
            types,
            groups: KeyGroupRange { start: a.min(b), end: a.max(b) + 1 },
            part,
            group_count,
            kind,
            key: Width::of(key.map(usize::from)),
            value: Width::of(value.map(usize::from)),
            body_bytes: body.len() as u32,
        };
        let run = [header.encode().as_slice(), &body].concat();
        prop_assert_eq!(RunHeader::decode(&run), Ok(header));
    }

    #[test]
    fn damaged_runs_are_refused_or_harmless(
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<Option<prop::sample::Index>>(),
        which in any::<prop::sample::Index>(),
    ) {
        for spec in specs() {
            for is_ordered in [false, true] {
                let runs = if is_ordered { sample::<OrderedTable>(spec, 40) } else { sample::<PointTable>(spec, 40) };
                let mut run = runs[which.index(runs.len())].to_vec();
                if let Some(cut) = &cut {
                    run.truncate(cut.index(run.len()));
                }
                for (at, byte) in &damage {
                    if !run.is_empty() {
                        let at = at.index(run.len());
                        run[at] ^= byte;
                    }
                }
                let _is_ok = if is_ordered {
                    takes_or_refuses::<OrderedTable>(spec, &run).is_ok()
                } else {
                    takes_or_refuses::<PointTable>(spec, &run).is_ok()
                };
            }
        }
    }

    #[test]
    fn any_bytes_after_a_header_are_refused_or_harmless(body in vec(any::<u8>(), 0..60)) {
        for (spec, kind) in specs().into_iter().flat_map(|spec| [(spec, TableKind::Point), (spec, TableKind::Ordered)]) {
            let mut header = RunHeader::open(&spec, kind, spec.range, 0);
            header.body_bytes = body.len() as u32;
            // A namespace first, so that sections get past its index.
            let run = [header.encode().as_slice(), &body].concat();
            let _is_ok = match kind {
                TableKind::Point => takes_or_refuses::<PointTable>(spec, &run).is_ok(),
                TableKind::Ordered => takes_or_refuses::<OrderedTable>(spec, &run).is_ok(),
            };
        }
    }
}

#[test]
fn every_flipped_header_byte_is_noticed() {
    let spec = spec(Width::Fixed(8), Width::Fixed(8));
    let run = sample::<PointTable>(spec, 5)[0].to_vec();
    assert_eq!(takes_or_refuses::<PointTable>(spec, &run), Ok(()));
    // Groups, part and epoch are the reader's to compare with what it looks for; nothing in the run contradicts them.
    for at in (0..RunHeader::BYTES).filter(|at| !(4..8).contains(at) && !(20..32).contains(at)) {
        let mut damaged = run.clone();
        damaged[at] ^= 0x55;
        assert!(takes_or_refuses::<PointTable>(spec, &damaged).is_err(), "byte {at}");
    }
}

#[test]
fn a_run_of_another_table_is_refused_by_name() {
    let spec = spec(Width::Fixed(8), Width::Fixed(8));
    let run = &sample::<PointTable>(spec, 5)[0];
    let refused = |spec| takes_or_refuses::<PointTable>(spec, run).unwrap_err();
    let other = TableSpec { id: TableId(8), ..spec };
    assert_eq!(refused(other), DeltaError::Table { expected: TableId(8), found: TableId(7) });
    assert_eq!(refused(TableSpec { types: 1, ..spec }), DeltaError::Types { expected: 1, found: 42 });
    let groups = KeyGroups::new(50).unwrap();
    let shape = refused(TableSpec { groups, range: groups.all(), ..spec });
    assert_eq!(shape, DeltaError::Shape { what: "number of key groups", expected: 50, found: 100 });
    let shape = takes_or_refuses::<OrderedTable>(spec, run).unwrap_err();
    assert_eq!(shape, DeltaError::Shape { what: "kind of table", expected: 2, found: 1 });
}

#[test]
fn few_bytes_never_stand_for_many_records() {
    let spec = spec(Width::Fixed(0), Width::Fixed(0));
    let mut header = RunHeader::open(&spec, TableKind::Point, spec.range, 0);
    let body = [[wire::NAMESPACE, 0, 0, 0, 0, 0, 0, 0, 0].as_slice(), &[wire::PUT, 0, 0xff, 0xff]].concat();
    header.body_bytes = body.len() as u32;
    let run = [header.encode().as_slice(), &body].concat();
    let refused = PointTable::new(spec).apply(&run);
    assert_eq!(refused, Err(DeltaError::Damaged { at: 57, what: "section can't be read" }));
}

#[test]
fn a_delta_holds_each_touched_key_once() {
    let mut table = PointTable::new(spec(Width::Fixed(8), Width::Fixed(8)));
    for round in 0..50_u64 {
        for key in 0..100_u64 {
            table.put(Namespace::NONE, HashedKey::new(&key.to_be_bytes()), &round.to_le_bytes());
        }
    }
    let delta = table.seal(Epoch(1));
    let heads = delta.runs.len() * (RunHeader::BYTES + 9 + wire::SECTION_HEAD);
    assert_eq!(delta.len(), heads + 100 * 16);
}

#[test]
fn a_range_that_changed_much_has_several_runs_and_large_values_one_each() {
    let spec = spec(Width::Variable, Width::Variable);
    let mut table = PointTable::new(spec);
    for key in 0..3_000_u32 {
        table.put(Namespace(u64::from(key % 300)), HashedKey::new(&key.to_be_bytes()), &[7; 400]);
    }
    for round in 0..3 {
        table.put(Namespace::NONE, HashedKey::new(b"large"), &vec![round; 200_000]);
    }
    let delta = table.seal(Epoch(1));
    let mut copy = PointTable::new(spec);
    let mut last = (0, None);
    for run in &delta.runs {
        let header = RunHeader::decode(&run.bytes).unwrap();
        assert_eq!((header.epoch, header.groups), (Epoch(1), run.groups));
        let expected = if last.0 == header.groups.start { last.1.map_or(0, |part: u32| part + 1) } else { 0 };
        assert_eq!(header.part, expected);
        last = (header.groups.start, Some(header.part));
        assert!(run.bytes.len() <= RUN_BYTES + 200_100);
        copy.apply(&run.bytes).unwrap();
    }
    assert!(delta.runs.len() > RANGES_MAX);
    assert_eq!(copy.dump(), table.dump());
}

#[test]
fn buffers_of_committed_epochs_are_used_again() {
    let mut table = PointTable::new(spec(Width::Fixed(8), Width::Fixed(8)));
    let mut addresses = std::collections::BTreeSet::new();
    for epoch in 1..20 {
        for key in 0..200_u64 {
            table.put(Namespace::NONE, HashedKey::new(&key.to_be_bytes()), &[0; 8]);
        }
        for run in table.seal(Epoch(epoch)).runs {
            addresses.insert(run.bytes.as_ptr() as usize);
        }
        table.commit(Epoch(epoch));
    }
    assert!(addresses.len() <= 4 * RANGES_MAX, "{} buffers", addresses.len());
}

#[test]
fn layout_is_fixed() {
    let only = |delta: Delta| delta.runs.iter().map(|run| run.bytes.to_vec()).collect::<Vec<_>>();
    // All in one key group, so that there is one run.
    let groups = KeyGroups::new(1).unwrap();
    let fixed = TableSpec { groups, range: groups.all(), ..spec(Width::Fixed(2), Width::Fixed(3)) };
    let mut table = PointTable::new(fixed);
    table.put(Namespace(5), HashedKey::new(b"ab"), b"xyz");
    table.put(Namespace(5), HashedKey::new(b"cd"), b"uvw");
    table.remove(Namespace(5), HashedKey::new(b"ab"));
    table.drop_namespace(Namespace(5));
    let body =
        [&[1, 5, 0, 0, 0, 0, 0, 0, 0, 2, 0, 2, 0][..], b"abxyzcduvw", &[3, 0, 1, 0], b"ab", &[4, 0]].concat();
    let head = [
        &[1, 1, 1, 0, 0, 0, 1, 0, 7, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0][..],
        &[42, 0, 0, 0, 0, 0, 0, 0, body.len() as u8, 0, 0, 0, 0, 0, 0, 0],
    ]
    .concat();
    assert_eq!(only(table.seal(Epoch(9))), [[head, body].concat()]);

    let variable = TableSpec { groups, range: groups.all(), ..spec(Width::Variable, Width::Variable) };
    let mut table = OrderedTable::new(variable);
    let key = HashedKey::new(b"k");
    table.put(Namespace(5), key, b"o", b"v");
    table.put(Namespace(5), key, b"p", b"");
    table.remove_range(Namespace(5), key, std::ops::Bound::Included(b"o"), std::ops::Bound::Unbounded);
    let runs = only(table.seal(Epoch(9)));
    let body = [
        &[1, 5, 0, 0, 0, 0, 0, 0, 0, 2, 0, 2, 0][..],
        &[2, b'k', 1, b'o', 1, b'v', 0, 1, b'p', 0],
        &[5, 0, 1, b'k', 1, 1, b'o', 0],
    ]
    .concat();
    assert_eq!(runs[0][RunHeader::BYTES..], body);
}

/// A body, behind the byte that says for which shape of table: see `fuzzing::delta_run`.
#[test]
fn seeds_are_as_made() {
    let mut seeds: Vec<Seed> = Vec::new();
    for shape in 0..8_u8 {
        let width = |bit: u8| if shape & bit == 0 { Width::Fixed(8) } else { Width::Variable };
        let spec = spec(width(1), width(2));
        for keys in [0, 1, 12] {
            let runs = if shape & 4 == 0 {
                sample::<PointTable>(spec, keys)
            } else {
                sample::<OrderedTable>(spec, keys)
            };
            for (number, run) in runs.iter().enumerate() {
                let seed = [&[shape], &run[RunHeader::BYTES..]].concat();
                seeds.push((format!("shape_{shape}_keys_{keys:02}_{number}"), seed));
            }
        }
    }
    hold("engine_delta_run", seeds);
}
