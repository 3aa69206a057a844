//! The native backend: glommio's executor and a raw io_uring per shard.

pub(crate) mod bell;
mod blocking;
pub(crate) mod driver;
pub(crate) mod executor;
mod fd;
pub(crate) mod file;
pub(crate) mod fs;
mod landing;
pub(crate) mod net;
mod operation;
mod parker;
pub(crate) mod random;
pub(crate) mod registered;
pub(crate) mod ring;
mod shard;
mod slab;
mod syncs;
mod tasks;
pub(crate) mod time;
