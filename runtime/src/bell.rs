//! Waking a shard from another thread.

/// One bell per shard of a launch, in order of shard.
#[derive(Debug)]
pub(crate) struct Doorbells(pub(crate) Vec<Bell>);

/// Tells a shard that one of its inboxes may have something. Cheap while the shard is awake.
#[derive(Clone, Debug)]
pub(crate) enum Bell {
    Native(crate::native::bell::Bell),
    #[cfg(feature = "sim")]
    Sim(crate::sim::bell::Bell),
}

impl Bell {
    /// Makes the shard look at its inboxes soon. Everything sent before the call is seen by that look.
    #[inline]
    pub(crate) fn ring(&self) {
        match self {
            Self::Native(bell) => bell.ring(),
            #[cfg(feature = "sim")]
            Self::Sim(bell) => bell.ring(),
        }
    }
}

/// Something on this shard that other threads put messages into. The shard's driver looks at every inbox once per turn.
pub(crate) trait Inbox {
    /// Wakes the waiting receiver, if there is one and there is something for it. Tells whether it woke one: what lies
    /// there while its receiver is busy elsewhere is no reason to look again soon.
    fn look(&self) -> bool;
}
