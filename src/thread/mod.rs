//! Threads: how they are opened, and what is done with one.

pub(crate) mod handle;
pub(crate) mod input;
pub(crate) mod open;
pub(crate) mod send;
