use crate::*;
use std::{future::Future, pin::Pin};
#[derive(Debug)]
pub(crate) struct Launched<T>(std::marker::PhantomData<T>);
impl<T> Launched<T> {
    pub(crate) fn join(self) -> Result<Vec<T>, ShardPanic> {
        todo!()
    }
}
pub(crate) fn launch<T, M, F>(_options: &LaunchOptions, _main: M) -> Result<Launched<T>, LaunchError>
where
    T: Send + 'static,
    M: Fn(Shard) -> F + Clone + Send + 'static,
    F: Future<Output = T> + 'static,
{
    todo!()
}
pub(crate) fn spawn_detached(_queue: Queue, _task: Pin<Box<dyn Future<Output = ()>>>) {
    todo!()
}
