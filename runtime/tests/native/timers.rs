//! Clocks and timers.

use crate::run;
use millrace_runtime::{Elapsed, Instant, sleep, sleep_until, spawn, timeout, unix_millis};
use std::{cell::RefCell, future::pending, rc::Rc, time::Duration};

#[test]
fn timers_fire_in_order_and_never_early() {
    let fired = run(async |_| {
        let start = Instant::now();
        let fired = Rc::new(RefCell::new(Vec::new()));
        let mut handles = Vec::new();
        for n in 0u64..500 {
            let fired = Rc::clone(&fired);
            // Scattered, each of five deadlines a hundred times, and so late that all are waited for before the first has come,
            // however slow this machine is today.
            let deadline = start + Duration::from_millis(500 + n * 7 % 5);
            handles.push(spawn(async move {
                sleep_until(deadline).await;
                assert!(Instant::now() >= deadline, "a timer fired early");
                fired.borrow_mut().push(deadline);
            }));
        }
        for handle in handles {
            handle.await.expect("not cancelled");
        }
        let fired = fired.take();
        (fired.len(), fired.is_sorted())
    });
    assert_eq!(fired, (500, true));
}

#[test]
fn a_past_deadline_is_ready_and_a_forgotten_timer_harmless() {
    run(async |_| {
        sleep_until(Instant::from_nanos(0)).await;
        for _ in 0..1000 {
            assert_eq!(timeout(Duration::from_secs(1000), async { 7 }).await, Ok(7));
        }
        assert_eq!(timeout(Duration::from_millis(1), pending::<()>()).await, Err(Elapsed));
        // An earlier timer set while the shard sleeps until a later one.
        let late = spawn(sleep(Duration::from_secs(1000)));
        sleep(Duration::from_millis(2)).await;
        sleep(Duration::from_millis(1)).await;
        late.cancel();
        assert_eq!(late.await, None);
    });
}

#[test]
fn the_wall_clock_is_this_centurys() {
    let now = run(async |_| unix_millis());
    assert!(now > 1_700_000_000_000, "{now}");
}
