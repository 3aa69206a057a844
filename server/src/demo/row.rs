//! A row of the result: what topic `delays` holds.

use super::utc::{self, HOUR_MS};
use serde_json::Value;
use std::io::Write;

/// How late the flights of a carrier left an airport in one hour.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// When the hour begins, in ms since the Unix epoch.
    pub window_ms: i64,
    /// The airport.
    pub origin: [u8; 3],
    /// The carrier.
    pub carrier: [u8; 2],
    /// How many flights left.
    pub flights: u64,
    /// The average of their delays, in minutes.
    pub average_min: f64,
    /// The 95th percentile of their delays by nearest rank, in minutes.
    pub p95_min: i32,
}

impl Row {
    /// When the hour ends, in ms since the Unix epoch.
    #[must_use]
    pub const fn end_ms(&self) -> i64 {
        self.window_ms + HOUR_MS
    }

    /// Appends the key: `EWR/UA`.
    pub fn write_key(&self, key: &mut Vec<u8>) {
        key.extend_from_slice(&self.origin);
        key.push(b'/');
        key.extend_from_slice(&self.carrier);
    }

    /// Appends the value, one JSON object. Codes are letters and digits: nothing in them has to be escaped.
    pub fn write_value(&self, value: &mut Vec<u8>) {
        let Self { window_ms, origin, carrier, flights, average_min, p95_min } = self;
        let (window, origin, carrier) = (utc::format(*window_ms), text(origin), text(carrier));
        write!(
            value,
            r#"{{"window":"{window}","origin":"{origin}","carrier":"{carrier}","flights":{flights},"average":{average_min:.2},"p95":{p95_min}}}"#
        )
        .expect("a vector takes all");
    }

    /// Reads a value. `None` if it is no row.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(value).ok()?;
        let code = |name: &str| value[name].as_str().map(str::as_bytes);
        Some(Self {
            window_ms: utc::parse(value["window"].as_str()?)?,
            origin: code("origin")?.try_into().ok()?,
            carrier: code("carrier")?.try_into().ok()?,
            flights: value["flights"].as_u64()?,
            average_min: value["average"].as_f64()?,
            p95_min: i32::try_from(value["p95"].as_i64()?).ok()?,
        })
    }
}

/// A code as text.
pub(super) fn text(code: &[u8]) -> &str {
    std::str::from_utf8(code).unwrap_or("?")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_row_reads_well() {
        let row = Row {
            window_ms: 1_372_701_600_000,
            origin: *b"EWR",
            carrier: *b"UA",
            flights: 12,
            average_min: 23.25,
            p95_min: 110,
        };
        let (mut key, mut value) = (Vec::new(), Vec::new());
        row.write_key(&mut key);
        row.write_value(&mut value);
        assert_eq!(key, b"EWR/UA");
        let expected = r#"{"window":"2013-07-01T18:00:00Z","origin":"EWR","carrier":"UA","flights":12,"average":23.25,"p95":110}"#;
        assert_eq!(String::from_utf8(value.clone()).unwrap(), expected);
        assert_eq!(Row::parse(&value), Some(row));
        assert_eq!(Row::parse(b"{}"), None);
    }

    proptest! {
        #[test]
        fn round_trip(
            hour in 0i64..1_000_000,
            origin in "[A-Z0-9]{3}",
            carrier in "[A-Z0-9]{2}",
            flights in 1u64..100_000,
            cents in -100_000i32..1_000_000,
            p95_min in any::<i32>(),
        ) {
            let row = Row {
                window_ms: hour * HOUR_MS,
                origin: origin.as_bytes().try_into().unwrap(),
                carrier: carrier.as_bytes().try_into().unwrap(),
                flights,
                average_min: f64::from(cents) / 100.0,
                p95_min,
            };
            let mut value = Vec::new();
            row.write_value(&mut value);
            prop_assert_eq!(Row::parse(&value), Some(row));
        }

        #[test]
        fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            prop_assert!(Row::parse(&bytes).is_none_or(|row| row.window_ms % 1000 == 0));
        }
    }
}
