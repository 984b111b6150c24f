//! The ids that messages get, by which they are found again.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// An id that no other message has: a random number of this process, and the number of messages
/// before.
pub(crate) fn message_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    static SEED: OnceLock<u64> = OnceLock::new();
    let seed = SEED.get_or_init(|| RandomState::new().hash_one(std::process::id()));
    format!("cas-{seed:016x}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}
