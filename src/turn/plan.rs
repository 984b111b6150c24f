//! Plan mode: a turn that plans and does nothing, its plan, and the turn that implements the plan.

use serde_json::json;

use super::{mode::FIELD, reader::Turn, start::Ask};
use crate::error::TurnOutcome;
use crate::{
    error::Error,
    protocol::{ThreadItem, ThreadPrepareApprovedPlanParams},
    thread::Thread,
};

/// The input that implements a plan of the same thread. The server uses the same text for a plan
/// that it puts into the context.
const IMPLEMENT: &str = "Implement the plan.";

/// A plan that an agent has proposed in plan mode.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// The id of the thread on which the plan was made.
    pub thread_id: String,
    /// The id of the turn that made the plan.
    pub turn_id: String,
    /// The plan, in Markdown.
    pub text: String,
    /// Whether the whole plan was received. A plan whose turn was interrupted is not complete.
    pub is_complete: bool,
}

impl Plan {
    /// Creates a plan from text of your own, or from an edited plan, to be
    /// [implemented](Thread::implement) on any thread.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            thread_id: String::new(),
            turn_id: String::new(),
            text: text.into(),
            is_complete: true,
        }
    }
}

impl TurnOutcome {
    /// The last plan that the agent has proposed, if it proposed one. A turn that says nothing but
    /// a plan has an empty [`text`](Self::text).
    #[must_use]
    pub fn plan(&self) -> Option<Plan> {
        let mut items = self.items.iter().rev();
        items.find_map(|item| match &item.item {
            ThreadItem::Plan(plan) => Some(Plan {
                thread_id: self.thread_id.clone(),
                turn_id: self.turn_id.clone(),
                text: plan.text.clone(),
                is_complete: item.completed,
            }),
            _ => None,
        })
    }
}

impl Ask {
    /// Makes the agent plan and not act: the agent may read and ask, and proposes a
    /// [plan](TurnOutcome::plan). The thread stays in plan mode, even across restarts, until a turn
    /// is started with [`execute`](Self::execute). Experimental.
    ///
    /// A running turn that the input joins keeps its mode; the next turn has this mode.
    ///
    /// ```no_run
    /// # async fn run(thread: cas_sdk::Thread) -> Result<(), cas_sdk::Error> {
    /// let planned = thread.ask("Make it faster.").plan().await?.finish().await?;
    /// if let Some(plan) = planned.plan() {
    ///     println!("{}", plan.text);
    ///     thread.implement(&plan).await?.finish().await?;
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When the turn is started, [`Error::Invalid`] if the model of the thread is not known, as for
    /// a thread that was only named by its id. Name the model with [`model`](Self::model): the
    /// server would take an empty model literally.
    pub fn plan(self) -> Self {
        self.field(FIELD, json!({"mode": "plan"}))
    }

    /// Leaves plan mode, for this turn and later ones.
    ///
    /// # Errors
    /// Same errors as [`plan`](Self::plan).
    pub fn execute(self) -> Self {
        self.field(FIELD, json!({"mode": "default"}))
    }
}

impl Thread {
    /// Implements a plan: leaves plan mode and tells the agent to implement the plan. A plan of
    /// another thread, or one of your own, is first put into the context of this thread
    /// (`thread/prepareApprovedPlan`). Experimental.
    ///
    /// # Errors
    /// Same errors as [`ask`](Self::ask) and [`Ask::plan`].
    pub async fn implement(&self, plan: &Plan) -> Result<Turn, Error> {
        if plan.thread_id == self.id() {
            return self.ask(IMPLEMENT).execute().await;
        }
        self.check_followed()?;
        let params = ThreadPrepareApprovedPlanParams::new(self.id(), plan.text.as_str());
        let prepared = self.client().request(params).await?;
        self.ask(prepared.prompt).execute().await
    }
}
