//! Answers that come from outside of a handler: what the server offers, and an answer that is no
//! wider.

use serde::Deserialize;

use super::{
    Dispatch,
    call::ServerCall,
    claim::{Claim, Unclaimable},
    decide::{decide, granted},
    pending::not_pending,
};
use crate::{
    client::Role,
    error::Error,
    handlers::{
        answer::Answer,
        decision::Decision,
        elicitation::{
            ElicitationAnswer, ElicitationAsk, ElicitationRequest, Persist, asks_for_nothing,
        },
        explicit::RequestAnswer,
        grant::Grant,
        method::{Approval, ServerMethod},
        policy::DecidedBy,
        user_input::Answers,
    },
    protocol::{RequestPermissionProfile, pointer::at, routing::RoutingKeys as _},
    rpc::Incoming,
};

const BY: DecidedBy = DecidedBy::Caller;

impl Dispatch {
    /// The decisions that the server accepts for a request, the most permissive first.
    pub(super) fn offers(&self, message: &Incoming) -> Vec<Decision> {
        let Some(call) = self.call(message) else {
            return Vec::new();
        };
        let refusals = [Decision::Decline, Decision::Cancel];
        match call.method {
            ServerMethod::Approval(approval) => {
                let (facts, _) = self.facts(&call, approval);
                let shells = call.handlers.approvals.as_ref();
                let shells = shells.map_or(&[][..], |policy| policy.shells());
                let accepts = match approval {
                    _ if facts.unreadable => Vec::new(),
                    Approval::Command => facts.offered(shells),
                    Approval::FileChange | Approval::Permissions => {
                        vec![Decision::AcceptForSession, Decision::Accept]
                    }
                    Approval::Skill => vec![Decision::Accept],
                };
                accepts.into_iter().chain(refusals).collect()
            }
            ServerMethod::Elicitation => {
                let Ok(request) = ElicitationRequest::parse(call.params) else {
                    return refusals.to_vec();
                };
                let mut offers = Vec::new();
                if let ElicitationAsk::ToolCall(tool) = &request.ask {
                    let persists = |p| tool.persist.contains(&p);
                    offers.extend(persists(Persist::Always).then_some(Decision::AcceptAlways));
                    offers.extend(persists(Persist::Session).then_some(Decision::AcceptForSession));
                }
                offers.extend((!needs_content(&request.ask)).then_some(Decision::Accept));
                offers.extend(refusals);
                offers
            }
            _ => Vec::new(),
        }
    }

    /// Answers an open request in the place of its handlers or of other clients.
    pub(super) async fn answer_for(
        &self,
        message: &Incoming,
        answer: RequestAnswer,
    ) -> Result<(), Error> {
        if self.role == Role::Observer && !self.is_ours(message) {
            return Err(Error::Observer {
                method: message.parts().method().unwrap_or_default().to_owned(),
                thread_id: message.parts().thread().map(str::to_owned),
            });
        }
        let gone = |reason| not_pending(message, reason);
        let (Some(call), Some(myself)) = (self.call(message), self.myself.upgrade()) else {
            return Err(gone("the connection has ended"));
        };
        let answer = self.explicit(&call, answer).map_err(Error::Invalid)?;
        // NB. From here on, only this answer removes the request from the table.
        let handler = match self.claim(message, Claim::Caller) {
            Ok(handler) => handler,
            Err(Unclaimable::Claimed) => return Err(gone("it is being answered")),
            Err(Unclaimable::Settled) => return Err(gone("it was answered or withdrawn")),
        };
        if let Some(handler) = handler {
            handler.abort();
        }
        if !self.is_audited(message, &answer) {
            self.send(message, &answer);
            return Ok(());
        }
        let message = message.clone();
        // Deliberately detached: the answer is sent as soon as the audit, which is called once,
        // knows of it.
        let sent = tokio::spawn(async move { myself.audit_and_send(&message, &answer).await });
        let _ = sent.await;
        Ok(())
    }

    /// The method's response for an answer, or why it does not answer the request.
    fn explicit(&self, call: &ServerCall<'_>, answer: RequestAnswer) -> Result<Answer, String> {
        let name = call.name;
        match (call.method, answer) {
            (ServerMethod::Approval(approval), RequestAnswer::Decision(decision)) => {
                let (facts, _) = self.facts(call, approval);
                let answer = decide(call, approval, &facts, &decision, BY);
                let is_refusal = |what: &str| matches!(what, "decline" | "cancel");
                let refused = answer.decided.as_ref().is_some_and(|d| is_refusal(&d.what));
                if decision.accepts() && refused {
                    return Err(format!("the server does not offer {decision} for {name}"));
                }
                Ok(answer)
            }
            (ServerMethod::Approval(Approval::Permissions), RequestAnswer::Grant(grant)) => {
                grant_of(call, grant)
            }
            (ServerMethod::UserInput, RequestAnswer::Answers(answers)) => {
                let unasked = unasked(call.params, &answers);
                if let Some(id) = unasked {
                    return Err(format!("{name} has no question {id}"));
                }
                Ok(Answer::result(answers.to_wire().to_string()))
            }
            (ServerMethod::Elicitation, RequestAnswer::Elicitation(answer)) => {
                elicited(call, answer)
            }
            (ServerMethod::Elicitation, RequestAnswer::Decision(decision)) => {
                let request = ElicitationRequest::parse(call.params).ok();
                if decision.accepts() && request.is_none_or(|request| needs_content(&request.ask)) {
                    return Err(format!(
                        "this {name} asks for content: accept with `ElicitationAnswer::accept`"
                    ));
                }
                elicited(call, decision.into())
            }
            (ServerMethod::ToolCall, RequestAnswer::Tool(output)) => {
                let body = serde_json::to_string(&output).map_err(|e| e.to_string())?;
                Ok(Answer::result(body))
            }
            _ => Err(format!("{name} takes no answer of this kind")),
        }
    }
}

fn grant_of(call: &ServerCall<'_>, grant: Grant) -> Result<Answer, String> {
    let asked: Result<RequestPermissionProfile, _> = at(call.params, &["permissions"]);
    let asked = asked.map_err(|e| e.to_string())?;
    if !grant.is_within(&asked) {
        return Err(format!(
            "the grant is wider than what {} asks for",
            call.name
        ));
    }
    Ok(granted(call, grant, BY))
}

fn elicited(call: &ServerCall<'_>, answer: ElicitationAnswer) -> Result<Answer, String> {
    let request = ElicitationRequest::parse(call.params).map_err(|e| e.to_string())?;
    let offered = match &request.ask {
        ElicitationAsk::ToolCall(tool) => tool.persist.clone(),
        _ => Vec::new(),
    };
    let answer = answer.within(&offered);
    let body = serde_json::to_string(&answer).map_err(|e| e.to_string())?;
    Ok(Answer::result(body).decided(BY, answer.action()))
}

/// Whether accepting takes content.
fn needs_content(ask: &ElicitationAsk) -> bool {
    match ask {
        ElicitationAsk::Form { schema, .. } => !asks_for_nothing(schema),
        ElicitationAsk::ToolCall(_) | ElicitationAsk::Url { .. } => false,
        ElicitationAsk::OpenaiForm { .. }
        | ElicitationAsk::UserVerification { .. }
        | ElicitationAsk::Other { .. } => true,
    }
}

/// A question that is answered and was not asked.
fn unasked(params: &str, answers: &Answers) -> Option<String> {
    #[derive(Deserialize)]
    struct Question {
        id: String,
    }
    let asked: Vec<Question> = at(params, &["questions"]).unwrap_or_default();
    let is_asked = |id: &str| asked.iter().any(|question| question.id == id);
    let unasked = answers.questions().find(|id| !is_asked(id));
    unasked.map(str::to_owned)
}
