//! Every setting: its name, type, default and meaning. The reference in the book, `config print` and the errors about a
//! file all come from this table.

use super::value::{Auto, ByteSize, Durability, HostPort, LogFormat, Pin, Value};
use std::{net::SocketAddr, path::PathBuf};
use toml::de::DeValue;

/// One setting, without its type.
pub struct Setting {
    /// The TOML table it stands in.
    pub section: &'static str,
    /// Its key in that table.
    pub key: &'static str,
    /// What it means.
    pub doc: &'static str,
    /// What its values look like.
    pub shape: &'static str,
    pub(super) set_toml: fn(&mut Config, &DeValue<'_>) -> Result<(), String>,
    pub(super) set_text: fn(&mut Config, &str) -> Result<(), String>,
    /// Its value in a configuration, as TOML.
    pub show: fn(&Config) -> String,
}

impl Setting {
    /// `section.key`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}.{}", self.section, self.key)
    }

    /// The environment variable that overrides it: `MILLRACE_SECTION__KEY`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("MILLRACE_{}__{}", self.section.to_uppercase(), self.key.to_uppercase())
    }
}

macro_rules! settings {
    ($(
        $(#[doc = $section_doc:literal])*
        $section:ident: $Section:ident {
            $($(#[doc = $doc:literal])* $key:ident: $type:ty = $default:expr;)*
        }
    )*) => {
        /// The whole configuration, each value from its default, the file, the environment or a flag.
        #[derive(Clone, Debug)]
        pub struct Config {
            $($(#[doc = $section_doc])* pub $section: $Section,)*
        }

        $(
            $(#[doc = $section_doc])*
            #[derive(Clone, Debug)]
            pub struct $Section {
                $($(#[doc = $doc])* pub $key: $type,)*
            }
        )*

        impl Default for Config {
            fn default() -> Self {
                Self { $($section: $Section { $($key: $default,)* },)* }
            }
        }

        /// All settings, in the order of the reference.
        pub static SETTINGS: &[Setting] = &[
            $($(Setting {
                section: stringify!($section),
                key: stringify!($key),
                doc: concat!($($doc, "\n"),*),
                shape: <$type as Value>::SHAPE,
                set_toml: |config, value| {
                    config.$section.$key = Value::from_toml(value)?;
                    Ok(())
                },
                set_text: |config, text| {
                    config.$section.$key = Value::from_text(text)?;
                    Ok(())
                },
                show: |config| config.$section.$key.to_toml(),
            },)*)*
        ];
    };
}

settings! {
    /// Where the server listens and keeps its data.
    server: ServerSettings {
        /// The address that Kafka clients connect to.
        listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 9092));
        /// The address that clients are told to come back to; empty means the one they reached.
        advertise: Option<HostPort> = None;
        /// The address of the admin interface: jobs, metrics, health.
        admin_listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 9644));
        /// Allow `listen` and `admin_listen` to be public addresses although nobody has to authenticate.
        allow_public_without_authentication: bool = false;
        /// Directories for the log, each preferably a disk of its own. Partitions are spread over them.
        data_dirs: Vec<PathBuf> = vec![PathBuf::from("millrace-data")];
        /// Number of shards; "auto" is one for each core that the process may use.
        shards: Auto<u16> = Auto::Auto;
        /// Connections at a time, over all shards; further ones wait to be accepted.
        connections_max: u32 = 20_000;
        /// The largest request that a client may send.
        request_bytes_max: ByteSize = ByteSize(100 << 20);
    }

    /// How shards use the machine.
    runtime: RuntimeSettings {
        /// Whether shards are pinned to cores.
        pin: Pin = Pin::Auto;
        /// How long an idle shard polls before it sleeps, in microseconds. 0 sleeps at once; more answers faster.
        spin_us: u64 = 50;
    }

    /// Bounds of memory.
    memory: MemorySettings {
        /// Per shard: tails of partitions, read cache and indexes.
        log_bytes: ByteSize = ByteSize(256 << 20);
        /// Per shard: requests being received and answered, over all connections; as much again for records that wait to be
        /// taken.
        connection_bytes: ByteSize = ByteSize(256 << 20);
    }

    /// Defaults of topics, under the meaning of Kafka's settings of these names.
    topic: TopicSettings {
        /// What an acknowledgement means: "fsync" is on stable storage, "os" survives the death of the process, not that of the
        /// machine. Groups' offsets, jobs' state and what they commit are on stable storage either way; with "os" a job has to run on
        /// all shards.
        durability: Durability = Durability::Fsync;
        /// Partitions of a topic that is created without a number (num.partitions).
        partitions: i32 = 1;
        /// Create a topic when a client first asks for it (auto.create.topics.enable).
        auto_create: bool = true;
        /// Take a replication factor above the number of nodes for that number, instead of refusing it.
        clamp_replication_factor: bool = false;
        /// The largest batch of records (max.message.bytes).
        message_bytes_max: ByteSize = ByteSize(1_048_588);
        /// When a segment is closed and a new one begun (segment.bytes).
        segment_bytes: ByteSize = ByteSize(1 << 30);
    }

    /// The shard's journal.
    journal: JournalSettings {
        /// The size of one of its files.
        file_bytes: ByteSize = ByteSize(64 << 20);
        /// How many files a shard's journal may have before appends wait for segments to be written.
        files_max: u32 = 8;
    }

    /// Consumer groups.
    group: GroupSettings {
        /// The shortest session timeout that a member may ask for (group.min.session.timeout.ms).
        session_timeout_ms_min: i32 = 6_000;
        /// The longest session timeout that a member may ask for (group.max.session.timeout.ms).
        session_timeout_ms_max: i32 = 1_800_000;
        /// How long the first rebalance of an empty group waits for more members
        /// (group.initial.rebalance.delay.ms).
        initial_rebalance_delay_ms: i32 = 3_000;
        /// Partitions of __consumer_offsets (offsets.topic.num.partitions). Fixed once the topic exists.
        offsets_partitions: i32 = 50;
        /// How long the offsets of a group are kept after its last member left (offsets.retention.minutes).
        offsets_retention_minutes: i32 = 10_080;
    }

    /// Dataflow jobs.
    dataflow: DataflowSettings {
        /// The shortest time between two epochs, in milliseconds.
        epoch_ms_min: u64 = 1;
        /// The longest time between two epochs while there is something to commit, in milliseconds.
        epoch_ms_max: u64 = 10;
        /// How often in a row a job that fails is started again before it is given up.
        restarts_max: u32 = 3;
        /// How long a job that has failed waits before it is started again, in milliseconds; doubled each time in a row, up to a minute.
        restart_ms: u64 = 500;
        /// How long a job must have gone on after its first commit, in milliseconds, for its failures to be counted anew.
        restart_reset_ms: u64 = 60_000;
        /// Per shard: bytes of spilled operator output before a job is held back.
        spill_bytes: ByteSize = ByteSize(64 << 20);
    }

    /// The server's own log lines.
    log: LogSettings {
        /// How they are written.
        format: LogFormat = LogFormat::Text;
        /// What is written, as a filter: "info", "warn,millrace_net=debug".
        filter: String = "info".to_owned();
    }
}

impl Value for String {
    const SHAPE: &'static str = "a string";

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn to_toml(&self) -> String {
        format!("{self:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../../docs/running.md");

    /// The reference of all settings, as the page has it.
    fn reference() -> String {
        let defaults = Config::default();
        let mut text = String::new();
        let mut section = "";
        for setting in SETTINGS {
            if setting.section != section {
                section = setting.section;
                text += &format!("\n### [{section}]\n\n| key | default | what it is |\n|---|---|---|\n");
            }
            let doc: Vec<&str> = setting.doc.lines().map(str::trim).collect();
            let default = (setting.show)(&defaults);
            text += &format!("| `{}` | `{default}` | {} |\n", setting.key, doc.join(" ").trim_end());
        }
        text
    }

    #[test]
    fn the_page_tells_every_setting() {
        let reference = reference();
        assert!(PAGE.contains(&reference), "docs/running.md should say:\n{reference}");
    }
}
