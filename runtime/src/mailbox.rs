//! Messages into a shard from any thread: how the control thread reaches shards. A lock per message, so never for data.

use crate::{
    Shard,
    bell::{Bell, Inbox},
    mesh::register,
};
use std::{
    cell::RefCell,
    collections::VecDeque,
    fmt,
    future::poll_fn,
    rc::Rc,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

/// Makes a mailbox of this shard that holds at most `capacity` messages.
#[must_use]
pub fn mailbox<M: 'static>(shard: &Shard, capacity: usize) -> (MailboxSender<M>, Mailbox<M>) {
    let slots = Arc::new(Slots { queue: Mutex::new(Some(VecDeque::new())), capacity });
    let receiver = Rc::new(Receiver { slots: Arc::clone(&slots), waiting: RefCell::new(None) });
    register(Rc::clone(&receiver) as Rc<dyn Inbox>);
    (MailboxSender { slots, bell: shard.doorbells.0[shard.id.index()].clone() }, Mailbox(receiver))
}

struct Slots<M> {
    /// `None` once the mailbox is gone.
    queue: Mutex<Option<VecDeque<M>>>,
    capacity: usize,
}

impl<M> Slots<M> {
    fn lock(&self) -> MutexGuard<'_, Option<VecDeque<M>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts messages into a shard's [`Mailbox`], from any thread.
pub struct MailboxSender<M> {
    slots: Arc<Slots<M>>,
    bell: Bell,
}

/// A message could not be delivered, and comes back.
#[derive(Debug)]
pub enum MailboxClosed<M> {
    /// The shard has stopped.
    Closed(M),
    /// The mailbox holds as many messages as it may.
    Full(M),
}

impl<M> MailboxSender<M> {
    /// Delivers `message` and wakes the shard.
    ///
    /// # Errors
    /// [`MailboxClosed`], with the message.
    pub fn send(&self, message: M) -> Result<(), MailboxClosed<M>> {
        {
            let mut slots = self.slots.lock();
            let Some(queue) = slots.as_mut() else { return Err(MailboxClosed::Closed(message)) };
            if queue.len() >= self.slots.capacity {
                return Err(MailboxClosed::Full(message));
            }
            queue.push_back(message);
        }
        self.bell.ring();
        Ok(())
    }
}

impl<M> Clone for MailboxSender<M> {
    fn clone(&self) -> Self {
        Self { slots: Arc::clone(&self.slots), bell: self.bell.clone() }
    }
}

impl<M> fmt::Debug for MailboxSender<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MailboxSender")
    }
}

/// The receiving end, on its shard. Dropping it closes the mailbox.
pub struct Mailbox<M>(Rc<Receiver<M>>);

struct Receiver<M> {
    slots: Arc<Slots<M>>,
    waiting: RefCell<Option<Waker>>,
}

impl<M> Mailbox<M> {
    /// Waits for the next message.
    pub async fn recv(&self) -> M {
        poll_fn(|cx| match self.0.slots.lock().as_mut().and_then(VecDeque::pop_front) {
            Some(message) => Poll::Ready(message),
            None => {
                *self.0.waiting.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            }
        })
        .await
    }
}

impl<M> Drop for Mailbox<M> {
    fn drop(&mut self) {
        *self.0.slots.lock() = None;
    }
}

impl<M> Inbox for Receiver<M> {
    fn look(&self) -> bool {
        if self.slots.lock().as_ref().is_none_or(VecDeque::is_empty) {
            return false;
        }
        let Some(waiting) = self.waiting.take() else { return false };
        waiting.wake();
        true
    }
}

impl<M> fmt::Debug for Mailbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mailbox")
    }
}
