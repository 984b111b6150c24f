//! Rate limits and pacing: the share of an account's allowance that is used, the share of its time
//! that has passed, and the amount of work that leaves room for.
//!
//! ```no_run
//! # use cas_sdk::protocol::AccountRateLimitsUpdatedNotification;
//! # async fn run(client: cas_sdk::CasClient, update: AccountRateLimitsUpdatedNotification)
//! # -> Result<(), cas_sdk::Error> {
//! use cas_sdk::rate_limits::{BudgetMode, RateLimits};
//!
//! let mut limits = RateLimits::read(&client).await?;
//! let workers = limits.pace().workers(BudgetMode::Paced, 8);
//! // Later, for each `account/rateLimits/updated`:
//! limits.merge(&update);
//! # let _ = workers; Ok(()) }
//! ```

use std::{
    cmp::Ordering,
    collections::BTreeMap,
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::Serialize;
use serde_json::Value;

use crate::{
    CasClient,
    error::Error,
    protocol::{
        self, AccountRateLimitsUpdatedNotification, GetAccountRateLimitsParams,
        GetAccountRateLimitsResponse, RateLimitSnapshot, RateLimitWindow,
    },
};

/// The id of the limit that governs codex's own use of models.
const CODEX: &str = "codex";

/// The rate limits of an account, as the server last reported them.
#[derive(Debug, Clone, Default)]
pub struct RateLimits {
    by_id: BTreeMap<String, RateLimitSnapshot>,
    /// The limit of a server that reports only one.
    single: Option<RateLimitSnapshot>,
}

impl RateLimits {
    /// Reads the limits from the server: `account/rateLimits/read`.
    ///
    /// # Errors
    /// Same errors as [`request`](CasClient::request).
    /// [`RpcErrorKind::AuthRequired`](crate::RpcErrorKind::AuthRequired) without a `ChatGPT` login.
    pub async fn read(client: &CasClient) -> Result<Self, Error> {
        let response = client
            .request(GetAccountRateLimitsParams::default())
            .await?;
        Ok(Self::from_response(&response))
    }

    /// Takes the limits from a response to `account/rateLimits/read`.
    #[must_use]
    pub fn from_response(response: &GetAccountRateLimitsResponse) -> Self {
        Self {
            by_id: response.rate_limits_by_limit_id.clone().unwrap_or_default(),
            single: Some(response.rate_limits.clone()),
        }
    }

    /// Merges the params of an `account/rateLimits/updated` notification.
    ///
    /// The notification is sparse: a field that is absent or `null` keeps its value.
    pub fn merge(&mut self, update: &AccountRateLimitsUpdatedNotification) {
        let update = &update.rate_limits;
        let single_id = self.single_id().map(str::to_owned);
        let id = update.limit_id.clone().or_else(|| single_id.clone());
        let id = id.unwrap_or_else(|| CODEX.to_owned());
        if single_id.as_deref().unwrap_or(CODEX) == id {
            self.single = Some(overlaid(self.single.as_ref(), update));
        }
        if self.by_id.is_empty() {
            let single_id = self.single_id().unwrap_or(&id).to_owned();
            let Some(single) = self.single.clone().filter(|_| single_id != id) else {
                return;
            };
            // The first news of another limit must not make it the only one.
            self.by_id.insert(single_id, single);
        }
        let merged = overlaid(self.by_id.get(&id), update);
        self.by_id.insert(id, merged);
    }

    fn single_id(&self) -> Option<&str> {
        self.single.as_ref()?.limit_id.as_deref()
    }

    /// The limit that paces the work, with its id.
    ///
    /// Among limits by id, that is `codex`, else the only one, else one whose id contains `codex`,
    /// else the first. Without limits by id, it is the single one.
    #[must_use]
    pub fn governing_limit(&self) -> Option<(&str, &RateLimitSnapshot)> {
        let mut ids = self.by_id.iter();
        let found = self
            .by_id
            .get_key_value(CODEX)
            .or_else(|| (self.by_id.len() == 1).then(|| ids.next()).flatten())
            .or_else(|| self.by_id.iter().find(|(id, _)| id.contains(CODEX)))
            .or_else(|| self.by_id.iter().next());
        match found {
            Some((id, limit)) => Some((id, limit)),
            None => Some((self.single_id().unwrap_or(CODEX), self.single.as_ref()?)),
        }
    }

    /// The pace now.
    #[must_use]
    pub fn pace(&self) -> Pace {
        self.pace_at(SystemTime::now())
    }

    /// The pace at the given time.
    #[must_use]
    pub fn pace_at(&self, now: SystemTime) -> Pace {
        let now = now
            .duration_since(UNIX_EPOCH)
            .map_or(0.0, |since| since.as_secs_f64());
        let Some((id, limit)) = self.governing_limit() else {
            return Pace {
                limit_id: None,
                windows: Vec::new(),
            };
        };
        let windows = [("primary", &limit.primary), ("secondary", &limit.secondary)];
        let windows = windows
            .into_iter()
            .filter_map(|(name, window)| Some(WindowPace::of(name, window.as_ref()?, now)));
        Pace {
            limit_id: Some(id.to_owned()),
            windows: windows.collect(),
        }
    }
}

/// What is known after an update.
///
/// Works on the JSON of both, so that it needs no list of the fields of every schema.
fn overlaid(known: Option<&RateLimitSnapshot>, update: &RateLimitSnapshot) -> RateLimitSnapshot {
    let overlaid = || {
        let mut known = protocol::to_value(&known?).ok()?;
        overlay(&mut known, &protocol::to_value(update).ok()?);
        protocol::from_value(&known).ok()
    };
    overlaid().unwrap_or_else(|| update.clone())
}

/// Lays an update over the known value. `null` reports nothing.
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

/// How the used share of a window compares with the elapsed share of its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Tier {
    /// Used at least 25 points less than elapsed.
    Surplus,
    /// Used at least 10 points less than elapsed.
    Ahead,
    /// Used and elapsed differ by less than 10 points.
    OnTrack,
    /// The server reported too little to tell. Treated as on track.
    Unknown,
    /// Used at least 10 points more than elapsed.
    Tight,
    /// Used at least 25 points more than elapsed, or 95 % used.
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

    /// Higher is stricter.
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

/// The pace of one window of a limit. Fields that the server left out are `None`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct WindowPace {
    /// `primary` or `secondary`.
    pub window: &'static str,
    /// The used share of the allowance, in percent.
    pub used_percent: Option<f64>,
    /// The elapsed share of the window's time, in percent.
    pub elapsed_percent: Option<f64>,
    /// Used minus elapsed, in percentage points.
    pub delta_percent: Option<f64>,
    /// The time at which the window resets, in seconds since the Unix epoch.
    pub resets_at: Option<f64>,
    /// The length of the window, in minutes.
    pub window_duration_mins: Option<f64>,
    /// The tier that follows from these.
    pub tier: Tier,
}

impl WindowPace {
    fn of(name: &'static str, window: &RateLimitWindow, now: f64) -> Self {
        #[expect(
            clippy::cast_precision_loss,
            reason = "times of this century and lengths of windows are exact as floats"
        )]
        let float = |number: i64| number as f64;
        let used = Some(f64::from(window.used_percent));
        let resets_at = window.resets_at.map(float);
        let minutes = window.window_duration_mins.map(float);
        let minutes = minutes.filter(|minutes| *minutes > 0.0);
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

    /// Orders windows by strictness, then by length.
    fn compare(&self, other: &Self) -> Ordering {
        let minutes = |pace: &Self| pace.window_duration_mins.unwrap_or_default();
        (self.tier.strictness().cmp(&other.tier.strictness()))
            .then(minutes(self).total_cmp(&minutes(other)))
    }
}

/// The state of the allowance at one time, and the work that it leaves room for.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Pace {
    /// The id of the limit that paces the work.
    pub limit_id: Option<String>,
    /// The windows of that limit.
    pub windows: Vec<WindowPace>,
}

impl Pace {
    /// The window that governs: the stricter one, or on a tie the longer one.
    #[must_use]
    pub fn governing(&self) -> Option<&WindowPace> {
        // `max_by` returns the last of equal windows; reversed, that is the primary one.
        self.windows.iter().rev().max_by(|a, b| a.compare(b))
    }

    /// The tier of the governing window.
    #[must_use]
    pub fn tier(&self) -> Tier {
        self.governing().map_or(Tier::Unknown, |window| window.tier)
    }

    /// The number of workers to run, `max` at most.
    #[must_use]
    pub fn workers(&self, mode: BudgetMode, max: usize) -> usize {
        match (mode, self.tier().strictness()) {
            (BudgetMode::AllOut, _) | (_, 0 | 1) => max,
            (BudgetMode::Paced, 2) => max.min(1),
            (BudgetMode::Paced, _) => 0,
        }
    }

    /// The amount of work to run at once.
    #[must_use]
    pub fn parallelism(&self) -> Parallelism {
        match self.tier().strictness() {
            0 | 1 => Parallelism::Free,
            2 => Parallelism::OneInParallel,
            _ => Parallelism::OneTask,
        }
    }
}

/// Whether work slows down to make the allowance last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[cfg_attr(feature = "cli", value(rename_all = "snake_case"))]
#[serde(rename_all = "snake_case")]
pub enum BudgetMode {
    /// Work at the pace that the allowance permits.
    #[default]
    Paced,
    /// Ignore the limits.
    AllOut,
}

/// The amount of work to run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Parallelism {
    /// All work there is.
    Free,
    /// One task beside the main one.
    OneInParallel,
    /// One task at a time.
    OneTask,
}

#[cfg(test)]
mod tests;
