//! What dropping a namespace costs and does.

use super::{Subject, spec};
use crate::epoch::Epoch;
use crate::table::{OrderedTable, PointTable, Width};

fn a_drop_is_one_small_record<T: Subject>() {
    let mut table = T::make(spec(Width::Fixed(8), Width::Fixed(8)));
    for key in 0..5_000_u64 {
        table.put(1, &key.to_be_bytes(), b"", &key.to_le_bytes());
    }
    table.seal(Epoch(1));
    table.commit(Epoch(1));
    table.drop_namespace(1);
    table.drop_namespace(2);
    let delta = table.seal(Epoch(2));
    assert!(delta.len() < 1_000, "{} bytes for one drop", delta.len());
    assert!(table.dump().is_empty());
    table.rollback(Epoch(1));
    assert_eq!(table.dump().len(), 5_000);
}

#[test]
fn a_drop_is_one_small_record_in_a_point_table() {
    a_drop_is_one_small_record::<PointTable>();
}

#[test]
fn a_drop_is_one_small_record_in_an_ordered_table() {
    a_drop_is_one_small_record::<OrderedTable>();
}
