//! A fast path for deltas, the notifications that make up a flood.
//!
//! A delta is a small object of plain strings. [`fill`] copies them straight from the text, into the strings of a value
//! that nobody holds any more if there is one. It leaves any value that is not plain, and every error, to `serde_json`.

use serde::de::{DeserializeOwned, IgnoredAny};

use super::plain::end_of_plain;

/// A payload of strings and integers, all of them required.
pub(crate) trait Delta: DeserializeOwned {
    fn empty() -> Self;

    /// Reads all fields from the text of the object. `None` if the text is not plain, or wrong; then the value is of no
    /// use.
    fn fill(&mut self, text: &str) -> Option<()>;
}

/// Reads a payload exactly as `serde_json` does.
pub(crate) fn read<T: Delta>(text: &str) -> Result<T, serde_json::Error> {
    let mut value = T::empty();
    match value.fill(text) {
        Some(()) => Ok(value),
        None => serde_json::from_str(text),
    }
}

/// Where the value of a field goes.
pub(crate) enum Place<'a> {
    Text(&'a mut String),
    Integer(&'a mut i64),
}

impl<'a> From<&'a mut String> for Place<'a> {
    fn from(place: &'a mut String) -> Self {
        Self::Text(place)
    }
}

impl<'a> From<&'a mut i64> for Place<'a> {
    fn from(place: &'a mut i64) -> Self {
        Self::Integer(place)
    }
}

/// A string with room for more bytes is not used again, so that one large delta does not hold its memory for ever.
const KEEP: usize = 1024;

/// Fills the fields of [`Delta::fill`], of which there are less than 32.
pub(crate) fn fill(text: &str, fields: &mut [(&str, Place<'_>)]) -> Option<()> {
    let mut cursor = Cursor { text, at: 0 };
    let mut missing = (1_u32 << fields.len()) - 1;
    cursor.take(b'{')?;
    if cursor.peek()? == b'}' {
        return None;
    }
    loop {
        let key = cursor.plain()?;
        cursor.take(b':')?;
        match fields
            .iter_mut()
            .zip(0..)
            .find(|((name, _), _)| *name == key)
        {
            Some(((_, place), at)) => {
                missing &= !(1 << at);
                cursor.value(place)?;
            }
            None => cursor.scalar::<IgnoredAny>().map(drop)?,
        }
        match cursor.peek()? {
            b',' => cursor.at += 1,
            b'}' => break cursor.at += 1,
            _ => return None,
        }
    }
    cursor.space();
    (missing == 0 && cursor.at == text.len()).then_some(())
}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.text.as_bytes().get(self.at) {
            self.at += 1;
        }
    }

    /// The next byte that is no space, without passing it.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        self.space();
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// A string without escapes. `None`, and nothing is passed, if it has some.
    #[inline]
    fn plain(&mut self) -> Option<&'a str> {
        if self.peek()? != b'"' {
            return None;
        }
        let text = &self.text[self.at + 1..];
        let len = end_of_plain(text.as_bytes())?;
        if text.as_bytes()[len] != b'"' {
            return None;
        }
        self.at += len + 2;
        Some(&text[..len])
    }

    fn value(&mut self, place: &mut Place<'_>) -> Option<()> {
        match place {
            Place::Text(place) => match self.plain() {
                Some(text) => {
                    if place.capacity() > KEEP {
                        **place = String::new();
                    }
                    place.clear();
                    place.push_str(text);
                }
                None => **place = self.scalar()?,
            },
            Place::Integer(place) => **place = self.scalar()?,
        }
        Some(())
    }

    /// A string, number, boolean or `null`, read by `serde_json`.
    fn scalar<T: DeserializeOwned>(&mut self) -> Option<T> {
        self.space();
        let text = &self.text[self.at..];
        let bytes = text.as_bytes();
        let mut len = 0;
        if bytes.first() == Some(&b'"') {
            len = 1;
            loop {
                match *bytes.get(len)? {
                    b'"' => break len += 1,
                    b'\\' => len += 2,
                    _ => len += 1,
                }
            }
        } else {
            while let Some(b'a'..=b'z' | b'0'..=b'9' | b'-' | b'+' | b'.' | b'E') = bytes.get(len) {
                len += 1;
            }
        }
        self.at += len;
        serde_json::from_str(&text[..len]).ok()
    }
}

#[cfg(test)]
#[path = "delta_tests.rs"]
mod tests;
