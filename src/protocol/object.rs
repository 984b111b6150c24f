//! How generated structs are read and written: one small trait, one macro, helpers that are compiled once.
//!
//! `#[derive(Serialize, Deserialize)]` on some 700 structs costs more compiler time and memory than the rest of the
//! crate together. `object!` expands to a third of that code, and it gives what the derive has not: a struct can be
//! read from the middle of an object, which is how a tagged union decodes its variants without buffering.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor},
    ser::SerializeMap,
};

/// A JSON object with known fields.
pub(crate) trait Object: Sized {
    /// Reads the fields that are left in `map`, in any order; unknown ones are skipped.
    fn read<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Self, A::Error>;
    /// Writes the fields into an object that is already open.
    fn write<M: SerializeMap>(&self, out: &mut Writer<'_, M>);
}

pub(crate) fn write_object<T: Object, S: Serializer>(
    object: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    write_into(object, &mut map)?;
    map.end()
}

pub(crate) fn write_into<T: Object, M: SerializeMap>(
    object: &T,
    map: &mut M,
) -> Result<(), M::Error> {
    let mut out = Writer {
        map,
        result: Ok(()),
    };
    object.write(&mut out);
    out.result
}

/// An open object that remembers the first error, so that its users need not ask after each field.
pub(crate) struct Writer<'a, M: SerializeMap> {
    map: &'a mut M,
    result: Result<(), M::Error>,
}

impl<M: SerializeMap> Writer<'_, M> {
    pub(crate) fn field<T: Serialize>(&mut self, name: &str, value: &T) {
        if self.result.is_ok() {
            self.result = self.map.serialize_entry(name, value);
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

/// A place for a field's value.
///
/// The fields are filled through `dyn`, because a table of places is a fraction of the code of a `match` with a call in
/// each arm, seven hundred times. It costs an indirect call for each field, next to parsing its value.
pub(crate) trait Fill<'de, A: MapAccess<'de>> {
    fn fill(&mut self, map: &mut A) -> Result<(), A::Error>;
}

impl<'de, A: MapAccess<'de>, T: Deserialize<'de>> Fill<'de, A> for Option<T> {
    fn fill(&mut self, map: &mut A) -> Result<(), A::Error> {
        map.next_value_seed(Slot(self))
    }
}

/// Reads what is left of an object into the slots, which are in the order of their names.
pub(crate) fn read_fields<'de, A: MapAccess<'de>>(
    map: &mut A,
    names: &'static [&'static str],
    slots: &mut [&mut dyn Fill<'de, A>],
) -> Result<(), A::Error> {
    while let Some(position) = map.next_key_seed(Position(names))? {
        match slots.get_mut(position) {
            Some(slot) => slot.fill(map)?,
            None => drop(map.next_value::<IgnoredAny>()?),
        }
    }
    Ok(())
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

/// `object!(Name { required { field "wireName", … } … })` implements [`Object`], `Serialize` and `Deserialize`.
///
/// The fields stand in groups: `required`; `nullable` (required, but may be `null`); `optional`
/// (`null` means the same as absent); `present` (only absence is `None`, so a `null` is kept); `filled` (absent means the
/// default behind the name); `implied` (the same, and the default is not written). `..extra` names the map that keeps all
/// other keys. Groups, and not a word beside each field, so that no macro is called for each field; `match` in place of
/// `?`, so that no conversion is compiled for each type.
macro_rules! object {
    ($name:ident {
        required { $($required:ident $required_wire:literal,)* }
        nullable { $($nullable:ident $nullable_wire:literal,)* }
        optional { $($optional:ident $optional_wire:literal,)* }
        present { $($present:ident $present_wire:literal,)* }
        filled { $($filled:ident $filled_wire:literal $filled_default:expr,)* }
        implied { $($implied:ident $implied_wire:literal $implied_default:expr,)* }
    }) => {
        impl $crate::protocol::object::Object for $name {
            fn read<'de, A: ::serde::de::MapAccess<'de>>(map: &mut A) -> Result<Self, A::Error> {
                $(let mut $required = None;)*
                $(let mut $nullable = None;)*
                $(let mut $optional = None;)*
                $(let mut $present = None;)*
                $(let mut $filled = None;)*
                $(let mut $implied = None;)*
                let read = $crate::protocol::object::read_fields(
                    map,
                    &[
                        $($required_wire,)* $($nullable_wire,)* $($optional_wire,)*
                        $($present_wire,)* $($filled_wire,)* $($implied_wire,)*
                    ],
                    &mut [
                        $(&mut $required,)* $(&mut $nullable,)* $(&mut $optional,)*
                        $(&mut $present,)* $(&mut $filled,)* $(&mut $implied,)*
                    ],
                );
                if let Err(error) = read {
                    return Err(error);
                }
                Ok(Self {
                    $($required: match $required {
                        Some(value) => value,
                        None => return Err(<A::Error as ::serde::de::Error>::missing_field($required_wire)),
                    },)*
                    $($nullable: $nullable.flatten(),)*
                    $($optional: $optional.flatten(),)*
                    $($present,)*
                    $($filled: match $filled {
                        Some(value) => value,
                        None => $filled_default,
                    },)*
                    $($implied: match $implied {
                        Some(value) => value,
                        None => $implied_default,
                    },)*
                })
            }

            #[allow(unused_variables, reason = "an object may have no fields")]
            fn write<M: ::serde::ser::SerializeMap>(&self, out: &mut $crate::protocol::object::Writer<'_, M>) {
                $(out.field($required_wire, &self.$required);)*
                $(out.field($nullable_wire, &self.$nullable);)*
                $(out.optional($optional_wire, self.$optional.as_ref());)*
                $(out.optional($present_wire, self.$present.as_ref());)*
                $(out.field($filled_wire, &self.$filled);)*
                $(out.unless_default($implied_wire, &self.$implied, &$implied_default);)*
            }
        }
        object!(@serde $name);
    };

    ($name:ident {
        required { $($required:ident $required_wire:literal,)* }
        nullable { $($nullable:ident $nullable_wire:literal,)* }
        optional { $($optional:ident $optional_wire:literal,)* }
        present { $($present:ident $present_wire:literal,)* }
        filled { $($filled:ident $filled_wire:literal $filled_default:expr,)* }
        implied { $($implied:ident $implied_wire:literal $implied_default:expr,)* }
        ..$extra:ident
    }) => {
        impl $crate::protocol::object::Object for $name {
            fn read<'de, A: ::serde::de::MapAccess<'de>>(map: &mut A) -> Result<Self, A::Error> {
                use $crate::protocol::object::{Fill as _, Name};
                $(let mut $required = None;)*
                $(let mut $nullable = None;)*
                $(let mut $optional = None;)*
                $(let mut $present = None;)*
                $(let mut $filled = None;)*
                $(let mut $implied = None;)*
                let mut $extra = ::std::collections::BTreeMap::new();
                while let Some(Name(key)) = map.next_key()? {
                    match &*key {
                        $($required_wire => $required.fill(map)?,)*
                        $($nullable_wire => $nullable.fill(map)?,)*
                        $($optional_wire => $optional.fill(map)?,)*
                        $($present_wire => $present.fill(map)?,)*
                        $($filled_wire => $filled.fill(map)?,)*
                        $($implied_wire => $implied.fill(map)?,)*
                        _ => drop($extra.insert(key.into_owned(), map.next_value()?)),
                    }
                }
                Ok(Self {
                    $($required: match $required {
                        Some(value) => value,
                        None => return Err(<A::Error as ::serde::de::Error>::missing_field($required_wire)),
                    },)*
                    $($nullable: $nullable.flatten(),)*
                    $($optional: $optional.flatten(),)*
                    $($present,)*
                    $($filled: match $filled {
                        Some(value) => value,
                        None => $filled_default,
                    },)*
                    $($implied: match $implied {
                        Some(value) => value,
                        None => $implied_default,
                    },)*
                    $extra,
                })
            }

            #[allow(unused_variables, reason = "an object may have no fields")]
            fn write<M: ::serde::ser::SerializeMap>(&self, out: &mut $crate::protocol::object::Writer<'_, M>) {
                $(out.field($required_wire, &self.$required);)*
                $(out.field($nullable_wire, &self.$nullable);)*
                $(out.optional($optional_wire, self.$optional.as_ref());)*
                $(out.optional($present_wire, self.$present.as_ref());)*
                $(out.field($filled_wire, &self.$filled);)*
                $(out.unless_default($implied_wire, &self.$implied, &$implied_default);)*
                for (key, value) in &self.$extra {
                    out.field(key, value);
                }
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
                deserializer.deserialize_map($crate::protocol::object::ObjectVisitor(::std::marker::PhantomData))
            }
        }
    };
}

/// `setters!(Name { set { field: Type, … } … })` gives each field a method that takes and returns the struct.
///
/// The groups: `set` as it is, `set_into` converted, `some` and `some_into` wrapped in `Some`, `patch` and `patch_into` with
/// one more method that sends `null`.
macro_rules! setters {
    ($name:ident {
        set { $($set:ident: $set_type:ty,)* }
        set_into { $($set_into:ident: $set_into_type:ty,)* }
        some { $($some:ident: $some_type:ty,)* }
        some_into { $($some_into:ident: $some_into_type:ty,)* }
        patch { $($patch:ident $patch_null:ident: $patch_type:ty,)* }
        patch_into { $($patch_into:ident $patch_into_null:ident: $patch_into_type:ty,)* }
    }) => {
        impl $name {
            $(#[doc = concat!("Sets [`", stringify!($set), "`](Self#structfield.", stringify!($set), ").")]
            #[inline]
            #[must_use]
            pub fn $set(mut self, value: $set_type) -> Self {
                self.$set = value;
                self
            }
            )*
            $(#[doc = concat!("Sets [`", stringify!($set_into), "`](Self#structfield.", stringify!($set_into), ").")]
            #[inline]
            #[must_use]
            pub fn $set_into(mut self, value: impl Into<$set_into_type>) -> Self {
                self.$set_into = value.into();
                self
            }
            )*
            $(#[doc = concat!("Sets [`", stringify!($some), "`](Self#structfield.", stringify!($some), ").")]
            #[inline]
            #[must_use]
            pub fn $some(mut self, value: $some_type) -> Self {
                self.$some = Some(value);
                self
            }
            )*
            $(#[doc = concat!("Sets [`", stringify!($some_into), "`](Self#structfield.", stringify!($some_into), ").")]
            #[inline]
            #[must_use]
            pub fn $some_into(mut self, value: impl Into<$some_into_type>) -> Self {
                self.$some_into = Some(value.into());
                self
            }
            )*
            $(#[doc = concat!("Sets [`", stringify!($patch), "`](Self#structfield.", stringify!($patch), ") to a value.")]
            #[inline]
            #[must_use]
            pub fn $patch(mut self, value: $patch_type) -> Self {
                self.$patch = Some(Some(value));
                self
            }
            #[doc = concat!("Sends `null` for [`", stringify!($patch), "`](Self#structfield.", stringify!($patch), "), which is not leaving it out.")]
            #[inline]
            #[must_use]
            pub fn $patch_null(mut self) -> Self {
                self.$patch = Some(None);
                self
            }
            )*
            $(#[doc = concat!("Sets [`", stringify!($patch_into), "`](Self#structfield.", stringify!($patch_into), ") to a value.")]
            #[inline]
            #[must_use]
            pub fn $patch_into(mut self, value: impl Into<$patch_into_type>) -> Self {
                self.$patch_into = Some(Some(value.into()));
                self
            }
            #[doc = concat!("Sends `null` for [`", stringify!($patch_into), "`](Self#structfield.", stringify!($patch_into), "), which is not leaving it out.")]
            #[inline]
            #[must_use]
            pub fn $patch_into_null(mut self) -> Self {
                self.$patch_into = Some(None);
                self
            }
            )*
        }
    };
}

/// `redacted!(Name { shown, shown; hidden, hidden })` is a `Debug` that never prints the hidden fields' values.
macro_rules! redacted {
    ($name:ident { $($shown:ident),*; $($hidden:ident),* }) => {
        impl ::std::fmt::Debug for $name {
            #[inline]
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
