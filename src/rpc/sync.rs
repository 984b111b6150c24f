//! The locks of the code that wakes tasks by hand: the standard library's, or loom's in `tests/loom/`.

pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, Ordering},
};
