//! The records of `__consumer_offsets`: what the coordinator of a group keeps of it. Tools parse them, so they are Kafka's
//! own: key and value each begin with a version of two bytes, and a null value removes what the key names.

use crate::wire::{DecodeError, DecodeErrorKind, EncodeError, Field, Format, Reader, Writer};
use bytes::{Bytes, BytesMut};

/// The version of the key of a committed offset. 0 is an older form of the same.
const OFFSET_KEY_VERSION: i16 = 1;
/// The version of the key of a group.
const GROUP_KEY_VERSION: i16 = 2;
/// The version that values are written in; older ones are read.
const VALUE_VERSION: i16 = 3;
/// None of the versions here is flexible.
const NEVER_FLEXIBLE: i16 = i16::MAX;

message! {
    /// Names an offset that a group committed.
    pub struct OffsetKey {
        /// The group.
        [0..] group: String,
        /// The topic's name.
        [0..] topic: String,
        /// The partition.
        [0..] partition: i32,
    }

    /// An offset that a group committed.
    pub struct OffsetValue {
        /// The offset of the record to read next.
        [0..] offset: i64,
        /// The leader epoch of the last record read; -1 if the consumer did not say.
        [3..] leader_epoch: i32 = -1,
        /// What the consumer keeps with it.
        [0..] metadata: String,
        /// When it was committed, in milliseconds since the Unix epoch.
        [0..] commit_timestamp: i64,
        /// When it lapses, in the one version that says so.
        [1..=1] expire_timestamp: i64 = -1,
    }

    /// Names a group.
    pub struct GroupKey {
        /// The group.
        [0..] group: String,
    }

    /// A group's generation.
    pub struct GroupValue {
        /// The kind of protocol its members speak.
        [0..] protocol_type: String,
        /// The generation.
        [0..] generation: i32,
        /// The generation's protocol.
        [0..] protocol: Option<String>,
        /// The member that assigns.
        [0..] leader: Option<String>,
        /// When the group came to its present state, in milliseconds since the Unix epoch.
        [2..] current_state_timestamp: i64 = -1,
        /// The members.
        [0..] members: Vec<GroupMember>,
    }

    /// A member of a group.
    pub struct GroupMember {
        /// Its id.
        [0..] member_id: String,
        /// The id of a static member.
        [3..] group_instance_id: Option<String>,
        /// The client's name for itself.
        [0..] client_id: String,
        /// Where it connects from.
        [0..] client_host: String,
        /// How long it may take to join again, in milliseconds.
        [1..] rebalance_timeout: i32,
        /// How long it may be silent, in milliseconds.
        [0..] session_timeout: i32,
        /// Its metadata for the group's protocol.
        [0..] subscription: Bytes,
        /// What the leader gave it.
        [0..] assignment: Bytes,
    }
}

/// A key of `__consumer_offsets`.
#[derive(Clone, Debug, PartialEq)]
pub enum Key {
    /// Of a committed offset.
    Offset(OffsetKey),
    /// Of a group.
    Group(GroupKey),
    /// Of a version that this server does not know: passed over, as Kafka does.
    Unknown(i16),
}

impl Key {
    /// Writes the key.
    ///
    /// # Errors
    /// [`EncodeError`]: a name is too long.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        match self {
            Self::Offset(key) => versioned(OFFSET_KEY_VERSION, key),
            Self::Group(key) => versioned(GROUP_KEY_VERSION, key),
            Self::Unknown(version) => Ok(Bytes::copy_from_slice(&version.to_be_bytes())),
        }
    }

    /// Reads a key.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        match read_version(&mut reader)? {
            version @ (0 | OFFSET_KEY_VERSION) => read_rest(reader, version).map(Self::Offset),
            GROUP_KEY_VERSION => read_rest(reader, GROUP_KEY_VERSION).map(Self::Group),
            unknown => Ok(Self::Unknown(unknown)),
        }
    }
}

macro_rules! value {
    ($type:ty) => {
        impl $type {
            /// Writes the value.
            ///
            /// # Errors
            /// [`EncodeError`]: a text is too long.
            pub fn to_bytes(&self) -> Result<Bytes, EncodeError> {
                versioned(VALUE_VERSION, self)
            }

            /// Reads a value of any version from 0 to 3.
            ///
            /// # Errors
            /// [`DecodeError`].
            pub fn from_bytes(bytes: &Bytes) -> Result<Self, DecodeError> {
                let mut reader = Reader::new(bytes);
                match read_version(&mut reader)? {
                    version @ 0..=VALUE_VERSION => read_rest(reader, version),
                    unknown => Err(reader.error(DecodeErrorKind::Version(unknown))),
                }
            }
        }
    };
}
value!(OffsetValue);
value!(GroupValue);

fn versioned(version: i16, value: &impl Field) -> Result<Bytes, EncodeError> {
    let body = Writer::value(value, Format::new(version, NEVER_FLEXIBLE))?;
    let mut out = BytesMut::with_capacity(2 + body.len());
    out.extend_from_slice(&version.to_be_bytes());
    out.extend_from_slice(&body);
    Ok(out.freeze())
}

fn read_version(reader: &mut Reader<'_>) -> Result<i16, DecodeError> {
    reader.array().map(i16::from_be_bytes)
}

fn read_rest<T: Field>(mut reader: Reader<'_>, version: i16) -> Result<T, DecodeError> {
    T::decode(&mut reader, Format::new(version, NEVER_FLEXIBLE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_are_read_as_written() {
        let offset = Key::Offset(OffsetKey { group: "g".into(), topic: "t".into(), partition: 3 });
        // Kafka's OffsetCommitKey, version 1, by hand.
        assert_eq!(offset.encode().unwrap(), &b"\0\x01\0\x01g\0\x01t\0\0\0\x03"[..]);
        let group = Key::Group(GroupKey { group: "g".into() });
        assert_eq!(group.encode().unwrap(), &b"\0\x02\0\x01g"[..]);
        for key in [offset, group, Key::Unknown(9)] {
            assert_eq!(Key::decode(&key.encode().unwrap()), Ok(key));
        }
        let value =
            OffsetValue { offset: 7, metadata: "m".into(), commit_timestamp: 5, ..OffsetValue::default() };
        assert_eq!(OffsetValue::from_bytes(&value.to_bytes().unwrap()), Ok(value));
        let member = GroupMember { member_id: "a".into(), session_timeout: 10, ..GroupMember::default() };
        let value = GroupValue { generation: 4, members: vec![member], ..GroupValue::default() };
        assert_eq!(GroupValue::from_bytes(&value.to_bytes().unwrap()), Ok(value));
    }

    #[test]
    fn damage_and_the_future_are_errors() {
        assert!(Key::decode(&Bytes::from_static(b"\0")).is_err());
        assert!(Key::decode(&Bytes::from_static(b"\0\x01\0\x09g")).is_err());
        assert!(OffsetValue::from_bytes(&Bytes::from_static(b"\0\x04rest")).is_err());
        assert!(GroupValue::from_bytes(&Bytes::from_static(b"\xff\xff")).is_err());
    }
}
