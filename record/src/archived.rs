//! The archived encoding: a batch as columns that are read in place.
//!
//! | file | what |
//! |---|---|
//! | `columns` | the layout, and the assertions that hold it |
//! | `view` | the door and the reader |
//! | `build` | the writer |

mod build;
mod columns;
mod view;

pub use build::ArchivedBatchBuilder;
pub use view::{ArchivedBatch, ArchivedRecords};

#[cfg(test)]
mod tests;
