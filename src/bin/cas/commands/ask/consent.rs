//! `--approvals ask`: the person in front of the terminal decides.
//!
//! The handlers only pass the question on: the one task that writes to the terminal asks it. A question is a line and is
//! answered by a line, so that it can be withdrawn at any moment: by the server, by a time limit, by Ctrl-C.

use std::sync::Arc;

use cas_sdk::{
    handlers::{
        Answers, Approvals, Decision, FileChangeApproval, Grant, HandlerError, RequestContext,
        SkillApproval, UserInput,
    },
    protocol::{
        CommandExecutionRequestApprovalParams, PermissionsRequestApprovalParams,
        ToolRequestUserInputParams,
    },
};
use tokio::sync::{mpsc, oneshot};

use super::notes::{Note, Notes};
use crate::{
    commands::{decisions, questions},
    output::field,
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
    ask: mpsc::Sender<Question>,
    notes: Arc<Notes>,
}

const CHOICES: &str = "[y]es, yes for the [s]ession, [n]o, no and s[t]op the turn? ";

impl Consent {
    pub(super) fn new(notes: Arc<Notes>) -> (Self, mpsc::Receiver<Question>) {
        let (ask, questions) = mpsc::channel(16);
        (Self { ask, notes }, questions)
    }

    /// For a command that asks nobody.
    pub(super) fn nobody(self) -> Nobody {
        Nobody(self.notes)
    }

    /// What was typed; `None` at the end of the input.
    async fn ask(&self, text: String, prompt: String) -> Option<String> {
        let (answer, answered) = oneshot::channel();
        let question = Question {
            text,
            prompt,
            answer,
        };
        self.ask.send(question).await.ok()?;
        answered.await.ok()?
    }

    async fn decide(&self, text: String) -> Decision {
        let mut prompt = CHOICES.to_owned();
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
                Some(decision) => return decision,
                None => prompt = format!("y, s, n or t: {CHOICES}"),
            }
        }
    }
}

impl Approvals for Consent {
    async fn command(
        &self,
        request: CommandExecutionRequestApprovalParams,
        _: RequestContext,
    ) -> Result<Decision, HandlerError> {
        let mut text = match &request.command {
            Some(command) => format!("wants to run {}", field(command)),
            None => "wants to do something outside of the sandbox".to_owned(),
        };
        if let Some(context) = &request.network_approval_context {
            let context = serde_json::to_string(context)?;
            text = format!("wants to use the network: {}", field(&context));
        }
        if let Some(cwd) = &request.cwd {
            let cwd = serde_json::to_value(cwd)?;
            text.push_str("\nin ");
            text.push_str(&field(cwd.as_str().unwrap_or_default()));
        }
        Ok(self
            .decide(with_reason(text, request.reason.as_deref()))
            .await)
    }

    async fn file_change(
        &self,
        request: FileChangeApproval,
        _: RequestContext,
    ) -> Result<Decision, HandlerError> {
        let paths = request
            .changes
            .iter()
            .map(|change| field(&change.path).into_owned());
        let mut text = format!("wants to change {}", paths.collect::<Vec<_>>().join(", "));
        for change in &request.changes {
            text.push('\n');
            text.push_str(change.diff.trim_end());
        }
        Ok(self
            .decide(with_reason(text, request.params.reason.as_deref()))
            .await)
    }

    async fn permissions(
        &self,
        request: PermissionsRequestApprovalParams,
        _: RequestContext,
    ) -> Result<Grant, HandlerError> {
        let wanted = serde_json::to_string(&request.permissions)?;
        let text = format!("wants permissions: {}", field(&wanted));
        let text = with_reason(text, request.reason.as_deref());
        Ok(match self.decide(text).await {
            Decision::Accept => Grant::all(&request),
            Decision::AcceptForSession => Grant::all(&request).for_session(),
            _ => Grant::nothing(),
        })
    }

    async fn skill(
        &self,
        request: SkillApproval,
        _: RequestContext,
    ) -> Result<Decision, HandlerError> {
        let text = format!("wants to use the skill {}", field(&request.skill_name));
        Ok(self.decide(text).await)
    }
}

fn with_reason(text: String, reason: Option<&str>) -> String {
    match reason.filter(|reason| !reason.is_empty()) {
        Some(reason) => format!("{text}\nbecause: {}", field(reason)),
        None => text,
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
            let prompt = format!("{}: ", questions::how(questions::has_options(question)));
            let typed = self.ask(questions::text(question), prompt).await;
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

/// Reports each question as not answered.
#[derive(Debug)]
pub(super) struct Nobody(Arc<Notes>);

impl UserInput for Nobody {
    async fn answer(
        &self,
        request: ToolRequestUserInputParams,
        _: RequestContext,
    ) -> Result<Answers, HandlerError> {
        for question in request.questions {
            self.0.add(Note::Question {
                id: question.id,
                question: question.question,
                answered: false,
            });
        }
        Ok(Answers::new())
    }
}

/// Whether there is a terminal to ask on.
pub(super) fn has_terminal() -> bool {
    stdio::terminal().is_ok()
}
