//! How generated unions are read and written, in the three forms that the schema has: internally tagged, externally tagged
//! (or a bare string), and untagged. Each keeps a variant that it does not know.

use std::{fmt, marker::PhantomData};

use serde::{
    Serializer,
    de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Map, Value};

use super::structs::{Name, VariantFields, Writer};

/// A union whose variant is named by one field of the object.
pub(crate) trait InternallyTagged: DeserializeOwned {
    const TAG: &'static str;
    /// Reads the variant `tag` from the fields that follow the tag; `None` if there is no such variant.
    fn read<'de, A: MapAccess<'de>>(tag: &str, map: &mut A) -> Option<Result<Self, A::Error>>;
    fn unknown(object: Value) -> Self;
}

/// Reads a [`InternallyTagged`] union.
pub(crate) struct InternallyTaggedVisitor<T>(pub(crate) PhantomData<T>);

impl<'de, T: InternallyTagged> Visitor<'de> for InternallyTaggedVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with `{}`", T::TAG)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        // The server writes the tag first, so the variant is read in place. Any other order is legal JSON.
        let Some(Name(first)) = map.next_key()? else {
            return Err(A::Error::missing_field(T::TAG));
        };
        if first != T::TAG {
            return read_late_tag(first.into_owned(), map);
        }
        let Name(tag) = map.next_value()?;
        if let Some(read) = T::read(&tag, &mut map) {
            return read;
        }
        let mut object = Map::new();
        object.insert(first.into_owned(), Value::String(tag.into_owned()));
        collect(&mut object, &mut map)?;
        Ok(T::unknown(Value::Object(object)))
    }
}

/// Reads an object whose tag does not come first: writes it as text again, tag first, and reads that.
///
/// Slower than replaying a buffer. But a buffer would be another deserializer, and so another copy of each variant's
/// reader.
#[cold]
fn read_late_tag<'de, T: InternallyTagged, A: MapAccess<'de>>(
    first: String,
    mut map: A,
) -> Result<T, A::Error> {
    let mut object = Map::new();
    object.insert(first, map.next_value()?);
    collect(&mut object, &mut map)?;
    match tag_first(T::TAG, object) {
        Some(text) => serde_json::from_str(&text).map_err(A::Error::custom),
        None => Err(A::Error::missing_field(T::TAG)),
    }
}

fn tag_first(key: &str, mut object: Map<String, Value>) -> Option<String> {
    let tag = object.remove(key)?;
    let rest = Value::Object(object).to_string();
    let comma = if rest == "{}" { "" } else { "," };
    Some(format!("{{\"{key}\":{tag}{comma}{}", &rest[1..]))
}

fn collect<'de, A: MapAccess<'de>>(
    object: &mut Map<String, Value>,
    map: &mut A,
) -> Result<(), A::Error> {
    while let Some((key, value)) = map.next_entry()? {
        object.insert(key, value);
    }
    Ok(())
}

/// Skips what is left of an object, as a visitor must.
pub(crate) fn skip_rest<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(), A::Error> {
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

/// `internally_tagged!(Name "type" { units { Unit = "wire", … } objects { Variant(VariantFields) = "wire", … } })`.
macro_rules! internally_tagged {
    ($name:ident $tag:literal {
        units { $($unit:ident = $unit_wire:literal,)* }
        objects { $($object:ident($payload:ident) = $wire:literal,)* }
    }) => {
        impl $name {
            #[doc = concat!("The value of `", $tag, "` on the wire; empty if an unknown object has none.")]
            #[inline]
            #[must_use]
            pub fn tag(&self) -> &str {
                match self {
                    $(Self::$unit => $unit_wire,)*
                    $(Self::$object(_) => $wire,)*
                    Self::Unknown(object) => object[$tag].as_str().unwrap_or_default(),
                }
            }
        }
        impl unions::InternallyTagged for $name {
            const TAG: &'static str = $tag;

            fn read<'de, A: serde::de::MapAccess<'de>>(tag: &str, map: &mut A) -> Option<Result<Self, A::Error>> {
                Some(match tag {
                    $($unit_wire => unions::read_unit(map, Self::$unit),)*
                    $($wire => unions::read_variant::<$payload, Self, A>(map, Self::$object),)*
                    _ => return None,
                })
            }

            #[inline]
            fn unknown(object: serde_json::Value) -> Self {
                Self::Unknown(object)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_map(unions::InternallyTaggedVisitor(std::marker::PhantomData))
            }
        }
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use unions::{write_unit, write_variant};
                match self {
                    $(Self::$unit => write_unit($tag, $unit_wire, serializer),)*
                    $(Self::$object(payload) => write_variant($tag, $wire, payload, serializer),)*
                    Self::Unknown(object) => object.serialize(serializer),
                }
            }
        }
    };
}

/// Reads a variant that has no fields but its tag.
pub(crate) fn read_unit<'de, T, A: MapAccess<'de>>(map: &mut A, unit: T) -> Result<T, A::Error> {
    match skip_rest(map) {
        Ok(()) => Ok(unit),
        Err(error) => Err(error),
    }
}

/// Reads a variant behind its tag.
pub(crate) fn read_variant<'de, P: VariantFields, T, A: MapAccess<'de>>(
    map: &mut A,
    variant: fn(P) -> T,
) -> Result<T, A::Error> {
    match P::read(map) {
        Ok(payload) => Ok(variant(payload)),
        Err(error) => Err(error),
    }
}

/// Writes a variant that has no fields but its tag.
pub(crate) fn write_unit<S: Serializer>(
    tag: &'static str,
    wire: &str,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut out = Writer::open(serializer);
    out.field(tag, wire);
    out.end()
}

/// Writes a variant: its tag, then its fields.
pub(crate) fn write_variant<T: VariantFields, S: Serializer>(
    tag: &'static str,
    wire: &str,
    payload: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut out = Writer::open(serializer);
    out.field(tag, wire);
    payload.write(&mut out);
    out.end()
}

/// A union written as a bare string, or as an object with one key that names the variant.
pub(crate) trait ExternallyTagged: Sized {
    fn from_word(word: &str) -> Option<Self>;
    /// Reads the value under `key`; `None` if there is no such variant.
    fn read<'de, A: MapAccess<'de>>(key: &str, map: &mut A) -> Option<Result<Self, A::Error>>;
    fn unknown(value: Value) -> Self;
}

/// Reads a [`ExternallyTagged`] union.
pub(crate) struct ExternallyTaggedVisitor<T>(pub(crate) PhantomData<T>);

impl<'de, T: ExternallyTagged> Visitor<'de> for ExternallyTaggedVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or an object with one key")
    }

    fn visit_str<E>(self, word: &str) -> Result<T, E> {
        Ok(T::from_word(word).unwrap_or_else(|| T::unknown(Value::String(word.to_owned()))))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let Some(Name(key)) = map.next_key()? else {
            return Ok(T::unknown(Value::Object(Map::new())));
        };
        if let Some(read) = T::read(&key, &mut map) {
            let value = read?;
            skip_rest(&mut map)?;
            return Ok(value);
        }
        let mut object = Map::new();
        object.insert(key.into_owned(), map.next_value()?);
        collect(&mut object, &mut map)?;
        Ok(T::unknown(Value::Object(object)))
    }
}

/// `externally_tagged!(Name { words { Variant = "wire", … } objects { Variant(VariantFields) = "wire", … } })`.
macro_rules! externally_tagged {
    ($name:ident { words { $($word:ident = $word_wire:literal,)* } objects { $($object:ident($payload:ty) = $wire:literal,)* } }) => {
        impl unions::ExternallyTagged for $name {
            #[inline]
            fn from_word(word: &str) -> Option<Self> {
                Some(match word {
                    $($word_wire => Self::$word,)*
                    _ => return None,
                })
            }

            #[allow(unused_variables)]
            fn read<'de, A: serde::de::MapAccess<'de>>(key: &str, map: &mut A) -> Option<Result<Self, A::Error>> {
                Some(match key {
                    $($wire => match map.next_value() {
                        Ok(payload) => Ok(Self::$object(payload)),
                        Err(error) => Err(error),
                    },)*
                    _ => return None,
                })
            }

            #[inline]
            fn unknown(value: serde_json::Value) -> Self {
                Self::Unknown(value)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(unions::ExternallyTaggedVisitor(std::marker::PhantomData))
            }
        }
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self {
                    $(Self::$word => serializer.serialize_str($word_wire),)*
                    $(Self::$object(value) => serializer.collect_map([($wire, value)]),)*
                    Self::Unknown(value) => value.serialize(serializer),
                }
            }
        }
    };
}

/// What tells one variant of an untagged union from the others.
#[allow(dead_code, reason = "which forms occur depends on the schema")]
pub(crate) enum Shape {
    Null,
    Bool,
    Integer,
    Number,
    Text,
    List,
    /// An object with all of these keys. Under each of the keys of the second list, if it is there, stands one of these
    /// strings; an empty list forbids the key.
    Object(
        &'static [&'static str],
        &'static [(&'static str, &'static [&'static str])],
    ),
}

impl Shape {
    pub(crate) fn fits(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Null, Value::Null)
            | (Self::Bool, Value::Bool(_))
            | (Self::Number, Value::Number(_))
            | (Self::Text, Value::String(_))
            | (Self::List, Value::Array(_)) => true,
            (Self::Integer, Value::Number(number)) => number.is_i64() || number.is_u64(),
            (Self::Object(keys, words), Value::Object(object)) => {
                keys.iter().all(|key| object.contains_key(*key))
                    && words.iter().all(|(key, known)| {
                        object
                            .get(*key)
                            .is_none_or(|value| known.iter().any(|word| value == word))
                    })
            }
            _ => false,
        }
    }
}

/// `untagged!(Name { Variant(VariantFields) = [Shape, …], … })`: the first variant that fits and decodes is taken.
macro_rules! untagged {
    ($name:ident { $($variant:ident($payload:ty) = [$($shape:expr),*],)* }) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                use unions::Shape;
                let value = serde_json::Value::deserialize(deserializer)?;
                $(if [$($shape),*].iter().any(|shape: &Shape| shape.fits(&value))
                    && let Ok(payload) = structs::from_value::<$payload>(&value)
                {
                    return Ok(Self::$variant(payload));
                })*
                Ok(Self::Unknown(value))
            }
        }
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self {
                    $(Self::$variant(value) => value.serialize(serializer),)*
                    Self::Unknown(value) => value.serialize(serializer),
                }
            }
        }
    };
}

/// `variants_from!(Name { Variant(VariantFields), … })`, for unions that users send.
macro_rules! variants_from {
    ($name:ident { $($variant:ident($payload:ty),)* }) => {
        $(impl From<$payload> for $name {
            #[inline]
            fn from(payload: $payload) -> Self {
                Self::$variant(payload)
            }
        })*
    };
}

pub(crate) use {externally_tagged, internally_tagged, untagged, variants_from};
