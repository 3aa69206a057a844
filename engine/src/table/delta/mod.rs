//! Deltas: what an epoch changed in a table, as bytes.
//!
//! A delta is a list of **runs**. A run has the changes of one range of key groups, in order, and says in its header what it
//! belongs to, so that it can be found, checked and applied alone. A range that changed much has several runs in a
//! row, of about [`RUN_BYTES`] each. The layout is in `docs/formats.md`, "State: keys, deltas".
//!
//! While an epoch is open its runs are written in place: the first touch of an entry appends a record and remembers its
//! [`Position`]; later touches overwrite the value there. So a delta holds each key that fits this about once, and closing it
//! is a swap of buffers.

mod header;
mod log;
mod reader;
mod wire;

pub use header::RunHeader;
pub(in crate::table) use header::TableKind;
pub(in crate::table) use log::{DeltaLog, Position};
pub(in crate::table) use reader::{Record, walk};

use super::spec::TableId;
use crate::epoch::Epoch;
use crate::key::KeyGroupRange;
use bytes::Bytes;

/// Where a run ends and the next one of the same range begins: a small part of a journal's frame, and few enough bytes
/// that an offset takes 16 bits.
pub(in crate::table) const RUN_BYTES: usize = 64 << 10;

/// Into how many ranges of key groups a table's range is cut for its runs.
///
/// A job that is rescaled or restored lazily reads only the ranges it needs; more of them cost a header each per epoch.
pub(in crate::table) const RANGES_MAX: usize = 8;

/// What an epoch changed in a table.
#[derive(Clone, Debug)]
pub struct Delta {
    /// Which table.
    pub table: TableId,
    /// Which epoch.
    pub epoch: Epoch,
    /// The runs, by ascending range of key groups; those of one range are to be applied in this order.
    pub runs: Vec<DeltaRun>,
}

impl Delta {
    /// Whether nothing changed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// How many bytes the runs have.
    #[must_use]
    pub fn len(&self) -> usize {
        self.runs.iter().map(|run| run.bytes.len()).sum()
    }
}

/// The changes of one range of key groups.
#[derive(Clone, Debug)]
pub struct DeltaRun {
    /// The groups that its keys belong to.
    pub groups: KeyGroupRange,
    /// The run, header and records.
    pub bytes: Bytes,
}

/// Why a run of a delta can't be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeltaError {
    /// The run belongs to another table.
    #[error("run of table {found} where one of table {expected} was due")]
    Table {
        /// The table it was given to.
        expected: TableId,
        /// The table it names.
        found: TableId,
    },
    /// The run has keys or values of other types.
    #[error("run with types {found:#018x} where {expected:#018x} are known")]
    Types {
        /// The hash that the table was made with.
        expected: u64,
        /// The hash that the run names.
        found: u64,
    },
    /// The run was written with another number of key groups, other widths, or by a table of the other kind.
    #[error("run has another {what} than its table: {found} where {expected} was due")]
    Shape {
        /// Which property.
        what: &'static str,
        /// What the table has.
        expected: u32,
        /// What the run has.
        found: u32,
    },
    /// The run has a format that this build doesn't know.
    #[error("run of format {found}; this build knows up to {known}")]
    Format {
        /// The run's format.
        found: u8,
        /// The newest known one.
        known: u8,
    },
    /// The bytes are not a run.
    #[error("run is damaged at byte {at}: {what}")]
    Damaged {
        /// Where.
        at: usize,
        /// What is wrong there.
        what: &'static str,
    },
}

#[cfg(test)]
mod tests;
