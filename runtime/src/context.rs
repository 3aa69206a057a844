//! Which backend the running thread is in.
//!
//! A native shard has its thread to itself, and finds itself in a thread-local of its own. The simulator's shards share a
//! thread: it sets [`enter`] around every poll of a shard's task, so that free functions find their world.

#[cfg(feature = "sim")]
use std::{cell::RefCell, rc::Rc};

/// What the free functions dispatch on.
pub(crate) enum Backend {
    /// A glommio executor on this thread.
    Native,
    /// A shard of a simulated world that is being polled right now.
    #[cfg(feature = "sim")]
    Sim(Rc<crate::sim::ShardContext>),
}

#[cfg(feature = "sim")]
thread_local! {
    static SIMULATED: RefCell<Option<Rc<crate::sim::ShardContext>>> = const { RefCell::new(None) };
}

/// The backend of the running thread; native unless a simulated shard is being polled.
#[inline]
pub(crate) fn current() -> Backend {
    #[cfg(feature = "sim")]
    if let Some(shard) = SIMULATED.with_borrow(Clone::clone) {
        return Backend::Sim(shard);
    }
    Backend::Native
}

/// Makes `shard` the current backend until the guard drops, then restores what was current before.
#[cfg(feature = "sim")]
pub(crate) fn enter(shard: Rc<crate::sim::ShardContext>) -> Entered {
    Entered(SIMULATED.replace(Some(shard)))
}

/// Restores the backend that was current before [`enter`].
#[cfg(feature = "sim")]
pub(crate) struct Entered(Option<Rc<crate::sim::ShardContext>>);

#[cfg(feature = "sim")]
impl Drop for Entered {
    fn drop(&mut self) {
        SIMULATED.set(self.0.take());
    }
}
