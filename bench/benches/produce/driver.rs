//! A client without a library: a few plain connections, several requests in flight on each, one thread.

use super::load::{self, Ready};
use hdrhistogram::Histogram;
use millrace_runtime::Instant;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::{
    collections::VecDeque,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// Requests that wait for their answer on a connection: what Kafka's clients allow themselves.
const IN_FLIGHT_MAX: usize = 5;
/// What takes longer counts as this long.
const LATENCY_NS_MAX: u64 = 60_000_000_000;
const RECEIVE_BYTES: usize = 4 << 10;

/// How fast requests are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// As fast as they are answered.
    Full,
    /// One each so many nanoseconds over all connections; latency counts from when a request was due.
    Every(u64),
}

/// What a stretch of sending came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) records: u64,
    pub(crate) value_bytes: u64,
    pub(crate) requests: u64,
    pub(crate) span: Duration,
    pub(crate) latency_ns: Histogram<u64>,
}

/// A client's connections.
pub(crate) struct Driver {
    connections: Vec<Connection>,
    /// Looks without pause instead of sleeping: it has a core of its own.
    spins: bool,
}

struct Connection {
    stream: TcpStream,
    requests: Vec<Ready>,
    /// The request that is sent next, whether it has been begun, and how much of it is gone.
    next: usize,
    begun: bool,
    written: usize,
    /// When the requests that are not answered were due, in nanoseconds of the stretch, and which they are.
    waiting: VecDeque<(u64, usize)>,
    received: Vec<u8>,
}

impl Driver {
    pub(crate) fn new(spins: bool) -> Self {
        Self { connections: Vec::new(), spins }
    }

    /// Adds a connection, which sends these requests over and over.
    pub(crate) fn connect(&mut self, address: SocketAddr, requests: Vec<Ready>) {
        self.connections.push(Connection::new(connected(address), requests));
    }

    /// Adds a connection that is there already.
    pub(crate) fn add(&mut self, stream: TcpStream, requests: Vec<Ready>) {
        self.connections.push(Connection::new(stream, requests));
    }

    /// Sends for so long, then waits for what is not answered.
    pub(crate) fn run(&mut self, pace: Pace, span: Duration) -> Outcome {
        let start = Instant::now();
        let now = || start.elapsed().as_nanos() as u64;
        let end = span.as_nanos() as u64;
        let mut outcome = Outcome {
            records: 0,
            value_bytes: 0,
            requests: 0,
            span,
            latency_ns: Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("sound bounds"),
        };
        let mut due = 0;
        loop {
            let at = now();
            let mut idle = true;
            for connection in &mut self.connections {
                idle &= !connection.receive(|due, ready| {
                    outcome.records += ready.records;
                    outcome.value_bytes += ready.value_bytes;
                    outcome.requests += 1;
                    outcome.latency_ns.saturating_record(now().saturating_sub(due).max(1));
                });
                match pace {
                    Pace::Full => idle &= !connection.send(|| (now() < end).then(&now)),
                    Pace::Every(interval) => {
                        // One each, so that all connections have their share.
                        let mut given = false;
                        idle &= !connection.send(|| {
                            let this = (due <= at && due < end && !given).then_some(due)?;
                            given = true;
                            due += interval;
                            Some(this)
                        });
                    }
                }
            }
            if at >= end && self.connections.iter().all(|connection| connection.waiting.is_empty()) {
                outcome.span = start.elapsed();
                return outcome;
            }
            if idle && !self.spins {
                let until =
                    if let Pace::Every(_) = pace { due.saturating_sub(at).min(1_000_000) } else { 1_000_000 };
                self.sleep(until);
            }
        }
    }

    /// Sleeps until something can be received or sent, for so many nanoseconds at most.
    fn sleep(&self, nanos: u64) {
        let mut polled: Vec<_> = self
            .connections
            .iter()
            .map(|connection| {
                let sending = if connection.begun { PollFlags::OUT } else { PollFlags::empty() };
                PollFd::new(&connection.stream, PollFlags::IN | sending)
            })
            .collect();
        let limit = Timespec { tv_sec: 0, tv_nsec: nanos as i64 };
        poll(&mut polled, Some(&limit)).expect("sockets can be polled");
    }
}

/// A new connection.
pub(crate) fn connected(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the server listens");
    stream.set_nodelay(true).expect("a connection");
    stream.set_nonblocking(true).expect("a connection");
    stream
}

impl Connection {
    fn new(stream: TcpStream, requests: Vec<Ready>) -> Self {
        Self {
            stream,
            requests,
            next: 0,
            begun: false,
            written: 0,
            waiting: VecDeque::new(),
            received: Vec::new(),
        }
    }

    /// Sends as much as goes; `due` tells of each further request when it was due, or that it is not yet. Tells whether
    /// anything went.
    fn send(&mut self, mut due: impl FnMut() -> Option<u64>) -> bool {
        let mut any = false;
        loop {
            if !self.begun {
                if self.waiting.len() >= IN_FLIGHT_MAX {
                    return any;
                }
                let Some(due) = due() else { return any };
                self.waiting.push_back((due, self.next));
                self.begun = true;
            }
            let frame = &self.requests[self.next].frame;
            match self.stream.write(&frame[self.written..]) {
                Ok(sent) => {
                    any |= sent > 0;
                    self.written += sent;
                    if self.written == frame.len() {
                        (self.begun, self.written) = (false, 0);
                        self.next = (self.next + 1) % self.requests.len();
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return any,
                Err(error) => panic!("the connection broke: {error}"),
            }
        }
    }

    /// Receives what is there, and hands on each answered request. Tells whether there was anything.
    fn receive(&mut self, mut answered: impl FnMut(u64, &Ready)) -> bool {
        let mut any = false;
        loop {
            let filled = self.received.len();
            self.received.resize(filled + RECEIVE_BYTES, 0);
            let read = self.stream.read(&mut self.received[filled..]);
            self.received.truncate(filled + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => panic!("the server hung up"),
                Ok(_) => any = true,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return any,
                Err(error) => panic!("the connection broke: {error}"),
            }
            while let Some(len) = self.received.first_chunk().map(|len| i32::from_be_bytes(*len) as usize) {
                if self.received.len() < 4 + len {
                    break;
                }
                let frame = self.received.drain(..4 + len).skip(4).collect();
                load::check(frame);
                let (due, which) = self.waiting.pop_front().expect("nothing is answered that was not asked");
                answered(due, &self.requests[which]);
            }
        }
    }
}
