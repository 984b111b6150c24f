//! The requests of a session that wait for somebody, and which of them the person at the terminal
//! is asked.

use std::sync::Arc;

use cas_sdk::handlers::{PendingRequest, PendingRequestChange as Change, Settled};

use super::{
    asking::{Asking, Kind, Reply, may_decide},
    items::Items,
    view::View,
};
use crate::{commands::request_summary::RequestSummary, output::Result, screen::DIM};

#[derive(Default)]
pub(super) struct Requests {
    /// Whether somebody is there to be asked.
    pub(super) asks: bool,
    pub(super) items: Items,
    /// The oldest first.
    waiting: Vec<Waiting>,
    /// The one that is asked: the oldest that the person can answer.
    asked: Option<Asking>,
}

/// A pending request, and what it is about.
#[derive(Clone)]
pub(super) struct Waiting {
    pub(super) request: PendingRequest,
    pub(super) summary: Arc<RequestSummary>,
}

impl Requests {
    /// Records a change.
    pub(super) async fn changed(&mut self, change: Change, view: &mut View) -> Result {
        match change {
            Change::Added(request) => {
                let waiting = self.about(request);
                self.waiting.push(waiting.clone());
                let asking = match self.asked {
                    None => self.asking(&waiting, view),
                    Some(_) => None,
                };
                view.pending(&waiting, asking.as_ref()).await?;
                self.ask(asking, view).await
            }
            // The connection has ended, and the request may wait on.
            Change::Settled(request) if request.settled() == Some(Settled::Closed) => Ok(()),
            Change::Settled(request) => {
                let at = { self.waiting.iter() }.position(|one| one.request.id == request.id);
                let waiting = match at {
                    Some(at) => self.waiting.remove(at),
                    None => self.about(request),
                };
                let id = &waiting.request.id;
                let asked = self.asked.take_if(|asked| asked.waiting.request.id == *id);
                let how = match &asked {
                    Some(asked) => end(asked, view).await?,
                    None => End::Unasked,
                };
                view.settled(&waiting, how).await?;
                let mut all = self.waiting.iter();
                let next = match asked {
                    Some(_) => all.find_map(|waiting| self.asking(waiting, view)),
                    None => None,
                };
                if let Some(next) = &next {
                    view.pending(&next.waiting, Some(next)).await?;
                }
                self.ask(next, view).await
            }
            _ => Ok(()),
        }
    }

    /// Forgets all requests: the server sends them again on the next connection.
    pub(super) async fn clear(&mut self, view: &mut View) -> Result {
        self.waiting.clear();
        if let Some(asked) = self.asked.take() {
            end(&asked, view).await?;
        }
        Ok(())
    }

    /// Whether the question that is due asks for a secret.
    pub(super) fn wants_secret(&self) -> bool {
        let asked = self.asked.as_ref().filter(|asked| !asked.is_answered);
        let question = asked.and_then(Asking::question);
        question.is_some_and(|(_, is_secret)| is_secret)
    }

    /// Takes a typed line as an answer. `begun` is the number of the question that was current when
    /// the line was begun. Returns `false` if the line is something else.
    pub(super) async fn typed(&mut self, line: &str, begun: u64, view: &mut View) -> Result<bool> {
        let Some(asking) = &mut self.asked else {
            return Ok(false);
        };
        match asking.take(line, begun) {
            Reply::No => return Ok(false),
            Reply::Late => {}
            Reply::Next => view.ask(asking).await?,
            Reply::Wrong(why) => {
                view.remark(DIM, &why).await?;
                view.ask(asking).await?;
            }
            Reply::Stale => view.remark(DIM, STALE).await?,
            Reply::Unsent => {
                view.remark(DIM, UNSENT).await?;
                view.page.put_back(line).await?;
            }
            Reply::Answer(answer) => {
                asking.is_answered = true;
                view.page.label(None, false).await?;
                let Waiting { request, summary } = &asking.waiting;
                let text = match request.answer(answer).await {
                    Ok(()) => format!("answered: {}", summary.subject()),
                    Err(error) => error.to_string(),
                };
                view.remark(DIM, &text).await?;
            }
        }
        Ok(true)
    }

    fn about(&mut self, request: PendingRequest) -> Waiting {
        let changes = self.items.changes(request.item_id.as_deref());
        let summary = RequestSummary::of(&request, changes, |call| self.items.take_call(call));
        Waiting {
            summary: Arc::new(summary),
            request,
        }
    }

    fn asking(&self, waiting: &Waiting, view: &View) -> Option<Asking> {
        let waits = self.asks && waiting.request.settled().is_none();
        waits.then(|| Asking::of(waiting, view.page.hides()))?
    }

    async fn ask(&mut self, asking: Option<Asking>, view: &mut View) -> Result {
        if let Some(mut asking) = asking {
            view.ask(&asking).await?;
            asking.number = view.page.asks_next();
            self.asked = Some(asking);
        }
        Ok(())
    }
}

/// Shown for a letter that was typed for something else.
const STALE: &str = "not taken: it was typed before this was asked";
/// Shown for a line that may be an answer or something else.
const UNSENT: &str = "not sent: it was begun before this was asked; Enter makes it the answer";

/// What the settling of a request means for the user.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The user was not asked, or had answered.
    Unasked,
    /// Somebody else settled the request.
    Elsewhere,
    /// Somebody else settled the request, and what the user was typing for it is discarded.
    Dropped,
}

/// Ends a question: a typed line no longer answers it. NB. Text typed for a question may be a
/// secret and must not be sent as something else, and text typed for a decision must not decide the
/// next request.
async fn end(asked: &Asking, view: &mut View) -> Result<End> {
    view.page.asks_next();
    view.page.label(None, false).await?;
    if asked.is_answered {
        return Ok(End::Unasked);
    }
    let typed = view.page.typed();
    let is_for_it = match asked.kind {
        Kind::Questions { .. } => true,
        Kind::Decision(_) => may_decide(&typed),
    };
    if typed.is_empty() || !is_for_it {
        return Ok(End::Elsewhere);
    }
    view.page.put_back("").await?;
    Ok(End::Dropped)
}
