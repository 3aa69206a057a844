//! Entry points for fuzz targets: the records of the server's own logs.

#[cfg(test)]
#[path = "../../fuzz/seeds.rs"]
pub(crate) mod seeds;

use crate::{cluster::MetadataRecord, job::commit_log::Entry};

/// A record of the metadata log.
pub fn metadata(bytes: &[u8]) {
    if let Ok(record) = MetadataRecord::decode(bytes) {
        assert_eq!(MetadataRecord::decode(&record.encode()), Ok(record), "what is read can be written");
    }
}

/// A record of the commit log.
pub fn commit_log(bytes: &[u8]) {
    if let Ok(entry) = Entry::decode(bytes) {
        assert_eq!(entry.encode(), bytes, "there is one form of everything");
    }
}
