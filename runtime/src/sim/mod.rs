//! A deterministic world: seeded scheduling, virtual time, disks that forget, a network that fails.
pub(crate) mod bell;
pub(crate) mod disk;
pub(crate) mod file;
pub(crate) mod net;
use crate::*;
use std::{future::Future, pin::Pin, rc::Rc};
/// One shard of a simulated node.
pub struct ShardContext;
impl ShardContext {
    pub(crate) fn now_ns(&self) -> u64 {
        todo!()
    }
    pub(crate) fn unix_millis(&self) -> i64 {
        todo!()
    }
    pub(crate) async fn sleep_until(&self, _deadline: Instant) {
        todo!()
    }
    pub(crate) fn random_u64(&self) -> u64 {
        todo!()
    }
    pub(crate) fn disk(&self) -> Rc<disk::Disk> {
        todo!()
    }
    pub(crate) fn register_inbox(&self, _inbox: Rc<dyn crate::bell::Inbox>) {
        todo!()
    }
    pub(crate) fn spawn_detached(&self, _queue: Queue, _task: Pin<Box<dyn Future<Output = ()>>>) {
        todo!()
    }
}
