//! Requests of the server: each runs in a task of its own and is answered exactly once.
//!
//! The table of open requests is the truth: whoever takes an entry out settles it. A handler's answer, its panic, the
//! server's word that somebody else has answered, the end of the turn and the end of the connection all go through it.

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
};

use futures_util::FutureExt as _;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::task::AbortHandle;

use crate::{
    client::WeakClient,
    error::CloseReason,
    rpc::{
        Connection, Incoming,
        router::{Class, Dialect},
    },
    tool::{ToolContext, ToolOutput, Tools},
    tracker::Tracker,
};

/// How many server requests are worked on at once; more get "overloaded".
const AT_ONCE: usize = 256;

pub(crate) struct Dispatch {
    tools: Tools,
    tracker: Arc<Tracker>,
    open: Mutex<HashMap<Box<str>, Open>>,
    connection: OnceLock<Weak<Connection>>,
    client: OnceLock<WeakClient>,
    myself: Weak<Self>,
}

/// A request that has not been answered.
struct Open {
    message: Incoming,
    /// The item of a tool call: its completion withdraws the call.
    call_id: Option<String>,
    task: Option<AbortHandle>,
}

/// An answer: the member of the response and its JSON text.
struct Answer {
    key: &'static str,
    body: String,
}

impl Answer {
    fn result(body: impl Into<String>) -> Self {
        Self {
            key: "result",
            body: body.into(),
        }
    }

    fn error(code: i32, message: &str) -> Self {
        Self {
            key: "error",
            body: serde_json::json!({"code": code, "message": message}).to_string(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolCall<'a> {
    #[serde(default)]
    thread_id: String,
    #[serde(default)]
    turn_id: String,
    call_id: String,
    tool: String,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
}

impl Dispatch {
    pub(crate) fn new(tools: Tools) -> Arc<Self> {
        Arc::new_cyclic(|myself| Self {
            tools,
            tracker: Tracker::new(),
            open: Mutex::default(),
            connection: OnceLock::new(),
            client: OnceLock::new(),
            myself: myself.clone(),
        })
    }

    pub(crate) fn tools(&self) -> &Tools {
        &self.tools
    }

    pub(crate) fn tracker(&self) -> &Arc<Tracker> {
        &self.tracker
    }

    pub(crate) fn attach(&self, connection: &Arc<Connection>) {
        let _ = self.connection.set(Arc::downgrade(connection));
        self.tracker.attach(connection);
    }

    pub(crate) fn attach_client(&self, client: WeakClient) {
        let _ = self.client.set(client);
    }

    /// Answers an open request; does nothing if it is no longer open.
    fn settle(&self, id: &str, answer: &Answer) {
        if self.lock().remove(id).is_some()
            && let Some(connection) = self.connection.get().and_then(Weak::upgrade)
        {
            connection.reply(id, answer.key, &answer.body);
        }
    }

    /// Ends the handlers of requests that nobody waits for any more.
    fn withdraw(&self, gone: impl Fn(&str, &Open) -> bool) {
        let mut tasks = Vec::new();
        self.lock().retain(|id, open| {
            let gone = gone(id, open);
            if gone {
                tasks.extend(open.task.take());
            }
            !gone
        });
        for task in tasks {
            task.abort();
        }
    }

    async fn answer(&self, message: &Incoming) -> Answer {
        let parts = message.parts();
        match parts.method().unwrap_or_default() {
            "item/tool/call" => self.tool_call(parts.params().unwrap_or("null")).await,
            // Without a handler: no. A refusal is a valid body of the method, not an error.
            "item/commandExecution/requestApproval"
            | "item/fileChange/requestApproval"
            | "skill/requestApproval" => Answer::result(r#"{"decision":"decline"}"#),
            "item/permissions/requestApproval" => Answer::result(r#"{"permissions":{}}"#),
            "item/tool/requestUserInput" => Answer::result(r#"{"answers":{}}"#),
            "mcpServer/elicitation/request" => Answer::result(r#"{"action":"decline"}"#),
            "currentTime/read" => {
                Answer::result(format!(r#"{{"currentTimeAt":{}}}"#, unix_seconds()))
            }
            method => {
                tracing::warn!(method, "no handler for a request of the server");
                Answer::error(-32601, &format!("no handler for {method}"))
            }
        }
    }

    async fn tool_call(&self, params: &str) -> Answer {
        let call: ToolCall<'_> = match serde_json::from_str(params) {
            Ok(call) => call,
            Err(error) => {
                return Answer::error(
                    -32602,
                    &format!("item/tool/call cannot be decoded: {error}"),
                );
            }
        };
        let Some(client) = self.client.get().and_then(WeakClient::upgrade) else {
            return Answer::error(-32603, "the client is gone");
        };
        let context = ToolContext {
            thread_id: call.thread_id,
            turn_id: call.turn_id,
            call_id: call.call_id,
            client,
        };
        let arguments = call.arguments.map_or("null", RawValue::get);
        let run = self
            .tools
            .call(call.namespace.as_deref(), &call.tool, arguments, context);
        let output = AssertUnwindSafe(run)
            .catch_unwind()
            .await
            .unwrap_or_else(|_| {
                // An error would reach the model without its text, so a panic is an output like any failure.
                tracing::error!(tool = call.tool, "a tool panicked");
                ToolOutput::from(format!("the tool {} failed unexpectedly", call.tool)).failed()
            });
        match serde_json::to_string(&output) {
            Ok(body) => Answer::result(body),
            Err(error) => Answer::error(-32603, &error.to_string()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Dialect for Dispatch {
    fn class(&self, method: &str) -> Class {
        Tracker::class(method).unwrap_or(match method {
            "serverRequest/resolved" => Class {
                vital: true,
                observed: true,
            },
            "error" | "process/exited" => Class {
                vital: true,
                observed: false,
            },
            _ => Class::default(),
        })
    }

    fn observe(&self, message: &Incoming) {
        self.tracker.observe(message);
        let parts = message.parts();
        match parts.method().unwrap_or_default() {
            "serverRequest/resolved" => {
                #[derive(Deserialize)]
                #[serde(rename_all = "camelCase")]
                struct Resolved<'a> {
                    #[serde(borrow)]
                    request_id: &'a RawValue,
                }
                if let Ok(resolved) =
                    serde_json::from_str::<Resolved<'_>>(parts.params().unwrap_or_default())
                {
                    self.withdraw(|id, _| id == resolved.request_id.get());
                }
            }
            // A tool call is not said to be resolved, but its item ends.
            "item/completed" => {
                let Some(item) = parts.item() else { return };
                self.withdraw(|_, open| {
                    open.call_id.as_deref() == Some(item)
                        && open.message.parts().thread() == parts.thread()
                });
            }
            "turn/completed" => {
                let (Some(thread), Some(turn)) = (parts.thread(), parts.turn()) else {
                    return;
                };
                self.withdraw(|_, open| {
                    let of = open.message.parts();
                    of.turn() == Some(turn) && of.thread() == Some(thread)
                });
            }
            "thread/closed" => {
                let Some(thread) = parts.thread() else { return };
                self.withdraw(|_, open| open.message.parts().thread() == Some(thread));
            }
            _ => {}
        }
    }

    fn request(&self, message: &Incoming) {
        let (parts, Some(myself)) = (message.parts(), self.myself.upgrade()) else {
            return;
        };
        let Some(id) = parts.id().map(Box::<str>::from) else {
            return;
        };
        {
            let mut open = self.lock();
            if open.contains_key(&id) {
                // A request that is still open is sent again when its thread is resumed.
                tracing::debug!(%id, "a request that is being answered was sent again");
                return;
            }
            let full = open.len() >= AT_ONCE;
            let call_id = call_id(parts.params().unwrap_or_default());
            open.insert(
                id.clone(),
                Open {
                    message: message.clone(),
                    call_id,
                    task: None,
                },
            );
            if full {
                drop(open);
                self.settle(
                    &id,
                    &Answer::error(-32001, "too many requests are being answered; retry later"),
                );
                return;
            }
        }
        let task = tokio::spawn({
            let (id, message) = (id.clone(), message.clone());
            async move {
                let answer = myself.answer(&message).await;
                myself.settle(&id, &answer);
            }
        });
        // The task is owned by its entry, unless it has already settled.
        if let Some(open) = self.lock().get_mut(&id) {
            open.task = Some(task.abort_handle());
        }
    }

    fn closed(&self, _reason: &Arc<CloseReason>) {
        self.tracker.close();
        self.withdraw(|_, _| true);
    }
}

fn call_id(params: &str) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Keys {
        call_id: Option<String>,
    }
    serde_json::from_str::<Keys>(params).ok()?.call_id
}

fn unix_seconds() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}
