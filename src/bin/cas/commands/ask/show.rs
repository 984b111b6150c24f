//! Shows a turn, as text or as JSON lines.

use std::{
    collections::HashMap,
    io::{self, IsTerminal as _},
    sync::Arc,
};

use anstyle::AnsiColor;
use cas_sdk::{Turn, TurnEvent, protocol::ThreadItem};
use indicatif::ProgressBar;
use tokio::sync::mpsc;

use super::{
    Args,
    consent::Question,
    events::Line,
    notes::Notes,
    steps::{step, what},
};
use crate::{
    markdown,
    output::{Result, field, remark},
    page::Page,
    screen::{DIM, Stream, spinner, width},
    stdio::Typed,
};

/// A message of the agent while it comes.
#[derive(Debug, Default)]
pub(super) struct Message {
    id: Option<String>,
    pub(super) shown: String,
}

impl Message {
    /// Begins a message, unless it is the one that is coming.
    fn begin(&mut self, id: &str) {
        if self.id.as_deref() != Some(id) {
            *self = Self {
                id: Some(id.to_owned()),
                shown: String::new(),
            };
        }
    }
}

#[allow(
    clippy::struct_excessive_bools,
    reason = "they are flags, and where the cursor stands"
)]
pub(super) struct Show {
    pub(super) page: Page,
    pub(super) json: bool,
    pub(super) quiet: bool,
    markdown: bool,
    /// Whether the thread ends with its server, so that it can't be continued.
    pub(super) is_ephemeral: bool,
    /// Whether the spinner may be shown.
    pub(super) spins: bool,
    /// `None` while text is written: both may be on one terminal.
    spinner: Option<ProgressBar>,
    /// Whether anything of the answer was shown.
    pub(super) shown: bool,
    pub(super) message: Message,
    /// The plan while it comes, in plan mode.
    plan: Message,
    /// Whether pieces of the message were dropped.
    lagged: bool,
    /// The last message that was whole.
    pub(super) text: String,
    /// What the steps would do, by their ids.
    pub(super) steps: HashMap<String, String>,
    pub(super) notes: Arc<Notes>,
    pub(super) questions: mpsc::Receiver<Question>,
    pub(super) typed: Option<Typed>,
    pub(super) declined: usize,
    /// How many of these were declined by codex's settings, so that no approval would have helped.
    pub(super) unasked: usize,
    pub(super) ids: (String, String),
}

impl Show {
    pub(super) fn new(
        args: &Args,
        notes: Arc<Notes>,
        questions: mpsc::Receiver<Question>,
    ) -> Result<Self> {
        let mut show = Self {
            page: Page::new()?,
            json: args.json,
            quiet: args.quiet || args.json,
            markdown: args.markdown && io::stdout().is_terminal(),
            is_ephemeral: args.ephemeral,
            spins: !args.quiet && !args.json,
            spinner: None,
            shown: false,
            message: Message::default(),
            plan: Message::default(),
            lagged: false,
            text: String::new(),
            steps: HashMap::new(),
            notes,
            questions,
            typed: None,
            declined: 0,
            unasked: 0,
            ids: Default::default(),
        };
        show.spin();
        Ok(show)
    }

    pub(super) fn spin(&mut self) {
        if self.spins && self.spinner.is_none() {
            self.spinner = Some(spinner("thinking"));
        }
    }

    /// Removes the spinner, so that the next output takes its place.
    pub(super) fn clear(&mut self) {
        if let Some(spinner) = self.spinner.take() {
            spinner.finish_and_clear();
        }
    }

    /// A remark in a line of its own, with the spinner after it.
    pub(super) async fn remark(&mut self, style: anstyle::Style, text: &str) -> Result {
        if self.quiet {
            return Ok(());
        }
        self.clear();
        if io::stdout().is_terminal() {
            self.page.new_line().await?;
        }
        remark(style, text);
        self.spin();
        Ok(())
    }

    /// A turn has begun, the first of its thread here or a later one of a goal.
    pub(super) async fn began(&mut self, thread: &str, turn: &str, number: u64) -> Result {
        self.ids = (thread.to_owned(), turn.to_owned());
        if self.json {
            return self.page.json(&Line::started(thread, turn)).await;
        }
        let text = match number {
            1 => format!("thread {}", field(thread)),
            number => format!("turn {number}"),
        };
        self.remark(DIM, &text).await
    }

    /// Prints a warning, even with --quiet.
    pub(super) fn warn(&mut self, text: &str) {
        self.clear();
        remark(AnsiColor::Yellow.on_default(), text);
        self.spin();
    }

    /// Shows all events, notes and questions until the turn ends. Errors go to whoever waits for
    /// the outcome.
    pub(super) async fn all(&mut self, mut turn: Turn) -> Result {
        loop {
            tokio::select! {
                event = turn.next() => match event {
                    Some(Ok(event)) => self.event(event).await?,
                    Some(Err(_)) | None => break,
                },
                aside = self.aside() => self.tell(aside).await?,
            }
        }
        self.notes().await
    }

    pub(super) async fn event(&mut self, event: TurnEvent) -> Result {
        if let TurnEvent::ItemStarted(item) | TurnEvent::ItemCompleted(item) = &event {
            self.keep(item);
        }
        if self.json {
            match &event {
                TurnEvent::Text { delta, .. } => self.message.shown.push_str(delta),
                TurnEvent::ItemCompleted(item) => {
                    if let ThreadItem::AgentMessage(message) = &**item {
                        self.text.clone_from(&message.text);
                        self.message.shown.clear();
                    }
                }
                _ => {}
            }
            let line = Line::of(&event);
            return match line {
                Some(line) => self.page.json(&line).await,
                None => Ok(()),
            };
        }
        match event {
            TurnEvent::Text { delta, .. } => self.delta(false, &delta).await,
            TurnEvent::PlanDelta { item_id, delta } => {
                self.plan.begin(&item_id);
                self.delta(true, &delta).await
            }
            TurnEvent::ItemStarted(item) => match step(&item) {
                Some(text) => self.remark(DIM, &text).await,
                None => Ok(()),
            },
            TurnEvent::ItemCompleted(item) => match &*item {
                ThreadItem::AgentMessage(message) => self.whole(&message.text).await,
                ThreadItem::Plan(plan) => self.whole_plan(&plan.id, &plan.text).await,
                _ => Ok(()),
            },
            TurnEvent::Agent(agent) => {
                let name = agent.nickname.as_ref().unwrap_or(&agent.thread_id);
                let text = format!("gives work to the sub-agent {}", field(name));
                self.remark(DIM, &text).await
            }
            TurnEvent::Retrying(failure) => {
                let text = failure.message.clone();
                self.remark(AnsiColor::Yellow.on_default(), &text).await
            }
            TurnEvent::Lagged(_) => {
                self.lagged = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Keeps what a step would do, and which message is coming.
    fn keep(&mut self, item: &ThreadItem) {
        let item = serde_json::to_value(item).unwrap_or_default();
        let Some(id) = item["id"].as_str() else {
            return;
        };
        if item["type"] == "agentMessage" {
            self.message.begin(id);
        } else if let Some(what) = what(&item) {
            self.steps.insert(id.to_owned(), what);
        }
    }

    /// A piece of a message, or of a plan, which may come in the middle of a message.
    async fn delta(&mut self, is_plan: bool, delta: &str) -> Result {
        let of = if is_plan {
            &mut self.plan
        } else {
            &mut self.message
        };
        let is_first = of.shown.is_empty();
        of.shown.push_str(delta);
        if self.markdown || delta.is_empty() {
            return Ok(());
        }
        self.piece(is_first, delta).await
    }

    /// Shows a piece of a text; the first begins a paragraph.
    async fn piece(&mut self, is_first: bool, text: &str) -> Result {
        self.clear();
        if is_first {
            self.gap().await?;
        }
        self.shown = true;
        self.page.text(text).await
    }

    /// Ends a message: shows the part that was not shown yet.
    pub(super) async fn whole(&mut self, text: &str) -> Result {
        let Message { shown, .. } = std::mem::take(&mut self.message);
        let lagged = std::mem::take(&mut self.lagged);
        text.clone_into(&mut self.text);
        self.clear();
        // Where pieces were dropped, the message is shown again.
        let shown = if lagged && !text.starts_with(&shown) {
            String::new()
        } else {
            shown
        };
        self.rest(&shown, text).await?;
        if io::stdout().is_terminal() {
            self.page.new_line().await?;
        }
        self.spin();
        Ok(())
    }

    /// Ends a plan: shows the part that was not shown yet.
    pub(super) async fn whole_plan(&mut self, id: &str, text: &str) -> Result {
        self.plan.begin(id);
        let Message { shown, .. } = std::mem::take(&mut self.plan);
        self.rest(&shown, text).await?;
        self.page.new_line().await
    }

    /// Shows a text of which this part was shown.
    async fn rest(&mut self, shown: &str, text: &str) -> Result {
        if self.markdown {
            return self.render(text).await;
        }
        match text.strip_prefix(shown) {
            None | Some("") => Ok(()),
            Some(rest) => self.piece(shown.is_empty(), rest).await,
        }
    }

    async fn render(&mut self, text: &str) -> Result {
        self.clear();
        self.gap().await?;
        self.shown = !text.is_empty();
        let rendered = markdown::render(text, width().unwrap_or(80), Stream::Out.has_colours());
        self.page.verbatim(&rendered).await
    }

    /// Writes the blank line between two messages.
    async fn gap(&mut self) -> Result {
        if self.shown {
            self.page.new_line().await?;
            self.page.text("\n").await?;
        }
        Ok(())
    }
}
