//! The producers: one for each partition of topic `flights`, each with a connection of its own, idempotent, with acks=all.
//! One producer for a partition keeps its flights in the order of their departure.

use super::{
    closings::PartitionClock,
    data::{Line, YEAR_MIN},
    flight::{write_end, write_key, write_value},
    job::FLIGHTS_TOPIC,
    replay::{Pace, PassFigures, Replay},
};
use futures_util::future::try_join_all;
use millrace_net::client::{
    Cluster, ClusterError, ClusterOptions, Producer, ProducerOptions,
    producer::{NewRecord, ProduceError},
};
use millrace_runtime::{Instant, sleep_until, unix_millis};
use std::{net::SocketAddr, sync::atomic::Ordering, time::Duration};

/// Flights that are due within this time are sent together: a producer that is woken for each would mostly be woken.
const TICK: Duration = Duration::from_millis(2);

/// Records wait no longer than it takes to send those before them: what is sent together is what arrived meanwhile.
const LINGER: Duration = Duration::ZERO;

/// The longest batch, and what may wait in a producer. More would only be waiting that counts as the server's.
const BATCH_BYTES: usize = 64 << 10;
const BUFFER_BYTES: usize = 128 << 10;

/// Why flights can't be sent.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// There is no producer.
    #[error("a producer does not start: {0}")]
    Start(#[from] ClusterError),
    /// A flight was not acknowledged.
    #[error("flights are not acknowledged: {0}")]
    Produce(#[from] ProduceError),
}

/// Sends all passes of a replay to the server at `address`, until they are acknowledged or somebody says stop.
///
/// # Errors
/// [`FeedError`], of the first producer that fails. Others stop.
pub async fn feed(replay: &Replay, address: SocketAddr) -> Result<(), FeedError> {
    let fed = feed_passes(replay, address).await;
    match &fed {
        Ok(()) => replay.is_done.store(true, Ordering::Release),
        Err(_) => replay.stop(),
    }
    fed
}

async fn feed_passes(replay: &Replay, address: SocketAddr) -> Result<(), FeedError> {
    let start = (0..replay.partitions()).map(|partition| Feeder::start(replay, partition, address));
    let mut feeders = try_join_all(start).await?;
    for (pass, pace) in replay.passes.iter().enumerate() {
        replay.pass.store(pass as u64, Ordering::Release);
        let (began, before) = (Instant::now(), replay.sent.load(Ordering::Acquire));
        try_join_all(feeders.iter_mut().map(|feeder| feeder.pass(pass, *pace, began))).await?;
        let flights = replay.sent.load(Ordering::Acquire) - before;
        replay.push_figures(PassFigures { flights, began, span: began.elapsed() });
        if replay.stopped() {
            return Ok(());
        }
    }
    try_join_all(feeders.iter_mut().map(Feeder::end)).await?;
    Ok(())
}

/// The producer of a partition.
struct Feeder<'a> {
    replay: &'a Replay,
    partition: usize,
    clock: PartitionClock<'a>,
    producer: Producer,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl<'a> Feeder<'a> {
    async fn start(replay: &'a Replay, partition: usize, address: SocketAddr) -> Result<Self, FeedError> {
        let options = ProducerOptions {
            linger: LINGER,
            batch_bytes_max: BATCH_BYTES,
            buffer_bytes_max: BUFFER_BYTES,
            ..ProducerOptions::default()
        };
        let cluster = Cluster::new(vec![address], ClusterOptions::default());
        Ok(Self {
            replay,
            partition,
            clock: replay.closings.clock(partition),
            producer: Producer::new(cluster, options).await?,
            key: Vec::new(),
            value: Vec::new(),
        })
    }

    /// Sends the partition's flights of a year, and waits until they are acknowledged.
    async fn pass(&mut self, pass: usize, pace: Pace, began: Instant) -> Result<(), FeedError> {
        let (replay, shift_min) = (self.replay, Replay::shift_min(pass));
        let first_min = replay.flights().span_min().start;
        let mut now = began;
        for line in replay.route(self.partition) {
            if replay.stopped() {
                break;
            }
            if let Pace::Year(year) = pace {
                let due =
                    began + year.mul_f64(f64::from(line.departure_min - first_min) / f64::from(YEAR_MIN));
                if due > now {
                    sleep_until(due.max(now + TICK)).await;
                    now = Instant::now();
                }
            }
            self.send(line, shift_min).await?;
        }
        self.producer.flush().await?;
        Ok(())
    }

    async fn send(&mut self, line: &Line, shift_min: i32) -> Result<(), FeedError> {
        let text = self.replay.flights().text(line);
        self.key.clear();
        write_key(text, &mut self.key);
        self.value.clear();
        write_value(text, line.scheduled_min, shift_min, &mut self.value);
        self.clock.advance(line.scheduled_min + shift_min);
        self.push(true).await?;
        let replay = self.replay;
        replay.departure_min.fetch_max(line.departure_min + shift_min, Ordering::Relaxed);
        if line.cancelled {
            replay.cancelled.fetch_add(1, Ordering::Relaxed);
        }
        replay.sent.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Tells the partition that nothing more comes for any window of the replay.
    async fn end(&mut self) -> Result<(), FeedError> {
        let scheduled_min = self.replay.last_end_min() + self.replay.bound_min;
        self.value.clear();
        write_end(scheduled_min, &mut self.value);
        self.clock.advance(scheduled_min);
        self.push(false).await?;
        Ok(self.producer.flush().await?)
    }

    async fn push(&self, has_key: bool) -> Result<(), ProduceError> {
        let key = has_key.then_some(&self.key[..]);
        let record =
            NewRecord { timestamp: unix_millis(), key, value: Some(&self.value), ..NewRecord::default() };
        // Whether it was acknowledged is learnt when the producer is flushed.
        self.producer.send(FLIGHTS_TOPIC, i32::try_from(self.partition).ok(), record).await.map(drop)
    }
}
