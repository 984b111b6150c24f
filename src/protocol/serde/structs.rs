//! How generated structs are read and written: two macros, and functions that are compiled once.

use std::{borrow::Cow, collections::BTreeMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor},
    ser::SerializeMap,
};
use serde_json::Value;

pub(crate) use super::fields::*;

/// A struct that is a variant of an internally tagged union, on the wire always with its tag. It has no `Serialize` and
/// `Deserialize` of its own.
pub(crate) trait VariantFields: Sized {
    /// Reads the fields that are left in `map`, in any order; unknown ones are skipped.
    fn read<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Self, A::Error>;
    /// Writes the fields behind the tag.
    fn write<M: SerializeMap>(&self, out: &mut Writer<M>);
}

/// An object being written. It keeps the first error, so that its users need not ask after each field.
pub(crate) struct Writer<M: SerializeMap>(Result<M, M::Error>);

impl<M: SerializeMap> Writer<M> {
    pub(crate) fn open<S: Serializer<SerializeMap = M, Error = M::Error>>(serializer: S) -> Self {
        Self(serializer.serialize_map(None))
    }

    pub(crate) fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) {
        if let Ok(map) = &mut self.0
            && let Err(error) = map.serialize_entry(name, value)
        {
            self.0 = Err(error);
        }
    }

    pub(crate) fn optional<T: Serialize>(&mut self, name: &str, value: Option<&T>) {
        if let Some(value) = value {
            self.field(name, value);
        }
    }

    pub(crate) fn end(self) -> Result<M::Ok, M::Error> {
        match self.0 {
            Ok(map) => map.end(),
            Err(error) => Err(error),
        }
    }
}

/// Reads a key as its position in a list of names. Another key is read as itself if `keep` is set.
struct Key {
    names: &'static [&'static str],
    keep: bool,
}

enum Found {
    At(usize),
    Other(String),
}

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Found, E> {
        Ok(match self.names.iter().position(|known| *known == name) {
            Some(position) => Found::At(position),
            None if self.keep => Found::Other(name.to_owned()),
            None => Found::Other(String::new()),
        })
    }
}

/// A string, borrowed from the input where that is possible.
#[derive(Debug)]
pub(crate) struct Name<'de>(pub(crate) Cow<'de, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }
            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

/// Reads a string into a type that is made of strings, with one visitor for all such types.
pub(crate) fn from_str_value<'de, D: Deserializer<'de>, T: for<'a> From<&'a str>>(
    deserializer: D,
) -> Result<T, D::Error> {
    match Name::deserialize(deserializer) {
        Ok(name) => Ok(T::from(&*name.0)),
        Err(error) => Err(error),
    }
}

/// Reads what is left of an object: the fields with these names. Other keys are skipped.
pub(crate) fn read_rest<'de, A: MapAccess<'de>, R: FieldTuple<'de>>(
    map: &mut A,
    names: &'static [&'static str],
) -> Result<R, A::Error> {
    read_with(map, names, &mut Skip)
}

#[expect(
    clippy::question_mark,
    reason = "a `?` is one more function for each type"
)]
fn read_with<'de, A: MapAccess<'de>, R: FieldTuple<'de>, O: Others<'de>>(
    map: &mut A,
    names: &'static [&'static str],
    others: &mut O,
) -> Result<R, A::Error> {
    let keep = O::KEEPS;
    let mut slots = R::START;
    loop {
        let read = match map.next_key_seed(Key { names, keep }) {
            Ok(Some(Found::At(position))) => R::fill(&mut slots, position, map),
            Ok(Some(Found::Other(key))) => others.take(key, map),
            Ok(None) => break,
            Err(error) => Err(error),
        };
        if let Err(error) = read {
            return Err(error);
        }
    }
    match R::done(slots) {
        Ok(row) => Ok(row),
        Err(missing) => Err(A::Error::missing_field(names[missing])),
    }
}

/// Reads an object: the fields with these names. Other keys are skipped.
pub(crate) fn read_object<'de, D: Deserializer<'de>, R: FieldTuple<'de>>(
    deserializer: D,
    names: &'static [&'static str],
) -> Result<R, D::Error> {
    let others = &mut Skip;
    deserializer.deserialize_map(Fields {
        names,
        others,
        row: PhantomData,
    })
}

/// Reads an object: the fields with these names, and a map of all other keys.
pub(crate) fn read_open_object<
    'de,
    D: Deserializer<'de>,
    R: FieldTuple<'de>,
    T: Deserialize<'de>,
>(
    deserializer: D,
    names: &'static [&'static str],
) -> Result<(R, BTreeMap<String, T>), D::Error> {
    let mut others = BTreeMap::new();
    let read = deserializer.deserialize_map(Fields {
        names,
        others: &mut others,
        row: PhantomData,
    });
    match read {
        Ok(row) => Ok((row, others)),
        Err(error) => Err(error),
    }
}

struct Fields<'a, R, O> {
    names: &'static [&'static str],
    others: &'a mut O,
    row: PhantomData<R>,
}

impl<'de, R: FieldTuple<'de>, O: Others<'de>> Visitor<'de> for Fields<'_, R, O> {
    type Value = R;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<R, A::Error> {
        read_with(&mut map, self.names, self.others)
    }
}

/// What to do with a key that is no field.
trait Others<'de> {
    const KEEPS: bool;
    fn take<A: MapAccess<'de>>(&mut self, key: String, map: &mut A) -> Result<(), A::Error>;
}

/// Skips it.
struct Skip;

impl<'de> Others<'de> for Skip {
    const KEEPS: bool = false;

    fn take<A: MapAccess<'de>>(&mut self, _: String, map: &mut A) -> Result<(), A::Error> {
        map.next_value::<IgnoredAny>().map(drop)
    }
}

impl<'de, T: Deserialize<'de>> Others<'de> for BTreeMap<String, T> {
    const KEEPS: bool = true;

    fn take<A: MapAccess<'de>>(&mut self, key: String, map: &mut A) -> Result<(), A::Error> {
        let value = map.next_value()?;
        self.insert(key, value);
        Ok(())
    }
}

/// The value, unless it is the default that its absence means.
pub(crate) fn unlike<'a, T: PartialEq>(value: &'a T, default: &T) -> Option<&'a T> {
    (value != default).then_some(value)
}

/// `struct_serde!(Name { required { field "wireName", … } … })` implements `Serialize`, `Deserialize` and `PartialEq` (which,
/// derived, would be one more impl for each type).
///
/// The fields stand in groups: `required`; `nullable` (required, but may be `null`); `optional`
/// (`null` means the same as absent); `present` (only absence is `None`, so a `null` is kept); `filled` (absent and `null`
/// mean the default behind the name); `implied` (the same, and the default is not written). `..extra` names the map
/// that keeps all other keys. Behind the groups stand the function that reads them, and the pattern of its result.
macro_rules! struct_serde {
    ($name:ident $fields:tt $read:ident $row:tt) => {
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut out = structs::Writer::open(serializer);
                write_fields!(self out $fields);
                out.end()
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                read_fields!(deserializer $fields $read $row)
            }
        }
        equal_fields!($name $fields);
    };
}

/// `variant_serde!` is the same for a [`VariantFields`].
macro_rules! variant_serde {
    ($name:ident $fields:tt $read:ident $row:tt) => {
        impl structs::VariantFields for $name {
            fn read<'de, A: serde::de::MapAccess<'de>>(map: &mut A) -> Result<Self, A::Error> {
                read_fields!(map $fields $read $row)
            }

            fn write<M: serde::ser::SerializeMap>(&self, out: &mut structs::Writer<M>) {
                write_fields!(self out $fields);
            }
        }
        equal_fields!($name $fields);
    };
}

/// Reads `Self` from `$from`.
macro_rules! read_fields {
    ($from:ident {
        $(required { $($required:ident $required_wire:literal,)* })?
        $(nullable { $($nullable:ident $nullable_wire:literal,)* })?
        $(optional { $($optional:ident $optional_wire:literal,)* })?
        $(present { $($present:ident $present_wire:literal,)* })?
        $(filled { $($filled:ident $filled_wire:literal $filled_default:expr,)* })?
        $(implied { $($implied:ident $implied_wire:literal $implied_default:expr,)* })?
        $(..$extra:ident)?
    } $read:ident $row:tt) => {{
        let read = structs::$read(
            $from,
            &[
                $($($required_wire,)*)? $($($nullable_wire,)*)? $($($optional_wire,)*)?
                $($($present_wire,)*)? $($($filled_wire,)*)? $($($implied_wire,)*)?
            ],
        );
        match read {
            Ok($row) => Ok(Self {
                $($($required,)*)? $($($nullable,)*)? $($($optional,)*)? $($($present,)*)?
                $($($filled: match $filled { Some(value) => value, None => $filled_default },)*)?
                $($($implied: match $implied { Some(value) => value, None => $implied_default },)*)?
                $($extra,)?
            }),
            Err(error) => Err(error),
        }
    }};
}

/// Writes the fields of `$self` to `$out`.
macro_rules! write_fields {
    ($self:ident $out:ident {
        $(required { $($required:ident $required_wire:literal,)* })?
        $(nullable { $($nullable:ident $nullable_wire:literal,)* })?
        $(optional { $($optional:ident $optional_wire:literal,)* })?
        $(present { $($present:ident $present_wire:literal,)* })?
        $(filled { $($filled:ident $filled_wire:literal $filled_default:expr,)* })?
        $(implied { $($implied:ident $implied_wire:literal $implied_default:expr,)* })?
        $(..$extra:ident)?
    }) => {
        $($($out.field($required_wire, &$self.$required);)*)?
        $($($out.field($nullable_wire, &$self.$nullable);)*)?
        $($($out.optional($optional_wire, $self.$optional.as_ref());)*)?
        $($($out.optional($present_wire, $self.$present.as_ref());)*)?
        $($($out.field($filled_wire, &$self.$filled);)*)?
        $($($out.optional($implied_wire, structs::unlike(&$self.$implied, &$implied_default));)*)?
        $(for (key, value) in &$self.$extra {
            $out.field(key, value);
        })?
    };
}

macro_rules! equal_fields {
    ($name:ident {
        $(required { $($required:ident $required_wire:literal,)* })?
        $(nullable { $($nullable:ident $nullable_wire:literal,)* })?
        $(optional { $($optional:ident $optional_wire:literal,)* })?
        $(present { $($present:ident $present_wire:literal,)* })?
        $(filled { $($filled:ident $filled_wire:literal $filled_default:expr,)* })?
        $(implied { $($implied:ident $implied_wire:literal $implied_default:expr,)* })?
        $(..$extra:ident)?
    }) => {
        impl PartialEq for $name {
            #[inline]
            fn eq(&self, other: &Self) -> bool {
                $($(self.$required == other.$required &&)*)?
                $($(self.$nullable == other.$nullable &&)*)?
                $($(self.$optional == other.$optional &&)*)?
                $($(self.$present == other.$present &&)*)?
                $($(self.$filled == other.$filled &&)*)?
                $($(self.$implied == other.$implied &&)*)?
                $(self.$extra == other.$extra &&)?
                true
            }
        }
    };
}

/// `redacted!(Name { shown, shown; hidden, hidden })` is a `Debug` that never prints the hidden fields' values.
macro_rules! redacted {
    ($name:ident { $($shown:ident),*; $($hidden:ident),* }) => {
        impl std::fmt::Debug for $name {
            #[inline]
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name))
                    $(.field(stringify!($shown), &self.$shown))*
                    $(.field(stringify!($hidden), &structs::Redacted))*
                    .finish()
            }
        }
    };
}

/// `serde_json::from_value` by way of text, so that the types' readers are compiled for one
/// deserializer, not two.
pub(crate) fn from_value<T: DeserializeOwned>(value: &Value) -> serde_json::Result<T> {
    serde_json::from_str(&value.to_string())
}

/// `serde_json::to_value` by way of text, so that the types' writers are compiled for one
/// serializer, not two.
pub(crate) fn to_value<T: Serialize>(value: &T) -> serde_json::Result<Value> {
    serde_json::from_str(&serde_json::to_string(value)?)
}

/// Stands in for a secret in `Debug` output.
pub(crate) struct Redacted;

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

pub(crate) use {equal_fields, read_fields, redacted, struct_serde, variant_serde, write_fields};
