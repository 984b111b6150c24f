//! What is shown of a session that others run, as text or as JSON lines.

use super::{
    asking::Asking,
    events::{VERSION, WatchEvent},
    requests::{End, Waiting},
};
use crate::{
    commands::ask::{Line, step},
    output::{Result, field},
    page::Page,
    screen::{BOLD, DIM, Stream},
};
use anstyle::{AnsiColor, Style};
use cas_sdk::{
    Thread, TurnEvent,
    protocol::{self, ThreadItem},
    terminal::escape,
};
use serde_json::Value;

pub(super) struct View {
    pub(super) page: Page,
    pub(super) json: bool,
    /// The message that is coming, by its id, and what of it was shown.
    pub(super) message: (String, String),
    /// The message that was coming when the connection was lost: it is shown when it is whole.
    pub(super) cut: Option<String>,
}

impl View {
    pub(super) fn new(json: bool) -> Result<Self> {
        Ok(Self {
            page: Page::new()?,
            json,
            message: Default::default(),
            cut: None,
        })
    }

    pub(super) async fn joined(&mut self, thread: &Thread, running: bool) -> Result {
        if self.json {
            let event = WatchEvent::Joined {
                v: VERSION,
                thread_id: thread.id(),
                running,
            };
            return self.page.json(&event).await;
        }
        let state = if running { "a turn runs" } else { "idle" };
        self.remark(DIM, &format!("thread {}: {state}", field(thread.id())))
            .await
    }

    /// The turn before, which is over.
    pub(super) async fn last(&mut self, turn: &protocol::TurnInfo) -> Result {
        if self.json {
            return Ok(());
        }
        for item in &turn.items {
            self.item(item).await?;
        }
        Ok(())
    }

    pub(super) async fn began(&mut self, turn_id: &str, started_by: &str) -> Result {
        if self.json {
            let event = WatchEvent::TurnStarted {
                turn_id,
                started_by,
            };
            return self.page.json(&event).await;
        }
        Ok(())
    }

    /// An event of a turn.
    pub(super) async fn event(&mut self, turn: &str, event: &TurnEvent) -> Result {
        if let TurnEvent::Completed(outcome) = event {
            let failure = outcome.failure.as_ref();
            let error = failure.map(|failure| failure.message.as_str());
            return self.ended(turn, outcome.status.as_str(), error).await;
        }
        if self.json {
            return match Line::of(event) {
                Some(line) => self.page.json(&line).await,
                None => Ok(()),
            };
        }
        match event {
            TurnEvent::Text { item_id, delta, .. } => self.delta(item_id, delta).await,
            TurnEvent::ItemStarted(item) => match step(item) {
                Some(text) => self.remark(DIM, &text).await,
                None => Ok(()),
            },
            TurnEvent::ItemCompleted(item) => self.item(item).await,
            TurnEvent::Retrying(failure) => {
                let text = field(&failure.message);
                self.remark(AnsiColor::Yellow.on_default(), &text).await
            }
            TurnEvent::Lagged(skipped) => {
                let text = format!("{skipped} events were dropped");
                self.remark(AnsiColor::Yellow.on_default(), &text).await
            }
            _ => Ok(()),
        }
    }

    pub(super) async fn ended(
        &mut self,
        turn_id: &str,
        status: &str,
        error: Option<&str>,
    ) -> Result {
        if self.json {
            let event = WatchEvent::TurnCompleted {
                turn_id,
                status,
                error,
            };
            return self.page.json(&event).await;
        }
        let text = match error {
            Some(error) => format!("the turn {status}: {}", field(error)),
            None => format!("the turn is {status}"),
        };
        self.remark(DIM, &text).await
    }

    /// A step that has ended: what was said is shown.
    pub(super) async fn item(&mut self, item: &ThreadItem) -> Result {
        let value = serde_json::to_value(item).unwrap_or_default();
        let text = |key: &str| value[key].as_str().unwrap_or_default();
        match text("type") {
            "agentMessage" => self.whole(text("id"), text("text")).await,
            "userMessage" => self.said("user", &text_of(&value["content"])).await,
            "functionCallOutput" => self.said(text("name"), &text_of(&value["output"])).await,
            _ => Ok(()),
        }
    }

    /// A message that is not from the agent of the session.
    async fn said(&mut self, who: &str, text: &str) -> Result {
        self.page.new_line().await?;
        let who = format!("{}:", field(who));
        let who = Stream::Out.paint(BOLD, &who);
        self.page.verbatim(&format!("{who} ")).await?;
        self.page.text(text.trim_end()).await?;
        self.page.text("\n").await
    }

    async fn delta(&mut self, item: &str, delta: &str) -> Result {
        if self.cut.as_deref() == Some(item) {
            return Ok(());
        }
        if self.message.0 != item {
            self.page.new_line().await?;
            self.message = (item.to_owned(), String::new());
        }
        self.message.1.push_str(delta);
        self.page.text(delta).await
    }

    /// Ends a message: shows the part that was not shown yet.
    async fn whole(&mut self, item: &str, text: &str) -> Result {
        let (id, shown) = std::mem::take(&mut self.message);
        let rest = text.strip_prefix(shown.as_str());
        // If its beginning came before this command, all of it is shown.
        let rest = rest.filter(|_| id == item);
        if rest.is_none() {
            self.page.new_line().await?;
        }
        self.page.text(rest.unwrap_or(text)).await?;
        self.page.new_line().await
    }

    /// Prints a remark about an event, escaped for the terminal. Further lines are indented, so
    /// that none of them can pass for a remark of its own.
    pub(super) async fn remark(&mut self, style: Style, text: &str) -> Result {
        if self.json {
            return Ok(());
        }
        self.page.new_line().await?;
        let text = escape(text.trim_end()).replace('\n', "\n  ");
        let text = Stream::Out.paint(style, &format!("· {text}"));
        self.page.verbatim(&format!("{text}\n")).await
    }

    /// Shows a pending request of the server, with the letters that answer it if the user is asked.
    pub(super) async fn pending(&mut self, waiting: &Waiting, asked: Option<&Asking>) -> Result {
        let Waiting { request, summary } = waiting;
        if self.json {
            let event = WatchEvent::RequestPending {
                id: &request.id,
                method: &request.method,
                item_id: request.item_id.as_deref(),
                what: &summary.line(),
            };
            return self.page.json(&event).await;
        }
        let shown = summary.shown(asked.is_some());
        let mark = asked.map(Asking::mark).unwrap_or_default();
        let text = format!("waits: {shown}{mark}");
        self.remark(AnsiColor::Yellow.on_default(), &text).await
    }

    /// Asks the question that is due, if there is one.
    pub(super) async fn ask(&mut self, asking: &Asking) -> Result {
        let Some((text, is_secret)) = asking.question() else {
            return Ok(());
        };
        self.remark(BOLD, &text).await?;
        let label = if is_secret { "secret: " } else { "answer: " };
        self.page.label(Some(label), is_secret).await
    }

    /// A request that waits no longer.
    pub(super) async fn settled(&mut self, waiting: &Waiting, how: End) -> Result {
        let Waiting { request, summary } = waiting;
        if self.json {
            let event = WatchEvent::RequestSettled {
                id: &request.id,
                method: &request.method,
            };
            return self.page.json(&event).await;
        }
        let settled = match how {
            End::Unasked => "settled",
            End::Elsewhere => "settled elsewhere",
            End::Dropped => "settled elsewhere, and what was typed for it is dropped",
        };
        let text = format!("{settled}: {}", field(&summary.subject()));
        self.remark(DIM, &text).await
    }
}

/// A text, or the text of its parts.
fn text_of(content: &Value) -> String {
    let parts = content.as_array().into_iter().flatten();
    let parts = parts.filter_map(|part| part["text"].as_str());
    content
        .as_str()
        .map_or_else(|| parts.collect::<Vec<_>>().join("\n"), str::to_owned)
}
