//! How the generated types implement `serde`, for a reader who knows `serde`.
//!
//! # Why not the derives
//! The schema has some 700 structs, and unions besides. `#[derive(Serialize, Deserialize)]` on all of them costs more compiler
//! time and memory than the rest of the crate together (`docs/build-cost.md` has the figures). Two things are missing
//! besides: a derived enum cannot keep a variant that it does not know, and a derived internally tagged enum buffers the
//! whole object before it reads a field. So the generator emits calls of the macros in this folder, which expand to a
//! fraction of the derive's code.
//!
//! # Structs
//! `struct_serde!` stands for `#[derive(Serialize, Deserialize, PartialEq)]`. Its fields stand in groups, each of which is
//! what an attribute says in a derive:
//!
//! | group | with derives | on the wire |
//! |---|---|---|
//! | `required` | `field: T` | always there |
//! | `nullable` | `field: Option<T>`, serialized as `null` | there, or `null` |
//! | `optional` | `#[serde(default, skip_serializing_if = "Option::is_none")] field: Option<T>` | absent means `None`; so does `null` |
//! | `present` | the same for `Option<Option<T>>`, or a type that has `null` | absent means `None`; `null` is kept |
//! | `filled` | `#[serde(default = "…")] field: T` | absent and `null` mean the default |
//! | `implied` | the same with `skip_serializing_if` | the default is not written |
//! | `..extra` | `#[serde(flatten)] extra: BTreeMap<String, T>` | all other keys |
//!
//! A derive generates a visitor, an enum of field names and a state machine for each struct. Here one generic visitor reads
//! every struct: it is given the names of the fields, and returns their values as a [`FieldTuple`](fields::FieldTuple), a
//! tuple of [`Required`], [`Optional`] and [`Nullable`] values (of tuples of them, beyond eight). The compiler makes one
//! reader for each combination of field types, not for each struct. The names of the macro's last lines,
//! `read_object (Required(a), Optional(b))`, are that function and the pattern that takes the tuple apart.
//!
//! # Unions
//! | macro | with derives | an unknown variant |
//! |---|---|---|
//! | `internally_tagged!` | `#[serde(tag = "type")]` | `Unknown(Value)` |
//! | `externally_tagged!` | the default; a variant without fields is a bare string | `Unknown(Value)` |
//! | `untagged!` | `#[serde(untagged)]`, with the JSON types tried only where they fit | `Unknown(Value)` |
//! | `open_enum!` | an enum of unit variants | `Unknown(Box<str>)` |
//!
//! The variants of an internally tagged union are structs that implement [`VariantFields`](structs::VariantFields) by
//! `variant_serde!` in place of `Deserialize`. They are read from the middle of an object, behind its tag, so nothing is
//! buffered where the tag comes first, as codex writes it.
//!
//! # Methods and deltas
//! `method` implements [`Call`](super::Call), [`Notification`](super::Notification) and
//! [`ServerCall`](super::ServerCall), and the enums of all of them. `delta` is a fast path for the notifications that make
//! up a flood.
//!
//! # Conventions
//! Small functions are `#[inline]`, because the compiler then makes code for those that somebody calls, in place of all of
//! them. `match` stands where a `?` would: a `?` is one more function for each type.

pub(super) mod delta;
mod fields;
pub(super) mod macros;
pub(super) mod method;
mod plain;
mod strings;
pub(super) mod structs;
pub(super) mod unions;

#[allow(
    unused_imports,
    reason = "`readable!` expands to it where a field may be absent"
)]
pub(crate) use structs::Optional;
pub(crate) use structs::{Name, from_value, to_value};
