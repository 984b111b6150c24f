//! The fields of an object as a row: a tuple of values that know how they are read.
//!
//! What reads a row is compiled once for each row of types, wherever it occurs, and not for each struct.

use serde::{Deserialize, de::MapAccess};

/// A field that an object must have.
pub(crate) struct Need<T>(pub(crate) T);

/// A field of which the default says that it is absent. Of an `Option`, a `null` says the same.
pub(crate) struct Maybe<T>(pub(crate) T);

/// The same, where a `null` is for the type in the `Option` to judge.
pub(crate) struct Kept<T>(pub(crate) Option<T>);

/// Fields that can be read in any order: one, or a row of rows.
pub(crate) trait Row<'de>: Sized {
    /// What has been read so far.
    type Slots;
    const LEN: usize;

    /// Nothing yet.
    fn start() -> Self::Slots;

    /// Reads the field at a position.
    fn fill<A: MapAccess<'de>>(
        slots: &mut Self::Slots,
        position: usize,
        map: &mut A,
    ) -> Result<(), A::Error>;

    /// All of them, or the position of the first that is missing.
    fn done(slots: Self::Slots) -> Result<Self, usize>;
}

impl<'de, T: Deserialize<'de>> Row<'de> for Need<T> {
    type Slots = Option<T>;
    const LEN: usize = 1;

    fn start() -> Option<T> {
        None
    }

    fn fill<A: MapAccess<'de>>(
        slot: &mut Option<T>,
        _: usize,
        map: &mut A,
    ) -> Result<(), A::Error> {
        match map.next_value() {
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

impl<'de, T: Deserialize<'de> + Default> Row<'de> for Maybe<T> {
    type Slots = T;
    const LEN: usize = 1;

    fn start() -> T {
        T::default()
    }

    fn fill<A: MapAccess<'de>>(slot: &mut T, _: usize, map: &mut A) -> Result<(), A::Error> {
        match map.next_value() {
            Ok(value) => *slot = value,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn done(slot: T) -> Result<Self, usize> {
        Ok(Self(slot))
    }
}

impl<'de, T: Deserialize<'de>> Row<'de> for Kept<T> {
    type Slots = Option<T>;
    const LEN: usize = 1;

    fn start() -> Option<T> {
        None
    }

    fn fill<A: MapAccess<'de>>(
        slot: &mut Option<T>,
        position: usize,
        map: &mut A,
    ) -> Result<(), A::Error> {
        Need::fill(slot, position, map)
    }

    fn done(slot: Option<T>) -> Result<Self, usize> {
        Ok(Self(slot))
    }
}

/// An object without fields.
impl<'de> Row<'de> for () {
    type Slots = ();
    const LEN: usize = 0;

    fn start() {}

    fn fill<A: MapAccess<'de>>((): &mut (), _: usize, _: &mut A) -> Result<(), A::Error> {
        Ok(())
    }

    fn done((): ()) -> Result<Self, usize> {
        Ok(())
    }
}

macro_rules! row {
    ($($part:ident $index:tt $slot:ident),+) => {
        impl<'de, $($part: Row<'de>),+> Row<'de> for ($($part,)+) {
            type Slots = ($($part::Slots,)+);
            const LEN: usize = 0 $(+ $part::LEN)+;

            fn start() -> Self::Slots {
                ($($part::start(),)+)
            }

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

row!(A 0 a);
row!(A 0 a, B 1 b);
row!(A 0 a, B 1 b, C 2 c);
row!(A 0 a, B 1 b, C 2 c, D 3 d);
row!(A 0 a, B 1 b, C 2 c, D 3 d, E 4 e);
row!(A 0 a, B 1 b, C 2 c, D 3 d, E 4 e, F 5 f);
row!(A 0 a, B 1 b, C 2 c, D 3 d, E 4 e, F 5 f, G 6 g);
row!(A 0 a, B 1 b, C 2 c, D 3 d, E 4 e, F 5 f, G 6 g, H 7 h);
