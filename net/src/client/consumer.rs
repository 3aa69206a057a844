//! Records of chosen partitions, from chosen offsets on. No groups, no transactions: aborted records are not left out.

use super::cluster::{Cluster, ClusterError, accepted};
use crate::kafka::{
    ApiKey,
    fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic, PartitionData},
};
use bytes::Bytes;
use millrace_record::{
    BatchError, Offset, RecordView, Scratch, SharedBatch,
    kafka::{self, Limits, Origin},
};
use millrace_runtime::{Instant, sleep_until};
use std::{
    collections::BTreeMap,
    fmt,
    future::poll_fn,
    pin::{Pin, pin},
    rc::Rc,
    task::Poll,
    time::Duration,
};
use uuid::Uuid;

/// The highest Fetch version that names topics.
const NAMES_TOPICS_MAX: i16 = 12;

/// How a consumer fetches.
#[derive(Clone, Debug)]
pub struct ConsumerOptions {
    /// How long a broker may wait for records.
    pub max_wait: Duration,
    /// Bytes for which a broker waits.
    pub min_bytes: i32,
    /// Bytes per answer.
    pub max_bytes: i32,
    /// Bytes per answer and partition.
    pub partition_max_bytes: i32,
    /// How long the consumer keeps away from a partition that could not be fetched.
    pub retry_backoff: Duration,
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        Self {
            max_wait: Duration::from_millis(500),
            min_bytes: 1,
            max_bytes: 50 << 20,
            partition_max_bytes: 1 << 20,
            retry_backoff: Duration::from_millis(50),
        }
    }
}

/// Why a partition cannot be read on.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConsumeError {
    /// The cluster refuses, OFFSET_OUT_OF_RANGE above all.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A batch is damaged.
    #[error("{topic}-{partition} at offset {offset}: {cause}")]
    Batch {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Where the consumer was.
        offset: Offset,
        /// What is wrong.
        cause: BatchError,
    },
}

type Key = (String, i32);

/// Reads partitions.
pub struct Consumer {
    cluster: Cluster,
    options: ConsumerOptions,
    partitions: BTreeMap<Key, Partition>,
    fetches: Vec<Pin<Box<dyn Future<Output = Outcome>>>>,
    next_assignment: u64,
}

#[derive(Debug)]
struct Partition {
    offset: Offset,
    /// Tells this assignment from an earlier one of the same partition.
    assignment: u64,
    fetching: bool,
    not_before: Option<Instant>,
}

/// What a partition was asked for.
#[derive(Clone, Debug)]
struct Asked {
    key: Key,
    assignment: u64,
    offset: Offset,
    topic_id: Uuid,
    leader_epoch: i32,
}

/// What became of a fetch from one broker.
struct Outcome {
    asked: Vec<Asked>,
    response: Result<FetchResponse, ClusterError>,
}

/// Records of one partition.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The topic.
    pub topic: Rc<str>,
    /// The partition.
    pub partition: i32,
    /// The first offset that was asked for; the first batch may begin before it.
    pub offset: Offset,
    /// The offset behind the last record that was visible then.
    pub high_watermark: Offset,
    /// Whole batches.
    pub batches: Vec<SharedBatch>,
}

impl Fetched {
    /// Calls `each` with every record from the offset asked for on. Control records are left out.
    ///
    /// # Errors
    /// [`BatchError`], behind the records before it.
    pub fn for_each(
        &self,
        scratch: &mut Scratch,
        mut each: impl FnMut(RecordView<'_>),
    ) -> Result<(), BatchError> {
        for batch in &self.batches {
            if batch.header().attributes.is_control() {
                continue;
            }
            for record in batch.as_batch().records(scratch)? {
                let record = record?;
                if record.offset >= self.offset {
                    each(record);
                }
            }
        }
        Ok(())
    }
}

impl Consumer {
    /// A consumer of nothing yet.
    #[must_use]
    pub fn new(cluster: Cluster, options: ConsumerOptions) -> Self {
        Self { cluster, options, partitions: BTreeMap::new(), fetches: Vec::new(), next_assignment: 0 }
    }

    /// Reads a partition from `offset` on, whether or not it was read before.
    pub fn assign(&mut self, topic: &str, partition: i32, offset: Offset) {
        let assignment = self.next_assignment;
        self.next_assignment += 1;
        let state = Partition { offset, assignment, fetching: false, not_before: None };
        self.partitions.insert((topic.to_owned(), partition), state);
    }

    /// Stops reading a partition.
    pub fn unassign(&mut self, topic: &str, partition: i32) {
        self.partitions.remove(&(topic.to_owned(), partition));
    }

    /// The offset of the next record of a partition that is read.
    #[must_use]
    pub fn position(&self, topic: &str, partition: i32) -> Option<Offset> {
        self.partitions.get(&(topic.to_owned(), partition)).map(|state| state.offset)
    }

    /// Waits for records of any partition: as soon as one broker has some they are given. What may pass (a leader that
    /// moved, a connection that broke) is tried again, without end. Gives nothing only if nothing is assigned.
    ///
    /// Nothing is lost if this is dropped before it is ready.
    ///
    /// # Errors
    /// [`ConsumeError`], of one partition. Others go on at the next call; so does that one, from where it was.
    pub async fn poll(&mut self) -> Result<Vec<Fetched>, ConsumeError> {
        while !self.partitions.is_empty() {
            self.start_fetches().await?;
            let Some(outcome) = self.next_outcome().await else { continue };
            let fetched = self.take(outcome)?;
            if !fetched.is_empty() {
                return Ok(fetched);
            }
        }
        Ok(Vec::new())
    }

    /// Asks every leader for its partitions that are not being asked for.
    async fn start_fetches(&mut self) -> Result<(), ConsumeError> {
        let now = Instant::now();
        let due = self.partitions.iter_mut().filter(|(_, state)| {
            !state.fetching && state.not_before.is_none_or(|not_before| not_before <= now)
        });
        let mut by_leader = BTreeMap::<i32, Vec<Asked>>::new();
        for (key, state) in due {
            match self.cluster.leader(&key.0, key.1).await {
                Ok((topic, leader)) => {
                    let Partition { offset, assignment, .. } = *state;
                    let (topic_id, leader_epoch) = (topic.id, leader.epoch);
                    let asked = Asked { key: key.clone(), assignment, offset, topic_id, leader_epoch };
                    by_leader.entry(leader.node_id).or_default().push(asked);
                }
                Err(error) if error.is_retriable() => {
                    state.not_before = Some(Instant::now() + self.options.retry_backoff);
                }
                Err(error) => return Err(error.into()),
            }
        }
        for (node_id, asked) in by_leader {
            for Asked { key, .. } in &asked {
                if let Some(state) = self.partitions.get_mut(key) {
                    (state.fetching, state.not_before) = (true, None);
                }
            }
            self.fetches.push(Box::pin(fetch(self.cluster.clone(), node_id, asked, self.options.clone())));
        }
        Ok(())
    }

    /// The next fetch that is done; `None` when a partition's time has come to be asked for again.
    async fn next_outcome(&mut self) -> Option<Outcome> {
        let wake_at = self.partitions.values().filter_map(|state| state.not_before).min();
        let mut woken = pin!(async {
            match wake_at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        });
        poll_fn(|cx| {
            for at in 0..self.fetches.len() {
                if let Poll::Ready(outcome) = self.fetches[at].as_mut().poll(cx) {
                    drop(self.fetches.swap_remove(at));
                    return Poll::Ready(Some(outcome));
                }
            }
            woken.as_mut().poll(cx).map(|()| None)
        })
        .await
    }

    fn take(&mut self, Outcome { asked, response }: Outcome) -> Result<Vec<Fetched>, ConsumeError> {
        let answers = response.and_then(|response| sort(&asked, response));
        let (mut fetched, mut failure) = (Vec::new(), None);
        for (at, asked) in asked.iter().enumerate() {
            let current = self.partitions.get_mut(&asked.key);
            let Some(state) = current.filter(|state| state.assignment == asked.assignment) else { continue };
            state.fetching = false;
            let records = match &answers {
                Ok(answers) => understand(asked, answers[at].as_ref()),
                Err(error) => Err(error.clone().into()),
            };
            match records {
                Ok(records) => {
                    if let Some(last) = records.batches.last().map(SharedBatch::header) {
                        state.offset = last.base_offset + Offset::from(last.last_offset_delta) + 1;
                        fetched.push(records);
                    }
                }
                Err(ConsumeError::Cluster(error)) if error.is_retriable() => {
                    self.cluster.forget(&asked.key.0);
                    state.not_before = Some(Instant::now() + self.options.retry_backoff);
                }
                Err(error) => failure = Some(error),
            }
        }
        // Records that came beside a failure are given first: positions have moved. The failure will come again.
        match failure {
            Some(failure) if fetched.is_empty() => Err(failure),
            _ => Ok(fetched),
        }
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("partitions", &self.partitions).finish_non_exhaustive()
    }
}

async fn fetch(cluster: Cluster, node_id: i32, asked: Vec<Asked>, options: ConsumerOptions) -> Outcome {
    let response = async {
        let connection = cluster.broker(node_id).await?;
        let mut version = connection.version(ApiKey::Fetch)?;
        if asked.iter().any(|asked| asked.topic_id.is_nil()) {
            version = version.min(NAMES_TOPICS_MAX);
        }
        Ok(connection.call_at(&request(&asked, &options), version).await?)
    };
    Outcome { response: response.await, asked }
}

fn request(asked: &[Asked], options: &ConsumerOptions) -> FetchRequest {
    let mut topics = Vec::<FetchTopic>::new();
    for Asked { key: (topic, partition), offset, topic_id, leader_epoch, .. } in asked {
        let partition = FetchPartition {
            partition: *partition,
            current_leader_epoch: *leader_epoch,
            fetch_offset: *offset,
            partition_max_bytes: options.partition_max_bytes,
            ..Default::default()
        };
        match topics.last_mut() {
            // Partitions of a topic follow each other.
            Some(last) if last.topic == **topic => last.partitions.push(partition),
            _ => topics.push(FetchTopic {
                topic: topic.as_str().into(),
                topic_id: *topic_id,
                partitions: vec![partition],
            }),
        }
    }
    FetchRequest {
        max_wait_ms: i32::try_from(options.max_wait.as_millis()).unwrap_or(i32::MAX),
        min_bytes: options.min_bytes,
        max_bytes: options.max_bytes,
        topics,
        ..Default::default()
    }
}

/// Brings the answers into the order of the questions. A response names topics by id or by name, as its version says.
fn sort(asked: &[Asked], response: FetchResponse) -> Result<Vec<Option<PartitionData>>, ClusterError> {
    accepted(ApiKey::Fetch, "the whole request", response.error_code, None)?;
    let mut places = BTreeMap::new();
    for (at, Asked { key: (topic, partition), topic_id, .. }) in asked.iter().enumerate() {
        places.insert((*topic_id, "", *partition), at);
        places.insert((Uuid::nil(), topic, *partition), at);
    }
    let mut answers = vec![None; asked.len()];
    for topic in response.responses {
        for partition in topic.partitions {
            if let Some(&at) = places.get(&(topic.topic_id, &topic.topic, partition.partition_index)) {
                answers[at] = Some(partition);
            }
        }
    }
    Ok(answers)
}

fn understand(asked: &Asked, answer: Option<&PartitionData>) -> Result<Fetched, ConsumeError> {
    let (topic, partition) = &asked.key;
    let what = || format!("{topic}-{partition}");
    let Some(answer) = answer else {
        return Err(ClusterError::Missing { api: ApiKey::Fetch, what: what() }.into());
    };
    accepted(ApiKey::Fetch, what(), answer.error_code, None)?;
    let records = answer.records.clone().unwrap_or_default().into_bytes();
    let batches = batches(&records).map_err(|cause| ConsumeError::Batch {
        topic: topic.clone(),
        partition: *partition,
        offset: asked.offset,
        cause,
    })?;
    Ok(Fetched {
        topic: topic.as_str().into(),
        partition: *partition,
        offset: asked.offset,
        high_watermark: answer.high_watermark,
        batches,
    })
}

/// The whole batches of a set. Brokers may cut the last one off.
fn batches(records: &Bytes) -> Result<Vec<SharedBatch>, BatchError> {
    const LIMITS: Limits = Limits { batch_len_max: usize::MAX, origin: Origin::Log };
    let mut batches = Vec::new();
    for batch in kafka::RecordSet::new(records) {
        match batch {
            Ok(batch) => {
                let info = kafka::validate(batch, &LIMITS)?;
                batches.push(SharedBatch::new(info.header, records.slice_ref(batch))?);
            }
            Err(BatchError::Truncated { .. }) if !batches.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(batches)
}
