//! Counts of tokens, as they add up over a turn and its sub-agents.

use std::{iter::Sum, ops::Add};

use serde::Deserialize;

/// How many tokens were used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Wire")]
#[non_exhaustive]
pub struct TokenUsage {
    /// Input and output together.
    pub total: u64,
    /// The input, cached or not.
    pub input: u64,
    /// The part of the input that came from the cache.
    pub cached_input: u64,
    /// The part of the input that was written to the cache.
    pub cache_write_input: u64,
    /// The output, reasoning included.
    pub output: u64,
    /// The part of the output that was reasoning.
    pub reasoning_output: u64,
}

/// `TokenUsageBreakdown` as far as it is needed, read leniently: a count may be missing.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Wire {
    #[serde(rename = "totalTokens")]
    total: i64,
    #[serde(rename = "inputTokens")]
    input: i64,
    #[serde(rename = "cachedInputTokens")]
    cached_input: i64,
    #[serde(rename = "cacheWriteInputTokens")]
    cache_write_input: i64,
    #[serde(rename = "outputTokens")]
    output: i64,
    #[serde(rename = "reasoningOutputTokens")]
    reasoning_output: i64,
}

impl From<Wire> for TokenUsage {
    fn from(wire: Wire) -> Self {
        // The wire's type is signed; a negative count is none.
        let count = |count: i64| u64::try_from(count).unwrap_or(0);
        Self {
            total: count(wire.total),
            input: count(wire.input),
            cached_input: count(wire.cached_input),
            cache_write_input: count(wire.cache_write_input),
            output: count(wire.output),
            reasoning_output: count(wire.reasoning_output),
        }
    }
}

impl TokenUsage {
    fn zip(self, other: Self, with: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            total: with(self.total, other.total),
            input: with(self.input, other.input),
            cached_input: with(self.cached_input, other.cached_input),
            cache_write_input: with(self.cache_write_input, other.cache_write_input),
            output: with(self.output, other.output),
            reasoning_output: with(self.reasoning_output, other.reasoning_output),
        }
    }

    /// The difference to an earlier count.
    pub(crate) fn since(self, before: Self) -> Self {
        self.zip(before, u64::saturating_sub)
    }
}

impl Add for TokenUsage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.zip(other, u64::saturating_add)
    }
}

impl Sum for TokenUsage {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}
