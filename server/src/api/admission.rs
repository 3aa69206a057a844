//! What of a producer's record set is admitted to a partition: one sound batch that keeps its topic's rules.

use crate::{cluster::Topic, shard::ServerOptions};
use bytes::Bytes;
use millrace_net::{
    kafka::{ErrorCode, produce::BatchIndexAndErrorMessage},
    wire::RecordSet,
};
use millrace_record::{
    Batch, BatchError, Codec, Compressor, KafkaBatchBuilder, NO_TIMESTAMP, PushError, RecordView, Scratch,
    SharedBatch, Timestamp,
    kafka::{KafkaBatchInfo, Limits, Origin, format_of, validate, validate_deep},
    message_set::{self, MessageSetError},
};

/// Before this version record sets are message sets of format 0 or 1.
const BATCHES_FROM: i16 = 3;
/// Before this version clients do not know zstd, so that nobody may send it to where they read.
const ZSTD_FROM: i16 = 7;
/// What the records of a compressed batch may come to, in bytes, where they must be looked at.
const INFLATED_LEN_MAX: usize = 64 << 20;

/// Why a partition's records are not appended.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: ErrorCode,
    pub(super) message: Option<String>,
    /// The records at fault, if some are and others are not.
    pub(super) records: Vec<BatchIndexAndErrorMessage>,
}

impl Refusal {
    pub(super) fn plain(code: ErrorCode) -> Self {
        Self { code, message: None, records: Vec::new() }
    }

    fn because(code: ErrorCode, message: &str) -> Self {
        Self { message: Some(message.to_owned()), ..Self::plain(code) }
    }
}

impl From<BatchError> for Refusal {
    fn from(error: BatchError) -> Self {
        let code = match error {
            BatchError::TooLarge { .. } => ErrorCode::MESSAGE_TOO_LARGE,
            BatchError::Codec(_) => ErrorCode::UNSUPPORTED_COMPRESSION_TYPE,
            BatchError::Field("producer_epoch") => ErrorCode::INVALID_PRODUCER_EPOCH,
            // The record set holds less than one batch, or more.
            BatchError::Truncated { .. } | BatchError::Excess { .. } => ErrorCode::INVALID_RECORD,
            BatchError::Attributes(_)
            | BatchError::RecordCount { .. }
            | BatchError::Field(_)
            | BatchError::Control
            | BatchError::TimestampType
            | BatchError::Record { .. }
            | BatchError::Trailing
            | BatchError::Decompress(_) => ErrorCode::INVALID_RECORD,
            _ => ErrorCode::CORRUPT_MESSAGE,
        };
        Self::because(code, &error.to_string())
    }
}

/// What a topic asks of what is appended to it, at a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    batch_len_max: usize,
    /// Compaction goes by keys.
    needs_keys: bool,
    /// The oldest and the youngest timestamp that a producer may give.
    oldest: Timestamp,
    youngest: Timestamp,
}

impl Rules {
    pub(super) fn of(topic: &Topic, options: &ServerOptions, now_ms: Timestamp) -> Self {
        let own = |name: &str| topic.configs.get(name).map(|value| value.trim());
        let span_ms = |name: &str| {
            let value = own(name).or_else(|| crate::cluster::topic_config(name).map(|config| config.default));
            value.and_then(|value| value.parse().ok()).unwrap_or(i64::MAX)
        };
        // Timestamps that the log gives are sound, whatever the producer said.
        let theirs = own("message.timestamp.type") != Some("LogAppendTime");
        let (before, after) = if theirs {
            (span_ms("message.timestamp.before.max.ms"), span_ms("message.timestamp.after.max.ms"))
        } else {
            (i64::MAX, i64::MAX)
        };
        Self {
            batch_len_max: options.batch_len_max(topic),
            needs_keys: own("cleanup.policy").is_some_and(|policy| policy.contains("compact")),
            oldest: if before == i64::MAX { i64::MIN } else { now_ms.saturating_sub(before) },
            youngest: now_ms.saturating_add(after),
        }
    }

    /// What is wrong with a record, if anything.
    fn fault(&self, record: &RecordView<'_>) -> Option<Fault> {
        if self.needs_keys && record.key.is_none() {
            return Some(Fault::NoKey);
        }
        let sound = record.timestamp == NO_TIMESTAMP || self.admits(record.timestamp);
        (!sound).then_some(Fault::Timestamp)
    }

    fn admits(&self, timestamp: Timestamp) -> bool {
        (self.oldest..=self.youngest).contains(&timestamp)
    }

    /// Whether a batch may hold a record at fault: then its records are looked at one by one.
    fn suspects(&self, info: &KafkaBatchInfo) -> bool {
        let keyless = self.needs_keys && info.has_null_key != Some(false);
        keyless || info.header.max_timestamp > self.youngest || self.oldest > i64::MIN
    }

    /// Refuses a batch that holds records at fault, and names them.
    fn check(&self, batch: &Batch<'_>, scratch: &mut Scratch) -> Result<(), Refusal> {
        let mut records = Vec::new();
        let mut code = ErrorCode::INVALID_RECORD;
        for (batch_index, record) in (0..).zip(batch.records(scratch)?) {
            let Some(fault) = self.fault(&record?) else { continue };
            if fault == Fault::Timestamp {
                code = ErrorCode::INVALID_TIMESTAMP;
            }
            let batch_index_error_message = Some(fault.message().to_owned());
            records.push(BatchIndexAndErrorMessage { batch_index, batch_index_error_message });
        }
        if records.is_empty() {
            return Ok(());
        }
        let message = Some("One or more records have been rejected.".to_owned());
        Err(Refusal { code, message, records })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    NoKey,
    Timestamp,
}

impl Fault {
    const fn message(self) -> &'static str {
        match self {
            Self::NoKey => "A compacted topic takes no record without a key.",
            Self::Timestamp => "The timestamp is too far from the broker's time.",
        }
    }
}

/// One sound batch out of a partition's record set, in whatever form the request's version has it.
pub(super) fn admit(version: i16, records: Option<RecordSet>, rules: &Rules) -> Result<SharedBatch, Refusal> {
    let bytes = records.map(RecordSet::into_bytes).unwrap_or_default();
    let batch =
        if version < BATCHES_FROM { up_convert(&bytes, rules)? } else { checked(version, bytes, rules)? };
    if batch.header().codec == Codec::Zstd && version < ZSTD_FROM {
        return Err(Refusal::because(
            ErrorCode::UNSUPPORTED_COMPRESSION_TYPE,
            "zstd is for Produce of version 7 and above.",
        ));
    }
    Ok(batch)
}

fn checked(version: i16, bytes: Bytes, rules: &Rules) -> Result<SharedBatch, Refusal> {
    debug_assert!(version >= BATCHES_FROM, "older versions have message sets");
    if bytes.is_empty() {
        return Err(Refusal::because(
            ErrorCode::INVALID_RECORD,
            "Produce requests have exactly one record batch a partition.",
        ));
    }
    if matches!(format_of(&bytes), Some(0 | 1)) {
        return Err(Refusal::because(
            ErrorCode::INVALID_RECORD,
            "Produce requests of version 3 and above carry batches of format 2.",
        ));
    }
    let limits = Limits { batch_len_max: rules.batch_len_max, origin: Origin::Producer };
    let mut scratch = Scratch::new(INFLATED_LEN_MAX);
    let info = if rules.needs_keys {
        validate_deep(&bytes, &limits, &mut scratch)?
    } else {
        validate(&bytes, &limits)?
    };
    let batch = SharedBatch::new(info.header, bytes)?;
    if rules.suspects(&info) {
        rules.check(&batch.as_batch(), &mut scratch)?;
    }
    Ok(batch)
}

/// A message set of format 0 or 1 as a batch. Only clients of old send them, so this path may allocate.
fn up_convert(set: &[u8], rules: &Rules) -> Result<SharedBatch, Refusal> {
    let mut scratch = Scratch::new(rules.batch_len_max);
    let mut builder = KafkaBatchBuilder::new(rules.batch_len_max);
    let mut out = Vec::new();
    let converted = message_set::to_batch(set, &mut scratch, &mut builder, &mut Compressor::new(), &mut out);
    match converted {
        Ok((header, has_null_key)) => {
            let batch = SharedBatch::new(header, Bytes::from(out))?;
            if rules.suspects(&KafkaBatchInfo { header, has_null_key: Some(has_null_key) }) {
                rules.check(&batch.as_batch(), &mut scratch)?;
            }
            Ok(batch)
        }
        Err(MessageSetError::Batch(error)) => Err(error.into()),
        Err(MessageSetError::Push(error)) => {
            let code = match error {
                PushError::Full | PushError::TooLarge { .. } => ErrorCode::MESSAGE_TOO_LARGE,
                PushError::OutOfOrder => ErrorCode::INVALID_RECORD,
            };
            Err(Refusal::because(code, &error.to_string()))
        }
        Err(MessageSetError::Empty) => {
            Err(Refusal::because(ErrorCode::INVALID_RECORD, "The message set is empty."))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_record::{BatchMeta, Headers};

    const NOW: Timestamp = 1_700_000_000_000;
    const HOUR: i64 = 3_600_000;

    fn rules(configs: &[(&str, &str)]) -> Rules {
        let configs = configs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let id = millrace_record::TopicId(uuid::Uuid::nil());
        let topic = Topic { id, name: "t".to_owned(), partitions: 1, configs };
        let options = ServerOptions { config: crate::config::Config::default(), node_id: 1 };
        Rules::of(&topic, &options, NOW)
    }

    fn batch(codec: Codec, records: &[(Timestamp, Option<&[u8]>)]) -> Vec<u8> {
        let mut builder = KafkaBatchBuilder::new(1 << 20);
        for (timestamp, key) in records {
            builder.push(*timestamp, *key, Some(b"value"), Headers::EMPTY).unwrap();
        }
        let mut out = Vec::new();
        builder.finish(&BatchMeta::PLAIN, codec, &mut Compressor::new(), &mut out).unwrap();
        out
    }

    fn refused(version: i16, bytes: Vec<u8>, rules: &Rules) -> (ErrorCode, Vec<i32>) {
        let refusal = admit(version, Some(RecordSet::from(Bytes::from(bytes))), rules).unwrap_err();
        (refusal.code, refusal.records.iter().map(|record| record.batch_index).collect())
    }

    #[test]
    fn compacted_topics_take_no_record_without_a_key() {
        let compacted = rules(&[("cleanup.policy", "compact,delete")]);
        for codec in [Codec::None, Codec::Gzip, Codec::Zstd] {
            let keyless = batch(codec, &[(NOW, Some(b"k")), (NOW, None), (NOW, Some(b""))]);
            assert_eq!(refused(9, keyless.clone(), &compacted), (ErrorCode::INVALID_RECORD, vec![1]));
            admit(9, Some(RecordSet::from(Bytes::from(keyless))), &rules(&[])).unwrap();
            let keyed = batch(codec, &[(NOW, Some(b"k")), (NOW, Some(b""))]);
            admit(9, Some(RecordSet::from(Bytes::from(keyed))), &compacted).unwrap();
        }
    }

    #[test]
    fn timestamps_stay_within_what_the_topic_allows() {
        let late = [(NOW, None), (NOW + 2 * HOUR, None), (NO_TIMESTAMP, None), (NOW + HOUR, None)];
        for codec in [Codec::None, Codec::Lz4] {
            let invalid = (ErrorCode::INVALID_TIMESTAMP, vec![1]);
            assert_eq!(refused(9, batch(codec, &late), &rules(&[])), invalid);
            let wide = rules(&[("message.timestamp.after.max.ms", "9223372036854775807")]);
            admit(9, Some(RecordSet::from(Bytes::from(batch(codec, &late)))), &wide).unwrap();
            let stamped = rules(&[("message.timestamp.type", "LogAppendTime")]);
            admit(9, Some(RecordSet::from(Bytes::from(batch(codec, &late)))), &stamped).unwrap();
            let old = [(NOW - HOUR, None), (NO_TIMESTAMP, None), (NOW - HOUR - 1, None)];
            let strict = rules(&[("message.timestamp.before.max.ms", "3600000")]);
            assert_eq!(refused(9, batch(codec, &old), &strict), (ErrorCode::INVALID_TIMESTAMP, vec![2]));
            admit(9, Some(RecordSet::from(Bytes::from(batch(codec, &old)))), &rules(&[])).unwrap();
        }
    }

    #[test]
    fn what_is_not_one_whole_batch_has_kafkas_codes() {
        let plain = rules(&[]);
        let good = batch(Codec::None, &[(NOW, None)]);
        let code = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = good.clone();
            change(&mut bytes);
            refused(9, bytes, &plain).0
        };
        assert_eq!(code(&|bytes| bytes.clear()), ErrorCode::INVALID_RECORD);
        assert_eq!(code(&|bytes| bytes.truncate(50)), ErrorCode::INVALID_RECORD);
        assert_eq!(code(&|bytes| bytes.extend_from_slice(&good)), ErrorCode::INVALID_RECORD);
        assert_eq!(code(&|bytes| bytes[7] = 42), ErrorCode::INVALID_RECORD);
        assert_eq!(code(&|bytes| bytes[16] = 1), ErrorCode::INVALID_RECORD);
        assert_eq!(code(&|bytes| bytes[16] = 3), ErrorCode::CORRUPT_MESSAGE);
        assert_eq!(code(&|bytes| bytes[16] = 0xff), ErrorCode::CORRUPT_MESSAGE);
        assert_eq!(code(&|bytes| bytes[11] = 20), ErrorCode::CORRUPT_MESSAGE);
        assert_eq!(code(&|bytes| bytes[17] ^= 1), ErrorCode::CORRUPT_MESSAGE);
    }

    #[test]
    fn zstd_is_for_versions_that_know_it() {
        let zstd = batch(Codec::Zstd, &[(NOW, None)]);
        assert_eq!(refused(6, zstd.clone(), &rules(&[])).0, ErrorCode::UNSUPPORTED_COMPRESSION_TYPE);
        admit(7, Some(RecordSet::from(Bytes::from(zstd))), &rules(&[])).unwrap();
    }
}
