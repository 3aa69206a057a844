//! What tests of several modules share.

use millrace_runtime::sim::{NodeId, NodeOptions, World, WorldOptions};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};
use tracing::{Event, Level, Metadata, Subscriber, span};

/// A world of `N` nodes.
pub(crate) fn world<const N: usize>(seed: u64) -> (World, [NodeId; N]) {
    let world = World::new(seed, WorldOptions::default());
    let nodes = std::array::from_fn(|node| world.add_node(&format!("node-{node}"), NodeOptions::default()));
    (world, nodes)
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
