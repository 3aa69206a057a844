//! A flight as a record: the line that producers send, what the job reads out of it.

use super::utc::HOUR_MS;
use millrace_engine::Data;
use std::io::Write;

/// 2013-01-01T00:00:00Z, from which the data counts minutes, in ms since the Unix epoch.
pub const DATA_EPOCH_MS: i64 = 1_356_998_400_000;

const MINUTE_MS: i64 = HOUR_MS / 60;

/// A flight that has left.
#[derive(Data, Clone, Debug, PartialEq, Eq)]
pub struct Flight {
    /// From where: EWR, JFK or LGA.
    pub origin: [u8; 3],
    /// Who flew: UA, B6, ...
    pub carrier: [u8; 2],
    /// The flight's number, as its carrier counts.
    pub number: u16,
    /// When it was to leave, in ms since the Unix epoch.
    pub scheduled_ms: i64,
    /// How much later it left, in minutes; negative if it was early.
    pub delay_min: i32,
}

/// A line: it tells how far the schedule has come, and of a flight, if it has left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheduled {
    /// When the flight was to leave, in ms since the Unix epoch.
    pub at_ms: i64,
    /// The flight; nothing if it was cancelled.
    pub flight: Option<Flight>,
}

impl Scheduled {
    /// Reads a line of the data's columns. `None` if it is not one.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|byte| *byte == b',');
        let at_ms = DATA_EPOCH_MS + i64::from(field_min(fields.next()?)?) * MINUTE_MS;
        let delay = fields.next()?;
        if delay.is_empty() {
            return Some(Self { at_ms, flight: None });
        }
        let delay_min = field_min(delay)?;
        let _arrival_delay = fields.next()?;
        let carrier = code(fields.next()?)?;
        let number = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
        let _tail = fields.next()?;
        let origin = code(fields.next()?)?;
        let flight = Flight { origin, carrier, number, scheduled_ms: at_ms, delay_min };
        Some(Self { at_ms, flight: Some(flight) })
    }
}

/// A number of minutes.
pub(super) fn field_min(field: &[u8]) -> Option<i32> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

/// The code of an airport or a carrier. What gets through stands in JSON as it is.
fn code<const N: usize>(field: &[u8]) -> Option<[u8; N]> {
    let code: [u8; N] = field.try_into().ok()?;
    code.iter().all(u8::is_ascii_alphanumeric).then_some(code)
}

/// Appends the key under which a line is sent: carrier and number, as in "UA1545". So a flight's days stay in one partition,
/// and there are enough flights to fill all partitions alike.
pub fn write_key(line: &[u8], key: &mut Vec<u8>) {
    for field in line.split(|byte| *byte == b',').skip(3).take(2) {
        key.extend_from_slice(field);
    }
}

/// Appends the line, of a schedule that is `shift_min` later.
pub fn write_value(line: &[u8], scheduled_min: i32, shift_min: i32, value: &mut Vec<u8>) {
    if shift_min == 0 {
        value.extend_from_slice(line);
        return;
    }
    let rest = line.iter().position(|byte| *byte == b',').map_or(&[][..], |at| &line[at..]);
    write!(value, "{}", i64::from(scheduled_min) + i64::from(shift_min)).expect("a vector takes all");
    value.extend_from_slice(rest);
}

/// Appends a line without a flight, which only tells that the schedule has come to `scheduled_min`. At the end of a replay it
/// closes the windows that wait for later flights.
pub fn write_end(scheduled_min: i32, value: &mut Vec<u8>) {
    write!(value, "{scheduled_min},,,,,,,,").expect("a vector takes all");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LINE: &[u8] = b"615,2,11,UA,1545,N14228,EWR,IAH,1400";

    #[test]
    fn a_line_is_read() {
        let flight = Flight {
            origin: *b"EWR",
            carrier: *b"UA",
            number: 1545,
            scheduled_ms: DATA_EPOCH_MS + 615 * 60_000,
            delay_min: 2,
        };
        assert_eq!(
            Scheduled::parse(LINE),
            Some(Scheduled { at_ms: flight.scheduled_ms, flight: Some(flight) })
        );
    }

    #[test]
    fn a_cancelled_flight_tells_the_time_alone() {
        let cancelled = Scheduled::parse(b"660,,,B6,125,N618JB,JFK,FLL,1069").unwrap();
        assert_eq!(cancelled, Scheduled { at_ms: DATA_EPOCH_MS + 660 * 60_000, flight: None });
        let mut end = Vec::new();
        write_end(660, &mut end);
        assert_eq!(Scheduled::parse(&end), Some(cancelled));
    }

    #[test]
    fn what_would_break_json_is_no_code() {
        assert_eq!(Scheduled::parse(b"615,2,11,\"\\,1545,N14228,EWR,IAH,1400"), None);
        assert_eq!(Scheduled::parse(b"615,2,11,UA,1545,N14228,EWRX,IAH,1400"), None);
        assert_eq!(Scheduled::parse(b"615,2"), None);
        assert_eq!(Scheduled::parse(b""), None);
    }

    #[test]
    fn keys_name_the_flight_and_a_shift_is_all_that_changes() {
        let (mut key, mut same, mut later) = (Vec::new(), Vec::new(), Vec::new());
        write_key(LINE, &mut key);
        write_value(LINE, 615, 0, &mut same);
        write_value(LINE, 615, 525_600, &mut later);
        assert_eq!(key, b"UA1545");
        assert_eq!(same, LINE);
        assert_eq!(later, b"526215,2,11,UA,1545,N14228,EWR,IAH,1400");
    }

    proptest! {
        #[test]
        fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            prop_assert!(Scheduled::parse(&bytes).is_none_or(|scheduled| scheduled.at_ms % MINUTE_MS == 0));
            let (mut key, mut value) = (Vec::new(), Vec::new());
            write_key(&bytes, &mut key);
            write_value(&bytes, i32::MAX, i32::MAX, &mut value);
        }

        #[test]
        fn commas_anywhere_never_panic(text in "[0-9,A-Z\"-]{0,60}") {
            let scheduled = Scheduled::parse(text.as_bytes());
            prop_assert!(scheduled.is_none_or(|scheduled| scheduled.at_ms % MINUTE_MS == 0));
        }
    }
}
