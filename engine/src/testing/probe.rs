//! One operator alone.

use crate::{
    epoch::{Attempt, JobId},
    exchange::{ExchangeOptions, SendState},
    key::{KeyGroups, Placement},
    operator::{Operator, Push},
    task::{Context, Flow, OpenContext, Watch},
};
use millrace_runtime::ShardId;

/// What an operator is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<T> {
    /// A record and its timestamp.
    Record(i64, T),
    /// A batch is over.
    BatchEnd,
    /// Event time came to this.
    Watermark(i64),
    /// Processing time came to this.
    Timer(i64),
    /// No record follows.
    End,
}

struct Collect<'a, F> {
    collect: &'a mut F,
    cx: &'a mut Context,
}

impl<T: ?Sized, F: FnMut(i64, &T)> Push<T> for Collect<'_, F> {
    fn push(&mut self, timestamp: i64, item: &T) {
        (self.collect)(timestamp, item);
        // An output takes one result at a time, so that whoever asks stops after each.
        self.cx.charge(1);
    }

    fn full(&self) -> bool {
        self.cx.full()
    }

    fn context(&mut self) -> &mut Context {
        self.cx
    }
}

/// Gives an operator events, one after the other, and hands what it pushes to `collect`. An operator that asks whether to
/// stop is told so after each result, and called again.
///
/// ```
/// use millrace_engine::{operator::{Operator, Push}, testing::{Event, drive}};
///
/// struct Pairs(Option<u64>);
///
/// impl Operator<u64> for Pairs {
///     type Out = (u64, u64);
///
///     fn record<P: Push<(u64, u64)>>(&mut self, timestamp: i64, item: &u64, out: &mut P) {
///         match self.0.take() {
///             Some(first) => out.push(timestamp, &(first, *item)),
///             None => self.0 = Some(*item),
///         }
///     }
/// }
///
/// let mut pairs = Vec::new();
/// let events = (1..=5).map(|n| Event::Record(0, n));
/// drive(&mut Pairs(None), events, |_, pair| pairs.push(*pair));
/// assert_eq!(pairs, [(1, 2), (3, 4)]);
/// ```
///
/// # Panics
/// If the operator does.
pub fn drive<I, O: Operator<I>>(
    operator: &mut O,
    events: impl IntoIterator<Item = Event<I>>,
    mut collect: impl FnMut(i64, &O::Out),
) {
    let shard = ShardId(0);
    let groups = KeyGroups::default();
    let placement = Placement::new(groups, [shard]).expect("one shard");
    let mut tables = Vec::new();
    operator.open(&mut OpenContext::new(shard, &placement, groups.all(), &[], &mut tables));
    let send = SendState::new(JobId(0), Attempt(0), shard, ExchangeOptions::default());
    let mut cx = Context::new(send, Watch::default());
    for event in events {
        loop {
            cx.budget = 1;
            let out = &mut Collect { collect: &mut collect, cx: &mut cx };
            let flow = match &event {
                Event::Record(timestamp, item) => {
                    operator.record(*timestamp, item, out);
                    Flow::Done
                }
                Event::BatchEnd => operator.batch_end(out),
                Event::Watermark(watermark) => operator.watermark(*watermark, out),
                Event::Timer(now_ms) => operator.timer(*now_ms, out),
                Event::End => operator.end(out),
            };
            if flow == Flow::Done {
                break;
            }
        }
    }
}
