//! Records into batches, batches to leaders: in order per partition, and once if the producer is idempotent.
//!
//! Every partition that is written to has a **lane**: the batch that is being filled, full batches behind each other,
//! and a task that sends one at a time. What arrives meanwhile fills the next batch, so that load makes batches larger.

mod lane;

use super::{
    cluster::{Cluster, ClusterError, accepted},
    partitioner::partition_of_key,
};
use crate::{
    kafka::{
        ApiKey,
        init_producer_id::{InitProducerIdRequest, InitProducerIdResponse},
        produce::ACKS_ALL,
    },
    signal::{Flag, Waiters},
};
use lane::{BatchState, Lane};
use millrace_record::{Codec, Headers, Offset, PushError, Timestamp};
use millrace_runtime::{Instant, spawn};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    time::Duration,
};

/// How a producer works.
#[derive(Clone, Debug)]
pub struct ProducerOptions {
    /// When the broker answers; see [`produce`](crate::kafka::produce). With [`ACKS_NONE`] nothing is known of what
    /// becomes of a batch.
    ///
    /// [`ACKS_NONE`]: crate::kafka::produce::ACKS_NONE
    pub acks: i16,
    /// Whether the broker recognises batches that are sent again. Needs [`ACKS_ALL`].
    pub idempotent: bool,
    /// How batches are compressed.
    pub codec: Codec,
    /// The longest batch before compression, in bytes.
    pub batch_bytes_max: usize,
    /// How long a batch that is not full waits for more records.
    pub linger: Duration,
    /// Bytes of records that may wait to be sent and answered; [`Producer::send`] waits for room.
    pub buffer_bytes_max: usize,
    /// How long a batch may be tried.
    pub delivery_timeout: Duration,
}

impl Default for ProducerOptions {
    fn default() -> Self {
        Self {
            acks: ACKS_ALL,
            idempotent: true,
            codec: Codec::None,
            batch_bytes_max: 256 << 10,
            linger: Duration::from_millis(5),
            buffer_bytes_max: 32 << 20,
            delivery_timeout: Duration::from_secs(120),
        }
    }
}

/// A record to send.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewRecord<'a> {
    /// Its timestamp.
    pub timestamp: Timestamp,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: Option<&'a [u8]>,
    /// Its headers.
    pub headers: Headers<'a>,
}

impl NewRecord<'_> {
    /// What the record takes in a batch, roughly, in bytes.
    fn len(&self) -> usize {
        const OVERHEAD: usize = 16;
        OVERHEAD + self.key.map_or(0, <[u8]>::len) + self.value.map_or(0, <[u8]>::len)
    }
}

/// Why a record was not delivered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProduceError {
    /// The cluster refused the batch, or could not be reached in time.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The record fits no batch.
    #[error(transparent)]
    Record(#[from] PushError),
    /// An earlier batch of this partition failed. The broker would see a gap in an idempotent producer's sequence, so
    /// nothing more can be sent there: it takes another producer.
    #[error("an earlier batch failed: {0}")]
    LaneFailed(#[source] ClusterError),
    /// The producer was dropped.
    #[error("the producer is gone")]
    Closed,
}

/// Sends records. Clones are the same producer. With the last of them go the records that are not sent yet: call
/// [`Producer::flush`] first.
#[derive(Clone, Debug)]
pub struct Producer(Rc<Handle>);

/// Ends the lanes' tasks, which hold `Shared` only.
#[derive(Debug)]
struct Handle(Rc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.closed.raise();
    }
}

/// What lanes share.
#[derive(Debug)]
struct Shared {
    cluster: Cluster,
    options: ProducerOptions,
    /// Producer id and epoch; -1 and -1 if the producer is not idempotent.
    identity: (i64, i16),
    topics: RefCell<BTreeMap<String, TopicLanes>>,
    buffered_bytes: Cell<usize>,
    /// For those who wait for room, or for everything to be sent.
    drained: Waiters,
    /// Callers of flush: lanes do not linger.
    flushing: Cell<usize>,
    closed: Flag,
    /// The first failure since the last flush.
    failure: RefCell<Option<ProduceError>>,
}

#[derive(Debug, Default)]
struct TopicLanes {
    lanes: BTreeMap<i32, Rc<Lane>>,
    /// Where records without a key go until a batch is full.
    sticky: u32,
}

/// A record on its way.
#[derive(Clone, Debug)]
pub struct Delivery {
    batch: Rc<BatchState>,
    index: u32,
}

impl Delivery {
    /// Waits for the record's batch, and gives the record's offset. -1 if it is not known: with acks = 0, and for a
    /// batch that the broker recognised as written before but no longer remembers.
    ///
    /// # Errors
    /// [`ProduceError`].
    pub async fn offset(&self) -> Result<Offset, ProduceError> {
        let base = self.batch.outcome().await?;
        Ok(if base < 0 { base } else { base + Offset::from(self.index) })
    }
}

impl Producer {
    /// A producer; an idempotent one asks for its id first.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub async fn new(cluster: Cluster, options: ProducerOptions) -> Result<Self, ClusterError> {
        let identity = if options.idempotent {
            let InitProducerIdResponse { producer_id, producer_epoch, .. } =
                init_producer_id(&cluster, Instant::now() + options.delivery_timeout).await?;
            (producer_id, producer_epoch)
        } else {
            (-1, -1)
        };
        Ok(Self(Rc::new(Handle(Rc::new(Shared {
            cluster,
            options,
            identity,
            topics: RefCell::default(),
            buffered_bytes: Cell::new(0),
            drained: Waiters::default(),
            flushing: Cell::new(0),
            closed: Flag::default(),
            failure: RefCell::default(),
        })))))
    }

    /// Takes a record, waiting for room. Without a partition the key chooses as in Kafka's own clients; without a key
    /// too, partitions take turns, batch by batch.
    ///
    /// # Errors
    /// [`ProduceError`], if it is known at once that the record cannot be delivered.
    pub async fn send(
        &self,
        topic: &str,
        partition: Option<i32>,
        record: NewRecord<'_>,
    ) -> Result<Delivery, ProduceError> {
        let shared = &self.0.0;
        let len = record.len();
        let room = || {
            let buffered = shared.buffered_bytes.get();
            (buffered == 0 || buffered + len <= shared.options.buffer_bytes_max).then_some(())
        };
        shared.drained.until(room).await;
        let (partition, sticky) = match partition {
            Some(partition) => (partition, false),
            None => self.choose(topic, record.key).await?,
        };
        let lane = self.lane(topic, partition);
        let (delivery, filled) = lane.push(shared, &record)?;
        if sticky
            && filled
            && let Some(lanes) = shared.topics.borrow_mut().get_mut(topic)
        {
            lanes.sticky = lanes.sticky.wrapping_add(1);
        }
        Ok(delivery)
    }

    async fn choose(&self, topic: &str, key: Option<&[u8]>) -> Result<(i32, bool), ProduceError> {
        let shared = &self.0.0;
        let deadline = Instant::now() + shared.options.delivery_timeout;
        let ask = async || shared.cluster.topic(topic).await;
        let known = shared.cluster.retry(deadline, ask).await?;
        let count = u32::try_from(known.leaders.len()).unwrap_or(u32::MAX).max(1);
        Ok(match key {
            Some(key) => (partition_of_key(key, count), false),
            None => {
                let sticky = shared.topics.borrow().get(topic).map_or(0, |lanes| lanes.sticky);
                (i32::try_from(sticky % count).unwrap_or(0), true)
            }
        })
    }

    fn lane(&self, topic: &str, partition: i32) -> Rc<Lane> {
        let shared = &self.0.0;
        let mut topics = shared.topics.borrow_mut();
        if !topics.contains_key(topic) {
            topics.insert(topic.to_owned(), TopicLanes::default());
        }
        let lanes = topics.get_mut(topic).expect("it was inserted if it was missing");
        let lane = lanes.lanes.entry(partition).or_insert_with(|| {
            let lane = Rc::new(Lane::new(topic, partition, &shared.options));
            drop(spawn(Rc::clone(&lane).run(Rc::clone(shared))));
            lane
        });
        Rc::clone(lane)
    }

    /// Sends everything now, and waits until all of it is answered.
    ///
    /// # Errors
    /// The first failure of any batch since the last flush. Each record's own is with its [`Delivery`].
    pub async fn flush(&self) -> Result<(), ProduceError> {
        let shared = &self.0.0;
        let flushing = Flushing::begin(shared);
        shared.drained.until(|| (shared.buffered_bytes.get() == 0).then_some(())).await;
        drop(flushing);
        shared.failure.take().map_or(Ok(()), Err)
    }

    /// Bytes of records that are not answered yet.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.0.0.buffered_bytes.get()
    }
}

/// Keeps lanes from lingering until this drops.
struct Flushing<'a>(&'a Shared);

impl<'a> Flushing<'a> {
    fn begin(shared: &'a Shared) -> Self {
        shared.flushing.set(shared.flushing.get() + 1);
        for lane in shared.topics.borrow().values().flat_map(|topic| topic.lanes.values()) {
            lane.wake();
        }
        Self(shared)
    }
}

impl Drop for Flushing<'_> {
    fn drop(&mut self) {
        self.0.flushing.set(self.0.flushing.get() - 1);
    }
}

async fn init_producer_id(
    cluster: &Cluster,
    deadline: Instant,
) -> Result<InitProducerIdResponse, ClusterError> {
    // What Kafka's own producer sends outside of transactions: its largest number.
    let request = InitProducerIdRequest { transaction_timeout_ms: i32::MAX, ..Default::default() };
    let ask = async || {
        let response = cluster.any().await?.call(&request).await?;
        accepted(ApiKey::InitProducerId, "an idempotent producer", response.error_code, None)?;
        Ok(response)
    };
    cluster.retry(deadline, ask).await
}
