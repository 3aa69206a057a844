//! The task that puts frames together and writes them, one after the other.

use super::{
    Journal, State, Stop,
    entry::Body,
    files::JournalFile,
    frame::{self, FRAME_HEADER_LEN, FRAME_LEN_MAX, FrameHeader},
    queues::Pending,
};
use crate::{fatal::FatalError, options::Durability};
use bytes::BufMut;
use millrace_record::HEADER_LEN;
use millrace_runtime::{AlignedBuf, Instant, random_bytes};
use std::rc::Rc;

/// What the writer does next.
enum Next {
    /// A frame stands in the buffer.
    Frame(Frame),
    /// The file is full.
    Switch,
    /// Nothing can be written now.
    Wait,
    /// The journal is closed.
    End,
}

/// A frame that stands in the buffer.
struct Frame {
    file: JournalFile,
    position: u64,
    len: usize,
    sequence: u64,
    live_from: u64,
    sync: bool,
    /// Frames before it were not synced: this one's sync must cover them.
    after_unsynced: bool,
}

impl Journal {
    /// Writes frames until the journal is closed or fails.
    pub(crate) async fn write(self: Rc<Self>) {
        let mut buffer = AlignedBuf::registered(FRAME_LEN_MAX);
        let mut taken = Vec::new();
        loop {
            let wait = self.work.wait();
            let next = self.prepare(&mut buffer, &mut taken);
            let written = match next {
                Next::Frame(frame) => {
                    let began = Instant::now();
                    let (result, returned) = self.put(&frame, buffer).await;
                    self.state.borrow_mut().stats.writes.record(began.elapsed());
                    buffer = returned;
                    result.map(|()| self.complete(&frame, &mut taken))
                }
                Next::Switch => self.switch().await,
                Next::Wait => {
                    wait.await;
                    Ok(())
                }
                Next::End => {
                    self.chores.notify();
                    return;
                }
            };
            if written.is_err() {
                // Raised already; whoever waits is told by the store.
                for pending in taken {
                    if let Some(done) = pending.done {
                        done.finish();
                    }
                }
                return;
            }
        }
    }

    /// Takes what goes into the next frame and writes it into the buffer.
    fn prepare(&self, buffer: &mut AlignedBuf, taken: &mut Vec<Pending>) -> Next {
        let state = &mut *self.state.borrow_mut();
        let closing = match state.stop {
            Stop::Stopped => return Next::End,
            Stop::Closing(left) if state.queues.is_empty() => {
                if left == 0 {
                    state.stop = Stop::Stopped;
                    return Next::End;
                }
                true
            }
            _ => false,
        };
        if state.queues.is_empty() && !state.tell && !closing {
            return Next::Wait;
        }
        let frame_len = state.remaining().min(FRAME_LEN_MAX as u64) as usize;
        let class_len = state.class_room(self).min(FRAME_LEN_MAX as u64) as usize;
        state.queues.take(frame_len, class_len, self.options.frame_scope, taken);
        if (taken.is_empty() && !state.tell && !closing) || frame_len < FRAME_HEADER_LEN {
            // What waits does not fit what is left of the file.
            if !state.free.is_empty() {
                return Next::Switch;
            }
            state.stats.stalls += 1;
            self.chores.notify();
            return Next::Wait;
        }
        Next::Frame(self.encode(state, closing, buffer, taken))
    }

    fn encode(&self, state: &mut State, closing: bool, buffer: &mut [u8], taken: &[Pending]) -> Frame {
        let mut out = &mut buffer[FRAME_HEADER_LEN..];
        for pending in taken {
            pending.entry.encode(&mut out);
        }
        let entries_len = FRAME_LEN_MAX - FRAME_HEADER_LEN - out.len();
        for pending in taken {
            if let (Body::Append { .. }, Some(batch)) = (&pending.entry.body, &pending.batch) {
                out.put_slice(&batch.as_ref()[HEADER_LEN..]);
            }
        }
        let used = FRAME_LEN_MAX - out.len();
        let header = FrameHeader {
            run: state.run,
            journal: self.id,
            generation: self.generation,
            sequence: state.sequence + 1,
            durable_through: state.durable_through,
            live_from: state.live_from,
            previous: state.checksum,
            block: (state.position / millrace_runtime::BLOCK_SIZE as u64) as u32,
            entries_len: entries_len as u32,
            payloads_len: (used - FRAME_HEADER_LEN - entries_len) as u32,
            closing,
        };
        let len = header.padded_len();
        buffer[used..len].fill(0);
        state.checksum = header.seal(buffer);
        debug_assert_eq!(frame::Frame::parse(&buffer[..len]).err(), None, "recovery reads what is written");
        state.sequence = header.sequence;
        state.tell = false;
        let needs_sync =
            |pending: &Pending| pending.number == 0 || pending.log.options().durability == Durability::Fsync;
        let tells = taken.is_empty() || state.live_from > state.live_told;
        let sync = tells || taken.iter().any(needs_sync);
        let frame = Frame {
            file: state.current().file.clone(),
            position: state.position,
            len,
            sequence: header.sequence,
            live_from: header.live_from,
            sync,
            after_unsynced: state.unsynced,
        };
        state.position += len as u64;
        state.unsynced = !sync;
        state.stats.frames += 1;
        state.stats.bytes += len as u64;
        state.stats.entries += taken.len() as u64;
        if let (true, Stop::Closing(left)) = (closing, state.stop) {
            state.stop = Stop::Closing(left - 1);
        }
        state.note_framed(header.sequence, taken);
        frame
    }

    /// Brings a frame to the file, and to the medium if it is to be synced.
    async fn put(&self, frame: &Frame, buffer: AlignedBuf) -> (Result<(), FatalError>, AlignedBuf) {
        let path = &frame.file.path;
        if frame.sync && !frame.after_unsynced && !self.options.fault.skip_journal_sync {
            let (result, buffer) = frame.file.file.write_durable_at(frame.position, buffer, frame.len).await;
            return (self.fatal.guard("write the journal", path, result), buffer);
        }
        // A write without sync keeps its bytes until it is done, so the next frame gets another buffer.
        let bytes = buffer.freeze().slice(..frame.len);
        let mut result = frame.file.file.write_at(frame.position, bytes).await;
        if result.is_ok() && frame.sync && !self.options.fault.skip_journal_sync {
            result = frame.file.file.sync_data().await;
        }
        let buffer = AlignedBuf::registered(FRAME_LEN_MAX);
        (self.fatal.guard("write the journal", path, result), buffer)
    }

    /// A frame is durable, or written if that is all it is to be.
    fn complete(&self, frame: &Frame, taken: &mut Vec<Pending>) {
        {
            let mut state = self.state.borrow_mut();
            if frame.sync {
                state.durable_through = frame.sequence;
                state.live_told = frame.live_from;
            }
        }
        for pending in taken.drain(..) {
            pending.log.on_durable(&pending);
            if let Some(done) = pending.done {
                done.finish();
            }
        }
        self.room.notify();
        self.chores.notify();
    }

    /// Takes a free file into use.
    async fn switch(&self) -> Result<(), FatalError> {
        let unsynced = {
            let mut state = self.state.borrow_mut();
            std::mem::take(&mut state.unsynced).then(|| state.current().file.clone())
        };
        if let Some(JournalFile { file, path, .. }) = unsynced {
            self.fatal.guard("sync the journal", &path, file.sync_data().await)?;
        }
        let state = &mut *self.state.borrow_mut();
        if let Some(file) = state.free.pop_front() {
            let ordinal = state.current().ordinal + 1;
            let first_sequence = state.sequence + 1;
            state.live.push_back(super::LiveFile { file, ordinal, first_sequence, touched: Vec::new() });
            state.position = 0;
            state.run = random_bytes();
        }
        self.chores.notify();
        Ok(())
    }
}

impl State {
    /// Notes which logs the file that is being written holds something of.
    fn note_framed(&mut self, sequence: u64, taken: &[Pending]) {
        let current = self.live.back_mut().expect("a journal always has a file that is being written");
        for pending in taken {
            if pending.log.note_framed(current.ordinal, sequence, pending) {
                current.touched.push(Rc::downgrade(&pending.log));
            }
        }
    }
}
