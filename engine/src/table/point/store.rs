//! What point tables of all widths have in common.

use super::flat::HashSpan;
use crate::epoch::Epoch;
use crate::key::{HashedKey, KeyHash};
use crate::table::delta::{Delta, DeltaError, DeltaLog, Record, TableKind, walk};
use crate::table::namespaces::{Pane, Panes};
use crate::table::spec::{Namespace, TableSpec};

/// What a change needs beside its pane.
pub(super) struct Context<'a, A> {
    pub(super) arena: &'a mut A,
    pub(super) log: &'a mut DeltaLog,
    pub(super) namespace: Namespace,
    pub(super) generation: u64,
}

/// One namespace of a point table.
pub(super) trait PointPane: Pane {
    fn prefetch(&self, arena: &Self::Arena, hash: KeyHash);

    fn get<'a>(&'a self, arena: &'a Self::Arena, key: HashedKey<'_>) -> Option<&'a [u8]>;

    fn put(&mut self, cx: Context<'_, Self::Arena>, key: HashedKey<'_>, value: &[u8]);

    fn update<R>(
        &mut self,
        cx: Context<'_, Self::Arena>,
        key: HashedKey<'_>,
        initial: &[u8],
        change: impl FnOnce(&mut [u8]) -> R,
    ) -> R;

    fn remove(&mut self, cx: Context<'_, Self::Arena>, key: HashedKey<'_>) -> bool;

    /// Sets or removes a value without a word to any log.
    fn set(&mut self, arena: &mut Self::Arena, key: HashedKey<'_>, value: Option<&[u8]>);

    fn scan(&self, arena: &Self::Arena, from: KeyHash, visit: impl FnMut(&[u8], &[u8])) -> Option<KeyHash>;
}

/// A point table of panes of kind `P`.
pub(super) struct Store<P: PointPane> {
    pub(super) spec: TableSpec,
    pub(super) arena: P::Arena,
    pub(super) panes: Panes<P>,
    pub(super) log: DeltaLog,
}

/// The hashes of a table's key groups.
pub(super) fn span_of(spec: &TableSpec) -> HashSpan {
    let (first, last) = spec.groups.hashes_of(spec.range);
    HashSpan::new(first, last)
}

impl<P: PointPane> Store<P> {
    pub(super) fn new(spec: TableSpec, arena: P::Arena) -> Self {
        Self { spec, arena, panes: Panes::new(), log: DeltaLog::new(&spec, TableKind::Point) }
    }

    #[inline]
    pub(super) fn prefetch(&self, namespace: Namespace, hash: KeyHash) {
        if let Some(pane) = self.panes.get(namespace) {
            pane.prefetch(&self.arena, hash);
        }
    }

    #[inline]
    pub(super) fn get(&self, namespace: Namespace, key: HashedKey<'_>) -> Option<&[u8]> {
        self.panes.get(namespace)?.get(&self.arena, key)
    }

    /// The pane of `namespace`, made if need be, and what it takes to change it.
    #[inline]
    fn open(&mut self, namespace: Namespace) -> (&mut P, Context<'_, P::Arena>) {
        let generation = self.panes.generation();
        let pane = self.panes.touch_or_create(namespace, &self.arena);
        (pane, Context { arena: &mut self.arena, log: &mut self.log, namespace, generation })
    }

    #[inline]
    pub(super) fn put(&mut self, namespace: Namespace, key: HashedKey<'_>, value: &[u8]) {
        let (pane, cx) = self.open(namespace);
        pane.put(cx, key, value);
    }

    #[inline]
    pub(super) fn update<R>(
        &mut self,
        namespace: Namespace,
        key: HashedKey<'_>,
        initial: &[u8],
        change: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        let (pane, cx) = self.open(namespace);
        pane.update(cx, key, initial, change)
    }

    pub(super) fn remove(&mut self, namespace: Namespace, key: HashedKey<'_>) -> bool {
        let generation = self.panes.generation();
        let Some(pane) = self.panes.touch(namespace) else { return false };
        pane.remove(Context { arena: &mut self.arena, log: &mut self.log, namespace, generation }, key)
    }

    pub(super) fn drop_namespace(&mut self, namespace: Namespace) {
        if self.panes.drop_namespace(namespace) {
            self.log.drop_namespace(namespace);
        }
    }

    pub(super) fn len(&self, namespace: Namespace) -> usize {
        self.panes.get(namespace).map_or(0, Pane::len)
    }

    pub(super) fn scan(
        &self,
        namespace: Namespace,
        from: KeyHash,
        visit: impl FnMut(&[u8], &[u8]),
    ) -> Option<KeyHash> {
        self.panes.get(namespace)?.scan(&self.arena, from, visit)
    }

    pub(super) fn seal(&mut self, epoch: Epoch) -> Delta {
        let runs = self.log.seal(epoch);
        self.panes.seal(epoch, &runs);
        Delta { table: self.spec.id, epoch, runs }
    }

    pub(super) fn commit(&mut self, through: Epoch) {
        let log = &mut self.log;
        self.panes.commit(through, &mut self.arena, |run| log.recycle(run));
    }

    pub(super) fn rollback(&mut self, to: Epoch) {
        self.log.clear();
        self.panes.rollback(to, &mut self.arena);
    }

    pub(super) fn apply(&mut self, run: &[u8]) -> Result<(), DeltaError> {
        let spec = self.spec;
        let is_ours = |key: HashedKey<'_>| spec.range.contains(spec.groups.group_of(key.hash()));
        walk(&spec, TableKind::Point, run, |groups, record| match record {
            Record::Put { namespace, key, value, .. } => {
                let key = HashedKey::new(key);
                if is_ours(key) {
                    let pane = self.panes.restore(namespace, &self.arena);
                    pane.set(&mut self.arena, key, Some(value));
                }
            }
            Record::Remove { namespace, key, .. } => {
                let key = HashedKey::new(key);
                if is_ours(key) && self.panes.get(namespace).is_some() {
                    let pane = self.panes.restore(namespace, &self.arena);
                    pane.set(&mut self.arena, key, None);
                }
            }
            Record::Drop { namespace } => self.apply_drop(namespace, spec.groups.hashes_of(groups)),
            Record::RemoveRange { .. } => unreachable!("the reader refuses ranges in runs of point tables"),
        })?;
        Ok(())
    }

    /// Removes the keys of `namespace` with these hashes: a run speaks for its own key groups only.
    fn apply_drop(&mut self, namespace: Namespace, (first, last): (KeyHash, KeyHash)) {
        if self.panes.get(namespace).is_none() {
            return;
        }
        let pane = self.panes.restore(namespace, &self.arena);
        let mut keys = Vec::new();
        let mut from = Some(first);
        while let Some(at) = from.filter(|&at| at <= last) {
            from = pane.scan(&self.arena, at, |key, _| keys.push(key.to_vec()));
            for key in keys.drain(..) {
                let key = HashedKey::new(&key);
                if key.hash() <= last {
                    pane.set(&mut self.arena, key, None);
                }
            }
        }
        self.panes.forget_if_empty(namespace, &mut self.arena);
    }
}
