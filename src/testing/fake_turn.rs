//! The messages of a server about threads and turns, in the form of the real one.

use serde_json::{Value, json};

use super::FakeServer;

impl FakeServer {
    /// Answers `thread/start`, `thread/resume` and `thread/fork` with this thread, idle and without
    /// turns.
    pub fn opens(&self, thread: &str) {
        for method in ["thread/start", "thread/resume", "thread/fork"] {
            let opened = Self::thread_opened(thread);
            self.answer(method, move |_| Ok(opened.clone()));
        }
    }

    /// Answers every `turn/start` with this turn. The test sends its events.
    pub fn starts(&self, turn: &str) {
        let started = json!({"turn": {"id": turn, "items": [], "status": "inProgress"}});
        self.answer("turn/start", move |_| Ok(started.clone()));
    }

    /// The result of `thread/start` for an idle thread.
    #[must_use]
    pub fn thread_opened(thread: &str) -> Value {
        json!({
            "thread": Self::thread(thread, "idle"),
            "model": "fake-model",
            "modelProvider": "fake",
            "cwd": "/fake",
            "approvalPolicy": "never",
            "approvalsReviewer": "user",
            "sandbox": {"type": "readOnly", "networkAccess": false},
        })
    }

    /// A thread in the form of the server. The status is `idle`, `active`, `systemError` or
    /// `notLoaded`.
    #[must_use]
    pub fn thread(thread: &str, status: &str) -> Value {
        json!({
            "id": thread,
            "sessionId": thread,
            "preview": "",
            "ephemeral": false,
            "modelProvider": "fake",
            "createdAt": 1,
            "updatedAt": 1,
            "status": status_of(status),
            "cwd": "/fake",
            "cliVersion": "0.0.0",
            "source": "vscode",
            "turns": [],
        })
    }

    /// Sends `thread/status/changed` to `idle`, `active`, `systemError` or `notLoaded`.
    pub fn status(&self, thread: &str, status: &str) {
        let params = json!({"threadId": thread, "status": status_of(status)});
        self.notify("thread/status/changed", params);
    }

    /// Sends `turn/started`.
    pub fn turn_started(&self, thread: &str, turn: &str) {
        let params = json!({"threadId": thread, "turn": {"id": turn, "rootTurnId": turn, "items": [], "status": "inProgress"}});
        self.notify("turn/started", params);
    }

    /// Sends `item/agentMessage/delta`: a piece of a message.
    pub fn delta(&self, thread: &str, turn: &str, item: &str, text: &str) {
        let params = json!({"threadId": thread, "turnId": turn, "itemId": item, "delta": text});
        self.notify("item/agentMessage/delta", params);
    }

    /// Sends `item/started` for an item, given as JSON with `type` and `id`.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "it is written in place with json!"
    )]
    pub fn item_started(&self, thread: &str, turn: &str, item: Value) {
        let params = json!({"threadId": thread, "turnId": turn, "item": item, "startedAtMs": 1});
        self.notify("item/started", params);
    }

    /// Sends `item/completed` for an item, given as JSON with `type` and `id`.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "it is written in place with json!"
    )]
    pub fn item_completed(&self, thread: &str, turn: &str, item: Value) {
        let params = json!({"threadId": thread, "turnId": turn, "item": item, "completedAtMs": 1});
        self.notify("item/completed", params);
    }

    /// Sends a whole message of the agent: started, one delta, completed.
    pub fn message(&self, thread: &str, turn: &str, item: &str, text: &str) {
        self.item_started(thread, turn, agent_message(item, ""));
        self.delta(thread, turn, item, text);
        self.item_completed(thread, turn, agent_message(item, text));
    }

    /// Sends `turn/completed` with the status `completed`, `interrupted` or `failed`.
    pub fn turn_completed(&self, thread: &str, turn: &str, status: &str) {
        let params = json!({"threadId": thread, "turn": {"id": turn, "items": [], "status": status, "durationMs": 1}});
        self.notify("turn/completed", params);
    }

    /// Sends `thread/tokenUsage/updated` with the input and output tokens of the last response and
    /// of the thread.
    pub fn usage(&self, thread: &str, turn: &str, last: (u64, u64), total: (u64, u64)) {
        let tokens = |(input, output): (u64, u64)| {
            json!({
                "totalTokens": input + output, "inputTokens": input, "outputTokens": output,
                "cachedInputTokens": 0, "reasoningOutputTokens": 0,
            })
        };
        let usage =
            json!({"last": tokens(last), "total": tokens(total), "modelContextWindow": 1000});
        let params = json!({"threadId": thread, "turnId": turn, "tokenUsage": usage});
        self.notify("thread/tokenUsage/updated", params);
    }
}

fn status_of(status: &str) -> Value {
    match status {
        "active" => json!({"type": "active", "activeFlags": []}),
        other => json!({"type": other}),
    }
}

fn agent_message(item: &str, text: &str) -> Value {
    json!({"type": "agentMessage", "id": item, "text": text, "phase": null})
}
