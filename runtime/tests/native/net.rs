//! Sockets: order, large transfers, ends of streams, exhausted buffers.

use crate::run;
use bytes::{Bytes, BytesMut};
use millrace_runtime::{ListenOptions, Listener, PortSharing, Stream, sleep, spawn, timeout, yield_now};
use std::{future::poll_fn, io, net::SocketAddr, pin::pin, task::Poll, time::Duration};

const LOOPBACK: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

async fn listener() -> Listener {
    Listener::bind(SocketAddr::from(LOOPBACK), ListenOptions::default()).await.unwrap()
}

/// Both ends of a connection.
async fn pair() -> (Stream, Stream) {
    let listener = listener().await;
    let address = listener.local_addr();
    let connecting = spawn(async move { Stream::connect(address).await.unwrap() });
    let accepted = listener.accept().await.unwrap();
    let connected = connecting.await.unwrap();
    assert_eq!(accepted.peer_addr(), connected.local_addr());
    assert_eq!(accepted.local_addr(), connected.peer_addr());
    (accepted, connected)
}

/// A pattern in which every position can be told from its neighbours.
fn pattern(start: usize, len: usize) -> Bytes {
    (start..start + len).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

#[test]
fn large_transfers_both_ways_arrive_whole_and_in_order() {
    const LEN: usize = 24 << 20;
    run(async |_| {
        let (one, other) = pair().await;
        let ends = [(one.clone(), other.clone()), (other, one)];
        let transfers = ends.map(|(from, to)| {
            spawn(async move {
                let sender = spawn(async move {
                    let starts = (0..LEN).step_by(5_000);
                    let slices: Vec<Bytes> = starts.map(|at| pattern(at, 5_000.min(LEN - at))).collect();
                    assert!(slices.len() > 2 * 1024, "more than one system call gathers");
                    from.send(slices).await.unwrap();
                    from
                });
                let mut got = 0;
                while got < LEN {
                    let received = to.recv().await.unwrap();
                    assert!(!received.is_empty());
                    assert_eq!(&received[..], &pattern(got, received.len())[..]);
                    got += received.len();
                }
                sender.await.unwrap();
            })
        });
        for transfer in transfers {
            transfer.await.unwrap();
        }
    });
}

#[test]
fn an_exact_receive_takes_over_in_the_middle_of_a_stream() {
    const LEN: usize = 3 << 20;
    run(async |_| {
        let (one, other) = pair().await;
        let sender = spawn(async move {
            for at in (0..LEN).step_by(70_000) {
                one.send(vec![pattern(at, 70_000.min(LEN - at))]).await.unwrap();
                if at % 5 == 0 {
                    sleep(Duration::from_micros(100)).await;
                }
            }
        });
        let mut got = 0;
        while got < LEN {
            // Some into buffers of the ring's, then a stretch into one of our own, then some again.
            let received = other.recv().await.unwrap();
            assert_eq!(&received[..], &pattern(got, received.len())[..]);
            got += received.len();
            drop(received);
            let len = 100_000.min(LEN - got);
            if len > 0 {
                let exact = other.recv_exact(BytesMut::with_capacity(len)).await.unwrap();
                assert_eq!(exact.len(), len);
                assert_eq!(exact, pattern(got, len));
                got += len;
            }
        }
        sender.await.unwrap();
    });
}

#[test]
fn an_exact_receive_that_the_stream_does_not_fill_fails() {
    run(async |_| {
        let (one, other) = pair().await;
        one.send(vec![Bytes::from_static(b"abc")]).await.unwrap();
        drop(one);
        let error = other.recv_exact(BytesMut::with_capacity(1 << 20)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(other.recv().await.unwrap().is_empty(), "and the end stays the end");
    });
}

#[test]
fn thousands_of_small_messages_keep_their_order() {
    run(async |_| {
        let (one, other) = pair().await;
        let sender = spawn(async move {
            for number in 0..20_000u32 {
                let message = number.to_le_bytes();
                let halves = [&message[..2], &message[2..]].map(Bytes::copy_from_slice);
                one.send(halves.to_vec()).await.unwrap();
            }
        });
        let mut all = Vec::new();
        loop {
            let received = other.recv().await.unwrap();
            if received.is_empty() {
                break;
            }
            all.extend_from_slice(&received);
        }
        sender.await.unwrap();
        let numbers = all.chunks(4).map(|four| u32::from_le_bytes(four.try_into().unwrap()));
        assert!(numbers.eq(0..20_000));
    });
}

#[test]
fn loans_of_all_buffers_hold_back_the_peer_and_lose_nothing() {
    const LEN: usize = 16 << 20;
    run(async |_| {
        let (one, other) = pair().await;
        let (three, four) = pair().await;
        let sender = spawn(async move {
            one.send(vec![pattern(0, LEN)]).await.unwrap();
            one
        });
        // Keep every loan until there are no buffers left.
        let mut loans = Vec::new();
        while let Ok(received) = timeout(Duration::from_millis(300), other.recv()).await {
            loans.push(received.unwrap());
        }
        assert!(!sender.is_finished(), "the kernel's window is full");
        assert!(loans.len() > 100, "{} loans", loans.len());
        // Another connection of the shard starves too, and goes on when buffers come back.
        three.send(vec![Bytes::from_static(b"hello")]).await.unwrap();
        let starved = spawn(async move { four.recv().await.unwrap().to_vec() });
        sleep(Duration::from_millis(50)).await;
        assert!(!starved.is_finished());
        let mut got: usize = loans.iter().map(|loan| loan.len()).sum();
        assert!(loans.iter().flat_map(|loan| loan.iter()).eq(pattern(0, got).iter()));
        drop(loans);
        assert_eq!(starved.await.unwrap(), b"hello");
        while got < LEN {
            let received = other.recv().await.unwrap();
            assert_eq!(&received[..], &pattern(got, received.len())[..]);
            got += received.len();
        }
        sender.await.unwrap();
    });
}

#[test]
fn many_connections_are_accepted_and_served() {
    run(async |_| {
        let listener = listener().await;
        let address = listener.local_addr();
        let server = spawn(async move {
            for _ in 0..300 {
                let stream = listener.accept().await.unwrap();
                spawn(async move {
                    loop {
                        let received = stream.recv().await.unwrap();
                        if received.is_empty() {
                            return;
                        }
                        stream.send(vec![Bytes::copy_from_slice(&received)]).await.unwrap();
                    }
                });
            }
        });
        let client = |number: usize| async move {
            let stream = Stream::connect(address).await.unwrap();
            let sent = pattern(number, 3_000);
            stream.send(vec![sent.clone()]).await.unwrap();
            let mut got = Vec::new();
            while got.len() < sent.len() {
                let received = stream.recv().await.unwrap();
                assert!(!received.is_empty(), "closed early");
                got.extend_from_slice(&received);
            }
            assert_eq!(got, sent);
        };
        let clients: Vec<_> = (0..300).map(|number| spawn(client(number))).collect();
        for client in clients {
            client.await.unwrap();
        }
        server.await.unwrap();
    });
}

/// At 64 that wait, accepting pauses. Who takes all of them before the pause has begun waits for the next one in vain, unless told.
#[test]
fn accepting_goes_on_after_a_burst() {
    const BURST: usize = 100;
    run(async |_| {
        // How many turns it takes until so many wait, and the pause is asked for but has not begun, is the kernel's.
        for turns in 0..16 {
            let listener = listener().await;
            let address = listener.local_addr();
            let mut first = pin!(listener.accept());
            let is_early = poll_fn(|cx| Poll::Ready(first.as_mut().poll(cx).is_ready())).await;
            assert!(!is_early, "nobody comes yet");
            let mut streams = Vec::new();
            for _ in 0..BURST {
                // Blocking: meanwhile nothing is accepted.
                streams.push(std::net::TcpStream::connect(address).unwrap());
            }
            for _ in 0..turns {
                yield_now().await;
            }
            drop(first.await.unwrap());
            for taken in 1..=BURST {
                if taken == BURST {
                    streams.push(std::net::TcpStream::connect(address).unwrap());
                }
                let accepted = timeout(Duration::from_secs(10), listener.accept()).await;
                assert!(accepted.is_ok(), "after {turns} turns and {taken} of {BURST}");
            }
        }
    });
}

#[test]
fn both_ends_learn_of_a_shutdown_and_of_a_drop() {
    run(async |_| {
        let (one, other) = pair().await;
        let waiting = other.clone();
        let receiver = spawn(async move { waiting.recv().await.unwrap().len() });
        sleep(Duration::from_millis(5)).await;
        one.shutdown();
        assert_eq!(receiver.await, Some(0));
        assert!(one.recv().await.unwrap().is_empty());
        let (three, four) = pair().await;
        drop(three);
        assert!(four.recv().await.unwrap().is_empty());
    });
}

#[test]
fn a_dropped_listener_no_longer_listens() {
    run(async |_| {
        let listener = listener().await;
        let address = listener.local_addr();
        assert!(timeout(Duration::from_millis(1), listener.accept()).await.is_err());
        drop(listener);
        // The accept that was under way ends first.
        sleep(Duration::from_millis(20)).await;
        let error = Stream::connect(address).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    });
}

#[test]
fn a_taken_port_is_refused_and_a_shared_one_is_not() {
    run(async |_| {
        let taken = listener().await;
        let again = Listener::bind(taken.local_addr(), ListenOptions::default()).await.unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
        let options = |sharing| ListenOptions { sharing, ..ListenOptions::default() };
        let (first, joins) = (options(PortSharing::First), options(PortSharing::Joins));
        let one = Listener::bind(SocketAddr::from(LOOPBACK), first).await.unwrap();
        let address = one.local_addr();
        let _other = Listener::bind(address, joins).await.unwrap();
        let _third = Listener::bind(address, joins).await.unwrap();
        for options in [first, ListenOptions::default()] {
            let error = Listener::bind(address, options).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{options:?}");
        }
    });
}

#[test]
fn a_receive_that_is_dropped_loses_no_bytes() {
    run(async |_| {
        let (one, other) = pair().await;
        for round in 0..50u8 {
            let early = timeout(Duration::from_micros(u64::from(round)), other.recv()).await;
            assert!(early.is_err(), "nothing was sent yet");
            one.send(vec![Bytes::copy_from_slice(&[round; 10])]).await.unwrap();
            let mut got = Vec::new();
            while got.len() < 10 {
                got.extend_from_slice(&other.recv().await.unwrap());
            }
            assert_eq!(got, [round; 10]);
        }
    });
}

/// Connections that send and are not read from hold buffers; others are served all the same.
#[test]
fn connections_that_are_not_read_from_do_not_starve_the_others() {
    const IDLE: usize = 80;
    const SENT: usize = 100 << 10;
    run(async |_| {
        let listener = listener().await;
        let address = listener.local_addr();
        let mut held = Vec::new();
        for n in 0..IDLE {
            let client = Stream::connect(address).await.unwrap();
            let server = listener.accept().await.unwrap();
            client.send(vec![pattern(n, 1)]).await.unwrap();
            assert_eq!(*server.recv().await.unwrap(), pattern(n, 1)[..], "it receives from now on");
            let sender = client.clone();
            held.push((server, spawn(async move { sender.send(vec![pattern(n + 1, SENT)]).await })));
        }
        sleep(Duration::from_millis(50)).await;
        let (client, server) = (Stream::connect(address).await.unwrap(), listener.accept().await.unwrap());
        let exchange = async {
            for n in 0..200 {
                client.send(vec![pattern(n, 300)]).await.unwrap();
                let mut left = 300;
                while left > 0 {
                    left -= server.recv().await.unwrap().len();
                }
            }
        };
        timeout(Duration::from_secs(20), exchange).await.expect("the others hold all buffers");
        // What was copied to make room is all there, in order.
        for (n, (server, sending)) in held.into_iter().enumerate() {
            let all = server.recv_exact(BytesMut::with_capacity(SENT)).await.unwrap();
            assert!(all == pattern(n + 1, SENT));
            sending.await.unwrap().unwrap();
        }
    });
}
