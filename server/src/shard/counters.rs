//! What a shard counts while it serves.

use super::Context;
use crate::control::{GroupLag, PartitionCounts, ShardMetrics};
use millrace_net::kafka::ApiKey;
use std::{cell::Cell, collections::BTreeMap};

/// Codes of APIs are below this.
const API_CODES: usize = 128;

/// A shard's counters. Plain numbers: only the shard touches them.
#[derive(Debug)]
pub struct Counters {
    requests: [Cell<u64>; API_CODES],
    records_in: Cell<u64>,
    bytes_in: Cell<u64>,
    bytes_out: Cell<u64>,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            requests: [const { Cell::new(0) }; API_CODES],
            records_in: Cell::new(0),
            bytes_in: Cell::new(0),
            bytes_out: Cell::new(0),
        }
    }
}

fn add(counter: &Cell<u64>, more: u64) {
    counter.set(counter.get().wrapping_add(more));
}

impl Counters {
    /// A request is being answered.
    pub fn request(&self, api: ApiKey) {
        if let Some(counter) = usize::try_from(api.code()).ok().and_then(|code| self.requests.get(code)) {
            add(counter, 1);
        }
    }

    /// A batch was appended for a producer.
    pub fn appended(&self, records: u64, bytes: u64) {
        add(&self.records_in, records);
        add(&self.bytes_in, bytes);
    }

    /// Batches were handed to a consumer's connection.
    pub fn fetched(&self, bytes: u64) {
        add(&self.bytes_out, bytes);
    }
}

impl Context {
    /// What the shard tells those who watch it.
    #[must_use]
    pub fn metrics(&self) -> ShardMetrics {
        let counters = self.counters();
        let requests = ApiKey::ALL.iter().filter_map(|api| {
            let code = usize::try_from(api.code()).ok()?;
            let count = counters.requests.get(code)?.get();
            (count > 0).then_some((api.name(), count))
        });
        let image = self.image();
        let named = |topic| image.topic_by_id(topic).map(|topic| topic.name.clone());
        let partitions = self.partitions().all().into_iter().filter_map(|((topic, partition), log)| {
            let counts =
                PartitionCounts { log_start: log.start_offset(), high_watermark: log.high_watermark() };
            Some(((named(topic)?, partition), counts))
        });
        let groups = self.coordinator().loaded().into_iter().flat_map(|partition| partition.all_committed());
        let groups = groups.map(|(group, (topic, partition), committed)| GroupLag {
            group,
            topic,
            partition,
            committed: committed.offset,
        });
        ShardMetrics {
            requests: requests.collect(),
            records_in: counters.records_in.get(),
            bytes_in: counters.bytes_in.get(),
            bytes_out: counters.bytes_out.get(),
            connections: self.acceptor().map_or(0, |acceptor| acceptor.connections() as u64),
            in_flight_bytes: self.acceptor().map_or(0, |acceptor| acceptor.in_flight_bytes() as u64),
            partitions: partitions.collect::<BTreeMap<_, _>>(),
            groups: groups.collect(),
        }
    }
}
