//! The value at a path of keys in a JSON text, decoded without the rest of the text.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

use super::Name;

/// Decodes the value at the end of a path of keys.
pub(crate) fn at<'de, T: Deserialize<'de>>(
    text: &'de str,
    path: &'static [&'static str],
) -> serde_json::Result<T> {
    serde_json::from_str(raw_at(text, path)?.get())
}

/// The text of the value at the end of a path of keys.
pub(crate) fn raw_at<'de>(
    text: &'de str,
    path: &'static [&'static str],
) -> serde_json::Result<&'de RawValue> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = At(path).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

struct At(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for At {
    type Value = &'de RawValue;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        if self.0.is_empty() {
            Deserialize::deserialize(deserializer)
        } else {
            deserializer.deserialize_map(self)
        }
    }
}

impl<'de> Visitor<'de> for At {
    type Value = &'de RawValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Some((wanted, rest)) = self.0.split_first() else {
            return Err(A::Error::custom("no key"));
        };
        let mut value = None;
        while let Some(Name(key)) = map.next_key()? {
            if key == *wanted {
                value = Some(map.next_value_seed(At(rest))?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        value.ok_or_else(|| A::Error::missing_field(wanted))
    }
}

/// One page of a list.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Page<T> {
    pub(crate) data: Vec<T>,
    /// `null` on the last page.
    #[serde(default)]
    pub(crate) next_cursor: Value,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_by_its_path_whatever_stands_beside_it() {
        let text = r#"{"a":{"z":0},"thread":{"x":[{}],"id":"t","y":null},"b":1}"#;
        assert_eq!(at::<String>(text, &["thread", "id"]).unwrap(), "t");
        assert_eq!(at::<Option<String>>(text, &["thread", "y"]).unwrap(), None);
        for path in [&["thread", "no"][..], &["b", "id"], &["thread", "id", "of"]] {
            assert!(at::<String>(text, path).is_err(), "{path:?}");
        }
        assert!(at::<u8>(r#"{"b":1} x"#, &["b"]).is_err());
    }
}
