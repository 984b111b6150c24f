//! Which limits of the account are used up, and when they reset, as last reported by the server.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::Deserialize;

use crate::protocol::pointer::at;

/// How many limits are kept; an account has a few.
const LIMITS: usize = 64;

/// The windows of each limit. The most recently reported limit is looked at first, because a
/// failure follows its update.
#[derive(Default)]
pub(super) struct Limits {
    windows: HashMap<String, [Option<Window>; 2]>,
    last: String,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Window {
    used_percent: f64,
    /// Seconds since 1970.
    resets_at: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Update {
    limit_id: Option<String>,
    primary: Option<Window>,
    secondary: Option<Window>,
}

impl Limits {
    /// `account/rateLimits/updated`.
    pub(super) fn updated(&mut self, params: &str) {
        if let Ok(update) = at::<Update>(params, &["rateLimits"]) {
            self.update(update);
        }
    }

    /// Keeps the previous value of a window that the update leaves out.
    fn update(&mut self, update: Update) {
        let id = update.limit_id.unwrap_or_else(|| "codex".to_owned());
        if self.windows.len() >= LIMITS && !self.windows.contains_key(&id) {
            self.windows.clear();
        }
        let windows = self.windows.entry(id.clone()).or_default();
        for (window, told) in windows.iter_mut().zip([update.primary, update.secondary]) {
            *window = told.or(*window);
        }
        self.last = id;
    }

    /// When all windows that are used up have reset: those of the most recently reported limit,
    /// else those of any limit.
    pub(super) fn resets_at(&self, now: SystemTime) -> Option<SystemTime> {
        let latest = |windows: &[Option<Window>; 2]| {
            let used_up = windows.iter().flatten().filter(|w| w.used_percent >= 100.0);
            let resets = used_up.filter_map(|w| w.resets_at);
            let resets = resets.filter_map(|at| UNIX_EPOCH.checked_add(Duration::from_secs(at)));
            resets.filter(|at| *at > now).max()
        };
        let of_last = self.windows.get(&self.last).and_then(latest);
        of_last.or_else(|| self.windows.values().filter_map(latest).max())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_secs(secs: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(secs)
    }

    fn updated(updates: &[&str]) -> Limits {
        let mut limits = Limits::default();
        for update in updates {
            limits.update(serde_json::from_str(update).unwrap());
        }
        limits
    }

    #[test]
    fn the_window_that_resets_last_of_those_used_up_counts() {
        let limits = updated(&[
            r#"{"limitId":"a","primary":{"usedPercent":100,"resetsAt":50},"secondary":{"usedPercent":100,"resetsAt":90}}"#,
            r#"{"limitId":"b","primary":{"usedPercent":100,"resetsAt":70},"secondary":{"usedPercent":99,"resetsAt":95}}"#,
        ]);
        assert_eq!(
            limits.resets_at(at_secs(10)),
            Some(at_secs(70)),
            "the one told last"
        );
        assert_eq!(
            limits.resets_at(at_secs(80)),
            Some(at_secs(90)),
            "the past is past"
        );
        assert_eq!(limits.resets_at(at_secs(90)), None);
    }

    #[test]
    fn a_window_that_an_update_leaves_out_is_kept() {
        let limits = updated(&[
            r#"{"limitId":"a","primary":{"usedPercent":100,"resetsAt":50}}"#,
            r#"{"limitId":"a","primary":null,"secondary":{"usedPercent":3,"resetsAt":95}}"#,
        ]);
        assert_eq!(limits.resets_at(at_secs(10)), Some(at_secs(50)));
        assert_eq!(updated(&[r#"{"limitId":"a"}"#]).resets_at(at_secs(0)), None);
    }
}
