//! The clocks of a task, as entries of a table of its own: the watermark of each input, and processing time.

use crate::{
    data::Encode as _,
    epoch::Epoch,
    key::{EncodeKey, HashedKey, Key, KeyReader, Placement},
    table::{Delta, DeltaError, Namespace, PointTable, Table, TableId, TableSpec, Width},
    task::types_hash,
};
use millrace_runtime::ShardId;

/// The number of the table: beyond all of the task's own.
pub(crate) const CLOCK_TABLE: TableId = TableId(u32::MAX);

/// Which clock an entry is.
const PROCESSING_TIME: u32 = u32::MAX;

/// The clocks of a task on one shard. The table has those of all shards, since which shard has which input's part changes
/// with the placement.
pub(crate) struct Clocks {
    shard: ShardId,
    table: PointTable,
    /// What the table has, by input; processing time last.
    saved: Vec<i64>,
}

impl Clocks {
    pub(crate) fn new(shard: ShardId, placement: &Placement, inputs: usize) -> Self {
        let table = PointTable::new(TableSpec {
            id: CLOCK_TABLE,
            types: types_hash(&[i64::DESCRIPTOR]),
            groups: placement.groups(),
            range: placement.groups().all(),
            key: Width::of(<(u32, u16)>::WIDTH),
            value: Width::Fixed(size_of::<i64>() as u32),
        });
        Self { shard, table, saved: vec![i64::MIN; inputs + 1] }
    }

    /// Brings the table up to date.
    pub(crate) fn save(&mut self, watermarks: impl Iterator<Item = i64>, now_ms: Option<i64>) {
        let inputs = self.saved.len() - 1;
        for (index, clock) in watermarks.chain(now_ms).enumerate() {
            if self.saved[index] == clock {
                continue;
            }
            self.saved[index] = clock;
            let number = if index == inputs { PROCESSING_TIME } else { index as u32 };
            let key = (number, self.shard.0).to_key_bytes();
            self.table.put(Namespace::NONE, HashedKey::new(&key), &clock.to_le_bytes());
        }
    }

    /// The clocks that the table has: the watermark of each input, and processing time. A shard that had no part in the
    /// job before goes on at the earliest time of the others.
    pub(crate) fn load(&mut self) -> (Vec<i64>, i64) {
        let inputs = self.saved.len() - 1;
        let mut own = vec![None; inputs + 1];
        let mut earliest = vec![None::<i64>; inputs + 1];
        let mut from = Some(crate::key::KeyHash(0));
        while let Some(at) = from {
            from = self.table.scan(Namespace::NONE, at, |key, value| {
                let (Ok((number, shard)), Ok(value)) =
                    (<(u32, u16) as Key>::decode(&mut KeyReader::new(key)), value.try_into())
                else {
                    return;
                };
                let index = if number == PROCESSING_TIME { inputs } else { number as usize };
                let clock = i64::from_le_bytes(value);
                if index <= inputs {
                    earliest[index] = Some(earliest[index].map_or(clock, |before| before.min(clock)));
                    if shard == self.shard.0 {
                        own[index] = Some(clock);
                    }
                }
            });
        }
        self.saved = own.iter().map(|clock| clock.unwrap_or(i64::MIN)).collect();
        let mut clocks: Vec<i64> =
            own.iter().zip(&earliest).map(|(own, all)| own.or(*all).unwrap_or(i64::MIN)).collect();
        let now_ms = clocks.pop().unwrap_or(i64::MIN);
        (clocks, now_ms)
    }

    pub(crate) fn seal(&mut self, epoch: Epoch) -> Delta {
        self.table.seal(epoch)
    }

    pub(crate) fn commit(&mut self, through: Epoch) {
        self.table.commit(through);
    }

    pub(crate) fn rollback(&mut self, to: Epoch) {
        self.table.rollback(to);
    }

    pub(crate) fn apply(&mut self, run: &[u8]) -> Result<(), DeltaError> {
        self.table.apply(run)
    }
}
