//! What is shown besides the events of a turn: decisions, and questions to the person at the
//! terminal.

use std::io::{self, IsTerminal as _};

use anstyle::{AnsiColor, Style};

use super::{consent::Question, notes::Note, show::Show};
use crate::{
    output::{Result, complain, field},
    screen::{DIM, Stream},
    stdio::Typed,
};

/// What comes besides the events of a turn.
pub(super) enum Aside {
    Notes,
    Question(Question),
}

impl Show {
    /// What comes besides the events. Cancel safe.
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
        const YELLOW: Style = AnsiColor::Yellow.on_default();
        for mut note in self.notes.take() {
            if let Note::Approval {
                method,
                item_id,
                what,
                accepted,
                ..
            } = &mut note
            {
                self.declined += usize::from(!*accepted);
                let step = item_id.as_ref().and_then(|item| self.steps.get(item));
                what.get_or_insert_with(|| step.unwrap_or(method).clone());
            }
            if self.json {
                self.page.json(&note).await?;
                continue;
            }
            let (style, text) = match note {
                Note::Approval {
                    what,
                    accepted,
                    settings,
                    ..
                } => {
                    let what = what.unwrap_or_default();
                    let what = field(&what);
                    match settings {
                        Some(settings) => {
                            self.unasked += 1;
                            (YELLOW, format!("declined: {what}; {settings}"))
                        }
                        None if accepted => (DIM, format!("accepted: {what}")),
                        None => (YELLOW, format!("declined: {what}")),
                    }
                }
                Note::Question { answered: true, .. } => continue,
                Note::Question { question, .. } => {
                    let text = format!("asked, and not answered: {}", field(&question));
                    (YELLOW, text)
                }
            };
            self.remark(style, &text).await?;
        }
        Ok(())
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
            self.page.new_line().await?;
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
