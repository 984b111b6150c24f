//! `--approvals ask`: the person in front of the terminal decides.
//!
//! The handlers only pass the question on: the one task that writes to the terminal asks it. A
//! question is a line and is answered by a line, so that it can be withdrawn at any moment: by the
//! server, by a time limit, by Ctrl-C.

use std::sync::Arc;

use cas_sdk::{
    handlers::{
        Answers, ApprovalRequest, Approvals, Decision, HandlerError, RequestContext, UserInput,
    },
    protocol::ToolRequestUserInputParams,
};
use tokio::sync::{mpsc, oneshot};

use super::notes::{Note, Notes};
use crate::{
    commands::{decisions, questions, request_summary::RequestSummary},
    stdio,
};

/// A question for the terminal.
#[derive(Debug)]
pub(super) struct Question {
    /// The lines shown before it.
    pub(super) text: String,
    /// The prompt of the line that is answered.
    pub(super) prompt: String,
    pub(super) answer: oneshot::Sender<Option<String>>,
}

/// Passes questions to the task that asks them.
#[derive(Debug, Clone)]
pub(super) struct Consent {
    /// `None` where nobody is asked: no question is answered then.
    ask: Option<mpsc::Sender<Question>>,
    notes: Arc<Notes>,
}

const CHOICES: &str = "[y]es, yes for the [s]ession, [n]o, no and s[t]op the turn? ";
/// The choices for a request that can't be shown in full.
const REFUSALS: &str = "[n]o, no and s[t]op the turn? ";

impl Consent {
    pub(super) fn new(asks: bool, notes: Arc<Notes>) -> (Self, mpsc::Receiver<Question>) {
        let (ask, questions) = mpsc::channel(16);
        let ask = asks.then_some(ask);
        (Self { ask, notes }, questions)
    }

    /// What was typed; `None` at the end of the input.
    async fn ask(&self, text: String, prompt: String) -> Option<String> {
        let (answer, answered) = oneshot::channel();
        let question = Question {
            text,
            prompt,
            answer,
        };
        self.ask.as_ref()?.send(question).await.ok()?;
        answered.await.ok()?
    }

    /// Returns a handler that asks the user about approvals.
    pub(super) fn approvals(self) -> impl Approvals {
        move |_: ApprovalRequest, context: RequestContext| {
            let consent = self.clone();
            async move { Ok::<_, HandlerError>(consent.decide(&context).await) }
        }
    }

    async fn decide(&self, context: &RequestContext) -> Decision {
        let pending = context.client.pending_requests();
        let request = { pending.iter() }.find(|request| request.id == context.request_id);
        let Some(request) = request else {
            // The request is no longer pending.
            return Decision::Decline;
        };
        // The approval of an MCP server's tool is no matter of this handler.
        let summary = RequestSummary::of(request, Vec::new(), |_| false);
        let text = format!("wants to {}", summary.to_decide());
        let (choices, again) = if summary.is_clear() {
            (CHOICES, "y, s, n or t".to_owned())
        } else {
            let why = summary.unclear();
            (
                REFUSALS,
                format!("it can't be accepted here, since {why}: n or t"),
            )
        };
        let mut prompt = choices.to_owned();
        loop {
            let Some(typed) = self.ask(text.clone(), prompt).await else {
                return Decision::Decline;
            };
            let typed = typed.trim().to_lowercase();
            let letter = match typed.as_str() {
                "yes" => "y",
                "session" => "s",
                "" | "no" => "n",
                "stop" => "t",
                letter => letter,
            };
            match decisions::of(letter) {
                Some(decision) if summary.is_clear() || !decision.accepts() => return decision,
                _ => prompt = format!("{again}: {choices}"),
            }
        }
    }
}

impl UserInput for Consent {
    async fn answer(
        &self,
        request: ToolRequestUserInputParams,
        _: RequestContext,
    ) -> Result<Answers, HandlerError> {
        let mut answers = Answers::new();
        for question in &request.questions {
            // A typed secret would be shown, so a secret is not asked for.
            let typed = if question.is_secret {
                None
            } else {
                let how = questions::how(questions::has_options(question));
                self.ask(questions::text(question), format!("{how}: "))
                    .await
            };
            let typed = typed.unwrap_or_default();
            let answer = questions::answer(question, typed.trim());
            self.notes.add(Note::Question {
                id: question.id.clone(),
                question: question.question.clone(),
                answered: !answer.is_empty(),
            });
            if !answer.is_empty() {
                answers = answers.answer(&question.id, answer);
            }
        }
        Ok(answers)
    }
}

/// Whether there is a terminal to ask on.
pub(super) fn has_terminal() -> bool {
    stdio::terminal().is_ok()
}
