//! What a terminal shows while the demo runs: a table that is drawn over itself. Pure text: who calls writes it out.

use super::{
    results::{STANDINGS_DAYS, Standing},
    row::text,
    utc,
};
use std::fmt::Write;

/// Rows of the standings, if the terminal is high enough.
const STANDINGS_MAX: usize = 10;

/// Lines of a frame besides the standings.
const LINES_AROUND: usize = 8;

/// Cells of the bar of progress.
const BAR_CELLS: usize = 30;

/// What a frame shows.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The address that Kafka clients reach.
    pub address: String,
    /// What runs: "pass 1 of 2: the year in 20 s".
    pub pass: String,
    /// How far the pass is, 0 to 1.
    pub progress: f64,
    /// The departure that was sent last, in ms since the Unix epoch.
    pub departure_ms: i64,
    /// The worst, first.
    pub standings: Vec<Standing>,
    /// Flights that were sent.
    pub flights: u64,
    /// And in the last second.
    pub flights_per_s: f64,
    /// Rows that were read.
    pub rows: u64,
    /// And in the last second.
    pub rows_per_s: f64,
    /// Half of the pass's results took at most this, in µs; nothing before the first.
    pub p50_us: Option<u64>,
    /// And 99 of 100 this.
    pub p99_us: Option<u64>,
    /// Late flights.
    pub late: u64,
}

/// Draws frames over each other.
#[derive(Debug)]
pub struct Screen {
    is_coloured: bool,
    /// Lines of the last frame, which stand above the cursor.
    drawn: usize,
}

impl Screen {
    /// An empty one, with colours or without.
    #[must_use]
    pub const fn new(is_coloured: bool) -> Self {
        Self { is_coloured, drawn: 0 }
    }

    /// The bytes that put `frame` in the place of the last one, in a terminal of so many columns and lines.
    #[must_use]
    pub fn draw(&mut self, frame: &Frame, columns: usize, lines: usize) -> String {
        // The cursor's own line is below the frame.
        let standings = lines.saturating_sub(LINES_AROUND + 1).min(STANDINGS_MAX);
        let mut out = String::new();
        if self.drawn == 0 {
            out.push_str("\x1b[?25l");
        } else {
            write!(out, "\x1b[{}A\r", self.drawn).expect("a string takes all");
        }
        let table = self.table(frame, standings);
        for line in &table {
            out.push_str(&cut(line, columns));
            out.push_str("\x1b[K\n");
        }
        // A frame that is lower than the last leaves nothing of it below.
        out.push_str("\x1b[J");
        self.drawn = table.len();
        out
    }

    /// The bytes that leave the last frame where it is, and give the cursor back.
    #[must_use]
    pub fn leave(&mut self) -> &'static str {
        if std::mem::take(&mut self.drawn) == 0 { "" } else { "\x1b[?25h\n" }
    }

    fn table(&self, frame: &Frame, standings: usize) -> Vec<String> {
        let filled = (frame.progress.clamp(0.0, 1.0) * BAR_CELLS as f64) as usize;
        let bar = format!("{}{}", "#".repeat(filled), "-".repeat(BAR_CELLS - filled));
        let day = utc::format(frame.departure_ms);
        let mut lines = vec![
            String::new(),
            format!("{}  [{bar}]  {}", self.bold(&day[..10]), frame.pass),
            String::new(),
            self.dim(&format!(
                "{:<24}{:>10}{:>11}{:>13}  in the hour from",
                format!("worst of the last {STANDINGS_DAYS} days"),
                "flights",
                "average",
                "highest p95"
            )),
        ];
        for place in 0..standings {
            lines.push(
                frame.standings.get(place).map_or_else(String::new, |standing| self.standing(standing)),
            );
        }
        lines.push(String::new());
        lines.push(format!(
            "in   {:>9} flights {:>9}/s   late {}",
            thousands(frame.flights),
            thousands(frame.flights_per_s as u64),
            thousands(frame.late),
        ));
        lines.push(format!(
            "out  {:>9} rows    {:>9}/s   readable after p50 {}  p99 {}",
            thousands(frame.rows),
            thousands(frame.rows_per_s as u64),
            millis(frame.p50_us),
            millis(frame.p99_us),
        ));
        lines.push(self.dim(&format!("topics flights -> delays at {}; Ctrl-C ends", frame.address)));
        lines
    }

    fn standing(&self, standing: &Standing) -> String {
        let Standing { origin, carrier, flights, average_min, p95_min, p95_ms } = standing;
        let average = format!("{average_min:>6.1} min");
        let average = match *average_min {
            late if late >= 30.0 => self.sgr("31", &average),
            late if late >= 15.0 => self.sgr("33", &average),
            _ => average,
        };
        let hour = utc::format(*p95_ms);
        format!(
            "  {} {}                {:>10} {average}    {p95_min:>5} min  {}",
            text(origin),
            text(carrier),
            thousands(*flights),
            hour[..16].replace('T', " "),
        )
    }

    fn bold(&self, text: &str) -> String {
        self.sgr("1", text)
    }

    fn dim(&self, text: &str) -> String {
        self.sgr("2", text)
    }

    fn sgr(&self, code: &str, text: &str) -> String {
        if self.is_coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// The frame as one line, for what is not a terminal.
#[must_use]
pub fn plain(frame: &Frame) -> String {
    let mut line = format!(
        "{}  {}  in {} ({}/s)  out {} ({}/s)  p50 {}  p99 {}  late {}",
        &utc::format(frame.departure_ms)[..10],
        frame.pass,
        thousands(frame.flights),
        thousands(frame.flights_per_s as u64),
        thousands(frame.rows),
        thousands(frame.rows_per_s as u64),
        millis(frame.p50_us),
        millis(frame.p99_us),
        thousands(frame.late),
    );
    if let Some(worst) = frame.standings.first() {
        let (origin, carrier) = (text(&worst.origin), text(&worst.carrier));
        write!(line, "  worst {origin} {carrier} {:.1} min", worst.average_min).expect("a string takes all");
    }
    line
}

/// The first `columns` characters of a line; what only colours takes no column.
fn cut(line: &str, columns: usize) -> String {
    let (mut out, mut column, mut escape, mut is_cut) = (String::with_capacity(line.len()), 0, false, false);
    for character in line.chars() {
        if escape || character == '\x1b' {
            escape = !(escape && character.is_ascii_alphabetic());
            out.push(character);
        } else if column < columns {
            column += 1;
            out.push(character);
        } else {
            is_cut = true;
        }
    }
    if is_cut && line.contains('\x1b') {
        out.push_str("\x1b[0m");
    }
    out
}

/// `12,345,678`.
#[must_use]
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// µs as ms, to three digits or so.
#[must_use]
pub fn millis(us: Option<u64>) -> String {
    match us {
        None => "-".to_owned(),
        Some(us) if us < 100_000 => format!("{:.1} ms", us as f64 / 1e3),
        Some(us) => format!("{} ms", thousands(us / 1000)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Frame {
        let standing = Standing {
            origin: *b"EWR",
            carrier: *b"EV",
            flights: 1_234,
            average_min: 41.26,
            p95_min: 211,
            p95_ms: 1_372_701_600_000,
        };
        Frame {
            address: "127.0.0.1:9092".to_owned(),
            pass: "pass 1 of 2: the year in 20 s".to_owned(),
            progress: 0.5,
            departure_ms: 1_372_701_600_000,
            standings: vec![standing],
            flights: 168_000,
            flights_per_s: 16_900.0,
            rows: 57_000,
            rows_per_s: 5_800.0,
            p50_us: Some(2_900),
            p99_us: Some(123_456),
            late: 0,
        }
    }

    fn visible(drawn: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for line in drawn.split('\n') {
            let (mut out, mut escape) = (String::new(), false);
            for character in line.chars() {
                match character {
                    '\x1b' => escape = true,
                    _ if escape => escape = !character.is_ascii_alphabetic(),
                    '\r' => {}
                    _ => out.push(character),
                }
            }
            lines.push(out);
        }
        lines
    }

    #[test]
    fn a_frame_shows_the_worst_and_the_rates() {
        let drawn = Screen::new(false).draw(&frame(), 100, 40);
        let text = visible(&drawn).join("\n");
        for part in [
            "2013-07-01  [###############---------------]  pass 1 of 2",
            "EWR EV",
            "1,234",
            "41.3 min",
            "211 min  2013-07-01 18:00",
            "168,000 flights    16,900/s",
            "57,000 rows        5,800/s",
            "readable after p50 2.9 ms  p99 123 ms",
            "late 0",
        ] {
            assert!(text.contains(part), "{part:?} in\n{text}");
        }
        let without_cursor = drawn.replace("\x1b[?25l", "").replace("\x1b[K", "").replace("\x1b[J", "");
        assert!(!without_cursor.contains('\x1b'), "no colours unless they are allowed");
    }

    #[test]
    fn frames_are_drawn_over_each_other() {
        let mut screen = Screen::new(true);
        assert_eq!(screen.leave(), "");
        let first = screen.draw(&frame(), 100, 40);
        let second = screen.draw(&frame(), 100, 40);
        let lines = first.matches('\n').count();
        assert!(second.starts_with(&format!("\x1b[{lines}A")));
        assert_eq!(second.matches('\n').count(), lines);
        assert!(screen.leave().contains("\x1b[?25h"));
    }

    #[test]
    fn nothing_is_wider_or_higher_than_the_terminal() {
        for (columns, lines) in [(20, 12), (1, 1), (80, 24)] {
            let mut screen = Screen::new(true);
            let drawn = visible(&screen.draw(&frame(), columns, lines));
            assert!(drawn.iter().all(|line| line.chars().count() <= columns), "{columns}: {drawn:?}");
            assert!(drawn.len() <= lines.max(LINES_AROUND + 1), "{lines}: {}", drawn.len());
        }
    }

    /// As wide as most are when they open.
    #[test]
    fn a_terminal_of_80_columns_shows_all() {
        let whole = Frame {
            flights: 673_552,
            flights_per_s: 673_552.0,
            rows: 230_410,
            rows_per_s: 230_410.0,
            p50_us: Some(12_345_000),
            p99_us: Some(12_345_000),
            late: 16_510,
            progress: 1.0,
            address: "127.0.0.1:65535".to_owned(),
            ..frame()
        };
        let (narrow, wide) =
            (Screen::new(true).draw(&whole, 80, 24), Screen::new(true).draw(&whole, 200, 24));
        assert_eq!(visible(&narrow), visible(&wide));
        assert!(narrow.contains(&format!("[{}]", "#".repeat(BAR_CELLS))), "the end is a full bar");
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_000), "1,000");
        assert_eq!(thousands(12_345_678), "12,345,678");
        assert_eq!(millis(None), "-");
        assert_eq!(millis(Some(1_250)), "1.2 ms");
        assert_eq!(millis(Some(1_234_567)), "1,234 ms");
    }

    #[test]
    fn a_plain_line_has_no_escapes() {
        let line = plain(&frame());
        assert!(line.contains("worst EWR EV 41.3 min") && !line.contains('\x1b'), "{line}");
    }
}
