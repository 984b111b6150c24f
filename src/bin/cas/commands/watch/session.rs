//! One session over all connections: its turns and requests are shown, and what is typed is passed
//! on.

use anstyle::AnsiColor;
use cas_sdk::{
    Error, Supervisor, TurnEvent,
    client::Role,
    handlers::PendingRequestChange,
    protocol::TurnStatus,
    supervisor::{Gap, Recovered, ThreadEvent, ThreadEvents},
    turn::{Message, Receipt},
};

use super::{
    link::{Change, Link, over},
    live::{Live, LiveEvent},
    requests::Requests,
    seen::{Missed, Seen},
    view::View,
};
use crate::{
    failure::DONE,
    output::{Result, field},
    page::Typing,
    reason::reason,
    running::{Reconnect, Running, id_of},
    screen::DIM,
    server::Server,
    signals::Signals,
    typing::{Entry, Input},
    waiting::or_never,
};

/// What becomes of an input after an interrupted turn.
const HELD: &str = "queued; after an interrupted turn the queue waits until another one is over: `!` and a text begins one";

pub(super) struct Session {
    id: String,
    supervisor: Supervisor,
    link: Link,
    /// When the connection is lost, and what was missed then. What comes over it is read as turns,
    /// from [`Live`].
    events: ThreadEvents,
    /// `None` while there is no connection.
    live: Option<Live>,
    recovered: Vec<Recovered>,
    seen: Seen,
    view: View,
    requests: Requests,
    /// Whether the last turn was interrupted and none has begun since: the server holds the queue.
    holds_queue: bool,
}

impl Session {
    /// Joins the thread, and shows its last turn.
    pub(super) async fn join(
        server: &Server,
        reconnect: Reconnect,
        role: Role,
        thread: &str,
        mut view: View,
    ) -> Result<Self> {
        let running = Running::with_thread(server, thread, role).await?;
        let supervisor = running.join(reconnect).await?;
        let client = supervisor.client().await?;
        let id = id_of(&client, thread).await?;
        let (live, turns) = Live::join(&client, &id).await?;
        supervisor.keep(&live.thread);
        let events = supervisor.thread_events(&id).await?;
        view.joined(&live.thread, live.turn.is_some()).await?;
        match (&live.turn, turns.last()) {
            (Some(turn), _) => view.began(turn.id(), turn.started_by().as_str()).await?,
            (None, Some(last)) => view.last(last).await?,
            (None, None) => {}
        }
        let mut seen = Seen::default();
        seen.all(&turns);
        let mut requests = Requests::default();
        requests.items.snapshot(&turns);
        Ok(Self {
            id,
            link: Link::new(&supervisor),
            supervisor,
            events,
            live: Some(live),
            recovered: Vec::new(),
            seen,
            view,
            requests,
            holds_queue: false,
        })
    }

    /// Shows what happens until a signal comes or the session ends; returns the exit status. Lines
    /// that are typed are passed on.
    pub(super) async fn follow(&mut self, mut input: Input, signals: &mut Signals) -> Result<u8> {
        self.requests.asks = !matches!(input, Input::Nobody);
        if input.has_keys() {
            self.view.page.take_keys().await?;
        }
        loop {
            tokio::select! {
                biased;
                caught = signals.next() => return caught.leaves(),
                end = self.step(&mut input) => if let Some(status) = end? {
                    return Ok(status);
                },
            }
        }
    }

    /// Waits for what happens next, and shows it; returns the exit status at the end.
    async fn step(&mut self, input: &mut Input) -> Result<Option<u8>> {
        let asked = self.view.page.asked();
        tokio::select! {
            biased;
            entry = input.next() => if self.entry(entry).await? {
                return Ok(Some(DONE));
            },
            event = or_never(self.live.as_mut().map(Live::next)) => self.live_event(event).await?,
            event = self.events.next() => self.link_event(event).await?,
            change = self.link.next() => match change? {
                Change::Lost(attempt) => self.view.lost(&attempt).await?,
                // Reported once it is known what was missed.
                Change::Connected => {}
            },
        }
        if self.view.page.asked() != asked {
            // Lines don't record when they were begun, so what was typed before must not answer the
            // new question.
            input.discard_lines().await;
        }
        Ok(None)
    }

    /// Takes what is typed; returns whether it is the end, which leaves.
    async fn entry(&mut self, entry: Entry) -> Result<bool> {
        let (line, begun) = match entry {
            Entry::Line(line) => (line, self.view.page.asked()),
            Entry::Key(key, more) => match self.view.page.key(key, more).await? {
                Typing::Line(line, begun) => (line, begun),
                Typing::End => return Ok(true),
                Typing::More => return Ok(false),
            },
            Entry::End => return Ok(true),
        };
        self.typed(line.trim(), begun).await?;
        Ok(false)
    }

    /// Shows what came over the connection.
    async fn live_event(&mut self, event: LiveEvent) -> Result {
        match event {
            LiveEvent::Began => {
                self.holds_queue = false;
                let turn = self.live.as_ref().and_then(|live| live.turn.as_ref());
                if let Some(turn) = turn.filter(|turn| self.seen.begin(turn.id())) {
                    let by = turn.started_by();
                    self.view.began(turn.id(), by.as_str()).await?;
                }
            }
            LiveEvent::Event(turn, event) => {
                self.requests.items.event(&event);
                if let TurnEvent::Completed(outcome) = &event {
                    self.holds_queue = outcome.status == TurnStatus::Interrupted;
                }
                let is_new = match &event {
                    TurnEvent::ItemStarted(item) => self.seen.item_began(&turn, item),
                    TurnEvent::ItemCompleted(item) => self.seen.item(&turn, item),
                    TurnEvent::Completed(_) => self.seen.end(&turn),
                    _ => true,
                };
                if is_new {
                    self.view.event(&turn, &event).await?;
                }
            }
            LiveEvent::Request(change) => {
                let (PendingRequestChange::Added(request) | PendingRequestChange::Settled(request)) =
                    &change
                else {
                    return Ok(());
                };
                if request.thread_id.as_deref() == Some(self.id.as_str()) {
                    self.requests.changed(change, &mut self.view).await?;
                }
            }
        }
        Ok(())
    }

    /// Records the end of a connection, and what was missed.
    async fn link_event(&mut self, event: Option<Result<ThreadEvent, Error>>) -> Result {
        match event {
            Some(Ok(ThreadEvent::Lost { .. })) => {
                self.live = None;
                self.requests.clear(&mut self.view).await?;
                self.view.cut().await
            }
            Some(Ok(ThreadEvent::Recovered(missed))) => {
                self.recovered.push(missed);
                Ok(())
            }
            Some(Ok(ThreadEvent::Reconnected { gap, .. })) => self.back(gap).await,
            // What was dropped there has been read as turns.
            Some(Ok(_) | Err(Error::Lagged { .. })) => Ok(()),
            Some(Err(error)) => Err(over(&reason(&error))),
            None => Err(over(&"the connection was shut down")),
        }
    }

    /// Goes on with the next connection, and shows what was missed.
    async fn back(&mut self, gap: Gap) -> Result {
        let client = match self.supervisor.client().await {
            Ok(client) => client,
            Err(error) => return Err(over(&reason(&error))),
        };
        let (live, turns) = match Live::join(&client, &self.id).await {
            Ok(joined) => joined,
            // The connection was lost again, which is reported next.
            Err(error) if error.close_reason().is_some() => return Ok(()),
            Err(error) => return Err(over(&reason(&error))),
        };
        self.requests.items.snapshot(&turns);
        let recovered = std::mem::take(&mut self.recovered);
        let missed = Missed::of(recovered, &turns, &mut self.seen);
        self.link.is_lost = false;
        self.view.back(&missed, gap.incomplete.as_ref()).await?;
        if let Some(turn) = live.turn.as_ref().filter(|t| self.seen.begin(t.id())) {
            let by = turn.started_by();
            self.view.began(turn.id(), by.as_str()).await?;
        }
        self.live = Some(live);
        Ok(())
    }

    /// A line that was typed: an answer to what is asked, a correction, or the next input.
    async fn typed(&mut self, line: &str, begun: u64) -> Result {
        if line.is_empty() {
            return Ok(());
        }
        let Some(thread) = self.live.as_ref().map(|live| live.thread.clone()) else {
            let text = "not sent: there is no connection";
            self.view.remark(AnsiColor::Red.on_default(), text).await?;
            return self.view.page.put_back(line).await;
        };
        // NB. A secret may begin with anything.
        let is_plain = self.requests.wants_secret();
        let (is_correction, text) = match (line.strip_prefix('!'), line.strip_prefix('>')) {
            (Some(text), _) if !is_plain => (true, text.trim()),
            (_, Some(text)) if !is_plain => (false, text.trim()),
            _ if self.requests.typed(line, begun, &mut self.view).await? => return Ok(()),
            _ => (false, line),
        };
        let message = match text {
            "" => return Ok(()),
            text if is_correction => Message::now(text),
            text => Message::next_turn(text),
        };
        let text = match thread.deliver(message).await {
            Ok(Receipt::Steered { .. }) => "the turn is steered".to_owned(),
            Ok(Receipt::Queued(_)) if self.holds_queue => HELD.to_owned(),
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
