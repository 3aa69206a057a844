//! The flights that the demo replays: a year of departures from New York, part of the program.
//!
//! `server/data/README.md` says where they come from and what the columns mean. They are kept as text, as producers send them;
//! beside it stands, for each flight, what replaying needs: where its line is, when it was to leave, and when it left.

use super::flight::field_min;
use std::{
    io::{self, BufRead, BufReader, Read},
    ops::Range,
};

/// The data, compressed.
static COMPRESSED: &[u8] = include_bytes!("../../data/flights-2013.csv.zst");

/// The first line of the data.
const COLUMNS: &str = "sched_min,dep_delay,arr_delay,carrier,flight,tail,origin,dest,distance";

/// How many flights the data has.
pub const FLIGHTS: usize = 336_776;

/// Days of the year that the data covers.
pub const YEAR_DAYS: u16 = 365;

/// Minutes of a day.
const DAY_MIN: i32 = 24 * 60;

/// Minutes of the year; a second pass is the same year again, this much later.
pub const YEAR_MIN: i32 = YEAR_DAYS as i32 * DAY_MIN;

/// The longest line that is read: the data's longest has 43 bytes.
const LINE_BYTES_MAX: u64 = 256;

/// Why the data can't be read. It is part of the program: none of this happens unless the build was tampered with.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// It does not decompress.
    #[error("the flights do not decompress: {0}")]
    Decompress(#[from] io::Error),
    /// The first line does not name the columns.
    #[error("the flights have other columns: {0:?}")]
    Columns(String),
    /// A line is not a flight.
    #[error("line {number} of the flights is none: {line:?}")]
    Line {
        /// Its number, from 1.
        number: usize,
        /// The line.
        line: String,
    },
    /// A flight left before the one in the line above it.
    #[error("line {number} of the flights is out of order")]
    Order {
        /// Its number, from 1.
        number: usize,
    },
    /// Flights are missing, or there are more.
    #[error("there are {0} flights, not {FLIGHTS}")]
    Count(usize),
}

/// One line.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// Where it begins in the text.
    start: u32,
    /// Its length, without the line's end.
    len: u8,
    /// Whether the flight was cancelled: it has no delay.
    pub cancelled: bool,
    /// The scheduled departure, in minutes since 2013-01-01T00:00Z.
    pub scheduled_min: i32,
    /// The departure, in the same minutes; of a cancelled flight, the scheduled one.
    pub departure_min: i32,
}

/// All flights, in the order of their departure.
#[derive(Debug)]
pub struct Flights {
    text: Vec<u8>,
    lines: Vec<Line>,
}

impl Flights {
    /// Reads what is part of the program.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn load() -> Result<Self, DataError> {
        let flights = Self::read(zstd::stream::read::Decoder::new(COMPRESSED)?)?;
        if flights.lines.len() == FLIGHTS { Ok(flights) } else { Err(DataError::Count(flights.lines.len())) }
    }

    /// Reads text with the data's columns, line by line.
    ///
    /// # Errors
    /// [`DataError`], but for the number of flights.
    pub fn read(text: impl Read) -> Result<Self, DataError> {
        let mut reader = BufReader::with_capacity(64 << 10, text);
        let mut columns = String::new();
        reader.by_ref().take(LINE_BYTES_MAX).read_line(&mut columns)?;
        if columns.trim_end() != COLUMNS {
            return Err(DataError::Columns(columns));
        }
        let mut flights = Self { text: Vec::new(), lines: Vec::new() };
        while flights.read_line(&mut reader)? {}
        Ok(flights)
    }

    /// Takes the next line, if there is one.
    fn read_line(&mut self, reader: &mut impl BufRead) -> Result<bool, DataError> {
        let start = self.text.len();
        if reader.take(LINE_BYTES_MAX).read_until(b'\n', &mut self.text)? == 0 {
            return Ok(false);
        }
        let number = self.lines.len() + 2;
        let bytes = self.text[start..].trim_ascii_end();
        let not_a_flight =
            || DataError::Line { number, line: String::from_utf8_lossy(&self.text[start..]).into_owned() };
        let (scheduled_min, delay_min) = times(bytes).ok_or_else(not_a_flight)?;
        let line = Line {
            start: u32::try_from(start).map_err(|_| not_a_flight())?,
            len: u8::try_from(bytes.len()).map_err(|_| not_a_flight())?,
            cancelled: delay_min.is_none(),
            scheduled_min,
            departure_min: scheduled_min.saturating_add(delay_min.unwrap_or(0)),
        };
        if self.lines.last().is_some_and(|before| before.departure_min > line.departure_min) {
            return Err(DataError::Order { number });
        }
        self.lines.push(line);
        Ok(true)
    }

    /// Keeps these alone.
    pub fn keep(&mut self, flights: Range<usize>) {
        self.lines.truncate(flights.end);
        self.lines.drain(..flights.start.min(self.lines.len()));
    }

    /// Keeps those alone that left in the first `days` days, counted from the first departure. A year's days are all.
    pub fn keep_days(&mut self, days: u16) {
        let end_min = self.span_min().start + i32::from(days) * DAY_MIN;
        let count = self.lines.partition_point(|line| line.departure_min < end_min);
        self.lines.truncate(count);
    }

    /// The flights.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The text of a flight.
    #[must_use]
    pub fn text(&self, line: &Line) -> &[u8] {
        let start = line.start as usize;
        &self.text[start..start + usize::from(line.len)]
    }

    /// How long after the latest schedule seen so far a flight may still leave that was to leave before it, in minutes: the
    /// bound with which no record is late, whatever partition it is in.
    #[must_use]
    pub fn disorder_min(&self) -> i32 {
        let mut latest = i32::MIN;
        let behind = self.lines.iter().map(|line| {
            latest = latest.max(line.scheduled_min);
            latest - line.scheduled_min
        });
        behind.max().unwrap_or(0)
    }

    /// The minutes in which flights of this data leave, by the clock and by the schedule.
    #[must_use]
    pub fn span_min(&self) -> Range<i32> {
        let first = self.lines.first().map_or(0, |line| line.departure_min);
        let last = self.lines.last().map_or(0, |line| line.departure_min);
        first..last + 1
    }
}

/// When a flight was to leave, and how late it did, if it did.
fn times(line: &[u8]) -> Option<(i32, Option<i32>)> {
    let mut fields = line.split(|byte| *byte == b',');
    let scheduled_min = field_min(fields.next()?)?;
    let delay = fields.next()?;
    let delay_min = if delay.is_empty() { None } else { Some(field_min(delay)?) };
    (fields.count() == 7).then_some((scheduled_min, delay_min))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &str) -> Result<Flights, DataError> {
        Flights::read(format!("{COLUMNS}\n{lines}").as_bytes())
    }

    #[test]
    fn the_year_is_whole() {
        let flights = Flights::load().unwrap();
        assert_eq!(flights.lines().len(), FLIGHTS);
        assert_eq!(flights.lines().iter().filter(|line| line.cancelled).count(), 8_255);
        let first = &flights.lines()[0];
        assert_eq!(flights.text(first), b"615,2,11,UA,1545,N14228,EWR,IAH,1400");
        assert_eq!((first.scheduled_min, first.departure_min), (615, 617));
        assert!(flights.span_min().end < YEAR_MIN + flights.span_min().start, "two passes do not overlap");
    }

    #[test]
    fn what_is_no_flight_is_refused() {
        assert!(matches!(Flights::read(&b"a,b\n"[..]), Err(DataError::Columns(_))));
        assert!(matches!(Flights::read(&b"not zstd"[..]), Err(DataError::Columns(_))));
        let good = "615,2,11,UA,1545,N14228,EWR,IAH,1400\n";
        assert_eq!(read(good).unwrap().lines().len(), 1);
        for bad in ["x,2,11,UA,1545,N14228,EWR,IAH,1400", "615,2,11,UA", "", "615,99999999999,,,,,,,"] {
            let refused = read(&format!("{good}{bad}\n"));
            assert!(matches!(refused, Err(DataError::Line { number: 3, .. })), "{bad}");
        }
        let early = "614,2,11,UA,1545,N14228,EWR,IAH,1400\n";
        assert!(matches!(read(&format!("{good}{early}")), Err(DataError::Order { number: 3 })));
        let truncated = zstd::stream::read::Decoder::new(&COMPRESSED[..COMPRESSED.len() / 2]).unwrap();
        assert!(matches!(Flights::read(truncated), Err(DataError::Decompress(_) | DataError::Line { .. })));
        let endless = format!("{COLUMNS}\n{}", "7".repeat(100_000));
        assert!(matches!(Flights::read(endless.as_bytes()), Err(DataError::Line { number: 2, .. })));
    }

    #[test]
    fn the_first_days_are_those_of_departure() {
        let mut flights =
            read("100,0,0,UA,1,,EWR,IAH,1\n1600,-61,0,UA,2,,EWR,IAH,1\n1500,40,0,UA,3,,EWR,IAH,1\n").unwrap();
        flights.keep_days(1);
        assert_eq!(flights.lines().iter().map(|line| line.scheduled_min).collect::<Vec<_>>(), [100, 1600]);
        let mut year = Flights::load().unwrap();
        year.keep_days(YEAR_DAYS);
        assert_eq!(year.lines().len(), FLIGHTS);
    }

    #[test]
    fn disorder_is_that_of_the_schedule() {
        let flights =
            read("100,0,0,UA,1,,EWR,IAH,1\n160,5,0,UA,2,,EWR,IAH,1\n40,130,0,UA,3,,EWR,IAH,1\n").unwrap();
        assert_eq!(flights.disorder_min(), 120);
    }
}
