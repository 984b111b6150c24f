//! The app-server's side of a session: its messages are emitted, and its requests answered or
//! passed on.

use std::time::Instant;

use serde_json::value::RawValue;

use super::{
    command::id_key,
    events::Keys,
    policy::{self, Verdict},
    requests::{Origin, Unanswered},
    scan::{Kind, Message},
    session::{Forwarded, Phase, Reason, Session, refusal},
};

/// The error code for a request that the server did not take because it has too many.
const OVERLOADED: &str = "-32001";
/// An empty id, which counts as none.
const NO_ID: &str = "\"\"";
/// The methods whose answers name a turn that runs.
const STARTS: [&str; 2] = [r#""turn/start""#, r#""review/start""#];

impl Session {
    /// Takes a line from the server.
    pub(super) fn server_line(&mut self, line: &[u8]) {
        if line.trim_ascii().is_empty() {
            return;
        }
        self.counts.server_lines += 1;
        let Some(message) = self.scan.message(line) else {
            self.counts.server_parse_errors += 1;
            self.events.emit("fromServer", |m| {
                m.word("kind", "nonJson")
                    .raw("method", None)
                    .raw("id", None);
                m.keys(&Keys::default())
                    .value("line", String::from_utf8_lossy(line));
            });
            return;
        };
        self.counts.from_server_messages += 1;
        let kind = message.kind();
        let asked = match (kind, message.id()) {
            (Kind::Response, Some(id)) => {
                // A request that was refused as one too many was not read.
                let read = message.error().is_none_or(|e| !e.contains(OVERLOADED));
                let now = self.clock(Instant::now());
                self.requests.answered(id, read, now)
            }
            _ => None,
        };
        let late = asked.as_ref().is_some_and(|(_, late)| *late);
        let asked = asked.map(|(request, _)| request);
        let is_internal = asked.as_ref().is_some_and(|a| a.origin == Origin::Internal);
        let asked = asked.filter(|request| request.origin != Origin::Raw);
        let hints = asked.as_ref().map(|a| a.keys.borrow()).unwrap_or_default();
        let keys = Keys::of(&message).or(hints);
        self.events.emit("fromServer", |m| {
            m.word("kind", kind.word())
                .raw("method", message.method())
                .raw("id", message.id());
            if kind == Kind::Response {
                let asked = asked.as_ref();
                m.raw("requestMethod", asked.map(|a| &*a.method))
                    .raw(
                        "clientRequestId",
                        asked.and_then(|a| a.client_request_id.as_deref()),
                    )
                    .raw("internal", Some(if is_internal { "true" } else { "false" }));
                if late {
                    m.raw("late", Some("true"));
                }
            }
            m.keys(&keys).raw("msg", Some(message.text));
        });
        if let Some(thread) = keys.thread.filter(|thread| *thread != NO_ID)
            && self.state.see(thread)
        {
            self.emit_state("updated");
        }
        match kind {
            Kind::Request => self.server_request(&message),
            Kind::Notification if message.method() == Some(r#""serverRequest/resolved""#) => {
                self.withdrawn(&message);
            }
            Kind::Notification => match (message.method(), keys.turn) {
                (Some(r#""turn/started""#), Some(turn)) => self.turns.started(turn),
                (Some(r#""turn/completed""#), Some(turn)) => self.turns.ended(turn),
                _ => {}
            },
            Kind::Response if is_internal => self.handshake_answer(&message),
            Kind::Response => {
                let starts = asked.as_ref().is_some_and(|a| STARTS.contains(&&*a.method));
                if let Some(turn) = keys.turn.filter(|_| starts && message.error().is_none()) {
                    self.turns.started(turn);
                }
                self.send_waiting();
            }
            Kind::Unknown => {}
        }
    }

    fn handshake_answer(&mut self, message: &Message<'_>) {
        if let Some(error) = message.error() {
            self.events.emit("error", |m| {
                m.value("message", "the app-server refused to initialize")
                    .raw("error", Some(error));
            });
            self.phase = Phase::Refused;
            return;
        }
        let result: serde_json::Value =
            serde_json::from_str(message.result().unwrap_or("null")).unwrap_or_default();
        self.user_agent = result["userAgent"].as_str().map(Into::into);
        self.send(r#"{"method":"initialized"}"#, Reason::Handshake);
        if self.phase == Phase::Handshake {
            self.phase = Phase::Ready;
        }
        let (file, cwd) = (
            self.state.file.display().to_string(),
            self.cwd.display().to_string(),
        );
        let Self {
            codex,
            joined,
            pid,
            user_agent,
            ..
        } = self;
        let codex = joined.is_none().then_some(codex);
        self.events.emit("ready", |m| {
            m.value("codexPath", codex)
                .value("cwd", cwd)
                .value("stateFile", file);
            m.value("appServerPid", pid)
                .value("appServerUserAgent", user_agent);
        });
    }

    fn server_request(&mut self, message: &Message<'_>) {
        let id = message.id().unwrap_or("null");
        let method = message.method().unwrap_or("null");
        let keys = Keys::of(message);
        // An answer is a vote, and the first one wins: others may be meant to answer.
        if self.joined.is_some() {
            return self.forward(message, id, method, keys);
        }
        match policy::judge(self.approvals, method, message.params()) {
            Verdict::Approve(decision) => {
                self.counts.auto_approvals += 1;
                let frame = format!(r#"{{"id":{id},"result":{{"decision":{decision}}}}}"#);
                self.answer(&frame, "autoApproval", method, keys);
            }
            Verdict::Deprecated(name) => {
                self.error(
                    "a deprecated server request was refused; only v2 is supported",
                    |m| {
                        m.raw("id", Some(id)).raw("method", Some(method));
                    },
                );
                let text = format!("Unsupported deprecated server request: {name}");
                let frame = refusal(id, -32602, &text, Some(r#"{"supportedMode":"v2-only"}"#));
                self.answer(&frame, "legacyUnsupported", method, keys);
            }
            Verdict::Forward => self.forward(message, id, method, keys),
        }
    }

    fn forward(&mut self, message: &Message<'_>, id: &str, method: &str, keys: Keys<'_>) {
        self.counts.forwarded_server_requests += 1;
        let key: Box<str> = id_key(id).into();
        self.next_deadline += 1;
        if let Some(within) = self.answer_within {
            // What was answered long ago needs no deadline; the newest say when there are too many
            // of those.
            if self.deadlines.len() > 2 * self.forwarded.len() + 64 {
                let forwarded = &self.forwarded;
                self.deadlines
                    .retain(|(_, n, key)| forwarded.get(key).is_some_and(|f| f.deadline == *n));
            }
            self.deadlines
                .push_back((Instant::now() + within, self.next_deadline, key.clone()));
        }
        self.forwarded.insert(
            key,
            Forwarded {
                id: id.into(),
                method: method.into(),
                keys: keys.into(),
                deadline: self.next_deadline,
            },
        );
        let timeout = self.timeout_ms();
        self.events.emit("serverRequest", |m| {
            m.raw("method", Some(method))
                .raw("id", Some(id))
                .value("timeoutMs", timeout);
            m.keys(&keys).raw("msg", Some(message.text));
        });
    }

    /// The server no longer wants an answer: the turn is over, or another client was faster.
    fn withdrawn(&mut self, message: &Message<'_>) {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Resolved<'a> {
            #[serde(borrow)]
            request_id: &'a RawValue,
        }
        if let Ok(resolved) =
            serde_json::from_str::<Resolved<'_>>(message.params().unwrap_or_default())
        {
            self.forwarded.remove(&*id_key(resolved.request_id.get()));
        }
    }

    fn timeout_ms(&self) -> u64 {
        let within = self.answer_within.unwrap_or_default();
        u64::try_from(within.as_millis()).unwrap_or(u64::MAX)
    }

    /// When [`expire`](Self::expire) is due.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        let forwarded = self.deadlines.front().map(|(at, ..)| *at);
        let asked = self.requests.next_expiry();
        let asked = asked.and_then(|time| self.clock_shows(time));
        forwarded.into_iter().chain(asked).min()
    }

    /// Fails the requests whose time is over, those of the orchestrator and those that were
    /// forwarded to it.
    pub(super) fn expire(&mut self, now: Instant) {
        if !self.paused {
            let over = self.requests.expire(self.clock(now));
            for (request, how) in &over {
                let why = match how {
                    Unanswered::NoAnswer => "the app-server did not answer a request in time",
                    Unanswered::NotSent => {
                        "a request was not sent: the app-server answers none of those before it"
                    }
                };
                self.unanswered(why, request, *how);
            }
            if !over.is_empty() {
                self.send_waiting();
            }
        }
        while let Some((at, ..)) = self.deadlines.front()
            && *at <= now
        {
            let Some((_, n, key)) = self.deadlines.pop_front() else {
                return;
            };
            if self.forwarded.get(&key).is_none_or(|f| f.deadline != n) {
                continue;
            }
            let Some(Forwarded {
                id, method, keys, ..
            }) = self.forwarded.remove(&key)
            else {
                continue;
            };
            let (timeout, keys) = (self.timeout_ms(), keys.borrow());
            self.events.emit("serverRequestTimeout", |m| {
                m.raw("id", Some(&id))
                    .raw("method", Some(&method))
                    .value("timeoutMs", timeout)
                    .keys(&keys);
            });
            self.error(
                "the orchestrator did not answer a server request in time",
                |m| {
                    m.raw("id", Some(&id))
                        .raw("method", Some(&method))
                        .value("timeoutMs", timeout);
                },
            );
            let name: String = serde_json::from_str(&method).unwrap_or_default();
            let text = format!("Timed out waiting for orchestrator response to {name}");
            self.answer(
                &refusal(&id, -32000, &text, None),
                "serverRequestTimeout",
                &method,
                keys,
            );
        }
    }
}
