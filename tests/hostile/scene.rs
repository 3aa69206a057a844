//! A server with a bystander, who produces and consumes while others misbehave.

use crate::{
    peer::Peer,
    process::{Server, Start, client},
};
use millrace_net::client::{
    Cluster, ClusterOptions, Consumer, ConsumerOptions, Producer, ProducerOptions, producer::NewRecord,
};
use millrace_record::Scratch;
use millrace_runtime::sleep;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// The bystander's topic, which comes into being by being written to.
const TOPIC: &str = "bystander";

/// How long the bystander may take for a few rounds, and the log for a line.
const PATIENCE: Duration = Duration::from_secs(30);

/// How much more memory the server may take, at any time, for all that is thrown at it, in bytes: what its allocator keeps,
/// a few of the largest batches, and one batch decompressed. Whoever believes a peer's numbers needs more.
const GROWTH_MAX: u64 = 72 << 20;

pub(crate) struct Scene {
    pub(crate) server: Server,
    bystander: Bystander,
    resident_bytes: u64,
    _directory: TempDir,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::with(|start| start)
    }

    pub(crate) fn with(settings: impl FnOnce(Start) -> Start) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut server = settings(Start::below(directory.path()).shards(2)).run();
        let bystander = Bystander::start(server.address);
        bystander.go_on(20);
        let resident_bytes = server.reset_peak_resident_bytes();
        Self { server, bystander, resident_bytes, _directory: directory }
    }

    pub(crate) fn peer(&self) -> Peer {
        Peer::connect(self.server.address)
    }

    /// The bystander is served as ever.
    pub(crate) fn undisturbed(&self) {
        self.bystander.go_on(3);
    }

    /// A peer that sends this is shut out without an answer, and the log says so in one line, with this in it.
    pub(crate) fn shuts_out(&self, sent: &[u8], told: &str) {
        let mut peer = self.peer();
        peer.send(sent);
        self.is_shut_out(peer, told);
    }

    pub(crate) fn is_shut_out(&self, mut peer: Peer, told: &str) {
        let address = peer.address().to_string();
        assert_eq!(peer.rest(), Vec::<u8>::new(), "nothing is answered");
        let about = || -> Vec<String> {
            let warnings = self.server.warnings().into_iter();
            let lines = warnings.filter(|line| line["fields"]["peer"] == address.as_str());
            lines.map(|line| line["fields"]["error"].as_str().unwrap_or_default().to_owned()).collect()
        };
        let end = Instant::now() + PATIENCE;
        while about().is_empty() {
            assert!(Instant::now() < end, "nothing is logged; expected: {told}");
            thread::sleep(Duration::from_millis(2));
        }
        self.undisturbed();
        let lines = about();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains(told), "{told:?} is not in {:?}", lines[0]);
    }

    /// Lines of the log at level WARN and above.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.server.warnings().iter().map(ToString::to_string).collect()
    }

    /// How much memory the server has taken at most since it began, in bytes.
    pub(crate) fn growth(&mut self) -> u64 {
        self.server.peak_resident_bytes().saturating_sub(self.resident_bytes)
    }

    /// The server has taken no memory on credit, served the bystander to the end, and stops cleanly.
    pub(crate) fn end(mut self) {
        self.undisturbed();
        let growth = self.growth();
        assert!(growth <= GROWTH_MAX, "the server grew by {} KiB", growth >> 10);
        self.bystander.stop();
        let log = self.server.log();
        assert_eq!(self.server.stop().code(), Some(0), "{log}");
        assert!(!log.contains("panicked"), "{log}");
    }
}

/// Produces one record after the other, and reads each back.
struct Bystander {
    rounds: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Bystander {
    fn start(address: SocketAddr) -> Self {
        let (rounds, over) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let told = (Arc::clone(&rounds), Arc::clone(&over));
        let thread = thread::spawn(move || client(move || stand_by(address, told.0, told.1)));
        Self { rounds, over, thread: Some(thread) }
    }

    /// Waits for this many further rounds.
    fn go_on(&self, rounds: u64) {
        let enough = self.rounds.load(Ordering::Relaxed) + rounds;
        let end = Instant::now() + PATIENCE;
        while self.rounds.load(Ordering::Relaxed) < enough {
            let thread = self.thread.as_ref().unwrap();
            assert!(!thread.is_finished(), "the bystander has failed");
            assert!(Instant::now() < end, "the bystander is not served any more");
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn stop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

async fn stand_by(address: SocketAddr, rounds: Arc<AtomicU64>, over: Arc<AtomicBool>) {
    let cluster = Cluster::new(vec![address], ClusterOptions::default());
    let options = ProducerOptions { linger: Duration::ZERO, ..ProducerOptions::default() };
    let producer = Producer::new(cluster.clone(), options).await.unwrap();
    let mut consumer = Consumer::new(cluster, ConsumerOptions::default());
    consumer.assign(TOPIC, 0, 0);
    let mut scratch = Scratch::new(1 << 20);
    let mut read = Vec::new();
    for number in 0u64.. {
        if over.load(Ordering::Relaxed) {
            return;
        }
        let value = number.to_be_bytes();
        let record = NewRecord { value: Some(&value), ..NewRecord::default() };
        let delivery = producer.send(TOPIC, Some(0), record).await.unwrap();
        assert_eq!(delivery.offset().await.unwrap(), number as i64);
        while read.is_empty() {
            for fetched in consumer.poll().await.unwrap() {
                let each = |record: millrace_record::RecordView<'_>| {
                    read.push((record.offset, record.value.unwrap().to_vec()));
                };
                fetched.for_each(&mut scratch, each).unwrap();
            }
        }
        assert_eq!(read, [(number as i64, value.to_vec())]);
        read.clear();
        rounds.fetch_add(1, Ordering::Relaxed);
        sleep(Duration::from_millis(1)).await;
    }
}
