//! Times as people read them: RFC 3339 in UTC, to the second.

/// An hour, in ms.
pub const HOUR_MS: i64 = 3_600_000;

/// A day, in ms.
pub const DAY_MS: i64 = 24 * HOUR_MS;

/// `2013-07-01T18:00:00Z` of ms since the Unix epoch, for years 0 to 9999.
#[must_use]
pub fn format(unix_ms: i64) -> String {
    let (day, second) = (unix_ms.div_euclid(DAY_MS), unix_ms.rem_euclid(DAY_MS) / 1000);
    let (year, month, day) = civil(day);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// What [`format()`] wrote.
#[must_use]
pub fn parse(text: &str) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<u32>().ok().map(i64::from);
    let days = days(number(0..4)?, number(5..7)?, number(8..10)?);
    let unix_ms = days * DAY_MS + (number(11..13)? * 3600 + number(14..16)? * 60 + number(17..19)?) * 1000;
    // Whatever else the text has or lacks does not come out again.
    (format(unix_ms) == text).then_some(unix_ms)
}

/// Year, month and day of a day since the Unix epoch: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms". Years begin
/// in March, so that the day which comes and goes is the last.
fn civil(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let (era, day_of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day_of_month)
}

/// The day since the Unix epoch of a date; the inverse of [`civil`].
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_times() {
        for (unix_ms, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_356_998_400_000, "2013-01-01T00:00:00Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59Z"),
            (-1_000, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(format(unix_ms), text);
            assert_eq!(parse(text), Some(unix_ms));
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "2013-02-30T00:00:00Z",
            "2013-01-01T24:00:00Z",
            "2013-01-01 00:00:00Z",
            "2013-01-01T00:00:00Zx",
            "2013-01-0ï00:00:00Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(second in -30_000_000_000i64..200_000_000_000) {
            prop_assert_eq!(parse(&format(second * 1000)), Some(second * 1000));
        }

        #[test]
        fn text_never_panics(text in ".{0,24}") {
            prop_assert!(parse(&text).is_none_or(|unix_ms| format(unix_ms) == text));
        }
    }
}
