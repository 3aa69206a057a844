//! Why a start fails.

use crate::{
    cluster::{RecordError, TopicError},
    job::recovery,
};
use millrace_record::BatchError;
use millrace_storage::{DirsError, FatalError, IoError, OpenError, ReadError, RecoverError, SetAsideError};
use std::net::SocketAddr;

/// Why a shard did not start, or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShardError {
    /// A data directory can't be used.
    #[error(transparent)]
    Dirs(#[from] DirsError),
    /// What is on disk can't be recovered.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// The store does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Folders of unknown topics can't be set aside.
    #[error(transparent)]
    SetAside(#[from] SetAsideError),
    /// The metadata log can't be read.
    #[error("the metadata log: {0}")]
    Metadata(#[source] MetadataError),
    /// The operating system refused something.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The address can't be listened on.
    #[error("cannot listen on {address}: {cause}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The operating system's reason.
        #[source]
        cause: std::io::Error,
    },
    /// The log can't be written or synced any more.
    #[error(transparent)]
    Fatal(#[from] FatalError),
    /// What jobs have left can't be recovered.
    #[error("jobs can't be recovered: {0}")]
    Jobs(#[from] recovery::JobsError),
    /// The cluster can't be named.
    #[error("the first record of the metadata log: {0}")]
    Name(#[source] TopicError),
    /// Another shard has failed, and says why.
    #[error("another shard did not start")]
    Aborted,
}

/// Why the metadata log can't be read.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// Its log can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A batch of it does not parse.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// A record of it does not parse.
    #[error(transparent)]
    Record(#[from] RecordError),
}
