//! What a connection lets others see of itself, so that one sweeper can tell idle and stuck peers from busy ones
//! without a clock on anybody's way.

use std::cell::Cell;

/// What the receiving side of a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Receiving {
    /// The first byte of a request.
    Nothing,
    /// The rest of a request.
    Rest,
    /// Room for more requests: the peer is not to blame.
    Room,
}

/// The connection's state, and counters that move when its peer does.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) receiving: Cell<Receiving>,
    pub(crate) received: Cell<u64>,
    pub(crate) sending: Cell<bool>,
    pub(crate) sent: Cell<u64>,
    pub(crate) in_flight: Cell<usize>,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            receiving: Cell::new(Receiving::Nothing),
            received: Cell::new(0),
            sending: Cell::new(false),
            sent: Cell::new(0),
            in_flight: Cell::new(0),
        }
    }
}

/// What an acceptor's connections have done since it started, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Connections accepted.
    pub connections: u64,
    /// Connections closed because a peer broke the protocol or a request was not answered in time.
    pub faults: u64,
    /// Requests started.
    pub requests: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
}
