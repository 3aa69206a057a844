//! Connections: what they promise, and how they fail.

use bytes::{Bytes, BytesMut};
use millrace_runtime::{
    ListenOptions, Listener, PortSharing, Stream,
    sim::{Crash, NetOptions, NodeId, NodeOptions, World, WorldOptions},
    sleep, spawn, timeout,
};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    io::{self, ErrorKind},
    net::SocketAddr,
    rc::Rc,
    time::Duration,
};

const SEEDS: u64 = 30;
const PORT: u16 = 9092;

struct Pair {
    world: World,
    server: NodeId,
    client: NodeId,
    address: SocketAddr,
}

fn pair_with(seed: u64, net: NetOptions) -> Pair {
    let world = World::new(seed, WorldOptions { net, ..WorldOptions::default() });
    let server = world.add_node("server", NodeOptions::default());
    let client = world.add_node("client", NodeOptions::default());
    let address = SocketAddr::new(world.ip(server), PORT);
    Pair { world, server, client, address }
}

fn pair(seed: u64) -> Pair {
    pair_with(seed, NetOptions::default())
}

impl Pair {
    /// A connection's two ends.
    fn connected(&self) -> (Stream, Stream) {
        let listener = self.listen();
        let connecting = self.world.spawn(self.client, Stream::connect(self.address));
        let accepted = self.world.block_on(self.server, listener.accept()).expect("a connection");
        let connected = self.world.block_on(self.client, connecting).expect("nobody cancels it");
        (connected.expect("it is accepted"), accepted)
    }

    fn listen(&self) -> Listener {
        let listening = Listener::bind(self.address, ListenOptions::default());
        self.world.block_on(self.server, listening).expect("the port is free")
    }
}

async fn send(stream: &Stream, bytes: &'static [u8]) -> io::Result<()> {
    stream.send(vec![Bytes::from_static(bytes)]).await
}

/// Receives until the end of the stream.
async fn drain(stream: &Stream) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let received = stream.recv().await?;
        if received.is_empty() {
            return Ok(all);
        }
        all.extend_from_slice(&received);
    }
}

fn kind<T>(result: io::Result<T>) -> ErrorKind {
    result.map(drop).expect_err("it must fail").kind()
}

#[test]
fn bytes_arrive_whole_and_in_order_however_they_are_cut() {
    let mut lengths = BTreeSet::new();
    for seed in 0..SEEDS {
        let pair = pair(seed);
        let (a, b) = pair.connected();
        assert_eq!((a.local_addr(), a.peer_addr()), (b.peer_addr(), b.local_addr()));
        assert_eq!(b.local_addr(), pair.address);
        let sent: Vec<u8> = (0..300_000u32).map(|number| (number % 251) as u8).collect();
        let bytes = Bytes::from(sent.clone());
        drop(pair.world.spawn(pair.client, async move {
            let slices = vec![bytes.slice(..10), bytes.slice(10..10), bytes.slice(10..20_000)];
            a.send(slices).await.expect("it is open");
            a.send(vec![bytes.slice(20_000..)]).await.expect("it is open");
        }));
        let received = pair.world.block_on(pair.server, async {
            let mut all = Vec::new();
            let exactly = b.recv_exact(BytesMut::with_capacity(5_000)).await.expect("there is more");
            assert_eq!(exactly.len(), exactly.capacity());
            all.extend_from_slice(&exactly);
            loop {
                let received = b.recv().await.expect("it ends well");
                if received.is_empty() {
                    return all;
                }
                lengths.insert(received.len());
                all.extend_from_slice(&received);
            }
        });
        assert!(received == sent);
    }
    assert!(lengths.len() > 50, "only {} lengths in all worlds", lengths.len());
}

#[test]
fn a_sender_waits_for_a_receiver_that_does_not_read() {
    let pair = pair_with(1, NetOptions { window: 1000, ..NetOptions::default() });
    let (a, b) = pair.connected();
    let sent = Rc::new(Cell::new(0));
    let count = Rc::clone(&sent);
    drop(pair.world.spawn(pair.client, async move {
        while a.send(vec![Bytes::from_static(&[0; 100])]).await.is_ok() {
            count.set(count.get() + 1);
        }
    }));
    pair.world.run_for(Duration::from_secs(10));
    assert_eq!(sent.get(), 10);
    let received = pair.world.block_on(pair.server, b.recv()).expect("bytes").len();
    pair.world.run_for(Duration::from_secs(10));
    assert_eq!(sent.get(), (1000 + received) / 100);
}

#[test]
fn connecting_fails_as_it_should() {
    let pair = pair(2);
    let connect = |address| pair.world.block_on(pair.client, Stream::connect(address));
    assert_eq!(kind(connect(pair.address)), ErrorKind::ConnectionRefused);
    let nobody = SocketAddr::from(([10, 0, 0, 77], PORT));
    assert_eq!(kind(connect(nobody)), ErrorKind::TimedOut);
    let listener = pair.listen();
    connect(pair.address).expect("it listens");
    drop(listener);
    assert_eq!(kind(connect(pair.address)), ErrorKind::ConnectionRefused);
    pair.world.cut(pair.client, pair.server);
    assert_eq!(kind(connect(pair.address)), ErrorKind::TimedOut);
    pair.world.heal(pair.client, pair.server);
    pair.world.kill(pair.server, Crash::Process);
    assert_eq!(kind(connect(pair.address)), ErrorKind::ConnectionRefused);
    pair.world.kill(pair.server, Crash::PowerCut);
    assert_eq!(kind(connect(pair.address)), ErrorKind::TimedOut);
}

#[test]
fn addresses_are_taken_once_unless_shared() {
    let pair = pair(3);
    let bind = |address, sharing| {
        let options = ListenOptions { sharing, ..ListenOptions::default() };
        pair.world.block_on(pair.server, Listener::bind(address, options))
    };
    let any = |port| SocketAddr::from(([0, 0, 0, 0], port));
    let first = bind(any(0), PortSharing::Alone).expect("a free port");
    let second = bind(any(0), PortSharing::Alone).expect("a free port");
    assert_ne!(first.local_addr().port(), second.local_addr().port());
    assert_eq!(kind(bind(first.local_addr(), PortSharing::Alone)), ErrorKind::AddrInUse);
    assert_eq!(kind(bind(first.local_addr(), PortSharing::Joins)), ErrorKind::AddrInUse);
    let foreign = SocketAddr::new(pair.world.ip(pair.client), 1);
    assert_eq!(kind(bind(foreign, PortSharing::Alone)), ErrorKind::AddrNotAvailable);
    drop(first);
    let shared = [PortSharing::First, PortSharing::Joins];
    let shared = shared.map(|sharing| bind(pair.address, sharing).expect("it is shared"));
    assert_eq!(kind(bind(pair.address, PortSharing::First)), ErrorKind::AddrInUse);
    assert_eq!(kind(bind(any(PORT), PortSharing::Alone)), ErrorKind::AddrInUse);
    let taken: Vec<_> = shared
        .into_iter()
        .map(|listener| {
            let taken = Rc::new(RefCell::new(Vec::new()));
            let log = Rc::clone(&taken);
            drop(pair.world.spawn(pair.server, async move {
                loop {
                    let accepted = listener.accept().await.expect("a connection");
                    log.borrow_mut().push(accepted);
                }
            }));
            taken
        })
        .collect();
    for _ in 0..40 {
        drop(pair.world.block_on(pair.client, Stream::connect(pair.address)).expect("it listens"));
    }
    pair.world.run_for(Duration::from_secs(1));
    assert!(taken.iter().all(|taken| taken.borrow().len() > 5));
    assert_eq!(taken.iter().map(|taken| taken.borrow().len()).sum::<usize>(), 40);
}

#[test]
fn loopback_addresses_stay_within_the_node() {
    let pair = pair(4);
    let loopback = SocketAddr::from(([127, 0, 0, 1], PORT));
    let listener =
        pair.world.block_on(pair.server, Listener::bind(loopback, ListenOptions::default())).expect("free");
    let refused = pair.world.block_on(pair.client, Stream::connect(loopback));
    assert_eq!(kind(refused), ErrorKind::ConnectionRefused);
    let refused = pair.world.block_on(pair.client, Stream::connect(pair.address));
    assert_eq!(kind(refused), ErrorKind::ConnectionRefused);
    let stream = pair.world.block_on(pair.server, Stream::connect(loopback)).expect("it listens");
    assert!(stream.local_addr().ip().is_loopback());
    pair.world.block_on(pair.server, listener.accept()).expect("a connection");
}

#[test]
fn closing_ends_the_stream_and_then_resets_who_goes_on() {
    for seed in 0..SEEDS {
        let pair = pair(seed);
        let (a, b) = pair.connected();
        pair.world.block_on(pair.client, async {
            send(&a, b"hello").await.expect("it is open");
            let clone = a.clone();
            drop(a);
            send(&clone, b" world").await.expect("a clone keeps it open");
        });
        let received = pair.world.block_on(pair.server, async {
            let received = drain(&b).await.expect("it ends well");
            let rest = b.recv_exact(BytesMut::with_capacity(1)).await;
            assert_eq!(kind(rest), ErrorKind::UnexpectedEof);
            received
        });
        assert_eq!(received, b"hello world");
        // Nobody is there to read it: the peer's system says so.
        assert_eq!(pair.world.block_on(pair.server, send_until_error(&b)), ErrorKind::ConnectionReset);
    }
}

async fn send_until_error(stream: &Stream) -> ErrorKind {
    loop {
        if let Err(error) = send(stream, b"anybody?").await {
            return error.kind();
        }
        sleep(Duration::from_millis(100)).await;
    }
}

#[test]
fn closing_with_bytes_unread_resets() {
    let pair = pair(5);
    let (a, b) = pair.connected();
    pair.world.block_on(pair.client, send(&a, b"unread")).expect("it is open");
    pair.world.run_for(Duration::from_secs(1));
    drop(b);
    assert_eq!(kind(pair.world.block_on(pair.client, a.recv())), ErrorKind::ConnectionReset);
}

#[test]
fn a_shutdown_ends_both_directions_at_once() {
    let pair = pair(6);
    let (a, b) = pair.connected();
    pair.world.block_on(pair.client, async {
        let waiting = a.clone();
        let receiver = spawn(async move { waiting.recv().await.map(|received| received.len()) });
        sleep(Duration::from_millis(1)).await;
        a.shutdown();
        assert_eq!(receiver.await.expect("nobody cancels it").expect("an end"), 0);
        assert_eq!(kind(send(&a, b"more").await), ErrorKind::BrokenPipe);
        assert!(a.recv().await.expect("an end").is_empty());
    });
    assert_eq!(pair.world.block_on(pair.server, drain(&b)).expect("it ends well"), b"");
}

#[test]
fn a_cut_link_holds_bytes_until_it_is_healed() {
    for seed in 0..SEEDS {
        let pair = pair(seed);
        let (a, b) = pair.connected();
        pair.world.cut_one_way(pair.client, pair.server);
        pair.world.block_on(pair.client, send(&a, b"ping")).expect("it goes into the window");
        pair.world.block_on(pair.server, async {
            assert!(timeout(Duration::from_secs(3), b.recv()).await.is_err());
            send(&b, b"pong").await.expect("the other way is open");
        });
        let pong = pair.world.block_on(pair.client, a.recv_exact(BytesMut::with_capacity(4)));
        assert_eq!(pong.expect("the other way is open"), b"pong"[..]);
        pair.world.heal(pair.client, pair.server);
        drop(a);
        assert_eq!(pair.world.block_on(pair.server, drain(&b)).expect("it ends well"), b"ping");
    }
}

#[test]
fn who_sends_into_a_cut_gives_up_and_the_other_end_learns_when_it_sends() {
    for seed in 0..SEEDS {
        let pair = pair(seed);
        let (a, b) = pair.connected();
        pair.world.cut(pair.client, pair.server);
        pair.world.block_on(pair.client, async {
            send(&a, b"lost").await.expect("it goes into the window");
            assert_eq!(kind(a.recv().await), ErrorKind::TimedOut);
            assert_eq!(kind(send(&a, b"more").await), ErrorKind::TimedOut);
        });
        pair.world.heal(pair.client, pair.server);
        pair.world.block_on(pair.server, async {
            assert!(timeout(Duration::from_secs(100), b.recv()).await.is_err(), "half open");
            assert_eq!(send_until_error(&b).await, ErrorKind::ConnectionReset);
        });
    }
}

#[test]
fn a_killed_process_is_taken_leave_of_and_a_dark_node_is_silent() {
    for seed in 0..SEEDS {
        let pair = pair(seed);
        let (a, b) = pair.connected();
        pair.world.kill(pair.server, Crash::Process);
        drop(b);
        let end = pair.world.block_on(pair.client, drain(&a));
        assert!(end.is_ok_and(|bytes| bytes.is_empty()));

        let pair = self::pair(seed);
        let (a, b) = pair.connected();
        pair.world.kill(pair.server, Crash::PowerCut);
        drop(b);
        pair.world.block_on(pair.client, async {
            assert!(timeout(Duration::from_secs(100), a.recv()).await.is_err(), "nobody tells");
            assert_eq!(send_until_error(&a).await, ErrorKind::TimedOut);
        });

        let pair = self::pair(seed);
        let (a, b) = pair.connected();
        pair.world.kill(pair.server, Crash::PowerCut);
        drop(b);
        // It is up again, and knows of nothing.
        let listener = pair.listen();
        assert_eq!(pair.world.block_on(pair.client, send_until_error(&a)), ErrorKind::ConnectionReset);
        pair.world.block_on(pair.client, Stream::connect(pair.address)).expect("it listens");
        drop(listener);
    }
}

#[test]
fn connections_can_be_reset_from_outside() {
    let pair = pair(7);
    let (a, b) = pair.connected();
    pair.world.reset(pair.server, pair.client);
    assert_eq!(kind(pair.world.block_on(pair.client, a.recv())), ErrorKind::ConnectionReset);
    assert_eq!(kind(pair.world.block_on(pair.server, send(&b, b"x"))), ErrorKind::ConnectionReset);
}

#[test]
fn a_full_backlog_makes_connecting_wait_and_a_closed_listener_resets_it() {
    let pair = pair(8);
    let options = ListenOptions { backlog: 1, ..ListenOptions::default() };
    let listener = pair.world.block_on(pair.server, Listener::bind(pair.address, options)).expect("free");
    let first = pair.world.block_on(pair.client, Stream::connect(pair.address)).expect("there is room");
    let second = pair.world.spawn(pair.client, Stream::connect(pair.address));
    pair.world.run_for(Duration::from_secs(5));
    assert!(!second.is_finished());
    let accepted = pair.world.block_on(pair.server, listener.accept()).expect("the first");
    assert_eq!(accepted.peer_addr(), first.local_addr());
    let second = pair.world.block_on(pair.client, second).expect("nobody cancels it").expect("room");
    drop(listener);
    assert!(pair.world.block_on(pair.client, second.recv()).map_or(true, |bytes| bytes.is_empty()));
}

#[test]
fn what_is_cancelled_loses_nothing_and_leaves_nothing() {
    let pair = pair(9);
    let (a, b) = pair.connected();
    pair.world.block_on(pair.server, async {
        for _ in 0..5 {
            assert!(timeout(Duration::from_micros(10), b.recv()).await.is_err());
        }
    });
    pair.world.block_on(pair.client, async {
        send(&a, b"all of it").await.expect("it is open");
        drop(a);
    });
    assert_eq!(pair.world.block_on(pair.server, drain(&b)).expect("it ends well"), b"all of it");
}

#[test]
fn a_cancelled_connect_closes_what_was_accepted() {
    let mut accepted = 0;
    for seed in 0..SEEDS {
        let pair = pair(seed);
        let listener = pair.listen();
        let connecting = pair.world.spawn(pair.client, Stream::connect(pair.address));
        pair.world.run_for(Duration::from_millis(seed / 2));
        connecting.cancel();
        assert!(pair.world.block_on(pair.client, connecting).is_none_or(|connected| connected.is_ok()));
        pair.world.block_on(pair.server, async {
            if let Ok(stream) = timeout(Duration::from_secs(1), listener.accept()).await {
                accepted += 1;
                let end = stream.expect("a connection").recv().await;
                assert!(end.is_ok_and(|bytes| bytes.is_empty()));
            }
        });
    }
    assert!((1..SEEDS).contains(&accepted), "{accepted} were accepted");
}

#[test]
#[should_panic(expected = "a receive is in flight")]
fn two_receives_at_once_assert() {
    let pair = pair(10);
    let (_a, b) = pair.connected();
    pair.world.block_on(pair.server, async {
        let clone = b.clone();
        drop(spawn(async move { clone.recv().await.map(drop) }));
        sleep(Duration::from_millis(1)).await;
        b.recv().await.map(drop).expect("it never gets here");
    });
}

#[test]
fn who_holds_all_receive_buffers_keeps_others_waiting() {
    let pair = pair_with(11, NetOptions { receive_buffers: 2, ..NetOptions::default() });
    let (a, b) = pair.connected();
    pair.world.block_on(pair.client, send(&a, &[1; 40_000])).expect("it goes into the window");
    pair.world.block_on(pair.server, async {
        let held = [b.recv().await.expect("bytes"), b.recv().await.expect("bytes")];
        assert!(timeout(Duration::from_secs(10), b.recv()).await.is_err());
        let waiting = b.clone();
        let receiving = spawn(async move { waiting.recv().await.map(|bytes| bytes.len()) });
        sleep(Duration::from_secs(1)).await;
        drop(held);
        assert!(receiving.await.expect("nobody cancels it").expect("a buffer came back") > 0);
        assert_eq!(b.recv_exact(BytesMut::with_capacity(10)).await.expect("bytes").len(), 10);
    });
}
