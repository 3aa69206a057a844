//! Entry points for fuzz targets: the records of the server's own logs.

use crate::{cluster::MetadataRecord, job::commit_log::Entry};

/// Any bytes as a record of the metadata log, and of the commit log.
pub fn records(bytes: &[u8]) {
    if let Ok(record) = MetadataRecord::decode(bytes) {
        assert_eq!(MetadataRecord::decode(&record.encode()), Ok(record), "what is read can be written");
    }
    if let Ok(entry) = Entry::decode(bytes) {
        assert_eq!(entry.encode(), bytes, "there is one form of everything");
    }
}
