//! What a proxy knows and decides. No I/O here but the state file: lines go in, frames and events
//! come out.

use std::{
    collections::{HashMap, VecDeque},
    mem,
    path::PathBuf,
    time::{Duration, Instant},
};

use bytes::{Buf as _, BytesMut};
use serde_json::value::RawValue;

use super::{
    events::{Events, Keys, OwnedKeys},
    options::{ApprovalPolicy, Options},
    requests::{Lane, Origin, Request, Requests, Unanswered},
    scan::Scan,
    state::{self, State},
    stats::{Counts, Snapshot},
    turns::Turns,
};

/// How much memory the empty output buffer to the server may keep.
const KEEP: usize = 1024 * 1024;

/// The id of the proxy's own request; the first that is allocated.
const INITIALIZE: &str = "1";

/// How far an instance has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// The server has not answered `initialize` yet; commands wait.
    Handshake,
    Ready,
    /// The orchestrator has asked for the end.
    Exit,
    /// `initialize` was refused.
    Refused,
}

/// A server request that the orchestrator has not answered.
#[derive(Debug)]
pub(super) struct Forwarded {
    /// As it stands on the wire.
    pub(super) id: Box<str>,
    pub(super) method: Box<str>,
    pub(super) keys: OwnedKeys,
    /// Which deadline is its own; the server may reuse an id.
    pub(super) deadline: u64,
}

/// Why a message goes to the server, in the words that `cas/toServer` uses.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reason<'a> {
    Handshake,
    ClientRequest {
        client_request_id: Option<&'a str>,
    },
    ClientRaw,
    /// The rest are answers: they name the method that they answer.
    Answer {
        word: &'static str,
        method: &'a str,
        keys: Keys<'a>,
    },
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) events: Events,
    /// What is to be written to the server.
    pub(super) to_server: BytesMut,
    pub(super) phase: Phase,
    /// Reading is paused because too much waits to be written.
    pub(super) paused: bool,
    /// Since when reading is paused, and for how long it was paused before.
    paused_since: Option<Instant>,
    paused_for: Duration,
    /// Whether the server can still be written to.
    pub(super) server_listens: bool,
    pub(super) codex: String,
    /// The address of a server that was joined. Its requests are answered by the orchestrator
    /// alone.
    pub(super) joined: Option<String>,
    pub(super) cwd: PathBuf,
    pub(super) pid: Option<u32>,
    pub(super) counts: Counts,
    pub(super) requests: Requests,
    pub(super) turns: Turns,
    pub(super) forwarded: HashMap<Box<str>, Forwarded>,
    pub(super) state: State,
    pub(super) scan: Scan,
    pub(super) approvals: ApprovalPolicy,
    pub(super) answer_within: Option<Duration>,
    max_out_queue: usize,
    next_id: u64,
    pub(super) user_agent: Option<Box<str>>,
    /// In the order they end, since all last equally long.
    pub(super) deadlines: VecDeque<(Instant, u64, Box<str>)>,
    pub(super) next_deadline: u64,
    started: Instant,
    started_at_ms: u64,
}

impl Session {
    pub(super) fn new(options: &Options) -> Self {
        let here = std::env::current_dir().unwrap_or_default();
        let cwd = options
            .cwd
            .as_deref()
            .map_or_else(|| here.clone(), |cwd| state::absolute(&here, cwd));
        let state = options.state_file.as_deref().map_or_else(
            || State::of(&cwd),
            |file| State::load(state::absolute(&cwd, file)),
        );
        let codex = match (&options.codex, std::env::var_os("CAS_CODEX")) {
            (Some(codex), _) => codex.display().to_string(),
            (None, Some(codex)) if !codex.is_empty() => codex.to_string_lossy().into_owned(),
            _ => "codex".to_owned(),
        };
        let events = Events::new(options.max_out_queue);
        Self {
            started_at_ms: events.now_ms(),
            started: Instant::now(),
            joined: options.connect.as_ref().map(ToString::to_string),
            events,
            to_server: BytesMut::new(),
            phase: Phase::Handshake,
            paused: false,
            paused_since: None,
            paused_for: Duration::ZERO,
            server_listens: false,
            codex,
            cwd,
            pid: None,
            counts: Counts::default(),
            requests: Requests::new(options.request_timeout),
            turns: Turns::new(&options.opt_out_notification_methods),
            forwarded: HashMap::new(),
            state,
            scan: Scan::default(),
            approvals: options.approvals,
            answer_within: options
                .server_request_timeout
                .filter(|_| options.connect.is_none()),
            max_out_queue: options.max_out_queue,
            next_id: 1,
            user_agent: None,
            deadlines: VecDeque::new(),
            next_deadline: 0,
        }
    }

    /// Reports what is about to be started.
    pub(super) fn announce(&mut self) {
        self.emit_state("loaded");
        let (file, cwd) = (
            self.state.file.display().to_string(),
            self.cwd.display().to_string(),
        );
        let codex = self.joined.is_none().then_some(&self.codex);
        self.events.emit("starting", |m| {
            m.value("codexPath", codex)
                .value("stateFile", file)
                .value("cwd", cwd);
            if let Some(address) = &self.joined {
                m.value("address", address);
            }
        });
    }

    /// Sends `initialize`.
    pub(super) fn handshake(&mut self, options: &Options) {
        let mut capabilities = serde_json::json!({"experimentalApi": true});
        if !options.opt_out_notification_methods.is_empty() {
            let mut methods: Vec<&str> = Vec::new();
            for method in &options.opt_out_notification_methods {
                if !methods.contains(&method.as_str()) {
                    methods.push(method);
                }
            }
            capabilities["optOutNotificationMethods"] = methods.into();
        }
        let params = serde_json::json!({
            "clientInfo": {
                "name": options.client_name,
                "title": options.client_title,
                "version": options.client_version,
            },
            "capabilities": capabilities,
        });
        let id = self.allocate_id();
        debug_assert_eq!(id, INITIALIZE);
        self.requests.hold(Request {
            id: id.clone().into(),
            method: r#""initialize""#.into(),
            client_request_id: Some(r#""cas/initialize""#.into()),
            origin: Origin::Internal,
            lane: Lane::Urgent,
            keys: OwnedKeys::default(),
        });
        let frame = format!(r#"{{"method":"initialize","id":{id},"params":{params}}}"#);
        self.send(&frame, Reason::Handshake);
    }

    pub(super) fn allocate_id(&mut self) -> String {
        loop {
            let id = self.next_id.to_string();
            self.next_id += 1;
            if !self.requests.contains(&id) {
                return id;
            }
        }
    }

    /// Sends the answer to a server request.
    pub(super) fn answer(&mut self, frame: &str, word: &'static str, method: &str, keys: Keys<'_>) {
        self.send(frame, Reason::Answer { word, method, keys });
    }

    /// Sends a message, and emits `cas/toServer`.
    pub(super) fn send(&mut self, frame: &str, reason: Reason<'_>) {
        let Some(message) = self.scan.message(frame.as_bytes()) else {
            debug_assert!(false, "made of JSON: {frame}");
            return;
        };
        if !self.server_listens {
            self.error("the app-server takes no messages any more", |m| {
                m.raw("msg", Some(message.text));
            });
            return;
        }
        self.to_server.extend_from_slice(frame.as_bytes());
        self.to_server.extend_from_slice(b"\n");
        self.counts.to_server_messages += 1;
        let (word, method, keys) = match reason {
            Reason::Handshake => ("handshake", None, Keys::default()),
            Reason::ClientRequest { .. } => ("clientRequest", None, Keys::default()),
            Reason::ClientRaw => ("clientRaw", None, Keys::default()),
            Reason::Answer { word, method, keys } => (word, Some(method), keys),
        };
        self.events.emit("toServer", |m| {
            m.word("kind", message.kind().word())
                .raw("method", method.or(message.method()))
                .raw("id", message.id())
                .keys(&Keys::of(&message).or(keys))
                .word("reason", word);
            if let Reason::ClientRequest { client_request_id } = reason {
                m.raw("clientRequestId", client_request_id);
            }
            m.raw("msg", Some(message.text));
        });
    }

    pub(super) fn error(
        &mut self,
        message: &str,
        about: impl FnOnce(&mut super::events::Members<'_>),
    ) {
        self.events.emit("error", |m| {
            m.value("message", message);
            about(m);
        });
    }

    pub(super) fn emit_state(&mut self, kind: &str) {
        let Self { events, state, .. } = self;
        events.emit("state", |m| {
            m.word("kind", kind)
                .value("stateFile", state.file.display().to_string());
            m.raw("state", Some(&state.json));
        });
    }

    /// Updates the state file. Call this before the events that report a change are written, so
    /// that a reader of such an event finds the file at least as new.
    pub(super) fn save_state(&mut self, now: Instant) {
        if let Some(error) = self.state.save(now) {
            let file = self.state.file.display().to_string();
            self.error("the state file can't be written", |m| {
                m.value("stateFile", file).value("error", error.to_string());
            });
        }
    }

    /// The same at the end, also if it was to be tried later.
    pub(super) fn save_last(&mut self) {
        let now = Instant::now();
        // The first failure was reported.
        let _ = self.state.save_last(now);
    }

    /// How long the instance has been reading since its start, without the time in which it was
    /// paused. Output of the server from a pause may still be unread, so it must not count as late.
    pub(super) fn clock(&self, now: Instant) -> Duration {
        let until = self.paused_since.unwrap_or(now);
        let running = until.saturating_duration_since(self.started);
        running.saturating_sub(self.paused_for)
    }

    /// When the clock will show a time. `None` while it stands still.
    pub(super) fn clock_shows(&self, time: Duration) -> Option<Instant> {
        if self.paused {
            return None;
        }
        self.started.checked_add(self.paused_for)?.checked_add(time)
    }

    /// Sends the requests that have a place now.
    pub(super) fn send_waiting(&mut self) {
        let now = self.clock(Instant::now());
        while let Some(next) = self.requests.next(now) {
            let reason = match next.origin {
                Origin::Raw => Reason::ClientRaw,
                _ => Reason::ClientRequest {
                    client_request_id: next.client_request_id.as_deref(),
                },
            };
            self.send(&next.frame, reason);
        }
    }

    /// Emits an error for each request that will not be answered any more.
    pub(super) fn fail_requests(&mut self, why: &str) {
        for (request, how) in self.requests.drain() {
            self.unanswered(why, &request, how);
        }
    }

    /// The error in the place of an answer.
    pub(super) fn unanswered(&mut self, why: &str, request: &Request, how: Unanswered) {
        if request.origin == Origin::Internal {
            return;
        }
        self.error(why, |m| {
            m.raw("id", Some(&request.id))
                .raw("method", Some(&request.method))
                .raw("clientRequestId", request.client_request_id.as_deref())
                .keys(&request.keys.borrow())
                .value("sent", how == Unanswered::NoAnswer);
        });
    }

    /// Records that this many bytes were written to the server.
    pub(super) fn wrote_to_server(&mut self, n: usize) {
        self.to_server.advance(n);
        // The memory of one large command must not be kept for the rest of the session.
        if self.to_server.is_empty() && self.to_server.capacity() > KEEP {
            mem::take(&mut self.to_server);
        }
    }

    pub(super) fn emit_stats(&mut self, kind: &str) {
        let pause = self.pause_reason();
        self.counts.out_queue_high_water = self.events.queue.high_water;
        let state = RawValue::from_string(self.state.json.clone()).expect("it is JSON of ours");
        let snapshot = serde_json::to_string(&Snapshot {
            started_at_ms: self.started_at_ms,
            uptime_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            ready: self.phase == Phase::Ready,
            cwd: &self.cwd.display().to_string(),
            app_server_user_agent: self.user_agent.as_deref(),
            state_file: &self.state.file.display().to_string(),
            state: &state,
            pending_client_requests: self.requests.len(),
            pending_server_requests: self.forwarded.len(),
            out_queue_depth: self.events.queue.depth(),
            io_paused: self.paused,
            io_pause_reason: self.paused.then_some(&pause),
            app_server_pid: self.pid,
            stats: &self.counts,
        });
        self.events.emit("stats", |m| {
            m.word("kind", kind)
                .raw("snapshot", snapshot.as_deref().ok());
        });
    }

    fn pause_reason(&self) -> String {
        format!("outQueue>={}", self.max_out_queue)
    }

    /// Pauses or resumes reading by what waits to be written. Returns whether reading is paused.
    pub(super) fn balance(&mut self) -> bool {
        if !self.paused && self.events.queue.is_full() {
            self.paused = true;
            self.paused_since = Some(Instant::now());
            self.counts.io_pauses += 1;
            let reason = self.pause_reason();
            self.events.emit("ioPaused", |m| {
                m.value("reason", reason);
            });
        } else if self.paused && self.events.queue.has_drained() {
            self.paused = false;
            self.paused_for += self
                .paused_since
                .take()
                .map_or(Duration::ZERO, |at| at.elapsed());
            self.counts.io_resumes += 1;
            self.events.emit("ioResumed", |m| {
                m.word("reason", "outQueue drained");
            });
        }
        self.paused
    }
}

/// An error answer.
pub(super) fn refusal(id: &str, code: i32, message: &str, data: Option<&str>) -> String {
    let message = serde_json::Value::from(message);
    let data = data
        .map(|data| format!(r#","data":{data}"#))
        .unwrap_or_default();
    format!(r#"{{"id":{id},"error":{{"code":{code},"message":{message}{data}}}}}"#)
}
