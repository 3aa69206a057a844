use millrace_engine::prelude::*;

struct Bid {
    auction: u64,
}

fn job(job: &mut JobBuilder) {
    job.source("bids").parse(|record| Some(Bid { auction: record.offset as u64 })).key_by(|bid| bid.auction);
}

fn main() {}
