//! The fields of a struct as a tuple of values that know how they are read.
//!
//! The code that reads a tuple is compiled once for each tuple of types, wherever it occurs, and not for each struct.

use std::marker::PhantomData;

use serde::{Deserialize, de::MapAccess};
use serde_json::Value;

/// A field that must be there.
pub(crate) struct Required<T>(pub(crate) T);

/// A field that has its [`ConstDefault`] if it is absent. For an `Option`, `null` means the same.
pub(crate) struct Optional<T>(pub(crate) T);

/// A field that is `None` if it is absent. A `null` is read as a `T`.
pub(crate) struct Nullable<T>(pub(crate) Option<T>);

/// A `Default` that is a constant.
pub(crate) trait ConstDefault {
    const DEFAULT: Self;
}

impl<T> ConstDefault for Option<T> {
    const DEFAULT: Self = None;
}

impl<T> ConstDefault for Vec<T> {
    const DEFAULT: Self = Self::new();
}

macro_rules! const_default {
    ($($name:ty = $blank:expr,)*) => {
        $(impl ConstDefault for $name {
            const DEFAULT: Self = $blank;
        })*
    };
}
const_default! {
    String = String::new(),
    Value = Value::Null,
    bool = false,
    i64 = 0,
    u64 = 0,
    usize = 0,
}

/// Fields that can be read in any order: one, or a tuple of tuples.
pub(crate) trait FieldTuple<'de>: Sized {
    /// The values read so far.
    type Slots;
    const LEN: usize;
    /// No values yet. A constant, since a function would be compiled for each tuple.
    const START: Self::Slots;

    /// Reads the field at a position.
    fn fill<A: MapAccess<'de>>(
        slots: &mut Self::Slots,
        position: usize,
        map: &mut A,
    ) -> Result<(), A::Error>;

    /// All values, or the position of the first that is missing.
    fn done(slots: Self::Slots) -> Result<Self, usize>;
}

impl<'de, T: Deserialize<'de>> FieldTuple<'de> for Required<T> {
    type Slots = Option<T>;
    const LEN: usize = 1;
    const START: Option<T> = None;

    fn fill<A: MapAccess<'de>>(
        slot: &mut Option<T>,
        _: usize,
        map: &mut A,
    ) -> Result<(), A::Error> {
        match map.next_value_seed(PhantomData::<T>) {
            Ok(value) => *slot = Some(value),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn done(slot: Option<T>) -> Result<Self, usize> {
        match slot {
            Some(value) => Ok(Self(value)),
            None => Err(0),
        }
    }
}

impl<'de, T: Deserialize<'de> + ConstDefault> FieldTuple<'de> for Optional<T> {
    type Slots = T;
    const LEN: usize = 1;
    const START: T = T::DEFAULT;

    fn fill<A: MapAccess<'de>>(slot: &mut T, _: usize, map: &mut A) -> Result<(), A::Error> {
        match map.next_value_seed(PhantomData::<T>) {
            Ok(value) => *slot = value,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn done(slot: T) -> Result<Self, usize> {
        Ok(Self(slot))
    }
}

impl<'de, T: Deserialize<'de>> FieldTuple<'de> for Nullable<T> {
    type Slots = Option<T>;
    const LEN: usize = 1;
    const START: Option<T> = None;

    fn fill<A: MapAccess<'de>>(
        slot: &mut Option<T>,
        position: usize,
        map: &mut A,
    ) -> Result<(), A::Error> {
        Required::fill(slot, position, map)
    }

    fn done(slot: Option<T>) -> Result<Self, usize> {
        Ok(Self(slot))
    }
}

/// A struct without fields.
impl<'de> FieldTuple<'de> for () {
    type Slots = ();
    const LEN: usize = 0;
    const START: () = ();

    fn fill<A: MapAccess<'de>>((): &mut (), _: usize, _: &mut A) -> Result<(), A::Error> {
        Ok(())
    }

    fn done((): ()) -> Result<Self, usize> {
        Ok(())
    }
}

macro_rules! field_tuple {
    ($($part:ident $index:tt $slot:ident),+) => {
        impl<'de, $($part: FieldTuple<'de>),+> FieldTuple<'de> for ($($part,)+) {
            type Slots = ($($part::Slots,)+);
            const LEN: usize = 0 $(+ $part::LEN)+;
            const START: Self::Slots = ($($part::START,)+);

            #[allow(unused_assignments, reason = "of the last")]
            fn fill<M: MapAccess<'de>>(slots: &mut Self::Slots, mut position: usize, map: &mut M) -> Result<(), M::Error> {
                $(if position < $part::LEN {
                    return $part::fill(&mut slots.$index, position, map);
                }
                position -= $part::LEN;)+
                Ok(())
            }

            #[allow(unused_assignments, reason = "of the last")]
            fn done(slots: Self::Slots) -> Result<Self, usize> {
                let mut before = 0;
                $(let $slot = match $part::done(slots.$index) {
                    Ok(part) => part,
                    Err(position) => return Err(before + position),
                };
                before += $part::LEN;)+
                Ok(($($slot,)+))
            }
        }
    };
}

field_tuple!(A 0 a);
field_tuple!(A 0 a, B 1 b);
field_tuple!(A 0 a, B 1 b, C 2 c);
field_tuple!(A 0 a, B 1 b, C 2 c, D 3 d);
field_tuple!(A 0 a, B 1 b, C 2 c, D 3 d, E 4 e);
field_tuple!(A 0 a, B 1 b, C 2 c, D 3 d, E 4 e, F 5 f);
field_tuple!(A 0 a, B 1 b, C 2 c, D 3 d, E 4 e, F 5 f, G 6 g);
field_tuple!(A 0 a, B 1 b, C 2 c, D 3 d, E 4 e, F 5 f, G 6 g, H 7 h);
