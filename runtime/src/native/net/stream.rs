//! A connection.

use super::{
    buffers::Received,
    receiver::Receiver,
    socket::{self, Address},
};
use crate::native::{
    fd::{Fd, checked},
    operation::InFlight,
    ring::Memory,
    shard::Shard,
};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use io_uring::opcode;
use rustix::net::Shutdown;
use std::{collections::VecDeque, fmt, future::poll_fn, io, mem, net::SocketAddr, os::fd::OwnedFd, rc::Rc};

/// Pieces that one system call gathers at most (IOV_MAX).
const PIECES_MAX: usize = 1024;

/// A TCP connection. Clones are the same.
#[derive(Clone)]
pub(crate) struct Stream(Rc<Inner>);

struct Inner {
    shard: Rc<Shard>,
    socket: Rc<Fd>,
    local: SocketAddr,
    peer: SocketAddr,
    receiver: Rc<Receiver>,
}

impl Stream {
    pub(super) fn accepted(shard: &Rc<Shard>, socket: OwnedFd) -> io::Result<Self> {
        Self::over(shard, Fd::socket(socket))
    }

    fn over(shard: &Rc<Shard>, socket: Rc<Fd>) -> io::Result<Self> {
        socket::set_no_delay(&*socket)?;
        let (local, peer) = (socket::local(&*socket)?, socket::peer(&*socket)?);
        let receiver = Receiver::new(shard.buffers()?);
        Ok(Self(Rc::new(Inner { shard: Rc::clone(shard), socket, local, peer, receiver })))
    }

    pub(crate) async fn connect(address: SocketAddr) -> io::Result<Self> {
        let shard = Shard::current();
        let socket = socket::connecting(address)?;
        let address = Address::new(address);
        let (start, len) = address.parts();
        let entry = opcode::Connect::new(socket.target(), start, len).build();
        // SAFETY: the address is boxed and goes with the operation, as does the socket.
        let connecting =
            unsafe { InFlight::start(entry, Some(Rc::clone(&socket)), Memory::Address(address)) };
        let (result, _) = connecting.await;
        checked(result)?;
        Self::over(&shard, socket)
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.0.local
    }

    pub(crate) fn peer_addr(&self) -> SocketAddr {
        self.0.peer
    }

    pub(crate) async fn recv(&self) -> io::Result<Received> {
        let Inner { shard, socket, receiver, .. } = &*self.0;
        poll_fn(|cx| receiver.poll_next(shard, socket, cx)).await
    }

    pub(crate) async fn recv_exact(&self, mut buffer: BytesMut) -> io::Result<BytesMut> {
        let Inner { shard, receiver, .. } = &*self.0;
        // First what arrived in buffers, or is still to come from the receive into buffers that is under way.
        while spare(&buffer) > 0 {
            let Some(received) = poll_fn(|cx| receiver.poll_rest(shard, cx)).await else { break };
            let mut received = received?;
            if received.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let len = received.len().min(spare(&buffer));
            buffer.put_slice(&received[..len]);
            received.skip(len);
            receiver.put_back(received);
        }
        while spare(&buffer) > 0 {
            let len;
            (len, buffer) = self.recv_into(buffer).await?;
            if len == 0 {
                receiver.note_eof();
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(buffer)
    }

    /// Receives once into the spare capacity.
    async fn recv_into(&self, mut buffer: BytesMut) -> io::Result<(usize, BytesMut)> {
        let socket = &self.0.socket;
        let free = buffer.spare_capacity_mut();
        let len = u32::try_from(free.len()).unwrap_or(u32::MAX);
        let entry = opcode::Recv::new(socket.target(), free.as_mut_ptr().cast(), len)
            .flags(libc::MSG_WAITALL)
            .build();
        // SAFETY: the buffer's memory is on the heap and goes with the operation, as does the socket.
        let receiving = unsafe { InFlight::start(entry, Some(Rc::clone(socket)), Memory::Spare(buffer)) };
        let (result, memory) = receiving.await;
        let received = checked(result)? as usize;
        let Memory::Spare(mut buffer) = memory else {
            unreachable!("an operation gives back its own memory")
        };
        // SAFETY: the kernel wrote as many bytes behind the buffer's length.
        unsafe { buffer.set_len(buffer.len() + received) };
        Ok((received, buffer))
    }

    pub(crate) async fn send(&self, slices: Vec<Bytes>) -> io::Result<()> {
        let mut rest: VecDeque<Bytes> = slices.into();
        rest.retain(|slice| !slice.is_empty());
        while !rest.is_empty() {
            let mut sent = self.send_some(&rest).await?;
            while let Some(first) = rest.front_mut() {
                if sent < first.len() {
                    first.advance(sent);
                    break;
                }
                sent -= first.len();
                rest.pop_front();
            }
        }
        Ok(())
    }

    /// Sends what one system call takes of `slices`.
    async fn send_some(&self, slices: &VecDeque<Bytes>) -> io::Result<usize> {
        let socket = &self.0.socket;
        let flags = (libc::MSG_NOSIGNAL | libc::MSG_WAITALL) as u32;
        let (entry, memory) = if slices.len() == 1 {
            let slice = slices[0].clone();
            let len = u32::try_from(slice.len()).unwrap_or(u32::MAX);
            let entry = opcode::Send::new(socket.target(), slice.as_ptr(), len).flags(flags as i32).build();
            (entry, Memory::Bytes(slice))
        } else {
            let message = Message::new(slices.iter().take(PIECES_MAX).cloned().collect());
            let entry = opcode::SendMsg::new(socket.target(), &raw const message.header).flags(flags).build();
            (entry, Memory::Message(message))
        };
        // SAFETY: the slices' bytes, and for several the boxed message, go with the operation, as does the socket.
        let sending = unsafe { InFlight::start(entry, Some(Rc::clone(socket)), memory) };
        let (result, _) = sending.await;
        match checked(result)? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            sent => Ok(sent as usize),
        }
    }

    pub(crate) fn shutdown(&self) {
        // Fails only if the connection is gone already, which is what was wanted.
        rustix::net::shutdown(&*self.0.socket, Shutdown::Both).ok();
    }
}

/// Bytes that `recv_exact` has still to fill.
fn spare(buffer: &BytesMut) -> usize {
    buffer.capacity() - buffer.len()
}

/// A message that gathers slices: what the kernel reads it from, at places that do not move.
pub(crate) struct Message {
    header: libc::msghdr,
    _pieces: Vec<libc::iovec>,
    _slices: Vec<Bytes>,
}

impl Message {
    fn new(slices: Vec<Bytes>) -> Box<Self> {
        let mut pieces: Vec<libc::iovec> = slices
            .iter()
            .map(|slice| libc::iovec { iov_base: slice.as_ptr().cast_mut().cast(), iov_len: slice.len() })
            .collect();
        // SAFETY: all zeros is a message without address, pieces, control data or flags.
        let mut header: libc::msghdr = unsafe { mem::zeroed() };
        header.msg_iov = pieces.as_mut_ptr();
        header.msg_iovlen = pieces.len();
        Box::new(Self { header, _pieces: pieces, _slices: slices })
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message of {} slices", self._slices.len())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The receive holds the socket; it ends, and the socket closes with it.
        self.receiver.stop(&self.shard);
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stream({} - {})", self.0.local, self.0.peer)
    }
}
