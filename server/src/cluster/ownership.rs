//! Which shard owns which partition.

use millrace_record::TopicId;
use millrace_runtime::ShardId;
use uuid::Uuid;

/// The topic of the metadata log: one partition, on shard 0. The id is Kafka's for its own.
pub const METADATA_TOPIC: TopicId = TopicId(Uuid::from_u128(1));

/// Its name: Kafka's, too.
pub const METADATA_TOPIC_NAME: &str = "__cluster_metadata";

/// The topic of the commit log: one partition, on shard 0.
pub const COMMIT_TOPIC: TopicId = TopicId(Uuid::from_u128(2));

/// Its name.
pub const COMMIT_TOPIC_NAME: &str = "__millrace_commits";

/// The shard, of `shards`, that owns a partition: its log, its producers' state, and whatever coordinator it is the log
/// of. A topic's partitions go round the shards, beginning at one that the topic's id tells, so that single-partition
/// topics spread too. Nothing on disk depends on it: with another number of shards the same data is owned otherwise.
#[must_use]
pub fn owner(topic: TopicId, partition: i32, shards: u16) -> ShardId {
    if topic == METADATA_TOPIC || topic == COMMIT_TOPIC {
        return ShardId(0);
    }
    let turn = u64::from(partition.unsigned_abs()) % u64::from(shards);
    ShardId(((first(topic, shards) + turn) % u64::from(shards)) as u16)
}

/// The first of a topic's partitions that `shard` owns: how each shard has one of its own, whatever it owns of others.
#[must_use]
pub fn own_partition(topic: TopicId, shard: ShardId, shards: u16) -> i32 {
    let shards = u64::from(shards);
    let behind = (u64::from(shard.0) + shards - first(topic, shards as u16)) % shards;
    i32::try_from(behind).expect("there are fewer shards than that")
}

/// The shard that owns a topic's partition 0.
fn first(topic: TopicId, shards: u16) -> u64 {
    let id = topic.0.as_u128();
    (id ^ (id >> 64)) as u64 % u64::from(shards)
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

    #[test]
    fn every_shard_has_a_partition_of_its_own() {
        for topic in (0..50u128).map(|n| TopicId(Uuid::from_u128(n * 0x9E37_79B9 + 3))) {
            for shards in 1..6 {
                for shard in (0..shards).map(ShardId) {
                    let partition = own_partition(topic, shard, shards);
                    assert_eq!(owner(topic, partition, shards), shard);
                    assert!(partition < i32::from(shards));
                }
            }
        }
    }
}
