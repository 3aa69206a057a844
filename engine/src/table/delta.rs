//! Deltas: what an epoch changed in a table.

use super::spec::{TableId, TableSpec};
use crate::epoch::Epoch;
use crate::key::KeyGroupRange;
use bytes::Bytes;

/// What an epoch changed in a table: runs by range of key groups.
#[derive(Clone, Debug)]
pub struct Delta {
    /// Which table.
    pub table: TableId,
    /// Which epoch.
    pub epoch: Epoch,
    /// The runs that have records, by ascending range of key groups.
    pub runs: Vec<DeltaRun>,
}

impl Delta {
    /// Whether nothing changed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }
}

/// The changes of one range of key groups; its bytes name table, epoch, types and range themselves.
#[derive(Clone, Debug)]
pub struct DeltaRun {
    /// The groups that its keys belong to.
    pub groups: KeyGroupRange,
    /// The run, header and records.
    pub bytes: Bytes,
}

/// Why a run of a delta can't be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeltaError {
    /// The run belongs to another table.
    #[error("run of table {found} where table {expected} was due")]
    Table {
        /// The table it was given to.
        expected: TableId,
        /// The table it names.
        found: TableId,
    },
    /// The run has keys or values of other types.
    #[error("run with types {found:#018x} where {expected:#018x} are known")]
    Types {
        /// The hash that the table was made with.
        expected: u64,
        /// The hash that the run names.
        found: u64,
    },
    /// The bytes are not a run.
    #[error("run is damaged at byte {at}: {what}")]
    Damaged {
        /// Where.
        at: usize,
        /// What is wrong there.
        what: &'static str,
    },
}

/// One change, as the first, simple form of a run keeps it.
pub(super) enum Change<'a> {
    Put { namespace: u64, key: &'a [u8], order: &'a [u8], value: &'a [u8] },
    Remove { namespace: u64, key: &'a [u8], order: &'a [u8] },
    Drop { namespace: u64 },
}

/// Appends a change.
pub(super) fn write(out: &mut Vec<u8>, change: &Change<'_>) {
    let mut bytes = |b: &[u8]| {
        out.extend_from_slice(&(b.len() as u32).to_le_bytes());
        out.extend_from_slice(b);
    };
    match *change {
        Change::Put { namespace, key, order, value } => {
            bytes(&[0]);
            bytes(&namespace.to_le_bytes());
            bytes(key);
            bytes(order);
            bytes(value);
        }
        Change::Remove { namespace, key, order } => {
            bytes(&[1]);
            bytes(&namespace.to_le_bytes());
            bytes(key);
            bytes(order);
        }
        Change::Drop { namespace } => {
            bytes(&[2]);
            bytes(&namespace.to_le_bytes());
        }
    }
}

/// Starts a run with its header.
pub(super) fn header(spec: &TableSpec) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&spec.id.0.to_le_bytes());
    out.extend_from_slice(&spec.types.to_le_bytes());
    out
}

/// Reads a run.
pub(super) fn read<'a>(spec: &TableSpec, run: &'a [u8]) -> Result<Vec<Change<'a>>, DeltaError> {
    let at = |rest: &[u8], what| DeltaError::Damaged { at: run.len() - rest.len(), what };
    let (id, rest) = run.split_first_chunk().ok_or(at(run, "header"))?;
    let (types, mut rest) = rest.split_first_chunk().ok_or(at(rest, "header"))?;
    let (found, types) = (TableId(u32::from_le_bytes(*id)), u64::from_le_bytes(*types));
    if found != spec.id {
        return Err(DeltaError::Table { expected: spec.id, found });
    }
    if types != spec.types {
        return Err(DeltaError::Types { expected: spec.types, found: types });
    }
    let mut changes = Vec::new();
    let field = |rest: &mut &'a [u8]| -> Result<&'a [u8], DeltaError> {
        let (length, tail) = rest.split_first_chunk().ok_or(at(rest, "length"))?;
        let (field, tail) =
            tail.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or(at(rest, "field"))?;
        *rest = tail;
        Ok(field)
    };
    while !rest.is_empty() {
        let kind = field(&mut rest)?;
        let namespace =
            field(&mut rest)?.try_into().map(u64::from_le_bytes).map_err(|_| at(rest, "namespace"))?;
        changes.push(match kind {
            [0] => Change::Put {
                namespace,
                key: field(&mut rest)?,
                order: field(&mut rest)?,
                value: field(&mut rest)?,
            },
            [1] => Change::Remove { namespace, key: field(&mut rest)?, order: field(&mut rest)? },
            [2] => Change::Drop { namespace },
            _ => return Err(at(rest, "kind")),
        });
    }
    Ok(changes)
}
