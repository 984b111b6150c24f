//! Reviews: of the working tree, a commit or a branch, with a typed verdict.

mod child;
mod reviewed;
mod verdict;

use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;

pub use reviewed::Reviewed;
pub use verdict::{Correctness, Finding, Findings, Location, Verdict};

use super::{control::TurnControl, event::TurnEvent, reader::Turn};
use crate::error::TurnOutcome;
use crate::{
    error::Error,
    protocol::{
        self, BaseBranchReviewTarget, CommitReviewTarget, CustomReviewTarget, ReviewTarget,
        TurnStatus,
    },
    thread::Thread,
};

const METHOD: &str = "review/start";

impl ReviewTarget {
    /// The working tree: staged changes, unstaged changes and untracked files.
    #[must_use]
    pub fn uncommitted() -> Self {
        Self::UncommittedChanges
    }

    /// The changes of the checked-out branch since it left this branch.
    #[must_use]
    pub fn base_branch(branch: impl Into<String>) -> Self {
        Self::BaseBranch(BaseBranchReviewTarget::new(branch))
    }

    /// The changes of one commit.
    #[must_use]
    pub fn commit(sha: impl Into<String>) -> Self {
        Self::Commit(CommitReviewTarget::new(sha))
    }

    /// Whatever the instructions describe.
    #[must_use]
    pub fn custom(instructions: impl Into<String>) -> Self {
        Self::Custom(CustomReviewTarget::new(instructions))
    }
}

impl Thread {
    /// `review/start`: reviews the working tree, a commit or a branch. Awaiting the returned value
    /// starts the review, which is a turn that takes no other input and asks for no approvals.
    ///
    /// ```no_run
    /// # async fn run(thread: cas_sdk::Thread) -> Result<(), cas_sdk::Error> {
    /// use cas_sdk::{protocol::ReviewTarget, turn::Verdict};
    /// let outcome = thread.review(ReviewTarget::base_branch("main")).await?.finish().await?;
    /// match outcome.verdict {
    ///     Verdict::Typed(found) => println!("{:?}: {} findings", found.correctness, found.findings.len()),
    ///     Verdict::Raw { text, .. } => println!("{text}"),
    ///     _ => {}
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] while a turn runs on the thread, unless
    /// [`interrupt_running`](StartReview::interrupt_running) was called; otherwise the same errors
    /// as [`ask`](Self::ask).
    pub fn review(&self, target: impl Into<ReviewTarget>) -> StartReview {
        StartReview {
            thread: self.clone(),
            target: target.into(),
            interrupts: false,
        }
    }

    /// Refuses a request that would abort a running turn; the server aborts the turn silently.
    pub(crate) async fn check_at_rest(&self, method: &str) -> Result<(), Error> {
        let Some(turn) = self.running_turn().await? else {
            return Ok(());
        };
        Err(Error::Invalid(format!(
            "turn {} runs on thread {}, and {method} would abort it: wait for its end, or call `interrupt_running()`",
            turn.id(),
            self.id()
        )))
    }
}

/// A review about to be started; see [`Thread::review`].
#[derive(Debug, Clone)]
#[must_use = "a review is not started until this is awaited"]
pub struct StartReview {
    thread: Thread,
    target: ReviewTarget,
    interrupts: bool,
}

impl StartReview {
    /// Starts the review even if a turn runs on the thread. The server aborts that turn. Default:
    /// the review is refused.
    pub fn interrupt_running(mut self) -> Self {
        self.interrupts = true;
        self
    }

    async fn start(self) -> Result<Review, Error> {
        let Self {
            thread,
            target,
            interrupts,
        } = self;
        thread.check_followed()?;
        if !interrupts {
            thread.check_at_rest(METHOD).await?;
        }
        let reviewed = Reviewed::of(&thread, &target).await;
        let target = protocol::to_value(&target).map_err(|e| Error::encode(METHOD, &e))?;
        let params = serde_json::json!({"threadId": thread.id(), "target": target}).to_string();
        let timeout = thread.client().request_timeout();
        let turn = thread.begin(METHOD, params, timeout, true).await?;
        Ok(Review { turn, reviewed })
    }
}

impl IntoFuture for StartReview {
    type Output = Result<Review, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.start())
    }
}

/// A review: a stream of [`TurnEvent`]s, and a verdict. [`Thread::review`] starts a review.
///
/// The server runs a review under two ids. Its items and its end have the id of [`id`](Self::id).
/// An interrupt needs the other id, which this type knows. A review that is dropped before its end
/// is interrupted.
#[must_use = "a review that is dropped is interrupted"]
pub struct Review {
    turn: Turn,
    reviewed: Reviewed,
}

/// The outcome of a review.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReviewOutcome {
    /// The verdict of the reviewer.
    pub verdict: Verdict,
    /// What exactly was reviewed.
    pub reviewed: Reviewed,
    /// The turn; its `text` is the verdict as the server renders it. The server reports no tokens
    /// of a review.
    pub turn: TurnOutcome,
}

impl Review {
    /// The id of the turn, which the items and the end of the review have.
    #[must_use]
    pub fn id(&self) -> &str {
        self.turn.id()
    }

    /// The turn of the review. It can do all that a turn can do, except be steered.
    pub fn turn(&self) -> &Turn {
        &self.turn
    }

    /// What exactly is being reviewed.
    #[must_use]
    pub fn reviewed(&self) -> &Reviewed {
        &self.reviewed
    }

    /// The next event. `None` after the end. Cancel safe.
    ///
    /// # Errors
    /// Same errors as [`Turn::next`].
    pub async fn next(&mut self) -> Option<Result<TurnEvent, Error>> {
        self.turn.next().await
    }

    /// Interrupts the review. Returns the status with which the review actually ended.
    ///
    /// # Errors
    /// Same errors as [`TurnControl::interrupt`].
    pub async fn interrupt(&self) -> Result<TurnStatus, Error> {
        self.turn.interrupt().await
    }

    /// Waits for the end, and reads the reviewer's own answer from the hidden thread of the review
    /// (`thread/list`, `thread/items/list`).
    ///
    /// # Errors
    /// Same errors as [`Turn::finish`]. A review that is not in the requested format is not an
    /// error but [`Verdict::Raw`], and so is a review on an ephemeral thread, since the server
    /// keeps no record of it.
    pub async fn finish(self) -> Result<ReviewOutcome, Error> {
        let Self { turn, reviewed } = self;
        let (thread, id) = (turn.thread().clone(), turn.id().to_owned());
        let turn = turn.finish().await?;
        Ok(ReviewOutcome {
            verdict: child::verdict(&thread, &id, &turn.text).await,
            reviewed,
            turn,
        })
    }

    /// Keeps the review running without this handle.
    #[must_use]
    pub fn detach(self) -> TurnControl {
        self.turn.detach()
    }
}

impl Stream for Review {
    type Item = Result<TurnEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.turn.poll(cx)
    }
}

impl fmt::Debug for Review {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Review")
            .field("thread", &self.turn.thread().id())
            .field("id", &self.id())
            .field("reviewed", &self.reviewed)
            .finish_non_exhaustive()
    }
}
