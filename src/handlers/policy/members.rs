//! Strict reading of params: duplicate names and unexpected types make them unreadable.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};

/// A member has another type than expected.
#[derive(Debug, PartialEq)]
pub(super) struct Misfit;

/// The members of an object.
pub(super) struct Members(Map<String, Value>);

impl Members {
    /// `None` if the text is not an object, nests deeper than `serde_json` reads, or has a
    /// duplicate name in any object.
    pub(super) fn read(text: &str) -> Option<Self> {
        match serde_json::from_str(text) {
            Ok(Unique(Value::Object(members))) => Some(Self(members)),
            _ => None,
        }
    }

    /// A member, or `Null` if it is absent.
    pub(super) fn value(&self, key: &str) -> &Value {
        self.0.get(key).unwrap_or(&Value::Null)
    }

    /// A string, or `None` if it is absent or `null`.
    pub(super) fn text(&self, key: &str) -> Result<Option<String>, Misfit> {
        optional(self.value(key), |value| value.as_str().map(str::to_owned))
    }

    /// A list of strings.
    pub(super) fn texts(&self, key: &str) -> Result<Option<Vec<String>>, Misfit> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        optional(self.value(key), |value| {
            value.as_array()?.iter().map(text).collect()
        })
    }

    /// A list.
    pub(super) fn list(&self, key: &str) -> Result<Option<Vec<Value>>, Misfit> {
        optional(self.value(key), |value| value.as_array().cloned())
    }

    /// An object, or `Null`.
    pub(super) fn object(&self, key: &str) -> Result<&Value, Misfit> {
        let value = self.value(key);
        (value.is_null() || value.is_object())
            .then_some(value)
            .ok_or(Misfit)
    }
}

fn optional<T>(value: &Value, read: impl FnOnce(&Value) -> Option<T>) -> Result<Option<T>, Misfit> {
    match value {
        Value::Null => Ok(None),
        value => read(value).map(Some).ok_or(Misfit),
    }
}

/// A JSON value without duplicate names in its objects.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor).map(Self)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Unique(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some((name, Unique(value))) = map.next_entry::<String, _>()? {
            if members.contains_key(&name) {
                return Err(A::Error::custom(format_args!("`{name}` comes twice")));
            }
            members.insert(name, value);
        }
        Ok(members.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_comes_twice_makes_an_object_unreadable_however_it_is_written() {
        assert!(
            Members::read(r#"{"a":1,"b":[{"a":2}],"c":null,"d":1.5,"e":-1,"f":true}"#).is_some()
        );
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"b":{"a":1,"a":null}}"#,
            r#"{"b":[{"a":1,"a":1}]}"#,
            "[]",
            "null",
            "7",
            "{",
            "",
        ] {
            assert!(Members::read(text).is_none(), "{text}");
        }
        let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(200), "]".repeat(200));
        assert!(Members::read(&deep).is_none());
    }

    #[test]
    fn an_absent_member_is_told_from_one_of_another_type() {
        let members = Members::read(r#"{"s":"x","n":null,"l":["a"],"o":{},"i":1}"#).unwrap();
        assert_eq!(members.text("s"), Ok(Some("x".to_owned())));
        assert_eq!(
            (members.text("n"), members.text("absent")),
            (Ok(None), Ok(None))
        );
        assert_eq!(
            (members.text("i"), members.text("l")),
            (Err(Misfit), Err(Misfit))
        );
        assert_eq!(members.texts("l"), Ok(Some(vec!["a".to_owned()])));
        assert_eq!(
            (members.texts("s"), members.list("o")),
            (Err(Misfit), Err(Misfit))
        );
        assert!(members.object("o").is_ok() && members.object("n").is_ok());
        assert_eq!(members.object("l"), Err(Misfit));
    }
}
