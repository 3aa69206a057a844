//! Dropping what is under way.

use crate::run;
use millrace_runtime::{Queue, sleep, spawn, spawn_into, yield_now};
use std::{cell::Cell, rc::Rc, time::Duration};

#[test]
fn a_cancelled_task_is_dropped_and_its_joiner_told() {
    run(async |_| {
        let dropped = Rc::new(Cell::new(false));
        struct Note(Rc<Cell<bool>>);
        impl Drop for Note {
            fn drop(&mut self) {
                self.0.set(true);
            }
        }
        let note = Note(Rc::clone(&dropped));
        let handle = spawn(async move {
            sleep(Duration::from_secs(1000)).await;
            drop(note);
        });
        yield_now().await;
        assert!(!handle.is_finished());
        handle.cancel();
        assert_eq!(handle.await, None);
        assert!(dropped.get());

        // Before its first poll, in another queue, and by itself.
        let never = spawn_into(Queue::Background, async { 1 });
        never.cancel();
        assert_eq!(never.await, None);
        let finished = spawn(async { 2 });
        yield_now().await;
        yield_now().await;
        finished.cancel();
        assert_eq!(finished.await, Some(2));
    });
}
