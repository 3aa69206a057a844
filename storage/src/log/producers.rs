//! Knowing a log's producers again after a start, and saving what is known.

use super::{Captured, Isolation, Log, LogInner, ReadError, ReadRequest};
use crate::producer::{ProducerSnapshot, ProducerTable, SNAPSHOT_FILE};
use millrace_runtime::{Queue, fs, spawn_into, unix_millis};
use std::rc::Rc;

/// Bytes that are read at once.
const STEP: usize = 1 << 20;

impl LogInner {
    /// Learns the producers: what was saved, and the batches behind that.
    pub(super) async fn load_producers(self: &Rc<Self>) -> Result<(), ReadError> {
        let (start, cuts) = {
            let state = self.state.borrow();
            (state.start, state.cuts)
        };
        let (mut offset, mut table) = match self.saved_producers().await {
            Some(saved) => (saved.offset.max(start), saved.table),
            None => (start, ProducerTable::default()),
        };
        let log = Log(Rc::clone(self));
        // Batches that are not durable yet have no producer: those wait for this.
        while offset < log.high_watermark() {
            let isolation = Isolation::ReadUncommitted;
            let request = ReadRequest { offset, max_bytes: STEP, at_least_one: true, isolation };
            let batches = log.read(&request).await?.batches;
            let Some(last) = batches.last() else { break };
            offset = last.header().next_offset();
            batches.iter().for_each(|batch| table.note(batch.header()));
        }
        let mut state = self.state.borrow_mut();
        if state.cuts == cuts {
            state.producers.get_or_insert(table);
        }
        Ok(())
    }

    async fn saved_producers(&self) -> Option<ProducerSnapshot> {
        let path = self.folder.join(SNAPSHOT_FILE);
        if !matches!(fs::exists(&path).await, Ok(true)) {
            return None;
        }
        let end = self.state.borrow().durable_end;
        match fs::read(&path).await.map(|bytes| ProducerSnapshot::decode(&bytes)) {
            Ok(Ok(snapshot)) if snapshot.offset <= end => Some(snapshot),
            _ => {
                tracing::warn!(path = %path.display(), "saved producers do not read, and are made anew");
                None
            }
        }
    }

    /// Saves the producers that were captured, if any were. The log is durable up to there by now.
    pub(super) fn save_producers(self: &Rc<Self>, captured: &Captured) {
        let Some(mut table) = captured.producers.clone() else { return };
        table.expire(unix_millis() - self.options().producer_expiration_ms);
        let snapshot = ProducerSnapshot { offset: captured.end, place: captured.place, table };
        let (log, cuts) = (Rc::clone(self), captured.cuts);
        spawn_into(Queue::Background, async move {
            let _io = log.io.enter().await;
            if log.state.borrow().cuts != cuts {
                return;
            }
            let path = log.folder.join(SNAPSHOT_FILE);
            if let Err(error) = fs::write_atomically(&path, &snapshot.encode()).await {
                tracing::warn!(path = %path.display(), %error, "cannot save producers");
            }
        });
    }

    /// Removes what was saved, durably: it will not be true any more.
    pub(super) async fn forget_saved_producers(&self) -> std::io::Result<()> {
        let path = self.folder.join(SNAPSHOT_FILE);
        if fs::exists(&path).await? {
            fs::remove_file(&path).await?;
            fs::sync_dir(&self.folder).await?;
        }
        Ok(())
    }
}
