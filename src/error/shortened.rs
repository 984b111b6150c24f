//! Foreign texts as errors show them: shortened to what a person reads.

use std::fmt;

/// The most bytes of a text that are shown.
const SHOWN: usize = 2_000;

/// Shows at most 2,000 bytes of a text: its beginning, its end, and how much is left out between them.
pub(crate) struct Shortened<'a>(pub(crate) &'a str);

impl Shortened<'_> {
    /// The two parts that are shown and the number of bytes between them; `None` if all is shown.
    fn cut(&self) -> Option<(&str, usize, &str)> {
        let text = self.0;
        if text.len() <= SHOWN {
            return None;
        }
        let is_boundary = |at: &usize| text.is_char_boundary(*at);
        let head = (0..=SHOWN / 2).rev().find(is_boundary)?;
        let tail = (text.len() - SHOWN / 2..=text.len()).find(is_boundary)?;
        Some((&text[..head], tail - head, &text[tail..]))
    }
}

impl fmt::Display for Shortened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cut() {
            None => f.write_str(self.0),
            Some((head, left_out, tail)) => {
                write!(f, "{head} … {left_out} bytes left out … {tail}")
            }
        }
    }
}

impl fmt::Debug for Shortened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cut() {
            None => fmt::Debug::fmt(self.0, f),
            Some(_) => write!(f, "{:?}", self.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_shown_by_its_ends_and_a_short_one_whole() {
        assert_eq!(Shortened("short").to_string(), "short");
        assert_eq!(format!("{:?}", Shortened("a\nb")), r#""a\nb""#);
        let long = format!("beginning{}end", "ä".repeat(50_000));
        for shown in [
            Shortened(&long).to_string(),
            format!("{:?}", Shortened(&long)),
        ] {
            assert!(shown.len() < SHOWN + 100, "{}", shown.len());
            assert!(shown.contains("beginning") && shown.contains("end"));
            assert!(shown.contains("bytes left out"));
        }
    }
}
