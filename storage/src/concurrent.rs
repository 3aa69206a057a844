//! Doing many things at once, but not too many.

use millrace_runtime::{Queue, spawn_into};
use std::{cell::RefCell, future::Future, rc::Rc, vec};

/// Runs `work` on every item, `limit` of them at a time, in background tasks. All are done when it returns; if the
/// caller is dropped before, they go on without it.
///
/// # Errors
/// The first error in time; items that were not begun by then are left out.
pub(crate) async fn for_each<T, E, W, F>(limit: usize, items: Vec<T>, work: W) -> Result<(), E>
where
    T: 'static,
    E: 'static,
    W: Fn(T) -> F + 'static,
    F: Future<Output = Result<(), E>> + 'static,
{
    struct Shared<T, E, W> {
        items: RefCell<vec::IntoIter<T>>,
        failed: RefCell<Option<E>>,
        work: W,
    }
    let workers = limit.min(items.len());
    let shared = Rc::new(Shared { items: RefCell::new(items.into_iter()), failed: RefCell::new(None), work });
    let tasks: Vec<_> = (0..workers)
        .map(|_| {
            let shared = Rc::clone(&shared);
            spawn_into(Queue::Background, async move {
                loop {
                    let next = match &*shared.failed.borrow() {
                        None => shared.items.borrow_mut().next(),
                        Some(_) => None,
                    };
                    let Some(item) = next else { return };
                    if let Err(error) = (shared.work)(item).await {
                        shared.failed.borrow_mut().get_or_insert(error);
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await;
    }
    let failed = shared.failed.take();
    failed.map_or(Ok(()), Err)
}
