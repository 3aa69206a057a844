//! Metrics in Prometheus' text format, gathered from the shards when they are asked for.

use super::job_metrics;
use millrace_engine::metrics::JobMetrics;
use millrace_net::connection::Traffic;
use millrace_runtime::Latencies;
use millrace_storage::JournalStats;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelValue, EncodeMetric, MetricEncoder, NoLabelSet, text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};
use std::{collections::BTreeMap, fmt};

/// Requests of one API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestCounts {
    /// How long they took, from their last byte to their answer; long polls with their waiting.
    pub latencies: Latencies,
    /// Those that are being answered at the moment.
    pub in_flight: u64,
}

/// What went into a topic and out of it, for clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TopicCounts {
    /// Records appended.
    pub records_in: u64,
    /// Bytes of batches appended.
    pub bytes_in: u64,
    /// Bytes of batches sent.
    pub bytes_out: u64,
}

/// A partition's figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionCounts {
    /// First offset.
    pub log_start: i64,
    /// End of what is durable.
    pub high_watermark: i64,
}

/// How far a group is behind a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupLag {
    /// The group.
    pub group: String,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset it committed.
    pub committed: i64,
}

/// What one shard tells.
#[derive(Clone, Debug, Default)]
pub struct ShardMetrics {
    /// Requests, by API.
    pub requests: BTreeMap<&'static str, RequestCounts>,
    /// Topics, by name: appends to the shard's partitions, and fetches over the shard's connections.
    pub topics: BTreeMap<String, TopicCounts>,
    /// Bytes of records that were refused, by Kafka's name of the error.
    pub rejected: BTreeMap<String, u64>,
    /// Connections at the moment.
    pub connections: u64,
    /// What connections have done.
    pub traffic: Traffic,
    /// Bytes of requests in flight at the moment.
    pub in_flight_bytes: u64,
    /// Their budget.
    pub in_flight_bytes_max: u64,
    /// Bytes that tails and caches of the log hold at the moment.
    pub log_bytes: u64,
    /// Their budget.
    pub log_bytes_max: u64,
    /// What the journal has done.
    pub journal: JournalStats,
    /// The shard's partitions of topics, by topic and number.
    pub partitions: BTreeMap<(String, i32), PartitionCounts>,
    /// What the groups coordinated here committed.
    pub groups: Vec<GroupLag>,
    /// What jobs do on this shard.
    pub jobs: Vec<JobMetrics>,
}

/// The text of all shards' metrics.
///
/// # Errors
/// None that a `String` gives.
pub fn encode(shards: Vec<ShardMetrics>) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("millrace");
    registry.register_collector(Box::new(Snapshot(shards)));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

/// A figure that each shard has one of: its name without prefix and suffix, what it is, whether it only rises, and where
/// it stands.
type Figure = (&'static str, &'static str, Kind, fn(&ShardMetrics) -> u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
}

const PER_SHARD: &[Figure] = &[
    ("connections", "Open connections", Kind::Gauge, |shard| shard.connections),
    ("connections_accepted", "Connections accepted", Kind::Counter, |shard| shard.traffic.connections),
    (
        "connections_faulted",
        "Connections closed because their peer broke the protocol or stopped within a request",
        Kind::Counter,
        |shard| shard.traffic.faults,
    ),
    ("network_received_bytes", "Bytes received from clients", Kind::Counter, |shard| {
        shard.traffic.received_bytes
    }),
    ("network_sent_bytes", "Bytes sent to clients", Kind::Counter, |shard| shard.traffic.sent_bytes),
    ("in_flight_bytes", "Bytes of requests in flight", Kind::Gauge, |shard| shard.in_flight_bytes),
    ("in_flight_bytes_max", "Budget of bytes of requests in flight", Kind::Gauge, |shard| {
        shard.in_flight_bytes_max
    }),
    ("log_memory_bytes", "Bytes of tails and caches of the log", Kind::Gauge, |shard| shard.log_bytes),
    ("log_memory_bytes_max", "Budget of bytes of tails and caches of the log", Kind::Gauge, |shard| {
        shard.log_bytes_max
    }),
    ("journal_frames", "Frames written to the journal", Kind::Counter, |shard| shard.journal.frames),
    ("journal_bytes", "Bytes written to the journal, padding included", Kind::Counter, |shard| {
        shard.journal.bytes
    }),
    ("journal_entries", "Entries in the journal's frames", Kind::Counter, |shard| shard.journal.entries),
    (
        "journal_stalls",
        "Times that appends waited because no file of the journal was free",
        Kind::Counter,
        |shard| shard.journal.stalls,
    ),
];

/// A figure that each topic has one of.
type TopicFigure = (&'static str, &'static str, fn(&TopicCounts) -> u64);

const PER_TOPIC: &[TopicFigure] = &[
    ("topic_records_in", "Records appended for producers", |topic| topic.records_in),
    ("topic_bytes_in", "Bytes of batches appended for producers", |topic| topic.bytes_in),
    ("topic_bytes_out", "Bytes of batches sent to consumers", |topic| topic.bytes_out),
];

/// A figure that each partition has one of.
type PartitionFigure = (&'static str, &'static str, fn(&PartitionCounts) -> i64);

const PER_PARTITION: &[PartitionFigure] = &[
    ("log_start_offset", "First offset of a partition", |counts| counts.log_start),
    ("high_watermark", "End of what is durable in a partition", |counts| counts.high_watermark),
];

#[derive(Debug)]
struct Snapshot(Vec<ShardMetrics>);

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        gauges(encoder, "build_info", "1 for the version that runs", [(version, 1)])?;
        for (name, help, kind, value) in PER_SHARD {
            let values = self.shards().map(|(shard, metrics)| ([("shard", shard)], value(metrics)));
            match kind {
                Kind::Counter => counters(encoder, name, help, values)?,
                Kind::Gauge => {
                    gauges(encoder, name, help, values.map(|(labels, value)| (labels, signed(value))))?;
                }
            }
        }
        self.requests(encoder)?;
        self.topics(encoder)?;
        self.partitions(encoder)?;
        self.lag(encoder)?;
        let jobs: Vec<&[JobMetrics]> = self.0.iter().map(|shard| shard.jobs.as_slice()).collect();
        job_metrics::encode(encoder, &jobs)
    }
}

impl Snapshot {
    fn shards(&self) -> impl Iterator<Item = (String, &ShardMetrics)> {
        self.0.iter().enumerate().map(|(shard, metrics)| (shard.to_string(), metrics))
    }

    fn requests(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let all = || {
            self.shards().flat_map(|(shard, metrics)| {
                metrics.requests.iter().map(move |(api, counts)| {
                    ([("shard", shard.clone()), ("api", (*api).to_owned())], counts)
                })
            })
        };
        let help = "Requests, from their last byte to their answer; long polls with their waiting";
        histograms(
            encoder,
            "request_duration_seconds",
            help,
            all().map(|(labels, it)| (labels, it.latencies)),
        )?;
        let in_flight = all().map(|(labels, counts)| (labels, signed(counts.in_flight)));
        gauges(encoder, "requests_in_flight", "Requests that are being answered", in_flight)?;
        let writes = self.shards().map(|(shard, metrics)| ([("shard", shard)], metrics.journal.writes));
        let help = "Frames written to the journal and made durable";
        histograms(encoder, "journal_write_duration_seconds", help, writes)
    }

    /// Summed up: a topic's partitions and its readers are on any shard.
    fn topics(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut topics: BTreeMap<&str, TopicCounts> = BTreeMap::new();
        let mut rejected: BTreeMap<&str, u64> = BTreeMap::new();
        for shard in &self.0 {
            for (topic, counts) in &shard.topics {
                let sum = topics.entry(topic).or_default();
                sum.records_in += counts.records_in;
                sum.bytes_in += counts.bytes_in;
                sum.bytes_out += counts.bytes_out;
            }
            for (code, bytes) in &shard.rejected {
                *rejected.entry(code).or_default() += bytes;
            }
        }
        for (name, help, value) in PER_TOPIC {
            let values = topics.iter().map(|(topic, counts)| ([("topic", *topic)], value(counts)));
            counters(encoder, name, help, values)?;
        }
        let rejected = rejected.into_iter().map(|(code, bytes)| ([("error", code)], bytes));
        counters(encoder, "produce_rejected_bytes", "Bytes of records that were refused", rejected)
    }

    fn partitions(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for (name, help, value) in PER_PARTITION {
            let all = self.0.iter().flat_map(|shard| &shard.partitions);
            let values = all.map(|((topic, partition), counts)| {
                ([("topic", topic.clone()), ("partition", partition.to_string())], value(counts))
            });
            gauges(encoder, name, help, values)?;
        }
        Ok(())
    }

    /// Groups are coordinated on one shard, and the partitions that they read owned by another.
    fn lag(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let lags = self.0.iter().flat_map(|shard| &shard.groups).filter_map(|lag| {
            let place = (lag.topic.clone(), lag.partition);
            let counts = self.0.iter().find_map(|shard| shard.partitions.get(&place))?;
            let labels = [
                ("group", lag.group.clone()),
                ("topic", lag.topic.clone()),
                ("partition", lag.partition.to_string()),
            ];
            let behind = (counts.high_watermark - lag.committed.max(counts.log_start)).max(0);
            Some((labels, behind))
        });
        gauges(encoder, "consumer_lag", "Records of a partition that a group has not committed", lags)
    }
}

/// Labels of one value: names and values.
pub(super) type Labels<V, const N: usize> = [(&'static str, V); N];

pub(super) fn family<V: EncodeLabelValue, T: EncodeMetric, const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    kind: MetricType,
    values: impl IntoIterator<Item = (Labels<V, N>, T)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, kind)?;
    for (labels, value) in values {
        value.encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

pub(super) fn counters<V: EncodeLabelValue, const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (Labels<V, N>, u64)>,
) -> fmt::Result {
    let values = values.into_iter().map(|(labels, value)| (labels, ConstCounter::new(value)));
    family(encoder, name, help, MetricType::Counter, values)
}

pub(super) fn gauges<V: EncodeLabelValue, const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (Labels<V, N>, i64)>,
) -> fmt::Result {
    let values = values.into_iter().map(|(labels, value)| (labels, ConstGauge::new(value)));
    family(encoder, name, help, MetricType::Gauge, values)
}

fn histograms<V: EncodeLabelValue, const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (Labels<V, N>, Latencies)>,
) -> fmt::Result {
    let values = values.into_iter().map(|(labels, value)| (labels, Histogram(value)));
    family(encoder, name, help, MetricType::Histogram, values)
}

struct Histogram(Latencies);

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let buckets = self.0.buckets();
        let buckets: Vec<(f64, u64)> = buckets
            .map(|(bound, count)| (bound.map_or(f64::INFINITY, |bound| bound.as_secs_f64()), count))
            .collect();
        encoder.encode_histogram::<NoLabelSet>(self.0.sum().as_secs_f64(), self.0.count(), &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

/// Gauges are signed, and nothing here comes near the limit.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_engine::{
        epoch::{Attempt, JobId, TaskId},
        metrics::{OperatorMetrics, TaskMetrics},
    };
    use std::time::Duration;

    #[test]
    fn what_shards_tell_is_text() {
        let owner = ShardMetrics {
            partitions: BTreeMap::from([(
                ("t".to_owned(), 0),
                PartitionCounts { log_start: 10, high_watermark: 100 },
            )]),
            topics: BTreeMap::from([("t".to_owned(), TopicCounts { records_in: 7, ..Default::default() })]),
            ..Default::default()
        };
        let lag = |group: &str, committed| GroupLag {
            group: group.to_owned(),
            topic: "t".to_owned(),
            partition: 0,
            committed,
        };
        let mut latencies = Latencies::default();
        [40, 60, 20_000_000].into_iter().for_each(|micros| latencies.record(Duration::from_micros(micros)));
        let coordinator = ShardMetrics {
            groups: vec![lag("g", 40), lag("old", 3)],
            topics: BTreeMap::from([("t".to_owned(), TopicCounts { records_in: 2, ..Default::default() })]),
            requests: BTreeMap::from([("Fetch", RequestCounts { latencies, in_flight: 4 })]),
            ..Default::default()
        };
        let text = encode(vec![owner, coordinator]).unwrap();
        for line in [
            "millrace_topic_records_in_total{topic=\"t\"} 9",
            "millrace_requests_in_flight{shard=\"1\",api=\"Fetch\"} 4",
            "millrace_request_duration_seconds_bucket{le=\"0.00005\",shard=\"1\",api=\"Fetch\"} 1",
            "millrace_request_duration_seconds_bucket{le=\"10.0\",shard=\"1\",api=\"Fetch\"} 2",
            "millrace_request_duration_seconds_bucket{le=\"+Inf\",shard=\"1\",api=\"Fetch\"} 3",
            "millrace_request_duration_seconds_count{shard=\"1\",api=\"Fetch\"} 3",
            "millrace_high_watermark{topic=\"t\",partition=\"0\"} 100",
            "millrace_consumer_lag{group=\"g\",topic=\"t\",partition=\"0\"} 60",
            "millrace_consumer_lag{group=\"old\",topic=\"t\",partition=\"0\"} 90",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    fn job() -> JobMetrics {
        let operator = |name: &str, records_in| OperatorMetrics {
            name: name.to_owned(),
            records_in,
            records_out: records_in,
            late_records: 0,
        };
        let task = TaskMetrics {
            task: TaskId(1 << 16),
            name: "in -> map -> map".to_owned(),
            operators: vec![operator("in", 7), operator("map", 6), operator("map", 5)],
            batches: 1,
            busy_ns: 1_500_000_000,
            blocked_ns: 0,
            watermark: 12_345,
            lag: Some(4),
            queued_frames: 0,
        };
        JobMetrics { job: JobId(3), name: "j".to_owned(), attempt: Attempt(1), tasks: vec![task] }
    }

    #[test]
    fn jobs_are_told_over_all_shards() {
        let shard = || ShardMetrics { jobs: vec![job()], ..Default::default() };
        let text = encode(vec![shard(), shard()]).unwrap();
        let of = "job=\"j\",id=\"3\",stage=\"1\"";
        for line in [
            format!("millrace_job_records_in_total{{{of},position=\"2\",operator=\"map\"}} 10"),
            format!("millrace_job_busy_seconds_total{{{of},task=\"in -> map -> map\"}} 3"),
            format!("millrace_job_lag{{{of},task=\"in -> map -> map\"}} 8"),
            format!("millrace_job_watermark_seconds{{{of},task=\"in -> map -> map\"}} 12"),
        ] {
            assert!(text.contains(&line), "{line} is not in\n{text}");
        }
    }

    /// The page has a row for each metric, and none for others.
    #[test]
    fn the_page_tells_every_metric() {
        let labelled = ShardMetrics {
            requests: BTreeMap::from([("Fetch", RequestCounts::default())]),
            topics: BTreeMap::from([("t".to_owned(), TopicCounts::default())]),
            rejected: BTreeMap::from([("CORRUPT_MESSAGE".to_owned(), 1)]),
            partitions: BTreeMap::from([(("t".to_owned(), 0), PartitionCounts::default())]),
            groups: vec![GroupLag {
                group: "g".to_owned(),
                topic: "t".to_owned(),
                partition: 0,
                committed: 0,
            }],
            jobs: vec![job()],
            ..Default::default()
        };
        let text = encode(vec![labelled]).unwrap();
        let mut rows = String::new();
        for line in text.lines().filter_map(|line| line.strip_prefix("# HELP ")) {
            let (name, help) = line.split_once(' ').unwrap();
            let kind = text.lines().find_map(|line| line.strip_prefix(&format!("# TYPE {name} "))).unwrap();
            let sample = text.lines().find(|line| line.starts_with(name)).unwrap();
            let labels = sample.split(['{', '}']).nth(1).unwrap().split(',');
            let labels = labels.filter_map(|label| label.split_once('=')).map(|(label, _)| label);
            let labels: Vec<&str> = labels.filter(|label| *label != "le").collect();
            let suffix = if kind == "counter" { "_total" } else { "" };
            rows += &format!(
                "| `{name}{suffix}` | {kind} | {} | {} |\n",
                labels.join(", "),
                help.trim_end_matches('.')
            );
        }
        let page = include_str!("../../../docs/running.md");
        let table = page.split("| name | kind | labels | what it is |\n|---|---|---|---|\n").nth(1).unwrap();
        let table = table.split("\n\n").next().unwrap();
        assert_eq!(table.trim(), rows.trim(), "docs/running.md should say:\n{rows}");
    }
}
