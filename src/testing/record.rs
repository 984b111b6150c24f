//! The record of a `MockModel`: its newest requests, up to a limit in bytes.

use std::collections::VecDeque;

use super::request::ModelRequest;

/// The default of [`Record::limit`].
const LIMIT: usize = 64 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Record {
    pub(super) requests: VecDeque<ModelRequest>,
    /// The limit in bytes of bodies.
    pub(super) limit: usize,
    bytes: usize,
    /// The number of requests dropped to make room.
    gone: usize,
    /// The number of requests taken, dropped ones included.
    taken: usize,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            requests: VecDeque::new(),
            limit: LIMIT,
            bytes: 0,
            gone: 0,
            taken: 0,
        }
    }
}

impl Record {
    pub(super) fn push(&mut self, request: ModelRequest) {
        self.bytes += request.size();
        self.requests.push_back(request);
        self.shrink();
    }

    /// Drops the oldest requests until the rest is within the limit.
    pub(super) fn shrink(&mut self) {
        while self.bytes > self.limit
            && self.requests.len() > 1
            && let Some(oldest) = self.requests.pop_front()
        {
            self.bytes -= oldest.size();
            self.gone += 1;
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self {
            limit: self.limit,
            ..Self::default()
        };
    }

    /// The number of requests, dropped ones included.
    pub(super) fn count(&self) -> usize {
        self.gone + self.requests.len()
    }

    /// Takes the oldest recorded request that was not taken.
    pub(super) fn take_next(&mut self) -> Option<ModelRequest> {
        let next = self.taken.max(self.gone);
        let request = self.requests.get(next - self.gone)?.clone();
        self.taken = next + 1;
        Some(request)
    }
}
