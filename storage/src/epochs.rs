//! Which leader epoch wrote which part of a log.
//!
//! Clients compare epochs to find out whether what they have read was cut off meanwhile (Kafka's KIP-320): they ask
//! where an epoch ended, and continue from there if that is before their position.

use bytes::{Buf, BufMut, TryGetError};
use millrace_record::{LeaderEpoch, Offset};

/// The most epochs a log remembers. Epochs rise with moves and unclean starts, so this is years of them; a client that
/// asks for a forgotten one is told that it is unknown, as by Kafka after retention.
pub(crate) const EPOCHS_MAX: usize = 64;

/// The first offset of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochStart {
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// Its first offset.
    pub start: Offset,
}

impl EpochStart {
    /// Length on disk, in bytes.
    pub(crate) const LEN: usize = 12;

    pub(crate) fn encode(self, out: &mut impl BufMut) {
        out.put_i32_le(self.epoch);
        out.put_i64_le(self.start);
    }

    pub(crate) fn decode(bytes: &mut &[u8]) -> Result<Self, TryGetError> {
        Ok(Self { epoch: bytes.try_get_i32_le()?, start: bytes.try_get_i64_le()? })
    }
}

/// The epochs of a log, ascending, each with its first offset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EpochTable(Vec<EpochStart>);

impl EpochTable {
    /// A table of these starts, if both numbers ascend and there are not too many.
    pub(crate) fn from_starts(starts: Vec<EpochStart>) -> Option<Self> {
        let ascend =
            starts.windows(2).all(|pair| pair[0].epoch < pair[1].epoch && pair[0].start < pair[1].start);
        let sound = starts.iter().all(|start| start.epoch >= 0 && start.start >= 0);
        (ascend && sound && starts.len() <= EPOCHS_MAX).then_some(Self(starts))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = EpochStart> + '_ {
        self.0.iter().copied()
    }

    /// The epoch of the log's end.
    pub(crate) fn latest(&self) -> Option<LeaderEpoch> {
        self.0.last().map(|start| start.epoch)
    }

    /// Notes that `epoch` starts at `start`. Nothing changes if it, or a later one, has started. An epoch that wrote
    /// nothing is forgotten.
    pub(crate) fn begin(&mut self, epoch: LeaderEpoch, start: Offset) {
        if self.latest().is_some_and(|latest| latest >= epoch) {
            return;
        }
        self.cut(start);
        if self.0.len() == EPOCHS_MAX {
            self.0.remove(0);
        }
        self.0.push(EpochStart { epoch, start });
    }

    /// Forgets epochs that start at or behind `end`.
    pub(crate) fn cut(&mut self, end: Offset) {
        self.0.retain(|start| start.start < end);
    }

    /// Forgets epochs that ended at or before `start`; the one that holds `start` starts there.
    pub(crate) fn raise_start(&mut self, start: Offset) {
        let ended = self.0.partition_point(|epoch| epoch.start <= start).saturating_sub(1);
        self.0.drain(..ended);
        if let Some(first) = self.0.first_mut() {
            first.start = first.start.max(start);
        }
    }

    /// The largest epoch not above `epoch`, and the offset behind its last record, where the log ends at `end`: what
    /// Kafka's OffsetForLeaderEpoch answers. `None` if the epoch is newer than all; of one older than all that are
    /// known, everything was removed, so it ended where the first known one starts.
    pub(crate) fn end_of(&self, epoch: LeaderEpoch, end: Offset) -> Option<(LeaderEpoch, Offset)> {
        let behind = self.0.partition_point(|start| start.epoch <= epoch);
        let floor = behind.checked_sub(1).map_or(epoch, |at| self.0[at].epoch);
        match self.0.get(behind) {
            Some(next) => Some((floor, next.start)),
            None if self.latest() == Some(epoch) => Some((epoch, end)),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(starts: &[(LeaderEpoch, Offset)]) -> EpochTable {
        EpochTable::from_starts(starts.iter().map(|&(epoch, start)| EpochStart { epoch, start }).collect())
            .unwrap()
    }

    #[test]
    fn an_epoch_ends_where_the_next_starts() {
        let epochs = table(&[(0, 0), (2, 10), (5, 30)]);
        assert_eq!(epochs.end_of(0, 40), Some((0, 10)));
        assert_eq!(epochs.end_of(1, 40), Some((0, 10)));
        assert_eq!(epochs.end_of(2, 40), Some((2, 30)));
        assert_eq!(epochs.end_of(4, 40), Some((2, 30)));
        assert_eq!(epochs.end_of(5, 40), Some((5, 40)));
        assert_eq!(epochs.end_of(6, 40), None);
        assert_eq!(epochs.end_of(-1, 40), Some((-1, 0)));
        assert_eq!(EpochTable::default().end_of(0, 0), None);
    }

    #[test]
    fn an_epoch_without_records_is_forgotten() {
        let mut epochs = table(&[(0, 0), (2, 10)]);
        epochs.begin(3, 10);
        assert_eq!(epochs, table(&[(0, 0), (3, 10)]));
        epochs.begin(3, 20);
        epochs.begin(1, 20);
        assert_eq!(epochs, table(&[(0, 0), (3, 10)]));
    }

    #[test]
    fn the_table_follows_both_ends_of_the_log() {
        let mut epochs = table(&[(0, 0), (2, 10), (5, 30)]);
        epochs.raise_start(12);
        assert_eq!(epochs, table(&[(2, 12), (5, 30)]));
        epochs.cut(30);
        assert_eq!(epochs, table(&[(2, 12)]));
        epochs.raise_start(5);
        assert_eq!(epochs, table(&[(2, 12)]));
    }

    proptest! {
        #[test]
        fn any_history_leaves_a_sound_and_bounded_table(steps in prop::collection::vec((0i32..3, 0i64..4, 0u8..8), 0..300)) {
            let (mut epochs, mut epoch, mut end, mut start) = (EpochTable::default(), 0, 0, 0);
            for (rise, grown, action) in steps {
                epoch += rise;
                epochs.begin(epoch, end);
                end += grown;
                match action {
                    0 => { end = start + (end - start) / 2; epochs.cut(end); }
                    1 => { start += (end - start) / 2; epochs.raise_start(start); }
                    _ => {}
                }
                let starts: Vec<_> = epochs.iter().collect();
                prop_assert!(EpochTable::from_starts(starts).is_some());
                prop_assert!(epochs.end_of(epoch, end).is_none_or(|(_, offset)| start <= offset && offset <= end));
                prop_assert_eq!(epochs.latest().and_then(|latest| epochs.end_of(latest, end)).is_none(), epochs.len() == 0);
            }
        }
    }
}
