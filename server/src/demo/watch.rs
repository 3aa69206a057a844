//! The reader: consumes what the job writes, over Kafka's protocol, and notes when it was readable.

use super::{
    job::{DELAYS_TOPIC, LATE_TOPIC},
    replay::Replay,
    results::Results,
    row::Row,
};
use futures_util::future::{Either, select};
use millrace_net::client::{
    Cluster, ClusterError, ClusterOptions, Consumer, ConsumerOptions, Fetched, consumer::ConsumeError,
};
use millrace_record::{BatchError, Scratch};
use millrace_runtime::{Instant, sleep};
use std::{collections::BTreeSet, net::SocketAddr, pin::pin, sync::atomic::Ordering, time::Duration};

/// How often the reader looks whether it is done, when nothing comes.
const LOOK: Duration = Duration::from_millis(20);

/// How long after the last flight a result may fail to come before it never will.
const PATIENCE: Duration = Duration::from_secs(60);

/// The largest batch of the job's, decompressed.
const BATCH_BYTES_MAX: usize = 16 << 20;

/// Why the result can't be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The cluster does not tell of the topics.
    #[error("the job's topics: {0}")]
    Topic(#[from] ClusterError),
    /// A partition can't be read.
    #[error("reading the result: {0}")]
    Consume(#[from] ConsumeError),
    /// A batch is damaged.
    #[error("reading the result: {0}")]
    Batch(#[from] BatchError),
    /// A record is not what the job writes.
    #[error("offset {offset} of partition {partition} of topic {DELAYS_TOPIC} is no row: {value:?}")]
    Row {
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
        /// The record's value.
        value: String,
    },
    /// Flights do not come out.
    #[error("{missing} of {departed} flights are in no row and not late, {PATIENCE:?} after the last came")]
    Missing {
        /// How many.
        missing: u64,
        /// Of how many that left.
        departed: u64,
    },
    /// More flights come out than went in.
    #[error("{found} flights came out, and {departed} went in")]
    TooMany {
        /// How many came out.
        found: u64,
        /// How many that left went in.
        departed: u64,
    },
}

/// Reads the result until every flight of the replay is in a row or late, or somebody says stop.
///
/// # Errors
/// [`WatchError`]; the others stop.
pub async fn watch(replay: &Replay, results: &Results, address: SocketAddr) -> Result<(), WatchError> {
    let watched = Watcher::start(replay, results, address).await;
    let watched = match watched {
        Ok(mut watcher) => watcher.run().await,
        Err(error) => Err(error),
    };
    if watched.is_err() {
        replay.stop();
    }
    watched
}

struct Watcher<'a> {
    replay: &'a Replay,
    results: &'a Results,
    consumer: Consumer,
    scratch: Scratch,
    /// The windows of which a row was read.
    windows: BTreeSet<i64>,
}

impl<'a> Watcher<'a> {
    async fn start(
        replay: &'a Replay,
        results: &'a Results,
        address: SocketAddr,
    ) -> Result<Self, WatchError> {
        let cluster = Cluster::new(vec![address], ClusterOptions::default());
        let mut consumer = Consumer::new(cluster.clone(), ConsumerOptions::default());
        for topic in [DELAYS_TOPIC, LATE_TOPIC] {
            let partitions = cluster.topic(topic).await?.leaders.len();
            for (partition, _) in (0..).zip(0..partitions) {
                consumer.assign(topic, partition, 0);
            }
        }
        let scratch = Scratch::new(BATCH_BYTES_MAX);
        Ok(Self { replay, results, consumer, scratch, windows: BTreeSet::new() })
    }

    async fn run(&mut self) -> Result<(), WatchError> {
        let mut waited = Duration::ZERO;
        loop {
            let fetched = match select(pin!(self.consumer.poll()), pin!(sleep(LOOK))).await {
                Either::Left((fetched, _)) => fetched?,
                Either::Right(_) => Vec::new(),
            };
            let readable = Instant::now();
            for fetched in &fetched {
                self.take(fetched, readable)?;
            }
            if self.replay.stopped() {
                return Ok(());
            }
            if self.replay.is_done.load(Ordering::Acquire) {
                waited = if fetched.is_empty() { waited + LOOK } else { Duration::ZERO };
                if self.is_complete(waited)? {
                    return Ok(());
                }
            }
        }
    }

    /// Whether every flight has come out, once nothing more goes in.
    fn is_complete(&self, waited: Duration) -> Result<bool, WatchError> {
        let (figures, departed) = (self.results.lock(), self.replay.departed());
        let found = figures.flights + figures.late;
        match departed.checked_sub(found) {
            Some(0) => Ok(true),
            None => Err(WatchError::TooMany { found, departed }),
            Some(missing) if waited > PATIENCE => Err(WatchError::Missing { missing, departed }),
            Some(_) => Ok(false),
        }
    }

    fn take(&mut self, fetched: &Fetched, readable: Instant) -> Result<(), WatchError> {
        let Self { replay, results, scratch, windows, .. } = self;
        let mut figures = results.lock();
        if &*fetched.topic == LATE_TOPIC {
            fetched.for_each(scratch, |_| figures.late += 1)?;
            return Ok(());
        }
        let mut strange = None;
        fetched.for_each(scratch, |record| {
            let value = record.value.unwrap_or_default();
            let Some(row) = Row::parse(value) else {
                strange.get_or_insert_with(|| WatchError::Row {
                    partition: fetched.partition,
                    offset: record.offset,
                    value: String::from_utf8_lossy(value).into_owned(),
                });
                return;
            };
            let pass = replay.pass_of(row.window_ms);
            figures.take(&row, pass, readable);
            if windows.insert(row.window_ms)
                && let Some(closed) = replay.closings.closed_at(row.end_ms())
            {
                figures.take_latency(pass, readable - closed);
            }
        })?;
        strange.map_or(Ok(()), Err)
    }
}
