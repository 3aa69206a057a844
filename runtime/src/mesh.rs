//! Rings between shards: one single-producer single-consumer ring per ordered pair, so that nothing is contended.
//!
//! **Nobody waits on a full ring.** Flow control is credit per channel, held by those who send; the capacity given to
//! [`Mesh::new`] is at least the sum of the credits that can be out, so that [`Port::send`] cannot fail. A full ring is a
//! bug in that accounting, and asserts.
//!
//! A program makes one mesh per class of messages (control, requests, dataflow), before the launch; every shard joins it.

use crate::{
    Shard, ShardId,
    bell::{Doorbells, Inbox},
    context::{Backend, current},
};
use std::{
    cell::{Cell, RefCell},
    fmt,
    future::poll_fn,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
    task::{Poll, Waker},
};

/// All rings of one class between the shards of one launch.
pub struct Mesh<M>(Arc<Mutex<Vec<Option<Ends<M>>>>>);

/// What one shard holds of a mesh: a producer to, and a consumer from, every shard, itself included.
struct Ends<M> {
    outgoing: Vec<rtrb::Producer<M>>,
    incoming: Vec<rtrb::Consumer<M>>,
}

impl<M> Mesh<M> {
    /// Rings between all ordered pairs of `shards`, each of `capacity` messages.
    #[must_use]
    pub fn new(shards: u16, capacity: usize) -> Self {
        let shards = usize::from(shards);
        let mut outgoing: Vec<Vec<_>> = (0..shards).map(|_| Vec::with_capacity(shards)).collect();
        let mut incoming: Vec<Vec<_>> = (0..shards).map(|_| Vec::with_capacity(shards)).collect();
        for from in &mut outgoing {
            for to in &mut incoming {
                let (producer, consumer) = rtrb::RingBuffer::new(capacity);
                from.push(producer);
                to.push(consumer);
            }
        }
        let ends = outgoing.into_iter().zip(incoming);
        Self(Arc::new(Mutex::new(
            ends.map(|(outgoing, incoming)| Some(Ends { outgoing, incoming })).collect(),
        )))
    }

    /// Takes this shard's ends. Once per shard: a second call asserts.
    #[must_use]
    pub fn join(&self, shard: &Shard) -> Port<M>
    where
        M: 'static,
    {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(all.len(), usize::from(shard.count), "a mesh joins the shards of one launch");
        let ends = all[shard.id.index()].take().expect("a shard joins a mesh once");
        let port = Rc::new(Inner {
            outgoing: RefCell::new(ends.outgoing),
            incoming: RefCell::new(ends.incoming),
            next: Cell::new(0),
            receiver: RefCell::new(None),
            doorbells: Arc::clone(&shard.doorbells),
        });
        register(Rc::clone(&port) as Rc<dyn Inbox>);
        Port(port)
    }
}

/// Has the shard's driver look at `inbox` once per turn, for the life of the shard.
pub(crate) fn register(inbox: Rc<dyn Inbox>) {
    match current() {
        Backend::Native => crate::native::driver::register_inbox(inbox),
        #[cfg(feature = "sim")]
        Backend::Sim(shard) => shard.register_inbox(inbox),
    }
}

impl<M> Clone for Mesh<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M> fmt::Debug for Mesh<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mesh")
    }
}

/// One shard's end of a [`Mesh`]. Clones are the same port; one task receives, any may send.
pub struct Port<M>(Rc<Inner<M>>);

struct Inner<M> {
    outgoing: RefCell<Vec<rtrb::Producer<M>>>,
    incoming: RefCell<Vec<rtrb::Consumer<M>>>,
    /// The ring to look at first, so that no sender starves the others.
    next: Cell<usize>,
    receiver: RefCell<Option<Waker>>,
    doorbells: Arc<Doorbells>,
}

impl<M> Port<M> {
    /// Puts `message` into the ring to shard `to`, which may be this one. Messages of one pair arrive in order.
    ///
    /// # Panics
    /// If the ring is full: someone sent without holding a credit.
    pub fn send(&self, to: ShardId, message: M) {
        let sent = self.0.outgoing.borrow_mut()[to.index()].push(message);
        assert!(sent.is_ok(), "ring to shard {to} is full: a message was sent without a credit");
        self.0.doorbells.0[to.index()].ring();
    }

    /// Like [`Port::send`], for who can keep a message until there is room.
    ///
    /// # Errors
    /// The message, if the ring is full.
    pub fn try_send(&self, to: ShardId, message: M) -> Result<(), M> {
        let pushed = self.0.outgoing.borrow_mut()[to.index()].push(message);
        pushed.map_err(|rtrb::PushError::Full(message)| message)?;
        self.0.doorbells.0[to.index()].ring();
        Ok(())
    }

    /// The next message, if one has arrived, and who sent it. Senders take turns.
    #[must_use]
    pub fn try_recv(&self) -> Option<(ShardId, M)> {
        let mut incoming = self.0.incoming.borrow_mut();
        let shards = incoming.len();
        let first = self.0.next.get();
        for turn in 0..shards {
            let from = (first + turn) % shards;
            if let Ok(message) = incoming[from].pop() {
                self.0.next.set((from + 1) % shards);
                return Some((ShardId(from as u16), message));
            }
        }
        None
    }

    /// Waits for the next message.
    pub async fn recv(&self) -> (ShardId, M) {
        poll_fn(|cx| match self.try_recv() {
            Some(message) => Poll::Ready(message),
            None => {
                *self.0.receiver.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            }
        })
        .await
    }
}

impl<M> Inbox for Inner<M> {
    fn look(&self) -> bool {
        if self.incoming.borrow().iter().all(rtrb::Consumer::is_empty) {
            return false;
        }
        let Some(receiver) = self.receiver.take() else { return false };
        receiver.wake();
        true
    }
}

impl<M> Clone for Port<M> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<M> fmt::Debug for Port<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Port")
    }
}
