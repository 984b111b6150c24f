//! `Message`: what is delivered to a thread, in whose name, and when.

use std::{fmt, sync::Arc};

use super::message_id::message_id;
use crate::{
    error::Error,
    protocol::{
        Call, FunctionCallOutputBody, FunctionCallOutputContentItem,
        InputTextFunctionCallOutputContentItem, TurnToolOutput, UserInput,
    },
    thread::{Input, Thread},
};

/// A message for a thread that may be busy, or run elsewhere; see
/// [`Thread::deliver`](crate::Thread::deliver). The constructor decides when the agent reads it,
/// and in whose name it speaks.
///
/// | constructor | speaks as | busy thread | idle thread |
/// |---|---|---|---|
/// | [`now`](Self::now) | the user | steers, **aborts the streaming answer** | starts a turn |
/// | [`next_turn`](Self::next_turn) | the user | waits in the queue | is taken at once |
/// | [`from_agent`](Self::from_agent) | an agent | is read at the next step | starts a turn |
/// | [`patch`](Self::patch) | an agent | is read at the next step | starts a turn |
#[must_use = "a message is not sent until it is delivered"]
pub struct Message {
    pub(super) id: String,
    pub(super) content: Content,
    pub(super) queue_elsewhere: bool,
}

pub(super) enum Content {
    Now(Vec<UserInput>),
    NextTurn(Vec<UserInput>),
    Agent { name: String, parts: Vec<String> },
}

/// The longest message of an agent, in bytes. Codex cuts the middle out of a longer output of a
/// tool, before the model sees it.
const LONGEST: usize = 10_000;

impl Message {
    fn new(content: Content) -> Self {
        Self {
            id: message_id(),
            content,
            queue_elsewhere: false,
        }
    }

    /// A correction by the user. The running turn is steered with it (`turn/steer`). The server
    /// aborts the answer that the model is streaming: its text does not get into the history. A
    /// running command or a pending approval is not aborted, and the message waits for it.
    ///
    /// Without a running turn, the message starts one (`turn/start`).
    pub fn now(input: impl Into<Input>) -> Self {
        Self::new(Content::Now(input.into().into()))
    }

    /// The user's next input, for a turn of its own once nothing else runs (`thread/queue/add`).
    /// Aborts nothing. Experimental; an ephemeral thread has no queue.
    pub fn next_turn(input: impl Into<Input>) -> Self {
        Self::new(Content::NextTurn(input.into().into()))
    }

    /// A report of another agent or program, under the name of its sender. The model reads it as
    /// the output of a tool, without the authority of the user. It aborts nothing and survives a
    /// compaction. Experimental.
    ///
    /// It has at most 10,000 bytes: codex cuts the middle out of a longer output of a tool.
    pub fn from_agent(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(Content::Agent {
            name: name.into(),
            parts: vec![text.into()],
        })
    }

    /// A proposed change of the code, as a unified diff. It is delivered as
    /// [`from_agent`](Self::from_agent) delivers a text, after a line which says that the patch is
    /// not applied. Applying it is up to the agent.
    pub fn patch(name: impl Into<String>, diff: impl Into<String>) -> Self {
        let name = name.into();
        let head =
            format!("A patch that {name} proposes, as a unified diff. It has not been applied.");
        Self::new(Content::Agent {
            name,
            parts: vec![head, diff.into()],
        })
    }

    /// Lets a message of an agent take the only way into a thread that this server has not loaded:
    /// the durable queue, which takes nothing but messages of the user. The text then begins with
    /// the name of the agent, and **has the authority of the user**.
    ///
    /// Default: [`deliver`](crate::Thread::deliver) fails instead, with an error of kind
    /// `ThreadMissing`.
    pub fn or_queue_as_user(mut self) -> Self {
        self.queue_elsewhere = true;
        self
    }

    /// The id of this message, which no other message has. It is sent as `clientUserMessageId`; for
    /// a message of an agent, as the namespace of the tool's output.
    /// [`find_message`](crate::Thread::find_message) takes it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl Thread {
    /// Makes a request that delivers the message with this id. An answer that was lost is an error
    /// of its own, since the message may have been delivered.
    pub(super) async fn send_once<C: Call>(
        &self,
        params: C,
        id: &str,
    ) -> Result<C::Response, Error> {
        let answer = self.client().request(params).await;
        answer.map_err(|error| match error {
            Error::Timeout { .. } | Error::Decode { .. } => Error::Indeterminate {
                method: C::METHOD.to_owned(),
                id: Some(id.to_owned()),
                reason: Arc::new(error),
            },
            error => error,
        })
    }
}

impl Content {
    /// Refuses what the model would not see whole.
    pub(super) fn check(&self) -> Result<(), Error> {
        let Self::Agent { name, parts } = self else {
            return Ok(());
        };
        let len: usize = parts.iter().map(String::len).sum();
        if len > LONGEST {
            return Err(Error::Invalid(format!(
                "the message of {name} has {len} bytes, and a model sees at most {LONGEST} of a tool's output whole: \
                 put the rest into a file, and name it"
            )));
        }
        Ok(())
    }

    /// The content as input of the user, for the queue.
    pub(super) fn into_input(self) -> Vec<UserInput> {
        match self {
            Self::Now(input) | Self::NextTurn(input) => input,
            Self::Agent { name, parts } => {
                let text = format!("Message from {name}:\n\n{}", parts.join("\n\n"));
                Input::from(text).into()
            }
        }
    }
}

/// The text of an agent as the output of a tool. The output has no id of the client, so the id is
/// its namespace.
pub(super) fn tool_output(id: &str, name: String, mut parts: Vec<String>) -> TurnToolOutput {
    let body = if parts.len() == 1 {
        FunctionCallOutputBody::Text(parts.remove(0))
    } else {
        let parts = parts.into_iter().map(|text| {
            FunctionCallOutputContentItem::from(InputTextFunctionCallOutputContentItem::new(text))
        });
        FunctionCallOutputBody::List(parts.collect())
    };
    // NB. Without `retain`, a compaction drops it.
    TurnToolOutput::new(name, body).namespace(id).retain(true)
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.content {
            Content::Now(_) => "now",
            Content::NextTurn(_) => "next turn",
            Content::Agent { .. } => "agent",
        };
        f.debug_struct("Message")
            .field("id", &self.id)
            .field("kind", &kind)
            .finish_non_exhaustive()
    }
}
