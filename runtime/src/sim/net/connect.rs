//! Listening and connecting.

use super::{NetEvent, State, ip, node_of};
use crate::{
    ListenOptions, PortSharing,
    sim::{
        kernel::{Event, Kernel},
        random::as_nanos,
        trace::What,
    },
};
use std::{collections::VecDeque, io, net::SocketAddr, task::Waker, time::Duration};

/// Until an attempt that was not answered is repeated: the first timeout of TCP.
const RETRY: Duration = Duration::from_secs(1);

/// The first port that is given out to whoever asks for any.
const FIRST_FREE_PORT: u16 = 32_768;

/// A listening socket.
pub(crate) struct Listening {
    node: u16,
    address: SocketAddr,
    options: ListenOptions,
    backlog: VecDeque<u64>,
    acceptor: Option<Waker>,
}

/// A connection in the making.
pub(crate) struct Attempt {
    node: u16,
    local: SocketAddr,
    target: SocketAddr,
    deadline: u64,
    /// Accepted at the other end, by the connection's number.
    connection: Option<u64>,
    result: Option<io::Result<u64>>,
    waiting: Option<Waker>,
}

impl Listening {
    pub(super) fn node(&self) -> u16 {
        self.node
    }

    fn takes(&self, target: SocketAddr) -> bool {
        self.address.port() == target.port()
            && (self.address.ip().is_unspecified() || self.address.ip() == target.ip())
    }

    /// Whether the two can't listen at the same time.
    fn excludes(&self, node: u16, address: SocketAddr, options: ListenOptions) -> bool {
        let overlap = self.address.ip() == address.ip()
            || self.address.ip().is_unspecified()
            || address.ip().is_unspecified();
        let share = self.options.sharing != PortSharing::Alone && options.sharing == PortSharing::Joins;
        self.node == node && self.address.port() == address.port() && overlap && !share
    }
}

impl Attempt {
    pub(super) fn node(&self) -> u16 {
        self.node
    }

    pub(super) fn local(&self) -> SocketAddr {
        self.local
    }

    pub(super) fn target(&self) -> SocketAddr {
        self.target
    }

    fn finish(&mut self, result: io::Result<u64>) {
        self.result = Some(result);
        self.waiting.take().into_iter().for_each(Waker::wake);
    }
}

impl State {
    /// Opens a listening socket: its number and its address.
    pub(super) fn listen(
        &mut self,
        kernel: &Kernel,
        node: u16,
        mut address: SocketAddr,
        options: ListenOptions,
    ) -> io::Result<(u64, SocketAddr)> {
        let at = address.ip();
        if !at.is_unspecified() && !at.is_loopback() && at != ip(node) {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        if address.port() == 0 {
            address.set_port(self.free_port(node)?);
        }
        if self.listeners.values().any(|other| other.excludes(node, address, options)) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let number = kernel.number();
        let listening = Listening { node, address, options, backlog: VecDeque::new(), acceptor: None };
        self.listeners.insert(number, listening);
        Ok((number, address))
    }

    /// A port of the node's that nobody listens on.
    fn free_port(&mut self, node: u16) -> io::Result<u16> {
        let last = self.last_ports.entry(node).or_insert(u16::MAX);
        let taken =
            |port| self.listeners.values().any(|other| other.node == node && other.address.port() == port);
        for _ in FIRST_FREE_PORT..=u16::MAX {
            *last = if *last == u16::MAX { FIRST_FREE_PORT } else { *last + 1 };
            if !taken(*last) {
                return Ok(*last);
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }

    /// The oldest connection of a listener's backlog.
    pub(super) fn accept(&mut self, listener: u64, waker: &Waker) -> Option<u64> {
        let listener = self.listeners.get_mut(&listener)?;
        let connection = listener.backlog.pop_front();
        if connection.is_none() {
            listener.acceptor = Some(waker.clone());
        }
        connection
    }

    /// Closes a listening socket. Whoever waits in its backlog is reset.
    pub(super) fn stop_listening(&mut self, kernel: &Kernel, listener: u64) {
        let Some(listener) = self.listeners.remove(&listener) else { return };
        for connection in listener.backlog {
            self.close(kernel, connection, 1);
        }
    }

    /// Starts an attempt to connect.
    pub(super) fn attempt(&mut self, kernel: &Kernel, node: u16, target: SocketAddr) -> io::Result<u64> {
        let own = if target.ip().is_loopback() { target.ip() } else { ip(node) };
        let local = SocketAddr::new(own, self.free_port(node)?);
        let deadline = kernel.now().saturating_add(as_nanos(kernel.options.net.connect_timeout));
        let attempt =
            Attempt { node, local, target, deadline, connection: None, result: None, waiting: None };
        let number = kernel.number();
        self.attempts.insert(number, attempt);
        let peer = node_of(target.ip(), node).unwrap_or(node);
        kernel.note(What::Connect, [number, u64::from(node), u64::from(peer), u64::from(target.port())]);
        let delay = self.links.delay(kernel, node, peer);
        kernel.after(delay, Event::Net(NetEvent::Attempt { attempt: number }));
        Ok(number)
    }

    /// An attempt reaches its target, if it can.
    pub(super) fn attempt_arrives(&mut self, kernel: &Kernel, number: u64) {
        let Some(attempt) = self.attempts.get_mut(&number) else { return };
        if kernel.now() >= attempt.deadline {
            kernel.note(What::Refuse, [number, 1, 0, 0]);
            attempt.finish(Err(io::ErrorKind::TimedOut.into()));
            return;
        }
        let node = attempt.node;
        let target = node_of(attempt.target.ip(), node).filter(|&target| {
            kernel.has_node(target)
                && (target == node || kernel.node(target).has_power())
                && !self.links.is_cut(node, target)
        });
        let Some(target) = target else {
            kernel.after(as_nanos(RETRY), Event::Net(NetEvent::Attempt { attempt: number }));
            return;
        };
        let listening = self.listeners.iter().filter(|(_, listener)| listener.node == target);
        let fits: Vec<u64> = listening
            .filter(|(_, listener)| listener.takes(attempt.target))
            .map(|(&listener, _)| listener)
            .collect();
        if fits.is_empty() {
            self.answer(kernel, number, target, false);
            return;
        }
        let chosen = fits[kernel.random.index(fits.len())];
        let backlog = &self.listeners[&chosen];
        if backlog.backlog.len() >= backlog.options.backlog.max(1) as usize {
            kernel.after(as_nanos(RETRY), Event::Net(NetEvent::Attempt { attempt: number }));
            return;
        }
        self.admit(kernel, number, target, chosen);
    }

    fn admit(&mut self, kernel: &Kernel, number: u64, target: u16, listener: u64) {
        let Some(mut attempt) = self.attempts.remove(&number) else { return };
        let connection = self.establish(kernel, &attempt, target);
        kernel.note(What::Accept, [number, connection, listener, 0]);
        attempt.connection = Some(connection);
        self.attempts.insert(number, attempt);
        if let Some(listener) = self.listeners.get_mut(&listener) {
            listener.backlog.push_back(connection);
            listener.acceptor.take().into_iter().for_each(Waker::wake);
        }
        self.answer(kernel, number, target, true);
    }

    fn answer(&self, kernel: &Kernel, attempt: u64, from: u16, accepted: bool) {
        let Some(to) = self.attempts.get(&attempt).map(Attempt::node) else { return };
        let delay = self.links.delay(kernel, from, to);
        kernel.after(delay, Event::Net(NetEvent::Answer { attempt, accepted }));
    }

    /// The answer to an attempt comes back, if it can.
    pub(super) fn answer_arrives(&mut self, kernel: &Kernel, number: u64, accepted: bool) {
        let Some(attempt) = self.attempts.get_mut(&number) else { return };
        let from = node_of(attempt.target.ip(), attempt.node).unwrap_or(attempt.node);
        if kernel.now() >= attempt.deadline {
            attempt.finish(Err(io::ErrorKind::TimedOut.into()));
        } else if self.links.is_cut(from, attempt.node) {
            let again = Event::Net(NetEvent::Answer { attempt: number, accepted });
            kernel.after(as_nanos(RETRY), again);
        } else {
            kernel.note(What::Refuse, [number, u64::from(accepted), 2, 0]);
            let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
            let connection = attempt.connection.filter(|_| accepted);
            attempt.finish(connection.ok_or_else(refused));
        }
    }

    /// What became of an attempt.
    pub(super) fn attempt_result(&mut self, attempt: u64, waker: &Waker) -> Option<io::Result<u64>> {
        let attempt = self.attempts.get_mut(&attempt)?;
        if attempt.result.is_none() {
            attempt.waiting = Some(waker.clone());
        }
        attempt.result.take()
    }

    /// Nobody waits for an attempt any more. If it succeeded and nobody took the connection, that closes.
    pub(super) fn end_attempt(&mut self, kernel: &Kernel, attempt: u64, taken: bool) {
        let Some(attempt) = self.attempts.remove(&attempt) else { return };
        if let Some(connection) = attempt.connection.filter(|_| !taken) {
            self.close(kernel, connection, 0);
        }
    }
}
