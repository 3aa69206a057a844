//! Large appends: straight to the segment, made durable by a sync of their own, and only then told to the journal.
//!
//! Whatever of the same log comes behind a large append waits with it, so that the journal has the log's entries in
//! order. Other logs notice nothing.

use super::{LogInner, State};
use crate::{
    fatal::FatalError,
    journal::entry::{Body, Place},
};
use millrace_runtime::{BLOCK_SIZE, spawn};
use std::rc::Rc;

impl LogInner {
    /// Sees to it that the entries that are held back get to the journal.
    pub(super) fn send_held(self: &Rc<Self>, state: &mut State) {
        if std::mem::replace(&mut state.sending, true) {
            return;
        }
        let log = Rc::clone(self);
        // An error is raised where it happens, and nothing is sent any more then.
        spawn(async move { log.run_sender().await });
    }

    async fn run_sender(self: Rc<Self>) -> Result<(), FatalError> {
        while let Some(place) = self.last_reference() {
            // One sync for all large appends that have come so far.
            self.flush_up_to(place).await?;
            self.release_held(place);
        }
        Ok(())
    }

    /// Where the last large append that waits ends. If none waits, nothing is held any more, and the sender ends.
    fn last_reference(&self) -> Option<Place> {
        let state = &mut *self.state.borrow_mut();
        let places = state.held.iter().rev().filter_map(|pending| match &pending.entry.body {
            Body::Reference { at, header } => {
                let end = (at.position + header.total_len() as u64).next_multiple_of(BLOCK_SIZE as u64);
                Some(Place { position: end, ..*at })
            }
            _ => None,
        });
        let last = places.max();
        state.sending = last.is_some();
        debug_assert!(
            state.sending || state.held.is_empty(),
            "what is held is held by a large append before it"
        );
        last
    }

    /// Passes on what waits, up to the first large append that is not before `place`.
    fn release_held(&self, place: Place) {
        let class = self.options.get().class;
        loop {
            let pending = {
                let state = &mut *self.state.borrow_mut();
                let waits = |body: &Body| matches!(body, Body::Reference { at, .. } if *at >= place);
                match state.held.front() {
                    Some(first) if !waits(&first.entry.body) => state.held.pop_front(),
                    _ => return,
                }
            };
            if let Some(pending) = pending {
                self.shared.journal.release(pending.entry.weight());
                self.shared.journal.push(class, pending);
            }
        }
    }
}
