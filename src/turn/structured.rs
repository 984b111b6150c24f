//! Answers as values of a type: its schema goes out with the turn, and the answer is read by it.

use std::{
    fmt,
    future::{Future, IntoFuture},
    marker::PhantomData,
    pin::Pin,
};

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    Ask, Input, Thread, TurnOutcome,
    error::{Error, misfit::describe},
    turn::strict_schema,
};

impl Thread {
    /// Asks for an answer of type `T`, and waits for it. The doc comments of `T` are what the model is told about the
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
    /// let verdict: Verdict = thread.ask_as("Who broke the build?").await?;
    /// # Ok(()) }
    /// ```
    ///
    /// To say more about the turn, or to watch it, [`Ask::answer_as`] and [`Ask::output_of`] are for any [`Ask`].
    ///
    /// # Errors
    /// As of [`Ask::answer_as`].
    pub fn ask_as<T: DeserializeOwned + JsonSchema>(&self, input: impl Into<Input>) -> AskAs<T> {
        self.ask(input).answer_as()
    }
}

impl Ask {
    /// Wants the final answer to be a `T`: its JSON schema becomes the turn's `outputSchema`, in the strict subset that
    /// the model takes. [`TurnOutcome::parse`] reads the answer.
    ///
    /// In the strict subset every field is required, so optional ones become nullable; objects have no other fields;
    /// and what can't be said in it is left to [`parse`](TurnOutcome::parse), such as patterns of keys. A type that is
    /// no object, such as a list or an enum, is wrapped into one and unwrapped again.
    ///
    /// # Errors
    /// When the turn is started, and before anything is sent, [`Error::Invalid`] names the field whose type the subset
    /// does not have: a map with keys of its own, a tuple, or a value of any kind.
    pub fn output_of<T: JsonSchema>(self) -> Self {
        match strict_schema::schema_of::<T>() {
            Ok(strict) => match strict.into_raw() {
                Ok(schema) => self.raw_schema(schema),
                Err(e) => self.refuse(Error::encode("turn/start", &e)),
            },
            Err(problem) => self.refuse(Error::Invalid(problem)),
        }
    }

    /// Starts the turn, waits for its end, and reads its final answer as a `T`; see [`output_of`](Self::output_of).
    ///
    /// # Errors
    /// As of [`Thread::ask`], [`Turn::finish`](crate::Turn::finish) and [`TurnOutcome::parse`]; of kind
    /// `OutputSchemaMismatch` while a turn runs that has to answer in another form.
    pub fn answer_as<T: DeserializeOwned + JsonSchema>(self) -> AskAs<T> {
        AskAs {
            ask: self.output_of::<T>(),
            answer: PhantomData,
        }
    }
}

impl TurnOutcome {
    /// The answer as a `T`, of a turn that was asked for one with [`Ask::output_of`]. Only the final message is read:
    /// remarks on the way to it may be of the same form.
    ///
    /// # Errors
    /// [`Error::Decode`] if the answer doesn't fit, with its text.
    pub fn parse<T: DeserializeOwned + JsonSchema>(&self) -> Result<T, Error> {
        let fail = |reason: String| Error::Decode {
            method: "the answer of the turn".to_owned(),
            raw: self.text.as_str().into(),
            reason,
        };
        let strict = strict_schema::schema_of::<T>().map_err(&fail)?;
        if strict.is_wrapped {
            let mut wrapped: Value =
                serde_json::from_str(&self.text).map_err(|e| fail(describe(&self.text, &e)))?;
            let value = wrapped
                .get_mut(strict_schema::WRAP)
                .map(Value::take)
                .ok_or_else(|| fail(format!("missing field `{}`", strict_schema::WRAP)))?;
            return serde_json::from_value(value).map_err(|e| fail(describe(&self.text, &e)));
        }
        serde_json::from_str(&self.text).map_err(|e| fail(describe(&self.text, &e)))
    }
}

/// A question about to be asked, for an answer of type `T`; see [`Thread::ask_as`].
#[must_use = "nothing is asked until this is awaited"]
pub struct AskAs<T> {
    ask: Ask,
    answer: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned + JsonSchema + 'static> IntoFuture for AskAs<T> {
    type Output = Result<T, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let outcome = self.ask.await?.finish().await?;
            outcome.parse()
        })
    }
}

impl<T> fmt::Debug for AskAs<T> {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AskAs").field(&self.ask).finish()
    }
}
