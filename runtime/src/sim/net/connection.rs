//! Established connections: two sides, and a pipe to each.

use super::{NetEvent, State, connect::Attempt};
use crate::sim::{
    disk::Crash,
    kernel::{Event, Kernel},
    trace::What,
};
use bytes::{Buf, Bytes, BytesMut};
use std::{collections::VecDeque, io, net::SocketAddr, task::Waker};

/// The most that one receive gives, in bytes: as if the ring's buffers had this size.
const RECEIVED_MAX: usize = 16 * 1024;

/// The largest packet, in bytes.
const PACKET_MAX: usize = 16 * 1024;

/// The side that connected is 0, the one that accepted 1.
pub(crate) struct Connection {
    sides: [Side; 2],
}

/// One side of a connection, and the pipe that leads to it.
struct Side {
    node: u16,
    address: SocketAddr,
    state: SideState,
    /// The peer sends no more.
    ended: bool,
    /// The connection is broken, as this side knows.
    broken: Option<io::ErrorKind>,
    /// What has arrived and was not read.
    unread: VecDeque<Bytes>,
    receiver: Option<Waker>,
    sender: Option<Waker>,
    /// What this side has sent and the peer's application has not read, as far as this side knows.
    unacknowledged: usize,
    /// On the way to this side, in order.
    packets: VecDeque<Packet>,
    /// When the youngest of them arrives.
    last_arrival: u64,
    /// Packets whose time has come while the way was cut.
    held_packets: usize,
    /// Bytes whose acknowledgement's time has come while the way was cut.
    held_bytes: usize,
    /// A time is set for giving up.
    giving_up: bool,
}

/// Who still stands behind a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SideState {
    /// A stream, or a listener's backlog.
    Open,
    /// A stream that was shut down: nothing is received or sent any more.
    ShutDown,
    /// Nobody, but the node's system answers what arrives.
    Closed,
    /// Nobody at all: the node's power went.
    Silent,
}

enum Packet {
    Data(Bytes),
    /// The sender closed.
    End,
    /// The sender knows nothing of this connection any more.
    Reset,
}

impl Side {
    fn new(node: u16, address: SocketAddr) -> Self {
        Self {
            node,
            address,
            state: SideState::Open,
            ended: false,
            broken: None,
            unread: VecDeque::new(),
            receiver: None,
            sender: None,
            unacknowledged: 0,
            packets: VecDeque::new(),
            last_arrival: 0,
            held_packets: 0,
            held_bytes: 0,
            giving_up: false,
        }
    }

    fn wake(&mut self) {
        self.receiver.take().into_iter().chain(self.sender.take()).for_each(Waker::wake);
    }

    fn break_off(&mut self, why: io::ErrorKind) {
        self.broken.get_or_insert(why);
        self.packets.clear();
        self.held_packets = 0;
        self.wake();
    }
}

impl State {
    /// A new connection for an attempt that was accepted.
    pub(super) fn establish(&mut self, kernel: &Kernel, attempt: &Attempt, node: u16) -> u64 {
        let number = kernel.number();
        let sides = [Side::new(attempt.node(), attempt.local()), Side::new(node, attempt.target())];
        self.connections.insert(number, Connection { sides });
        number
    }

    /// The addresses of a side and of its peer.
    pub(super) fn addresses(&self, connection: u64, side: usize) -> (SocketAddr, SocketAddr) {
        let sides = &self.connections[&connection].sides;
        (sides[side].address, sides[1 - side].address)
    }

    fn side(&mut self, connection: u64, side: usize) -> &mut Side {
        &mut self.connections.get_mut(&connection).expect("a stream's connection is there").sides[side]
    }

    /// Puts a packet on its way to a side.
    fn push(&mut self, kernel: &Kernel, connection: u64, to: usize, packet: Packet) {
        let Some(Connection { sides }) = self.connections.get_mut(&connection) else { return };
        let delay = self.links.delay(kernel, sides[1 - to].node, sides[to].node);
        let side = &mut sides[to];
        side.last_arrival = side.last_arrival.max(kernel.now() + delay);
        side.packets.push_back(packet);
        kernel.at(side.last_arrival, Event::Net(NetEvent::Deliver { connection, to }));
    }

    /// A packet's time has come.
    pub(super) fn deliver(&mut self, kernel: &Kernel, connection: u64, to: usize) {
        let Some(Connection { sides }) = self.connections.get_mut(&connection) else { return };
        let from = sides[1 - to].node;
        let side = &mut sides[to];
        if self.links.is_cut(from, side.node) {
            side.held_packets += 1;
            self.expect_answer(kernel, connection, 1 - to);
            return;
        }
        let Some(packet) = side.packets.pop_front() else { return };
        let (len, digest) = match &packet {
            Packet::Data(bytes) => (bytes.len() as u64, u64::from(crc32c::crc32c(bytes))),
            Packet::End => (0, 1),
            Packet::Reset => (0, 2),
        };
        kernel.note(What::Segment, [connection, to as u64, len, digest]);
        match (side.state, packet) {
            (SideState::Silent, Packet::Reset) => {}
            (SideState::Silent, _) => self.meet_silence(kernel, connection, to),
            (_, Packet::Reset) => {
                // Some systems give the application what arrived before, some do not.
                if kernel.random.percent(50) {
                    side.unread.clear();
                }
                side.break_off(io::ErrorKind::ConnectionReset);
            }
            (SideState::Open, Packet::Data(bytes)) if side.broken.is_none() => {
                side.unread.push_back(bytes);
                side.receiver.take().into_iter().for_each(Waker::wake);
            }
            (_, Packet::Data(_)) => self.push(kernel, connection, 1 - to, Packet::Reset),
            (_, Packet::End) => {
                side.ended = true;
                side.receiver.take().into_iter().for_each(Waker::wake);
            }
        }
    }

    /// A packet reached a node whose power went. If it is up again, it says that it knows of nothing.
    fn meet_silence(&mut self, kernel: &Kernel, connection: u64, at: usize) {
        let node = self.side(connection, at).node;
        if kernel.node(node).has_power() {
            self.push(kernel, connection, 1 - at, Packet::Reset);
        } else {
            self.expect_answer(kernel, connection, 1 - at);
        }
    }

    /// Sets the time at which a side gives up that has sent something and hears nothing.
    fn expect_answer(&mut self, kernel: &Kernel, connection: u64, side: usize) {
        if !std::mem::replace(&mut self.side(connection, side).giving_up, true) {
            let delay = kernel.random.delay_ns(&kernel.options.net.give_up);
            kernel.after(delay, Event::Net(NetEvent::GiveUp { connection, side }));
        }
    }

    /// The time to give up has come: it is done if the way is still cut or the peer's node silent.
    pub(super) fn give_up(&mut self, kernel: &Kernel, connection: u64, number: usize) {
        let Some(Connection { sides }) = self.connections.get_mut(&connection) else { return };
        let peer = &sides[1 - number];
        let is_held = peer.held_packets > 0 && self.links.is_cut(sides[number].node, peer.node);
        let is_silent = peer.state == SideState::Silent;
        sides[number].giving_up = false;
        if is_held || is_silent {
            kernel.note(What::Reset, [connection, number as u64, 0, 0]);
            // What did not get through never will.
            sides[1 - number].packets.clear();
            sides[1 - number].held_packets = 0;
            sides[number].break_off(io::ErrorKind::TimedOut);
        }
    }

    /// News of bytes that were read has come back to their sender.
    pub(super) fn acknowledge(&mut self, kernel: &Kernel, connection: u64, to: usize, bytes: usize) {
        let Some(Connection { sides }) = self.connections.get_mut(&connection) else { return };
        if self.links.is_cut(sides[1 - to].node, sides[to].node) {
            sides[to].held_bytes += bytes;
            return;
        }
        kernel.note(What::Acknowledge, [connection, to as u64, bytes as u64, 0]);
        sides[to].unacknowledged -= bytes;
        sides[to].sender.take().into_iter().for_each(Waker::wake);
    }

    /// The way from `from` to `to` is healed: what was held arrives after all.
    pub(super) fn release_held(&mut self, kernel: &Kernel, from: u16, to: u16) {
        for (&connection, Connection { sides }) in &mut self.connections {
            for number in 0..2 {
                if sides[1 - number].node != from || sides[number].node != to {
                    continue;
                }
                let delay = self.links.delay(kernel, from, to);
                let side = &mut sides[number];
                for _ in 0..std::mem::take(&mut side.held_packets) {
                    kernel.after(delay, Event::Net(NetEvent::Deliver { connection, to: number }));
                }
                side.last_arrival = side.last_arrival.max(kernel.now() + delay);
                let bytes = std::mem::take(&mut side.held_bytes);
                if bytes > 0 {
                    kernel.after(delay, Event::Net(NetEvent::Acknowledge { connection, to: number, bytes }));
                }
            }
        }
    }

    /// Moves as much of `data` into the connection as the window allows. True when all has gone.
    pub(super) fn send(
        &mut self,
        kernel: &Kernel,
        connection: u64,
        from: usize,
        data: &mut VecDeque<Bytes>,
        waker: &Waker,
    ) -> io::Result<bool> {
        loop {
            let side = self.side(connection, from);
            if let Some(why) = side.broken {
                return Err(why.into());
            }
            if side.state != SideState::Open {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let Some(front) = data.front_mut() else { return Ok(true) };
            let room = kernel.options.net.window.saturating_sub(side.unacknowledged);
            if room == 0 {
                side.sender = Some(waker.clone());
                return Ok(false);
            }
            let most = front.len().min(room).min(PACKET_MAX);
            let len = if kernel.random.percent(20) { 1 + kernel.random.index(most.max(1)) } else { most };
            let bytes = front.split_to(len.min(most));
            if front.is_empty() {
                data.pop_front();
            }
            if !bytes.is_empty() {
                side.unacknowledged += bytes.len();
                self.push(kernel, connection, 1 - from, Packet::Data(bytes));
            }
        }
    }

    /// Whether [`State::receive`] has something to say. If not, `waker` is woken when it has.
    pub(super) fn is_readable(&mut self, connection: u64, to: usize, waker: &Waker) -> bool {
        let side = self.side(connection, to);
        let readable =
            side.state != SideState::Open || !side.unread.is_empty() || side.broken.is_some() || side.ended;
        if !readable {
            side.receiver = Some(waker.clone());
        }
        readable
    }

    /// Some bytes that have arrived, at most `most`; none at the end of the stream; `None` if there is nothing yet.
    pub(super) fn receive(
        &mut self,
        kernel: &Kernel,
        connection: u64,
        to: usize,
        most: usize,
        waker: &Waker,
    ) -> io::Result<Option<Bytes>> {
        let side = self.side(connection, to);
        if side.state != SideState::Open {
            return Ok(Some(Bytes::new()));
        }
        let Some(front) = side.unread.front_mut() else {
            return match side.broken {
                Some(why) => Err(why.into()),
                None if side.ended => Ok(Some(Bytes::new())),
                None => {
                    side.receiver = Some(waker.clone());
                    Ok(None)
                }
            };
        };
        let most = most.min(RECEIVED_MAX);
        // Packets mean nothing to the receiver: they come joined, whole or in parts.
        let bytes = match kernel.random.below(5) {
            0 => front.split_to(1 + kernel.random.index(front.len().min(most))),
            1 | 2 => gather(&mut side.unread, most),
            _ => front.split_to(front.len().min(most)),
        };
        while side.unread.front().is_some_and(Bytes::is_empty) {
            side.unread.pop_front();
        }
        let (node, read) = (side.node, bytes.len());
        let peer = self.side(connection, 1 - to).node;
        let delay = self.links.delay(kernel, node, peer);
        kernel.after(delay, Event::Net(NetEvent::Acknowledge { connection, to: 1 - to, bytes: read }));
        Ok(Some(bytes))
    }

    /// The application shuts the stream down: both directions end here.
    pub(super) fn shut_down(&mut self, kernel: &Kernel, connection: u64, number: usize) {
        let side = self.side(connection, number);
        if side.state == SideState::Open {
            side.state = SideState::ShutDown;
            side.wake();
            self.push(kernel, connection, 1 - number, Packet::End);
        }
    }

    /// Nobody holds this side any more.
    pub(super) fn close(&mut self, kernel: &Kernel, connection: u64, number: usize) {
        let Some(Connection { sides }) = self.connections.get_mut(&connection) else { return };
        let side = &mut sides[number];
        let before = std::mem::replace(&mut side.state, SideState::Closed);
        // Closing with bytes unread resets, as systems do; the peer then knows that they were lost.
        let packet = match (before, side.unread.is_empty()) {
            (SideState::Open | SideState::ShutDown, false) => Some(Packet::Reset),
            (SideState::Open, true) => Some(Packet::End),
            _ => None,
        };
        side.unread.clear();
        if let Some(packet) = packet
            && side.broken.is_none()
        {
            self.push(kernel, connection, 1 - number, packet);
        }
        self.forget_if_over(connection);
    }

    /// Forgets a connection that nobody stands behind any more.
    fn forget_if_over(&mut self, connection: u64) {
        let is_over = |side: &Side| matches!(side.state, SideState::Closed | SideState::Silent);
        if self.connections.get(&connection).is_some_and(|found| found.sides.iter().all(is_over)) {
            self.connections.remove(&connection);
        }
    }

    /// The sides on a node that was killed.
    pub(super) fn kill_ends(&mut self, kernel: &Kernel, node: u16, crash: Crash) {
        let of_node: Vec<_> = self
            .connections
            .iter()
            .flat_map(|(&connection, Connection { sides })| {
                (0..2).filter(|&side| sides[side].node == node).map(move |side| (connection, side))
            })
            .collect();
        for (connection, number) in of_node {
            let Some(Connection { sides }) = self.connections.get_mut(&connection) else { continue };
            let side = &mut sides[number];
            (side.receiver, side.sender) = (None, None);
            match crash {
                Crash::Process => self.close(kernel, connection, number),
                Crash::PowerCut => {
                    side.state = SideState::Silent;
                    side.unread.clear();
                    self.forget_if_over(connection);
                }
            }
        }
    }

    /// Both sides of every connection between two nodes learn that it is broken.
    pub(super) fn reset_between(&mut self, kernel: &Kernel, a: u16, b: u16) {
        for (&connection, Connection { sides }) in &mut self.connections {
            let nodes = [sides[0].node, sides[1].node];
            if nodes == [a, b] || nodes == [b, a] {
                kernel.note(What::Reset, [connection, 2, 0, 0]);
                sides.iter_mut().for_each(|side| side.break_off(io::ErrorKind::ConnectionReset));
            }
        }
    }
}

/// Takes bytes from as many pieces as `most` allows.
fn gather(pieces: &mut VecDeque<Bytes>, most: usize) -> Bytes {
    let mut gathered = BytesMut::new();
    while let Some(piece) = pieces.front_mut()
        && gathered.len() < most
    {
        let take = piece.len().min(most - gathered.len());
        gathered.extend_from_slice(&piece[..take]);
        piece.advance(take);
        if piece.is_empty() {
            pieces.pop_front();
        }
    }
    gathered.freeze()
}
