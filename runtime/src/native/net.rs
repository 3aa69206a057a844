//! TCP over the shard's ring: multishot accept, multishot receive into buffers that the kernel chooses, gathered sends.

mod buffers;
mod listener;
mod receiver;
mod socket;
mod stream;

pub(crate) use buffers::Received;
pub(crate) use listener::Listener;
pub(crate) use stream::Stream;

pub(super) use buffers::Buffers;
pub(super) use socket::Address;
pub(super) use stream::Message;
