//! What was decided while a turn ran: approvals and questions, for the remarks, the JSON lines and
//! the exit status.

use std::sync::{Mutex, MutexGuard, PoisonError};

use cas_sdk::policy::{Audit, DecidedBy};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Notify;

use crate::commands::request_summary::grants;

/// A decision, or an answer to a question. `--json` emits them as they are.
#[derive(Debug, Clone, Serialize)]
#[serde(
    tag = "event",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub(super) enum Note {
    Approval {
        method: String,
        item_id: Option<String>,
        /// What the agent wanted to do, according to the request; `None` if only the item says it.
        what: Option<String>,
        accepted: bool,
        decision: String,
        by: String,
        /// The settings of codex declined it without asking, and this is what would allow it.
        #[serde(skip)]
        settings: Option<String>,
    },
    Question {
        id: String,
        question: String,
        answered: bool,
    },
}

/// The notes that nobody has read yet. They are made on other threads than they are read on.
#[derive(Debug, Default)]
pub(super) struct Notes {
    list: Mutex<Vec<Note>>,
    more: Notify,
}

impl Notes {
    fn lock(&self) -> MutexGuard<'_, Vec<Note>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, note: Note) {
        self.lock().push(note);
        self.more.notify_one();
    }

    /// A decision about an approval or an elicitation.
    pub(super) fn decided(&self, audit: &Audit) {
        let params: Value = serde_json::from_str(&audit.params).unwrap_or_default();
        let answer: Value = serde_json::from_str(&audit.answer).unwrap_or_default();
        let decision = decision(&answer);
        self.add(Note::Approval {
            method: audit.method.clone(),
            item_id: audit.item_id.clone(),
            what: what(&audit.method, params, answer),
            accepted: !REFUSALS.contains(&decision.as_str()),
            decision,
            by: audit.by.to_string(),
            settings: match &audit.by {
                DecidedBy::Settings(text) => Some(text.clone()),
                _ => None,
            },
        });
    }

    pub(super) fn take(&self) -> Vec<Note> {
        std::mem::take(&mut *self.lock())
    }

    /// Waits for a note. Cancel safe.
    pub(super) async fn more(&self) {
        self.more.notified().await;
    }
}

/// The words that let the agent do nothing.
const REFUSALS: [&str; 6] = ["decline", "cancel", "denied", "abort", "nothing", "error"];

/// What was answered, in a word.
fn decision(answer: &Value) -> String {
    if let Some(word) = answer["decision"].as_str().or(answer["action"].as_str()) {
        return word.to_owned();
    }
    if let Some((word, _)) = answer["decision"]
        .as_object()
        .and_then(|one| one.iter().next())
    {
        return word.clone();
    }
    match answer["permissions"].as_object() {
        Some(permissions) if permissions.values().any(|one| !one.is_null()) => "grant".to_owned(),
        Some(_) => "nothing".to_owned(),
        None => "error".to_owned(),
    }
}

/// What a request wants to do, and what it grants besides; of a request for permissions, what was
/// accepted. `None` if only the item says it.
fn what(method: &str, params: Value, answer: Value) -> Option<String> {
    let text = |key: &str| params[key].as_str().map(str::to_owned);
    let act = text("command")
        .or_else(|| text("skillName"))
        .or_else(|| text("message"));
    let reason = text("reason").map(|reason| format!("because: {reason}"));
    let is_granted = answer["permissions"]
        .as_object()
        .is_some_and(|all| !all.is_empty());
    if method.contains("permissions") {
        let mut parts = grants(if is_granted { answer } else { params });
        parts.extend(reason);
        return Some(format!("permissions: {}", parts.join("; ")));
    }
    let parts: Vec<_> = act.into_iter().chain(grants(params)).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}
