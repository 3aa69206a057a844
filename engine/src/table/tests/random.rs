//! Random operations, epochs, rollbacks and restores against the model.

use super::model::{run, step};
use crate::table::Width::{Fixed, Variable};
use crate::table::{OrderedTable, PointTable};
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(28))]

    #[test]
    fn point_table_of_small_entries(steps in vec(step(), 0..120)) {
        run::<PointTable>(Fixed(8), Fixed(8), steps);
    }

    #[test]
    fn point_table_of_padded_entries(steps in vec(step(), 0..120)) {
        run::<PointTable>(Fixed(3), Fixed(5), steps.clone());
        run::<PointTable>(Fixed(9), Fixed(11), steps);
    }

    #[test]
    fn point_table_of_wide_entries(steps in vec(step(), 0..120)) {
        run::<PointTable>(Fixed(8), Fixed(16), steps.clone());
        run::<PointTable>(Fixed(16), Fixed(32), steps);
    }

    #[test]
    fn point_table_of_one_key(steps in vec(step(), 0..120)) {
        run::<PointTable>(Fixed(0), Fixed(0), steps.clone());
        run::<PointTable>(Fixed(0), Variable, steps);
    }

    #[test]
    fn point_table_of_blocks(steps in vec(step(), 0..120)) {
        run::<PointTable>(Variable, Variable, steps.clone());
        run::<PointTable>(Fixed(20), Fixed(8), steps);
    }

    #[test]
    fn ordered_table(steps in vec(step(), 0..120)) {
        run::<OrderedTable>(Variable, Variable, steps.clone());
        run::<OrderedTable>(Fixed(8), Fixed(8), steps.clone());
        run::<OrderedTable>(Fixed(0), Variable, steps);
    }
}
