//! From a request to its handler, and from what the handler says to the answer.

use std::{
    sync::{Arc, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde_json::{Value, json, value::RawValue};
use tokio::sync::oneshot;

use super::{
    Answer, Dispatch,
    at_once::by_policy,
    guarded::{Cut, guarded},
};
use crate::{
    error::misfit,
    error::rounded::Rounded,
    handlers::{
        ApprovalAnswer, Decision, ElicitationAnswer, ElicitationAsk, ElicitationRequest, Grant,
        HandlerError, Handlers, RefreshRequest, RequestContext, Responder, UnclaimedRequest,
        Undecoded,
        policy::{DecidedBy, Facts, Policy, Ruling, fit},
        tools::{ToolContext, ToolOutput},
        undecodable,
    },
    protocol::{
        pointer::{at, readable},
        routing::RoutingKeys as _,
    },
    rpc::Incoming,
};

/// The server waits 100 ms.
const ATTESTATION_LIMIT: Duration = Duration::from_millis(80);
/// The server waits 10 s.
const CLOCK_LIMIT: Duration = Duration::from_secs(9);

/// How long a question may wait that need not be answered.
const NOT_BLOCKING_LIMIT: Duration = Duration::from_secs(60);

/// A request on its way to its handler.
pub(super) struct Case<'a> {
    pub(super) message: &'a Incoming,
    pub(super) method: &'a str,
    pub(super) params: &'a str,
    pub(super) handlers: Arc<Handlers>,
    pub(super) cx: RequestContext,
}

impl Case<'_> {
    fn decode<T: DeserializeOwned>(&self) -> Result<T, HandlerError> {
        serde_json::from_str(self.params).map_err(|e| undecodable(self.method, self.params, &e))
    }

    /// The refusal of a request whose handler failed.
    fn failed(&self, error: HandlerError) -> Answer {
        tracing::error!(target: "cas_sdk", method = self.method, %error, "a handler failed");
        let refusal = Answer::refusal(self.method);
        let what = if refusal.key == "result" {
            "decline"
        } else {
            "error"
        };
        let answer = if refusal.key == "result" {
            refusal
        } else {
            Answer::failure(&error)
        };
        answer.decided(DecidedBy::Failure(error), what)
    }
}

/// Runs a handler. A panic is a failure like others; `None` if it took too long.
async fn run<A: Send>(
    limit: Option<Duration>,
    handler: BoxFuture<'static, Result<A, HandlerError>>,
) -> Option<Result<A, HandlerError>> {
    match guarded(limit, handler).await {
        Ok(said) => Some(said),
        Err(Cut::Panicked) => Some(Err(HandlerError::new("the handler panicked"))),
        Err(Cut::Late) => None,
    }
}

/// Runs a handler that has no other way to say no than to fail.
async fn run_within<A: Send>(
    limit: Duration,
    handler: BoxFuture<'static, Result<A, HandlerError>>,
) -> Result<A, HandlerError> {
    run(Some(limit), handler).await.unwrap_or_else(|| {
        let text = format!("no answer came within {}", Rounded(limit));
        Err(HandlerError::new(text))
    })
}

impl Dispatch {
    pub(super) fn case<'a>(&self, message: &'a Incoming) -> Option<Case<'a>> {
        let parts = message.parts();
        let params = parts.params().unwrap_or("null");
        // NB. Not as it was routed: that knows no escapes, and other places of a thread's id.
        let thread = at::<String>(params, &["threadId"]).ok();
        Some(Case {
            message,
            method: parts.method().unwrap_or_default(),
            params,
            handlers: self.threads().handlers(thread.as_deref()),
            cx: self.context(message, thread)?,
        })
    }

    pub(super) async fn answer(&self, message: &Incoming) -> Answer {
        let Some(case) = self.case(message) else {
            // The client is gone.
            return Answer::refusal(message.parts().method().unwrap_or_default());
        };
        let method = case.method;
        match method {
            "item/tool/call" => self.tool_call(case).await,
            "item/commandExecution/requestApproval"
            | "item/fileChange/requestApproval"
            | "item/permissions/requestApproval"
            | "skill/requestApproval" => self.approval(case).await,
            "item/tool/requestUserInput" => self.user_input(case).await,
            "mcpServer/elicitation/request" => self.elicitation(case).await,
            "account/chatgptAuthTokens/refresh" => self.auth_refresh(case).await,
            "attestation/generate" => self.attestation(case).await,
            "currentTime/read" => self.clock(case).await,
            "execCommandApproval" | "applyPatchApproval" => self.deprecated(method),
            _ => self.unclaimed(case).await,
        }
    }

    async fn tool_call(&self, case: Case<'_>) -> Answer {
        readable! {
            struct Params<'de> {
                needed { call_id: String = "callId", tool: String = "tool", }
                maybe {
                    thread_id: String = "threadId",
                    turn_id: String = "turnId",
                    namespace: Option<String> = "namespace",
                    arguments: Option<&'de RawValue> = "arguments",
                }
            }
        }
        let call: Params<'_> = match serde_json::from_str(case.params) {
            Ok(call) => call,
            Err(error) => {
                let reason = misfit::describe(case.params, &error);
                let text = format!("item/tool/call cannot be decoded: {reason}");
                return Answer::error(-32602, &text);
            }
        };
        let context = ToolContext {
            thread_id: call.thread_id,
            turn_id: call.turn_id,
            call_id: call.call_id,
            client: case.cx.client.clone(),
        };
        let arguments = call.arguments.map_or("null", RawValue::get);
        let tools = &case.handlers.tools;
        let running = tools.call(call.namespace.as_deref(), &call.tool, arguments, context);
        let output = match guarded(None, running).await {
            Ok(Some(output)) => output,
            Ok(None) if self.has_fallback(&case) => return self.unclaimed(case).await,
            // The model can choose another one.
            Ok(None) => {
                let tool = &*call.tool;
                tracing::warn!(target: "cas_sdk", tool, "a tool was called that is not registered");
                ToolOutput::from(format!("there is no tool {}", call.tool)).failed()
            }
            // An error would reach the model without its text, so a panic is an output like any failure.
            Err(_) => {
                tracing::error!(target: "cas_sdk", tool = &*call.tool, "a tool panicked");
                ToolOutput::from(format!("the tool {} failed unexpectedly", call.tool)).failed()
            }
        };
        match serde_json::to_string(&output) {
            Ok(body) => Answer::result(body),
            Err(error) => Answer::error(-32603, &error.to_string()),
        }
    }

    /// What a policy may look at, and the changes of files that wait for approval.
    pub(super) fn facts(&self, case: &Case<'_>) -> (Facts, Option<Value>) {
        let thread = case.cx.thread_id.as_deref();
        let changes = self.items.changes(thread, case.message.parts().item());
        let facts = Facts::read(case.method, case.params, changes.as_ref());
        (facts, changes)
    }

    async fn approval(&self, case: Case<'_>) -> Answer {
        let (facts, changes) = self.facts(&case);
        let (ruled, facts) = match by_rule(&case.handlers, facts).await {
            Ok(ruled) => ruled,
            Err(error) => return case.failed(error),
        };
        if let Some(answer) = by_policy(&case, &facts, ruled) {
            return answer;
        }
        let policy = case.handlers.approvals.as_ref();
        let Some(handler) = policy.and_then(|p| p.handler.clone()) else {
            return self.unclaimed(case).await;
        };
        let request = (Undecoded::new(case.message), changes);
        let limit = case.handlers.approval_limit.as_ref();
        match run(limit.map(|l| l.after), handler(request, case.cx.clone())).await {
            Some(Ok(ApprovalAnswer::Decision(decision))) => {
                decide(&case, &facts, &decision, DecidedBy::Handler)
            }
            Some(Ok(ApprovalAnswer::Grant(_))) if facts.unreadable => {
                granted(&Grant::nothing(), DecidedBy::Handler)
            }
            Some(Ok(ApprovalAnswer::Grant(grant))) => granted(&grant, DecidedBy::Handler),
            Some(Err(error)) => case.failed(error),
            None => {
                let outcome = limit.map_or(Decision::Decline, |l| l.outcome.clone());
                // Nobody has looked at it.
                let outcome = if outcome.accepts() && !facts.can_be_accepted() {
                    Decision::Decline
                } else {
                    outcome
                };
                decide(&case, &facts, &outcome, DecidedBy::TimeLimit)
            }
        }
    }

    async fn user_input(&self, case: Case<'_>) -> Answer {
        let Some(handler) = case.handlers.user_input.clone() else {
            return self.unclaimed(case).await;
        };
        let asked: Value = at(case.params, &["questions"]).unwrap_or_default();
        let asked = asked.as_array().map(Vec::as_slice).unwrap_or_default();
        let request = Undecoded::new(case.message);
        let limit = case.handlers.user_input_limit.as_ref();
        let blocks = at(case.params, &["isBlocking"]).unwrap_or(true);
        let default = (!blocks).then_some(NOT_BLOCKING_LIMIT);
        let after = limit.map(|l| l.after).or(default);
        let answers = match run(after, handler(request, case.cx.clone())).await {
            Some(Ok(answers)) => answers,
            Some(Err(error)) => return case.failed(error),
            None => {
                tracing::warn!(target: "cas_sdk", ?after, "nobody answered the model's questions in time");
                limit.map(|l| l.outcome.clone()).unwrap_or_default()
            }
        };
        for id in answers
            .questions()
            .filter(|id| !asked.iter().any(|a| a["id"] == **id))
        {
            tracing::warn!(target: "cas_sdk", %id, "an answer is for a question that was not asked");
        }
        Answer::result(answers.to_wire().to_string())
    }

    async fn elicitation(&self, case: Case<'_>) -> Answer {
        let request = match ElicitationRequest::parse(case.params) {
            Ok(request) => request,
            Err(error) => return case.failed(undecodable(case.method, case.params, &error)),
        };
        // What the request says of itself may be the MCP server's word: the call must be there.
        let called = match &request.ask {
            ElicitationAsk::ToolCall(call) => {
                let thread = case.cx.thread_id.as_deref().unwrap_or_default();
                self.items.take_call(thread, &request.server, &call.tool)
            }
            _ => None,
        };
        let request = if called.is_some() {
            request
        } else {
            request.into_form()
        };
        let offered = match &request.ask {
            ElicitationAsk::ToolCall(call) => call.persist.clone(),
            _ => Vec::new(),
        };
        let answer = |answer: ElicitationAnswer, by| {
            let answer = answer.within(&offered);
            match serde_json::to_string(&answer) {
                Ok(body) => Answer::result(body).decided(by, answer.action()),
                Err(error) => case.failed(error.into()),
            }
        };
        let facts = Facts::of_elicitation(&request, called == Some(true));
        let is_tool_call = facts.is_some();
        if let Some(facts) = facts {
            match by_rule(&case.handlers, facts).await {
                Ok((Some(ruling), _)) => {
                    return answer(ruling.decision.into(), DecidedBy::Rule(ruling.by));
                }
                Ok((None, _)) => {}
                Err(error) => return case.failed(error),
            }
        }
        let Some(handler) = case.handlers.elicitation.clone() else {
            let closed = case.handlers.approvals.as_ref().is_some_and(|p| p.closed);
            if is_tool_call && closed {
                let by = DecidedBy::Rule("Policy::decline".to_owned());
                return answer(ElicitationAnswer::decline(), by);
            }
            return self.unclaimed(case).await;
        };
        let limit = case.handlers.elicitation_limit.as_ref();
        match run(limit.map(|l| l.after), handler(request, case.cx.clone())).await {
            Some(Ok(said)) => answer(said, DecidedBy::Handler),
            Some(Err(error)) => case.failed(error),
            None => {
                let outcome = limit.map_or_else(ElicitationAnswer::decline, |l| l.outcome.clone());
                answer(outcome, DecidedBy::TimeLimit)
            }
        }
    }

    async fn auth_refresh(&self, case: Case<'_>) -> Answer {
        let request: RefreshRequest = match case.decode() {
            Ok(request) => request,
            Err(error) => return case.failed(error),
        };
        match self.refresher.refresh(request, case.cx.clone()).await {
            Some(Ok(tokens)) => match serde_json::to_string(&tokens) {
                Ok(body) => Answer::result(body),
                Err(error) => case.failed(error.into()),
            },
            Some(Err(error)) => case.failed(error),
            None => self.unclaimed(case).await,
        }
    }

    async fn attestation(&self, case: Case<'_>) -> Answer {
        let Some(handler) = &self.attestation else {
            return self.unclaimed(case).await;
        };
        match run_within(ATTESTATION_LIMIT, handler((), case.cx.clone())).await {
            Ok(token) => Answer::result(json!({"token": token}).to_string()),
            Err(error) => case.failed(error),
        }
    }

    async fn clock(&self, case: Case<'_>) -> Answer {
        let now = match &case.handlers.clock {
            None if self.has_fallback(&case) => return self.unclaimed(case).await,
            None => Ok(SystemTime::now()),
            Some(clock) => run_within(CLOCK_LIMIT, clock((), case.cx.clone())).await,
        };
        match now {
            Ok(now) => {
                let seconds = unix_seconds(now);
                Answer::result(json!({"currentTimeAt": seconds}).to_string())
            }
            Err(error) => case.failed(error),
        }
    }

    pub(super) fn has_fallback(&self, case: &Case<'_>) -> bool {
        case.handlers.fallback.is_some() || self.taker().is_some()
    }

    fn taker(&self) -> Option<tokio::sync::mpsc::Sender<Responder>> {
        let taker = self
            .unclaimed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        taker.as_ref().filter(|t| !t.is_closed()).cloned()
    }

    /// The fallback, the stream of responders, or the refusal.
    async fn unclaimed(&self, case: Case<'_>) -> Answer {
        let request = UnclaimedRequest::new(case.message.clone());
        if let Some(fallback) = &case.handlers.fallback {
            let answer = match run(None, fallback(request, case.cx.clone())).await {
                Some(Ok(value)) => Answer::result(value.to_string()),
                Some(Err(error)) => Answer::failure(&error),
                None => Answer::refusal(case.method),
            };
            return answer.by_fallback();
        }
        if let Some(taker) = self.taker() {
            let (answer, answered) = oneshot::channel();
            if taker.send(Responder::new(request, answer)).await.is_ok() {
                let dropped = |_| Answer::error(-32603, "the responder was dropped");
                return answered.await.unwrap_or_else(dropped).by_fallback();
            }
        }
        self.refused(case.method)
    }
}

/// What the rules of the policy decide. They may look at links in the file system, which may block.
async fn by_rule(
    handlers: &Arc<Handlers>,
    facts: Facts,
) -> Result<(Option<Ruling>, Facts), HandlerError> {
    match &handlers.approvals {
        None => Ok((None, facts)),
        Some(policy) if !policy.looks_at_files() => Ok((policy.decide(&facts), facts)),
        Some(_) => {
            let handlers = handlers.clone();
            let decided = tokio::task::spawn_blocking(move || {
                let policy = handlers.approvals.as_ref();
                (policy.and_then(|p| p.decide(&facts)), facts)
            });
            Ok(decided.await?)
        }
    }
}

/// A decision as the method has it.
pub(super) fn decide(case: &Case<'_>, facts: &Facts, decision: &Decision, by: DecidedBy) -> Answer {
    let refused = facts.unreadable && decision.accepts();
    let decision = if refused {
        &Decision::Decline
    } else {
        decision
    };
    let shells = case
        .handlers
        .approvals
        .as_ref()
        .map_or(&[][..], Policy::shells);
    let word: Value = match case.method {
        "item/commandExecution/requestApproval" => facts.command_decision(decision, shells),
        "item/fileChange/requestApproval" => fit::file_change(decision).into(),
        "skill/requestApproval" => fit::skill(decision).into(),
        _ => {
            let params: Value = serde_json::from_str(case.params).unwrap_or_default();
            return granted(&Grant::all_of(decision, &params["permissions"]), by);
        }
    };
    let what = match &word {
        Value::String(word) => word.clone(),
        word => word
            .as_object()
            .and_then(|o| o.keys().next().cloned())
            .unwrap_or_default(),
    };
    Answer::result(json!({"decision": word}).to_string()).decided(by, what)
}

fn granted(grant: &Grant, by: DecidedBy) -> Answer {
    let what = if grant.is_nothing() {
        "decline"
    } else {
        "grant"
    };
    Answer::result(grant.to_wire().to_string()).decided(by, what)
}

/// Whole seconds since 1970; negative before.
fn unix_seconds(time: SystemTime) -> i64 {
    let seconds = |d: Duration| i64::try_from(d.as_secs()).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => seconds(after),
        Err(before) => -seconds(before.duration()),
    }
}
