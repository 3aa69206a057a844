//! What no value's shape can tell: values that cannot work, by themselves or beside others.

use super::{Auto, ByteSize, Loading, Problem, SETTINGS};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};
use tracing_subscriber::EnvFilter;

/// Shards at most. Every ordered pair of shards has queues between them, about 0.8 MB before any client connects: with as
/// many as this they would take most of a terabyte.
const SHARDS_MAX: u16 = 1_024;

/// Partitions of `__consumer_offsets` at most. Kafka's default is 50; each is a log with a leader to recover at every start.
const OFFSETS_PARTITIONS_MAX: i32 = 10_000;

/// A journal's file at least, in bytes: several of its largest frames.
const JOURNAL_FILE_BYTES_MIN: u64 = 1 << 20;

/// A journal's files at least: one that is written, one that comes next, and one that waits for segments.
const JOURNAL_FILES_MIN: u32 = 3;

/// What a produce request may need beside its one batch, in bytes: its header, and the names of client, transaction and topic.
const REQUEST_OVERHEAD_BYTES: u64 = 4 << 10;

impl Loading {
    pub(super) fn check(&mut self) {
        self.check_addresses();
        self.check_directories();
        self.check_counts();
        self.check_sizes();
        self.check_times();
        if let Err(error) = EnvFilter::try_new(&self.config.log.filter) {
            let message = format!("log.filter = {:?}: {error}", self.config.log.filter);
            self.refuse("log", "filter", message, "write \"info\", or \"warn,millrace_net=debug\"");
        }
    }

    fn check_addresses(&mut self) {
        let server = self.config.server.clone();
        if !server.allow_public_without_authentication {
            for (key, address) in [("listen", server.listen), ("admin_listen", server.admin_listen)] {
                if !address.ip().is_loopback() {
                    let help = "listen on 127.0.0.1, or set server.allow_public_without_authentication = true \
                                if the network is trusted";
                    let message =
                        format!("server.{key} = {address} is public, and nobody has to authenticate there");
                    self.refuse("server", key, message, help);
                }
            }
        }
        if overlap(server.listen, server.admin_listen) {
            let message = format!("server.listen and server.admin_listen are both {}", server.listen);
            let key = self.given("server", "admin_listen", "listen");
            self.refuse("server", key, message, "give them ports of their own");
        }
    }

    fn check_directories(&mut self) {
        let dirs = &self.config.server.data_dirs;
        if dirs.is_empty() {
            self.refuse("server", "data_dirs", "there is no data directory".to_owned(), "name at least one");
            return;
        }
        // A relative name and an absolute one may be of the same directory.
        let whole: Vec<PathBuf> =
            dirs.iter().map(|dir| std::path::absolute(dir).unwrap_or_else(|_| dir.clone())).collect();
        let pairs = || {
            whole.iter().enumerate().flat_map(|(at, dir)| whole[..at].iter().map(move |other| (dir, other)))
        };
        let twice = pairs().any(|(one, other)| one == other);
        let nested = pairs().find_map(|(one, other)| inside(one, other).or_else(|| inside(other, one)));
        if twice {
            self.refuse("server", "data_dirs", "a data directory is named twice".to_owned(), "name it once");
        } else if let Some(message) = nested {
            self.refuse("server", "data_dirs", message, "put them beside each other");
        }
    }

    fn check_counts(&mut self) {
        match self.config.server.shards {
            Auto::Given(0) => {
                let message = "there must be at least one shard".to_owned();
                self.refuse("server", "shards", message, "give 1 or more");
            }
            Auto::Given(shards) if shards > SHARDS_MAX => {
                let message = format!("server.shards = {shards}: memory grows with the square of the shards");
                self.refuse(
                    "server",
                    "shards",
                    message,
                    "give at most 1024; as many as there are cores is best",
                );
            }
            _ => {}
        }
        for (section, key, value) in [
            ("server", "connections_max", i64::from(self.config.server.connections_max)),
            ("topic", "partitions", self.config.topic.partitions.into()),
            ("group", "session_timeout_ms_min", self.config.group.session_timeout_ms_min.into()),
            ("group", "offsets_partitions", self.config.group.offsets_partitions.into()),
            ("group", "offsets_retention_minutes", self.config.group.offsets_retention_minutes.into()),
        ] {
            if value < 1 {
                self.refuse(section, key, format!("{section}.{key} = {value}"), "give 1 or more");
            }
        }
        let partitions = self.config.group.offsets_partitions;
        if partitions > OFFSETS_PARTITIONS_MAX {
            let message = format!("group.offsets_partitions = {partitions}: each is a log of its own");
            self.refuse(
                "group",
                "offsets_partitions",
                message,
                "give at most 10000; 50 serve thousands of groups",
            );
        }
        let files = self.config.journal.files_max;
        if files < JOURNAL_FILES_MIN {
            let message = format!("journal.files_max = {files}: a journal turns through its files");
            self.refuse("journal", "files_max", message, "give 3 or more");
        }
    }

    fn check_sizes(&mut self) {
        let (server, topic) = (&self.config.server, &self.config.topic);
        let (request, batch) = (server.request_bytes_max, topic.message_bytes_max);
        let mut any_zero = false;
        for (section, key, size) in [
            ("server", "request_bytes_max", request),
            ("topic", "message_bytes_max", batch),
            ("topic", "segment_bytes", topic.segment_bytes),
        ] {
            if size == ByteSize(0) {
                any_zero = true;
                self.refuse(section, key, format!("{section}.{key} = 0"), "give 1 or more");
            }
        }
        if !any_zero && request.0 < batch.0.saturating_add(REQUEST_OVERHEAD_BYTES) {
            let message = format!(
                "server.request_bytes_max = {request} is too small for a request with a batch of \
                 topic.message_bytes_max = {batch}, which needs up to {REQUEST_OVERHEAD_BYTES} bytes beside it"
            );
            let (section, key) = if self.is_given("server", "request_bytes_max") {
                ("server", "request_bytes_max")
            } else {
                ("topic", "message_bytes_max")
            };
            self.refuse(section, key, message, "raise server.request_bytes_max, or lower the other");
        }
        let file = self.config.journal.file_bytes;
        if file.0 < JOURNAL_FILE_BYTES_MIN {
            let message = format!("journal.file_bytes = {file}: a file holds several frames");
            self.refuse("journal", "file_bytes", message, "give 1 MiB or more");
        }
    }

    fn check_times(&mut self) {
        let group = &self.config.group;
        let delay = group.initial_rebalance_delay_ms;
        if group.session_timeout_ms_max < group.session_timeout_ms_min {
            let message = "group.session_timeout_ms_max is below group.session_timeout_ms_min".to_owned();
            let key = self.given("group", "session_timeout_ms_max", "session_timeout_ms_min");
            self.refuse("group", key, message, "raise it, or lower the other");
        }
        if delay < 0 {
            let message = format!("group.initial_rebalance_delay_ms = {delay}");
            self.refuse("group", "initial_rebalance_delay_ms", message, "give 0 or more");
        }
        if self.config.dataflow.epoch_ms_max < self.config.dataflow.epoch_ms_min {
            let message = "dataflow.epoch_ms_max is below dataflow.epoch_ms_min".to_owned();
            let key = self.given("dataflow", "epoch_ms_max", "epoch_ms_min");
            self.refuse("dataflow", key, message, "raise it, or lower the other");
        }
        if self.config.dataflow.restart_ms == 0 && self.config.dataflow.restart_reset_ms == 0 {
            let message = "dataflow.restart_ms and dataflow.restart_reset_ms are both 0: a job that fails would be started \
                           again for ever, without a pause";
            self.refuse("dataflow", "restart_ms", message.to_owned(), "raise one of them");
        }
    }

    /// `key` if somebody gave it, otherwise `other`: of two settings that do not go together, the one to point at.
    fn given(&self, section: &str, key: &'static str, other: &'static str) -> &'static str {
        if self.is_given(section, key) { key } else { other }
    }

    fn is_given(&self, section: &str, key: &str) -> bool {
        index(section, key).is_some_and(|index| self.origins[index] != super::Origin::Default)
    }

    fn refuse(&mut self, section: &str, key: &str, message: String, help: &str) {
        let origin = index(section, key).map(|index| self.origins[index].clone());
        self.problems.push(Problem { message, help: Some(help.to_owned()), origin, at: None });
    }
}

fn index(section: &str, key: &str) -> Option<usize> {
    SETTINGS.iter().position(|setting| setting.section == section && setting.key == key)
}

/// Whether one socket at most could listen on both.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let is_any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && (is_any || one.ip() == other.ip())
}

fn inside(inner: &Path, outer: &Path) -> Option<String> {
    inner
        .starts_with(outer)
        .then(|| format!("the data directory {} is inside another, {}", inner.display(), outer.display()))
}

#[cfg(test)]
mod tests {
    use super::super::{Layers, SourceText, load};
    use std::path::Path;

    /// What is said of a file with this text; empty if it is sound.
    fn told(text: &str) -> String {
        let file = Some(SourceText::new(Path::new("millrace.toml"), text.to_owned()));
        load(&Layers { file, ..Layers::default() })
            .err()
            .map(|problems| problems.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn values_that_cannot_work_are_refused_with_their_line() {
        for (section, line) in [
            ("server", "connections_max = 0"),
            ("server", "request_bytes_max = 0"),
            ("server", "request_bytes_max = \"1 MiB\""),
            ("server", "shards = 0"),
            ("server", "shards = 1025"),
            ("server", "admin_listen = \"127.0.0.1:9092\""),
            ("server", "listen = \"127.0.0.1:9644\""),
            ("server", "data_dirs = []"),
            ("server", "data_dirs = [\"/a\", \"/a/b\"]"),
            ("server", "data_dirs = [\"/a/b\", \"/c\", \"/a\"]"),
            ("server", "data_dirs = [\"a\", \"./a\"]"),
            ("topic", "message_bytes_max = 0"),
            ("topic", "message_bytes_max = \"100 MiB\""),
            ("topic", "segment_bytes = 0"),
            ("topic", "partitions = 0"),
            ("journal", "file_bytes = 0"),
            ("journal", "file_bytes = 1"),
            ("journal", "files_max = 2"),
            ("group", "session_timeout_ms_min = 0"),
            ("group", "session_timeout_ms_min = 1800001"),
            ("group", "session_timeout_ms_max = 5999"),
            ("group", "initial_rebalance_delay_ms = -1"),
            ("group", "offsets_partitions = 0"),
            ("group", "offsets_partitions = 10001"),
            ("dataflow", "epoch_ms_max = 0"),
            ("dataflow", "epoch_ms_min = 11"),
        ] {
            let told = told(&format!("[{section}]\n{line}\n"));
            let (key, _) = line.split_once(' ').unwrap();
            assert!(told.starts_with("millrace.toml:2: "), "{line}: {told:?}");
            assert_eq!(told.lines().count(), 1, "{line}: {told}");
            assert!(told.contains(key) || key == "data_dirs" || key == "shards", "{line}: {told}");
        }
    }

    #[test]
    fn values_at_their_bounds_are_taken() {
        for text in [
            "[server]\nconnections_max = 1\nshards = 1024\n",
            "[server]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\n",
            "[server]\nlisten = \"127.0.0.1:9644\"\nadmin_listen = \"127.0.0.2:9644\"\n",
            "[server]\ndata_dirs = [\"/a\", \"/ab\"]\n",
            "[server]\nrequest_bytes_max = 5096\n[topic]\nmessage_bytes_max = 1000\n",
            "[journal]\nfile_bytes = \"1 MiB\"\nfiles_max = 3\n",
            "[group]\noffsets_partitions = 10000\nsession_timeout_ms_min = 1800000\n",
        ] {
            assert_eq!(told(text), "", "{text}");
        }
    }
}
