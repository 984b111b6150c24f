//! What the person at the terminal is asked: a decision, or questions, one after another.

use cas_sdk::{
    handlers::{Answers, Decision, ElicitationAnswer, PendingRequest, RequestAnswer},
    protocol::{ToolRequestUserInputParams, ToolRequestUserInputQuestion},
};
use serde_json::Value;

use super::{form::Form, requests::Waiting};
use crate::commands::{decisions, questions};

/// A request that the person can answer.
pub(super) struct Asking {
    pub(super) waiting: Waiting,
    /// The number of this question. A typed line answers it only if this question was the current
    /// one when the line was begun.
    pub(super) number: u64,
    pub(super) kind: Kind,
    /// Whether an answer was sent, so that a typed line is not another one.
    pub(super) is_answered: bool,
}

pub(super) enum Kind {
    /// One of the decisions that the server accepts, chosen by its letter. None of them accepts a
    /// request that can't be shown in full.
    Decision(Vec<Decision>),
    Questions {
        list: List,
        /// The number of the question that is asked.
        at: usize,
    },
}

/// Questions that belong together.
pub(super) enum List {
    OfModel(Vec<ToolRequestUserInputQuestion>, Answers),
    OfServer(Box<Form>),
}

/// What a typed line turned out to be.
pub(super) enum Reply {
    /// An answer, and the last that was missing.
    Answer(RequestAnswer),
    /// The next question is due.
    Next,
    /// Not an answer, for this reason; the question is asked again.
    Wrong(String),
    /// The line was begun before this question was asked, and decides nothing.
    Stale,
    /// Like `Stale`, but the line can be edited: entering it again makes it the answer.
    Unsent,
    /// Another answer to a request that was answered already.
    Late,
    /// It has nothing to do with the question.
    No,
}

impl Asking {
    /// `None` for what a person can't answer here. A secret is asked only where it is not shown.
    pub(super) fn of(waiting: &Waiting, hides: bool) -> Option<Self> {
        let request = &waiting.request;
        let kind = if let Some(list) = List::of(request) {
            if list.has_secrets() && !hides {
                return None;
            }
            Kind::Questions { list, at: 0 }
        } else {
            let mut offers = request.offers();
            if !offers.iter().any(Decision::accepts) {
                return None;
            }
            if !waiting.summary.is_clear() {
                offers.retain(|decision| !decision.accepts());
            }
            Kind::Decision(offers)
        };
        Some(Self {
            waiting: waiting.clone(),
            number: 0,
            kind,
            is_answered: false,
        })
    }

    /// The letters that answer it, for the line that tells of it; empty for questions.
    pub(super) fn mark(&self) -> String {
        match &self.kind {
            Kind::Decision(offers) => format!(" [{}]", decisions::letters(offers)),
            Kind::Questions { .. } => String::new(),
        }
    }

    /// The question that is due, a line for each option, and whether its answer is a secret.
    pub(super) fn question(&self) -> Option<(String, bool)> {
        let Kind::Questions { list, at } = &self.kind else {
            return None;
        };
        let (text, has_options, is_secret) = match list {
            List::OfModel(all, _) => {
                let question = &all[*at];
                let has_options = questions::has_options(question);
                (questions::text(question), has_options, question.is_secret)
            }
            List::OfServer(form) => (form.text(*at), form.has_options(*at), false),
        };
        let how = questions::how(has_options);
        Some((format!("{text}\n  ({how}; /skip, /decline)"), is_secret))
    }

    /// Takes a typed line. `begun` is the number of the question that was current when the line was
    /// begun.
    pub(super) fn take(&mut self, line: &str, begun: u64) -> Reply {
        let is_stale = begun != self.number;
        match &mut self.kind {
            Kind::Decision(offers) => match decision(line) {
                None => Reply::No,
                Some(_) if self.is_answered => Reply::Late,
                // NB. The letter must not become the next input either, and neither must one that
                // is not offered.
                Some(_) if is_stale => Reply::Stale,
                Some(decision) if offers.contains(&decision) => Reply::Answer(decision.into()),
                Some(_) => {
                    let letters = decisions::letters(offers);
                    Reply::Wrong(if self.waiting.summary.is_clear() {
                        format!("the server does not offer {line}: {letters}")
                    } else {
                        let why = self.waiting.summary.unclear();
                        format!("it can't be accepted here, so only {letters} is taken: {why}")
                    })
                }
            },
            Kind::Questions { .. } if self.is_answered => Reply::No,
            Kind::Questions { .. } if is_stale => Reply::Unsent,
            Kind::Questions { list, .. } if line == "/decline" => Reply::Answer(list.declined()),
            Kind::Questions { list, at } => {
                let done = match line {
                    "/skip" => list.skip(*at),
                    line => list.fill(*at, line),
                };
                match done {
                    Err(why) => Reply::Wrong(why),
                    Ok(()) if *at + 1 < list.len() => {
                        *at += 1;
                        Reply::Next
                    }
                    Ok(()) => match list.answer() {
                        Ok(answer) => Reply::Answer(answer),
                        Err(why) => {
                            *at = 0;
                            Reply::Wrong(why)
                        }
                    },
                }
            }
        }
    }
}

/// The decision that a line stands for, if any.
fn decision(line: &str) -> Option<Decision> {
    let typed = line.to_lowercase();
    decisions::of(match typed.as_str() {
        "yes" => "y",
        "no" => "n",
        letter => letter,
    })
}

/// Whether an incomplete line may still become a decision.
pub(super) fn may_decide(line: &str) -> bool {
    let typed = line.trim().to_lowercase();
    decision(&typed).is_some() || "yes".starts_with(&typed)
}

impl List {
    fn of(request: &PendingRequest) -> Option<Self> {
        // By the method: another schema may not have the variants of `ServerRequest`.
        match request.method.as_str() {
            "item/tool/requestUserInput" => {
                let params: ToolRequestUserInputParams =
                    serde_json::from_str(request.json()).ok()?;
                let questions = params.questions;
                (!questions.is_empty()).then(|| Self::OfModel(questions, Answers::new()))
            }
            "mcpServer/elicitation/request" => {
                // NB. An approval of a tool call is a form without fields.
                let params: Value = serde_json::from_str(request.json()).ok()?;
                Form::of(&params).map(|form| Self::OfServer(Box::new(form)))
            }
            _ => None,
        }
    }

    fn has_secrets(&self) -> bool {
        match self {
            Self::OfModel(all, _) => all.iter().any(|question| question.is_secret),
            Self::OfServer(_) => false,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::OfModel(all, _) => all.len(),
            Self::OfServer(form) => form.len(),
        }
    }

    fn fill(&mut self, at: usize, typed: &str) -> Result<(), String> {
        match self {
            Self::OfModel(all, answers) => {
                let question = &all[at];
                let answer = questions::answer(question, typed);
                *answers = std::mem::take(answers).answer(&question.id, answer);
                Ok(())
            }
            Self::OfServer(form) => form.fill(at, typed),
        }
    }

    fn skip(&mut self, at: usize) -> Result<(), String> {
        match self {
            Self::OfModel(..) => Ok(()),
            Self::OfServer(form) => form.skip(at),
        }
    }

    fn answer(&self) -> Result<RequestAnswer, String> {
        match self {
            Self::OfModel(_, answers) => Ok(answers.clone().into()),
            Self::OfServer(form) => Ok(ElicitationAnswer::accept(form.content()?).into()),
        }
    }

    /// Without any answer, the model assumes that the user said nothing.
    fn declined(&self) -> RequestAnswer {
        match self {
            Self::OfModel(..) => Answers::new().into(),
            Self::OfServer(_) => ElicitationAnswer::decline().into(),
        }
    }
}
