//! What a task learns when it is opened: where it runs, and the tables it may make.

use crate::{
    data::{Data, Descriptor},
    key::{KeyGroupRange, Placement},
    plan::{NAME_BYTES_MAX, TableLayout},
    table::{OrderedTable, PointTable, TableId, TableSpec, Width},
};
use millrace_runtime::ShardId;
use xxhash_rust::xxh3::xxh3_64;

/// What a task learns when it is opened.
#[derive(Debug)]
pub struct OpenContext<'a> {
    shard: ShardId,
    placement: &'a Placement,
    range: KeyGroupRange,
    /// The names of the task's operators.
    operators: &'a [String],
    /// How many of them were opened.
    opened: usize,
    /// The tables made so far.
    tables: &'a mut Vec<TableLayout>,
}

impl<'a> OpenContext<'a> {
    pub(crate) fn new(
        shard: ShardId,
        placement: &'a Placement,
        range: KeyGroupRange,
        operators: &'a [String],
        tables: &'a mut Vec<TableLayout>,
    ) -> Self {
        Self { shard, placement, range, operators, opened: 0, tables }
    }

    /// The shard that the task runs on.
    #[must_use]
    pub const fn shard(&self) -> ShardId {
        self.shard
    }

    /// The shards of the job, and who has which key group.
    #[must_use]
    pub const fn placement(&self) -> &Placement {
        self.placement
    }

    /// The next operator is being opened: its name precedes those of its tables.
    pub(crate) fn enter(&mut self) {
        self.opened += 1;
    }

    /// A table of key -> value for the keys of this shard.
    ///
    /// `types` are the descriptors of what keys and values hold; deltas of other types are refused on restore.
    ///
    /// # Panics
    /// If the name has more than 255 bytes. The layout of a job's state is asked for before anything is kept of the job.
    pub fn point_table(&mut self, name: &str, types: &[&Descriptor], key: Width, value: Width) -> PointTable {
        PointTable::new(self.spec(name, types, false, self.range, key, value))
    }

    /// A table of (key, order key) -> value for the keys of this shard.
    ///
    /// # Panics
    /// If the name has more than 255 bytes.
    pub fn ordered_table(
        &mut self,
        name: &str,
        types: &[&Descriptor],
        key: Width,
        value: Width,
    ) -> OrderedTable {
        OrderedTable::new(self.spec(name, types, true, self.range, key, value))
    }

    /// A table whose keys do not follow key groups, such as the clocks of partitions: on restore every shard sees all of it.
    ///
    /// # Panics
    /// If the name has more than 255 bytes.
    pub fn shared_table<V: Data>(&mut self, name: &str) -> PointTable {
        let all = self.placement.groups().all();
        PointTable::new(self.spec(name, &[V::DESCRIPTOR], false, all, Width::Variable, Width::Variable))
    }

    fn spec(
        &mut self,
        name: &str,
        types: &[&Descriptor],
        is_ordered: bool,
        range: KeyGroupRange,
        key: Width,
        value: Width,
    ) -> TableSpec {
        assert!(
            name.len() <= NAME_BYTES_MAX,
            "a table's name has {} bytes, more than {NAME_BYTES_MAX}",
            name.len()
        );
        let id = TableId(self.tables.len() as u32);
        let operator = self.operators.get(self.opened.saturating_sub(1)).cloned().unwrap_or_default();
        let types_kept = types.iter().copied().cloned().collect();
        let name = name.to_owned();
        self.tables.push(TableLayout { operator, name, is_ordered, key, value, types: types_kept });
        TableSpec { id, types: types_hash(types), groups: self.placement.groups(), range, key, value }
    }
}

/// One hash over the descriptors of a table's keys and values.
pub(crate) fn types_hash(types: &[&Descriptor]) -> u64 {
    let hashes: Vec<u8> = types.iter().flat_map(|ty| ty.hash().to_le_bytes()).collect();
    xxh3_64(&hashes)
}
