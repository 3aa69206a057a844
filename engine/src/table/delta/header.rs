//! The header of a run.

use super::DeltaError;
use crate::epoch::Epoch;
use crate::key::{KeyGroupRange, KeyGroups};
use crate::table::spec::{TableId, TableSpec, Width};

/// The newest format of runs.
const FORMAT: u8 = 1;

/// How a width that is not fixed is written.
const VARIABLE: u32 = u32::MAX;

/// Which of the two kinds of table a run belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::table) enum TableKind {
    Point = 1,
    Ordered = 2,
}

/// The first bytes of every run: what it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunHeader {
    /// The table, within its task.
    pub table: TableId,
    /// The epoch in which the changes were made.
    pub epoch: Epoch,
    /// The hash of the descriptors of key and value types.
    pub types: u64,
    /// The groups that the run's keys belong to.
    pub groups: KeyGroupRange,
    /// The place of this run among those of the same table, epoch and groups: 0, 1, ...
    pub part: u32,
    /// The job's number of key groups.
    pub group_count: u16,
    /// 1 for point tables, 2 for ordered ones.
    pub kind: u8,
    /// How wide keys are.
    pub key: Width,
    /// How wide values are.
    pub value: Width,
    /// How many bytes of records follow.
    pub body_bytes: u32,
}

impl RunHeader {
    /// How many bytes a header takes.
    pub const BYTES: usize = 48;

    /// Where [`body_bytes`](Self::body_bytes) stands, which is known last.
    pub(super) const BODY_BYTES_AT: usize = 40;
    /// Where [`epoch`](Self::epoch) stands, which is known last as well.
    pub(super) const EPOCH_AT: usize = 24;

    /// The header of a run whose epoch and length are not known yet.
    pub(super) const fn open(spec: &TableSpec, kind: TableKind, groups: KeyGroupRange, part: u32) -> Self {
        Self {
            table: spec.id,
            epoch: Epoch(0),
            types: spec.types,
            groups,
            part,
            group_count: spec.groups.count(),
            kind: kind as u8,
            key: spec.key,
            value: spec.value,
            body_bytes: 0,
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut out = [0; Self::BYTES];
        out[0] = FORMAT;
        out[1] = self.kind;
        out[2..4].copy_from_slice(&self.group_count.to_le_bytes());
        out[4..6].copy_from_slice(&self.groups.start.to_le_bytes());
        out[6..8].copy_from_slice(&self.groups.end.to_le_bytes());
        out[8..12].copy_from_slice(&self.table.0.to_le_bytes());
        out[12..16].copy_from_slice(&width_to_wire(self.key).to_le_bytes());
        out[16..20].copy_from_slice(&width_to_wire(self.value).to_le_bytes());
        out[20..24].copy_from_slice(&self.part.to_le_bytes());
        out[24..32].copy_from_slice(&self.epoch.0.to_le_bytes());
        out[32..40].copy_from_slice(&self.types.to_le_bytes());
        out[40..44].copy_from_slice(&self.body_bytes.to_le_bytes());
        out
    }

    /// Reads the header at the start of `run`.
    ///
    /// # Errors
    /// [`DeltaError::Format`] if the format is unknown; [`DeltaError::Damaged`] if the bytes are no header, or say that
    /// another number of bytes follows than does.
    pub fn decode(run: &[u8]) -> Result<Self, DeltaError> {
        let Some((head, body)) = run.split_first_chunk::<{ Self::BYTES }>() else {
            return Err(DeltaError::Damaged { at: run.len(), what: "header cut short" });
        };
        let u16_at = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
        let u32_at = |at: usize| u32::from(u16_at(at)) | u32::from(u16_at(at + 2)) << 16;
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        if head[0] != FORMAT {
            return Err(DeltaError::Format { found: head[0], known: FORMAT });
        }
        let header = Self {
            kind: head[1],
            group_count: u16_at(2),
            groups: KeyGroupRange { start: u16_at(4), end: u16_at(6) },
            table: TableId(u32_at(8)),
            key: width_from_wire(u32_at(12)),
            value: width_from_wire(u32_at(16)),
            part: u32_at(20),
            epoch: Epoch(u64_at(24)),
            types: u64_at(32),
            body_bytes: u32_at(40),
        };
        let damaged = |at, what| Err(DeltaError::Damaged { at, what });
        if !(1..=2).contains(&header.kind) {
            return damaged(1, "unknown kind of table");
        }
        if KeyGroups::new(header.group_count).is_none() {
            return damaged(2, "impossible number of key groups");
        }
        if header.groups.is_empty() || header.groups.end > header.group_count {
            return damaged(4, "impossible range of key groups");
        }
        if u32_at(44) != 0 {
            return damaged(44, "reserved bytes are not zero");
        }
        if header.body_bytes as usize != body.len() {
            return damaged(Self::BODY_BYTES_AT, "length is not that of the records");
        }
        Ok(header)
    }

    /// Whether a run with this header may be applied to the table of `spec`.
    pub(super) fn check(&self, spec: &TableSpec, kind: TableKind) -> Result<(), DeltaError> {
        if self.table != spec.id {
            return Err(DeltaError::Table { expected: spec.id, found: self.table });
        }
        if self.types != spec.types {
            return Err(DeltaError::Types { expected: spec.types, found: self.types });
        }
        let properties = [
            ("kind of table", kind as u32, u32::from(self.kind)),
            ("number of key groups", u32::from(spec.groups.count()), u32::from(self.group_count)),
            ("width of keys", width_to_wire(spec.key), width_to_wire(self.key)),
            ("width of values", width_to_wire(spec.value), width_to_wire(self.value)),
        ];
        for (what, expected, found) in properties {
            if expected != found {
                return Err(DeltaError::Shape { what, expected, found });
            }
        }
        Ok(())
    }
}

const fn width_to_wire(width: Width) -> u32 {
    match width {
        Width::Fixed(bytes) => bytes,
        Width::Variable => VARIABLE,
    }
}

const fn width_from_wire(width: u32) -> Width {
    match width {
        VARIABLE => Width::Variable,
        bytes => Width::Fixed(bytes),
    }
}
