//! One session: its turns and requests are shown, and what is typed is passed on.

use anstyle::AnsiColor;
use cas_sdk::{
    CasClient, Thread, Turn, TurnEvent,
    handlers::{Decision, PendingRequest, PendingRequestChange, PendingRequestChanges},
    turn::{Message, Receipt, Turns},
};

use super::view::{View, what};
use crate::{
    failure::{DONE, FAILED},
    output::{Failure, Result, field},
    screen::DIM,
    signals::{Caught, Signals},
    stdio::Typed,
};

/// Marks the request that a typed letter answers.
const ASK: &str = " [y/n]";

pub(super) struct Session {
    thread: Thread,
    view: View,
    turns: Turns,
    turn: Option<Turn>,
    /// The id of the turn that was shown last.
    last: String,
    requests: PendingRequestChanges,
    /// The requests of this thread that wait, the oldest first.
    waiting: Vec<PendingRequest>,
}

impl Session {
    /// Joins the thread, and shows its last turn.
    pub(super) async fn join(client: &CasClient, id: &str, mut view: View) -> Result<Self> {
        let requests = client.pending_request_changes();
        // NB. Subscribe first: a turn may begin right after the snapshot.
        let turns = client.thread(id).turns();
        let mut joined = client.join(id).await?;
        let turn = joined.take_turn();
        view.joined(joined.thread(), turn.is_some()).await?;
        match (&turn, joined.turns().last()) {
            (Some(turn), _) => view.began(turn).await?,
            (None, Some(last)) => view.last(last).await?,
            (None, None) => {}
        }
        Ok(Self {
            thread: joined.thread().clone(),
            view,
            turns,
            last: turn
                .as_ref()
                .map_or_else(String::new, |turn| turn.id().to_owned()),
            turn,
            requests,
            waiting: Vec::new(),
        })
    }

    /// Shows what happens until a signal comes or the session ends; returns the exit status. Lines that are typed are
    /// passed on.
    pub(super) async fn follow(
        &mut self,
        mut typed: Option<Typed>,
        signals: &mut Signals,
    ) -> Result<u8> {
        let acts = typed.is_some();
        loop {
            tokio::select! {
                biased;
                caught = signals.next() => return match caught {
                    Caught::Interrupt => Ok(DONE),
                    other => Err(Failure::Signal(other)),
                },
                line = line(&mut typed) => match line {
                    Some(line) => self.typed(line.trim()).await?,
                    // The end of what is typed leaves, too.
                    None => return Ok(DONE),
                },
                event = next(&mut self.turn) => self.event(event).await?,
                turn = self.turns.next(), if self.turn.is_none() => match turn {
                    Some(Ok(turn)) if self.last == turn.id() => {}
                    Some(Ok(turn)) => {
                        self.view.began(&turn).await?;
                        turn.id().clone_into(&mut self.last);
                        self.turn = Some(turn);
                    }
                    Some(Err(_)) | None => return Ok(self.ended().await),
                },
                // NB. After the events: the item that a request is about was told before it.
                change = self.requests.next() => match change {
                    Some(change) => self.changed(change, acts).await?,
                    None => return Ok(self.ended().await),
                },
            }
        }
    }

    /// Nothing more comes.
    async fn ended(&mut self) -> u8 {
        let reason = self.thread.client().closed().await;
        crate::output::complain(&format!("the session can't be followed any more: {reason}"));
        FAILED
    }

    async fn event(&mut self, event: Option<TurnEvent>) -> Result {
        let Some(turn) = &self.turn else {
            return Ok(());
        };
        if let Some(event) = event {
            return self.view.event(turn.id(), &event).await;
        }
        self.turn = None;
        Ok(())
    }

    async fn changed(&mut self, change: PendingRequestChange, acts: bool) -> Result {
        match change {
            PendingRequestChange::Added(request) if self.is_of_this_thread(&request) => {
                let is_asked = acts && self.asked().is_none() && !request.offers().is_empty();
                let how = if is_asked { ASK } else { "" };
                self.view.pending(&request, how).await?;
                self.waiting.push(request);
            }
            PendingRequestChange::Settled(request) if self.is_of_this_thread(&request) => {
                let before = self.asked().map(|asked| asked.id.clone());
                self.waiting.retain(|waiting| waiting.settled().is_none());
                self.view.settled(&request).await?;
                let next = self
                    .asked()
                    .filter(|next| Some(&next.id) != before.as_ref());
                if let (true, Some(next)) = (acts, next.cloned()) {
                    self.view.pending(&next, ASK).await?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The request that `y` and `n` answer, the one that was shown with the question: the oldest
    /// that waits for a decision.
    fn asked(&self) -> Option<&PendingRequest> {
        let mut waiting = self.waiting.iter();
        waiting.find(|request| !request.offers().is_empty())
    }

    fn is_of_this_thread(&self, request: &PendingRequest) -> bool {
        request.thread_id.as_deref() == Some(self.thread.id())
    }

    /// A line that was typed: an answer to the oldest approval that waits, a correction, or the next input.
    async fn typed(&mut self, line: &str) -> Result {
        if line.is_empty() {
            return Ok(());
        }
        let decision = match line.to_lowercase().as_str() {
            "y" | "yes" => Some(Decision::Accept),
            "n" | "no" => Some(Decision::Decline),
            _ => None,
        };
        if let (Some(decision), Some(request)) = (decision, self.asked().cloned()) {
            let text = match request.answer(decision).await {
                Ok(()) => format!("answered: {}", field(&what(&request))),
                Err(error) => field(&error.to_string()).into_owned(),
            };
            return self.view.remark(DIM, &text).await;
        }
        let message = match line.strip_prefix('!') {
            Some(text) if text.trim().is_empty() => return Ok(()),
            Some(text) => Message::now(text.trim()),
            None => Message::next_turn(line),
        };
        let text = match self.thread.deliver(message).await {
            Ok(Receipt::Steered { .. }) => "the turn is steered".to_owned(),
            Ok(Receipt::Queued(_)) => "queued".to_owned(),
            Ok(_) => return Ok(()),
            Err(error) => {
                let text = field(&error.to_string()).into_owned();
                return self.view.remark(AnsiColor::Red.on_default(), &text).await;
            }
        };
        self.view.remark(DIM, &text).await
    }
}

/// The next line that is typed, where somebody types. Cancel safe.
async fn line(typed: &mut Option<Typed>) -> Option<String> {
    match typed {
        Some(typed) => typed.line().await,
        None => std::future::pending().await,
    }
}

/// The next event of the turn; `None` at its end. Cancel safe.
async fn next(turn: &mut Option<Turn>) -> Option<TurnEvent> {
    match turn {
        Some(turn) => turn.next().await.and_then(Result::ok),
        None => std::future::pending().await,
    }
}
