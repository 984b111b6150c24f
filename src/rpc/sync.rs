//! The lock of what wakes others by hand: the standard one, and loom's where `loom/` tries all interleavings.

pub(crate) use std::sync::{Mutex, MutexGuard};
