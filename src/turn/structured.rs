//! Answers as values of a type: the type's schema is sent with the turn, and the answer is parsed
//! as the type.

use std::{
    fmt,
    future::{Future, IntoFuture},
    marker::PhantomData,
    ops::{Deref, DerefMut},
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{event::TurnEvent, reader::Turn, start::Ask, strict_schema};
use crate::error::{Error, misfit::describe};
use crate::error::{TurnError, TurnErrorKind, TurnOutcome};

impl Ask {
    /// Asks for an answer of type `T`. The JSON schema of `T` becomes the turn's `outputSchema`, in
    /// the strict subset that the model takes. The doc comments of `T` tell the model about the
    /// fields.
    ///
    /// ```no_run
    /// # async fn run(thread: cas_sdk::Thread) -> Result<(), cas_sdk::Error> {
    /// #[derive(serde::Deserialize, schemars::JsonSchema)]
    /// struct Verdict {
    ///     /// Whether the build is broken.
    ///     broken: bool,
    ///     /// The commit that broke it, if that is known.
    ///     commit: Option<String>,
    /// }
    ///
    /// let turn = thread.ask("Who broke the build?").structured::<Verdict>().await?;
    /// let (verdict, outcome) = turn.finish().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// In the strict subset every field is required, so optional fields become nullable. Objects
    /// have no other fields. Constraints that the subset can't express, such as patterns of keys,
    /// are checked when the answer is read. A type that is not an object, such as a list or an
    /// enum, is wrapped into one and unwrapped again.
    ///
    /// # Errors
    /// When the turn is started, and before anything is sent, [`Error::Invalid`] names the field
    /// whose type the subset does not have: a map with keys of its own, a tuple, or a value of any
    /// kind. [`Error::Rpc`] of kind `OutputSchemaMismatch` while a running turn has to answer in
    /// another form.
    pub fn structured<T: DeserializeOwned + JsonSchema>(self) -> StructuredAsk<T> {
        let ask = match strict_schema::schema_of::<T>() {
            Ok(strict) => match strict.into_raw() {
                Ok(schema) => self.raw_schema(schema),
                Err(e) => self.refuse(Error::encode("turn/start", &e)),
            },
            Err(problem) => self.refuse(Error::Invalid(problem)),
        };
        StructuredAsk {
            ask,
            answer: PhantomData,
        }
    }
}

/// A turn about to be started for an answer of type `T`; see [`Ask::structured`].
#[must_use = "a turn is not started until this is awaited"]
pub struct StructuredAsk<T> {
    ask: Ask,
    answer: PhantomData<fn() -> T>,
}

impl<T: 'static> IntoFuture for StructuredAsk<T> {
    type Output = Result<StructuredTurn<T>, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            Ok(StructuredTurn {
                turn: self.ask.await?,
                answer: PhantomData,
            })
        })
    }
}

impl<T> fmt::Debug for StructuredAsk<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StructuredAsk").field(&self.ask).finish()
    }
}

/// A [`Turn`] whose answer is of type `T`. Everything except [`finish`](Self::finish) is as in
/// [`Turn`].
#[must_use = "a turn that is dropped is interrupted; use `finish`, or `detach` to let it run"]
pub struct StructuredTurn<T> {
    turn: Turn,
    answer: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned + JsonSchema> StructuredTurn<T> {
    /// Waits for the end and parses the final answer as a `T`. Only the final message is parsed,
    /// since remarks on the way to it may have the same form.
    ///
    /// # Errors
    /// Same errors as [`Turn::finish`]; the kind is
    /// [`AnswerMismatch`](TurnErrorKind::AnswerMismatch) if the answer is not a `T`. This error has
    /// the outcome, and so the text of the answer and the token usage.
    pub async fn finish(self) -> Result<(T, TurnOutcome), Error> {
        let outcome = self.turn.finish().await?;
        match parse(&outcome.text) {
            Ok(answer) => Ok((answer, outcome)),
            Err(reason) => Err(Error::from(TurnError {
                kind: TurnErrorKind::AnswerMismatch { reason },
                outcome,
            })),
        }
    }
}

impl<T> StructuredTurn<T> {
    /// Returns the turn itself, whose answer is text again.
    pub fn into_inner(self) -> Turn {
        self.turn
    }
}

fn parse<T: DeserializeOwned + JsonSchema>(text: &str) -> Result<T, String> {
    let misfit = |e: serde_json::Error| describe(text, &e);
    if !strict_schema::schema_of::<T>()?.is_wrapped {
        return serde_json::from_str(text).map_err(misfit);
    }
    let mut wrapped: Value = serde_json::from_str(text).map_err(misfit)?;
    let value = wrapped.get_mut(strict_schema::WRAP).map(Value::take);
    let value = value.ok_or_else(|| format!("missing field `{}`", strict_schema::WRAP))?;
    serde_json::from_value(value).map_err(misfit)
}

impl<T> Deref for StructuredTurn<T> {
    type Target = Turn;

    fn deref(&self) -> &Turn {
        &self.turn
    }
}

impl<T> DerefMut for StructuredTurn<T> {
    fn deref_mut(&mut self) -> &mut Turn {
        &mut self.turn
    }
}

impl<T> Stream for StructuredTurn<T> {
    type Item = Result<TurnEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.turn).poll_next(cx)
    }
}

impl<T> fmt::Debug for StructuredTurn<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StructuredTurn").field(&self.turn).finish()
    }
}
