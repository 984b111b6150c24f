//! Approvals and elicitations: the rules of the policy first, then the handler, then the fallback.

use serde_json::Value;

use super::{
    Dispatch,
    call::{ServerCall, run},
    decide::{by_policy, by_rule, decide, granted},
};
use crate::protocol::routing::RoutingKeys as _;
use crate::{
    handlers::{
        answer::Answer,
        approvals::{ApprovalAnswer, ApprovalCall},
        decision::Decision,
        elicitation::{ElicitationAnswer, ElicitationAsk, ElicitationRequest},
        grant::Grant,
        method::Approval,
        policy::{DecidedBy, Facts},
        request::{Undecoded, undecodable},
    },
    protocol::from_value,
};

impl Dispatch {
    /// The facts that a policy may look at, and the file changes that wait for approval.
    pub(super) fn facts(
        &self,
        call: &ServerCall<'_>,
        approval: Approval,
    ) -> (Facts, Option<Value>) {
        let thread = call.cx.thread_id.as_deref();
        let changes = self.items.changes(thread, call.message.parts().item());
        let facts = Facts::read(approval, call.params, changes.as_ref());
        (facts, changes)
    }

    pub(super) async fn approval(&self, call: ServerCall<'_>, approval: Approval) -> Answer {
        let (facts, changes) = self.facts(&call, approval);
        let (ruled, facts) = match by_rule(&call.handlers, facts).await {
            Ok(ruled) => ruled,
            Err(error) => return call.failed(error),
        };
        if let Some(answer) = by_policy(&call, approval, &facts, ruled) {
            return answer;
        }
        let policy = call.handlers.approvals.as_ref();
        let Some(handler) = policy.and_then(|p| p.handler.clone()) else {
            return self.unclaimed(call).await;
        };
        let request = ApprovalCall {
            approval,
            request: Undecoded::new(call.message),
            changes: changes
                .and_then(|c| from_value(&c).ok())
                .unwrap_or_default(),
        };
        let limit = call.handlers.approval_limit.as_ref();
        match run(
            limit.map(|l| l.after),
            handler.ask(request, call.cx.clone()),
        )
        .await
        {
            Some(Ok(ApprovalAnswer::Decision(decision))) => {
                decide(&call, approval, &facts, &decision, DecidedBy::Handler)
            }
            Some(Ok(ApprovalAnswer::Grant(_))) if facts.unreadable => {
                granted(&call, Grant::nothing(), DecidedBy::Handler)
            }
            Some(Ok(ApprovalAnswer::Grant(grant))) => granted(&call, grant, DecidedBy::Handler),
            Some(Err(error)) => call.failed(error),
            None => {
                let outcome = limit.map_or(Decision::Decline, |l| l.outcome.clone());
                // No person has looked at the request.
                let outcome = if outcome.accepts() && !facts.can_be_accepted() {
                    Decision::Decline
                } else {
                    outcome
                };
                decide(&call, approval, &facts, &outcome, DecidedBy::TimeLimit)
            }
        }
    }

    pub(super) async fn elicitation(&self, call: ServerCall<'_>) -> Answer {
        let request = match ElicitationRequest::parse(call.params) {
            Ok(request) => request,
            Err(error) => return call.failed(undecodable(call.name, call.params, &error)),
        };
        // What the request says about itself may come from the MCP server, so a matching call must
        // be in progress.
        let called = match &request.ask {
            ElicitationAsk::ToolCall(tool) => {
                let thread = call.cx.thread_id.as_deref().unwrap_or_default();
                self.items.take_call(thread, &request.server, &tool.tool)
            }
            _ => None,
        };
        let request = if called.is_some() {
            request
        } else {
            request.into_form()
        };
        let offered = match &request.ask {
            ElicitationAsk::ToolCall(tool) => tool.persist.clone(),
            _ => Vec::new(),
        };
        let answer = |answer: ElicitationAnswer, by| {
            let answer = answer.within(&offered);
            match serde_json::to_string(&answer) {
                Ok(body) => Answer::result(body).decided(by, answer.action()),
                Err(error) => call.failed(error.into()),
            }
        };
        let facts = Facts::of_elicitation(&request, called == Some(true));
        let is_tool_call = facts.is_some();
        if let Some(facts) = facts {
            match by_rule(&call.handlers, facts).await {
                Ok((Some(ruling), _)) => {
                    return answer(ruling.decision.into(), DecidedBy::Rule(ruling.by));
                }
                Ok((None, _)) => {}
                Err(error) => return call.failed(error),
            }
        }
        let Some(handler) = call.handlers.elicitation.clone() else {
            let closed = call.handlers.approvals.as_ref().is_some_and(|p| p.closed);
            if is_tool_call && closed {
                let by = DecidedBy::Rule("Policy::decline".to_owned());
                return answer(ElicitationAnswer::decline(), by);
            }
            return self.unclaimed(call).await;
        };
        let limit = call.handlers.elicitation_limit.as_ref();
        match run(
            limit.map(|l| l.after),
            handler.ask(request, call.cx.clone()),
        )
        .await
        {
            Some(Ok(said)) => answer(said, DecidedBy::Handler),
            Some(Err(error)) => call.failed(error),
            None => {
                let outcome = limit.map_or_else(ElicitationAnswer::decline, |l| l.outcome.clone());
                answer(outcome, DecidedBy::TimeLimit)
            }
        }
    }
}
