//! OffsetForLeaderEpoch: where an epoch ended, so that a consumer sees whether the log was cut behind its back.

use super::{Asker, errors::Code};
use millrace_net::kafka::{
    ErrorCode,
    offset_for_leader_epoch::{
        EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderPartition,
        OffsetForLeaderTopicResult,
    },
};

pub(super) async fn answer(
    asker: &Asker,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in topic.partitions {
            partitions.push(one(asker, &topic.topic, &partition).await);
        }
        topics.push(OffsetForLeaderTopicResult { topic: topic.topic, partitions });
    }
    OffsetForLeaderEpochResponse { topics, ..Default::default() }
}

async fn one(asker: &Asker, topic: &str, wanted: &OffsetForLeaderPartition) -> EpochEndOffset {
    let partition = wanted.partition;
    let refused = |error_code| EpochEndOffset { partition, error_code, ..Default::default() };
    let found = {
        let image = asker.shard.image();
        image.topic(topic).filter(|topic| (0..topic.partitions).contains(&partition)).map(|topic| topic.id)
    };
    let Some(id) = found else { return refused(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) };
    let (current, epoch) = (wanted.current_leader_epoch, wanted.leader_epoch);
    let owner = asker.shard.owner(id, partition);
    let ended = asker.shard.on(owner, move |there| async move {
        there.partitions().epoch_end(id, partition, current, epoch).await
    });
    match ended.await {
        Ok(Some((leader_epoch, end_offset))) => {
            EpochEndOffset { error_code: ErrorCode::NONE, partition, leader_epoch, end_offset }
        }
        Ok(None) => EpochEndOffset { partition, ..Default::default() },
        Err(error) => refused(error.code()),
    }
}
