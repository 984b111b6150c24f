//! Plan mode: a turn that plans and does nothing, its plan, and the turn that carries it out.

use serde_json::json;

use super::{mode::FIELD, reader::Turn, start::Ask};
use crate::error::TurnOutcome;
use crate::{
    error::Error,
    protocol::{ThreadItem, ThreadPrepareApprovedPlanParams},
    thread::Thread,
};

/// What a plan of the same thread is carried out with; the server has the same for one that it puts into the context.
const IMPLEMENT: &str = "Implement the plan.";

/// A plan that an agent has proposed in plan mode.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// The thread it was made on.
    pub thread_id: String,
    /// The turn that made it.
    pub turn_id: String,
    /// The plan, in Markdown.
    pub text: String,
    /// Whether it was told to its end. One whose turn was interrupted is not.
    pub is_complete: bool,
}

impl Plan {
    /// A plan of your own, or one that was edited, to be [implemented](Thread::implement) on any thread.
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
    /// The plan that the agent has proposed, if it did: the last one. A turn that says nothing but a plan has an empty
    /// [`text`](Self::text).
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
    /// Has the agent plan and not act: it may read and ask, and proposes a [plan](TurnOutcome::plan). The thread stays in
    /// plan mode, over restarts, too, until a turn is asked for with [`execute`](Self::execute). Experimental.
    ///
    /// A running turn that the input joins keeps its mode; the next one has this.
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
    /// When the turn is started, [`Error::Invalid`] if the model of the thread is not known, as of one that was only named
    /// by its id: name it with [`model`](Self::model). The server would take an empty one literally.
    pub fn plan(self) -> Self {
        self.field(FIELD, json!({"mode": "plan"}))
    }

    /// Leaves plan mode, with this turn and for later ones.
    ///
    /// # Errors
    /// As of [`plan`](Self::plan).
    pub fn execute(self) -> Self {
        self.field(FIELD, json!({"mode": "default"}))
    }
}

impl Thread {
    /// Carries a plan out: leaves plan mode and tells the agent to implement it. A plan of another thread, or one of your
    /// own, is put into the context of this one first (`thread/prepareApprovedPlan`). Experimental.
    ///
    /// # Errors
    /// As of [`ask`](Self::ask) and [`Ask::plan`].
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
