//! Values for property tests: each type makes one of itself out of arbitrary bytes.

use super::{Format, RecordSet, SharedStr};
use bytes::Bytes;
use uuid::Uuid;

/// Arbitrary bytes, used up value by value; zeros afterwards, so that fewer bytes make smaller values.
#[derive(Debug)]
pub(crate) struct Source<'a>(pub(crate) &'a [u8]);

impl Source<'_> {
    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        let taken = N.min(self.0.len());
        let (head, tail) = self.0.split_at(taken);
        bytes[..taken].copy_from_slice(head);
        self.0 = tail;
        bytes
    }

    fn below(&mut self, bound: u8) -> usize {
        usize::from(self.bytes::<1>()[0] % bound)
    }
}

/// A type that can be made out of arbitrary bytes, with fields outside the format's version at their defaults.
pub(crate) trait Sample: Sized {
    fn sample(source: &mut Source<'_>, format: Format) -> Self;
}

macro_rules! plain {
    ($($type:ty),*) => {$(
        impl Sample for $type {
            fn sample(source: &mut Source<'_>, _: Format) -> Self {
                Self::from_le_bytes(source.bytes())
            }
        }
    )*};
}

plain!(i8, i16, i32, i64, u16);

impl Sample for bool {
    fn sample(source: &mut Source<'_>, _: Format) -> Self {
        source.below(2) == 1
    }
}

impl Sample for Uuid {
    fn sample(source: &mut Source<'_>, _: Format) -> Self {
        Self::from_bytes(source.bytes())
    }
}

impl Sample for String {
    fn sample(source: &mut Source<'_>, _: Format) -> Self {
        (0..source.below(12)).map(|_| ['a', 'Z', '-', '7', 'ü', '流'][source.below(6)]).collect()
    }
}

impl Sample for SharedStr {
    fn sample(source: &mut Source<'_>, format: Format) -> Self {
        String::sample(source, format).into()
    }
}

impl Sample for Bytes {
    fn sample(source: &mut Source<'_>, _: Format) -> Self {
        (0..source.below(20)).map(|_| source.bytes::<1>()[0]).collect()
    }
}

impl Sample for RecordSet {
    /// Now and then long enough to be spliced rather than copied.
    fn sample(source: &mut Source<'_>, format: Format) -> Self {
        let mut records = Self::new();
        for _ in 0..source.below(3) {
            let mut piece = Bytes::sample(source, format).to_vec();
            if source.below(4) == 3 {
                piece.resize(super::COPY_BELOW + piece.len(), 0xab);
            }
            records.push(piece.into());
        }
        records
    }
}

impl<T: Sample> Sample for Vec<T> {
    fn sample(source: &mut Source<'_>, format: Format) -> Self {
        let format = format.nullable(true);
        (0..source.below(4)).map(|_| T::sample(source, format)).collect()
    }
}

impl<T: Sample> Sample for Option<T> {
    fn sample(source: &mut Source<'_>, format: Format) -> Self {
        if format.nullable && source.below(4) == 0 { None } else { Some(T::sample(source, format)) }
    }
}
