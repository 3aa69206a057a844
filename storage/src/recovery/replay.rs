//! Applying what journals say to the segments.

use super::{LogState, RecoverError, journals, journals::FoundJournal, survey::Authority};
use crate::{
    concurrent::for_each,
    dirs::{DataDirs, Hex},
    error::Damage,
    key::{LogKey, LogKind},
    log::remove_folder,
};
use millrace_record::TopicId;
use rebuild::Rebuild;
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

mod rebuild;

/// Segments that are finished and synced at once.
const SYNCS_IN_FLIGHT: usize = 16;

/// Brings every log to what its authority and the entries behind it say, durably.
pub(super) async fn replay(
    dirs: &DataDirs,
    journals: &[FoundJournal],
    survey: BTreeMap<LogKey, Authority>,
    folders: &BTreeSet<(usize, LogKey)>,
    set_aside: &BTreeSet<TopicId>,
) -> Result<BTreeMap<LogKey, LogState>, RecoverError> {
    let mut logs = BTreeMap::new();
    let mut rebuilding = BTreeMap::new();
    for (key, authority) in survey {
        let Some(state) = state_of(dirs, key, &authority, folders, set_aside).await? else { continue };
        if authority.has_entries {
            rebuilding.insert(key, (authority.journal, Rebuild::new(dirs, state, &authority)));
        } else {
            logs.insert(key, state);
        }
    }
    // Splices read what was staged, so that comes first.
    for kind in [LogKind::Staged, LogKind::Data] {
        for (at, journal) in journals.iter().enumerate() {
            let is_due = |key: &LogKey, of: usize| key.kind == kind && of == at;
            if rebuilding.iter().any(|(key, (of, _))| is_due(key, *of)) {
                read_through(journal, &mut rebuilding, is_due).await?;
            }
        }
        let due: Vec<Rebuild> =
            rebuilding.extract_if(.., |key, _| key.kind == kind).map(|(_, (_, rebuild))| rebuild).collect();
        for state in finish(due).await? {
            logs.insert(state.key, state);
        }
    }
    Ok(logs)
}

/// What a checkpoint says of a log, and whether its folder is where it should be. `None` if the log is gone; what is
/// left of it is removed then.
async fn state_of(
    dirs: &DataDirs,
    key: LogKey,
    authority: &Authority,
    folders: &BTreeSet<(usize, LogKey)>,
    set_aside: &BTreeSet<TopicId>,
) -> Result<Option<LogState>, RecoverError> {
    let checkpoint = &authority.checkpoint;
    let Some(dir) = dirs.index_of(&checkpoint.dir) else {
        let dir = Hex(&checkpoint.dir).to_string();
        return Err(RecoverError::MissingDir { key, dir });
    };
    let folder = dirs.dir(dir).folder(&key);
    let has_folder = folders.contains(&(dir, key));
    if !checkpoint.present {
        if has_folder {
            remove_folder(&folder).await?;
        }
        return Ok(None);
    }
    if !has_folder && set_aside.contains(&key.topic) {
        return Ok(None);
    }
    if checkpoint.place.position > 0 && !has_folder {
        return Err(Damage::new(&folder, 0, "the folder of a log is missing").into());
    }
    Ok(Some(LogState {
        key,
        dir,
        start: checkpoint.start,
        end: checkpoint.end,
        place: checkpoint.place,
        spliced: checkpoint.spliced,
        epochs: checkpoint.epochs.clone(),
        leader_epoch: checkpoint.epochs.latest().unwrap_or(0),
        is_new: false,
    }))
}

/// Applies a journal's entries of the logs that are due.
async fn read_through(
    journal: &FoundJournal,
    rebuilding: &mut BTreeMap<LogKey, (usize, Rebuild)>,
    is_due: impl Fn(&LogKey, usize) -> bool,
) -> Result<(), RecoverError> {
    let mut frames = journal.frames.as_slice();
    while let Some(first) = frames.first() {
        let file = first.file;
        let count = frames.iter().take_while(|frame| frame.file == file).count();
        let bytes = journals::read(&journal.files[file]).await?;
        for found in frames.split_off(..count).unwrap_or_default() {
            let frame = journals::parse(&bytes, found, &journal.files)?;
            let damaged =
                |what: &dyn std::fmt::Display| Damage::new(&journal.files[file], found.position, what);
            for item in frame.entries() {
                let (entry, payload) = item.map_err(|error| damaged(&error))?;
                let Some((of, rebuild)) = rebuilding.get_mut(&entry.key) else { continue };
                let sequence = found.header.sequence;
                if !is_due(&entry.key, *of) || sequence < rebuild.replay_from {
                    continue;
                }
                rebuild.apply(sequence, &entry.body, payload, &damaged).await?;
            }
        }
        // What a file has brought goes to the segments before the next one is read.
        for (_, rebuild) in rebuilding.values_mut() {
            rebuild.write_blocks().await?;
        }
    }
    Ok(())
}

/// Writes what is left, and makes everything durable: many at once.
async fn finish(rebuilds: Vec<Rebuild>) -> Result<Vec<LogState>, RecoverError> {
    let finished = Rc::new(RefCell::new(BTreeMap::new()));
    let collected = Rc::clone(&finished);
    for_each(SYNCS_IN_FLIGHT, rebuilds, move |rebuild: Rebuild| {
        let finished = Rc::clone(&collected);
        async move {
            let state = rebuild.finish().await?;
            finished.borrow_mut().insert(state.key, state);
            Ok::<_, RecoverError>(())
        }
    })
    .await?;
    Ok(finished.take().into_values().collect())
}
