//! How each Rust type of a message's field stands on the wire.

use super::{DecodeError, DecodeErrorKind, Reader, RecordSet, SharedStr, Writer};
use bytes::Bytes;
use uuid::Uuid;

/// What a value's encoding depends on besides its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// The message's version.
    pub version: i16,
    /// Whether the version is flexible: lengths are varints, structures end in tagged fields.
    pub flexible: bool,
    /// Whether null may stand here. Only optional types look at it.
    pub nullable: bool,
}

impl Format {
    /// The format of a message's `version`, flexible from `flexible_from` on.
    #[must_use]
    pub const fn new(version: i16, flexible_from: i16) -> Self {
        Self { version, flexible: version >= flexible_from, nullable: true }
    }

    /// The same, with null allowed or not.
    #[must_use]
    pub const fn nullable(self, nullable: bool) -> Self {
        Self { nullable, ..self }
    }
}

/// A type that stands in Kafka's messages.
pub trait Field: Sized {
    /// Bytes that a value takes on the wire at least, in any version; at least 1.
    const ENCODED_SIZE_MIN: usize;

    /// Reads a value.
    ///
    /// # Errors
    /// [`DecodeError`].
    fn decode(reader: &mut Reader<'_>, format: Format) -> Result<Self, DecodeError>;

    /// Writes the value. Null where the format does not allow it is written as the type's empty value.
    fn encode(&self, writer: &mut Writer, format: Format);
}

/// A type with a null of its own on the wire. [`Field`] for its plain form refuses null.
trait Nullable: Sized {
    const WIDE: bool;
    fn read(reader: &mut Reader<'_>, length: usize, format: Format) -> Result<Self, DecodeError>;
    fn length(&self) -> usize;
    fn write(&self, writer: &mut Writer, format: Format);
}

fn read_nullable<T: Nullable>(reader: &mut Reader<'_>, format: Format) -> Result<Option<T>, DecodeError> {
    match reader.length(format.flexible, T::WIDE)? {
        Some(length) => T::read(reader, length, format.nullable(true)).map(Some),
        None => Ok(None),
    }
}

fn write_nullable<T: Nullable>(value: Option<&T>, writer: &mut Writer, format: Format) {
    writer.length(format.flexible, T::WIDE, value.map(T::length));
    if let Some(value) = value {
        value.write(writer, format.nullable(true));
    }
}

macro_rules! length_prefixed {
    ($([$($element:ident)?] $type:ty),* $(,)?) => {$(
        impl $(<$element: Field>)? Field for $type {
            const ENCODED_SIZE_MIN: usize = 1;

            #[inline]
            fn decode(reader: &mut Reader<'_>, format: Format) -> Result<Self, DecodeError> {
                read_nullable(reader, format)?.ok_or_else(|| reader.error(DecodeErrorKind::Null))
            }

            #[inline]
            fn encode(&self, writer: &mut Writer, format: Format) {
                write_nullable(Some(self), writer, format);
            }
        }

        impl $(<$element: Field>)? Field for Option<$type> {
            const ENCODED_SIZE_MIN: usize = 1;

            #[inline]
            fn decode(reader: &mut Reader<'_>, format: Format) -> Result<Self, DecodeError> {
                let value = read_nullable(reader, format)?;
                if value.is_none() && !format.nullable {
                    return Err(reader.error(DecodeErrorKind::Null));
                }
                Ok(value)
            }

            #[inline]
            fn encode(&self, writer: &mut Writer, format: Format) {
                match self {
                    None if !format.nullable => write_nullable(Some(&<$type>::default()), writer, format),
                    value => write_nullable(value.as_ref(), writer, format),
                }
            }
        }
    )*};
}

length_prefixed!([] String, [] SharedStr, [] Bytes, [] RecordSet, [T] Vec<T>);

impl Nullable for String {
    const WIDE: bool = false;

    fn read(reader: &mut Reader<'_>, length: usize, _: Format) -> Result<Self, DecodeError> {
        reader.str(length).map(str::to_owned)
    }

    fn length(&self) -> usize {
        self.len()
    }

    fn write(&self, writer: &mut Writer, _: Format) {
        writer.bytes(self.as_bytes());
    }
}

impl Nullable for SharedStr {
    const WIDE: bool = false;

    fn read(reader: &mut Reader<'_>, length: usize, _: Format) -> Result<Self, DecodeError> {
        reader.shared_str(length)
    }

    fn length(&self) -> usize {
        self.len()
    }

    fn write(&self, writer: &mut Writer, _: Format) {
        writer.bytes(self.as_bytes());
    }
}

/// Opaque bytes of a few hundred at most (a member's metadata, an assignment). They are kept by whoever coordinates
/// the group, hence copied out of the frame.
impl Nullable for Bytes {
    const WIDE: bool = true;

    fn read(reader: &mut Reader<'_>, length: usize, _: Format) -> Result<Self, DecodeError> {
        reader.bytes(length).map(Self::copy_from_slice)
    }

    fn length(&self) -> usize {
        self.len()
    }

    fn write(&self, writer: &mut Writer, _: Format) {
        writer.shared(self);
    }
}

impl Nullable for RecordSet {
    const WIDE: bool = true;

    fn read(reader: &mut Reader<'_>, length: usize, _: Format) -> Result<Self, DecodeError> {
        reader.shared(length).map(Self::from)
    }

    fn length(&self) -> usize {
        self.len()
    }

    fn write(&self, writer: &mut Writer, _: Format) {
        for piece in self.pieces() {
            writer.shared(piece);
        }
    }
}

/// Elements that are reserved for at once where only the elements themselves prove that they are there.
const RESERVED_ELEMENTS_MAX: usize = 64;

impl<T: Field> Nullable for Vec<T> {
    const WIDE: bool = true;

    fn read(reader: &mut Reader<'_>, length: usize, format: Format) -> Result<Self, DecodeError> {
        reader.admit(length, T::ENCODED_SIZE_MIN, size_of::<T>())?;
        let mut elements = Self::with_capacity(length.min(RESERVED_ELEMENTS_MAX));
        for _ in 0..length {
            elements.push(T::decode(reader, format)?);
        }
        Ok(elements)
    }

    fn length(&self) -> usize {
        self.len()
    }

    fn write(&self, writer: &mut Writer, format: Format) {
        for element in self {
            element.encode(writer, format);
        }
    }
}

macro_rules! big_endian {
    ($($type:ty),*) => {$(
        impl Field for $type {
            const ENCODED_SIZE_MIN: usize = size_of::<$type>();

            #[inline]
            fn decode(reader: &mut Reader<'_>, _: Format) -> Result<Self, DecodeError> {
                reader.array().map(<$type>::from_be_bytes)
            }

            #[inline]
            fn encode(&self, writer: &mut Writer, _: Format) {
                writer.bytes(&self.to_be_bytes());
            }
        }
    )*};
}

big_endian!(i8, i16, i32, i64, u16);

impl Field for bool {
    const ENCODED_SIZE_MIN: usize = 1;

    /// Any byte but 0 is true, as Kafka has it.
    fn decode(reader: &mut Reader<'_>, _: Format) -> Result<Self, DecodeError> {
        reader.array().map(|[byte]| byte != 0)
    }

    fn encode(&self, writer: &mut Writer, _: Format) {
        writer.bytes(&[u8::from(*self)]);
    }
}

impl Field for Uuid {
    const ENCODED_SIZE_MIN: usize = 16;

    fn decode(reader: &mut Reader<'_>, _: Format) -> Result<Self, DecodeError> {
        reader.array().map(Self::from_bytes)
    }

    fn encode(&self, writer: &mut Writer, _: Format) {
        writer.bytes(self.as_bytes());
    }
}
