//! A job kept running: started again when it fails, until it fails too often.
//!
//! What a failed attempt leaves is a reason, and a wait that doubles each time. Flink tries for ever by default (its exponential
//! delay has no limit of attempts): what fails there is mostly the world around a job. Here a job has nothing around it but
//! this server, whose full disks and slow peers it waits for without failing; what is left is its own code at one record, which
//! fails again. So a job that fails some times in a row is given up, durably and with the reason. One that has gone on for long
//! enough after its first commit was well: its failures are counted from one again, and if each of them is so far from the last
//! it is started again for ever, as in Flink. What comes before the first commit does not count: an attempt that reads back its
//! state for an hour, and fails at the record that the last one failed at, was not well.

use super::{
    controller::{Controller, JobError, LastFailure, Supervision},
    deploy::begin,
    failure,
};
use crate::{
    cluster::{Image, JobState, MetadataRecord, TopicError},
    config::DataflowSettings,
    shard::Context,
};
use futures_util::future::{Either, select};
use millrace_engine::epoch::{Attempt, JobId};
use millrace_runtime::{Instant, Queue, sleep, spawn_into, unix_millis};
use std::{
    cell::{Cell, RefCell},
    pin::pin,
    rc::Rc,
    time::Duration,
};
use tokio::sync::Notify;

/// The longest wait before a job is started again.
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// How often it is tried again to write that a job has failed, when the disk is full.
const GIVE_UP_RETRY: Duration = Duration::from_secs(1);

/// A job that runs, waits to be started again, or can't run in this binary.
#[derive(Default)]
pub(super) struct Supervised {
    pub(super) is_stopping: Cell<bool>,
    /// This binary can't run it; another may.
    is_refused: Cell<bool>,
    attempt: Cell<Option<Attempt>>,
    /// When the attempt first committed something.
    first_commit: Cell<Option<Instant>>,
    failure: RefCell<Option<LastFailure>>,
    restarts: Cell<u32>,
    next_start_ms: Cell<Option<i64>>,
    /// Places on each ring between shards.
    ring_places: Cell<usize>,
    /// It has failed, or is to stop.
    pub(super) changed: Notify,
}

impl Supervised {
    /// A job that is to be kept running.
    pub(super) fn new(ring_places: usize) -> Rc<Self> {
        Rc::new(Self { ring_places: Cell::new(ring_places), ..Self::default() })
    }

    /// A job that should run and can't in this binary. It stays as it is: the binary that has it will run it.
    pub(super) fn refused(reason: String) -> Rc<Self> {
        let refused = Rc::new(Self::default());
        refused.refuse(reason);
        refused
    }

    fn refuse(&self, reason: String) {
        self.is_refused.set(true);
        self.ring_places.set(0);
        self.fail(reason);
    }

    pub(super) fn ring_places(&self) -> usize {
        self.ring_places.get()
    }

    /// Keeps why it does not run, or not any more.
    pub(super) fn fail(&self, reason: String) {
        self.failure.replace(Some(LastFailure { reason, at_ms: unix_millis() }));
    }

    /// An attempt has begun.
    fn begin(&self, attempt: Attempt) {
        self.attempt.set(Some(attempt));
        self.first_commit.set(None);
    }

    /// Whether this is the attempt that is alive.
    pub(super) fn is_alive(&self, attempt: Attempt) -> bool {
        self.attempt.get() == Some(attempt)
    }

    /// The attempt that is alive is not any more.
    pub(super) fn end(&self) -> Option<Attempt> {
        self.attempt.take()
    }

    /// Something of an attempt was committed.
    pub(super) fn committed(&self, attempt: Attempt) {
        if self.is_alive(attempt) && self.first_commit.get().is_none() {
            self.first_commit.set(Some(Instant::now()));
        }
    }

    /// How long the last attempt has been well.
    fn well(&self) -> Duration {
        self.first_commit.take().map_or(Duration::ZERO, Instant::elapsed)
    }

    pub(super) fn supervision(&self) -> Supervision {
        Supervision {
            attempt: self.attempt.get(),
            is_refused: self.is_refused.get(),
            restarts: self.restarts.get(),
            last_failure: self.failure.borrow().clone(),
            next_start_ms: self.next_start_ms.get(),
        }
    }
}

/// How long a job waits before its next attempt, if there is to be one. `well` is how long the last one was well, `restarts` how
/// many there were in a row; it is counted on.
fn next_wait(settings: &DataflowSettings, well: Duration, restarts: &Cell<u32>) -> Option<Duration> {
    if well >= Duration::from_millis(settings.restart_reset_ms) {
        restarts.set(0);
    }
    let before = restarts.get();
    if before >= settings.restarts_max {
        return None;
    }
    restarts.set(before + 1);
    let millis = settings.restart_ms.saturating_mul(1 << before.min(32));
    Some(Duration::from_millis(millis).min(BACKOFF_MAX))
}

impl Controller {
    /// Keeps a job running, for as long as it should.
    pub(super) fn supervise(&self, shard: &Context, id: JobId, ring_places: usize) {
        let supervised = Supervised::new(ring_places);
        self.insert(id, Rc::clone(&supervised));
        drop(spawn_into(Queue::Control, self.clone().keep_running(shard.clone(), id, supervised)));
    }

    /// Starts a job, and starts it again when it fails, until it is stopped or fails too often.
    async fn keep_running(self, shard: Context, id: JobId, supervised: Rc<Supervised>) {
        let settings = shard.options().config.dataflow.clone();
        loop {
            supervised.next_start_ms.set(None);
            match begin(&shard, id).await {
                Ok(attempt) if supervised.is_stopping.get() => {
                    return shard.epochs().end(&shard, id, attempt);
                }
                Ok(attempt) => {
                    supervised.begin(attempt);
                    supervised.changed.notified().await;
                }
                Err(error @ (JobError::Registry(_) | JobError::StateChanged(_))) => {
                    tracing::error!(job = %id, %error, "the job can't run in this binary");
                    return supervised.refuse(failure::bounded(error.to_string()));
                }
                Err(error) => {
                    let reason = failure::bounded(error.to_string());
                    tracing::warn!(job = %id, reason, "the job can't start");
                    supervised.fail(reason);
                }
            }
            if supervised.is_stopping.get() {
                return;
            }
            let Some(wait) = next_wait(&settings, supervised.well(), &supervised.restarts) else {
                return self.give_up(&shard, id, &supervised).await;
            };
            let wait_ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
            supervised.next_start_ms.set(Some(unix_millis().saturating_add(wait_ms)));
            match select(pin!(sleep(wait)), pin!(supervised.changed.notified())).await {
                Either::Left(_) => {}
                Either::Right(_) if supervised.is_stopping.get() => return,
                Either::Right(_) => {}
            }
        }
    }

    async fn give_up(&self, shard: &Context, id: JobId, supervised: &Rc<Supervised>) {
        let reason = supervised.failure.borrow().clone().unwrap_or_default().reason;
        tracing::error!(job = %id, reason, "the job has failed too often: it is started no more");
        loop {
            let state = JobState::Failed { reason: reason.clone() };
            let fail = move |image: &Image| match image.job(id.0).map(|job| &job.state) {
                Some(JobState::Running) => Ok(MetadataRecord::JobState { id: id.0, state }),
                // It was stopped meanwhile.
                _ => Err(TopicError::Unknown),
            };
            match shard.change(fail).await {
                Ok(_) | Err(TopicError::Unknown) => break,
                Err(error) => {
                    tracing::error!(job = %id, %error, "that the job has failed can't be written yet");
                    sleep(GIVE_UP_RETRY).await;
                }
            }
            if supervised.is_stopping.get() {
                return;
            }
        }
        // It may have been started anew by now.
        self.forget(id, supervised);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn waits_ms(settings: &DataflowSettings, restarts: &Cell<u32>, well_ms: &[u64]) -> Vec<Option<u128>> {
        let well = well_ms.iter().map(|ms| Duration::from_millis(*ms));
        well.map(|well| next_wait(settings, well, restarts).map(|wait| wait.as_millis())).collect()
    }

    #[test]
    fn failures_in_a_row_wait_longer_each_time_and_end() {
        let (settings, restarts) = (Config::default().dataflow, Cell::new(0));
        let waits = waits_ms(&settings, &restarts, &[0, 59_999, 10, 0]);
        assert_eq!(waits, [Some(500), Some(1000), Some(2000), None]);
    }

    #[test]
    fn failures_far_from_each_other_never_end() {
        let (settings, restarts) = (Config::default().dataflow, Cell::new(0));
        assert_eq!(waits_ms(&settings, &restarts, &[60_000; 20]), [Some(500); 20]);
        assert_eq!(restarts.get(), 1);
        let settings = DataflowSettings { restart_reset_ms: 100_000, ..settings };
        assert_eq!(waits_ms(&settings, &restarts, &[60_000; 3]), [Some(1000), Some(2000), None]);
    }

    #[test]
    fn without_a_limit_the_wait_stays_bounded() {
        let settings = DataflowSettings { restarts_max: u32::MAX, ..Config::default().dataflow };
        let waits = waits_ms(&settings, &Cell::new(0), &[0; 100]);
        assert_eq!(waits[6..9], [Some(32_000), Some(60_000), Some(60_000)]);
        assert_eq!(waits[99], Some(60_000));
    }
}
