//! How generated structs are read and written: one small trait, one macro, helpers that are compiled once.
//!
//! `#[derive(Serialize, Deserialize)]` on some 700 structs costs more compiler time and memory than the rest of the
//! crate together. `object!` expands to a third of that code, and it gives what the derive has not: a struct can be
//! read from the middle of an object, which is how a tagged union decodes its variants without buffering.

use std::{borrow::Cow, collections::BTreeMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor},
    ser::SerializeMap,
};
use serde_json::Value;

/// A JSON object with known fields.
pub(crate) trait Object: Sized {
    /// Reads the fields that are left in `map`, in any order; unknown ones are skipped.
    fn read<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Self, A::Error>;
}

/// An object that is one variant of a union, and on the wire only together with the tag that says so. It has no
/// `Serialize` and `Deserialize` of its own.
pub(crate) trait Payload: Object {
    /// Writes the fields behind the tag.
    fn write<M: SerializeMap>(&self, out: &mut Writer<M>);
}

/// An open object that remembers the first error, so that its users need not ask after each field.
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

    pub(crate) fn unless_default<T: Serialize + PartialEq>(
        &mut self,
        name: &str,
        value: &T,
        default: &T,
    ) {
        if value != default {
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

/// Reads an [`Object`].
pub(crate) struct ObjectVisitor<T>(pub(crate) PhantomData<T>);

impl<'de, T: Object> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        T::read(&mut map)
    }
}

/// Reads a key as its position in a list of names, or as itself if it is not among them and `keep` says so.
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

/// A place for a field's value.
///
/// The fields are filled through `dyn`, because a table of places is a fraction of the code of a `match` with a call in
/// each arm, seven hundred times. It costs an indirect call for each field, next to parsing its value.
pub(crate) trait Fill<'de, A: MapAccess<'de>> {
    fn fill(&mut self, map: &mut A) -> Result<(), A::Error>;
}

/// For what is kept as it is: `null` is for `T` to judge.
impl<'de, A: MapAccess<'de>, T: Deserialize<'de>> Fill<'de, A> for Option<T> {
    fn fill(&mut self, map: &mut A) -> Result<(), A::Error> {
        map.next_value_seed(Slot(self))
    }
}

/// For fields where `null` says the same as absence.
pub(crate) struct Maybe<T>(pub(crate) Option<T>);

impl<'de, A: MapAccess<'de>, T: Deserialize<'de>> Fill<'de, A> for Maybe<T> {
    fn fill(&mut self, map: &mut A) -> Result<(), A::Error> {
        self.0 = map.next_value()?;
        Ok(())
    }
}

/// Takes the keys that are no fields.
pub(crate) trait Others<'de, A: MapAccess<'de>> {
    const KEEPS: bool;
    fn take(&mut self, key: String, map: &mut A) -> Result<(), A::Error>;
}

/// Skips them.
pub(crate) struct Skip;

impl<'de, A: MapAccess<'de>> Others<'de, A> for Skip {
    const KEEPS: bool = false;

    fn take(&mut self, _: String, map: &mut A) -> Result<(), A::Error> {
        map.next_value::<IgnoredAny>().map(drop)
    }
}

impl<'de, A: MapAccess<'de>, T: Deserialize<'de>> Others<'de, A> for BTreeMap<String, T> {
    const KEEPS: bool = true;

    fn take(&mut self, key: String, map: &mut A) -> Result<(), A::Error> {
        let value = map.next_value()?;
        self.insert(key, value);
        Ok(())
    }
}

/// Reads what is left of an object into the slots, which are in the order of their names; the first `required` of them
/// are full afterwards.
pub(crate) fn read_fields<'de, A: MapAccess<'de>, O: Others<'de, A>>(
    map: &mut A,
    names: &'static [&'static str],
    required: usize,
    slots: &mut [&mut dyn Fill<'de, A>],
    others: &mut O,
) -> Result<(), A::Error> {
    let keep = O::KEEPS;
    let mut seen = Seen::default();
    while let Some(found) = map.next_key_seed(Key { names, keep })? {
        match found {
            Found::At(position) => {
                seen.insert(position);
                slots[position].fill(map)?;
            }
            Found::Other(key) => others.take(key, map)?,
        }
    }
    match (0..required).find(|position| !seen.contains(*position)) {
        Some(missing) => Err(A::Error::missing_field(names[missing])),
        None => Ok(()),
    }
}

/// What `read_fields` would have said.
#[cold]
pub(crate) fn missing<E: Error>(names: &[&'static str]) -> E {
    E::missing_field(names.first().copied().unwrap_or_default())
}

/// A set of positions; no type has as many required fields as there is room for.
#[derive(Default)]
struct Seen(u128);

impl Seen {
    fn insert(&mut self, position: usize) {
        self.0 |= Self::bit(position);
    }

    fn contains(&self, position: usize) -> bool {
        self.0 & Self::bit(position) != 0
    }

    fn bit(position: usize) -> u128 {
        u32::try_from(position)
            .ok()
            .and_then(|position| 1_u128.checked_shl(position))
            .unwrap_or(0)
    }
}

/// Reads a value to where it belongs; `next_value` would be two more functions for each type.
struct Slot<'a, T>(&'a mut Option<T>);

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Slot<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match T::deserialize(deserializer) {
            Ok(value) => {
                *self.0 = Some(value);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// `object!(Name { required { field "wireName", … } … })` implements [`Object`], `Serialize`, `Deserialize` and
/// `PartialEq` (which, derived, would be one more impl for each type).
///
/// The fields stand in groups: `required`; `nullable` (required, but may be `null`); `optional`
/// (`null` means the same as absent); `present` (only absence is `None`, so a `null` is kept); `filled` (absent and `null`
/// mean the default behind the name); `implied` (the same, and the default is not written). `..extra` names the map that
/// keeps all other keys. Groups, and not a word beside each field, so that no macro is called for each field; `match` in
/// place of `?`, so that no conversion is compiled for each type.
macro_rules! object {
    ($name:ident $fields:tt) => {
        readable!($name $fields);
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut out = object::Writer::open(serializer);
                write_fields!(self out $fields);
                out.end()
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_map(object::ObjectVisitor(std::marker::PhantomData))
            }
        }
    };
}

/// The same for a [`Payload`].
macro_rules! payload {
    ($name:ident $fields:tt) => {
        readable!($name $fields);
        impl object::Payload for $name {
            fn write<M: serde::ser::SerializeMap>(&self, out: &mut object::Writer<M>) {
                write_fields!(self out $fields);
            }
        }
    };
}

/// Writes the fields of `$self` to `$out`.
macro_rules! write_fields {
    ($self:ident $out:ident {
        required { $($required:ident $required_wire:literal,)* }
        nullable { $($nullable:ident $nullable_wire:literal,)* }
        optional { $($optional:ident $optional_wire:literal,)* }
        present { $($present:ident $present_wire:literal,)* }
        filled { $($filled:ident $filled_wire:literal $filled_default:expr,)* }
        implied { $($implied:ident $implied_wire:literal $implied_default:expr,)* }
        $(..$extra:ident)?
    }) => {
        $($out.field($required_wire, &$self.$required);)*
        $($out.field($nullable_wire, &$self.$nullable);)*
        $($out.optional($optional_wire, $self.$optional.as_ref());)*
        $($out.optional($present_wire, $self.$present.as_ref());)*
        $($out.field($filled_wire, &$self.$filled);)*
        $($out.unless_default($implied_wire, &$self.$implied, &$implied_default);)*
        $(for (key, value) in &$self.$extra {
            $out.field(key, value);
        })?
    };
}

macro_rules! readable {
    ($name:ident {
        required { $($required:ident $required_wire:literal,)* }
        nullable { $($nullable:ident $nullable_wire:literal,)* }
        optional { $($optional:ident $optional_wire:literal,)* }
        present { $($present:ident $present_wire:literal,)* }
        filled { $($filled:ident $filled_wire:literal $filled_default:expr,)* }
        implied { $($implied:ident $implied_wire:literal $implied_default:expr,)* }
        $(..$extra:ident)?
    }) => {
        impl object::Object for $name {
            fn read<'de, A: serde::de::MapAccess<'de>>(map: &mut A) -> Result<Self, A::Error> {
                $(let mut $required = None;)*
                $(let mut $nullable = object::Maybe(None);)*
                $(let mut $optional = object::Maybe(None);)*
                $(let mut $present = None;)*
                $(let mut $filled = object::Maybe(None);)*
                $(let mut $implied = object::Maybe(None);)*
                $(let mut $extra = BTreeMap::new();)?
                const REQUIRED: &[&str] = &[$($required_wire,)*];
                let read = object::read_fields(
                    map,
                    &[
                        $($required_wire,)* $($nullable_wire,)* $($optional_wire,)*
                        $($present_wire,)* $($filled_wire,)* $($implied_wire,)*
                    ],
                    REQUIRED.len(),
                    &mut [
                        $(&mut $required,)* $(&mut $nullable,)* $(&mut $optional,)*
                        $(&mut $present,)* $(&mut $filled,)* $(&mut $implied,)*
                    ],
                    readable!(@others $($extra)?),
                );
                if let Err(error) = read {
                    return Err(error);
                }
                // One way out for all of them: a way for each is most of what the compiler would keep of this function.
                let ($(Some($required),)*) = ($($required,)*) else {
                    return Err(object::missing(REQUIRED));
                };
                Ok(Self {
                    $($required,)*
                    $($nullable: $nullable.0,)*
                    $($optional: $optional.0,)*
                    $($present,)*
                    $($filled: match $filled.0 {
                        Some(value) => value,
                        None => $filled_default,
                    },)*
                    $($implied: match $implied.0 {
                        Some(value) => value,
                        None => $implied_default,
                    },)*
                    $($extra,)?
                })
            }
        }
        impl PartialEq for $name {
            #[inline]
            fn eq(&self, other: &Self) -> bool {
                $(self.$required == other.$required &&)*
                $(self.$nullable == other.$nullable &&)*
                $(self.$optional == other.$optional &&)*
                $(self.$present == other.$present &&)*
                $(self.$filled == other.$filled &&)*
                $(self.$implied == other.$implied &&)*
                $(self.$extra == other.$extra &&)?
                true
            }
        }
    };
    (@others) => { &mut object::Skip };
    (@others $extra:ident) => { &mut $extra };
}

/// `redacted!(Name { shown, shown; hidden, hidden })` is a `Debug` that never prints the hidden fields' values.
macro_rules! redacted {
    ($name:ident { $($shown:ident),*; $($hidden:ident),* }) => {
        impl std::fmt::Debug for $name {
            #[inline]
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name))
                    $(.field(stringify!($shown), &self.$shown))*
                    $(.field(stringify!($hidden), &object::Redacted))*
                    .finish()
            }
        }
    };
}

/// `serde_json::from_value` by way of text: the readers of the types are then compiled for one kind of input, not two.
pub(crate) fn from_value<T: DeserializeOwned>(value: &Value) -> serde_json::Result<T> {
    serde_json::from_str(&value.to_string())
}

/// Stands in for a secret in `Debug` output.
pub(crate) struct Redacted;

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

pub(crate) use {object, payload, readable, redacted, write_fields};
