//! Reading the records of a run.

use super::header::{RunHeader, TableKind};
use super::wire::{self, Cursor};
use super::{DeltaError, RANGES_MAX};
use crate::key::KeyGroupRange;
use crate::table::spec::{Namespace, TableSpec, Width};
use std::ops::Bound;

/// One change. Point tables have empty order keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::table) enum Record<'a> {
    Put { namespace: Namespace, key: &'a [u8], order: &'a [u8], value: &'a [u8] },
    Remove { namespace: Namespace, key: &'a [u8], order: &'a [u8] },
    RemoveRange { namespace: Namespace, key: &'a [u8], start: Bound<&'a [u8]>, end: Bound<&'a [u8]> },
    Drop { namespace: Namespace },
}

/// Checks that all of `run` can be read and may be applied to the table of `spec`, and then visits its records in order.
///
/// `visit` gets the key groups of the run, too: a dropped namespace is dropped for these. Takes memory for at most
/// [`wire::NAMESPACES_MAX`] namespaces, whatever the bytes say.
pub(in crate::table) fn walk<'a>(
    spec: &TableSpec,
    kind: TableKind,
    run: &'a [u8],
    mut visit: impl FnMut(KeyGroupRange, Record<'a>),
) -> Result<(), DeltaError> {
    let header = RunHeader::decode(run)?;
    header.check(spec, kind)?;
    Reader::new(spec, kind, run).read(|_checked| ())?;
    Reader::new(spec, kind, run).read(|record| visit(header.groups, record))
}

struct Reader<'a> {
    key: Width,
    value: Width,
    kind: TableKind,
    cursor: Cursor<'a>,
    namespaces: Vec<Namespace>,
}

impl<'a> Reader<'a> {
    fn new(spec: &TableSpec, kind: TableKind, run: &'a [u8]) -> Self {
        let cursor = Cursor::new(run, RunHeader::BYTES);
        Self { key: spec.key, value: spec.value, kind, cursor, namespaces: Vec::with_capacity(RANGES_MAX) }
    }

    fn read(mut self, mut visit: impl FnMut(Record<'a>)) -> Result<(), DeltaError> {
        while !self.cursor.is_at_end() {
            let at = self.cursor.at();
            self.section(&mut visit).ok_or(DeltaError::Damaged { at, what: "section can't be read" })?;
        }
        Ok(())
    }

    /// Reads one section, or finds that it is damaged.
    fn section(&mut self, visit: &mut impl FnMut(Record<'a>)) -> Option<()> {
        let tag = self.cursor.u8()?;
        if tag == wire::NAMESPACE {
            let namespace = Namespace(u64::from_le_bytes(self.cursor.array()?));
            if self.namespaces.len() == wire::NAMESPACES_MAX || self.namespaces.contains(&namespace) {
                return None;
            }
            self.namespaces.push(namespace);
            return Some(());
        }
        let namespace = *self.namespaces.get(usize::from(self.cursor.u8()?))?;
        match (tag, self.kind) {
            (wire::PUT | wire::REMOVE, _) => {
                let count = u16::from_le_bytes(self.cursor.array()?);
                // A record takes a byte at least, or it has a section of its own: few bytes never stand for many records.
                if count == 0 || usize::from(count) > self.cursor.remaining().max(1) {
                    return None;
                }
                self.records(tag, namespace, count, visit)
            }
            (wire::DROP, _) => {
                visit(Record::Drop { namespace });
                Some(())
            }
            (wire::REMOVE_RANGE, TableKind::Ordered) => {
                let key = self.cursor.field(Width::Variable)?;
                let (start, end) = (self.bound()?, self.bound()?);
                visit(Record::RemoveRange { namespace, key, start, end });
                matches_width(self.key, key).then_some(())
            }
            _ => None,
        }
    }

    fn records(
        &mut self,
        tag: u8,
        namespace: Namespace,
        count: u16,
        visit: &mut impl FnMut(Record<'a>),
    ) -> Option<()> {
        let mut last_key = None;
        for _ in 0..count {
            let (key, order): (_, &[u8]) = match self.kind {
                TableKind::Point => (self.cursor.field(self.key)?, &[]),
                TableKind::Ordered => (self.key_or_last(last_key)?, self.cursor.field(Width::Variable)?),
            };
            last_key = Some(key);
            visit(if tag == wire::PUT {
                let value = self.cursor.field(self.value)?;
                Record::Put { namespace, key, order, value }
            } else {
                Record::Remove { namespace, key, order }
            });
        }
        Some(())
    }

    /// The key of an element: 0 for the one before it in the section, otherwise its length plus one and its bytes.
    fn key_or_last(&mut self, last: Option<&'a [u8]>) -> Option<&'a [u8]> {
        match self.cursor.varint()? {
            0 => last,
            length => {
                let key = self.cursor.bytes(usize::try_from(length - 1).ok()?)?;
                matches_width(self.key, key).then_some(key)
            }
        }
    }

    fn bound(&mut self) -> Option<Bound<&'a [u8]>> {
        match self.cursor.u8()? {
            wire::UNBOUNDED => Some(Bound::Unbounded),
            wire::INCLUDED => self.cursor.field(Width::Variable).map(Bound::Included),
            wire::EXCLUDED => self.cursor.field(Width::Variable).map(Bound::Excluded),
            _ => None,
        }
    }
}

fn matches_width(width: Width, bytes: &[u8]) -> bool {
    match width {
        Width::Fixed(length) => length as usize == bytes.len(),
        Width::Variable => true,
    }
}
