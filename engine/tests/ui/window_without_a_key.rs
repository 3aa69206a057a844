use millrace_engine::prelude::*;
use std::time::Duration;

fn job(job: &mut JobBuilder) {
    job.source("bids")
        .parse(|record| Some(record.timestamp))
        .record_time(Watermarks::ascending())
        .window(Tumbling::of(Duration::from_secs(1)));
}

fn main() {}
