//! What blocks leave behind and later blocks use again: buffers, and decoded values.
//!
//! Large buffers are dear to allocate, and so are small ones that one thread allocates and another one frees. A value that
//! nobody holds any more is overwritten with the next one, so a flood of deltas allocates no strings.

use std::any::Any;

use super::lock::Lock;

/// What was decoded of a line.
pub(crate) type Value = Box<dyn Any + Send + Sync>;

/// How many sets of buffers are kept. A queue that is full holds more blocks, but one that is read does not.
const KEPT: usize = 16;

/// Used buffers of full blocks. `E` is what a block keeps of a line.
pub(super) struct BufferPool<E>(Lock<Vec<Buffers<E>>>);

/// What a full block is made of.
pub(super) struct Buffers<E> {
    pub(super) text: String,
    pub(super) entries: Vec<E>,
    pub(super) values: SpareValues,
}

impl<E> BufferPool<E> {
    /// Used buffers, if there are any.
    pub(super) fn take(&self) -> Option<Buffers<E>> {
        self.0.lock().pop()
    }

    pub(super) fn put(&self, buffers: Buffers<E>) {
        let mut kept = self.0.lock();
        if kept.len() < KEPT {
            kept.push(buffers);
        }
    }
}

impl<E> Default for BufferPool<E> {
    fn default() -> Self {
        Self(Lock::default())
    }
}

impl<E> Default for Buffers<E> {
    fn default() -> Self {
        Self {
            text: String::new(),
            entries: Vec::new(),
            values: SpareValues::default(),
        }
    }
}

/// Decoded values that nobody holds any more.
#[derive(Default)]
pub(super) struct SpareValues(Lock<Vec<Value>>);

impl SpareValues {
    pub(super) fn pop(&self) -> Option<Value> {
        self.0.lock().pop()
    }

    pub(super) fn push(&mut self, value: Value) {
        self.0.get_mut().push(value);
    }

    /// Adds values, and keeps no more than `max`.
    pub(super) fn extend(&mut self, values: impl Iterator<Item = Value>, max: usize) {
        let kept = self.0.get_mut();
        kept.extend(values);
        kept.truncate(max);
    }
}
