//! Durations as people read them.

use std::{fmt, time::Duration};

/// A duration in a message: three digits of it at most, in the unit that suits.
pub(crate) struct Rounded(pub(crate) Duration);

impl fmt::Display for Rounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        if seconds >= 100.0 {
            write!(f, "{seconds:.0}s")
        } else if seconds >= 0.9995 {
            let text = format!("{seconds:.1}");
            write!(f, "{}s", text.trim_end_matches(".0"))
        } else {
            write!(f, "{:.0}ms", seconds * 1e3)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_no_more_digits_than_a_reader_needs() {
        for (nanos, text) in [
            (0, "0ms"),
            (1_400_000, "1ms"),
            (999_400_000, "999ms"),
            (999_900_000, "1s"),
            (1_000_000_000, "1s"),
            (2_549_000_000, "2.5s"),
            (59_999_734_123, "60s"),
            (1_234_567_000_000, "1235s"),
        ] {
            assert_eq!(Rounded(Duration::from_nanos(nanos)).to_string(), text);
        }
        let longest = Rounded(Duration::MAX).to_string();
        assert!(longest.ends_with('s'), "{longest}");
    }
}
