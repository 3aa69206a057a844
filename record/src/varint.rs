//! Kafka's variable-length integers: zigzag, then seven bits a byte, least significant first.

/// The longest encoding of a 32-bit number, in bytes.
pub(crate) const I32_LEN_MAX: usize = 5;
/// The longest encoding of a 64-bit number, in bytes.
pub(crate) const I64_LEN_MAX: usize = 10;

#[inline]
const fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

/// How many bytes `value` takes; the same for a 32-bit number, whose zigzag form is that of its 64-bit extension.
#[inline]
pub(crate) const fn len(value: i64) -> usize {
    // Nine 64ths are close enough to a seventh to round right for every number of bits from 1 to 64.
    let bits = 64 - (zigzag(value) | 1).leading_zeros();
    ((bits * 9 + 64) / 64) as usize
}

/// Takes a 32-bit number off the front of `bytes`. `None` if they end within it or it goes on past its fifth byte.
#[inline]
pub(crate) fn take_i32(bytes: &mut &[u8]) -> Option<i32> {
    let raw = take_raw::<I32_LEN_MAX>(bytes)? as u32;
    Some((raw >> 1) as i32 ^ -((raw & 1) as i32))
}

/// Takes a 64-bit number off the front of `bytes`. `None` if they end within it or it goes on past its tenth byte.
#[inline]
pub(crate) fn take_i64(bytes: &mut &[u8]) -> Option<i64> {
    let raw = take_raw::<I64_LEN_MAX>(bytes)?;
    Some((raw >> 1) as i64 ^ -((raw & 1) as i64))
}

/// Lengths and deltas have one byte or two nearly always.
#[inline]
fn take_raw<const LEN_MAX: usize>(bytes: &mut &[u8]) -> Option<u64> {
    let (raw, len) = match **bytes {
        [first, ..] if first < 0x80 => (u64::from(first), 1),
        [first, second, ..] if second < 0x80 => (u64::from(first & 0x7f) | u64::from(second) << 7, 2),
        _ => read_long::<LEN_MAX>(bytes)?,
    };
    *bytes = &bytes[len..];
    Some(raw)
}

/// A number at the front of `bytes`, and its length in bytes.
#[inline(never)]
fn read_long<const LEN_MAX: usize>(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut raw = 0;
    for (index, &byte) in bytes.iter().enumerate().take(LEN_MAX) {
        raw |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Some((raw, index + 1));
        }
    }
    None
}

/// A few encoded numbers and bytes on the stack, on their way to a buffer. `CAPACITY` is a power of two, and its user's worst case is below it.
pub(crate) struct Short<const CAPACITY: usize> {
    bytes: [u8; CAPACITY],
    len: usize,
}

impl<const CAPACITY: usize> Short<CAPACITY> {
    #[inline]
    pub(crate) fn new() -> Self {
        const { assert!(CAPACITY.is_power_of_two()) };
        Self { bytes: [0; CAPACITY], len: 0 }
    }

    /// Appends one byte.
    #[inline]
    pub(crate) fn byte(&mut self, byte: u8) {
        debug_assert!(self.len < CAPACITY, "the capacity covers the worst case");
        self.bytes[self.len & (CAPACITY - 1)] = byte;
        self.len += 1;
    }

    /// Appends a number.
    #[inline]
    pub(crate) fn number(&mut self, value: i64) {
        let mut raw = zigzag(value);
        while raw >= 0x80 {
            self.byte(raw as u8 | 0x80);
            raw >>= 7;
        }
        self.byte(raw as u8);
    }

    /// How many bytes there are.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Appends the bytes to `out`: all the capacity, a copy of a length that the compiler knows, and then takes back
    /// all but what is there.
    #[inline]
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let end = out.len() + self.len;
        out.extend_from_slice(&self.bytes);
        out.truncate(end);
    }

    #[inline]
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Appends a number to `out`.
#[inline]
pub(crate) fn put(out: &mut Vec<u8>, value: i64) {
    let mut short = Short::<{ I64_LEN_MAX.next_power_of_two() }>::new();
    short.number(value);
    short.put(out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(value: i64) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, value);
        out
    }

    #[test]
    fn known_encodings() {
        assert_eq!(encoded(0), [0]);
        assert_eq!(encoded(-1), [1]);
        assert_eq!(encoded(63), [0x7e]);
        assert_eq!(encoded(64), [0x80, 1]);
        assert_eq!(encoded(i64::from(i32::MIN)), [0xff, 0xff, 0xff, 0xff, 0x0f]);
        assert_eq!(encoded(i64::MIN), [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
    }

    #[test]
    fn lengths_are_right_around_every_power_of_two() {
        for bit in 0..63 {
            for value in [(1i64 << bit) - 1, 1 << bit, (1 << bit) + 1] {
                assert_eq!(len(value), encoded(value).len(), "{value}");
                assert_eq!(len(-value), encoded(-value).len(), "-{value}");
            }
        }
        assert_eq!(len(i64::MIN), 10);
        assert_eq!(len(i64::MAX), 10);
    }

    #[test]
    fn endless_and_cut_numbers_are_refused() {
        assert_eq!(take_i32(&mut &[0x80; 6][..]), None);
        assert_eq!(take_i64(&mut &[0x80; 11][..]), None);
        assert_eq!(take_i32(&mut &[0x80; 2][..]), None);
        assert_eq!(take_i32(&mut &[][..]), None);
    }

    proptest! {
        #[test]
        fn round_trip(wide: i64, narrow: i32, shift in 0u32..64, rest: [u8; 3]) {
            let wide = wide >> shift;
            let narrow = narrow >> (shift / 2);
            let mut bytes = encoded(wide);
            prop_assert_eq!(bytes.len(), len(wide));
            bytes.extend(encoded(i64::from(narrow)));
            bytes.extend(rest);
            let mut left = &bytes[..];
            prop_assert_eq!(take_i64(&mut left), Some(wide));
            prop_assert_eq!(take_i32(&mut left), Some(narrow));
            prop_assert_eq!(left, rest);
        }
    }
}
