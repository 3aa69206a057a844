//! State tables: what a job remembers. What is not in a table does not survive.
//!
//! Two kinds stand behind one path of deltas, commits, rollbacks and restores ([`Table`]):
//!
//! - [`PointTable`]: key -> value, prefetched, in place for small fixed widths;
//! - [`OrderedTable`]: (key, order key) -> value, in byte order of the order key, one element per entry.
//!
//! Both divide their entries by [`Namespace`] (say, the pane of a window), which is dropped with one record.
//!
//! # Laws
//!
//! 1. Between two seals a table collects a [`Delta`]: absolute values, tombstones and drops, in order. Applying
//!    the deltas of all epochs, in order, to an empty table gives an equal table.
//! 2. [`seal`](Table::seal) closes the open epoch in constant time; the epoch stays *unresolved* until
//!    [`commit`](Table::commit) or [`rollback`](Table::rollback). At most [`UNRESOLVED_MAX`] epochs are.
//! 3. `rollback(e)` makes the table equal to what it was when `e` was sealed; everything later is undone.
//! 4. A key is touched only in the table whose range has its key group.

mod delta;
mod namespaces;
mod ordered;
mod point;
mod spec;
mod undo;

pub use delta::{Delta, DeltaError, DeltaRun, RunHeader};
pub use ordered::OrderedTable;
pub use point::{ENTRY_BYTES_MAX, PointTable};
pub use spec::{Namespace, TableId, TableSpec, Width};

use crate::epoch::Epoch;

/// The most epochs of a table that may be sealed and neither committed nor rolled back (K).
pub const UNRESOLVED_MAX: usize = 4;

/// What the engine does with any table; operators use the two kinds themselves.
pub trait Table {
    /// What the table was made with.
    fn spec(&self) -> &TableSpec;

    /// How many bytes the open epoch's delta has so far. What limits state is the volume of deltas.
    fn open_bytes(&self) -> usize;

    /// Closes the open epoch as `epoch` and hands out its delta; the next one is open at once.
    ///
    /// # Panics
    /// If `epoch` is not above the one sealed before, or [`UNRESOLVED_MAX`] are unresolved.
    fn seal(&mut self, epoch: Epoch) -> Delta;

    /// Forgets how to undo every epoch up to and with `through`.
    fn commit(&mut self, through: Epoch);

    /// Undoes the open epoch and every sealed one above `to`.
    fn rollback(&mut self, to: Epoch);

    /// Applies one run of a committed delta, in the order of epochs, while the job is restored. Keys outside of the table's
    /// range of key groups are passed over, so that runs of another placement can be read.
    ///
    /// # Errors
    /// [`DeltaError`] if the run is damaged or belongs to another table or other types; the table is unchanged then.
    fn apply(&mut self, run: &[u8]) -> Result<(), DeltaError>;
}

#[cfg(test)]
mod tests;
