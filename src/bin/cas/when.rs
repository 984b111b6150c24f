//! Times as people write and read them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::{Timestamp, civil::Date, tz::TimeZone};

/// A length of time as people write it: `500ms`, `90s`, `5m`, `2h`, `7d`; a bare number is seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let at = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let unit = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err("a duration is a number followed by ms, s, m, h or d".to_owned()),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| format!("{text:?} is not a duration"))?;
    number
        .checked_mul(unit)
        .map(Duration::from_millis)
        .ok_or_else(|| format!("{text:?} is too long"))
}

/// A number of milliseconds.
pub(crate) fn millis(text: &str) -> Result<Duration, String> {
    let number: u64 = text
        .parse()
        .map_err(|_| "not a number of milliseconds".to_owned())?;
    Ok(Duration::from_millis(number))
}

/// A time in the past, in seconds since the epoch: an age, a day of the local calendar, or the
/// seconds.
pub(crate) fn since(text: &str) -> Result<i64, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(seconds);
    }
    if text.contains('-') {
        let day: Date = text
            .parse()
            .map_err(|e| format!("{text:?} is not a date: {e}"))?;
        let start = day.to_zoned_datetime(TimeZone::system());
        return start
            .map(|start| start.timestamp().as_second())
            .map_err(|e| e.to_string());
    }
    let ago = duration(text)
        .map_err(|_| "as in 7d, 12h, 2026-01-31 or seconds since the epoch".to_owned())?;
    i64::try_from(now().saturating_sub(ago.as_secs())).map_err(|e| e.to_string())
}

/// Seconds since the epoch.
pub(crate) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}

/// A moment in the local time, to the minute.
pub(crate) fn moment(seconds: i64) -> String {
    local(seconds, "%Y-%m-%d %H:%M")
}

/// The day of a moment in the local time.
pub(crate) fn day(seconds: i64) -> String {
    local(seconds, "%Y-%m-%d")
}

fn local(seconds: i64, format: &str) -> String {
    match Timestamp::from_second(seconds) {
        Ok(time) => time
            .to_zoned_datetime(TimeZone::system())
            .strftime(format)
            .to_string(),
        Err(_) => seconds.to_string(),
    }
}

/// How long ago a moment was, or the day if that is more than a week ago.
pub(crate) fn ago(seconds: i64) -> String {
    let ago = now().saturating_sub(u64::try_from(seconds).unwrap_or_default());
    match ago {
        0..60 => "now".to_owned(),
        60..7_200 => format!("{} min ago", ago / 60),
        7_200..172_800 => format!("{} h ago", ago / 3_600),
        172_800..604_800 => format!("{} d ago", ago / 86_400),
        _ => day(seconds),
    }
}

/// A length of time with its two largest units.
pub(crate) fn length(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{} ms", time.as_millis()),
        1..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_given_as_an_age_a_day_or_seconds() {
        assert_eq!(since("0"), Ok(0));
        let day = |text: &str| since(text).unwrap();
        // In any zone, a day after another is 23 to 25 hours later.
        assert!((82_800..=90_000).contains(&(day("2024-03-01") - day("2024-02-29"))));
        // date -u -d 2026-01-31 +%s
        assert!((day("2026-01-31") - 1_769_817_600).abs() <= 14 * 3_600);
        let week = i64::try_from(now()).unwrap() - 7 * 86_400;
        assert!((since("7d").unwrap() - week).abs() < 5);
    }

    #[test]
    fn a_day_that_is_not_in_the_calendar_is_refused() {
        for text in [
            "yesterday",
            "2024-13-01",
            "2026-02-30",
            "2025-02-29",
            "2026-1-",
            "-",
        ] {
            assert!(since(text).is_err(), "{text}");
        }
    }

    #[test]
    fn lengths_are_read_and_written() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7_200)));
        assert!(
            duration("1w").is_err()
                && duration("x").is_err()
                && duration("999999999999999999d").is_err()
        );
        assert_eq!(length(Duration::from_millis(30)), "30 ms");
        assert_eq!(length(Duration::from_secs(75)), "1 min 15 s");
        assert_eq!(length(Duration::from_secs(7_800)), "2 h 10 min");
    }
}
