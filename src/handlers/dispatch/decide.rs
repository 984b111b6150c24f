//! Translates a decision, whoever made it, into the method's response.

use std::sync::Arc;

use serde_json::{Value, json};

use super::call::ServerCall;
use crate::{
    handlers::{
        answer::Answer,
        decision::Decision,
        error::HandlerError,
        grant::Grant,
        method::Approval,
        policy::{DecidedBy, Facts, Policy, Ruling, fit},
        set::Handlers,
    },
    protocol::pointer::at,
};

/// What the rules of the policy decide. The rules may look at links in the file system, which may
/// block.
pub(super) async fn by_rule(
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

/// The method's response for a decision.
pub(super) fn decide(
    call: &ServerCall<'_>,
    approval: Approval,
    facts: &Facts,
    decision: &Decision,
    by: DecidedBy,
) -> Answer {
    let refused = facts.unreadable && decision.accepts();
    let decision = if refused {
        &Decision::Decline
    } else {
        decision
    };
    let shells = call
        .handlers
        .approvals
        .as_ref()
        .map_or(&[][..], Policy::shells);
    let word: Value = match approval {
        Approval::Command => facts.command_decision(decision, shells),
        Approval::FileChange => fit::file_change(decision).into(),
        Approval::Skill => fit::skill(decision).into(),
        Approval::Permissions => {
            let Ok(asked) = at(call.params, &["permissions"]) else {
                return granted(call, Grant::nothing(), by);
            };
            return granted(call, Grant::decided(decision, &asked), by);
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

pub(super) fn granted(call: &ServerCall<'_>, grant: Grant, by: DecidedBy) -> Answer {
    let what = if grant.is_nothing() {
        "decline"
    } else {
        "grant"
    };
    match grant.into_json() {
        Ok(body) => Answer::result(body).decided(by, what),
        Err(error) => call.failed(error.into()),
    }
}

/// What a policy decides without its handler: by a rule, or because the policy has no handler.
pub(super) fn by_policy(
    call: &ServerCall<'_>,
    approval: Approval,
    facts: &Facts,
    ruled: Option<Ruling>,
) -> Option<Answer> {
    let policy = call.handlers.approvals.as_ref()?;
    let ruling = match ruled {
        Some(ruling) => ruling,
        None if policy.closed && policy.handler.is_none() => Ruling {
            decision: Decision::Decline,
            by: "Policy::decline".to_owned(),
            warning: None,
        },
        None => return None,
    };
    let by = DecidedBy::Rule(ruling.by);
    Some(decide(call, approval, facts, &ruling.decision, by).warned(ruling.warning))
}
