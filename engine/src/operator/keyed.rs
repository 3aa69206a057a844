//! Operators at the head of a keyed stage: they are given the key with each record.

use super::Push;
use crate::{
    key::{HashedKey, KeyHash},
    table::Table,
    task::{Flow, OpenContext},
};

/// Like [`Operator`](super::Operator), for records that come with a key. Its hooks keep the same contract.
pub(crate) trait KeyedOperator<T: ?Sized>: 'static {
    type Out: ?Sized;

    fn open(&mut self, cx: &mut OpenContext<'_>);

    /// A record of this key and time comes soon. Changes nothing.
    fn prefetch(&self, timestamp: i64, hash: KeyHash);

    fn record<P: Push<Self::Out>>(&mut self, key: HashedKey<'_>, timestamp: i64, item: &T, out: &mut P);

    fn watermark<P: Push<Self::Out>>(&mut self, watermark: i64, out: &mut P) -> Flow;

    fn timer<P: Push<Self::Out>>(&mut self, now_ms: i64, out: &mut P) -> Flow;

    fn restore<P: Push<Self::Out>>(&mut self, out: &mut P) -> Flow;

    fn tables(&mut self, visit: &mut dyn FnMut(&mut dyn Table));

    fn late_records(&self) -> u64 {
        0
    }
}
