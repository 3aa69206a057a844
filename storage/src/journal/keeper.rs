//! The task that keeps files free: makes them as long as there may be more, and then frees the oldest.

use super::{Journal, LiveFile, State, Stop, checkpoint_entry, files};
use crate::{
    concurrent::for_each,
    fatal::FatalError,
    log::{Captured, Checkpointing, LogInner},
    signal::Done,
};
use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

/// Files that are kept free: one to be written next, and one so that making it free in time needs no luck.
const FREE_MIN: usize = 2;

impl Journal {
    /// Keeps files free until the journal is closed or fails.
    pub(crate) async fn keep(self: Rc<Self>) {
        let mut may_make = true;
        loop {
            let wait = self.chores.wait();
            let (free, made, oldest) = {
                let state = self.state.borrow();
                if state.stop != Stop::No || self.fatal.get().is_some() {
                    return;
                }
                (state.free.len(), state.files_made, state.live.len() > 1)
            };
            if free < FREE_MIN && may_make && made < self.options.journal_files {
                may_make = self.make_file(made).await;
            } else if free < FREE_MIN && oldest {
                if self.free_oldest().await.is_err() {
                    return;
                }
                may_make = true;
            } else {
                wait.await;
            }
        }
    }

    /// Makes one more file. Tells whether it worked: with fewer files the journal is smaller, nothing else.
    async fn make_file(&self, number: usize) -> bool {
        match files::make(&self.folder, number, self.file_len).await {
            Ok(file) => {
                let mut state = self.state.borrow_mut();
                state.free.push_back(file);
                state.files_made += 1;
            }
            Err(error) => {
                tracing::warn!(%error, "the journal goes on with fewer files");
                return false;
            }
        }
        self.work.notify();
        self.room.notify();
        true
    }

    /// Brings what the older half of the files holds into the segments, and frees them.
    async fn free_oldest(self: &Rc<Self>) -> Result<(), FatalError> {
        let (through, needed_from, logs) = self.choose();
        self.checkpoint(logs).await?;
        loop {
            let wait = self.chores.wait();
            {
                let mut state = self.state.borrow_mut();
                if state.live_told >= needed_from {
                    break;
                }
                if state.live_from < needed_from {
                    state.live_from = needed_from;
                    state.tell = true;
                    self.work.notify();
                }
            }
            self.fatal.check()?;
            wait.await;
        }
        {
            let mut state = self.state.borrow_mut();
            while state.live.front().is_some_and(|file| file.ordinal <= through) {
                let freed = state.live.pop_front().map(|LiveFile { file, .. }| file);
                state.free.extend(freed);
                state.stats.files_freed += 1;
            }
        }
        self.work.notify();
        self.room.notify();
        Ok(())
    }

    /// The last file to be freed, the first sequence that is needed then, and the logs that stand in the way.
    fn choose(&self) -> (u64, u64, Vec<Rc<LogInner>>) {
        let state = self.state.borrow();
        // The one that is being written stays.
        let count = state.live.len().div_ceil(2).min(state.live.len() - 1);
        let through = state.live[count - 1].ordinal;
        let mut logs = BTreeMap::new();
        for log in state.live.range(..count).flat_map(|file| &file.touched).filter_map(std::rc::Weak::upgrade)
        {
            if log.needs_file(through) {
                logs.insert(log.key, log);
            }
        }
        (through, state.live[count].first_sequence, logs.into_values().collect())
    }

    /// Brings logs into their segments, and journals a checkpoint of each. All checkpoints are queued at once, so that
    /// they fit the reserve.
    pub(crate) async fn checkpoint(self: &Rc<Self>, mut logs: Vec<Rc<LogInner>>) -> Result<(), FatalError> {
        while !logs.is_empty() {
            let flushed = self.flush(logs).await?;
            let mut waiting = Vec::new();
            logs = Vec::new();
            for (log, captured) in flushed {
                match log.checkpoint_of(&captured) {
                    Checkpointing::Ready(checkpoint) => {
                        let done = Rc::new(Done::default());
                        self.push_maintenance(checkpoint_entry(&log, checkpoint, &done));
                        waiting.push((log, captured, done));
                    }
                    Checkpointing::Removing(done) => waiting.push((log, captured, done)),
                    Checkpointing::Stale => logs.push(log),
                    Checkpointing::Removed => {}
                }
            }
            for (log, captured, done) in waiting {
                self.wait_for(&done).await?;
                log.on_checkpoint(&captured);
            }
        }
        Ok(())
    }

    /// Brings logs into their segments, many at once.
    async fn flush(&self, logs: Vec<Rc<LogInner>>) -> Result<Vec<(Rc<LogInner>, Captured)>, FatalError> {
        let flushed = Rc::new(RefCell::new(BTreeMap::new()));
        let collected = Rc::clone(&flushed);
        for_each(self.options.syncs_in_flight, logs, move |log: Rc<LogInner>| {
            let flushed = Rc::clone(&collected);
            async move {
                if let Some(captured) = log.flush_all().await? {
                    flushed.borrow_mut().insert(log.key, (log, captured));
                }
                Ok(())
            }
        })
        .await?;
        Ok(flushed.take().into_values().collect())
    }

    /// Waits until nothing waits for the journal, and has the keeper end. Nothing more is appended meanwhile.
    ///
    /// # Errors
    /// If the store fails before the end.
    pub(crate) async fn drain(&self) -> Result<(), FatalError> {
        self.wait_until(|state| state.queues.is_empty() && state.held_bytes == 0).await?;
        self.state.borrow_mut().stop = Stop::Ending;
        self.chores.notify();
        Ok(())
    }

    /// Writes everything out, then two closing frames: the second tells that the first is durable. The keeper has ended.
    ///
    /// # Errors
    /// If the store fails before the end.
    pub(crate) async fn close(self: &Rc<Self>, logs: Vec<Rc<LogInner>>) -> Result<(), FatalError> {
        self.checkpoint(logs).await?;
        self.state.borrow_mut().stop = Stop::Closing(2);
        self.work.notify();
        self.wait_until(|state| state.stop == Stop::Stopped).await
    }

    async fn wait_until(&self, holds: impl Fn(&State) -> bool) -> Result<(), FatalError> {
        loop {
            let wait = self.chores.wait();
            self.fatal.check()?;
            if holds(&self.state.borrow()) {
                return Ok(());
            }
            wait.await;
        }
    }
}
