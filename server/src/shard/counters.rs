//! What a shard counts while it serves.

use super::Context;
use crate::control::{GroupLag, PartitionCounts, RequestCounts, ShardMetrics, TopicCounts};
use millrace_net::{
    kafka::{ApiKey, ErrorCode},
    listener::Acceptor,
};
use millrace_record::TopicId;
use millrace_runtime::{HashMap, Instant};
use std::{cell::RefCell, collections::BTreeMap};

/// A shard's counters. Plain numbers: only the shard touches them.
#[derive(Debug, Default)]
pub struct Counters {
    requests: RefCell<BTreeMap<ApiKey, RequestCounts>>,
    topics: RefCell<HashMap<TopicId, TopicCounts>>,
    rejected: RefCell<BTreeMap<i16, u64>>,
}

impl Counters {
    fn began(&self, api: ApiKey) {
        self.requests.borrow_mut().entry(api).or_default().in_flight += 1;
    }

    fn ended(&self, api: ApiKey, since: Instant) {
        let mut requests = self.requests.borrow_mut();
        let counts = requests.entry(api).or_default();
        counts.in_flight -= 1;
        counts.latencies.record(since.elapsed());
    }

    /// A batch was appended for a producer.
    pub fn appended(&self, topic: TopicId, records: u64, bytes: u64) {
        let mut topics = self.topics.borrow_mut();
        let counts = topics.entry(topic).or_default();
        counts.records_in += records;
        counts.bytes_in += bytes;
    }

    /// A producer's records were refused.
    pub fn rejected(&self, code: ErrorCode, bytes: u64) {
        *self.rejected.borrow_mut().entry(code.0).or_default() += bytes;
    }

    /// Batches were handed to a consumer's connection.
    pub fn fetched(&self, topic: TopicId, bytes: u64) {
        self.topics.borrow_mut().entry(topic).or_default().bytes_out += bytes;
    }
}

/// A request that is being answered, counted as such until this drops.
#[derive(Debug)]
pub struct UnderWay {
    shard: Context,
    api: ApiKey,
    since: Instant,
}

impl UnderWay {
    /// Begins now.
    #[must_use]
    pub fn begin(shard: Context, api: ApiKey) -> Self {
        shard.counters().began(api);
        Self { shard, api, since: Instant::now() }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.shard.counters().ended(self.api, self.since);
    }
}

impl Context {
    /// What the shard tells those who watch it.
    #[must_use]
    pub fn metrics(&self) -> ShardMetrics {
        let counters = self.counters();
        let image = self.image();
        let named = |topic| image.topic_by_id(topic).map(|topic| topic.name.clone());
        // Those that were deleted are forgotten.
        counters.topics.borrow_mut().retain(|topic, _| image.topic_by_id(*topic).is_some());
        let topics = counters.topics.borrow();
        let topics = topics.iter().filter_map(|(topic, counts)| Some((named(*topic)?, *counts)));
        let requests = counters.requests.borrow();
        let rejected = counters.rejected.borrow();
        let rejected = rejected.iter().map(|(code, bytes)| {
            let name = ErrorCode(*code).name().map_or_else(|| code.to_string(), str::to_owned);
            (name, *bytes)
        });
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
        let memory = &self.options().config.memory;
        let (journal, log_bytes) = self.partitions().store_metrics().unwrap_or_default();
        ShardMetrics {
            requests: requests.iter().map(|(api, counts)| (api.name(), *counts)).collect(),
            topics: topics.collect(),
            rejected: rejected.collect(),
            connections: self.acceptor().map_or(0, |acceptor| acceptor.connections() as u64),
            traffic: self.acceptor().map(Acceptor::traffic).unwrap_or_default(),
            in_flight_bytes: self.acceptor().map_or(0, |acceptor| acceptor.in_flight_bytes() as u64),
            in_flight_bytes_max: memory.connection_bytes.0,
            log_bytes,
            log_bytes_max: memory.log_bytes.0,
            journal,
            partitions: partitions.collect(),
            groups: groups.collect(),
            jobs: self.dataflow().metrics(),
        }
    }
}
