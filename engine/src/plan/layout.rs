//! What a job's plan means for its state: where which tables are, of which types. It is kept with the job, so that another
//! binary knows whether it can go on from what this one has committed.
//!
//! State is found again by the number of its stage and its table there, and positions by that of their source. So everything
//! that state was written for must lie where it lay; what has no state may come, go and change, and what is added
//! finds nothing. A version that was raised says that the state means something else now.
//!
//! ```text
//! layout  format: u8 = 1, version: u32, key groups: u16, stages: count u16, stage each
//! stage   name: text, source: text (empty for none), inputs: count u16, u8 each (1 = by key), tables: count u16, table each
//! table   operator: text, name: text, kind: u8 (1 point, 2 ordered), key: u32, value: u32 (bytes, all ones if variable),
//!         types: count u16, descriptor each
//! text    length: u16, UTF-8
//! ```

use super::Plan;
use crate::{
    data::{Descriptor, DescriptorError},
    exchange::Partitioning,
    key::{Placement, PlacementError},
    table::Width,
    task::{OpenContext, types_hash},
};
use millrace_runtime::ShardId;
use std::fmt;

const FORMAT: u8 = 1;
const POINT: u8 = 1;
const ORDERED: u8 = 2;
/// How a width that is not fixed is written.
const VARIABLE: u32 = u32::MAX;
/// The longest text that its length field can tell. Only the names of stages come near it: they name all their operators.
pub(super) const TEXT_BYTES_MAX: usize = u16::MAX as usize;

/// What is kept of a plan with the state that it wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateLayout {
    version: u32,
    key_groups: u16,
    stages: Vec<StageLayout>,
}

/// A stage, by its number.
#[derive(Clone, Debug, PartialEq, Eq)]
struct StageLayout {
    name: String,
    /// The topic that it reads; empty for none.
    source: String,
    /// For each input whether records come by key. Clocks are kept for each.
    inputs: Vec<bool>,
    tables: Vec<TableLayout>,
}

/// A table, by its number in the stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableLayout {
    pub(crate) operator: String,
    pub(crate) name: String,
    pub(crate) is_ordered: bool,
    pub(crate) key: Width,
    pub(crate) value: Width,
    pub(crate) types: Vec<Descriptor>,
}

/// Something that state was written for and that is not where it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayoutChange(String);

impl fmt::Display for LayoutChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why bytes are no layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// Written by a newer release.
    #[error("layout of state: format {0}, written by a newer release")]
    Format(u8),
    /// Too short or too long, or a field without meaning.
    #[error("layout of state: damaged")]
    Damaged,
    /// A type of a table.
    #[error("layout of state: {0}")]
    Descriptor(#[from] DescriptorError),
}

impl Plan {
    /// What the plan means for the job's state. Opens its tasks, which runs user code.
    ///
    /// # Errors
    /// [`PlacementError`] if not even one shard can run it.
    pub fn into_state_layout(self) -> Result<StateLayout, PlacementError> {
        const SHARD: ShardId = ShardId(0);
        let Self { version, groups, stages, edges, .. } = self;
        let placement = Placement::new(groups, [SHARD])?;
        let mut layouts = Vec::with_capacity(stages.len());
        for mut stage in stages {
            let operators: Vec<String> = stage.operators.into_iter().map(|operator| operator.name).collect();
            let mut tables = Vec::new();
            stage.task.open(&mut OpenContext::new(SHARD, &placement, groups.all(), &operators, &mut tables));
            let is_keyed =
                |edge: &crate::exchange::EdgeId| edges[edge.0 as usize].partitioning == Partitioning::Keyed;
            layouts.push(StageLayout {
                name: stage.name,
                source: stage.source.map(|source| source.topic).unwrap_or_default(),
                inputs: stage.inputs.iter().map(|edges| edges.iter().all(is_keyed)).collect(),
                tables,
            });
        }
        Ok(StateLayout { version, key_groups: groups.count(), stages: layouts })
    }
}

impl StateLayout {
    /// What keeps a job of this layout from going on with state of layout `before`; nothing if it can.
    #[must_use]
    pub fn changes_since(&self, before: &Self) -> Vec<LayoutChange> {
        let mut changes = Vec::new();
        let mut add = |change: String| changes.push(LayoutChange(change));
        if self.version != before.version {
            add(format!("version {} wrote it, this is version {}", before.version, self.version));
        }
        if self.key_groups != before.key_groups {
            add(format!("it had {} key groups and has {}", before.key_groups, self.key_groups));
        }
        for (number, was) in before.stages.iter().enumerate() {
            let now = self.stages.get(number);
            if !was.source.is_empty() && now.is_none_or(|now| now.source != was.source) {
                add(self.lost_source(&was.source));
            }
            for (index, table) in was.tables.iter().enumerate() {
                match now.and_then(|now| now.tables.get(index)) {
                    Some(same) if (&same.operator, &same.name) == (&table.operator, &table.name) => {
                        if let Some(change) = same.change_since(table) {
                            add(change);
                        }
                    }
                    _ => add(self.lost_table(table)),
                }
            }
            if let Some(now) = now.filter(|now| now.inputs != was.inputs) {
                let (was, now) = (&was.name, &now.name);
                add(format!("the inputs of `{was}` are others in `{now}`"));
            }
        }
        changes
    }

    fn lost_source(&self, topic: &str) -> String {
        if self.stages.iter().any(|stage| stage.source == topic) {
            format!("the source of topic `{topic}` has another place among the stages")
        } else {
            format!("the source of topic `{topic}` is gone")
        }
    }

    fn lost_table(&self, was: &TableLayout) -> String {
        let TableLayout { operator, name, .. } = was;
        let all = || self.stages.iter().flat_map(|stage| &stage.tables);
        if all().any(|now| (&now.operator, &now.name) == (operator, name)) {
            format!("operator `{operator}`: its table `{name}` has another place among stages and tables")
        } else if all().any(|now| now.operator == *operator) {
            format!("operator `{operator}`: its table `{name}` is gone")
        } else {
            format!("operator `{operator}` is gone, and with it its table `{name}`")
        }
    }

    /// Its bytes. No plan is built with a name that has no place in them.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        out.extend(self.version.to_le_bytes());
        out.extend(self.key_groups.to_le_bytes());
        put_count(&mut out, self.stages.len());
        for stage in &self.stages {
            put_text(&mut out, &stage.name);
            put_text(&mut out, &stage.source);
            put_count(&mut out, stage.inputs.len());
            out.extend(stage.inputs.iter().map(|is_keyed| u8::from(*is_keyed)));
            put_count(&mut out, stage.tables.len());
            stage.tables.iter().for_each(|table| table.put(&mut out));
        }
        out
    }

    /// Reads it back.
    ///
    /// # Errors
    /// [`LayoutError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, LayoutError> {
        let mut from = Reader(bytes);
        match from.take()? {
            [FORMAT] => {}
            [format] => return Err(LayoutError::Format(format)),
        }
        let (version, key_groups) = (u32::from_le_bytes(from.take()?), from.count()? as u16);
        let stages = from.list(|from| {
            Ok(StageLayout {
                name: from.text()?,
                source: from.text()?,
                inputs: from.list(Reader::flag)?,
                tables: from.list(Reader::table)?,
            })
        })?;
        if from.0.is_empty() { Ok(Self { version, key_groups, stages }) } else { Err(LayoutError::Damaged) }
    }
}

impl TableLayout {
    /// Why what was written to `was` can't be read; nothing if it can.
    fn change_since(&self, was: &Self) -> Option<String> {
        let Self { operator, name, .. } = self;
        let of = format!("operator `{operator}`: its table `{name}`");
        let hash = |table: &Self| types_hash(&table.types.iter().collect::<Vec<_>>());
        if hash(self) != hash(was) {
            return Some(format!("{of} holds other types: {}", types_change(&was.types, &self.types)));
        }
        let form = |table: &Self| (table.is_ordered, table.key, table.value);
        (form(self) != form(was)).then(|| format!("{of} is of another kind"))
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_text(out, &self.operator);
        put_text(out, &self.name);
        out.push(if self.is_ordered { ORDERED } else { POINT });
        for width in [self.key, self.value] {
            let bytes = match width {
                Width::Fixed(bytes) => bytes,
                Width::Variable => VARIABLE,
            };
            out.extend(bytes.to_le_bytes());
        }
        put_count(out, self.types.len());
        self.types.iter().for_each(|ty| ty.write_to(out));
    }
}

/// The first type that differs, with the field that can't be read, if there is one.
fn types_change(was: &[Descriptor], now: &[Descriptor]) -> String {
    let differs = was.iter().zip(now).find(|(was, now)| was.hash() != now.hash());
    match differs {
        Some((was, now)) => match now.compatibility(was) {
            Err(incompatible) => incompatible.to_string(),
            Ok(_) => format!("`{was}` was written, and `{now}` has other bytes"),
        },
        None => format!("{} were written, and it has {}", was.len(), now.len()),
    }
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    let count = u16::try_from(count)
        .expect("names are bounded when a plan is built, and with them how many operators a stage has");
    out.extend(count.to_le_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_count(out, text.len());
    out.extend(text.as_bytes());
}

/// What is left of a layout's bytes.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], LayoutError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(LayoutError::Damaged)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn count(&mut self) -> Result<usize, LayoutError> {
        self.take().map(|bytes| usize::from(u16::from_le_bytes(bytes)))
    }

    /// Nothing is allocated on the word of the count.
    fn list<T>(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Result<T, LayoutError>,
    ) -> Result<Vec<T>, LayoutError> {
        let mut list = Vec::new();
        for _ in 0..self.count()? {
            list.push(each(self)?);
        }
        Ok(list)
    }

    fn text(&mut self) -> Result<String, LayoutError> {
        let len = self.count()?;
        let (text, rest) = self.0.split_at_checked(len).ok_or(LayoutError::Damaged)?;
        self.0 = rest;
        std::str::from_utf8(text).map(str::to_owned).map_err(|_| LayoutError::Damaged)
    }

    fn flag(&mut self) -> Result<bool, LayoutError> {
        match self.take()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(LayoutError::Damaged),
        }
    }

    fn width(&mut self) -> Result<Width, LayoutError> {
        Ok(match u32::from_le_bytes(self.take()?) {
            VARIABLE => Width::Variable,
            bytes => Width::Fixed(bytes),
        })
    }

    fn table(&mut self) -> Result<TableLayout, LayoutError> {
        let (operator, name) = (self.text()?, self.text()?);
        let is_ordered = match self.take()? {
            [POINT] => false,
            [ORDERED] => true,
            _ => return Err(LayoutError::Damaged),
        };
        let (key, value) = (self.width()?, self.width()?);
        let types = self.list(|from| {
            let (ty, rest) = Descriptor::read_from(from.0)?;
            from.0 = rest;
            Ok(ty)
        })?;
        Ok(TableLayout { operator, name, is_ordered, key, value, types })
    }
}

#[cfg(test)]
mod tests;
