//! The job `delays`: which airport and carrier run late?

use super::{
    flight::{Flight, Scheduled},
    row::{Row, text},
    utc,
};
use millrace_engine::prelude::*;
use std::{io::Write, time::Duration};

/// The job's name.
pub const JOB: &str = "delays";
/// The topic that it reads: lines of the data's columns.
pub const FLIGHTS_TOPIC: &str = "flights";
/// The topic that it writes: a [`Row`] for each hour, airport and carrier with a departure.
pub const DELAYS_TOPIC: &str = "delays";
/// The topic of flights that left when their hour's row had been written.
pub const LATE_TOPIC: &str = "delays-late";

/// The job's parameter: for how long after the schedule a flight is waited for, in minutes.
pub const BOUND: &str = "bound_min";
/// Its default: the longest disorder in the data. No flight is late with it.
pub const BOUND_MIN: u32 = 1_300;

/// The operator that takes departed flights out of the schedule; what it does not hand on was cancelled.
pub const DEPARTED: &str = "departed";

/// Hourly windows of scheduled time, by airport and carrier: flights, average and exact 95th percentile of their delay.
///
/// Event time is the schedule. Every line tells how far it has come, also that of a cancelled flight, which counts for nothing else.
pub fn delays(job: &mut JobBuilder) {
    let bound = Duration::from_mins(u64::from(job.parameter(BOUND, BOUND_MIN)));
    let (windows, late) = job
        .source(FLIGHTS_TOPIC)
        .parse(|record| Scheduled::parse(record.value?))
        .event_time(|scheduled| scheduled.at_ms, Watermarks::bounded(bound))
        .flat_map(|scheduled| scheduled.flight.clone())
        .named(DEPARTED)
        .key_by(|flight| (flight.origin, flight.carrier))
        .window(Tumbling::of(Duration::from_hours(1)))
        .with_late();
    windows
        .aggregate_with(|of| {
            (
                of.count(),
                of.average(|flight| flight.delay_min),
                of.percentile(95.0, |flight| flight.delay_min),
            )
        })
        .to_topic(DELAYS_TOPIC, |window, record| {
            let ((origin, carrier), (flights, average_min, p95_min)) = (window.key, window.value);
            let row = Row { window_ms: window.start, origin, carrier, flights, average_min, p95_min };
            row.write_key(record.key());
            row.write_value(record.value());
        });
    late.to_topic(LATE_TOPIC, |flight, record| {
        write_late(
            &Flight {
                origin: flight.origin,
                carrier: flight.carrier,
                number: flight.number.to_native(),
                scheduled_ms: flight.scheduled_ms.to_native(),
                delay_min: flight.delay_min.to_native(),
            },
            record,
        );
    });
}

/// A late flight as JSON.
fn write_late(flight: &Flight, record: &mut TopicRecord) {
    let Flight { origin, carrier, number, scheduled_ms, delay_min } = flight;
    let (origin, carrier, scheduled) = (text(origin), text(carrier), utc::format(*scheduled_ms));
    write!(record.key(), "{carrier}{number}").expect("a vector takes all");
    write!(
        record.value(),
        r#"{{"scheduled":"{scheduled}","origin":"{origin}","carrier":"{carrier}","number":{number},"delay":{delay_min}}}"#
    )
    .expect("a vector takes all");
}
