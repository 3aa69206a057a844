//! The records of the commit log.

use super::codec::{Fields, FormatError, put_count};
use super::ids::{Attempt, CommitNumber, Epoch, JobId};

const FORMAT: u8 = 1;

/// Bytes of an entry.
const ENTRY_BYTES: usize = 3 * 8 + 1 + 4;

/// That an epoch of a job is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitEntry {
    /// The job.
    pub job: JobId,
    /// The attempt that made the epoch.
    pub attempt: Attempt,
    /// The epoch.
    pub epoch: Epoch,
    /// If the entry was written together with its pieces, before they were known to be durable: how many these are. After
    /// a crash it counts only if all of them are found, and those of its attempt's earlier entries; nobody was told of it
    /// otherwise.
    pub pieces: Option<u32>,
}

/// A record of the commit log: epochs of several jobs that become visible at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitRecord {
    /// Its place in the log.
    pub number: CommitNumber,
    /// What it commits, in this order. A job may have several epochs in it.
    pub entries: Vec<CommitEntry>,
}

impl CommitRecord {
    /// Its bytes, the payload of a record in the commit log's partition.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        out.extend_from_slice(&self.number.0.to_le_bytes());
        put_count(&mut out, self.entries.len());
        for entry in &self.entries {
            for field in [entry.job.0, entry.attempt.0, entry.epoch.0] {
                out.extend_from_slice(&field.to_le_bytes());
            }
            out.push(u8::from(entry.pieces.is_some()));
            out.extend_from_slice(&entry.pieces.unwrap_or(0).to_le_bytes());
        }
        out
    }

    /// Reads it back.
    ///
    /// # Errors
    /// [`FormatError`] if the bytes are no such record.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut fields = Fields::new("commit record", bytes, FORMAT)?;
        let number = CommitNumber(fields.u64()?);
        let entries = fields.list(ENTRY_BYTES, |fields| {
            let (job, attempt) = (JobId(fields.u64()?), Attempt(fields.u64()?));
            let epoch = Epoch(fields.u64()?);
            let pieces = match (fields.flag()?, fields.u32()?) {
                (true, pieces) => Some(pieces),
                (false, 0) => None,
                (false, _) => return Err(fields.damaged("number of pieces where there is none")),
            };
            Ok(CommitEntry { job, attempt, epoch, pieces })
        })?;
        fields.finish()?;
        Ok(Self { number, entries })
    }
}
