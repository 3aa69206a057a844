//! How much a step does, so that it takes about as long as others can wait.

use super::Budget;
use std::time::Duration;

/// What a step is to take. Connections of the shard wait for it, and so do the frames and credits that it makes for other shards.
const STEP: Duration = Duration::from_micros(250);

/// A step is not cut below so many records: what a step costs beside them is to stay small against what they cost.
const RECORDS_MIN: u32 = 64;
/// Nor does it take more than so many, however little they seem to cost.
const RECORDS_MAX: u32 = 8192;

/// What the last step says of the cost of a record goes into the estimate with this weight: a quarter.
const WEIGHT_SHIFT: u32 = 2;

/// Finds the budget of a shard's steps from what the last ones took. Where time stands still during a step, as in a simulated
/// world, every budget is the largest.
#[derive(Debug, Default)]
pub struct Pace {
    /// What a record costs, in 1/256 of a nanosecond.
    record_cost: u64,
}

impl Pace {
    /// For the next step.
    #[must_use]
    pub fn budget(&self) -> Budget {
        let fits = ((STEP.as_nanos() as u64) << 8).checked_div(self.record_cost).unwrap_or(u64::MAX);
        Budget { records: fits.clamp(RECORDS_MIN.into(), RECORDS_MAX.into()) as u32 }
    }

    /// Takes in what a step did and how long it took. Steps that did next to nothing say nothing.
    pub fn note(&mut self, records: u32, took: Duration) {
        if records < RECORDS_MIN {
            return;
        }
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX >> 8);
        let cost = (nanos << 8) / u64::from(records);
        if self.record_cost == 0 {
            self.record_cost = cost;
            return;
        }
        // A step during which the thread had to wait for its core is no measure of records.
        let cost = cost.min(self.record_cost.saturating_mul(4));
        self.record_cost = self.record_cost - (self.record_cost >> WEIGHT_SHIFT) + (cost >> WEIGHT_SHIFT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes steps in which every record costs `cost` nanoseconds; returns what the last took.
    fn steps(pace: &mut Pace, count: usize, cost: u64) -> Duration {
        let mut took = Duration::ZERO;
        for _ in 0..count {
            let Budget { records } = pace.budget();
            took = Duration::from_nanos(cost * u64::from(records));
            pace.note(records, took);
        }
        took
    }

    #[test]
    fn steps_come_to_take_what_they_may_when_records_become_dearer_and_cheaper() {
        let mut pace = Pace::default();
        for cost in [1500, 40, 3000, 200] {
            let took = steps(&mut pace, 60, cost);
            assert!(took > STEP / 2 && took < STEP * 2, "records of {cost} ns: {took:?}");
        }
    }

    #[test]
    fn records_that_are_too_dear_still_make_progress_and_free_ones_are_bounded() {
        let mut pace = Pace::default();
        steps(&mut pace, 100, 1_000_000);
        assert_eq!(pace.budget().records, RECORDS_MIN);
        let mut pace = Pace::default();
        steps(&mut pace, 10, 0);
        assert_eq!(pace.budget().records, RECORDS_MAX);
    }

    #[test]
    fn one_step_that_waited_for_its_core_changes_little_and_a_step_without_records_nothing() {
        let mut pace = Pace::default();
        steps(&mut pace, 60, 1000);
        let before = pace.budget().records;
        pace.note(RECORDS_MIN - 1, Duration::from_secs(1));
        assert_eq!(pace.budget().records, before);
        pace.note(before, Duration::from_secs(1));
        assert!(pace.budget().records >= before / 2);
    }
}
