//! Between the coordinator's state and the records that keep it.

use super::{Committed, OffsetCommit};
use crate::group::{Group, MemberSummary, Replies};
use bytes::Bytes;
use millrace_net::{
    kafka::consumer_offsets::{GroupKey, GroupMember, GroupValue, Key, OffsetKey, OffsetValue},
    wire::EncodeError,
};
use std::time::Duration;

/// A record's key and value; without a value it removes what the key names.
pub(super) type KeyValue = (Bytes, Option<Bytes>);

/// The record of a committed offset.
pub(super) fn offset_record(group: &str, commit: &OffsetCommit) -> Result<KeyValue, EncodeError> {
    let key = offset_key(group, &commit.topic, commit.partition)?;
    let value = OffsetValue {
        offset: commit.committed.offset,
        leader_epoch: commit.committed.leader_epoch,
        metadata: commit.committed.metadata.clone(),
        commit_timestamp: commit.committed.commit_timestamp,
        ..OffsetValue::default()
    };
    Ok((key, Some(value.to_bytes()?)))
}

/// The record that removes a committed offset.
pub(super) fn offset_tombstone(group: &str, topic: &str, partition: i32) -> Result<KeyValue, EncodeError> {
    Ok((offset_key(group, topic, partition)?, None))
}

fn offset_key(group: &str, topic: &str, partition: i32) -> Result<Bytes, EncodeError> {
    Key::Offset(OffsetKey { group: group.to_owned(), topic: topic.to_owned(), partition }).encode()
}

/// The record of a group's generation.
pub(super) fn group_record<R: Replies>(group: &Group<R>, now_ms: i64) -> Result<KeyValue, EncodeError> {
    let members = group.members().into_iter().map(|member| GroupMember {
        member_id: member.id,
        group_instance_id: member.instance_id,
        client_id: member.client_id,
        client_host: member.client_host,
        rebalance_timeout: millis(member.rebalance_timeout),
        session_timeout: millis(member.session_timeout),
        subscription: member.metadata,
        assignment: member.assignment,
    });
    let value = GroupValue {
        protocol_type: group.protocol_type().unwrap_or_default().to_owned(),
        generation: group.generation(),
        protocol: group.protocol().map(str::to_owned),
        leader: group.leader().map(str::to_owned),
        current_state_timestamp: now_ms,
        members: members.collect(),
    };
    Ok((group_key(&group.id)?, Some(value.to_bytes()?)))
}

/// The record that removes a group.
pub(super) fn group_tombstone(group: &str) -> Result<KeyValue, EncodeError> {
    Ok((group_key(group)?, None))
}

fn group_key(group: &str) -> Result<Bytes, EncodeError> {
    Key::Group(GroupKey { group: group.to_owned() }).encode()
}

/// A member as its record tells it.
pub(super) fn member(member: GroupMember) -> MemberSummary {
    MemberSummary {
        id: member.member_id,
        instance_id: member.group_instance_id,
        client_id: member.client_id,
        client_host: member.client_host,
        metadata: member.subscription,
        assignment: member.assignment,
        session_timeout: duration(member.session_timeout),
        rebalance_timeout: duration(member.rebalance_timeout),
    }
}

/// A committed offset as its record tells it.
pub(super) fn committed(value: OffsetValue) -> Committed {
    Committed {
        offset: value.offset,
        leader_epoch: value.leader_epoch,
        metadata: value.metadata,
        commit_timestamp: value.commit_timestamp,
    }
}

fn millis(span: Duration) -> i32 {
    i32::try_from(span.as_millis()).unwrap_or(i32::MAX)
}

fn duration(millis: i32) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}
