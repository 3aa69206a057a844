//! The names that mark every piece of an epoch.

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// An epoch of the server. One number for all its jobs; it rises over restarts and is never given twice.
    Epoch(u64)
}
number! {
    /// One run of a job, from its start to its end or failure. It rises with every restart of the job; what bears an
    /// older one is refused everywhere.
    Attempt(u64)
}
number! {
    /// A job of the server.
    JobId(u64)
}
number! {
    /// A task of a job's plan on one shard.
    TaskId(u32)
}
