//! Which shard owns which partition.

use millrace_record::TopicId;
use millrace_runtime::ShardId;
use uuid::Uuid;

/// The topic of the metadata log: one partition, on shard 0. The id is Kafka's for its own.
pub const METADATA_TOPIC: TopicId = TopicId(Uuid::from_u128(1));

/// Its name: Kafka's, too.
pub const METADATA_TOPIC_NAME: &str = "__cluster_metadata";

/// The shard, of `shards`, that owns a partition: its log, its producers' state, and whatever coordinator it is the log
/// of. A topic's partitions go round the shards, beginning at one that the topic's id tells, so that single-partition
/// topics spread too. Nothing on disk depends on it: with another number of shards the same data is owned otherwise.
#[must_use]
pub fn owner(topic: TopicId, partition: i32, shards: u16) -> ShardId {
    if topic == METADATA_TOPIC {
        return ShardId(0);
    }
    let id = topic.0.as_u128();
    let first = (id ^ (id >> 64)) as u64 % u64::from(shards);
    let turn = u64::from(partition.unsigned_abs()) % u64::from(shards);
    ShardId(((first + turn) % u64::from(shards)) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_go_round_and_topics_start_anywhere() {
        let topic = TopicId(Uuid::from_u128(7));
        let owners: Vec<u16> = (0..6).map(|partition| owner(topic, partition, 3).0).collect();
        assert_eq!(owners, [1, 2, 0, 1, 2, 0]);
        let starts: std::collections::BTreeSet<u16> =
            (0..50u128).map(|n| owner(TopicId(Uuid::from_u128(n * 0x9E37_79B9)), 0, 4).0).collect();
        assert_eq!(starts.len(), 4);
    }
}
