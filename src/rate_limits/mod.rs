//! Rate limits → pacing: how much of the account's allowance is used, how much of its time has passed, and how much work
//! that leaves room for.
//!
//! ```no_run
//! # async fn run(client: cas_sdk::CasClient) -> Result<(), cas_sdk::Error> {
//! use cas_sdk::rate_limits::{BudgetMode, RateLimits};
//!
//! let mut limits = RateLimits::read(&client).await?;
//! let mut updates = client.events(cas_sdk::Filter::all().method("account/rateLimits/updated"));
//! let workers = limits.pace().workers(BudgetMode::Paced, 8);
//! // Later: what the server tells is merged, since it leaves out what has not changed.
//! if let Some(event) = updates.next().await {
//!     limits.merge(event?.params());
//! }
//! # let _ = workers; Ok(()) }
//! ```

use std::{
    cmp::Ordering,
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{CasClient, error::Error};

/// What is known of the account's rate limits. Keeps all that the server told, also what this crate knows nothing of.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RateLimits {
    by_id: Map<String, Value>,
    single: Value,
}

impl RateLimits {
    /// `account/rateLimits/read`: asks the server.
    ///
    /// # Errors
    /// As of [`request`](CasClient::request); [`RpcErrorKind::AuthRequired`](crate::RpcErrorKind::AuthRequired) without a
    /// `ChatGPT` login.
    pub async fn read(client: &CasClient) -> Result<Self, Error> {
        let answer: Value = client.call("account/rateLimits/read", &Value::Null).await?;
        Ok(Self::from_response(&answer))
    }

    /// From a response to `account/rateLimits/read`.
    #[must_use]
    pub fn from_response(response: &Value) -> Self {
        Self {
            by_id: response["rateLimitsByLimitId"]
                .as_object()
                .cloned()
                .unwrap_or_default(),
            single: response["rateLimits"].clone(),
        }
    }

    /// Merges the params of an `account/rateLimits/updated` (JSON text). They are sparse: what is absent or `null` has
    /// not changed. What is not JSON changes nothing.
    pub fn merge(&mut self, params: &str) {
        let params: Value = serde_json::from_str(params).unwrap_or_default();
        let update = &params["rateLimits"];
        if !update.is_object() {
            return;
        }
        let single = self.single["limitId"].as_str();
        let id = update["limitId"].as_str().or(single).unwrap_or("codex");
        let id = id.to_owned();
        if single.unwrap_or("codex") == id {
            overlay(&mut self.single, update);
        }
        if self.by_id.is_empty() && self.single["limitId"].as_str().is_none_or(|s| s == id) {
            return;
        }
        if self.by_id.is_empty() {
            // The first news of another bucket must not make it the only one.
            let single = self.single["limitId"]
                .as_str()
                .unwrap_or("codex")
                .to_owned();
            self.by_id.insert(single, self.single.clone());
        }
        overlay(self.by_id.entry(id).or_insert(Value::Null), update);
    }

    /// The bucket that paces the work, with its id: `codex` of the buckets by id, else the only one, else one whose id
    /// contains `codex`, else the first; without buckets by id the single one.
    #[must_use]
    pub fn bucket(&self) -> Option<(&str, &Value)> {
        let mut ids = self.by_id.iter();
        let found = self
            .by_id
            .get_key_value("codex")
            .or_else(|| (self.by_id.len() == 1).then(|| ids.next()).flatten())
            .or_else(|| self.by_id.iter().find(|(id, _)| id.contains("codex")))
            .or_else(|| self.by_id.iter().next());
        match found {
            Some((id, bucket)) => Some((id, bucket)),
            None if self.single.is_object() => Some((
                self.single["limitId"].as_str().unwrap_or("codex"),
                &self.single,
            )),
            None => None,
        }
    }

    /// The pace now.
    #[must_use]
    pub fn pace(&self) -> Pace {
        self.pace_at(SystemTime::now())
    }

    /// The pace at some time.
    #[must_use]
    pub fn pace_at(&self, now: SystemTime) -> Pace {
        let now = now
            .duration_since(UNIX_EPOCH)
            .map_or(0.0, |since| since.as_secs_f64());
        let bucket = self.bucket();
        let windows = ["primary", "secondary"].into_iter().filter_map(|name| {
            let window = &bucket?.1[name];
            window
                .is_object()
                .then(|| WindowPace::of(name, window, now))
        });
        Pace {
            limit_id: bucket.map(|(id, _)| id.to_owned()),
            windows: windows.collect(),
        }
    }
}

/// Lays an update over what is known; `null` tells nothing.
fn overlay(known: &mut Value, update: &Value) {
    match (known, update) {
        (_, Value::Null) => {}
        (Value::Object(known), Value::Object(update)) => {
            for (key, value) in update {
                overlay(known.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (known, update) => *known = update.clone(),
    }
}

/// How the use of a window compares with its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Tier {
    /// At least 25 points less used than time has passed.
    Surplus,
    /// At least 10 points less.
    Ahead,
    /// Within 10 points.
    OnTrack,
    /// Not enough is known; treated as on track.
    Unknown,
    /// At least 10 points more used than time has passed.
    Tight,
    /// At least 25 points more, or 95 % used.
    Critical,
}

impl Tier {
    fn of(used: f64, delta: f64) -> Self {
        match delta {
            _ if used >= 95.0 => Self::Critical,
            d if d <= -25.0 => Self::Surplus,
            d if d <= -10.0 => Self::Ahead,
            d if d < 10.0 => Self::OnTrack,
            d if d < 25.0 => Self::Tight,
            _ => Self::Critical,
        }
    }

    /// The stricter, the higher.
    fn strictness(self) -> u8 {
        match self {
            Self::Surplus => 0,
            Self::Ahead => 1,
            Self::OnTrack | Self::Unknown => 2,
            Self::Tight => 3,
            Self::Critical => 4,
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Surplus => "surplus",
            Self::Ahead => "ahead",
            Self::OnTrack => "on_track",
            Self::Unknown => "unknown",
            Self::Tight => "tight",
            Self::Critical => "critical",
        })
    }
}

/// One window of a bucket, at a time. Fields that the server left out are `None`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct WindowPace {
    /// `primary` or `secondary`.
    pub window: &'static str,
    /// How much of the allowance is used, in percent.
    pub used_percent: Option<f64>,
    /// How much of the window's time has passed, in percent.
    pub elapsed_percent: Option<f64>,
    /// Used minus elapsed, in points.
    pub delta_percent: Option<f64>,
    /// When the window begins anew, in seconds since the epoch.
    pub resets_at: Option<f64>,
    /// How long the window is.
    pub window_duration_mins: Option<f64>,
    /// What that makes.
    pub tier: Tier,
}

impl WindowPace {
    fn of(name: &'static str, window: &Value, now: f64) -> Self {
        let number = |key: &str| window[key].as_f64();
        let (used, resets_at) = (number("usedPercent"), number("resetsAt"));
        let minutes = number("windowDurationMins").filter(|minutes| *minutes > 0.0);
        let elapsed = resets_at.zip(minutes).map(|(resets_at, minutes)| {
            let duration = minutes * 60.0;
            ((now - (resets_at - duration)) / duration * 100.0).clamp(0.0, 100.0)
        });
        let delta = used.zip(elapsed).map(|(used, elapsed)| used - elapsed);
        Self {
            window: name,
            used_percent: used,
            elapsed_percent: elapsed,
            delta_percent: delta,
            resets_at,
            window_duration_mins: minutes,
            tier: match (used, delta) {
                (Some(used), Some(delta)) => Tier::of(used, delta),
                (Some(used), None) if used >= 95.0 => Tier::Critical,
                _ => Tier::Unknown,
            },
        }
    }

    /// The stricter window is greater; of two that are as strict, the longer.
    fn compare(&self, other: &Self) -> Ordering {
        let minutes = |pace: &Self| pace.window_duration_mins.unwrap_or_default();
        (self.tier.strictness().cmp(&other.tier.strictness()))
            .then(minutes(self).total_cmp(&minutes(other)))
    }
}

/// How the allowance stands at a time, and what to make of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Pace {
    /// The bucket that was looked at.
    pub limit_id: Option<String>,
    /// Its windows.
    pub windows: Vec<WindowPace>,
}

impl Pace {
    /// The window that governs: the stricter one, on a tie the longer.
    #[must_use]
    pub fn governing(&self) -> Option<&WindowPace> {
        // Of two that are alike the last one would win, and the primary one is to.
        self.windows.iter().rev().max_by(|a, b| a.compare(b))
    }

    /// The tier of the governing window.
    #[must_use]
    pub fn tier(&self) -> Tier {
        self.governing().map_or(Tier::Unknown, |window| window.tier)
    }

    /// How many workers to run, of at most `max`.
    #[must_use]
    pub fn workers(&self, mode: BudgetMode, max: usize) -> usize {
        match (mode, self.tier().strictness()) {
            (BudgetMode::AllOut, _) | (_, 0 | 1) => max,
            (BudgetMode::Paced, 2) => max.min(1),
            (BudgetMode::Paced, _) => 0,
        }
    }

    /// How much to do at once.
    #[must_use]
    pub fn parallelism(&self) -> Parallelism {
        match self.tier().strictness() {
            0 | 1 => Parallelism::Free,
            2 => Parallelism::OneInParallel,
            _ => Parallelism::OneTask,
        }
    }
}

/// Whether the allowance is to last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[cfg_attr(feature = "cli", value(rename_all = "snake_case"))]
#[serde(rename_all = "snake_case")]
pub enum BudgetMode {
    /// Work at the pace that the allowance bears.
    #[default]
    Paced,
    /// Work as if there were no limits.
    AllOut,
}

/// How much to do at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Parallelism {
    /// As much as there is.
    Free,
    /// One task beside the main one.
    OneInParallel,
    /// One task, and nothing beside it.
    OneTask,
}

#[cfg(test)]
mod tests;
