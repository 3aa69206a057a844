//! The end of a log: removed, or closed with its store.

use super::{CutError, LogInner, Status};
use crate::{
    error::IoError,
    fatal::FatalError,
    journal::entry::{Body, Checkpoint, Place},
    key::LogKind,
    signal::Done,
};
use millrace_runtime::fs;
use std::{path::Path, rc::Rc};

impl LogInner {
    /// Index of its data directory.
    pub(crate) fn dir(&self) -> usize {
        self.dir
    }

    /// Makes it durable that the log is no more, then removes its files. Recovery finishes what a crash leaves.
    pub(crate) async fn remove(self: &Rc<Self>) -> Result<(), CutError> {
        let _inside = self.door.enter().await;
        let journal = &self.shared.journal;
        let done = Rc::<Done>::default();
        {
            let state = &mut *self.state.borrow_mut();
            if !state.is_open() {
                return Err(CutError::Closed);
            }
            state.status = Status::Removing(Rc::clone(&done));
            let place = Place { segment: 0, position: 0 };
            let checkpoint = Checkpoint { present: false, place, ..self.present(state) };
            // Behind all other entries of the log, so that nothing of it is said after this.
            self.queue(state, Body::Checkpoint(checkpoint), None, Some(Rc::clone(&done)));
        }
        self.waiters.wake_all();
        journal.wait_for(&done).await?;
        let _io = self.io.enter().await;
        {
            let state = &mut *self.state.borrow_mut();
            state.status = Status::Removed;
            for mut segment in state.segments.remove_from(0) {
                self.shared.memory.give(segment.tail.clear());
            }
        }
        journal.forget_log(self.checkpoint_len.get());
        Ok(remove_folder(&self.folder).await?)
    }

    /// Removes the partition's folder if the partition's other log is not in it any more.
    pub(crate) async fn remove_partition_folder(&self) -> Result<(), IoError> {
        let folder = self.shared.dirs.dir(self.dir).folder(&self.key.with_kind(LogKind::Data));
        let is_there = fs::exists(&folder).await.map_err(IoError::on("look for", &folder))?;
        if is_there && fs::read_dir(&folder).await.map_err(IoError::on("list", &folder))?.is_empty() {
            return remove_folder(&folder).await;
        }
        Ok(())
    }

    /// Whether a checkpoint would tell anything new.
    pub(crate) fn has_changed(&self) -> bool {
        let entries = &self.state.borrow().entries;
        entries.made > entries.checkpointed
    }

    /// Appends are refused from now on.
    pub(crate) fn close(&self) {
        let mut state = self.state.borrow_mut();
        if state.is_open() {
            state.status = Status::Closed;
        }
    }

    /// The store is closed, or has failed: nobody waits any longer.
    pub(crate) fn shut(&self) {
        self.close();
        let held = std::mem::take(&mut self.state.borrow_mut().held);
        held.into_iter().filter_map(|pending| pending.done).for_each(|done| done.finish());
        self.waiters.wake_all();
        self.settled.notify();
    }

    /// Waits until the journal knows the log.
    pub(super) async fn wait_until_known(&self) -> Result<(), FatalError> {
        self.shared.journal.wait_for(&self.known).await
    }
}

/// Removes a log's folder, durably. What is staged for a partition lies in its folder and stays; the topic's folder
/// stays too, since another shard may be about to make a partition in it.
pub(crate) async fn remove_folder(folder: &Path) -> Result<(), IoError> {
    if !fs::exists(folder).await.map_err(IoError::on("look for", folder))? {
        return Ok(());
    }
    let entries = fs::read_dir(folder).await.map_err(IoError::on("list", folder))?;
    let has_staged = entries.iter().any(|entry| entry.is_dir);
    if !has_staged {
        fs::remove_dir_all(folder).await.map_err(IoError::on("remove", folder))?;
        let Some(parent) = folder.parent() else { return Ok(()) };
        return fs::sync_dir(parent).await.map_err(IoError::on("sync", parent));
    }
    for entry in entries.iter().filter(|entry| !entry.is_dir) {
        let path = folder.join(&entry.name);
        fs::remove_file(&path).await.map_err(IoError::on("remove", &path))?;
    }
    fs::sync_dir(folder).await.map_err(IoError::on("sync", folder))
}
