//! A shard's part in epochs: what it is told of them, and what it says.

use super::{CONTROLLER, Dataflow, staging::Announcement};
use crate::{
    job::{Applied, Commits, message::EpochMessage},
    shard::Context,
};
use millrace_engine::{
    epoch::{Attempt, Control, Epoch, JobId, Mark, ParticipantAction, Refused, TaskDone},
    worker::{Inbound, Passed},
};

/// An epoch that ends for these jobs.
pub(super) struct Tick {
    epoch: Epoch,
    jobs: Vec<(JobId, Attempt)>,
}

impl Dataflow {
    /// Commits were applied on this shard.
    pub fn applied(&self, applied: Applied<'_>, commits: &Commits) {
        match applied {
            Applied::Entry(entry) => {
                self.0.participant.borrow_mut().committed(entry);
                self.deliver(Inbound::Committed { job: entry.job, epoch: entry.epoch });
            }
            Applied::Through(_) => self.tick(commits),
        }
    }

    /// Has sources put the barriers that are due. The coordinator counts an epoch as resolved when it is in the commit log,
    /// tables when it is applied here: a barrier that overtook the latter would be one too many for them.
    fn tick(&self, commits: &Commits) {
        while commits.is_ready()
            && let Some(Tick { epoch, jobs }) = self.0.held_ticks.borrow_mut().pop_front()
        {
            for (job, attempt) in jobs {
                self.0.participant.borrow_mut().tick(job, attempt, epoch);
                self.deliver(Inbound::Barrier { job, attempt, epoch });
            }
        }
    }

    pub(super) async fn listen(self, shard: Context) {
        loop {
            let (_, message) = self.0.epochs.recv().await;
            match message {
                // Readers that are still being answered wait for what was published; nothing else matters any more.
                EpochMessage::Control(Control::Committed(record)) => {
                    shard.partitions().commits().committed(record);
                }
                EpochMessage::Published => shard.partitions().commits().look(),
                _ if self.0.is_stopped.get() => {}
                EpochMessage::Control(control) => self.control(&shard, control),
                EpochMessage::Done(announcements) => self.announced(&shard, announcements),
                EpochMessage::Vote(vote) => shard.epochs().vote(&shard, vote),
                EpochMessage::Work(work) => shard.epochs().work(&shard, work),
                EpochMessage::Failed(failed) => shard.controller().failed(&shard, failed),
            }
        }
    }

    fn control(&self, shard: &Context, control: Control) {
        let commits = shard.partitions().commits();
        match control {
            Control::Begin(record) => self.begin(shard, record),
            Control::Tick { epoch, jobs } => {
                self.0.held_ticks.borrow_mut().push_back(Tick { epoch, jobs });
                self.tick(commits);
            }
            Control::Committed(record) => commits.committed(record),
            Control::End { job, attempt, after_commit } => {
                self.0.participant.borrow_mut().end(job, attempt);
                commits.end(job, attempt, after_commit, shard.partitions());
                let over = self.take(job, attempt);
                if let Some(mut running) = over {
                    running.cancel();
                }
                self.deliver(Inbound::Stop { job, attempt });
            }
        }
    }

    /// All tasks of this shard have passed a barrier: every participant is told what to wait for.
    pub(super) fn passed(&self, passed: Passed) {
        let mut guard = self.0.running.borrow_mut();
        let Some(running) = self.of(&mut guard, passed.job, passed.attempt) else { return };
        let is_of = |announcement: &Announcement| announcement.done.mark.epoch == passed.epoch;
        let (done, rest) = std::mem::take(&mut running.passed).into_iter().partition::<Vec<_>, _>(is_of);
        running.passed = rest;
        for participant in &running.participants {
            let for_it = done.iter().map(|announcement| announcement.for_shard(*participant, self.0.shard));
            self.send(*participant, EpochMessage::Done(for_it.collect()));
        }
    }

    pub(super) fn perform(&self, actions: Vec<ParticipantAction>) {
        for action in actions {
            match action {
                ParticipantAction::Vote(vote) => self.send(CONTROLLER, EpochMessage::Vote(vote)),
                ParticipantAction::Work(work) => self.send(CONTROLLER, EpochMessage::Work(work)),
                ParticipantAction::Fail { job, attempt, position } => {
                    let (topic, partition) = (position.topic, position.partition);
                    self.fail(
                        job,
                        attempt,
                        format!("partition {partition} of topic {topic} has another leader"),
                    );
                }
            }
        }
    }

    /// Tasks of a shard say what to wait for. Positions are of partitions that were read up to their high watermark: it
    /// is told along, so that none is waited for in vain.
    fn announced(&self, shard: &Context, announcements: Vec<TaskDone>) {
        for done in announcements {
            let mut actions = Vec::new();
            let Mark { job, attempt, .. } = done.mark;
            let positions = done.positions.clone();
            let mut participant = self.0.participant.borrow_mut();
            let announced = participant.announce(done, &mut actions);
            for position in positions {
                let (topic, partition) = (position.topic, position.partition);
                let (epoch, offset) = match shard.partitions().log(topic, partition) {
                    Ok(log) => (log.leader_epoch(), log.high_watermark()),
                    // Of another shard, which gave what it had below its high watermark.
                    Err(_) => (position.leader_epoch, position.offset),
                };
                participant.high_watermark(topic, partition, epoch, offset, &mut actions);
            }
            drop(participant);
            self.perform(actions);
            match announced {
                Ok(()) | Err(Refused::Stale { .. }) => {}
                Err(refused) => self.fail(job, attempt, refused.to_string()),
            }
        }
    }
}
