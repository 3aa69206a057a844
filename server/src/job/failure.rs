//! Why an attempt ended, as it is told and kept: with the topic's name, and no longer than a page.

use crate::cluster::Image;
use millrace_engine::failure::{Failure, RecordPlace};
use millrace_record::TopicId;

/// The longest reason that is kept, in bytes: it goes into the metadata log, which is read whole at every start, and a panic
/// may say as much as it likes.
const REASON_BYTES_MAX: usize = 4096;

/// What happened in user code, and where.
#[must_use]
pub(super) fn reason(failure: &Failure, image: &Image) -> String {
    let place = match failure.record {
        Some(RecordPlace::Source { topic, partition, offset }) => {
            format!(" at offset {offset} of partition {partition} of topic {}", name_of(topic, image))
        }
        Some(RecordPlace::Ordinal(ordinal)) => format!(" at record {ordinal} of its input"),
        None => String::new(),
    };
    format!("operator `{}`{place} on shard {}: {}", failure.operator, failure.shard, failure.cause)
}

/// A topic's name; its id if it is gone.
#[must_use]
pub(super) fn name_of(topic: TopicId, image: &Image) -> String {
    image.topic_by_id(topic).map_or_else(|| topic.to_string(), |topic| topic.name.clone())
}

/// The beginning of a reason that is too long to be kept.
#[must_use]
pub(super) fn bounded(mut reason: String) -> String {
    if reason.len() > REASON_BYTES_MAX {
        reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
        reason.push_str(" [...]");
        reason.shrink_to_fit();
    }
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        assert_eq!(bounded("short".to_owned()), "short");
        let long = format!("x{}", "é".repeat(REASON_BYTES_MAX));
        let cut = bounded(long.clone());
        assert!(cut.len() < REASON_BYTES_MAX + 10);
        assert!(long.starts_with(cut.strip_suffix(" [...]").unwrap()));
    }
}
