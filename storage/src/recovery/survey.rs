//! Who knows a log best: of all checkpoints in all journals, the one to build upon.
//!
//! A later start goes before an earlier one: it had taken everything earlier into the segments. Within a start a log
//! may have moved between shards, each time under a higher leader epoch. Within a journal the last checkpoint counts.

use super::{RecoverError, journals::FoundJournal};
use crate::{
    journal::{
        entry::{Body, Checkpoint, EntryError},
        frame::Frame,
    },
    key::LogKey,
};
use millrace_record::Offset;
use std::collections::BTreeMap;

/// What one journal says of its logs.
#[derive(Default)]
pub(super) struct Said(BTreeMap<LogKey, Heard>);

#[derive(Default)]
struct Heard {
    checkpoint: Option<Checkpoint>,
    /// The last frame with something else of the log.
    last_entry: u64,
    /// The last frame that cuts it.
    last_cut: u64,
    /// The log's last start that its entries tell.
    start: Offset,
}

/// The checkpoint that a log is rebuilt from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Authority {
    /// Index of the journal that has it.
    pub(super) journal: usize,
    pub(super) checkpoint: Checkpoint,
    /// Whether entries follow that have to be applied.
    pub(super) has_entries: bool,
    /// Batches of earlier frames are in the segments, or were cut off: before a cut is journaled, everything is brought
    /// into the segments.
    pub(super) batches_from: u64,
    /// Where the log starts after all entries: segments before that may be gone.
    pub(super) start: Offset,
}

impl Said {
    /// Notes what a frame says; frames come in order.
    pub(super) fn hear(&mut self, frame: &Frame<'_>) -> Result<(), EntryError> {
        for item in frame.entries() {
            let (entry, _) = item?;
            let heard = self.0.entry(entry.key).or_default();
            match entry.body {
                Body::Checkpoint(checkpoint) => heard.checkpoint = Some(checkpoint),
                Body::Cut { .. } => {
                    heard.last_entry = frame.header.sequence;
                    heard.last_cut = frame.header.sequence;
                }
                Body::LogStart { start } => {
                    heard.last_entry = frame.header.sequence;
                    heard.start = heard.start.max(start);
                }
                _ => heard.last_entry = frame.header.sequence,
            }
        }
        Ok(())
    }
}

/// Finds every log's authority. Logs that were removed have one too, which says so.
pub(super) fn survey(journals: &[FoundJournal]) -> Result<BTreeMap<LogKey, Authority>, RecoverError> {
    let mut best: BTreeMap<LogKey, (u64, i32, Authority)> = BTreeMap::new();
    for (at, journal) in journals.iter().enumerate() {
        for (&key, heard) in &journal.said.0 {
            let Some(checkpoint) = heard.checkpoint.clone() else { continue };
            let epoch = checkpoint.epochs.latest().unwrap_or(-1);
            let has_entries = heard.last_entry >= checkpoint.replay_from;
            let batches_from = checkpoint.replay_from.max(heard.last_cut);
            let start = heard.start.max(checkpoint.start);
            let authority = Authority { journal: at, checkpoint, has_entries, batches_from, start };
            let rank = (journal.generation, epoch);
            match best.get(&key) {
                Some((generation, known, _)) if (*generation, *known) > rank => {}
                Some((generation, known, _)) if (*generation, *known) == rank => {
                    return Err(RecoverError::Ambiguous(key));
                }
                _ => {
                    best.insert(key, (rank.0, rank.1, authority));
                }
            }
        }
    }
    check_all_known(journals, &best)?;
    Ok(best.into_iter().map(|(key, (_, _, authority))| (key, authority)).collect())
}

/// Every log with entries in a journal has a checkpoint in it, or in a later one: the keeper sees to that.
fn check_all_known(
    journals: &[FoundJournal],
    best: &BTreeMap<LogKey, (u64, i32, Authority)>,
) -> Result<(), RecoverError> {
    for journal in journals {
        for (key, heard) in &journal.said.0 {
            let is_known = heard.checkpoint.is_some()
                || best.get(key).is_some_and(|(generation, _, _)| *generation > journal.generation);
            if !is_known {
                let what = format_args!("entries of log {key}, but no checkpoint of it");
                return Err(crate::error::Damage::new(&journal.folder, 0, what).into());
            }
        }
    }
    Ok(())
}
