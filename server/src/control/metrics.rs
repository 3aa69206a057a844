//! Metrics in Prometheus' text format, gathered from the shards when they are asked for.

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};
use std::{collections::BTreeMap, fmt};

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
    /// Requests answered, by API.
    pub requests: BTreeMap<&'static str, u64>,
    /// Records appended for producers.
    pub records_in: u64,
    /// Bytes of batches appended for producers.
    pub bytes_in: u64,
    /// Bytes of batches sent to consumers.
    pub bytes_out: u64,
    /// Connections at the moment.
    pub connections: u64,
    /// Bytes of requests in flight at the moment.
    pub in_flight_bytes: u64,
    /// The shard's partitions of topics, by topic and number.
    pub partitions: BTreeMap<(String, i32), PartitionCounts>,
    /// What the groups coordinated here committed.
    pub groups: Vec<GroupLag>,
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

#[derive(Debug)]
struct Snapshot(Vec<ShardMetrics>);

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.per_shard(&mut encoder, "records_in", "Records appended for producers", |shard| {
            shard.records_in
        })?;
        self.per_shard(&mut encoder, "bytes_in", "Bytes of batches appended for producers", |shard| {
            shard.bytes_in
        })?;
        self.per_shard(&mut encoder, "bytes_out", "Bytes of batches sent to consumers", |shard| {
            shard.bytes_out
        })?;
        self.requests(&mut encoder)?;
        self.gauge(&mut encoder, "connections", "Open connections", |shard| shard.connections)?;
        let help = "Bytes of requests in flight";
        self.gauge(&mut encoder, "in_flight_bytes", help, |shard| shard.in_flight_bytes)?;
        self.partitions(&mut encoder)?;
        self.lag(&mut encoder)
    }
}

impl Snapshot {
    fn per_shard(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        value: impl Fn(&ShardMetrics) -> u64,
    ) -> fmt::Result {
        let kind = ConstCounter::new(0u64).metric_type();
        let mut family = encoder.encode_descriptor(name, help, None, kind)?;
        for (shard, metrics) in self.0.iter().enumerate() {
            let labels = [("shard", shard.to_string())];
            ConstCounter::new(value(metrics)).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn gauge(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        value: impl Fn(&ShardMetrics) -> u64,
    ) -> fmt::Result {
        let kind = ConstGauge::new(0i64).metric_type();
        let mut family = encoder.encode_descriptor(name, help, None, kind)?;
        for (shard, metrics) in self.0.iter().enumerate() {
            let labels = [("shard", shard.to_string())];
            let value = i64::try_from(value(metrics)).unwrap_or(i64::MAX);
            ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn requests(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let kind = ConstCounter::new(0u64).metric_type();
        let mut family = encoder.encode_descriptor("requests", "Requests answered", None, kind)?;
        for (shard, metrics) in self.0.iter().enumerate() {
            for (api, count) in &metrics.requests {
                let labels = [("shard", shard.to_string()), ("api", (*api).to_owned())];
                ConstCounter::new(*count).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn partitions(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        type Pick = fn(&PartitionCounts) -> i64;
        let figures: [(&str, &str, Pick); 2] = [
            ("log_start_offset", "First offset of a partition", |counts| counts.log_start),
            ("high_watermark", "End of what is durable in a partition", |counts| counts.high_watermark),
        ];
        let kind = ConstGauge::new(0i64).metric_type();
        for (name, help, pick) in figures {
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for ((topic, partition), counts) in self.0.iter().flat_map(|shard| &shard.partitions) {
                let labels = [("topic", topic.clone()), ("partition", partition.to_string())];
                ConstGauge::new(pick(counts)).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    /// Groups are coordinated on one shard, and the partitions that they read owned by another.
    fn lag(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let kind = ConstGauge::new(0i64).metric_type();
        let help = "Records of a partition that a group has not committed";
        let mut family = encoder.encode_descriptor("consumer_lag", help, None, kind)?;
        for lag in self.0.iter().flat_map(|shard| &shard.groups) {
            let place = (lag.topic.clone(), lag.partition);
            let Some(counts) = self.0.iter().find_map(|shard| shard.partitions.get(&place)) else { continue };
            let labels = [
                ("group", lag.group.clone()),
                ("topic", lag.topic.clone()),
                ("partition", lag.partition.to_string()),
            ];
            let behind = (counts.high_watermark - lag.committed.max(counts.log_start)).max(0);
            ConstGauge::new(behind).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_what_lies_between_commit_and_watermark() {
        let owner = ShardMetrics {
            partitions: BTreeMap::from([(
                ("t".to_owned(), 0),
                PartitionCounts { log_start: 10, high_watermark: 100 },
            )]),
            records_in: 7,
            ..Default::default()
        };
        let lag = |group: &str, committed| GroupLag {
            group: group.to_owned(),
            topic: "t".to_owned(),
            partition: 0,
            committed,
        };
        let coordinator = ShardMetrics { groups: vec![lag("g", 40), lag("old", 3)], ..Default::default() };
        let text = encode(vec![owner, coordinator]).unwrap();
        for line in [
            "millrace_records_in_total{shard=\"0\"} 7",
            "millrace_high_watermark{topic=\"t\",partition=\"0\"} 100",
            "millrace_consumer_lag{group=\"g\",topic=\"t\",partition=\"0\"} 60",
            "millrace_consumer_lag{group=\"old\",topic=\"t\",partition=\"0\"} 90",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
