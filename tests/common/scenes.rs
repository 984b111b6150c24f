//! What several tests play: a command that needs approval, a handler that waits, a model that spawns
//! a sub-agent, a future that is given up.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
};

use cas_sdk::{
    handlers::{ApprovalRequest, Approvals, Decision, HandlerError, RequestContext},
    testing::{CodexHomeBuilder, ModelRequest, Reply},
};
use serde_json::{Value, json};
use tokio::sync::Notify;

/// A home whose agent asks before it leaves the sandbox.
pub fn asks_for_approval(home: CodexHomeBuilder) -> CodexHomeBuilder {
    home.model("gpt-5.5").approval_policy("on-request")
}

/// The arguments of a call of `exec_command` that needs approval.
pub fn escalation(command: &str) -> Value {
    json!({"cmd": command, "sandbox_permissions": "require_escalated", "justification": "May I?"})
}

/// The model's call of a command that needs approval.
pub fn escalated(call: &str, command: &str) -> Reply {
    Reply::new().function_call(call, "exec_command", escalation(command))
}

/// Accepts each approval when it is told to.
pub fn accepts_when_told(told: &Arc<Notify>) -> impl Approvals {
    let told = told.clone();
    move |_: ApprovalRequest, _: RequestContext| {
        let told = told.clone();
        async move {
            told.notified().await;
            Ok::<_, HandlerError>(Decision::Accept)
        }
    }
}

/// Whether the child of the [`parent`] asks the model.
pub fn is_child(request: &ModelRequest) -> bool {
    let texts = request.prompts();
    texts.last().is_some_and(|text| text.contains("CHILD TASK"))
}

/// What a parent does that spawns a child, waits for it, and says so.
pub fn parent(request: &ModelRequest) -> Reply {
    match (request.tool_output("spawn"), request.tool_output("wait")) {
        (None, _) => Reply::new().namespaced_call(
            "spawn",
            "multi_agent_v1",
            "spawn_agent",
            json!({"message": "CHILD TASK"}),
        ),
        (Some(spawned), None) => {
            let spawned = spawned.as_str().unwrap_or_default();
            let spawned: Value = serde_json::from_str(spawned).unwrap_or_default();
            let targets = json!({"targets": [spawned["agent_id"]]});
            Reply::new().namespaced_call("wait", "multi_agent_v1", "wait_agent", targets)
        }
        (Some(_), Some(_)) => Reply::text("parent done"),
    }
}

/// Polls a future this many times. `None` if it has not ended by then.
pub async fn polled<F: Future>(future: F, times: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut polls = 0;
    poll_fn(|cx| {
        if polls == times {
            return Poll::Ready(None);
        }
        polls += 1;
        let poll = future.as_mut().poll(cx).map(Some);
        if poll.is_pending() && polls == times {
            return Poll::Ready(None);
        }
        poll
    })
    .await
}
