//! The simulated network.
//!
//! Connections carry bytes in order and whole, as TCP does, with everything that TCP leaves open: where the stream is
//! cut into pieces, how long each takes, how much is on its way when an end dies, and whether the other end ever hears
//! of it. Loss and duplication of packets are invisible above TCP but as delay, stall and reset, and these are what
//! the model has.

mod connect;
mod connection;
mod link;
mod loan;
mod stream;

pub(crate) use loan::Loans;
pub(crate) use stream::{Listener, Stream};

use super::{disk::Crash, kernel::Kernel};
use connect::{Attempt, Listening};
use connection::Connection;
use link::Links;
use std::{
    cell::RefCell,
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    ops::RangeInclusive,
    rc::Rc,
    time::Duration,
};

/// How the network of a world behaves. All ranges are drawn from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetOptions {
    /// One way between two nodes.
    pub latency: RangeInclusive<Duration>,
    /// One way between two sockets of one node.
    pub loopback_latency: RangeInclusive<Duration>,
    /// What a sender may have on its way, or unread at the receiver, in bytes.
    pub window: usize,
    /// How many receive buffers a shard has. Who waits for others while it holds some is soon found out.
    pub receive_buffers: usize,
    /// Until a sender whose bytes do not get through gives the connection up.
    pub give_up: RangeInclusive<Duration>,
    /// How long an attempt to connect waits for a node that does not answer.
    pub connect_timeout: Duration,
}

impl Default for NetOptions {
    fn default() -> Self {
        Self {
            latency: Duration::from_micros(50)..=Duration::from_millis(20),
            loopback_latency: Duration::from_micros(5)..=Duration::from_millis(1),
            window: 64 * 1024,
            receive_buffers: 64,
            give_up: Duration::from_secs(5)..=Duration::from_secs(60),
            connect_timeout: Duration::from_secs(20),
        }
    }
}

/// Something that arrives, or a wait that ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NetEvent {
    /// An attempt to connect reaches the other node.
    Attempt { attempt: u64 },
    /// Its answer reaches the node that attempted.
    Answer { attempt: u64, accepted: bool },
    /// The next packet of a connection reaches this side.
    Deliver { connection: u64, to: usize },
    /// News of bytes that were read reaches this side, their sender.
    Acknowledge { connection: u64, to: usize, bytes: usize },
    /// This side gives up if nothing has got through since.
    GiveUp { connection: u64, side: usize },
}

/// All sockets of a world.
#[derive(Default)]
pub(crate) struct Network(RefCell<State>);

#[derive(Default)]
struct State {
    listeners: BTreeMap<u64, Listening>,
    attempts: BTreeMap<u64, Attempt>,
    connections: BTreeMap<u64, Connection>,
    links: Links,
    /// The last port given out on each node.
    last_ports: BTreeMap<u16, u16>,
}

impl Network {
    /// Runs `act` on the sockets.
    fn with<T>(kernel: &Kernel, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut kernel.network.0.borrow_mut())
    }

    pub(crate) fn handle(kernel: &Rc<Kernel>, event: NetEvent) {
        let mut state = kernel.network.0.borrow_mut();
        match event {
            NetEvent::Attempt { attempt } => state.attempt_arrives(kernel, attempt),
            NetEvent::Answer { attempt, accepted } => state.answer_arrives(kernel, attempt, accepted),
            NetEvent::Deliver { connection, to } => state.deliver(kernel, connection, to),
            NetEvent::Acknowledge { connection, to, bytes } => {
                state.acknowledge(kernel, connection, to, bytes);
            }
            NetEvent::GiveUp { connection, side } => state.give_up(kernel, connection, side),
        }
    }

    /// Everything of the node's is gone. After the death of a process its system takes leave of the peers; after a
    /// power cut nobody does.
    pub(crate) fn node_killed(kernel: &Rc<Kernel>, node: u16, crash: Crash) {
        let mut state = kernel.network.0.borrow_mut();
        state.attempts.retain(|_, attempt| attempt.node() != node);
        state.listeners.retain(|_, listener| listener.node() != node);
        state.kill_ends(kernel, node, crash);
    }

    /// Cuts the way between two nodes, from `a` to `b` only or both ways: what is sent waits.
    pub(crate) fn cut(kernel: &Kernel, a: u16, b: u16) {
        kernel.network.0.borrow_mut().links.cut(kernel, a, b);
    }

    /// Undoes [`Network::cut`]: what waited goes on its way.
    pub(crate) fn heal(kernel: &Kernel, a: u16, b: u16) {
        let mut state = kernel.network.0.borrow_mut();
        state.links.heal(kernel, a, b);
        state.release_held(kernel, a, b);
    }

    /// From now on the way from `a` to `b` takes this long; `None` is as the options say.
    pub(crate) fn set_latency(kernel: &Kernel, a: u16, b: u16, latency: Option<RangeInclusive<Duration>>) {
        kernel.network.0.borrow_mut().links.set_latency(a, b, latency);
    }

    /// Resets every connection between two nodes.
    pub(crate) fn reset(kernel: &Kernel, a: u16, b: u16) {
        kernel.network.0.borrow_mut().reset_between(kernel, a, b);
    }
}

/// A node's address: 10.0.0.1 is node 0.
pub(crate) fn ip(node: u16) -> IpAddr {
    const FIRST: u32 = u32::from_be_bytes([10, 0, 0, 1]);
    IpAddr::V4(Ipv4Addr::from_bits(FIRST + u32::from(node)))
}

/// The node that has an address, seen from node `from`; nobody's if no node is so numbered.
fn node_of(address: IpAddr, from: u16) -> Option<u16> {
    match address {
        IpAddr::V4(v4) if !address.is_loopback() => {
            let number = v4.to_bits().checked_sub(u32::from_be_bytes([10, 0, 0, 1]))?;
            u16::try_from(number).ok()
        }
        _ => address.is_loopback().then_some(from),
    }
}
