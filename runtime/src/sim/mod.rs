//! A deterministic world: every shard of every node on one thread, in virtual time.
//!
//! A [`World`] is made from a seed. It has nodes, each with a [disk](DiskOptions) and an address; on a node, shards are
//! [launched](World::launch) that run the very code that runs natively. Whatever can come out one way or another
//! (which ready task runs next, when an operation completes, what a power cut spares, where a stream is fragmented) is
//! drawn from one generator, so that the seed decides all, and a world that failed fails again. The
//! [hash of the trace](World::trace_hash) of two runs tells whether they were the same. A panic on the way prints the
//! seed, and with `MILLRACE_SIM_SEED` set to it, a test that runs over [`seeds`] runs that world alone.
//!
//! ```
//! use millrace_runtime::{File, OpenOptions, AlignedBuf, sim::{Crash, NodeOptions, World, WorldOptions}};
//! use std::path::Path;
//!
//! let world = World::new(7, WorldOptions::default());
//! let node = world.add_node("a", NodeOptions::default());
//! world.block_on(node, async {
//!     let file = File::open(Path::new("/log"), OpenOptions::CREATE_NEW).await?;
//!     let (written, _) = file.write_durable_at(0, AlignedBuf::zeroed(4096), 4096).await;
//!     written?;
//!     millrace_runtime::fs::sync_dir(Path::new("/")).await
//! })?;
//! world.kill(node, Crash::PowerCut);
//! assert_eq!(world.disk(node).read(Path::new("/log"))?.len(), 4096);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! **What a world does not have**: threads (wakers and bells may be rung from this thread alone), a cost of computing
//! (a poll takes a few seeded microseconds at most, whatever it does), weights of task queues, and registered buffers.
//! Nor does it reorder memory accesses: the rings between shards need a test on real threads.

pub(crate) mod bell;
pub(crate) mod disk;
pub(crate) mod file;
mod kernel;
pub(crate) mod net;
mod node;
mod random;
mod running;
mod shard;
mod task;
mod trace;
mod world;

pub use disk::{Crash, Device, DiskHandle, DiskLatency, DiskOptions, DiskRead, DiskSnapshot, Fault, IoStep};
pub use net::NetOptions;
pub use running::{Killed, Running};
pub(crate) use shard::ShardContext;
pub use world::{NodeId, NodeOptions, World, WorldOptions, seeds};
