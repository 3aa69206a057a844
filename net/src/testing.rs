//! What tests of several modules share.

use crate::{
    frame::{FrameSplitter, LargeFrame, Split},
    kafka::{Call, encode_request, parse_response},
    wire::Writer,
};
use bytes::Bytes;
use millrace_runtime::{
    Stream,
    sim::{NodeId, NodeOptions, World, WorldOptions},
};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};
use tracing::{Event, Level, Metadata, Subscriber, span};

/// A world of `N` nodes.
pub(crate) fn world<const N: usize>(seed: u64) -> (World, [NodeId; N]) {
    let world = World::new(seed, WorldOptions::default());
    let nodes = std::array::from_fn(|node| world.add_node(&format!("node-{node}"), NodeOptions::default()));
    (world, nodes)
}

/// An end of a connection that knows only bytes and frames.
pub(crate) struct Raw {
    pub(crate) stream: Stream,
    splitter: FrameSplitter,
    unread: Vec<u8>,
    pub(crate) writer: Writer,
}

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::over(Stream::connect(address).await.unwrap())
    }

    pub(crate) fn over(stream: Stream) -> Self {
        Self { stream, splitter: FrameSplitter::new(usize::MAX), unread: Vec::new(), writer: Writer::new() }
    }

    pub(crate) async fn send_bytes(&self, bytes: &[u8]) {
        self.stream.send(vec![Bytes::copy_from_slice(bytes)]).await.unwrap();
    }

    pub(crate) async fn send<C: Call>(&mut self, correlation_id: i32, request: &C) {
        let version = C::API.max_version();
        let frame = encode_request(&mut self.writer, version, correlation_id, None, request).unwrap();
        self.stream.send(frame).await.unwrap();
    }

    /// The next frame, or `None` when the other end has closed.
    pub(crate) async fn frame(&mut self) -> Option<Bytes> {
        loop {
            let unread = std::mem::take(&mut self.unread);
            let mut chunk = &unread[..];
            let split = self.splitter.next(&mut chunk).unwrap();
            self.unread = chunk.to_vec();
            match split {
                Some(Split::Frame(frame)) => return Some(frame),
                Some(Split::Large(len)) => {
                    let mut large = LargeFrame::new(len);
                    let mut chunk = &unread[unread.len() - self.unread.len()..];
                    large.fill(&mut chunk);
                    self.unread = chunk.to_vec();
                    while let Some(piece) = large.next_piece(1 << 20) {
                        large.put(self.stream.recv_exact(piece).await.unwrap());
                    }
                    return Some(large.finish());
                }
                None => {
                    let received = self.stream.recv().await.ok()?;
                    if received.is_empty() {
                        return None;
                    }
                    self.unread.extend_from_slice(&received);
                }
            }
        }
    }

    pub(crate) async fn receive<C: Call>(&mut self, correlation_id: i32) -> C::Response {
        let frame = self.frame().await.expect("the server answers");
        parse_response::<C>(&frame, C::API.max_version(), correlation_id).unwrap()
    }
}

/// Counts lines of the log that an operator would see.
#[derive(Clone, Default)]
pub(crate) struct Warnings(Arc<AtomicUsize>);

impl Warnings {
    pub(crate) fn during<T>(self, run: impl FnOnce() -> T) -> T {
        tracing::subscriber::with_default(self, run)
    }

    pub(crate) fn count(&self) -> usize {
        self.0.load(Relaxed)
    }
}

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn event(&self, _: &Event<'_>) {
        self.0.fetch_add(1, Relaxed);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}
