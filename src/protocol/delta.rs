//! Deltas, read from their text.
//!
//! Most of a flood are small objects of plain strings, and half of what a general reader does with one of them is not
//! needed: strings are copied straight from the text here. Whatever is not so simple is left to `serde_json`, value by
//! value or as a whole, and so is every error.

use std::fmt;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Error, MapAccess, value::BorrowedStrDeserializer,
};

use super::object::Object;
use crate::words::end_of_plain;

/// Reads an object from its text, exactly as `serde_json` does.
pub(crate) fn read<T: Object + DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    match simple(text) {
        Some(value) => Ok(value),
        None => serde_json::from_str(text),
    }
}

/// The same of what is simple. `None` of what is not, or is wrong.
fn simple<T: Object>(text: &str) -> Option<T> {
    let mut members = Members {
        text,
        at: 0,
        first: true,
    };
    members.take(b'{').ok()?;
    let value = T::read(&mut members).ok()?;
    members.space();
    (members.at == text.len()).then_some(value)
}

/// The members of an object, of which those at the cursor and behind it are to be read.
struct Members<'a> {
    text: &'a str,
    at: usize,
    first: bool,
}

impl<'a> Members<'a> {
    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.text.as_bytes().get(self.at) {
            self.at += 1;
        }
    }

    /// The next byte that is no space. It stays where it is.
    fn peek(&mut self) -> Result<u8, NotSimple> {
        self.space();
        self.text.as_bytes().get(self.at).copied().ok_or(NotSimple)
    }

    fn take(&mut self, byte: u8) -> Result<(), NotSimple> {
        if self.peek()? != byte {
            return Err(NotSimple);
        }
        self.at += 1;
        Ok(())
    }

    /// The string behind the quote at the cursor, if all of it stands for itself.
    fn plain(&mut self) -> Option<&'a str> {
        let text = &self.text[self.at + 1..];
        let len = end_of_plain(text.as_bytes())?;
        if text.as_bytes()[len] != b'"' {
            return None;
        }
        self.at += len + 2;
        Some(&text[..len])
    }

    /// The text of the string, number or word at the cursor.
    fn scalar(&mut self) -> Result<&'a str, NotSimple> {
        let text = &self.text[self.at..];
        let bytes = text.as_bytes();
        let mut len = 0;
        if bytes.first() == Some(&b'"') {
            len = 1;
            loop {
                match *bytes.get(len).ok_or(NotSimple)? {
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
        Ok(&text[..len])
    }
}

impl<'de> MapAccess<'de> for Members<'de> {
    type Error = NotSimple;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, NotSimple> {
        if self.peek()? == b'}' {
            self.at += 1;
            return Ok(None);
        }
        if !std::mem::take(&mut self.first) {
            self.take(b',')?;
        }
        if self.peek()? != b'"' {
            return Err(NotSimple);
        }
        let key = self.plain().ok_or(NotSimple)?;
        seed.deserialize(BorrowedStrDeserializer::new(key))
            .map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, NotSimple> {
        self.take(b':')?;
        if self.peek()? == b'"'
            && let Some(value) = self.plain()
        {
            return seed.deserialize(BorrowedStrDeserializer::new(value));
        }
        let mut text = serde_json::Deserializer::from_str(self.scalar()?);
        let value = seed.deserialize(&mut text).map_err(|_| NotSimple)?;
        text.end().map(|()| value).map_err(|_| NotSimple)
    }
}

/// There is something about the text that is not simple, or wrong.
#[derive(Debug)]
struct NotSimple;

impl Error for NotSimple {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

impl std::error::Error for NotSimple {}

impl fmt::Display for NotSimple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a simple object")
    }
}

#[cfg(test)]
#[path = "delta_tests.rs"]
mod tests;
