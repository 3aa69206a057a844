//! The seam between Millrace and the machine.
//!
//! Everything above this crate is written against concrete types ([`File`], [`Stream`], [`Listener`], [`Instant`],
//! [`spawn`], [`Mesh`]) that have two backends:
//!
//! - **native**: one pinned thread per shard, each with a glommio executor (task queues with shares, timers, direct
//!   file reads, control) and one raw io_uring for the hot path (accept, receive, send, durable writes);
//! - **sim** (cargo feature `sim`): every shard of every node of a simulated world on one thread, in virtual time, with
//!   seeded scheduling, disks that forget what was not synced, and a network that delays and cuts.
//!
//! The backend is chosen when an executor is made ([`launch`] or [`sim::World`]), never by the cargo feature: cargo
//! unifies features, so a swap by feature could ship the simulator. One test binary can hold both.
//!
//! **Invariant**: no other crate of the workspace names glommio or io_uring, reads a clock, starts a thread, keeps a
//! thread-local or a global, or touches a file or a socket except through this crate. clippy's disallowed lists hold it.

#![warn(missing_docs)]

mod bell;
mod buffer;
mod context;
mod executor;
mod file;
pub mod fs;
mod latency;
pub mod machine;
mod mailbox;
mod map;
mod mesh;
mod native;
mod net;
mod random;
#[cfg(feature = "sim")]
pub mod sim;
mod task;
mod time;

pub use buffer::{AlignedBuf, BLOCK_SIZE};
pub use executor::{LaunchError, LaunchOptions, Launched, Pinning, Shard, ShardId, ShardPanic, launch};
pub use file::{File, OpenOptions};
pub use latency::Latencies;
pub use mailbox::{Mailbox, MailboxClosed, MailboxSender, mailbox};
pub use map::{HashMap, HashSet, Seeded};
pub use mesh::{Mesh, Port};
pub use net::{ListenOptions, Listener, PortSharing, Received, Stream};
pub use random::{random_bytes, random_u64};
pub use task::{JoinHandle, Queue, spawn, spawn_into, yield_now};
pub use time::{Elapsed, Instant, sleep, sleep_until, timeout, unix_millis};
