//! One partition's batches, on their way in order.

use super::{Delivery, NewRecord, ProduceError, ProducerOptions, Shared};
use crate::{
    client::cluster::{ClusterError, accepted},
    kafka::{
        ApiKey, ErrorCode,
        produce::{ACKS_NONE, PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData},
    },
    signal::{Waiters, unless},
    wire::{RecordSet, SharedStr},
};
use bytes::Bytes;
use millrace_record::{BatchMeta, Compressor, KafkaBatchBuilder, Offset, PushError};
use millrace_runtime::{Instant, timeout};
use std::{cell::RefCell, collections::VecDeque, rc::Rc, time::Duration};

/// The highest Produce version that names topics.
const NAMES_TOPICS_MAX: i16 = 12;

/// What becomes of a batch, for all its deliveries.
#[derive(Debug, Default)]
pub(super) struct BatchState {
    outcome: RefCell<Option<Result<Offset, ProduceError>>>,
    decided: Waiters,
}

impl BatchState {
    pub(super) async fn outcome(&self) -> Result<Offset, ProduceError> {
        self.decided.until(|| self.outcome.borrow().clone()).await
    }

    fn decide(&self, outcome: Result<Offset, ProduceError>) {
        self.outcome.borrow_mut().get_or_insert(outcome);
        self.decided.wake_all();
    }
}

/// A batch that takes no more records.
#[derive(Debug)]
struct Sealed {
    batch: Bytes,
    state: Rc<BatchState>,
    buffered_bytes: usize,
    deadline: Instant,
}

#[derive(Debug)]
pub(super) struct Lane {
    topic: SharedStr,
    partition: i32,
    filling: RefCell<Filling>,
    changed: Waiters,
}

#[derive(Debug)]
struct Filling {
    builder: KafkaBatchBuilder,
    compressor: Compressor,
    /// The batch that is being filled, of which `buffered_bytes` are in the common buffer.
    state: Rc<BatchState>,
    buffered_bytes: usize,
    sealed: VecDeque<Sealed>,
    next_sequence: i32,
    /// Why nothing more can be sent.
    failed: Option<ClusterError>,
}

impl Lane {
    pub(super) fn new(topic: &str, partition: i32, options: &ProducerOptions) -> Self {
        let filling = Filling {
            builder: KafkaBatchBuilder::new(options.batch_bytes_max),
            compressor: Compressor::new(),
            state: Rc::default(),
            buffered_bytes: 0,
            sealed: VecDeque::new(),
            next_sequence: 0,
            failed: None,
        };
        Self { topic: topic.into(), partition, filling: RefCell::new(filling), changed: Waiters::default() }
    }

    pub(super) fn wake(&self) {
        self.changed.wake_all();
    }

    /// Takes a record. Also tells whether it began a new batch because the last one was full.
    pub(super) fn push(
        &self,
        shared: &Shared,
        record: &NewRecord<'_>,
    ) -> Result<(Delivery, bool), ProduceError> {
        let mut filling = self.filling.borrow_mut();
        if let Some(error) = &filling.failed {
            return Err(ProduceError::LaneFailed(error.clone()));
        }
        let filled = match filling.put(record) {
            Err(PushError::Full) => {
                filling.seal(shared);
                filling.put(record)?;
                true
            }
            put => put.map(|()| false)?,
        };
        let len = record.len();
        filling.buffered_bytes += len;
        shared.buffered_bytes.set(shared.buffered_bytes.get() + len);
        let delivery = Delivery { batch: Rc::clone(&filling.state), index: filling.builder.count() - 1 };
        drop(filling);
        self.wake();
        Ok((delivery, filled))
    }

    /// Sends batches until the producer is gone.
    pub(super) async fn run(self: Rc<Self>, shared: Rc<Shared>) {
        while let Some(sealed) = unless(&shared.closed, self.next(&shared)).await {
            let outcome = unless(&shared.closed, self.deliver(&shared, &sealed)).await;
            let outcome = outcome.map_or(Err(ProduceError::Closed), |delivered| Ok(delivered?));
            self.settle(&shared, sealed, outcome);
        }
        let mut filling = self.filling.borrow_mut();
        filling.state.decide(Err(ProduceError::Closed));
        for sealed in filling.sealed.drain(..) {
            sealed.state.decide(Err(ProduceError::Closed));
        }
    }

    /// The oldest batch that is full, or has waited for more records for long enough.
    async fn next(&self, shared: &Shared) -> Sealed {
        self.changed.until(|| self.filling.borrow().has_records().then_some(())).await;
        let due = || (shared.flushing.get() > 0 || !self.filling.borrow().sealed.is_empty()).then_some(());
        if shared.options.linger > Duration::ZERO {
            // Full or lingered: either way it goes now.
            timeout(shared.options.linger, self.changed.until(due)).await.unwrap_or_default();
        }
        let mut filling = self.filling.borrow_mut();
        if filling.sealed.is_empty() {
            filling.seal(shared);
        }
        filling.sealed.pop_front().expect("a lane that has records has a batch once it is sealed")
    }

    async fn deliver(&self, shared: &Shared, sealed: &Sealed) -> Result<Offset, ClusterError> {
        let attempt = async || {
            let sent = self.attempt(shared, &sealed.batch).await;
            sent.inspect_err(|_| shared.cluster.forget(&self.topic))
        };
        shared.cluster.retry(sealed.deadline, attempt).await
    }

    async fn attempt(&self, shared: &Shared, batch: &Bytes) -> Result<Offset, ClusterError> {
        let (topic, leader) = shared.cluster.leader(&self.topic, self.partition).await?;
        let records = Some(RecordSet::from(batch.clone()));
        let request = ProduceRequest {
            acks: shared.options.acks,
            timeout_ms: i32::try_from(shared.cluster.options().connection.request_timeout.as_millis())
                .unwrap_or(i32::MAX),
            topic_data: vec![TopicProduceData {
                name: self.topic.clone(),
                topic_id: topic.id,
                partition_data: vec![PartitionProduceData { index: self.partition, records }],
            }],
            ..Default::default()
        };
        let connection = shared.cluster.broker(leader.node_id).await?;
        if request.acks == ACKS_NONE {
            connection.send_unanswered(&request)?;
            return Ok(-1);
        }
        let mut version = connection.version(ApiKey::Produce)?;
        if topic.id.is_nil() {
            version = version.min(NAMES_TOPICS_MAX);
        }
        self.understand(&connection.call_at(&request, version).await?)
    }

    fn understand(&self, response: &ProduceResponse) -> Result<Offset, ClusterError> {
        let what = || format!("{}-{}", self.topic, self.partition);
        let mut answers = response.responses.iter().flat_map(|topic| &topic.partition_responses);
        let Some(answer) = answers.find(|answer| answer.index == self.partition) else {
            return Err(ClusterError::Missing { api: ApiKey::Produce, what: what() });
        };
        if answer.error_code == ErrorCode::DUPLICATE_SEQUENCE_NUMBER {
            return Ok(-1);
        }
        accepted(ApiKey::Produce, what(), answer.error_code, answer.error_message.as_ref())?;
        Ok(answer.base_offset)
    }

    fn settle(&self, shared: &Shared, sealed: Sealed, outcome: Result<Offset, ProduceError>) {
        let mut freed = sealed.buffered_bytes;
        if let Err(error) = &outcome {
            shared.failure.borrow_mut().get_or_insert_with(|| error.clone());
            if let (true, ProduceError::Cluster(error)) = (shared.options.idempotent, error) {
                freed += self.filling.borrow_mut().fail(error);
            }
        }
        sealed.state.decide(outcome);
        shared.buffered_bytes.set(shared.buffered_bytes.get() - freed);
        shared.drained.wake_all();
    }
}

impl Filling {
    fn has_records(&self) -> bool {
        !self.builder.is_empty() || !self.sealed.is_empty()
    }

    fn put(&mut self, record: &NewRecord<'_>) -> Result<(), PushError> {
        self.builder.push(record.timestamp, record.key, record.value, record.headers)
    }

    /// Ends the batch that is being filled, if it has records.
    fn seal(&mut self, shared: &Shared) {
        let (producer_id, producer_epoch) = shared.identity;
        let base_sequence = if shared.options.idempotent { self.next_sequence } else { -1 };
        let meta = BatchMeta { producer_id, producer_epoch, base_sequence, ..BatchMeta::PLAIN };
        let mut batch = Vec::with_capacity(self.builder.len());
        let header = self.builder.finish(&meta, shared.options.codec, &mut self.compressor, &mut batch);
        let Some(header) = header else { return };
        self.next_sequence = sequence_after(self.next_sequence, header.record_count);
        self.sealed.push_back(Sealed {
            batch: batch.into(),
            state: std::mem::take(&mut self.state),
            buffered_bytes: std::mem::take(&mut self.buffered_bytes),
            deadline: Instant::now() + shared.options.delivery_timeout,
        });
    }

    /// Gives up everything that waits, and gives back how many bytes that was.
    fn fail(&mut self, error: &ClusterError) -> usize {
        self.failed = Some(error.clone());
        self.builder.clear();
        let mut freed = std::mem::take(&mut self.buffered_bytes);
        let open = std::mem::take(&mut self.state);
        let waiting = self.sealed.drain(..).map(|sealed| {
            freed += sealed.buffered_bytes;
            sealed.state
        });
        for state in waiting.chain([open]) {
            state.decide(Err(ProduceError::LaneFailed(error.clone())));
        }
        freed
    }
}

/// Sequence numbers run from 0 to 2^31 - 1 and begin again.
fn sequence_after(sequence: i32, count: u32) -> i32 {
    let next = (i64::from(sequence) + i64::from(count)) % (i64::from(i32::MAX) + 1);
    i32::try_from(next).expect("a remainder of 2^31 is below it")
}

#[cfg(test)]
mod tests {
    use super::sequence_after;

    #[test]
    fn sequences_wrap_to_zero() {
        assert_eq!(sequence_after(0, 5), 5);
        assert_eq!(sequence_after(i32::MAX, 1), 0);
        assert_eq!(sequence_after(i32::MAX - 1, 5), 3);
    }
}
