//! `item/tool/requestUserInput`: the model's questions to the user.

use std::{
    collections::BTreeMap,
    fmt,
    future::{Future, ready},
};

use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::{context::RequestContext, error::HandlerError, request::Undecoded, user_code::Asked};
use crate::protocol::ToolRequestUserInputParams;

/// Answers `item/tool/requestUserInput`: the model asks the user one or more questions, each with
/// options to choose from. If the model has to wait for the answers (`is_blocking`), there is no
/// time limit unless [`Handlers::user_input_limit`](super::Handlers::user_input_limit) sets one.
/// Otherwise `is_blocking` is false, and the model gets no answers after 60 s, unless
/// `user_input_limit` sets another limit: the server holds up the turn even then.
///
/// A closure `|questions: ToolRequestUserInputParams, cx| async { … }` is a `UserInput` too.
pub trait UserInput: Send + Sync + 'static {
    /// Returns the answers, by the ids of the questions.
    ///
    /// # Errors
    /// The model gets no answers, and the turn goes on.
    fn answer(
        &self,
        request: ToolRequestUserInputParams,
        cx: RequestContext,
    ) -> impl Future<Output = Result<Answers, HandlerError>> + Send;
}

impl<F, R> UserInput for F
where
    F: Fn(ToolRequestUserInputParams, RequestContext) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Answers, HandlerError>> + Send,
{
    fn answer(
        &self,
        request: ToolRequestUserInputParams,
        cx: RequestContext,
    ) -> impl Future<Output = Result<Answers, HandlerError>> + Send {
        self(request, cx)
    }
}

/// Answers to questions. `Debug` shows only the ids of the questions, because an answer may be a
/// secret.
#[derive(Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct Answers(BTreeMap<String, Vec<String>>);

impl Answers {
    /// Makes an empty set of answers, which the model takes for "the user said nothing".
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers the question with this id: with the label of an option, or with a free text if the
    /// question allows it. Calling this again for the same question adds another answer.
    pub fn answer(mut self, question: impl Into<String>, answer: impl Into<String>) -> Self {
        self.0
            .entry(question.into())
            .or_default()
            .push(answer.into());
        self
    }

    /// The ids of the questions that have an answer.
    pub fn questions(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(crate) fn to_wire(&self) -> Value {
        let answers: serde_json::Map<_, _> = self
            .0
            .iter()
            .map(|(id, answers)| (id.clone(), json!({"answers": answers})))
            .collect();
        json!({"answers": answers})
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl<H: UserInput> Asked<Undecoded, Answers> for H {
    fn ask(
        &self,
        request: Undecoded,
        cx: RequestContext,
    ) -> BoxFuture<'_, Result<Answers, HandlerError>> {
        match request.decode() {
            Ok(request) => Box::pin(self.answer(request, cx)),
            Err(error) => Box::pin(ready(Err(error))),
        }
    }
}
