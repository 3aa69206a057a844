//! Reading canonical key bytes back.

use super::encode::{ESCAPE, TERMINATOR};

/// Why bytes are not the canonical encoding of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The bytes end inside the key.
    #[error("key bytes end {missing} bytes early")]
    Truncated {
        /// How many more bytes were needed at least.
        missing: usize,
    },
    /// Bytes follow the key.
    #[error("{extra} bytes follow the key")]
    Trailing {
        /// How many.
        extra: usize,
    },
    /// A tag (of a bool or an option) is neither 0 nor 1.
    #[error("tag {found} is neither 0 nor 1")]
    Tag {
        /// The byte found.
        found: u8,
    },
    /// A zero byte inside a string or byte string is followed by neither the escape nor the terminator.
    #[error("zero byte followed by {found}: neither escaped nor a terminator")]
    Escape {
        /// The byte found.
        found: u8,
    },
    /// A string is not UTF-8.
    #[error("string is not UTF-8")]
    Utf8,
    /// A character is not a Unicode scalar value.
    #[error("{found:#x} is not a Unicode scalar value")]
    Char {
        /// The number found.
        found: u32,
    },
}

/// A cursor over canonical key bytes.
#[derive(Clone, Debug)]
pub struct KeyReader<'a> {
    rest: &'a [u8],
}

impl<'a> KeyReader<'a> {
    /// Reads from the start of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Takes exactly `N` bytes.
    ///
    /// # Errors
    /// [`KeyError::Truncated`] if fewer remain.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], KeyError> {
        let (head, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or_else(|| KeyError::Truncated { missing: N - self.rest.len() })?;
        self.rest = rest;
        Ok(*head)
    }

    /// Takes one byte that must be 0 or 1.
    ///
    /// # Errors
    /// [`KeyError::Truncated`] or [`KeyError::Tag`].
    pub fn tag(&mut self) -> Result<bool, KeyError> {
        match self.array::<1>()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [found] => Err(KeyError::Tag { found }),
        }
    }

    /// Takes an escaped, terminated byte string and unescapes it.
    ///
    /// # Errors
    /// [`KeyError::Truncated`] if there is no terminator, [`KeyError::Escape`] if a zero byte is followed by anything else.
    pub fn byte_string(&mut self) -> Result<Vec<u8>, KeyError> {
        let mut out = Vec::new();
        loop {
            let zero = self.rest.iter().position(|&b| b == 0).ok_or(KeyError::Truncated { missing: 2 })?;
            out.extend_from_slice(&self.rest[..zero]);
            let next = *self.rest.get(zero + 1).ok_or(KeyError::Truncated { missing: 1 })?;
            self.rest = &self.rest[zero + 2..];
            match next {
                TERMINATOR => return Ok(out),
                ESCAPE => out.push(0),
                found => return Err(KeyError::Escape { found }),
            }
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`KeyError::Trailing`] if bytes remain.
    pub const fn finish(self) -> Result<(), KeyError> {
        if self.rest.is_empty() { Ok(()) } else { Err(KeyError::Trailing { extra: self.rest.len() }) }
    }
}
