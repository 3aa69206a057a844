//! What a stream without a key can't do, said well: methods that exist to be refused with a message.

use super::{KeyedStream, Pipeline, Stream};

/// Streams whose records have a key.
#[diagnostic::on_unimplemented(
    message = "a window needs a keyed stream, and so does whatever keeps state by key",
    label = "the records of this stream have no key",
    note = "write `.key_by(|record| ..)` before it: records of one key are then together on one shard"
)]
pub trait HasKey {}

impl<C, F, K> HasKey for KeyedStream<C, F, K> {}

impl<C: Pipeline> Stream<C> {
    /// Needs a key: write `.key_by(..)` first.
    #[doc(hidden)]
    pub fn window<W>(self, _: W) -> Self
    where
        Self: HasKey,
    {
        self
    }

    /// Needs a key: write `.key_by(..)` first.
    #[doc(hidden)]
    pub fn process<P>(self, _: &str, _: P) -> Self
    where
        Self: HasKey,
    {
        self
    }
}
