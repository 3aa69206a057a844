//! Accepting connections, watching over them, and sending them home.

use crate::{
    connection::{
        self, ConnectionError, ConnectionOptions, Control, Handler, Memory, Peer, Receiving, Traffic,
    },
    signal::{Flag, Waiters, unless},
};
use millrace_runtime::{Instant, Listener, Stream, sleep, spawn};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    net::SocketAddr,
    rc::Rc,
    time::Duration,
};

/// The first wait after accepting failed (out of file descriptors, usually); it doubles up to [`ACCEPT_BACKOFF_MAX`].
const ACCEPT_BACKOFF_MIN: Duration = Duration::from_millis(10);
/// The longest wait after accepting failed.
const ACCEPT_BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Timeouts are looked after this many times within the shortest of them.
const SWEEPS_PER_TIMEOUT: u32 = 8;

/// Bounds of an acceptor.
#[derive(Clone, Debug)]
pub struct AcceptorOptions {
    /// Connections at a time. At the bound accepting pauses, and the kernel's backlog fills.
    pub connections_max: usize,
    /// Bytes of requests in flight over all connections.
    pub in_flight_bytes_max: usize,
    /// Bounds of each connection.
    pub connection: ConnectionOptions,
}

impl Default for AcceptorOptions {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            in_flight_bytes_max: 256 << 20,
            connection: ConnectionOptions::default(),
        }
    }
}

/// A listener at work on this shard. Dropping it changes nothing; [`Acceptor::drain`] ends it.
#[derive(Clone, Debug)]
pub struct Acceptor {
    address: SocketAddr,
    shared: Rc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: AcceptorOptions,
    memory: Memory,
    traffic: Cell<Traffic>,
    draining: Flag,
    /// Whether the accepting task is gone, and the listening socket with it.
    closed: Cell<bool>,
    next_id: Cell<u64>,
    connections: RefCell<BTreeMap<u64, Rc<Control>>>,
    /// For those who wait until a connection ends or the socket closes.
    ended: Waiters,
}

impl Acceptor {
    /// Accepts on `listener` from now on. Each connection gets a handler from `make_handler`.
    pub fn start<M, H>(listener: Listener, options: AcceptorOptions, make_handler: M) -> Self
    where
        M: Fn(&Rc<Peer>) -> H + 'static,
        H: Handler + 'static,
    {
        let address = listener.local_addr();
        let shared = Rc::new(Shared {
            memory: Memory::new(options.in_flight_bytes_max),
            options,
            traffic: Cell::default(),
            draining: Flag::default(),
            closed: Cell::new(false),
            next_id: Cell::new(0),
            connections: RefCell::new(BTreeMap::new()),
            ended: Waiters::default(),
        });
        drop(spawn(accept(listener, Rc::clone(&shared), make_handler)));
        drop(spawn(sweep(Rc::clone(&shared))));
        Self { address, shared }
    }

    /// The address that is listened on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Connections at the moment.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.borrow().len()
    }

    /// Bytes of requests in flight at the moment.
    #[must_use]
    pub fn in_flight_bytes(&self) -> usize {
        self.shared.memory.in_use()
    }

    /// What its connections have done so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.shared.traffic.get()
    }

    /// Stops accepting and receiving, lets what is in flight finish and be answered (for as long as
    /// [`ConnectionOptions::drain_timeout`]), and returns when the last connection is closed.
    pub async fn drain(&self) {
        self.shared.draining.raise();
        for control in self.shared.connections.borrow().values() {
            control.drain();
        }
        let shared = &self.shared;
        let gone = || (shared.closed.get() && shared.connections.borrow().is_empty()).then_some(());
        shared.ended.until(gone).await;
    }
}

async fn accept<M, H>(listener: Listener, shared: Rc<Shared>, make_handler: M)
where
    M: Fn(&Rc<Peer>) -> H + 'static,
    H: Handler + 'static,
{
    let mut backoff = ACCEPT_BACKOFF_MIN;
    loop {
        let room = || (shared.connections.borrow().len() < shared.options.connections_max).then_some(());
        if room().is_none() {
            tracing::warn!(
                connections = shared.options.connections_max,
                "as many connections as there may be"
            );
        }
        let next = unless(&shared.draining, async {
            shared.ended.until(room).await;
            listener.accept().await
        });
        match next.await {
            None => break,
            Some(Ok(stream)) => {
                backoff = ACCEPT_BACKOFF_MIN;
                let peer = Rc::new(Peer::of(&stream));
                let handler = make_handler(&peer);
                drop(spawn(serve(stream, peer, handler, Place::take(&shared))));
            }
            Some(Err(error)) => {
                if backoff == ACCEPT_BACKOFF_MIN {
                    tracing::warn!(%error, "accepting a connection failed; waiting before the next attempt");
                }
                if unless(&shared.draining, sleep(backoff)).await.is_none() {
                    break;
                }
                backoff = (backoff * 2).min(ACCEPT_BACKOFF_MAX);
            }
        }
    }
    drop(listener);
    shared.closed.set(true);
    shared.ended.wake_all();
}

/// A connection's place in the table, given up when this drops, however its task ends.
struct Place {
    id: u64,
    control: Rc<Control>,
    shared: Rc<Shared>,
}

impl Place {
    fn take(shared: &Rc<Shared>) -> Self {
        let id = shared.next_id.replace(shared.next_id.get() + 1);
        let control = Rc::new(Control::default());
        if shared.draining.is_raised() {
            // Accepted in the moment in which the drain began, which did not find it.
            control.drain();
        }
        shared.connections.borrow_mut().insert(id, Rc::clone(&control));
        let traffic = shared.traffic.get();
        shared.traffic.set(Traffic { connections: traffic.connections + 1, ..traffic });
        Self { id, control, shared: Rc::clone(shared) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.connections.borrow_mut().remove(&self.id);
        self.shared.ended.wake_all();
    }
}

async fn serve<H: Handler>(stream: Stream, peer: Rc<Peer>, handler: H, place: Place) {
    let Shared { options, memory, traffic, .. } = &*place.shared;
    let (control, options) = (&*place.control, &options.connection);
    let served = connection::serve(&stream, &peer, &handler, control, options, memory, traffic).await;
    stream.shutdown();
    match served {
        Ok(()) => tracing::debug!(peer = %peer.remote, "connection closed"),
        Err(error) if error.is_fault() => {
            tracing::warn!(peer = %peer.remote, %error, "connection closed");
            traffic.set(Traffic { faults: traffic.get().faults + 1, ..traffic.get() });
        }
        Err(error) => tracing::debug!(peer = %peer.remote, %error, "connection closed"),
    }
}

/// When a connection's counters last moved.
#[derive(Clone, Copy)]
struct Seen {
    received: u64,
    received_at: Instant,
    sent: u64,
    sent_at: Instant,
}

/// Gives up connections whose peers let a timeout pass. Looks at counters now and then, so that no request pays for a
/// timer.
async fn sweep(shared: Rc<Shared>) {
    let ConnectionOptions { idle_timeout, stall_timeout, .. } = shared.options.connection;
    let interval = (idle_timeout.min(stall_timeout) / SWEEPS_PER_TIMEOUT).max(Duration::from_millis(1));
    let mut seen = BTreeMap::new();
    while unless(&shared.draining, sleep(interval)).await.is_some() {
        let now = Instant::now();
        let connections = shared.connections.borrow();
        seen.retain(|id, _| connections.contains_key(id));
        for (&id, control) in &*connections {
            let last =
                seen.entry(id).or_insert(Seen { received: 0, received_at: now, sent: 0, sent_at: now });
            if let Some(cause) = overdue(control, last, now, idle_timeout, stall_timeout) {
                control.give_up(cause);
            }
        }
    }
}

fn overdue(
    control: &Control,
    last: &mut Seen,
    now: Instant,
    idle_timeout: Duration,
    stall_timeout: Duration,
) -> Option<ConnectionError> {
    let watch = &control.watch;
    let idle = watch.receiving.get() == Receiving::Nothing && watch.in_flight.get() == 0;
    if watch.received.get() != last.received || !(idle || watch.receiving.get() == Receiving::Rest) {
        (last.received, last.received_at) = (watch.received.get(), now);
    }
    if watch.sent.get() != last.sent || !watch.sending.get() {
        (last.sent, last.sent_at) = (watch.sent.get(), now);
    }
    if now - last.sent_at >= stall_timeout {
        Some(ConnectionError::StalledResponse)
    } else if idle && now - last.received_at >= idle_timeout {
        Some(ConnectionError::Idle)
    } else if !idle && now - last.received_at >= stall_timeout {
        Some(ConnectionError::StalledRequest)
    } else {
        None
    }
}
