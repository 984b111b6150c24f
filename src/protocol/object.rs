//! How generated structs are read and written: one small trait, one macro, helpers that are compiled once.
//!
//! `#[derive(Serialize, Deserialize)]` on some 700 structs costs more compiler time and memory than the rest of the
//! crate together. `object!` expands to a third of that code, and it gives what the derive has not: a struct can be
//! read from the middle of an object, which is how a tagged union decodes its variants without buffering.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor},
    ser::SerializeMap,
};

/// A JSON object with known fields.
pub(crate) trait Object: Sized {
    /// Reads the fields that are left in `map`, in any order; unknown ones are skipped.
    fn read<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Self, A::Error>;
    /// Writes the fields into an object that is already open.
    fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error>;
}

pub(crate) fn read_object<'de, T: Object, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    deserializer.deserialize_map(ObjectVisitor(PhantomData))
}

pub(crate) fn write_object<T: Object, S: Serializer>(
    object: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    object.write(&mut map)?;
    map.end()
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Object> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        T::read(&mut map)
    }
}

/// Reads a key as its position in a list of names; `usize::MAX` if it is not among them.
pub(crate) struct Position(pub(crate) &'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Position {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Position {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<usize, E> {
        Ok(self
            .0
            .iter()
            .position(|known| *known == name)
            .unwrap_or(usize::MAX))
    }
}

/// A string, borrowed from the input where that is possible.
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

pub(crate) fn skip<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(), A::Error> {
    map.next_value::<IgnoredAny>().map(drop)
}

/// `!=` for two values of one type, so that `Vec::new()` on one side is no riddle.
pub(crate) fn differ<T: PartialEq>(value: &T, default: &T) -> bool {
    value != default
}

/// `object!(Name { 0 field "wireName" kind, … })` implements [`Object`], `Serialize` and `Deserialize`.
///
/// The kinds: `required`; `nullable` (required, but may be `null`); `optional` (`null` means the same as absent);
/// `present` (only absence is `None`, so a `null` is kept); `(default)` (absent means that value); `[default]` (the same,
/// and the value is not written).
/// `..extra` names the map that keeps all other keys.
macro_rules! object {
    ($name:ident { $($index:literal $field:ident $wire:literal $kind:tt,)* }) => {
        impl $crate::protocol::object::Object for $name {
            fn read<'de, A: ::serde::de::MapAccess<'de>>(map: &mut A) -> Result<Self, A::Error> {
                $(let mut $field = None;)*
                while let Some(index) = map.next_key_seed($crate::protocol::object::Position(&[$($wire),*]))? {
                    match index {
                        $($index => $field = Some(map.next_value()?),)*
                        _ => $crate::protocol::object::skip(map)?,
                    }
                }
                Ok(Self { $($field: object!(@take $kind $field $wire A),)* })
            }

            #[allow(unused_variables)]
            fn write<M: ::serde::ser::SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
                $(object!(@put $kind self map $field $wire);)*
                Ok(())
            }
        }
        object!(@serde $name);
    };
    ($name:ident { $($index:literal $field:ident $wire:literal $kind:tt,)* ..$extra:ident }) => {
        impl $crate::protocol::object::Object for $name {
            fn read<'de, A: ::serde::de::MapAccess<'de>>(map: &mut A) -> Result<Self, A::Error> {
                $(let mut $field = None;)*
                let mut $extra = ::std::collections::BTreeMap::new();
                while let Some($crate::protocol::object::Name(key)) = map.next_key()? {
                    match &*key {
                        $($wire => $field = Some(map.next_value()?),)*
                        _ => drop($extra.insert(key.into_owned(), map.next_value()?)),
                    }
                }
                Ok(Self { $($field: object!(@take $kind $field $wire A),)* $extra })
            }

            fn write<M: ::serde::ser::SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
                $(object!(@put $kind self map $field $wire);)*
                for (key, value) in &self.$extra {
                    map.serialize_entry(key, value)?;
                }
                Ok(())
            }
        }
        object!(@serde $name);
    };

    (@serde $name:ident) => {
        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $crate::protocol::object::write_object(self, serializer)
            }
        }
        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::protocol::object::read_object(deserializer)
            }
        }
    };

    (@take required $slot:ident $wire:literal $access:ident) => {
        match $slot {
            Some(value) => value,
            None => return Err(<$access::Error as ::serde::de::Error>::missing_field($wire)),
        }
    };
    (@take nullable $slot:ident $wire:literal $access:ident) => { $slot.flatten() };
    (@take optional $slot:ident $wire:literal $access:ident) => { $slot.flatten() };
    (@take present $slot:ident $wire:literal $access:ident) => { $slot };
    (@take [$default:expr] $slot:ident $wire:literal $access:ident) => {
        match $slot {
            Some(value) => value,
            None => $default,
        }
    };
    (@take ($default:expr) $slot:ident $wire:literal $access:ident) => {
        match $slot {
            Some(value) => value,
            None => $default,
        }
    };

    (@put required $this:ident $map:ident $field:ident $wire:literal) => { $map.serialize_entry($wire, &$this.$field)? };
    (@put nullable $this:ident $map:ident $field:ident $wire:literal) => { $map.serialize_entry($wire, &$this.$field)? };
    (@put optional $this:ident $map:ident $field:ident $wire:literal) => {
        if let Some(value) = &$this.$field {
            $map.serialize_entry($wire, value)?;
        }
    };
    (@put present $this:ident $map:ident $field:ident $wire:literal) => {
        if let Some(value) = &$this.$field {
            $map.serialize_entry($wire, value)?;
        }
    };
    (@put ($default:expr) $this:ident $map:ident $field:ident $wire:literal) => { $map.serialize_entry($wire, &$this.$field)? };
    (@put [$default:expr] $this:ident $map:ident $field:ident $wire:literal) => {
        if $crate::protocol::object::differ(&$this.$field, &$default) {
            $map.serialize_entry($wire, &$this.$field)?;
        }
    };
}

/// `setters!(Name { some field: Type, … })` gives each field a method that takes and returns the struct.
///
/// `some` wraps in `Some`, `some_into` converts first, `set`/`set_into` are for fields that are not optional, and
/// `patch`/`patch_into` add `<field>_null` for fields where `null` and absent differ.
macro_rules! setters {
    ($name:ident { $($kind:ident $field:ident $($null:ident)?: $ty:ty,)* }) => {
        impl $name {
            $(setters!(@one $kind $field $($null)?: $ty);)*
        }
    };
    (@one set $field:ident: $ty:ty) => {
        #[doc = concat!("Sets [`", stringify!($field), "`](Self#structfield.", stringify!($field), ").")]
        #[must_use]
        pub fn $field(mut self, value: $ty) -> Self {
            self.$field = value;
            self
        }
    };
    (@one set_into $field:ident: $ty:ty) => {
        #[doc = concat!("Sets [`", stringify!($field), "`](Self#structfield.", stringify!($field), ").")]
        #[must_use]
        pub fn $field(mut self, value: impl Into<$ty>) -> Self {
            self.$field = value.into();
            self
        }
    };
    (@one some $field:ident: $ty:ty) => {
        #[doc = concat!("Sets [`", stringify!($field), "`](Self#structfield.", stringify!($field), ").")]
        #[must_use]
        pub fn $field(mut self, value: $ty) -> Self {
            self.$field = Some(value);
            self
        }
    };
    (@one some_into $field:ident: $ty:ty) => {
        #[doc = concat!("Sets [`", stringify!($field), "`](Self#structfield.", stringify!($field), ").")]
        #[must_use]
        pub fn $field(mut self, value: impl Into<$ty>) -> Self {
            self.$field = Some(value.into());
            self
        }
    };
    (@one patch $field:ident $null:ident: $ty:ty) => {
        #[doc = concat!("Sets [`", stringify!($field), "`](Self#structfield.", stringify!($field), ") to a value.")]
        #[must_use]
        pub fn $field(mut self, value: $ty) -> Self {
            self.$field = Some(Some(value));
            self
        }
        setters!(@null $field $null);
    };
    (@one patch_into $field:ident $null:ident: $ty:ty) => {
        #[doc = concat!("Sets [`", stringify!($field), "`](Self#structfield.", stringify!($field), ") to a value.")]
        #[must_use]
        pub fn $field(mut self, value: impl Into<$ty>) -> Self {
            self.$field = Some(Some(value.into()));
            self
        }
        setters!(@null $field $null);
    };
    (@null $field:ident $null:ident) => {
        #[doc = concat!("Sends `null` for [`", stringify!($field), "`](Self#structfield.", stringify!($field), "), which is not the same as leaving it out.")]
        #[must_use]
        pub fn $null(mut self) -> Self {
            self.$field = Some(None);
            self
        }
    };
}

/// `redacted!(Name { shown, shown; hidden, hidden })` is a `Debug` that never prints the hidden fields' values.
macro_rules! redacted {
    ($name:ident { $($shown:ident),*; $($hidden:ident),* }) => {
        impl ::std::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.debug_struct(stringify!($name))
                    $(.field(stringify!($shown), &self.$shown))*
                    $(.field(stringify!($hidden), &$crate::protocol::object::Redacted))*
                    .finish()
            }
        }
    };
}

/// Stands in for a secret in `Debug` output.
pub(crate) struct Redacted;

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

pub(crate) use {object, redacted, setters};
