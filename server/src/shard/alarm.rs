//! A timer that can be set again while somebody waits for it.

use millrace_runtime::{Instant, sleep_until};
use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    pin::Pin,
    task::{Poll, Waker},
};

type Timer = Pin<Box<dyn Future<Output = ()>>>;

/// Rings at the time it is set for. One task waits; any may set it.
#[derive(Debug, Default)]
pub struct Alarm {
    at: Cell<Option<Instant>>,
    waiting: RefCell<Option<Waker>>,
}

impl Alarm {
    /// Sets the time, or that there is none.
    pub fn set(&self, at: Option<Instant>) {
        if self.at.replace(at) != at
            && let Some(waiting) = self.waiting.take()
        {
            waiting.wake();
        }
    }

    /// Waits until the time has come, whatever it is set to meanwhile. The alarm is then off.
    pub async fn ring(&self) {
        let mut timer: Option<(Instant, Timer)> = None;
        poll_fn(|cx| {
            *self.waiting.borrow_mut() = Some(cx.waker().clone());
            let Some(at) = self.at.get() else {
                timer = None;
                return Poll::Pending;
            };
            if timer.as_ref().is_none_or(|(set, _)| *set != at) {
                timer = Some((at, Box::pin(sleep_until(at))));
            }
            let rung = timer.as_mut().is_some_and(|(_, timer)| timer.as_mut().poll(cx).is_ready());
            if rung {
                self.at.set(None);
                return Poll::Ready(());
            }
            Poll::Pending
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_runtime::{
        sim::{NodeOptions, World, WorldOptions},
        sleep, spawn,
    };
    use std::{rc::Rc, time::Duration};

    #[test]
    fn it_rings_at_the_time_it_was_set_to_last() {
        let world = World::new(3, WorldOptions::default());
        let node = world.add_node("node", NodeOptions::default());
        world.block_on(node, async {
            let alarm = Rc::new(Alarm::default());
            let start = Instant::now();
            alarm.set(Some(start + Duration::from_secs(10)));
            let setter = Rc::clone(&alarm);
            spawn(async move {
                sleep(Duration::from_secs(1)).await;
                setter.set(None);
                sleep(Duration::from_secs(20)).await;
                setter.set(Some(start + Duration::from_secs(30)));
            });
            alarm.ring().await;
            assert_eq!(start.elapsed().as_secs(), 30);
        });
    }
}
