//! Work that one shard asks another to do: a closure goes over the ring, runs where its data is, and its answer comes back.
//!
//! What crosses is by reference (a batch stays where it was received), and nothing is shared: the closure gets the other
//! shard's context there. Each ordered pair of shards has [`CALL_CREDITS`] calls out at most; who has none left waits on
//! its own side, never on a full ring. A caller that goes away (its connection closed) cancels what it asked for.

use millrace_runtime::{JoinHandle, Port, Queue, ShardId, spawn, spawn_into};
use std::{
    any::Any,
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::{Poll, Waker},
};

/// Calls that one shard may have out at another.
pub const CALL_CREDITS: usize = 1024;

type Answer = Box<dyn Any + Send>;
type Running = Pin<Box<dyn Future<Output = Answer>>>;
type Work<C> = Box<dyn FnOnce(C) -> Running + Send>;

/// What goes over the rings of this class. Per call at most one of each kind is under way in a direction, so rings of
/// [`CallMessage::RING_CAPACITY`] never fill.
pub enum CallMessage<C> {
    /// Run this.
    Call {
        /// Where the caller waits.
        slot: u32,
        /// What to run with the receiving shard's context.
        work: Work<C>,
    },
    /// The answer of a call.
    Reply {
        /// Where the caller waits.
        slot: u32,
        /// What it gave; `None` if it was cancelled.
        answer: Option<Answer>,
    },
    /// The caller of this call is gone.
    Cancel {
        /// Where it waited.
        slot: u32,
    },
}

impl<C> CallMessage<C> {
    /// The capacity that the mesh of calls needs: a call, its cancellation, and the answer to one the other way.
    pub const RING_CAPACITY: usize = 3 * CALL_CREDITS;
}

impl<C> fmt::Debug for CallMessage<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call { slot, .. } => write!(f, "Call({slot})"),
            Self::Reply { slot, .. } => write!(f, "Reply({slot})"),
            Self::Cancel { slot } => write!(f, "Cancel({slot})"),
        }
    }
}

/// One shard's end of the calls. `C` is what work runs with: the shard's context.
pub struct Calls<C> {
    own: ShardId,
    port: Port<CallMessage<C>>,
    /// Calls that are out, per target.
    out: Vec<RefCell<Out>>,
    /// Calls of others that run here, by who asked and its slot.
    running: RefCell<BTreeMap<(ShardId, u32), JoinHandle<()>>>,
    /// Set once the context exists; work of the own shard runs with it.
    context: RefCell<Option<C>>,
}

/// The calls that are out at one target.
struct Out {
    slots: Vec<Slot>,
    free: Vec<u32>,
    waiting: VecDeque<Rc<Turn>>,
}

enum Slot {
    Free,
    Waiting(Option<Waker>),
    Answered(Option<Answer>),
    /// Nobody waits any more: freed when the answer comes.
    Abandoned,
}

/// A place in the queue for a credit.
struct Turn {
    granted: Cell<Option<u32>>,
    waker: RefCell<Option<Waker>>,
    gone: Cell<bool>,
}

impl<C: Clone + 'static> Calls<C> {
    /// The calls of shard `own` among `shards`, over a mesh whose rings hold [`CallMessage::RING_CAPACITY`].
    #[must_use]
    pub fn new(own: ShardId, shards: u16, port: Port<CallMessage<C>>) -> Rc<Self> {
        let out = (0..shards).map(|_| RefCell::new(Out::new())).collect();
        Rc::new(Self { own, port, out, running: RefCell::default(), context: RefCell::new(None) })
    }

    /// Starts to take calls of other shards and answers to our own, for the life of the shard.
    pub fn serve(self: &Rc<Self>, context: C) {
        *self.context.borrow_mut() = Some(context.clone());
        drop(spawn_into(Queue::Serving, Rc::clone(self).receive(context)));
    }

    async fn receive(self: Rc<Self>, context: C) {
        loop {
            let (from, message) = self.port.recv().await;
            match message {
                CallMessage::Call { slot, work } => self.start(from, slot, work, context.clone()),
                CallMessage::Reply { slot, answer } => self.answered(from, slot, answer),
                CallMessage::Cancel { slot } => self.cancel(from, slot),
            }
        }
    }

    /// Runs `work` on shard `to` with that shard's context, and gives its answer.
    ///
    /// # Panics
    /// If called for the own shard before [`Calls::serve`]: a shard serves before it asks.
    pub async fn on<W, F, T>(self: &Rc<Self>, to: ShardId, work: W) -> T
    where
        W: FnOnce(C) -> F + Send + 'static,
        F: Future<Output = T> + 'static,
        T: Send + 'static,
    {
        if to == self.own {
            let context = self.context.borrow().clone().expect("a shard serves before it asks");
            return work(context).await;
        }
        let slot = self.credit(to).await;
        let work: Work<C> = Box::new(move |context| {
            let running = work(context);
            Box::pin(async move { Box::new(running.await) as Answer })
        });
        self.port.send(to, CallMessage::Call { slot, work });
        let mut pending = Pending { calls: self, to, slot, done: false };
        let answer = poll_fn(|cx| pending.poll(cx)).await;
        *answer.downcast().expect("the answer has the type that the work gives")
    }

    /// Starts a call. Its first steps are taken here, so that what calls of one shard do before they first wait (append,
    /// above all) happens in the order in which they were asked; and what need not wait costs no task.
    fn start(self: &Rc<Self>, from: ShardId, slot: u32, work: Work<C>, context: C) {
        let calls = Rc::clone(self);
        let mut running = work(context);
        let mut unwoken = std::task::Context::from_waker(Waker::noop());
        if let Poll::Ready(answer) = running.as_mut().poll(&mut unwoken) {
            self.port.send(from, CallMessage::Reply { slot, answer: Some(answer) });
            return;
        }
        let handle = spawn(async move {
            let answer = running.await;
            calls.running.borrow_mut().remove(&(from, slot));
            calls.port.send(from, CallMessage::Reply { slot, answer: Some(answer) });
        });
        self.running.borrow_mut().insert((from, slot), handle);
    }

    /// The caller is gone. If the work has just finished its answer is under way already.
    fn cancel(&self, from: ShardId, slot: u32) {
        let running = self.running.borrow_mut().remove(&(from, slot));
        if let Some(handle) = running {
            handle.cancel();
            self.port.send(from, CallMessage::Reply { slot, answer: None });
        }
    }

    fn answered(&self, from: ShardId, slot: u32, answer: Option<Answer>) {
        let waker = self.out[from.index()].borrow_mut().answered(slot, answer);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits for a slot of target `to`: first come, first served.
    async fn credit(&self, to: ShardId) -> u32 {
        let turn = {
            let mut out = self.out[to.index()].borrow_mut();
            if out.waiting.is_empty()
                && let Some(slot) = out.take()
            {
                return slot;
            }
            let turn =
                Rc::new(Turn { granted: Cell::new(None), waker: RefCell::new(None), gone: Cell::new(false) });
            out.waiting.push_back(Rc::clone(&turn));
            turn
        };
        let queued = Queued { out: &self.out[to.index()], turn };
        poll_fn(|cx| match queued.turn.granted.take() {
            Some(slot) => Poll::Ready(slot),
            None => {
                *queued.turn.waker.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            }
        })
        .await
    }
}

impl Out {
    fn new() -> Self {
        let count = u32::try_from(CALL_CREDITS).expect("credits are few");
        let slots = (0..count).map(|_| Slot::Free).collect();
        Self { slots, free: (0..count).rev().collect(), waiting: VecDeque::new() }
    }

    fn take(&mut self) -> Option<u32> {
        let slot = self.free.pop()?;
        self.slots[slot as usize] = Slot::Waiting(None);
        Some(slot)
    }

    fn answered(&mut self, slot: u32, answer: Option<Answer>) -> Option<Waker> {
        match std::mem::replace(&mut self.slots[slot as usize], Slot::Answered(answer)) {
            Slot::Waiting(waker) => waker,
            Slot::Abandoned => self.release(slot),
            Slot::Free | Slot::Answered(_) => unreachable!("a call is answered once"),
        }
    }

    /// Gives a slot to the next who waits, or back.
    fn release(&mut self, slot: u32) -> Option<Waker> {
        self.slots[slot as usize] = Slot::Free;
        while let Some(turn) = self.waiting.pop_front() {
            if !turn.gone.get() {
                self.slots[slot as usize] = Slot::Waiting(None);
                turn.granted.set(Some(slot));
                return turn.waker.take();
            }
        }
        self.free.push(slot);
        None
    }
}

/// A call that is out. Dropped before its answer came, it cancels the work.
struct Pending<'a, C: Clone + 'static> {
    calls: &'a Calls<C>,
    to: ShardId,
    slot: u32,
    done: bool,
}

impl<C: Clone + 'static> Pending<'_, C> {
    fn poll(&mut self, cx: &mut std::task::Context<'_>) -> Poll<Answer> {
        let (answer, waker) = {
            let mut out = self.calls.out[self.to.index()].borrow_mut();
            match &mut out.slots[self.slot as usize] {
                Slot::Answered(answer) => {
                    let answer = answer.take().expect("only a caller that is gone cancels");
                    (answer, out.release(self.slot))
                }
                waiting => {
                    *waiting = Slot::Waiting(Some(cx.waker().clone()));
                    return Poll::Pending;
                }
            }
        };
        self.done = true;
        if let Some(waker) = waker {
            waker.wake();
        }
        Poll::Ready(answer)
    }
}

impl<C: Clone + 'static> Drop for Pending<'_, C> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let (waker, cancel) = {
            let mut out = self.calls.out[self.to.index()].borrow_mut();
            if matches!(out.slots[self.slot as usize], Slot::Answered(_)) {
                (out.release(self.slot), false)
            } else {
                out.slots[self.slot as usize] = Slot::Abandoned;
                (None, true)
            }
        };
        if cancel {
            self.calls.port.send(self.to, CallMessage::Cancel { slot: self.slot });
        }
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A place in the queue that is given up when its owner goes away; a slot that was granted meanwhile goes on.
struct Queued<'a> {
    out: &'a RefCell<Out>,
    turn: Rc<Turn>,
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.turn.gone.set(true);
        if let Some(slot) = self.turn.granted.take() {
            let waker = self.out.borrow_mut().release(slot);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl<C> fmt::Debug for Calls<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Calls of shard {}", self.own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_runtime::{
        Mesh, Shard,
        sim::{NodeOptions, World, WorldOptions},
        sleep, timeout, yield_now,
    };
    use std::{
        sync::Arc,
        sync::atomic::{AtomicU32, Ordering},
        time::Duration,
    };

    /// What work runs with in these tests: its shard, and how many works it holds at the moment.
    #[derive(Clone)]
    struct Context {
        shard: ShardId,
        held: Rc<Cell<u32>>,
    }

    struct Hold(Rc<Cell<u32>>);

    impl Hold {
        fn new(held: &Rc<Cell<u32>>) -> Self {
            held.set(held.get() + 1);
            Self(Rc::clone(held))
        }
    }

    impl Drop for Hold {
        fn drop(&mut self) {
            self.0.set(self.0.get() - 1);
        }
    }

    /// Runs `test` on every shard of a world of `shards`.
    fn on_shards<F, Fut>(seed: u64, shards: u16, test: F)
    where
        F: Fn(Shard, Rc<Calls<Context>>, Context) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        let world = World::new(seed, WorldOptions::default());
        let node = world.add_node("node", NodeOptions::default());
        let mesh = Mesh::new(shards, CallMessage::<Context>::RING_CAPACITY);
        let running = world.launch(node, shards, move |shard| {
            let (mesh, test) = (mesh.clone(), test.clone());
            async move {
                let calls = Calls::new(shard.id, shard.count, mesh.join(&shard));
                let context = Context { shard: shard.id, held: Rc::default() };
                calls.serve(context.clone());
                sleep(Duration::from_millis(1)).await;
                test(shard, calls, context).await;
            }
        });
        world.join(running).unwrap();
    }

    #[test]
    fn every_shard_reaches_every_shard_and_itself() {
        for seed in 0..20 {
            on_shards(seed, 3, |shard, calls, _| async move {
                for to in 0..shard.count {
                    let asked = shard.id;
                    let answer =
                        calls.on(ShardId(to), move |there| async move { (asked, there.shard) }).await;
                    assert_eq!(answer, (shard.id, ShardId(to)));
                }
                sleep(Duration::from_secs(1)).await;
            });
        }
    }

    #[test]
    fn calls_begin_in_the_order_in_which_they_were_asked() {
        for seed in 0..20 {
            on_shards(seed, 2, |shard, calls, context| async move {
                if shard.id.0 == 0 {
                    let asked = (0..100u32).map(|number| {
                        calls.on(ShardId(1), move |there| async move {
                            assert_eq!(there.held.replace(number + 1), number, "begun in order");
                            yield_now().await;
                        })
                    });
                    let mut asked: Vec<_> = asked.map(Box::pin).collect();
                    poll_fn(|cx| {
                        asked.retain_mut(|call| call.as_mut().poll(cx).is_pending());
                        if asked.is_empty() { Poll::Ready(()) } else { Poll::Pending }
                    })
                    .await;
                } else {
                    sleep(Duration::from_secs(1)).await;
                    assert_eq!(context.held.get(), 100);
                }
            });
        }
    }

    #[test]
    fn more_calls_than_credits_wait_their_turn_and_all_are_answered() {
        on_shards(7, 2, |shard, calls, _| async move {
            let to = ShardId(1 - shard.id.0);
            let answered = Rc::new(Cell::new(0));
            let asked = CALL_CREDITS * 3;
            for number in 0..asked {
                let (calls, answered) = (Rc::clone(&calls), Rc::clone(&answered));
                spawn(async move {
                    let answer = calls.on(to, move |_| async move {
                        sleep(Duration::from_micros(number as u64 % 97)).await;
                        number
                    });
                    assert_eq!(answer.await, number);
                    answered.set(answered.get() + 1);
                });
            }
            sleep(Duration::from_secs(10)).await;
            assert_eq!(answered.get(), asked);
        });
    }

    #[test]
    fn a_caller_that_goes_away_cancels_its_work_and_leaks_no_credit() {
        static FINISHED: AtomicU32 = AtomicU32::new(0);
        for seed in 0..20 {
            let peak = Arc::new(AtomicU32::new(0));
            on_shards(seed, 2, move |shard, calls, context| {
                let peak = Arc::clone(&peak);
                async move {
                    if shard.id.0 == 1 {
                        sleep(Duration::from_secs(100)).await;
                        assert_eq!(context.held.get(), 0, "cancelled work is dropped");
                        return;
                    }
                    for round in 0..(2 * CALL_CREDITS as u64) {
                        let peak = Arc::clone(&peak);
                        let work = calls.on(ShardId(1), move |there: Context| async move {
                            let _hold = Hold::new(&there.held);
                            peak.fetch_max(there.held.get(), Ordering::Relaxed);
                            sleep(Duration::from_secs(if round % 3 == 0 { 0 } else { 1_000 })).await;
                            FINISHED.fetch_add(1, Ordering::Relaxed);
                        });
                        // Sometimes the answer wins, sometimes the caller has gone.
                        timeout(Duration::from_micros(round % 40), work).await.ok();
                    }
                    let after = calls.on(ShardId(1), |there: Context| async move { there.shard }).await;
                    assert_eq!(after, ShardId(1), "credits came back");
                }
            });
        }
        assert!(FINISHED.load(Ordering::Relaxed) > 0, "some answers won");
    }
}
