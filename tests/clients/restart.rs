//! One restart of the broker for all clients that wait for it.

use std::sync::{Condvar, Mutex, PoisonError};

use crate::suite::Outcome;

/// Where clients meet before the restart: it happens once, when each has arrived or has come to its end.
pub(crate) struct Rendezvous<'a> {
    restart: &'a (dyn Fn() -> Result<(), String> + Sync),
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Clients that run and have not arrived.
    expected: usize,
    /// Clients that wait for the restart.
    waiting: usize,
    restarted: Option<Result<(), String>>,
}

impl<'a> Rendezvous<'a> {
    pub(crate) fn new(clients: usize, restart: &'a (dyn Fn() -> Result<(), String> + Sync)) -> Self {
        let state = Mutex::new(State { expected: clients, waiting: 0, restarted: None });
        Self { restart, state, changed: Condvar::new() }
    }

    /// Runs a client's case with a function that waits for the restart.
    pub(crate) fn take_part(&self, case: impl FnOnce(&dyn Fn() -> Result<(), String>) -> Outcome) -> Outcome {
        let arrived = std::cell::Cell::new(false);
        let outcome = case(&|| {
            if arrived.replace(true) {
                return Err("the broker restarts once only".to_owned());
            }
            self.arrive()
        });
        if !arrived.get() {
            self.count(|state| state.expected -= 1);
        }
        outcome
    }

    fn arrive(&self) -> Result<(), String> {
        self.count(|state| {
            state.expected -= 1;
            state.waiting += 1;
        });
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = self
            .changed
            .wait_while(state, |state| state.restarted.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        state.restarted.clone().unwrap_or_else(|| Err("the broker was not restarted".to_owned()))
    }

    /// Counts a client, and restarts the broker if it was the last and anybody waits.
    fn count(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        if state.expected == 0 && state.waiting > 0 && state.restarted.is_none() {
            state.restarted = Some((self.restart)());
            self.changed.notify_all();
        }
    }
}
