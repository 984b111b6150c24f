//! The decoded value of a line: made once, by whoever asks first.

use std::{
    any::Any,
    hint,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

/// What was decoded of a line.
pub(crate) type Value = Box<dyn Any + Send + Sync>;

/// How often a reader looks for a value that another one is making before its thread is parked: some 20 µs, which is what
/// parking and waking a thread costs. Large values take five.
const SPINS: usize = 500;

#[derive(Default)]
pub(super) struct Memo {
    /// Somebody is making the value, or has made it.
    claimed: AtomicBool,
    value: OnceLock<Value>,
}

impl Memo {
    /// The value, which `make` makes if nobody has.
    ///
    /// Readers of the same events tend to meet at each of them, and parking a thread takes longer than decoding. So one that
    /// finds another reader at work does `help` meanwhile, which makes a value that both ask for next, until that has
    /// nothing left to do; then it spins, and only then it waits.
    pub(super) fn get_or_help(
        &self,
        make: impl FnOnce() -> Value,
        mut help: impl FnMut() -> bool,
    ) -> &Value {
        if !self.is_made() && !self.claim() {
            while !self.is_made() && help() {}
            for _ in 0..SPINS {
                if self.is_made() {
                    break;
                }
                hint::spin_loop();
            }
        }
        self.value.get_or_init(make)
    }

    /// Makes the value; `false` if somebody else does or did.
    pub(super) fn make(&self, make: impl FnOnce() -> Value) -> bool {
        let is_ours = !self.is_made() && self.claim();
        if is_ours {
            self.value.get_or_init(make);
        }
        is_ours
    }

    pub(super) fn take(&mut self) -> Option<Value> {
        self.value.take()
    }

    fn is_made(&self) -> bool {
        self.value.get().is_some()
    }

    fn claim(&self) -> bool {
        !self.claimed.swap(true, Ordering::Relaxed)
    }
}
