//! Sockets as their owners hold them.

use super::{Network, State, loan::Loans};
use crate::{
    ListenOptions,
    sim::{ShardContext, kernel::Kernel, node::Node},
};
use bytes::{Bytes, BytesMut};
use std::{
    cell::Cell,
    collections::VecDeque,
    fmt,
    future::poll_fn,
    io,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    task::{Poll, Waker},
};

/// What every socket knows: its world, its node, and the life of the node in which it was made.
#[derive(Clone)]
struct Owner {
    kernel: Rc<Kernel>,
    node: Rc<Node>,
    epoch: u64,
    loans: Arc<Loans>,
}

impl Owner {
    fn new(shard: &ShardContext) -> Self {
        Self {
            kernel: Rc::clone(&shard.kernel),
            node: Rc::clone(&shard.node),
            epoch: shard.node.epoch.get(),
            loans: Arc::clone(&shard.loans),
        }
    }

    /// Runs `act` on the world's sockets, if the life of the node in which this one was made still lasts.
    fn with<T>(&self, act: impl FnOnce(&mut State, &Kernel) -> T) -> io::Result<T> {
        if self.node.epoch.get() != self.epoch {
            return Err(io::Error::other("the node that this belonged to was killed"));
        }
        Ok(Network::with(&self.kernel, |state| act(state, &self.kernel)))
    }
}

/// A listening socket.
pub(crate) struct Listener {
    owner: Owner,
    number: u64,
    address: SocketAddr,
}

impl Listener {
    pub(crate) async fn bind(
        shard: &ShardContext,
        address: SocketAddr,
        options: ListenOptions,
    ) -> io::Result<Self> {
        let owner = Owner::new(shard);
        let node = owner.node.id;
        let (number, address) =
            owner.with(|state, kernel| state.listen(kernel, node, address, options))??;
        Ok(Self { owner, number, address })
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.address
    }

    pub(crate) async fn accept(&self) -> io::Result<Stream> {
        let connection = poll_fn(|cx| {
            match self.owner.with(|state, _| state.accept(self.number, cx.waker())).transpose() {
                Some(connection) => Poll::Ready(connection),
                None => Poll::Pending,
            }
        })
        .await?;
        Stream::new(self.owner.clone(), connection, 1)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // In a later life of the node there is nothing left to close.
        self.owner.with(|state, kernel| state.stop_listening(kernel, self.number)).unwrap_or_default();
    }
}

/// A connection.
#[derive(Clone)]
pub(crate) struct Stream(Rc<Inner>);

struct Inner {
    owner: Owner,
    connection: u64,
    side: usize,
    local: SocketAddr,
    peer: SocketAddr,
    receiving: Cell<bool>,
    sending: Cell<bool>,
}

impl Stream {
    fn new(owner: Owner, connection: u64, side: usize) -> io::Result<Self> {
        let (local, peer) = owner.with(|state, _| state.addresses(connection, side))?;
        let (receiving, sending) = Default::default();
        Ok(Self(Rc::new(Inner { owner, connection, side, local, peer, receiving, sending })))
    }

    pub(crate) async fn connect(shard: &ShardContext, address: SocketAddr) -> io::Result<Self> {
        let owner = Owner::new(shard);
        let node = owner.node.id;
        let number = owner.with(|state, kernel| state.attempt(kernel, node, address))??;
        let mut attempt = Attempting { owner, number, taken: false };
        let connection = poll_fn(|cx| {
            let result = attempt.owner.with(|state, _| state.attempt_result(number, cx.waker()));
            match result.map(Option::transpose) {
                Ok(Ok(None)) => Poll::Pending,
                Ok(Ok(Some(connection))) => Poll::Ready(Ok(connection)),
                Ok(Err(error)) | Err(error) => Poll::Ready(Err(error)),
            }
        })
        .await?;
        attempt.taken = true;
        Self::new(attempt.owner.clone(), connection, 0)
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.0.local
    }

    pub(crate) fn peer_addr(&self) -> SocketAddr {
        self.0.peer
    }

    pub(crate) async fn recv(&self) -> io::Result<Bytes> {
        let _turn = Turn::take(&self.0.receiving, "receive");
        let Owner { kernel, loans, .. } = &self.0.owner;
        let buffers = kernel.options.net.receive_buffers;
        loop {
            poll_fn(|cx| match loans.has_free(buffers, cx.waker()) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            })
            .await;
            // Another task may have taken the last buffer while this one waited for bytes.
            self.readable().await?;
            if loans.has_free(buffers, Waker::noop()) {
                return Ok(loans.lend(self.recv_most(usize::MAX).await?));
            }
        }
    }

    /// Waits until a receive would not.
    async fn readable(&self) -> io::Result<()> {
        let Inner { owner, connection, side, .. } = &*self.0;
        poll_fn(|cx| match owner.with(|state, _| state.is_readable(*connection, *side, cx.waker())) {
            Ok(true) => Poll::Ready(Ok(())),
            Ok(false) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        })
        .await
    }

    async fn recv_most(&self, most: usize) -> io::Result<Bytes> {
        let Inner { owner, connection, side, .. } = &*self.0;
        poll_fn(|cx| {
            let received =
                owner.with(|state, kernel| state.receive(kernel, *connection, *side, most, cx.waker()));
            match received {
                Ok(Ok(None)) => Poll::Pending,
                Ok(Ok(Some(bytes))) => Poll::Ready(Ok(bytes)),
                Ok(Err(error)) | Err(error) => Poll::Ready(Err(error)),
            }
        })
        .await
    }

    pub(crate) async fn recv_exact(&self, mut buffer: BytesMut) -> io::Result<BytesMut> {
        let _turn = Turn::take(&self.0.receiving, "receive");
        loop {
            let missing = buffer.capacity() - buffer.len();
            if missing == 0 {
                return Ok(buffer);
            }
            let bytes = self.recv_most(missing).await?;
            if bytes.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            buffer.extend_from_slice(&bytes);
        }
    }

    pub(crate) async fn send(&self, slices: Vec<Bytes>) -> io::Result<()> {
        let _turn = Turn::take(&self.0.sending, "send");
        let Inner { owner, connection, side, .. } = &*self.0;
        let mut data = VecDeque::from(slices);
        poll_fn(|cx| {
            let sent =
                owner.with(|state, kernel| state.send(kernel, *connection, *side, &mut data, cx.waker()));
            match sent {
                Ok(Ok(true)) => Poll::Ready(Ok(())),
                Ok(Ok(false)) => Poll::Pending,
                Ok(Err(error)) | Err(error) => Poll::Ready(Err(error)),
            }
        })
        .await
    }

    pub(crate) fn shutdown(&self) {
        let Inner { owner, connection, side, .. } = &*self.0;
        // In a later life of the node there is nothing left to shut down.
        owner.with(|state, kernel| state.shut_down(kernel, *connection, *side)).unwrap_or_default();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // In a later life of the node there is nothing left to close.
        self.owner.with(|state, kernel| state.close(kernel, self.connection, self.side)).unwrap_or_default();
    }
}

/// An attempt to connect, taken back when it drops.
struct Attempting {
    owner: Owner,
    number: u64,
    taken: bool,
}

impl Drop for Attempting {
    fn drop(&mut self) {
        // In a later life of the node there is nothing left to take back.
        self.owner
            .with(|state, kernel| state.end_attempt(kernel, self.number, self.taken))
            .unwrap_or_default();
    }
}

/// One receive or send in flight.
struct Turn<'a>(&'a Cell<bool>);

impl<'a> Turn<'a> {
    fn take(busy: &'a Cell<bool>, what: &str) -> Self {
        assert!(!busy.replace(true), "a {what} is in flight on this stream already");
        Self(busy)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listener({})", self.address)
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stream({} to {})", self.0.local, self.0.peer)
    }
}
