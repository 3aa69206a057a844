use super::*;
use crate::key::{HashedKey, KeyGroups};

fn spec() -> TableSpec {
    let groups = KeyGroups::default();
    TableSpec {
        id: TableId(7),
        types: 42,
        groups,
        range: groups.all(),
        key: Width::Variable,
        value: Width::Variable,
    }
}

#[test]
fn deltas_rebuild_and_rollback_undoes() {
    let mut table = PointTable::new(spec());
    let key = HashedKey::new(b"a");
    table.put(Namespace::NONE, key, b"1");
    let first = table.seal(Epoch(1));
    table.put(Namespace::NONE, key, b"2");
    let _second = table.seal(Epoch(2));
    table.rollback(Epoch(1));
    assert_eq!(table.get(Namespace::NONE, key), Some(&b"1"[..]));
    let mut copy = PointTable::new(spec());
    for run in &first.runs {
        copy.apply(&run.bytes).unwrap();
    }
    assert_eq!(copy.get(Namespace::NONE, key), Some(&b"1"[..]));
}
