//! What the demo's job must come to, computed from the lines alone: no code of the engine's or of the job's.

use millrace::demo::data::Flights;
use std::{collections::BTreeMap, fmt::Write};

/// Hour since 2013-01-01T00:00Z, origin, carrier.
type Key = (i32, String, String);

/// Every departed flight's delay, by hour, origin and carrier.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Oracle {
    delays: BTreeMap<Key, Vec<i32>>,
    /// The number of each hour, by its text.
    hours: BTreeMap<String, i32>,
    pub(crate) departed: usize,
    pub(crate) cancelled: usize,
}

impl Oracle {
    pub(crate) fn new<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut oracle = Self::default();
        for line in lines {
            oracle.add(line);
        }
        oracle
    }

    fn add(&mut self, line: &str) {
        let [scheduled, delay, _, carrier, _, _, origin, _, _] =
            line.split(',').collect::<Vec<_>>().try_into().unwrap();
        if delay.is_empty() {
            self.cancelled += 1;
            return;
        }
        let hour = scheduled.parse::<i32>().unwrap().div_euclid(60);
        let key = (hour, origin.to_owned(), carrier.to_owned());
        self.hours.entry(hour_of(hour)).or_insert(hour);
        self.delays.entry(key).or_default().push(delay.parse().unwrap());
        self.departed += 1;
    }

    /// Takes out a flight that the job called late, as it described it.
    pub(crate) fn remove(&mut self, late: &str) {
        let field = |name: &str| {
            let start = late.find(&format!("\"{name}\":")).unwrap() + name.len() + 3;
            late[start..].split([',', '}']).next().unwrap().trim_matches('"').to_owned()
        };
        let scheduled = field("scheduled");
        let hour = self.hours.get(&scheduled[..13]).expect("a late flight is one of the input");
        let key = (*hour, field("origin"), field("carrier"));
        let delay: i32 = field("delay").parse().unwrap();
        let delays = self.delays.get_mut(&key).unwrap();
        let at = delays.iter().position(|other| *other == delay).expect("a late flight is one of the input");
        delays.swap_remove(at);
        if delays.is_empty() {
            self.delays.remove(&key);
        }
        self.departed -= 1;
    }

    /// Key and value of every row, sorted.
    pub(crate) fn rows(&self) -> Vec<(String, String)> {
        let rows = self.delays.iter().map(|((hour, origin, carrier), delays)| {
            let mut sorted = delays.clone();
            sorted.sort_unstable();
            let count = sorted.len();
            let sum: i64 = sorted.iter().copied().map(i64::from).sum();
            // Nearest rank, in whole numbers.
            let p95 = sorted[(95 * count).div_ceil(100) - 1];
            let mut value = String::new();
            let (hour, average) = (hour_of(*hour), sum as f64 / count as f64);
            write!(
                value,
                "{{\"window\":\"{hour}:00:00Z\",\"origin\":\"{origin}\",\"carrier\":\"{carrier}\",\"flights\":{count},\"average\":{average:.2},\"p95\":{p95}}}"
            )
            .unwrap();
            (format!("{origin}/{carrier}"), value)
        });
        let mut rows: Vec<_> = rows.collect();
        rows.sort();
        rows
    }
}

/// `2013-07-01T18` of an hour since 2013-01-01T00:00Z, by the calendar on the wall.
fn hour_of(hour: i32) -> String {
    let (mut year, mut day) = (2013, hour.div_euclid(24));
    loop {
        let february = if year % 4 == 0 { 29 } else { 28 };
        for (month, days) in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31].into_iter().enumerate() {
            if day < days {
                return format!("{year}-{:02}-{:02}T{:02}", month + 1, day + 1, hour.rem_euclid(24));
            }
            day -= days;
        }
        year += 1;
    }
}

/// Flights of about three months: enough where the number of shards is what matters.
pub(crate) const QUARTER: usize = 80_000;

/// What must come of these flights.
pub(crate) fn oracle(flights: &Flights) -> Oracle {
    Oracle::new(flights.lines().iter().map(|line| std::str::from_utf8(flights.text(line)).unwrap()))
}

/// Not `assert_eq`: it would print 100,000 rows.
pub(crate) fn assert_rows(found: &[(String, String)], expected: &[(String, String)]) {
    let differs = found.iter().zip(expected).find(|(found, expected)| found != expected);
    assert!(differs.is_none(), "found and expected: {differs:?}");
    assert_eq!(found.len(), expected.len());
}

#[test]
fn the_oracle_counts_by_hand() {
    let mut oracle = Oracle::new([
        "615,2,11,UA,1545,N14228,EWR,IAH,1400",
        "650,-5,11,UA,7,N14228,EWR,IAH,1400",
        "659,,,UA,8,N14228,EWR,IAH,1400",
        "660,1,,UA,9,,EWR,IAH,1400",
    ]);
    assert_eq!((oracle.departed, oracle.cancelled), (3, 1));
    let row = |window: &str, flights: u32, average: &str, p95: i32| {
        let value = format!(
            r#"{{"window":"{window}","origin":"EWR","carrier":"UA","flights":{flights},"average":{average},"p95":{p95}}}"#
        );
        ("EWR/UA".to_owned(), value)
    };
    let (tenth, eleventh) =
        (row("2013-01-01T10:00:00Z", 2, "-1.50", 2), row("2013-01-01T11:00:00Z", 1, "1.00", 1));
    assert_eq!(oracle.rows(), [tenth, eleventh.clone()]);
    let late = |minute, delay| {
        format!(
            r#"{{"scheduled":"2013-01-01T10:{minute}:00Z","origin":"EWR","carrier":"UA","number":1,"delay":{delay}}}"#
        )
    };
    oracle.remove(&late(15, 2));
    assert_eq!(oracle.rows(), [row("2013-01-01T10:00:00Z", 1, "-5.00", -5), eleventh.clone()]);
    oracle.remove(&late(50, -5));
    assert_eq!(oracle.rows(), [eleventh]);
    assert_eq!(hour_of(525_899 / 60), "2014-01-01T04");
}
