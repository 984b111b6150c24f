//! What is shown when the connection is lost, and what was missed once it is back.

use anstyle::AnsiColor;
use cas_sdk::{Error, turn::StartedBy};

use super::{
    events::WatchEvent,
    link::Attempt,
    seen::{Missed, MissedTurn},
    view::View,
};
use crate::{
    commands::ask::{Line, step},
    output::{Result, field},
    reason::reason,
    screen::DIM,
};

impl View {
    /// The connection is lost, or could not be made again.
    pub(super) async fn lost(&mut self, attempt: &Attempt) -> Result {
        if !self.json {
            let text = attempt.text();
            return self.remark(AnsiColor::Yellow.on_default(), &text).await;
        }
        for line in attempt.events() {
            self.page.json(&line).await?;
        }
        Ok(())
    }

    /// Pieces of the message that is coming are lost.
    pub(super) async fn cut(&mut self) -> Result {
        let (id, _) = std::mem::take(&mut self.message);
        self.cut = Some(id);
        self.page.new_line().await
    }

    /// There is a connection again, and this was missed.
    pub(super) async fn back(&mut self, missed: &Missed, incomplete: Option<&Error>) -> Result {
        let incomplete = incomplete.map(|error| reason(error));
        if self.json {
            let event = WatchEvent::Reconnected {
                items: missed.items(),
                turns: missed.ends(),
                incomplete: incomplete.as_deref(),
            };
            self.page.json(&event).await?;
        } else {
            let text = match missed.items() {
                0 => "back; nothing was missed".to_owned(),
                1 => "back; 1 item was missed".to_owned(),
                items => format!("back; {items} items were missed"),
            };
            self.remark(DIM, &text).await?;
            if let Some(why) = &incomplete {
                let text = format!("there may be more that was missed: {}", field(why));
                self.remark(AnsiColor::Yellow.on_default(), &text).await?;
            }
        }
        for turn in &missed.0 {
            self.missed(turn).await?;
        }
        Ok(())
    }

    async fn missed(&mut self, turn: &MissedTurn) -> Result {
        if turn.is_new {
            self.began(&turn.id, StartedBy::Unknown.as_str()).await?;
        }
        for item in &turn.items {
            if self.json {
                self.page.json(&Line::ItemCompleted { item }).await?;
                continue;
            }
            if let Some(text) = step(item) {
                self.remark(DIM, &text).await?;
            }
            self.item(item).await?;
        }
        match &turn.end {
            Some((status, error)) => {
                let status = status.as_str();
                self.ended(&turn.id, status, error.as_deref()).await
            }
            None => Ok(()),
        }
    }
}
