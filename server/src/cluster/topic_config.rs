//! A topic's settings: Kafka's names, types and defaults, so that tools which ask for one find it.

/// What a setting's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigKind {
    /// `true` or `false`.
    Boolean,
    /// An integer of 32 bits, at least this.
    Int(i32),
    /// An integer of 64 bits, at least this.
    Long(i64),
    /// A number from 0 to 1.
    Ratio,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Some of these words, separated by commas.
    Words(&'static [&'static str]),
    /// `partition:node` pairs separated by commas, or `*`, or nothing. Taken for tools' sake.
    Replicas,
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct TopicConfig {
    /// Kafka's name.
    pub name: &'static str,
    /// What its value is.
    pub kind: ConfigKind,
    /// Its default where the server's configuration says nothing else.
    pub default: &'static str,
    /// What it means.
    pub doc: &'static str,
}

const CODECS: &[&str] = &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];

/// All settings, in order of name.
pub static TOPIC_CONFIGS: &[TopicConfig] = &[
    config(
        "cleanup.policy",
        ConfigKind::Words(&["delete", "compact"]),
        "delete",
        "What happens to old segments.",
    ),
    config("compression.type", ConfigKind::Word(CODECS), "producer", "How batches are kept compressed."),
    config(
        "delete.retention.ms",
        ConfigKind::Long(0),
        "86400000",
        "How long a compacted topic keeps tombstones.",
    ),
    config("file.delete.delay.ms", ConfigKind::Long(0), "60000", "How long a removed file is kept."),
    config("flush.messages", ConfigKind::Long(1), "9223372036854775807", "Records between forced syncs."),
    config("flush.ms", ConfigKind::Long(0), "9223372036854775807", "Time between forced syncs."),
    config(
        "follower.replication.throttled.replicas",
        ConfigKind::Replicas,
        "",
        "Replicas that are throttled.",
    ),
    config("index.interval.bytes", ConfigKind::Int(0), "4096", "Bytes of log between two index entries."),
    config("leader.replication.throttled.replicas", ConfigKind::Replicas, "", "Replicas that are throttled."),
    config("local.retention.bytes", ConfigKind::Long(-2), "-2", "Bytes kept locally when a topic is tiered."),
    config("local.retention.ms", ConfigKind::Long(-2), "-2", "Time kept locally when a topic is tiered."),
    config("max.compaction.lag.ms", ConfigKind::Long(1), "9223372036854775807", "Longest time uncompacted."),
    config("max.message.bytes", ConfigKind::Int(0), "1048588", "The largest batch of records."),
    config(
        "message.timestamp.after.max.ms",
        ConfigKind::Long(0),
        "3600000",
        "How far a timestamp may lie in the future.",
    ),
    config(
        "message.timestamp.before.max.ms",
        ConfigKind::Long(0),
        "9223372036854775807",
        "How far a timestamp may lie in the past.",
    ),
    config(
        "message.timestamp.type",
        ConfigKind::Word(&["CreateTime", "LogAppendTime"]),
        "CreateTime",
        "Whose clock a record's timestamp is.",
    ),
    config("min.cleanable.dirty.ratio", ConfigKind::Ratio, "0.5", "When compaction is worth its while."),
    config("min.compaction.lag.ms", ConfigKind::Long(0), "0", "Shortest time uncompacted."),
    config("min.insync.replicas", ConfigKind::Int(1), "1", "Replicas that must have an append of acks=all."),
    config("preallocate", ConfigKind::Boolean, "false", "Whether segments are allocated ahead."),
    config("remote.log.copy.disable", ConfigKind::Boolean, "false", "Whether tiering is stopped."),
    config(
        "remote.log.delete.on.disable",
        ConfigKind::Boolean,
        "false",
        "Whether tiered data goes with tiering.",
    ),
    config("remote.storage.enable", ConfigKind::Boolean, "false", "Whether the topic is tiered."),
    config("retention.bytes", ConfigKind::Long(-1), "-1", "Bytes a partition keeps; -1 keeps all."),
    config("retention.ms", ConfigKind::Long(-1), "604800000", "How long records are kept; -1 for ever."),
    config("segment.bytes", ConfigKind::Int(14), "1073741824", "The size of a segment."),
    config("segment.index.bytes", ConfigKind::Int(4), "10485760", "The size of a segment's index."),
    config("segment.jitter.ms", ConfigKind::Long(0), "0", "Spread of segments' ages."),
    config("segment.ms", ConfigKind::Long(1), "604800000", "The age of a segment."),
    config(
        "unclean.leader.election.enable",
        ConfigKind::Boolean,
        "false",
        "Whether a replica that lags may lead.",
    ),
];

const fn config(
    name: &'static str,
    kind: ConfigKind,
    default: &'static str,
    doc: &'static str,
) -> TopicConfig {
    TopicConfig { name, kind, default, doc }
}

/// The setting of this name.
#[must_use]
pub fn topic_config(name: &str) -> Option<&'static TopicConfig> {
    TOPIC_CONFIGS.binary_search_by(|config| config.name.cmp(name)).ok().map(|index| &TOPIC_CONFIGS[index])
}

impl TopicConfig {
    /// Checks a value.
    ///
    /// # Errors
    /// What is wrong with it, as Kafka words it.
    pub fn check(&self, value: &str) -> Result<(), String> {
        let name = self.name;
        let wrong = |why: &str| Err(format!("Invalid value {value} for configuration {name}: {why}"));
        match self.kind {
            ConfigKind::Boolean if !matches!(value, "true" | "false") => {
                wrong("Expected value to be either true or false")
            }
            ConfigKind::Int(least) => match value.trim().parse::<i32>() {
                Err(_) => wrong("Not a number of type INT"),
                Ok(number) if number < least => wrong(&format!("Value must be at least {least}")),
                Ok(_) => Ok(()),
            },
            ConfigKind::Long(least) => match value.trim().parse::<i64>() {
                Err(_) => wrong("Not a number of type LONG"),
                Ok(number) if number < least => wrong(&format!("Value must be at least {least}")),
                Ok(_) => Ok(()),
            },
            ConfigKind::Ratio => match value.trim().parse::<f64>() {
                Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(()),
                Ok(_) => wrong("Value must be from 0 to 1"),
                Err(_) => wrong("Not a number of type DOUBLE"),
            },
            ConfigKind::Word(words) if !words.contains(&value) => {
                wrong(&format!("String must be one of: {}", words.join(", ")))
            }
            ConfigKind::Words(words) if !value.split(',').all(|word| words.contains(&word.trim())) => {
                wrong(&format!("String must be one of: {}", words.join(", ")))
            }
            ConfigKind::Boolean | ConfigKind::Word(_) | ConfigKind::Words(_) | ConfigKind::Replicas => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_its_defaults_are_valid() {
        assert!(TOPIC_CONFIGS.is_sorted_by(|one, other| one.name < other.name));
        for config in TOPIC_CONFIGS {
            assert_eq!(config.check(config.default), Ok(()), "{}", config.name);
        }
    }

    #[test]
    fn several_policies_go_together() {
        let policy = topic_config("cleanup.policy").unwrap();
        assert_eq!(policy.check("compact,delete"), Ok(()));
        assert!(policy.check("compact;delete").is_err());
    }
}
