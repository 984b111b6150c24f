//! Routes a request to its handler, and turns what the handler returns into the response.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::{json, value::RawValue};
use tokio::sync::oneshot;

use super::{
    Dispatch,
    call::{ServerCall, run, run_within},
    guarded::guarded,
};
use crate::{
    error::misfit,
    handlers::{
        answer::Answer,
        auth::RefreshRequest,
        fallback::{Responder, UnclaimedRequest},
        method::ServerMethod,
        request::Undecoded,
        tools::{ToolContext, ToolOutput},
    },
    protocol::pointer::at,
    rpc::Incoming,
};

/// The limit of the handler. The server waits 100 ms.
const ATTESTATION_LIMIT: Duration = Duration::from_millis(80);
/// The limit of the handler. The server waits 10 s.
const CLOCK_LIMIT: Duration = Duration::from_secs(9);

/// How long a question that does not block the model may wait.
const NOT_BLOCKING_LIMIT: Duration = Duration::from_secs(60);

impl Dispatch {
    pub(super) fn call<'a>(&self, message: &'a Incoming) -> Option<ServerCall<'a>> {
        let parts = message.parts();
        let params = parts.params().unwrap_or("null");
        // NB. Not the thread that the request was routed by: routing does not decode escapes, and
        // also accepts a thread's id in other places.
        let thread = at::<String>(params, &["threadId"]).ok();
        let name = parts.method().unwrap_or_default();
        Some(ServerCall {
            message,
            name,
            method: ServerMethod::of(name),
            params,
            handlers: self.threads().handlers(thread.as_deref()),
            cx: self.context(message, thread)?,
        })
    }

    pub(super) async fn answer(&self, message: &Incoming) -> Answer {
        let Some(call) = self.call(message) else {
            // The client is gone.
            return Answer::refusal(message.parts().method().unwrap_or_default());
        };
        match call.method {
            ServerMethod::ToolCall => self.tool_call(call).await,
            ServerMethod::Approval(approval) => self.approval(call, approval).await,
            ServerMethod::UserInput => self.user_input(call).await,
            ServerMethod::Elicitation => self.elicitation(call).await,
            ServerMethod::AuthRefresh => self.auth_refresh(call).await,
            ServerMethod::Attestation => self.attestation(call).await,
            ServerMethod::CurrentTime => self.clock(call).await,
            ServerMethod::Deprecated => self.deprecated(call.name),
            ServerMethod::Unknown => self.unclaimed(call).await,
        }
    }

    async fn tool_call(&self, call: ServerCall<'_>) -> Answer {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Params<'a> {
            call_id: String,
            tool: String,
            #[serde(default)]
            thread_id: String,
            #[serde(default)]
            turn_id: String,
            namespace: Option<String>,
            #[serde(borrow)]
            arguments: Option<&'a RawValue>,
        }
        let params: Params<'_> = match serde_json::from_str(call.params) {
            Ok(params) => params,
            Err(error) => {
                let reason = misfit::describe(call.params, &error);
                let text = format!("item/tool/call cannot be decoded: {reason}");
                return Answer::error(-32602, &text);
            }
        };
        let context = ToolContext {
            thread_id: params.thread_id,
            turn_id: params.turn_id,
            call_id: params.call_id,
            client: call.cx.client.clone(),
        };
        let arguments = params.arguments.map_or("null", RawValue::get);
        let tools = &call.handlers.tools;
        let running = tools.call(
            params.namespace.as_deref(),
            &params.tool,
            arguments,
            context,
        );
        let output = match guarded(None, running).await {
            Ok(Some(output)) => output,
            Ok(None) if self.has_fallback(&call) => return self.unclaimed(call).await,
            // The model can choose another tool.
            Ok(None) => {
                let tool = params.tool;
                tracing::warn!(target: "cas_sdk", tool, "a tool was called that is not registered");
                ToolOutput::from(format!("there is no tool {tool}")).failed()
            }
            // An error would reach the model without its text, so a panic becomes an output like
            // any failure.
            Err(_) => {
                let tool = params.tool;
                tracing::error!(target: "cas_sdk", tool, "a tool panicked");
                ToolOutput::from(format!("the tool {tool} failed unexpectedly")).failed()
            }
        };
        match serde_json::to_string(&output) {
            Ok(body) => Answer::result(body),
            Err(error) => Answer::error(-32603, &error.to_string()),
        }
    }

    async fn user_input(&self, call: ServerCall<'_>) -> Answer {
        #[derive(Deserialize)]
        struct Question {
            id: String,
        }
        let Some(handler) = call.handlers.user_input.clone() else {
            return self.unclaimed(call).await;
        };
        let asked: Vec<Question> = at(call.params, &["questions"]).unwrap_or_default();
        let request = Undecoded::new(call.message);
        let limit = call.handlers.user_input_limit.as_ref();
        let blocks = at(call.params, &["isBlocking"]).unwrap_or(true);
        let default = (!blocks).then_some(NOT_BLOCKING_LIMIT);
        let after = limit.map(|l| l.after).or(default);
        let answers = match run(after, handler.ask(request, call.cx.clone())).await {
            Some(Ok(answers)) => answers,
            Some(Err(error)) => return call.failed(error),
            None => {
                tracing::warn!(target: "cas_sdk", ?after, "nobody answered the model's questions in time");
                limit.map(|l| l.outcome.clone()).unwrap_or_default()
            }
        };
        let is_asked = |id: &str| asked.iter().any(|question| question.id == id);
        for id in answers.questions().filter(|id| !is_asked(id)) {
            tracing::warn!(target: "cas_sdk", "an answer is for a question that was not asked: {id}");
        }
        Answer::result(answers.to_wire().to_string())
    }

    async fn auth_refresh(&self, call: ServerCall<'_>) -> Answer {
        let request: RefreshRequest = match call.decode() {
            Ok(request) => request,
            Err(error) => return call.failed(error),
        };
        match self.refresher.refresh(request, call.cx.clone()).await {
            Some(Ok(tokens)) => match serde_json::to_string(&tokens) {
                Ok(body) => Answer::result(body),
                Err(error) => call.failed(error.into()),
            },
            Some(Err(error)) => call.failed(error),
            None => self.unclaimed(call).await,
        }
    }

    async fn attestation(&self, call: ServerCall<'_>) -> Answer {
        let Some(handler) = &self.attestation else {
            return self.unclaimed(call).await;
        };
        match run_within(ATTESTATION_LIMIT, handler.ask((), call.cx.clone())).await {
            Ok(token) => Answer::result(json!({"token": token}).to_string()),
            Err(error) => call.failed(error),
        }
    }

    async fn clock(&self, call: ServerCall<'_>) -> Answer {
        let now = match &call.handlers.clock {
            None if self.has_fallback(&call) => return self.unclaimed(call).await,
            None => Ok(SystemTime::now()),
            Some(clock) => run_within(CLOCK_LIMIT, clock.ask((), call.cx.clone())).await,
        };
        match now {
            Ok(now) => {
                let seconds = unix_seconds(now);
                Answer::result(json!({"currentTimeAt": seconds}).to_string())
            }
            Err(error) => call.failed(error),
        }
    }

    pub(super) fn has_fallback(&self, call: &ServerCall<'_>) -> bool {
        call.handlers.fallback.is_some() || self.receiver().is_some()
    }

    fn receiver(&self) -> Option<tokio::sync::mpsc::Sender<Responder>> {
        let receiver = self.unclaimed.lock();
        receiver.as_ref().filter(|t| !t.is_closed()).cloned()
    }

    /// The answer of the fallback or of the stream of responders, or the refusal.
    pub(super) async fn unclaimed(&self, call: ServerCall<'_>) -> Answer {
        let request = UnclaimedRequest::new(call.message.clone());
        if let Some(fallback) = &call.handlers.fallback {
            let answer = match run(None, fallback.ask(request, call.cx.clone())).await {
                Some(Ok(value)) => Answer::result(value.to_string()),
                Some(Err(error)) => Answer::failure(&error),
                None => Answer::refusal(call.name),
            };
            return answer.by_fallback();
        }
        if let Some(receiver) = self.receiver() {
            let (answer, answered) = oneshot::channel();
            if receiver.send(Responder::new(request, answer)).await.is_ok() {
                let dropped = |_| Answer::error(-32603, "the responder was dropped");
                return answered.await.unwrap_or_else(dropped).by_fallback();
            }
        }
        self.refused(call.name)
    }
}

/// Whole seconds since 1970; negative before.
fn unix_seconds(time: SystemTime) -> i64 {
    let seconds = |d: Duration| i64::try_from(d.as_secs()).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => seconds(after),
        Err(before) => -seconds(before.duration()),
    }
}
