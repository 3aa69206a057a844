//! The canonical, order-preserving encoding of keys.
//!
//! | type | bytes |
//! |---|---|
//! | unsigned integers | big-endian |
//! | signed integers | big-endian, sign bit flipped |
//! | `f32`, `f64` | the bits, big-endian; sign bit flipped if it was clear, all bits flipped if it was set |
//! | `bool` | 0 or 1 |
//! | `char` | its scalar value as `u32` |
//! | byte strings, strings | each byte; a zero byte as `00 01`; then the terminator `00 00` |
//! | `[u8; N]` | its bytes |
//! | `Option` | 0, or 1 and the value |
//! | tuples | their fields, one after the other |
//!
//! Floats are ordered by `total_cmp`: -0.0 and +0.0 are two keys, and so are NaNs of different bits. Whoever groups by a
//! float decides what to do about that before the key is made.

use super::reader::{KeyError, KeyReader};

/// Follows a zero byte that belongs to a byte string.
pub(super) const ESCAPE: u8 = 1;
/// Follows the zero byte that ends a byte string. Smaller than [`ESCAPE`], so that a string sorts before its extensions.
pub(super) const TERMINATOR: u8 = 0;

/// A value that has canonical, order-preserving key bytes. See the module's documentation for the laws.
pub trait EncodeKey {
    /// How many bytes every value of the type takes, if that is always the same number.
    const WIDTH: Option<usize>;

    /// Appends the canonical bytes to `out`.
    fn encode(&self, out: &mut Vec<u8>);

    /// The canonical bytes in a vector of their own.
    fn to_key_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::WIDTH.unwrap_or(16));
        self.encode(&mut out);
        out
    }
}

/// A key that can be read back from its canonical bytes.
pub trait Key: EncodeKey + Sized {
    /// Reads one key.
    ///
    /// # Errors
    /// [`KeyError`] if the bytes are not the canonical encoding of a key of this type.
    fn decode(input: &mut KeyReader<'_>) -> Result<Self, KeyError>;

    /// Reads a key that takes all of `bytes`.
    ///
    /// # Errors
    /// [`KeyError`] if the bytes are not exactly one key of this type.
    fn from_key_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let mut input = KeyReader::new(bytes);
        let key = Self::decode(&mut input)?;
        input.finish()?;
        Ok(key)
    }
}

impl<T: EncodeKey + ?Sized> EncodeKey for &T {
    const WIDTH: Option<usize> = T::WIDTH;

    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        (**self).encode(out);
    }
}

macro_rules! unsigned {
    ($($t:ty),*) => {$(
        impl EncodeKey for $t {
            const WIDTH: Option<usize> = Some(size_of::<$t>());

            #[inline]
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
        }

        impl Key for $t {
            #[inline]
            fn decode(input: &mut KeyReader<'_>) -> Result<Self, KeyError> {
                Ok(Self::from_be_bytes(input.array()?))
            }
        }
    )*};
}
unsigned!(u8, u16, u32, u64, u128);

macro_rules! signed {
    ($($t:ty as $u:ty),*) => {$(
        impl EncodeKey for $t {
            const WIDTH: Option<usize> = Some(size_of::<$t>());

            #[inline]
            fn encode(&self, out: &mut Vec<u8>) {
                (self.cast_unsigned() ^ (1 << (<$u>::BITS - 1))).encode(out);
            }
        }

        impl Key for $t {
            #[inline]
            fn decode(input: &mut KeyReader<'_>) -> Result<Self, KeyError> {
                Ok((<$u>::decode(input)? ^ (1 << (<$u>::BITS - 1))).cast_signed())
            }
        }
    )*};
}
signed!(i8 as u8, i16 as u16, i32 as u32, i64 as u64, i128 as u128);

macro_rules! float {
    ($($t:ty as $u:ty),*) => {$(
        impl EncodeKey for $t {
            const WIDTH: Option<usize> = Some(size_of::<$t>());

            #[inline]
            fn encode(&self, out: &mut Vec<u8>) {
                const SIGN: $u = 1 << (<$u>::BITS - 1);
                let bits = self.to_bits();
                (if bits & SIGN == 0 { bits ^ SIGN } else { !bits }).encode(out);
            }
        }

        impl Key for $t {
            #[inline]
            fn decode(input: &mut KeyReader<'_>) -> Result<Self, KeyError> {
                const SIGN: $u = 1 << (<$u>::BITS - 1);
                let bits = <$u>::decode(input)?;
                Ok(Self::from_bits(if bits & SIGN == 0 { !bits } else { bits ^ SIGN }))
            }
        }
    )*};
}
float!(f32 as u32, f64 as u64);

impl EncodeKey for bool {
    const WIDTH: Option<usize> = Some(1);

    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
}

impl Key for bool {
    #[inline]
    fn decode(input: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        input.tag()
    }
}

impl EncodeKey for char {
    const WIDTH: Option<usize> = Some(4);

    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        u32::from(*self).encode(out);
    }
}

impl Key for char {
    fn decode(input: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        let found = u32::decode(input)?;
        Self::from_u32(found).ok_or(KeyError::Char { found })
    }
}

impl EncodeKey for [u8] {
    const WIDTH: Option<usize> = None;

    fn encode(&self, out: &mut Vec<u8>) {
        out.reserve(self.len() + 2);
        let mut pieces = self.split(|&b| b == 0);
        if let Some(first) = pieces.next() {
            out.extend_from_slice(first);
        }
        for piece in pieces {
            out.extend_from_slice(&[0, ESCAPE]);
            out.extend_from_slice(piece);
        }
        out.extend_from_slice(&[0, TERMINATOR]);
    }
}

impl EncodeKey for Vec<u8> {
    const WIDTH: Option<usize> = None;

    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        self.as_slice().encode(out);
    }
}

impl Key for Vec<u8> {
    fn decode(input: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        input.byte_string()
    }
}

impl EncodeKey for str {
    const WIDTH: Option<usize> = None;

    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        self.as_bytes().encode(out);
    }
}

impl EncodeKey for String {
    const WIDTH: Option<usize> = None;

    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        self.as_bytes().encode(out);
    }
}

impl Key for String {
    fn decode(input: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        Self::from_utf8(input.byte_string()?).map_err(|_invalid| KeyError::Utf8)
    }
}

impl<const N: usize> EncodeKey for [u8; N] {
    const WIDTH: Option<usize> = Some(N);

    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}

impl<const N: usize> Key for [u8; N] {
    #[inline]
    fn decode(input: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        input.array()
    }
}

impl<T: EncodeKey> EncodeKey for Option<T> {
    const WIDTH: Option<usize> = None;

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            None => out.push(0),
            Some(value) => {
                out.push(1);
                value.encode(out);
            }
        }
    }
}

impl<T: Key> Key for Option<T> {
    fn decode(input: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        Ok(if input.tag()? { Some(T::decode(input)?) } else { None })
    }
}

/// The width of two encodings in a row.
const fn both(a: Option<usize>, b: Option<usize>) -> Option<usize> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        _ => None,
    }
}

impl EncodeKey for () {
    const WIDTH: Option<usize> = Some(0);

    #[inline]
    fn encode(&self, _out: &mut Vec<u8>) {}
}

impl Key for () {
    #[inline]
    fn decode(_input: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        Ok(())
    }
}

macro_rules! tuple {
    ($($name:ident . $index:tt),+) => {
        impl<$($name: EncodeKey),+> EncodeKey for ($($name,)+) {
            const WIDTH: Option<usize> = {
                let mut width = Some(0);
                $(width = both(width, $name::WIDTH);)+
                width
            };

            #[inline]
            fn encode(&self, out: &mut Vec<u8>) {
                $(self.$index.encode(out);)+
            }
        }

        impl<$($name: Key),+> Key for ($($name,)+) {
            #[inline]
            fn decode(input: &mut KeyReader<'_>) -> Result<Self, KeyError> {
                Ok(($($name::decode(input)?,)+))
            }
        }
    };
}
tuple!(A.0);
tuple!(A.0, B.1);
tuple!(A.0, B.1, C.2);
tuple!(A.0, B.1, C.2, D.3);
tuple!(A.0, B.1, C.2, D.3, E.4);
tuple!(A.0, B.1, C.2, D.3, E.4, F.5);
tuple!(A.0, B.1, C.2, D.3, E.4, F.5, G.6);
tuple!(A.0, B.1, C.2, D.3, E.4, F.5, G.6, H.7);
