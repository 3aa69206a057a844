//! Names and numbers that every part of the system speaks of.
//!
//! Integers are plain aliases: they are computed with everywhere, and Kafka's protocol gives each its width.

use std::{fmt, str::FromStr};
use uuid::Uuid;

/// A partition's number within its topic, from 0.
pub type PartitionIndex = i32;
/// A record's position in its partition, from 0.
pub type Offset = i64;
/// How often a partition changed leaders (or its only leader restarted uncleanly); -1 where none is known.
pub type LeaderEpoch = i32;
/// An idempotent producer's id; -1 for none.
pub type ProducerId = i64;
/// An idempotent producer's incarnation; -1 for none.
pub type ProducerEpoch = i16;
/// A producer's number of a record in a partition, wrapping from `i32::MAX` to 0; -1 for none.
pub type Sequence = i32;
/// Milliseconds since the Unix epoch; [`NO_TIMESTAMP`] where the producer gave none.
pub type Timestamp = i64;
/// A schema's number in the registry; 0 for none.
pub type SchemaId = u32;

/// The timestamp of a record without one (message format 0 had none).
pub const NO_TIMESTAMP: Timestamp = -1;

/// Characters of a topic id's text form: 128 bits, 6 a character.
const TEXT_LEN: usize = 22;
const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A topic's identity, which outlives its name: a topic deleted and created anew gets another id.
///
/// Its text form is the one Kafka's tools print: base64 in the URL alphabet, 22 characters without padding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TopicId(pub Uuid);

impl TopicId {
    /// "No topic": what the protocol carries where no id is known.
    pub const ZERO: Self = Self(Uuid::nil());
    /// The id that Kafka reserves for the topic of the cluster's metadata.
    pub const METADATA: Self = Self(Uuid::from_u128(1));

    /// An id from its 16 bytes, as the wire and the disk carry them.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// A new id out of 16 random bytes: a version 4 UUID whose text form does not begin with a dash, which a command
    /// line would take for an option.
    #[must_use]
    pub const fn from_random(mut bytes: [u8; 16]) -> Self {
        const DASH: u8 = 62;
        if bytes[0] >> 2 == DASH {
            bytes[0] &= 0x7f;
        }
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Self::from_bytes(bytes)
    }

    /// The 16 bytes, as the wire and the disk carry them.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// Whether this is [`TopicId::ZERO`].
    #[must_use]
    pub const fn is_zero(&self) -> bool {
        self.0.is_nil()
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 128 bits end in a character of 2 bits, whose lower 4 are zero.
        let bits = self.0.as_u128();
        let mut text = [0u8; TEXT_LEN];
        for (index, character) in text.iter_mut().enumerate() {
            let shift = 122i32 - 6 * index as i32;
            let value = if shift >= 0 { bits >> shift } else { bits << -shift };
            *character = BASE64_URL[(value & 63) as usize];
        }
        f.pad(str::from_utf8(&text).expect("the alphabet is ASCII"))
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is no topic id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseTopicIdError {
    /// It has not 22 characters.
    #[error("a topic id has {TEXT_LEN} characters, this has {0}")]
    Length(usize),
    /// A byte that is not in the URL alphabet of base64.
    #[error("byte {0:#04x} at {1} is not in the alphabet of base64 for URLs")]
    Character(u8, usize),
    /// The last character says more than the 2 bits that are left for it.
    #[error("the last character of a topic id is one of A, Q, g and w")]
    LastCharacter,
}

impl FromStr for TopicId {
    type Err = ParseTopicIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != TEXT_LEN {
            return Err(ParseTopicIdError::Length(text.len()));
        }
        let mut bits = 0u128;
        for (index, &byte) in text.as_bytes().iter().enumerate() {
            let value = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'-' => 62,
                b'_' => 63,
                _ => return Err(ParseTopicIdError::Character(byte, index)),
            };
            if index == TEXT_LEN - 1 {
                if value & 0x0f != 0 {
                    return Err(ParseTopicIdError::LastCharacter);
                }
                bits = bits << 2 | u128::from(value >> 4);
            } else {
                bits = bits << 6 | u128::from(value);
            }
        }
        Ok(Self(Uuid::from_u128(bits)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_is_that_of_kafka() {
        // Printed by Kafka's own tools for these bytes: zero, one, and a UUID of its documentation of base64.
        assert_eq!(TopicId::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(TopicId::METADATA.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        let id = TopicId(Uuid::parse_str("2fe2ca5c-52c5-4e5c-92b3-ac3f4f0f6b40").unwrap());
        assert_eq!(id.to_string(), "L-LKXFLFTlySs6w_Tw9rQA");
        assert_eq!("L-LKXFLFTlySs6w_Tw9rQA".parse(), Ok(id));
    }

    #[test]
    fn bad_text_is_refused() {
        assert_eq!("".parse::<TopicId>(), Err(ParseTopicIdError::Length(0)));
        assert_eq!("AAAAAAAAAAAAAAAAAAAAA+".parse::<TopicId>(), Err(ParseTopicIdError::Character(b'+', 21)));
        assert_eq!("AAAAAAAAAAAAAAAAAAAAAB".parse::<TopicId>(), Err(ParseTopicIdError::LastCharacter));
    }

    proptest! {
        #[test]
        fn text_round_trips(bytes: [u8; 16]) {
            let id = TopicId::from_bytes(bytes);
            prop_assert_eq!(id.to_string().parse::<TopicId>(), Ok(id));
        }

        #[test]
        fn random_ids_are_version_4_and_start_with_no_dash(bytes: [u8; 16], dash: bool) {
            let mut bytes = bytes;
            if dash {
                bytes[0] = 0xf8 | (bytes[0] & 3);
            }
            let id = TopicId::from_random(bytes);
            prop_assert_eq!(id.0.get_version_num(), 4);
            prop_assert!(!id.to_string().starts_with('-'));
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in ".{0,24}") {
            if let Ok(id) = text.parse::<TopicId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
