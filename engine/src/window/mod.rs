//! Windows: which spans of event time a record belongs to.
//!
//! A record is added to exactly one **pane**; a window is a run of panes. Panes of tumbling windows are the windows
//! themselves; hopping windows share panes as long as their slide, which are combined when a window fires; a session's
//! pane is the record's own time and gap, and panes that meet are merged. An [`Assigner`] says which.

mod assigner;
mod result;

pub use assigner::{Assigner, Panes, Tumbling, Window};
pub use result::{ArchivedWindowed, Windowed};
