//! The receiving side: which frame is looked at next, what the watermark of an input is, and the alignment of barriers.

use super::{EdgeId, Frame, Mark};
use crate::epoch::Epoch;
use millrace_runtime::ShardId;
use std::collections::VecDeque;

/// All inputs of a task.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    inputs: Vec<Input>,
    /// The channel to look at first, over all inputs, so that none starves the others.
    next: usize,
    /// Frames consumed, whose credits are to be returned.
    pub(crate) consumed: Vec<Frame>,
}

/// One input reads one edge, or several of the same type (a union).
#[derive(Debug)]
struct Input {
    channels: Vec<RecvChannel>,
    /// The smallest watermark of the channels that are not idle; never falls.
    watermark: i64,
    idle: bool,
}

#[derive(Debug)]
struct RecvChannel {
    edge: EdgeId,
    from: ShardId,
    queue: VecDeque<Frame>,
    /// Where the next row of the first frame starts.
    at: usize,
    /// The next mark of the first frame.
    mark: usize,
    watermark: i64,
    idle: bool,
    ended: bool,
    /// The barrier that the channel waits behind.
    barrier: Option<Epoch>,
}

/// What is to be done next with a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Give it rows of a channel's first frame, up to a position.
    Rows { input: usize, channel: usize, to: usize },
    /// The watermark of an input rose.
    Watermark { input: usize, watermark: i64 },
    /// All inputs became idle, or one of them active again.
    Idle(bool),
    /// Every channel has come to this barrier.
    Barrier(Epoch),
    /// No record follows on an input.
    End { input: usize },
}

impl Gate {
    /// Adds an input that reads these channels; returns its index.
    pub(crate) fn add(&mut self, channels: impl IntoIterator<Item = (EdgeId, ShardId)>) -> usize {
        let channels = channels.into_iter().map(|(edge, from)| RecvChannel {
            edge,
            from,
            queue: VecDeque::new(),
            at: 0,
            mark: 0,
            watermark: i64::MIN,
            idle: false,
            ended: false,
            barrier: None,
        });
        self.inputs.push(Input { channels: channels.collect(), watermark: i64::MIN, idle: false });
        self.inputs.len() - 1
    }

    pub(crate) fn inputs(&self) -> usize {
        self.inputs.len()
    }

    /// The watermark of an input.
    pub(crate) fn watermark(&self, input: usize) -> i64 {
        self.inputs[input].watermark
    }

    /// Sets the watermark that an input had when its state was saved.
    pub(crate) fn restore(&mut self, input: usize, watermark: i64) {
        let input = &mut self.inputs[input];
        input.watermark = watermark;
        for channel in &mut input.channels {
            channel.watermark = watermark;
        }
    }

    /// Takes in a frame. Frames of an edge that the task does not read are a bug of the sender.
    pub(crate) fn receive(&mut self, frame: Frame) {
        let (edge, from) = (frame.route.edge, frame.route.from);
        let channel = self
            .inputs
            .iter_mut()
            .flat_map(|input| &mut input.channels)
            .find(|channel| channel.edge == edge && channel.from == from)
            .expect("frames come on the edges of the plan, from the shards of the placement");
        channel.queue.push_back(frame);
    }

    /// Whether something could be done.
    pub(crate) fn is_ready(&self) -> bool {
        self.inputs.iter().flat_map(|input| &input.channels).any(RecvChannel::is_ready)
    }

    /// Frames waiting, over all channels.
    pub(crate) fn queued(&self) -> usize {
        self.inputs.iter().flat_map(|input| &input.channels).map(|channel| channel.queue.len()).sum()
    }

    /// Drops all frames and forgets barriers: a new attempt begins.
    pub(crate) fn reset(&mut self) {
        for input in &mut self.inputs {
            (input.watermark, input.idle) = (i64::MIN, false);
            for channel in &mut input.channels {
                channel.queue.clear();
                (channel.at, channel.mark, channel.watermark) = (0, 0, i64::MIN);
                (channel.idle, channel.ended, channel.barrier) = (false, false, None);
            }
        }
    }

    /// The frame that a turn of rows is about, and where in it to begin.
    pub(crate) fn rows(&self, input: usize, channel: usize) -> (&Frame, usize) {
        let channel = &self.inputs[input].channels[channel];
        (channel.queue.front().expect("a turn names a channel that has a frame"), channel.at)
    }

    /// Notes how far the rows of a channel's first frame were taken. The frame stays, for the task to be called again.
    pub(crate) fn keep(&mut self, input: usize, channel: usize, at: usize) {
        self.inputs[input].channels[channel].at = at;
    }

    /// Notes how far the rows of a channel's first frame were taken, and that the task holds nothing of them back.
    pub(crate) fn advance(&mut self, input: usize, channel: usize, at: usize) {
        self.inputs[input].channels[channel].at = at;
        self.release(input, channel);
    }

    /// What is to be done next; nothing if every channel is empty or waits behind a barrier.
    pub(crate) fn turn(&mut self) -> Option<Turn> {
        let count: usize = self.inputs.iter().map(|input| input.channels.len()).sum();
        let mut looked = 0;
        while looked < count {
            let (input, channel) = self.locate(self.next);
            if !self.inputs[input].channels[channel].is_ready() {
                self.next = (self.next + 1) % count;
                looked += 1;
                continue;
            }
            if let Some(turn) = self.turn_of(input, channel) {
                return Some(turn);
            }
            looked = 0;
        }
        None
    }

    fn locate(&self, mut index: usize) -> (usize, usize) {
        for (input, channels) in self.inputs.iter().map(|input| input.channels.len()).enumerate() {
            if index < channels {
                return (input, index);
            }
            index -= channels;
        }
        unreachable!("an index below the number of channels")
    }

    /// Handles the next mark of a ready channel, or hands out its next rows.
    fn turn_of(&mut self, input: usize, index: usize) -> Option<Turn> {
        let channel = &mut self.inputs[input].channels[index];
        let frame = channel.queue.front().expect("a ready channel has a frame");
        let next = frame.mark(channel.mark);
        let to = next.map_or(frame.bytes(), |(at, _)| at);
        if channel.at < to {
            return Some(Turn::Rows { input, channel: index, to });
        }
        // A frame is released with its last row or mark, so one that is here at its end has a mark.
        let Some((_, mark)) = next else {
            self.release(input, index);
            return None;
        };
        channel.mark += 1;
        let turn = match mark {
            Mark::Watermark(watermark) => {
                channel.watermark = channel.watermark.max(watermark);
                self.combine(input)
            }
            Mark::Idle | Mark::Active => {
                channel.idle = mark == Mark::Idle;
                self.status(input)
            }
            Mark::Barrier(epoch) => {
                channel.barrier = Some(epoch);
                self.align(epoch)
            }
            Mark::End => {
                channel.ended = true;
                let ended = self.inputs[input].channels.iter().all(|channel| channel.ended);
                ended.then_some(Turn::End { input })
            }
        };
        self.release(input, index);
        if !matches!(turn, Some(Turn::Rows { .. })) {
            self.next =
                self.next.wrapping_add(1) % self.inputs.iter().map(|i| i.channels.len()).sum::<usize>();
        }
        turn
    }

    /// Puts the first frame of a channel aside if nothing of it is left.
    fn release(&mut self, input: usize, index: usize) {
        let channel = &mut self.inputs[input].channels[index];
        if let Some(frame) = channel
            .queue
            .pop_front_if(|frame| channel.at == frame.bytes() && frame.mark(channel.mark).is_none())
        {
            (channel.at, channel.mark) = (0, 0);
            self.consumed.push(frame);
        }
    }

    fn combine(&mut self, index: usize) -> Option<Turn> {
        let input = &mut self.inputs[index];
        let active = input.channels.iter().filter(|channel| !channel.idle);
        let watermark = active.map(|channel| channel.watermark).min()?;
        if watermark <= input.watermark {
            return None;
        }
        input.watermark = watermark;
        Some(Turn::Watermark { input: index, watermark })
    }

    /// A channel became idle or active: either the input's watermark rises, or the task's idleness changes, or neither.
    /// Both can't be: when the last channel becomes idle there is none left to raise the watermark.
    fn status(&mut self, index: usize) -> Option<Turn> {
        let before = self.inputs.iter().all(|input| input.idle);
        let input = &mut self.inputs[index];
        input.idle = input.channels.iter().all(|channel| channel.idle);
        let now = self.inputs.iter().all(|input| input.idle);
        if before != now { Some(Turn::Idle(now)) } else { self.combine(index) }
    }

    fn align(&mut self, epoch: Epoch) -> Option<Turn> {
        let all = || self.inputs.iter().flat_map(|input| &input.channels);
        if all().any(|channel| channel.barrier != Some(epoch)) {
            debug_assert!(all().all(|channel| channel.barrier.is_none_or(|other| other == epoch)));
            return None;
        }
        for channel in self.inputs.iter_mut().flat_map(|input| &mut input.channels) {
            channel.barrier = None;
        }
        Some(Turn::Barrier(epoch))
    }
}

impl RecvChannel {
    fn is_ready(&self) -> bool {
        self.barrier.is_none() && !self.queue.is_empty()
    }
}
