//! The locks of what wakes others by hand: the standard ones, and loom's where `tests/loom/` tries all interleavings.

pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, Ordering},
};
