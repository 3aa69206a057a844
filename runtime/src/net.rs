//! TCP.

use crate::context::{Backend, current};
use bytes::{Bytes, BytesMut};
use std::{fmt, io, net::SocketAddr, ops::Deref};

/// Who may listen at an address. The kernel spreads connections over those who do (SO_REUSEPORT).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortSharing {
    /// Nobody else.
    Alone,
    /// Nobody does yet, or it is refused; others may join. So that shards of one server share a port, and two servers don't.
    First,
    /// Whoever came first, and others who joined.
    Joins,
}

/// How [`Listener::bind`] listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    /// Who else may listen at the same address.
    pub sharing: PortSharing,
    /// Connections that may wait to be accepted.
    pub backlog: u32,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self { sharing: PortSharing::Alone, backlog: 1024 }
    }
}

/// A listening socket of the current shard.
#[derive(Debug)]
pub struct Listener(ListenerInner);

#[derive(Debug)]
enum ListenerInner {
    Native(crate::native::net::Listener),
    #[cfg(feature = "sim")]
    Sim(crate::sim::net::Listener),
}

/// A TCP connection of the current shard, TCP_NODELAY set. Clones are the same connection; one receive and one send
/// may be in flight at a time, from different tasks. Dropping the last clone closes it.
#[derive(Clone, Debug)]
pub struct Stream(StreamInner);

#[derive(Clone, Debug)]
enum StreamInner {
    Native(crate::native::net::Stream),
    #[cfg(feature = "sim")]
    Sim(crate::sim::net::Stream),
}

/// Bytes that arrived: a loan of one of the ring's buffers, which goes back when this drops. They never outlive their
/// request: copy what must stay.
pub struct Received(ReceivedInner);

enum ReceivedInner {
    Native(crate::native::net::Received),
    #[cfg(feature = "sim")]
    Sim(Bytes),
}

macro_rules! on {
    ($kind:ident, $inner:expr, $it:ident => $call:expr) => {
        match $inner {
            $kind::Native($it) => $call,
            #[cfg(feature = "sim")]
            $kind::Sim($it) => $call,
        }
    };
}

impl Listener {
    /// Listens on `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// The operating system's, [`io::ErrorKind::AddrInUse`] above all.
    pub async fn bind(address: SocketAddr, options: ListenOptions) -> io::Result<Self> {
        Ok(Self(match current() {
            Backend::Native => {
                ListenerInner::Native(crate::native::net::Listener::bind(address, options).await?)
            }
            #[cfg(feature = "sim")]
            Backend::Sim(shard) => {
                ListenerInner::Sim(crate::sim::net::Listener::bind(&shard, address, options).await?)
            }
        }))
    }

    /// The address that is listened on, with the port that was taken.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        on!(ListenerInner, &self.0, listener => listener.local_addr())
    }

    /// The next connection.
    ///
    /// # Errors
    /// The operating system's. `EMFILE` and its like pass: wait a little and accept again.
    pub async fn accept(&self) -> io::Result<Stream> {
        Ok(Stream(match &self.0 {
            ListenerInner::Native(listener) => StreamInner::Native(listener.accept().await?),
            #[cfg(feature = "sim")]
            ListenerInner::Sim(listener) => StreamInner::Sim(listener.accept().await?),
        }))
    }
}

impl Stream {
    /// Connects to `address`.
    ///
    /// # Errors
    /// The operating system's.
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        Ok(Self(match current() {
            Backend::Native => StreamInner::Native(crate::native::net::Stream::connect(address).await?),
            #[cfg(feature = "sim")]
            Backend::Sim(shard) => StreamInner::Sim(crate::sim::net::Stream::connect(&shard, address).await?),
        }))
    }

    /// The address the peer reached us at, or ours when we connected.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        on!(StreamInner, &self.0, stream => stream.local_addr())
    }

    /// The peer's address.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        on!(StreamInner, &self.0, stream => stream.peer_addr())
    }

    /// Some bytes that arrived, in a buffer on loan; empty at the end of the stream. Waits while the ring's buffers
    /// are all on loan: the kernel's window then holds the peer back.
    ///
    /// # Errors
    /// The operating system's, [`io::ErrorKind::ConnectionReset`] above all.
    pub async fn recv(&self) -> io::Result<Received> {
        Ok(Received(match &self.0 {
            StreamInner::Native(stream) => ReceivedInner::Native(stream.recv().await?),
            #[cfg(feature = "sim")]
            StreamInner::Sim(stream) => ReceivedInner::Sim(stream.recv().await?),
        }))
    }

    /// Fills `buffer`'s spare capacity exactly, without passing through the ring's buffers: for the rest of a large
    /// request, of whose capacity the caller has made sure.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] if the stream ends before, else the operating system's.
    pub async fn recv_exact(&self, buffer: BytesMut) -> io::Result<BytesMut> {
        on!(StreamInner, &self.0, stream => stream.recv_exact(buffer).await)
    }

    /// Sends all of `slices`, in order, gathered by the kernel without a copy of ours.
    ///
    /// # Errors
    /// The operating system's. After an error an unknown part was sent.
    pub async fn send(&self, slices: Vec<Bytes>) -> io::Result<()> {
        on!(StreamInner, &self.0, stream => stream.send(slices).await)
    }

    /// Closes both directions at once: pending and later receives see the end of the stream.
    pub fn shutdown(&self) {
        on!(StreamInner, &self.0, stream => stream.shutdown());
    }
}

impl Deref for Received {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        on!(ReceivedInner, &self.0, received => received)
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Received({} bytes)", self.len())
    }
}
