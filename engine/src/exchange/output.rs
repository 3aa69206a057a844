//! The sending side of an edge: partitioning, buffers, credits and backlog.

use super::{ChangeKind, EdgeId, ExchangeOptions, Frame, Mark, Partitioning, Route, frame::FrameBuffer};
use crate::{
    data::{Encode, Scratch},
    epoch::{Attempt, JobId},
    failure::{Cause, fail},
    key::{HashedKey, Placement},
};
use millrace_runtime::ShardId;
use std::{collections::VecDeque, sync::Arc};

/// A returned buffer that grew beyond this many frames' size is not kept.
const SPARE_FRAMES_MAX: usize = 4;

/// What the outputs of one task share.
#[derive(Debug)]
pub(crate) struct SendState {
    pub(crate) job: JobId,
    pub(crate) attempt: Attempt,
    pub(crate) shard: ShardId,
    pub(crate) options: ExchangeOptions,
    pub(crate) scratch: Scratch,
    /// Frames that have their credit, to be carried off.
    pub(crate) sent: Vec<Frame>,
    /// How many channels have a backlog.
    pub(crate) backlogged: usize,
    /// Bytes of all backlogs.
    spilled: usize,
}

impl SendState {
    pub(crate) fn new(job: JobId, attempt: Attempt, shard: ShardId, options: ExchangeOptions) -> Self {
        Self {
            job,
            attempt,
            shard,
            options,
            scratch: Scratch::new(),
            sent: Vec::new(),
            backlogged: 0,
            spilled: 0,
        }
    }
}

/// One edge out of a task.
#[derive(Debug)]
pub(crate) struct EdgeOutput {
    edge: EdgeId,
    partitioning: Partitioning,
    placement: Arc<Placement>,
    /// The channels, by ascending shard: all of the placement for a keyed edge, the own one for a local one.
    channels: Vec<SendChannel>,
    /// The channel of each shard, by its number.
    by_shard: Box<[u16]>,
    /// Records sent since the start.
    pub(crate) records: u64,
}

#[derive(Debug)]
struct SendChannel {
    to: ShardId,
    open: FrameBuffer,
    credits: u32,
    backlog: VecDeque<Frame>,
    /// Whether the open frame is to be sent as soon as there is a credit.
    flush: bool,
    spare: Vec<Vec<u8>>,
}

impl EdgeOutput {
    pub(crate) fn new(
        edge: EdgeId,
        partitioning: Partitioning,
        placement: &Arc<Placement>,
        state: &SendState,
    ) -> Self {
        let targets = match partitioning {
            Partitioning::Keyed => placement.shards(),
            Partitioning::Local => std::slice::from_ref(&state.shard),
        };
        let channels = targets.iter().map(|&to| SendChannel {
            to,
            open: FrameBuffer::default(),
            credits: state.options.credits,
            backlog: VecDeque::new(),
            flush: false,
            spare: Vec::new(),
        });
        let channels: Vec<_> = channels.collect();
        let mut by_shard = vec![0; targets.last().map_or(0, |shard| shard.index() + 1)];
        for (index, shard) in targets.iter().enumerate() {
            by_shard[shard.index()] = index as u16;
        }
        Self {
            edge,
            partitioning,
            placement: Arc::clone(placement),
            channels,
            by_shard: by_shard.into(),
            records: 0,
        }
    }

    pub(crate) const fn partitioning(&self) -> Partitioning {
        self.partitioning
    }

    #[inline]
    fn channel_of(&self, key: Option<&HashedKey<'_>>) -> usize {
        match key {
            Some(key) if self.partitioning == Partitioning::Keyed => {
                usize::from(self.by_shard[self.placement.shard_of(key.hash()).index()])
            }
            _ => 0,
        }
    }

    /// Appends a record to the frame of the channel that its key belongs to. Always succeeds: see the module's second law.
    #[inline]
    pub(crate) fn push<T: Encode + ?Sized>(
        &mut self,
        timestamp: i64,
        key: Option<HashedKey<'_>>,
        value: &T,
        state: &mut SendState,
    ) {
        let index = self.channel_of(key.as_ref());
        let channel = &mut self.channels[index];
        if let Err(error) = channel.open.push(timestamp, key, value, &mut state.scratch) {
            fail(Cause::NotArchivable(error.to_string()));
        }
        self.records += 1;
        if channel.open.bytes() >= state.options.frame_bytes {
            self.cut(index, state);
        }
    }

    /// The same for bytes, which the reader checks.
    pub(crate) fn push_unchecked(
        &mut self,
        timestamp: i64,
        key: Option<HashedKey<'_>>,
        kind: ChangeKind,
        value: &[u8],
        state: &mut SendState,
    ) {
        let index = self.channel_of(key.as_ref());
        let channel = &mut self.channels[index];
        channel.open.push_unchecked(timestamp, key, kind, value);
        self.records += 1;
        if channel.open.bytes() >= state.options.frame_bytes {
            self.cut(index, state);
        }
    }

    /// Puts a mark on every channel. A barrier or the end goes at once, other marks with the next records or flush.
    pub(crate) fn mark(&mut self, mark: Mark, state: &mut SendState) {
        for channel in &mut self.channels {
            channel.open.mark(mark);
        }
        if matches!(mark, Mark::Barrier(_) | Mark::End) {
            self.flush(state);
        }
    }

    /// Sends what is open, or has it sent with the next credit.
    pub(crate) fn flush(&mut self, state: &mut SendState) {
        for index in 0..self.channels.len() {
            let channel = &mut self.channels[index];
            if channel.open.is_empty() {
                continue;
            }
            if channel.credits > 0 && channel.backlog.is_empty() {
                self.cut(index, state);
            } else {
                channel.flush = true;
            }
        }
    }

    /// Takes back a credit of the channel to `from`, with the emptied buffer.
    pub(crate) fn credit(&mut self, from: ShardId, buffer: Vec<u8>, state: &mut SendState) {
        let index = usize::from(self.by_shard[from.index()]);
        let channel = &mut self.channels[index];
        channel.credits += 1;
        if buffer.capacity() <= SPARE_FRAMES_MAX * state.options.frame_bytes {
            channel.spare.push(buffer);
        }
        if let Some(frame) = channel.backlog.pop_front() {
            channel.credits -= 1;
            state.spilled -= frame.bytes();
            state.sent.push(frame);
            if channel.backlog.is_empty() {
                state.backlogged -= 1;
            }
        } else if channel.flush {
            self.cut(index, state);
        }
    }

    /// Drops everything on the way and takes all credits back: a new attempt begins.
    pub(crate) fn reset(&mut self, state: &mut SendState) {
        for channel in &mut self.channels {
            if !channel.backlog.is_empty() {
                state.backlogged -= 1;
            }
            state.spilled -= channel.backlog.iter().map(Frame::bytes).sum::<usize>();
            channel.backlog.clear();
            channel.open = FrameBuffer::default();
            channel.credits = state.options.credits;
            channel.flush = false;
        }
    }

    /// Ends the open frame of a channel: it is sent if there is a credit, else it joins the backlog.
    #[cold]
    fn cut(&mut self, index: usize, state: &mut SendState) {
        let channel = &mut self.channels[index];
        let route = Route {
            job: state.job,
            attempt: state.attempt,
            edge: self.edge,
            from: state.shard,
            to: channel.to,
        };
        let next = channel
            .spare
            .pop()
            .unwrap_or_else(|| Vec::with_capacity(state.options.frame_bytes + state.options.frame_bytes / 4));
        let frame = channel.open.seal(route, next);
        channel.flush = false;
        if channel.credits > 0 && channel.backlog.is_empty() {
            channel.credits -= 1;
            state.sent.push(frame);
            return;
        }
        state.spilled += frame.bytes();
        if channel.backlog.is_empty() {
            state.backlogged += 1;
        }
        channel.backlog.push_back(frame);
        if state.spilled > state.options.spill_bytes {
            fail(Cause::SpillExceeded { limit: state.options.spill_bytes });
        }
    }
}
