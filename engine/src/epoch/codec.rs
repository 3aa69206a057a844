//! Reading and writing the protocol's records: little-endian fields, one after the other, a format byte first.

/// Why bytes are not the record that they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The record has a format that this build doesn't know.
    #[error("{record} of format {found}; this build knows {known}")]
    Unknown {
        /// Which kind of record.
        record: &'static str,
        /// Its format.
        found: u8,
        /// The known one.
        known: u8,
    },
    /// The bytes can't be read as such a record.
    #[error("{record} is damaged at byte {at}: {what}")]
    Damaged {
        /// Which kind of record.
        record: &'static str,
        /// Where.
        at: usize,
        /// What is wrong there.
        what: &'static str,
    },
}

/// A cursor over a record.
pub(super) struct Fields<'a> {
    record: &'static str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    /// Reads `bytes` from the start, where `format` must stand.
    pub(super) fn new(record: &'static str, bytes: &'a [u8], format: u8) -> Result<Self, FormatError> {
        let mut fields = Self { record, bytes, at: 0 };
        match fields.u8()? {
            found if found == format => Ok(fields),
            found => Err(FormatError::Unknown { record, found, known: format }),
        }
    }

    pub(super) const fn at(&self) -> usize {
        self.at
    }

    pub(super) const fn damaged(&self, what: &'static str) -> FormatError {
        FormatError::Damaged { record: self.record, at: self.at, what }
    }

    pub(super) fn bytes(&mut self, length: usize) -> Result<&'a [u8], FormatError> {
        let bytes = self.bytes[self.at..].get(..length).ok_or_else(|| self.damaged("cut short"))?;
        self.at += length;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        self.bytes(N).map(|bytes| *bytes.first_chunk().expect("that many were taken"))
    }

    pub(super) fn u8(&mut self) -> Result<u8, FormatError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn flag(&mut self) -> Result<bool, FormatError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(FormatError::Damaged {
                record: self.record,
                at: self.at - 1,
                what: "flag is neither 0 nor 1",
            }),
        }
    }

    pub(super) fn u16(&mut self) -> Result<u16, FormatError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, FormatError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, FormatError> {
        self.array().map(i32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, FormatError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, FormatError> {
        self.array().map(i64::from_le_bytes)
    }

    pub(super) fn id(&mut self) -> Result<[u8; 16], FormatError> {
        self.array()
    }

    /// A list: its length in four bytes, then its elements, which take at least `element_bytes` each. Room is made for no more
    /// than the bytes that are there can hold.
    pub(super) fn list<T>(
        &mut self,
        element_bytes: usize,
        mut element: impl FnMut(&mut Self) -> Result<T, FormatError>,
    ) -> Result<Vec<T>, FormatError> {
        let count = self.u32()? as usize;
        if count > (self.bytes.len() - self.at) / element_bytes {
            return Err(self.damaged("list is longer than the record"));
        }
        let mut list = Vec::with_capacity(count);
        for _ in 0..count {
            list.push(element(self)?);
        }
        Ok(list)
    }

    pub(super) fn finish(self) -> Result<(), FormatError> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.damaged("bytes follow the record")) }
    }
}

/// Appends the length of a list.
pub(super) fn put_count(out: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).expect("lists of a record are bounded far below");
    out.extend_from_slice(&count.to_le_bytes());
}
