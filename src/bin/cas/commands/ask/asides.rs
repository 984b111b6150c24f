//! What is shown beside the events of a turn: decisions, and questions to the person at the terminal.

use std::io::{self, IsTerminal as _};

use anstyle::AnsiColor;

use super::{consent::Question, events::Line, notes::Note, show::Show};
use crate::{
    output::{Result, complain, field},
    screen::{DIM, Stream},
    stdio::Typed,
};

/// What comes beside the events of a turn.
pub(super) enum Aside {
    Notes,
    Question(Question),
}

impl Show {
    /// What comes beside the events. Cancel safe.
    pub(super) async fn aside(&mut self) -> Aside {
        tokio::select! {
            () = self.notes.more() => Aside::Notes,
            Some(question) = self.questions.recv() => Aside::Question(question),
        }
    }

    pub(super) async fn tell(&mut self, aside: Aside) -> Result {
        match aside {
            Aside::Notes => self.notes().await,
            Aside::Question(question) => self.ask(question).await,
        }
    }

    /// What was decided since the last time.
    pub(super) async fn notes(&mut self) -> Result {
        for note in self.notes.take() {
            if let Note::Approval {
                accepted: false, ..
            } = &note
            {
                self.declined += 1;
            }
            if self.json {
                self.note_as_json(&note).await?;
                continue;
            }
            match note {
                Note::Approval {
                    item_id,
                    what,
                    accepted,
                    method,
                    settings,
                    ..
                } => {
                    let what = self.what(item_id.as_deref(), what.as_deref(), &method);
                    if let Some(settings) = settings {
                        self.unasked += 1;
                        let text = format!("declined: {}; {settings}", field(&what));
                        self.remark(AnsiColor::Yellow.on_default(), &text).await?;
                        continue;
                    }
                    let (word, style) = if accepted {
                        ("accepted", DIM)
                    } else {
                        ("declined", AnsiColor::Yellow.on_default())
                    };
                    self.remark(style, &format!("{word}: {}", field(&what)))
                        .await?;
                }
                Note::Question {
                    question,
                    answered: false,
                    ..
                } => {
                    let text = format!("asked, and not answered: {}", field(&question));
                    self.remark(AnsiColor::Yellow.on_default(), &text).await?;
                }
                Note::Question { .. } => {}
            }
        }
        Ok(())
    }

    fn what(&self, item: Option<&str>, what: Option<&str>, method: &str) -> String {
        let step = item
            .and_then(|item| self.steps.get(item))
            .map(String::as_str);
        what.or(step).unwrap_or(method).to_owned()
    }

    async fn note_as_json(&mut self, note: &Note) -> Result {
        let text;
        let line = match note {
            Note::Approval {
                method,
                item_id,
                what,
                accepted,
                decision,
                by,
                ..
            } => {
                text = self.what(item_id.as_deref(), what.as_deref(), method);
                Line::Approval {
                    method,
                    item_id: item_id.as_deref(),
                    what: &text,
                    accepted: *accepted,
                    decision,
                    by,
                }
            }
            Note::Question {
                id,
                question,
                answered,
            } => Line::Question {
                id,
                question,
                answered: *answered,
            },
        };
        self.printer.json(&line).await
    }

    /// Asks the person at the terminal, until they answer or the question is withdrawn.
    async fn ask(&mut self, question: Question) -> Result {
        use io::Write as _;
        let Question {
            text,
            prompt,
            mut answer,
        } = question;
        self.clear();
        if io::stdout().is_terminal() {
            self.new_line().await?;
        }
        if self.typed.is_none() {
            self.typed = Some(Typed::open()?);
        }
        let Some(typed) = &mut self.typed else {
            return Ok(());
        };
        // NB. Whatever was typed before this prompt answers something else, such as a withdrawn
        // question.
        typed.discard().await;
        complain(&text);
        let _ = write!(
            io::stderr(),
            "cas: {}",
            Stream::Err.paint(crate::screen::BOLD, &prompt)
        );
        tokio::select! {
            line = typed.line() => {
                if line.is_none() {
                    let _ = writeln!(io::stderr());
                }
                // It may have been withdrawn in this moment.
                let _ = answer.send(line);
            }
            () = answer.closed() => {
                let _ = writeln!(io::stderr());
                complain("the question was withdrawn");
            }
        }
        self.spin();
        Ok(())
    }
}
