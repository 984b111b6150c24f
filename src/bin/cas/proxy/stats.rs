//! The counters that `cas/stats` reports.

use serde::Serialize;
use serde_json::value::RawValue;

/// The counters since the start.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Counts {
    pub(super) client_lines: u64,
    pub(super) server_lines: u64,
    pub(super) client_parse_errors: u64,
    pub(super) server_parse_errors: u64,
    pub(super) to_server_messages: u64,
    pub(super) from_server_messages: u64,
    pub(super) stdout_writes: u64,
    pub(super) stdout_backpressure_count: u64,
    pub(super) auto_approvals: u64,
    pub(super) forwarded_server_requests: u64,
    pub(super) io_pauses: u64,
    pub(super) io_resumes: u64,
    pub(super) out_queue_high_water: usize,
}

/// The snapshot in a `cas/stats`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Snapshot<'a> {
    pub(super) started_at_ms: u64,
    pub(super) uptime_ms: u64,
    pub(super) ready: bool,
    pub(super) cwd: &'a str,
    pub(super) app_server_user_agent: Option<&'a str>,
    pub(super) state_file: &'a str,
    pub(super) state: &'a RawValue,
    pub(super) pending_client_requests: usize,
    pub(super) pending_server_requests: usize,
    pub(super) out_queue_depth: usize,
    pub(super) io_paused: bool,
    pub(super) io_pause_reason: Option<&'a String>,
    pub(super) app_server_pid: Option<u32>,
    pub(super) stats: &'a Counts,
}
