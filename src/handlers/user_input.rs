//! `item/tool/requestUserInput`: questions of the model to the user.

use std::{
    collections::BTreeMap,
    fmt,
    future::{Future, ready},
};

use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::{context::RequestContext, erased::Asked, error::HandlerError, request::Undecoded};
use crate::protocol::ToolRequestUserInputParams;

/// Answers `item/tool/requestUserInput`: the model asks the user one or more questions, each with options to choose
/// from. Where the model is to wait for the answers (`is_blocking`), there is no time limit unless
/// [`Handlers::user_input_limit`](super::Handlers::user_input_limit) sets one. Where it need not, `is_blocking` is false, and
/// it gets no answers after 60 s, unless that sets another limit: the server holds up the turn all the same.
///
/// A closure `|questions: ToolRequestUserInputParams, cx| async { … }` is a `UserInput` too.
pub trait UserInput: Send + Sync + 'static {
    /// The answers, by the ids of the questions.
    ///
    /// # Errors
    /// The model gets no answers, and goes on.
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

/// Answers to questions. Their `Debug` shows only the ids: an answer may be a secret.
#[derive(Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct Answers(BTreeMap<String, Vec<String>>);

impl Answers {
    /// No answers, which the model takes for "the user said nothing".
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers the question with this id: the label of an option, or a text of one's own where the question allows it.
    /// Called again for the same question it adds a further answer.
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
