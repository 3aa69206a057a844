//! What a table is made with.

use crate::key::{KeyGroupRange, KeyGroups};
use std::fmt;

/// The number of a table within its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub u32);

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A part of a table that can be dropped as a whole: the pane of a window, say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(pub u64);

impl Namespace {
    /// The namespace of tables that need only one.
    pub const NONE: Self = Self(0);
}

/// How many bytes keys or values take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// All the same number.
    Fixed(u32),
    /// Any number, each its own.
    Variable,
}

impl Width {
    /// The width of a type whose encoding may be fixed, as [`EncodeKey::WIDTH`](crate::key::EncodeKey::WIDTH) says it.
    #[must_use]
    pub const fn of(width: Option<usize>) -> Self {
        match width {
            Some(bytes) if bytes <= u32::MAX as usize => Self::Fixed(bytes as u32),
            _ => Self::Variable,
        }
    }
}

/// What a table is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableSpec {
    /// Its number within the task.
    pub id: TableId,
    /// The hash of the descriptors of key and value types, opaque here. A delta of other types is refused.
    pub types: u64,
    /// The job's number of key groups.
    pub groups: KeyGroups,
    /// The groups whose keys this table holds.
    pub range: KeyGroupRange,
    /// How wide keys are.
    pub key: Width,
    /// How wide values are.
    pub value: Width,
}
