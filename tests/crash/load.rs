//! Producers of several kinds and a consumer, who keep at it while the server comes and goes.

use crate::{
    ledger::{Ledger, Logs, Mark},
    process::client,
};
use millrace_net::client::{
    Admin, Cluster, ClusterOptions, Consumer, ConsumerOptions, Delivery, Producer, ProducerOptions,
    admin::NewTopic, producer::NewRecord,
};
use millrace_record::Scratch;
use millrace_runtime::{JoinHandle, sleep, spawn};
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const TOPIC: &str = "load";
const PARTITIONS: i32 = 5;

/// Bytes that a producer has under way: enough for several batches, few enough to be answered soon.
const BUFFER_BYTES: usize = 128 << 10;

/// How long a client may try something: longer than any number of restarts in a row takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// Clients at work, on a thread of their own.
pub(crate) struct Load {
    ledger: Arc<Mutex<Ledger>>,
    over: Arc<AtomicBool>,
    thread: thread::JoinHandle<()>,
}

impl Load {
    /// Creates the topic and begins.
    pub(crate) fn start(server: SocketAddr) -> Self {
        let (ledger, over) = (Arc::<Mutex<Ledger>>::default(), Arc::<AtomicBool>::default());
        let (shared, stop) = (Arc::clone(&ledger), Arc::clone(&over));
        client(move || async move { create(server).await });
        let thread = thread::spawn(move || client(move || work(server, shared, stop)));
        Self { ledger, over, thread }
    }

    /// What the clients know so far.
    pub(crate) fn acknowledgements(&self) -> usize {
        assert!(!self.thread.is_finished(), "a client has failed");
        self.ledger.lock().unwrap().acknowledgements()
    }

    /// Waits for this many further acknowledgements.
    pub(crate) fn go_on(&self, acknowledgements: usize) {
        let enough = self.acknowledgements() + acknowledgements;
        let end = Instant::now() + PATIENCE;
        while self.acknowledgements() < enough {
            assert!(Instant::now() < end, "nothing is acknowledged any more");
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Lets producers send and be acknowledged what they have begun.
    pub(crate) fn stop(self) -> Ledger {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        Arc::into_inner(self.ledger).unwrap().into_inner().unwrap()
    }

    /// Holds the whole log against what is known at the moment.
    pub(crate) fn check(&self, server: SocketAddr) {
        // What is acknowledged while we read is not looked for.
        let known = {
            let ledger = self.ledger.lock().unwrap();
            Ledger {
                idempotent: ledger.idempotent.clone(),
                acknowledged: ledger.acknowledged.clone(),
                seen: ledger.seen.clone(),
            }
        };
        known.check(&read(server));
    }
}

/// Everything in the log.
pub(crate) fn read(server: SocketAddr) -> Logs {
    client(move || read_all(server))
}

fn cluster(server: SocketAddr) -> Cluster {
    // Whoever is cut off is back soon after the server.
    let retry_backoff_max = Duration::from_millis(50);
    Cluster::new(vec![server], ClusterOptions { retry_backoff_max, ..ClusterOptions::default() })
}

async fn create(server: SocketAddr) {
    let topic = NewTopic {
        name: TOPIC.to_owned(),
        partitions: Some(PARTITIONS),
        replication_factor: None,
        configs: Vec::new(),
    };
    Admin::new(cluster(server), PATIENCE).create_topic(&topic).await.unwrap();
}

async fn work(server: SocketAddr, ledger: Arc<Mutex<Ledger>>, over: Arc<AtomicBool>) {
    let ids = Rc::new(AtomicU32::new(0));
    let producers: Vec<JoinHandle<()>> = [true, true, false, false]
        .map(|idempotent| {
            let new = New { server, idempotent, ledger: Arc::clone(&ledger), over: Arc::clone(&over) };
            spawn(produce(new, u64::MAX, ids.fetch_add(1, Ordering::Relaxed)))
        })
        .into();
    // Producers that come and go, each with an id of its own.
    let visitors = {
        let (ledger, over) = (Arc::clone(&ledger), Arc::clone(&over));
        spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let new =
                    New { server, idempotent: true, ledger: Arc::clone(&ledger), over: Arc::clone(&over) };
                produce(new, 40, ids.fetch_add(1, Ordering::Relaxed)).await;
            }
        })
    };
    let consumer = spawn(consume(server, Arc::clone(&ledger), Arc::clone(&over)));
    for producer in producers {
        producer.await;
    }
    visitors.await;
    consumer.await;
}

struct New {
    server: SocketAddr,
    idempotent: bool,
    ledger: Arc<Mutex<Ledger>>,
    over: Arc<AtomicBool>,
}

/// Sends `count` records to each partition, or until it is over, and notes what is acknowledged.
async fn produce(new: New, count: u64, producer: u32) {
    let New { server, idempotent, ledger, over } = new;
    if idempotent {
        ledger.lock().unwrap().idempotent.insert(producer);
    }
    let options = ProducerOptions {
        idempotent,
        linger: Duration::from_millis(1),
        batch_bytes_max: 100 << 10,
        buffer_bytes_max: BUFFER_BYTES,
        delivery_timeout: PATIENCE,
        ..ProducerOptions::default()
    };
    let sender = Producer::new(cluster(server), options).await.unwrap();
    let under_way = Rc::<UnderWay>::default();
    let noting = spawn(note(Rc::clone(&under_way), ledger));
    'sending: for number in 0..count {
        for partition in 0..PARTITIONS {
            if over.load(Ordering::Relaxed) {
                break 'sending;
            }
            let mark = Mark { producer, number };
            let value = mark.value();
            let record = NewRecord { value: Some(&value), ..NewRecord::default() };
            let delivery = sender.send(TOPIC, Some(partition), record).await.unwrap();
            under_way.deliveries.borrow_mut().push_back((partition, mark, delivery));
        }
    }
    sender.flush().await.unwrap();
    under_way.is_all.set(true);
    noting.await;
}

/// What a producer has sent and not noted.
#[derive(Default)]
struct UnderWay {
    deliveries: RefCell<VecDeque<(i32, Mark, Delivery)>>,
    is_all: Cell<bool>,
}

/// Notes acknowledgements as they come.
async fn note(under_way: Rc<UnderWay>, ledger: Arc<Mutex<Ledger>>) {
    loop {
        let next = under_way.deliveries.borrow_mut().pop_front();
        match next {
            Some((partition, mark, delivery)) => {
                let offset = delivery.offset().await.unwrap();
                ledger.lock().unwrap().acknowledge(partition, offset, mark);
            }
            None if under_way.is_all.get() => return,
            None => sleep(Duration::from_millis(1)).await,
        }
    }
}

/// Reads what comes, and notes it: what was visible once must stay.
async fn consume(server: SocketAddr, ledger: Arc<Mutex<Ledger>>, over: Arc<AtomicBool>) {
    let mut consumer = Consumer::new(cluster(server), ConsumerOptions::default());
    (0..PARTITIONS).for_each(|partition| consumer.assign(TOPIC, partition, 0));
    let mut scratch = Scratch::new(16 << 20);
    while !over.load(Ordering::Relaxed) {
        for fetched in consumer.poll().await.unwrap() {
            let mut ledger = ledger.lock().unwrap();
            let see = |record: millrace_record::RecordView<'_>| {
                let seen = (fetched.partition, record.offset);
                let before = ledger.seen.insert(seen, Mark::of(record.value.unwrap()));
                assert_eq!(before, None, "{seen:?} was read twice");
            };
            fetched.for_each(&mut scratch, see).unwrap();
        }
        sleep(Duration::from_millis(5)).await;
    }
}

async fn read_all(server: SocketAddr) -> Logs {
    const LATEST: i64 = -1;
    let cluster = cluster(server);
    let admin = Admin::new(cluster.clone(), PATIENCE);
    let mut consumer = Consumer::new(cluster, ConsumerOptions::default());
    let mut ends = Vec::new();
    let mut logs = Logs::new();
    for partition in 0..PARTITIONS {
        ends.push(admin.list_offset(TOPIC, partition, LATEST).await.unwrap().offset);
        logs.insert(partition, Vec::new());
        consumer.assign(TOPIC, partition, 0);
    }
    let mut scratch = Scratch::new(16 << 20);
    while logs.values().zip(&ends).any(|(log, end)| (log.len() as i64) < *end) {
        for fetched in consumer.poll().await.unwrap() {
            let log = logs.get_mut(&fetched.partition).unwrap();
            let each = |record: millrace_record::RecordView<'_>| {
                assert_eq!(record.offset, log.len() as i64, "no offset is left out");
                log.push(Mark::of(record.value.unwrap()));
            };
            fetched.for_each(&mut scratch, each).unwrap();
        }
    }
    logs
}
