use millrace_engine::prelude::*;

fn job(job: &mut JobBuilder) {
    let mut seen = 0;
    job.source("bids")
        .parse(|record| Some(record.timestamp))
        .filter(move |_| {
            seen += 1;
            seen % 100 == 0
        })
        .sink(|_, _| ());
}

fn main() {}
