//! The requests of a session that wait for somebody, and which of them the person at the terminal is asked.

use cas_sdk::handlers::{PendingRequest, PendingRequestChange as Change, Settled};

use super::{
    asking::{Asking, Kind, Taken},
    view::{View, what},
};
use crate::{
    output::{Result, field},
    screen::DIM,
};

#[derive(Default)]
pub(super) struct Requests {
    /// Whether somebody is there to be asked.
    pub(super) asks: bool,
    /// The oldest first.
    waiting: Vec<PendingRequest>,
    /// The one that is asked: the oldest that the person can answer.
    asked: Option<Asking>,
}

impl Requests {
    /// Records a change.
    pub(super) async fn changed(&mut self, change: Change, view: &mut View) -> Result {
        match change {
            Change::Added(request) => {
                let asking = match self.asked {
                    None => self.asking(&request, view),
                    Some(_) => None,
                };
                view.pending(&request, &mark(asking.as_ref())).await?;
                self.waiting.push(request);
                self.ask(asking, view).await
            }
            // The connection has ended, and the request may wait on.
            Change::Settled(request) if request.settled() == Some(Settled::Closed) => Ok(()),
            Change::Settled(request) => {
                self.waiting.retain(|waiting| waiting.settled().is_none());
                let asked = self.asked.take_if(|asked| asked.request.id == request.id);
                if let Some(asked) = &asked {
                    end(asked, view).await?;
                }
                view.settled(&request).await?;
                let mut waiting = self.waiting.iter();
                let next = match asked {
                    Some(_) => waiting.find_map(|request| self.asking(request, view)),
                    None => None,
                };
                if let Some(next) = &next {
                    view.pending(&next.request, &next.mark()).await?;
                }
                self.ask(next, view).await
            }
            _ => Ok(()),
        }
    }

    /// Forgets all requests: the server sends them again on the next connection.
    pub(super) async fn clear(&mut self, view: &mut View) -> Result {
        self.waiting.clear();
        match self.asked.take() {
            Some(asked) => end(&asked, view).await,
            None => Ok(()),
        }
    }

    /// Whether the question that is due asks for a secret.
    pub(super) fn wants_secret(&self) -> bool {
        let asked = self.asked.as_ref().filter(|asked| !asked.is_answered);
        let question = asked.and_then(Asking::question);
        question.is_some_and(|(_, is_secret)| is_secret)
    }

    /// Takes a line that was typed as an answer; returns whether it is one.
    pub(super) async fn typed(&mut self, line: &str, view: &mut View) -> Result<bool> {
        let Some(asking) = &mut self.asked else {
            return Ok(false);
        };
        match asking.take(line) {
            Taken::No => return Ok(false),
            Taken::Late => {}
            Taken::Next => view.ask(asking).await?,
            Taken::Wrong(why) => {
                view.remark(DIM, &field(&why)).await?;
                view.ask(asking).await?;
            }
            Taken::Answer(answer) => {
                asking.is_answered = true;
                view.page.label(None, false).await?;
                let text = match asking.request.answer(answer).await {
                    Ok(()) => format!("answered: {}", field(&what(&asking.request))),
                    Err(error) => field(&error.to_string()).into_owned(),
                };
                view.remark(DIM, &text).await?;
            }
        }
        Ok(true)
    }

    fn asking(&self, request: &PendingRequest, view: &View) -> Option<Asking> {
        let waits = self.asks && request.settled().is_none();
        waits.then(|| Asking::of(request, view.page.hides()))?
    }

    async fn ask(&mut self, asking: Option<Asking>, view: &mut View) -> Result {
        if let Some(asking) = asking {
            view.ask(&asking).await?;
            self.asked = Some(asking);
        }
        Ok(())
    }
}

/// Marks the request that a typed letter answers.
fn mark(asking: Option<&Asking>) -> String {
    asking.map(Asking::mark).unwrap_or_default()
}

/// Ends a question: a typed line no longer answers it. NB. Text typed for a question may be a
/// secret and must not be sent as something else.
async fn end(asked: &Asking, view: &mut View) -> Result {
    let was_typed = !asked.is_answered && matches!(asked.kind, Kind::Questions { .. });
    if was_typed {
        view.page.put_back("").await?;
    }
    view.page.label(None, false).await
}
