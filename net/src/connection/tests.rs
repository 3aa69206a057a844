//! In simulated worlds, over whole listeners: the bounds, the order, the ends.

use super::*;
use crate::{
    kafka::{
        ApiKey, ErrorCode, RequestBody,
        api_versions::ApiVersionsRequest,
        encode_request,
        fetch::{FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData},
        heartbeat::{HeartbeatRequest, HeartbeatResponse},
        list_groups::ListGroupsRequest,
        metadata::{MetadataRequest, MetadataResponse},
        parse_response,
        produce::{PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData},
    },
    listener::{Acceptor, AcceptorOptions},
    testing::{Raw, Warnings, world},
    wire::RecordSet,
};
use millrace_runtime::{
    Instant, ListenOptions, Listener,
    sim::{NodeId, World},
    spawn, timeout,
};
use proptest::prelude::*;
use std::{
    future::ready,
    pin::pin,
    rc::Rc,
    task::{Context, Waker},
};

const PORT: u16 = 9092;

/// A server node and a client node.
struct Bench {
    world: World,
    server: NodeId,
    client: NodeId,
    acceptor: Acceptor,
}

impl Bench {
    fn new<H: Handler + 'static>(seed: u64, options: AcceptorOptions, handler: fn() -> H) -> Self {
        let (world, [server, client]) = world(seed);
        let address = SocketAddr::new(world.ip(server), PORT);
        let acceptor = world.block_on(server, async move {
            let listener = Listener::bind(address, ListenOptions::default()).await.unwrap();
            Acceptor::start(listener, options, move |_| handler())
        });
        Self { world, server, client, acceptor }
    }

    fn connect(&self) -> Raw {
        self.world.block_on(self.client, Raw::connect(self.acceptor.local_addr()))
    }

    fn run<F: Future>(&self, future: F) -> F::Output {
        self.world.block_on(self.client, future)
    }
}

fn heartbeat(generation_id: i32) -> HeartbeatRequest {
    HeartbeatRequest { generation_id, ..Default::default() }
}

/// Answers a heartbeat after as many milliseconds as its generation says, with the generation as throttle time.
/// A Produce with acks = 0 is not answered.
fn sleeper() -> impl Handler {
    |request: Request| async move {
        match request.body {
            RequestBody::Heartbeat(HeartbeatRequest { generation_id, .. }) => {
                sleep(Duration::from_millis(u64::try_from(generation_id).unwrap())).await;
                Some(HeartbeatResponse { throttle_time_ms: generation_id, ..Default::default() }.into())
            }
            RequestBody::Produce(produce) if produce.acks == 0 => None,
            RequestBody::Produce(produce) => {
                let len = produce.topic_data[0].partition_data[0].records.as_ref().map_or(0, RecordSet::len);
                let throttle_time_ms = i32::try_from(len).unwrap();
                Some(ProduceResponse { throttle_time_ms, ..Default::default() }.into())
            }
            RequestBody::Metadata(_) => {
                let cluster_id = Some("x".repeat(20 << 20));
                Some(MetadataResponse { cluster_id, ..Default::default() }.into())
            }
            body => panic!("{body:?}"),
        }
    }
}

fn produce(acks: i16, len: usize) -> ProduceRequest {
    let records = Some(RecordSet::from(Bytes::from(vec![7; len])));
    let partition_data = vec![PartitionProduceData { index: 0, records }];
    let topic_data = vec![TopicProduceData { partition_data, ..Default::default() }];
    ProduceRequest { acks, topic_data, ..Default::default() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn answers_come_in_the_order_of_the_requests(
        seed in any::<u64>(),
        delays in proptest::collection::vec(0_i32..40, 1..100),
        in_flight_max in 1_usize..10,
    ) {
        let connection = ConnectionOptions { in_flight_max, ..Default::default() };
        let bench = Bench::new(seed, AcceptorOptions { connection, ..Default::default() }, sleeper);
        let mut raw = bench.connect();
        let started = bench.world.now();
        bench.run(async {
            for (id, &delay) in (0..).zip(&delays) {
                raw.send(id, &heartbeat(delay)).await;
            }
            for (id, &delay) in (0..).zip(&delays) {
                assert_eq!(raw.receive::<HeartbeatRequest>(id).await.throttle_time_ms, delay);
            }
        });
        // They overlapped, unless only one was let in at a time.
        let serial: i32 = delays.iter().sum();
        if in_flight_max > 5 && delays.len() > 20 {
            let took = bench.world.now() - started;
            assert!(took < Duration::from_millis(u64::try_from(serial).unwrap()), "{took:?} of {serial} ms");
        }
        prop_assert_eq!(bench.acceptor.in_flight_bytes(), 0);
    }
}

/// The most requests of `len` bytes that were with the handler at a time, of `connections` with 12 each.
fn most_in_flight(len: usize, connections: usize) -> usize {
    let (world, [server, client]) = world(5);
    let address = SocketAddr::new(world.ip(server), PORT);
    let (now, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let seen = Rc::clone(&most);
    let acceptor = world.block_on(server, async move {
        let listener = Listener::bind(address, ListenOptions::default()).await.unwrap();
        let connection =
            ConnectionOptions { in_flight_max: 4, in_flight_bytes_max: 250_000, ..Default::default() };
        let options =
            AcceptorOptions { connection, in_flight_bytes_max: 350_000, ..AcceptorOptions::default() };
        Acceptor::start(listener, options, move |_| {
            let (now, seen) = (Rc::clone(&now), Rc::clone(&seen));
            move |_: Request| {
                let (now, seen) = (Rc::clone(&now), Rc::clone(&seen));
                async move {
                    now.set(now.get() + 1);
                    seen.set(seen.get().max(now.get()));
                    // Long enough for everything else that may come to come.
                    sleep(Duration::from_secs(1)).await;
                    now.set(now.get() - 1);
                    Some(ProduceResponse::default().into())
                }
            }
        })
    });
    world.block_on(client, async {
        let mut raws = Vec::new();
        for _ in 0..connections {
            let raw = Raw::connect(address).await;
            let mut sender = Raw::over(raw.stream.clone());
            drop(spawn(async move {
                for id in 0..12 {
                    sender.send(id, &produce(-1, len)).await;
                }
            }));
            raws.push(raw);
        }
        for raw in &mut raws {
            for id in 0..12 {
                raw.receive::<ProduceRequest>(id).await;
            }
        }
    });
    assert_eq!(acceptor.in_flight_bytes(), 0);
    most.get()
}

#[test]
fn no_more_than_the_bounds_is_in_flight() {
    // Four requests a connection.
    assert_eq!(most_in_flight(10, 1), 4);
    assert_eq!(most_in_flight(10, 3), 12);
    // 250,000 bytes a connection, 350,000 together.
    assert_eq!(most_in_flight(100_000, 1), 2);
    assert_eq!(most_in_flight(60_000, 1), 4);
    assert_eq!(most_in_flight(100_000, 2), 3);
    assert_eq!(most_in_flight(60_000, 3), 5);
    // What fits nowhere goes alone.
    assert_eq!(most_in_flight(400_000, 2), 1);
}

#[test]
fn a_small_request_is_not_held_up_by_the_large_one_behind_it() {
    let connection = ConnectionOptions { in_flight_bytes_max: 200_000, ..Default::default() };
    let options = AcceptorOptions { connection, in_flight_bytes_max: 200_000, ..Default::default() };
    let bench = Bench::new(14, options, sleeper);
    let mut raw = bench.connect();
    bench.run(async {
        // Both in one chunk, as far as it reaches, and the second takes the whole budget.
        let small = encode_request(&mut raw.writer, 4, 1, None, &heartbeat(0)).unwrap();
        let large = encode_request(&mut raw.writer, 13, 2, None, &produce(-1, 300_000)).unwrap();
        raw.stream.send(vec![[small, large].concat().concat().into()]).await.unwrap();
        raw.receive::<HeartbeatRequest>(1).await;
        raw.receive::<ProduceRequest>(2).await;
    });
}

#[test]
fn requests_of_any_size_arrive_whole() {
    let bench = Bench::new(11, AcceptorOptions::default(), sleeper);
    let mut raw = bench.connect();
    bench.run(async {
        for (id, len) in (0..).zip([0, 1, 65_000, 65_536, 70_000, 3 << 20, 100, 5_000_000]) {
            raw.send(id, &produce(-1, len)).await;
            let length = raw.receive::<ProduceRequest>(id).await.throttle_time_ms;
            assert_eq!(usize::try_from(length).unwrap(), len);
        }
    });
    let Traffic { requests, received_bytes, sent_bytes, .. } = bench.acceptor.traffic();
    assert_eq!(requests, 8);
    assert!((8_346_365..8_347_365).contains(&received_bytes), "{received_bytes}");
    assert!((80..1000).contains(&sent_bytes), "{sent_bytes}");
}

#[test]
fn a_request_without_answer_is_passed_over() {
    let bench = Bench::new(1, AcceptorOptions::default(), sleeper);
    let mut raw = bench.connect();
    bench.run(async {
        raw.send(1, &heartbeat(3)).await;
        raw.send(2, &produce(0, 10)).await;
        raw.send(3, &heartbeat(1)).await;
        raw.receive::<HeartbeatRequest>(1).await;
        raw.receive::<HeartbeatRequest>(3).await;
    });
}

#[test]
fn a_client_from_the_future_is_told_what_is_served() {
    let bench = Bench::new(2, AcceptorOptions::default(), sleeper);
    let mut raw = bench.connect();
    bench.run(async {
        raw.send_bytes(&[0, 0, 0, 11, 0, 18, 0, 99, 0, 0, 0, 7, 1, 2, 3]).await;
        let frame = raw.frame().await.unwrap();
        let answer = parse_response::<ApiVersionsRequest>(&frame, 0, 7).unwrap();
        assert_eq!(answer.error_code, ErrorCode::UNSUPPORTED_VERSION);
        assert_eq!(answer.api_keys, [ApiKey::ApiVersions.advertised()]);
        raw.send(8, &heartbeat(0)).await;
        raw.receive::<HeartbeatRequest>(8).await;
    });
}

#[test]
fn a_peer_that_breaks_the_protocol_costs_one_line_and_nobody_else_anything() {
    let bad: [&[u8]; 6] = [
        // 2 GiB announced.
        &[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0],
        &[0xff, 0xff, 0xff, 0xff],
        // An unknown API; an unknown version; a count of 20 million; a null topic name.
        &[0, 0, 0, 10, 0, 99, 0, 0, 0, 0, 0, 1, 0xff, 0xff],
        &[0, 0, 0, 10, 0, 1, 0, 99, 0, 0, 0, 1, 0xff, 0xff],
        &[0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 1, 49, 45, 0],
        &[0, 0, 0, 16, 0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 1, 0xff, 0xff],
    ];
    for (seed, bytes) in (0..).zip(bad) {
        let warnings = Warnings::default();
        warnings.clone().during(|| {
            let bench = Bench::new(seed, AcceptorOptions::default(), sleeper);
            let (mut good, mut bad) = (bench.connect(), bench.connect());
            bench.run(async {
                good.send(1, &heartbeat(20)).await;
                bad.send(1, &heartbeat(10)).await;
                bad.send_bytes(bytes).await;
                // What was asked before is still answered, then the connection is closed.
                bad.receive::<HeartbeatRequest>(1).await;
                assert_eq!(bad.frame().await, None);
                good.receive::<HeartbeatRequest>(1).await;
                good.send(2, &heartbeat(0)).await;
                good.receive::<HeartbeatRequest>(2).await;
            });
            let Traffic { connections, faults, requests, .. } = bench.acceptor.traffic();
            assert_eq!((connections, faults, requests), (2, 1, 3));
        });
        assert_eq!(warnings.count(), 1, "{bytes:?}");
    }
}

#[test]
fn a_request_cut_short_costs_one_line() {
    for sent in [&[0, 0][..], &[0, 0, 0, 20, 0, 18, 0], &[0, 2, 0, 0, 0, 18, 0, 1]] {
        let warnings = Warnings::default();
        warnings.clone().during(|| {
            let bench = Bench::new(13, AcceptorOptions::default(), sleeper);
            let raw = bench.connect();
            bench.run(async {
                raw.send_bytes(sent).await;
                sleep(Duration::from_millis(50)).await;
                drop(raw);
            });
            bench.world.run_until(|| bench.acceptor.connections() == 0);
        });
        assert_eq!(warnings.count(), 1, "{sent:?}");
    }
}

#[test]
fn bytes_behind_a_request_are_passed_over_as_by_kafka() {
    let warnings = Warnings::default();
    warnings.clone().during(|| {
        let bench = Bench::new(2, AcceptorOptions::default(), sleeper);
        let mut raw = bench.connect();
        bench.run(async {
            for id in 1..4 {
                let frame = encode_request(&mut raw.writer, 4, id, None, &heartbeat(0)).unwrap().concat();
                let length = u32::try_from(frame.len() - 4 + 3).unwrap();
                raw.send_bytes(&[&length.to_be_bytes()[..], &frame[4..], b"abc"].concat()).await;
                raw.receive::<HeartbeatRequest>(id).await;
            }
        });
    });
    assert_eq!(warnings.count(), 1);
}

#[test]
fn a_peer_that_leaves_is_no_fault_and_its_requests_are_finished() {
    let warnings = Warnings::default();
    warnings.clone().during(|| {
        let finished = Rc::new(Cell::new(0));
        let (world, [server, client]) = world(3);
        let address = SocketAddr::new(world.ip(server), PORT);
        let counter = Rc::clone(&finished);
        let acceptor = world.block_on(server, async move {
            let listener = Listener::bind(address, ListenOptions::default()).await.unwrap();
            Acceptor::start(listener, AcceptorOptions::default(), move |_| {
                let counter = Rc::clone(&counter);
                move |_: Request| {
                    let counter = Rc::clone(&counter);
                    async move {
                        sleep(Duration::from_millis(50)).await;
                        counter.set(counter.get() + 1);
                        None
                    }
                }
            })
        });
        world.block_on(client, async {
            let mut raw = Raw::connect(address).await;
            raw.send(1, &produce(0, 10)).await;
            raw.send(2, &produce(0, 100_000)).await;
            sleep(Duration::from_millis(20)).await;
        });
        world.run_until(|| acceptor.connections() == 0);
        assert_eq!(finished.get(), 2);
    });
    assert_eq!(warnings.count(), 0);
}

/// Seconds of virtual time until the server has closed the connection.
fn seconds_until_closed(bench: &Bench, raw: &mut Raw) -> u64 {
    let started = bench.world.now();
    bench.run(async { while raw.frame().await.is_some() {} });
    (bench.world.now() - started).as_secs()
}

#[test]
fn idle_and_stalled_peers_are_sent_away() {
    let bench = Bench::new(4, AcceptorOptions::default(), sleeper);
    let mut idle = bench.connect();
    bench.run(async {
        idle.send(1, &heartbeat(0)).await;
        idle.receive::<HeartbeatRequest>(1).await;
    });
    let seconds = seconds_until_closed(&bench, &mut idle);
    assert!((600..=604).contains(&seconds), "{seconds}");

    let mut within_a_frame = bench.connect();
    bench.run(within_a_frame.send_bytes(&[0, 0, 0, 100, 0, 18]));
    let seconds = seconds_until_closed(&bench, &mut within_a_frame);
    assert!((30..=38).contains(&seconds), "{seconds}");

    let mut within_a_large_frame = bench.connect();
    bench.run(within_a_large_frame.send_bytes(&[0, 16, 0, 0, 0, 18]));
    let seconds = seconds_until_closed(&bench, &mut within_a_large_frame);
    assert!((30..=38).contains(&seconds), "{seconds}");
    assert_eq!(bench.acceptor.in_flight_bytes(), 0);
}

#[test]
fn a_peer_that_does_not_read_is_sent_away_and_one_that_reads_slowly_is_not() {
    let bench = Bench::new(6, AcceptorOptions::default(), sleeper);
    let mut deaf = bench.connect();
    let mut slow = bench.connect();
    bench.run(async {
        slow.send(1, &MetadataRequest::default()).await;
        let mut len = 0;
        while len < 20 << 20 {
            sleep(Duration::from_millis(40)).await;
            len += slow.stream.recv().await.unwrap().len();
        }
        deaf.send(1, &MetadataRequest::default()).await;
        sleep(Duration::from_secs(40)).await;
    });
    assert_eq!(bench.acceptor.connections(), 1);
}

#[test]
fn a_slow_handler_is_nobodys_fault() {
    let bench = Bench::new(7, AcceptorOptions::default(), sleeper);
    let mut raw = bench.connect();
    bench.run(async {
        raw.send(1, &heartbeat(1_800_000)).await;
        raw.receive::<HeartbeatRequest>(1).await;
    });
}

#[test]
fn draining_answers_what_is_in_flight_and_closes() {
    let bench = Bench::new(8, AcceptorOptions::default(), sleeper);
    let (mut busy, mut idle) = (bench.connect(), bench.connect());
    bench.run(busy.send(1, &heartbeat(2_000)));
    bench.world.run_for(Duration::from_millis(100));
    let acceptor = bench.acceptor.clone();
    let drained = bench.world.spawn(bench.server, async move {
        let started = Instant::now();
        acceptor.drain().await;
        Instant::now() - started
    });
    bench.run(async {
        assert_eq!(idle.frame().await, None);
        assert!(Stream::connect(bench.acceptor.local_addr()).await.is_err());
        busy.receive::<HeartbeatRequest>(1).await;
        assert_eq!(busy.frame().await, None);
    });
    let took = bench.run(drained).unwrap();
    assert!(took > Duration::from_secs(1) && took < Duration::from_secs(3), "{took:?}");
    assert_eq!(bench.acceptor.connections(), 0);
}

/// Who is accepted in the very moment in which the drain begins is not among the connections that it finds.
#[test]
fn a_connection_that_comes_with_the_drain_is_closed_too() {
    let (world, [server, client]) = world(10);
    let address = SocketAddr::new(world.ip(server), PORT);
    let place = Rc::new(std::cell::OnceCell::<Acceptor>::new());
    let draining = Rc::clone(&place);
    let acceptor = world.block_on(server, async move {
        let listener = Listener::bind(address, ListenOptions::default()).await.unwrap();
        Acceptor::start(listener, AcceptorOptions::default(), move |_| {
            let begun = pin!(draining.get().unwrap().drain()).poll(&mut Context::from_waker(Waker::noop()));
            assert!(begun.is_pending());
            sleeper()
        })
    });
    assert!(place.set(acceptor).is_ok());
    let mut raw = world.block_on(client, Raw::connect(address));
    let end = world.block_on(client, async { timeout(Duration::from_secs(5), raw.frame()).await });
    assert_eq!(end, Ok(None));
}

#[test]
fn draining_ends_even_if_a_handler_does_not() {
    let warnings = Warnings::default();
    warnings.clone().during(|| {
        let bench = Bench::new(9, AcceptorOptions::default(), sleeper);
        let mut raw = bench.connect();
        bench.run(raw.send(1, &heartbeat(i32::MAX)));
        bench.world.run_for(Duration::from_millis(100));
        let acceptor = bench.acceptor.clone();
        bench.world.block_on(bench.server, async move { acceptor.drain().await });
        bench.run(async { assert_eq!(raw.frame().await, None) });
    });
    assert_eq!(warnings.count(), 1);
}

#[test]
fn accepting_pauses_at_the_bound() {
    let options = AcceptorOptions { connections_max: 2, ..Default::default() };
    let bench = Bench::new(10, options, sleeper);
    let (first, mut second, mut third) = (bench.connect(), bench.connect(), bench.connect());
    bench.run(async {
        third.send(1, &heartbeat(0)).await;
        second.send(1, &heartbeat(0)).await;
        second.receive::<HeartbeatRequest>(1).await;
        sleep(Duration::from_secs(1)).await;
    });
    assert_eq!(bench.acceptor.connections(), 2);
    drop(first);
    bench.run(async { third.receive::<HeartbeatRequest>(1).await });
}

#[test]
fn requests_are_short_until_the_peer_has_authenticated() {
    let (world, [server, client]) = world(12);
    let address = SocketAddr::new(world.ip(server), PORT);
    world.block_on(server, async move {
        let listener = Listener::bind(address, ListenOptions::default()).await.unwrap();
        let connection = ConnectionOptions { authentication: true, ..Default::default() };
        Acceptor::start(listener, AcceptorOptions { connection, ..Default::default() }, |peer| {
            let peer = Rc::clone(peer);
            move |request: Request| {
                if matches!(request.body, RequestBody::ListGroups(_)) {
                    peer.authenticate();
                }
                ready(Some(ProduceResponse::default().into()))
            }
        });
    });
    world.block_on(client, async {
        let mut raw = Raw::connect(address).await;
        raw.send_bytes(&70_000_u32.to_be_bytes()).await;
        assert_eq!(raw.frame().await, None);
        let mut raw = Raw::connect(address).await;
        raw.send(1, &ListGroupsRequest::default()).await;
        raw.frame().await.unwrap();
        raw.send(2, &produce(-1, 70_000)).await;
        raw.receive::<ProduceRequest>(2).await;
    });
}

#[test]
fn responses_are_sent_in_steps() {
    let pieces = |lens: &[usize]| lens.iter().map(|&len| Bytes::from(vec![1; len])).collect::<Vec<_>>();
    let lens = |pieces: &[Bytes]| pieces.iter().map(Bytes::len).collect::<Vec<_>>();
    for (all, first, second) in [
        (vec![4, 3, 2], vec![4, 3, 2], vec![]),
        (vec![4, 6, 2], vec![4, 6], vec![2]),
        (vec![4, 7, 2], vec![4, 6], vec![1, 2]),
        (vec![25], vec![10], vec![15]),
        (vec![10, 1], vec![10], vec![1]),
    ] {
        let mut head = pieces(&all);
        let rest = split_off(&mut head, 10);
        assert_eq!((lens(&head), lens(&rest)), (first, second), "{all:?}");
    }
}

/// Who asks for no answer learns of a failure by the closed connection, after the answers to earlier requests.
#[test]
fn a_request_that_fails_without_an_answer_closes_the_connection() {
    let bench = Bench::new(3, AcceptorOptions::default(), || {
        |request: Request| async move {
            match request.body {
                RequestBody::Produce(_) => Answer::Close,
                _ => {
                    sleep(Duration::from_millis(5)).await;
                    Answer::Response(HeartbeatResponse::default().into())
                }
            }
        }
    });
    let mut raw = bench.connect();
    bench.run(async {
        raw.send(1, &heartbeat(0)).await;
        raw.send(2, &produce(0, 10)).await;
        raw.send(3, &heartbeat(0)).await;
        raw.receive::<HeartbeatRequest>(1).await;
        assert_eq!(raw.frame().await, None);
    });
}

/// How many of 12 Fetch requests of a peer that reads nothing are let in, and what waits for it then.
fn fetched_ahead(max_bytes: i32, brought: usize) -> usize {
    let (world, [server, client]) = world(9);
    let address = SocketAddr::new(world.ip(server), PORT);
    let started = Rc::new(Cell::new(0));
    let seen = Rc::clone(&started);
    let acceptor = world.block_on(server, async move {
        let listener = Listener::bind(address, ListenOptions::default()).await.unwrap();
        let connection = ConnectionOptions { unsent_bytes_max: 40 << 20, ..Default::default() };
        let options = AcceptorOptions { connection, ..AcceptorOptions::default() };
        Acceptor::start(listener, options, move |_| {
            let started = Rc::clone(&seen);
            move |_: Request| {
                started.set(started.get() + 1);
                let records = Some(RecordSet::from(Bytes::from(vec![7; brought])));
                let partitions = vec![PartitionData { records, ..Default::default() }];
                let topic = FetchableTopicResponse { partitions, ..Default::default() };
                ready(Some(FetchResponse { responses: vec![topic], ..Default::default() }.into()))
            }
        })
    });
    world.block_on(client, async {
        let mut raw = Raw::connect(address).await;
        let mut sender = Raw::over(raw.stream.clone());
        for id in 0..12 {
            sender.send(id, &FetchRequest { max_bytes, ..Default::default() }).await;
        }
        sleep(Duration::from_secs(1)).await;
        let ahead = started.get();
        for id in 0..12 {
            let fetched = raw.receive::<FetchRequest>(id).await;
            assert_eq!(Response::from(fetched).records_len(), brought);
        }
        assert_eq!((started.get(), acceptor.in_flight_bytes()), (12, 0));
        ahead
    })
}

/// What waits for a peer that is slow to read is bounded by bytes, whatever it asks for ahead.
#[test]
fn a_peer_that_does_not_read_is_not_read_ahead_for() {
    assert_eq!(fetched_ahead(10 << 20, 10 << 20), 4, "each brings all that it admits");
    assert_eq!(
        fetched_ahead(30 << 20, 2 << 20),
        6,
        "it counts with what it brings, as soon as that is known"
    );
    assert_eq!(fetched_ahead(i32::MAX, 1 << 20), 1, "one of any size is let in alone");
    assert_eq!(fetched_ahead(1 << 20, 0), 12);
}

/// What an answer was made out of is in use until its peer has taken it.
#[test]
fn the_memory_of_an_answer_is_given_back_when_it_is_taken() {
    let (world, [server, client]) = world(10);
    let address = SocketAddr::new(world.ip(server), PORT);
    let memory = Budget::new(100 << 20);
    let charged = memory.clone();
    world.block_on(server, async move {
        let listener = Listener::bind(address, ListenOptions::default()).await.unwrap();
        Acceptor::start(listener, AcceptorOptions::default(), move |_| {
            let memory = charged.clone();
            move |_: Request| {
                let memory = memory.clone();
                async move {
                    let records = Some(RecordSet::from(Bytes::from(vec![7; 20 << 20])));
                    let partitions = vec![PartitionData { records, ..Default::default() }];
                    let topic = FetchableTopicResponse { partitions, ..Default::default() };
                    let response = FetchResponse { responses: vec![topic], ..Default::default() };
                    Answer::Charged(response.into(), memory.charge(20 << 20).await)
                }
            }
        })
    });
    world.block_on(client, async {
        let mut raw = Raw::connect(address).await;
        for id in 0..2 {
            raw.send(id, &FetchRequest { max_bytes: 20 << 20, ..Default::default() }).await;
        }
        sleep(Duration::from_secs(1)).await;
        assert_eq!(memory.in_use(), 40 << 20);
        for id in 0..2 {
            raw.receive::<FetchRequest>(id).await;
        }
        sleep(Duration::from_secs(1)).await;
        assert_eq!(memory.in_use(), 0);
    });
}
