//! What `cas watch --json` emits besides the events of a turn. `docs/json.md` shows each.

use cas_sdk::protocol::RequestId;
use serde::Serialize;

/// The version of the JSON lines; a change that breaks readers raises it.
pub(super) const VERSION: u32 = 1;

/// The events of a turn are those of `cas ask`.
#[derive(Debug, Serialize)]
#[serde(
    tag = "event",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub(super) enum WatchEvent<'a> {
    Joined {
        v: u32,
        thread_id: &'a str,
        running: bool,
    },
    TurnStarted {
        turn_id: &'a str,
        started_by: &'a str,
    },
    TurnCompleted {
        turn_id: &'a str,
        status: &'a str,
        error: Option<&'a str>,
    },
    RequestPending {
        id: &'a RequestId,
        method: &'a str,
        item_id: Option<&'a str>,
        what: &'a str,
    },
    RequestSettled {
        id: &'a RequestId,
        method: &'a str,
    },
    Reconnected {
        items: usize,
        turns: usize,
        incomplete: Option<&'a str>,
    },
}
