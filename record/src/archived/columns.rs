//! The layout of an archived payload: the arena, five columns one behind the other, then a root of 48 bytes that points to them.
//!
//! rkyv writes and finds the columns. Its `unaligned` and `little_endian` features are part of the disk format, and
//! cargo unifies features over a whole program: a program that embeds this one and asks rkyv for another format does
//! not compile, by the assertions below, instead of writing what nobody reads.

use rkyv::{
    Archive, Place, Serialize,
    primitive::{ArchivedI64, ArchivedU32},
    rancor::Fallible,
    rend::unaligned::{i64_ule, u32_ule},
    vec::{ArchivedVec, VecResolver},
};

/// The columns of a batch, one entry per record in each, in the order of their offsets.
///
/// Keys, values and headers lie in the arena, record by record: a record starts where the one before ends, its key
/// ends at its key end, its value at its value end, and its headers at its header end.
#[derive(Debug, Default, Archive, Serialize)]
pub(crate) struct Columns {
    /// The bytes of keys, values and headers.
    pub(crate) arena: Written,
    /// Timestamps, in ms.
    pub(crate) timestamps: Vec<i64>,
    /// Offsets from the base, strictly rising; empty if they are 0, 1, 2 and so on.
    pub(crate) offset_deltas: Vec<u32>,
    /// Ends of keys in the arena; with [`NULL`] where there is no key, which then takes no bytes.
    pub(crate) key_ends: Vec<u32>,
    /// Ends of values, with [`NULL`] likewise.
    pub(crate) value_ends: Vec<u32>,
    /// Ends of header blocks; empty if no record has headers.
    pub(crate) header_ends: Vec<u32>,
}

/// Bytes that already lie in the output: the arena is filled where it will stay, the other columns follow when the
/// batch is finished. Archived it is a column like the others.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Written {
    /// Where the bytes start in the output.
    pub(crate) at: usize,
    pub(crate) len: usize,
}

impl Archive for Written {
    type Archived = ArchivedVec<u8>;
    type Resolver = VecResolver;

    fn resolve(&self, resolver: Self::Resolver, out: Place<Self::Archived>) {
        ArchivedVec::resolve_from_len(self.len, resolver, out);
    }
}

impl<S: Fallible + ?Sized> Serialize<S> for Written {
    fn serialize(&self, _: &mut S) -> Result<Self::Resolver, S::Error> {
        Ok(VecResolver::from_pos(self.at))
    }
}

/// The bit of an end that says "none here". Arenas are shorter than 2 GiB.
pub(crate) const NULL: u32 = 1 << 31;

/// Length of the root, in bytes.
pub(crate) const ROOT_LEN: usize = 48;

// The layout does not change behind our back: see the module's text.
const _: () = {
    const fn is_unaligned_little_endian(timestamp: ArchivedI64, end: ArchivedU32) -> (i64_ule, u32_ule) {
        (timestamp, end)
    }
    let (timestamp, end) = is_unaligned_little_endian(i64_ule::from_native(1), u32_ule::from_native(2));
    assert!(timestamp.to_native() == 1 && end.to_native() == 2);
    assert!(align_of::<ArchivedColumns>() == 1);
    // Six columns, each a relative pointer and a count of 32 bits.
    assert!(size_of::<ArchivedColumns>() == ROOT_LEN);
};
