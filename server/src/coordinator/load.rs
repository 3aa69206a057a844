//! Rebuilding a partition's groups from its records.

use super::{
    Committed,
    records::{committed, member},
};
use bytes::Bytes;
use millrace_net::{
    kafka::consumer_offsets::{GroupValue, Key, OffsetValue},
    wire::DecodeError,
};
use std::collections::BTreeMap;

/// What the records of a partition come to.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// Group -> (topic, partition) -> what it committed.
    pub(super) offsets: BTreeMap<String, BTreeMap<(String, i32), Committed>>,
    /// Group -> its generation.
    pub(super) groups: BTreeMap<String, GroupValue>,
}

impl Loaded {
    /// Applies the next record.
    ///
    /// # Errors
    /// [`DecodeError`]: what we wrote is not what we read.
    pub(super) fn apply(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), DecodeError> {
        let Some(key) = key else { return Ok(()) };
        let value = value.map(Bytes::copy_from_slice);
        match Key::decode(&Bytes::copy_from_slice(key))? {
            Key::Offset(key) => {
                let group = self.offsets.entry(key.group).or_default();
                match value {
                    Some(value) => {
                        let value = committed(OffsetValue::from_bytes(&value)?);
                        group.insert((key.topic, key.partition), value);
                    }
                    None => {
                        group.remove(&(key.topic, key.partition));
                    }
                }
            }
            Key::Group(key) => match value {
                Some(value) => {
                    self.groups.insert(key.group, GroupValue::from_bytes(&value)?);
                }
                None => {
                    self.groups.remove(&key.group);
                }
            },
            Key::Unknown(_) => {}
        }
        Ok(())
    }
}

/// The parts of a group's record that [`Group::restore`](crate::group::Group::restore) takes.
pub(super) fn members(value: GroupValue) -> Vec<crate::group::MemberSummary> {
    value.members.into_iter().map(member).collect()
}
