//! The native backend: glommio's executor and a raw io_uring per shard.

pub(crate) mod bell;
pub(crate) mod driver;
pub(crate) mod executor;
pub(crate) mod file;
pub(crate) mod fs;
pub(crate) mod net;
pub(crate) mod random;
pub(crate) mod time;
