//! Standard output as people see it: what is written, and below it, where somebody types, the line
//! that is being typed.

use serde::Serialize;

use crate::{
    output::Result,
    printer::Printer,
    screen::{DIM, Stream, width},
    typing::{bottom::Bottom, keys::Key, line::Edit},
};

/// The prompt of the input line.
const LABEL: &str = "> ";

pub(crate) struct Page {
    printer: Printer,
    bottom: Option<Bottom>,
    /// Whether the last output did not end its line.
    is_mid_line: bool,
    /// Whether the typed line has changed since it was drawn.
    is_stale: bool,
    /// The number of the current question, and of the one that was current when the typed line was
    /// begun.
    asked: u64,
    begun: u64,
}

/// What was typed with a key.
pub(crate) enum Typing {
    /// A line, with the number of the question that was current when the line was begun.
    Line(String, u64),
    End,
    /// Nothing that is complete.
    More,
}

impl Page {
    /// # Errors
    /// If standard output is closed.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            printer: Printer::stdout()?,
            bottom: None,
            is_mid_line: false,
            is_stale: false,
            asked: 0,
            begun: 0,
        })
    }

    /// Shows what is typed from now on.
    pub(crate) async fn take_keys(&mut self) -> Result {
        self.bottom = Some(Bottom::new(LABEL));
        self.redraw().await
    }

    /// Whether what is typed can be hidden.
    pub(crate) fn hides(&self) -> bool {
        self.bottom.is_some()
    }

    /// Text for people, with nothing in it that a terminal obeys.
    pub(crate) async fn text(&mut self, text: &str) -> Result {
        self.verbatim(&cas_sdk::terminal::escape(text)).await
    }

    /// A line of JSON.
    pub(crate) async fn json(&mut self, value: &impl Serialize) -> Result {
        self.printer.json(value).await
    }

    /// Text that was made safe already.
    pub(crate) async fn verbatim(&mut self, text: &str) -> Result {
        if text.is_empty() {
            return Ok(());
        }
        self.is_mid_line = !text.ends_with('\n');
        match &mut self.bottom {
            Some(bottom) => {
                let text = bottom.above(text, columns());
                self.printer.verbatim(&text).await
            }
            None => self.printer.verbatim(text).await,
        }
    }

    /// Ends the line that was begun, if there is one.
    pub(crate) async fn new_line(&mut self) -> Result {
        if self.is_mid_line {
            self.verbatim("\n").await?;
        }
        Ok(())
    }

    /// Says what is typed: a label in which a terminal obeys nothing, or as usual.
    pub(crate) async fn label(&mut self, label: Option<&str>, is_secret: bool) -> Result {
        if let Some(bottom) = &mut self.bottom {
            bottom.label(label.unwrap_or(LABEL), is_secret);
        }
        self.redraw().await
    }

    /// Moves on to the next question, or to none, and returns its number.
    pub(crate) fn asks_next(&mut self) -> u64 {
        self.asked += 1;
        self.asked
    }

    /// The number of the current question.
    pub(crate) fn asked(&self) -> u64 {
        self.asked
    }

    /// The line being typed.
    pub(crate) fn typed(&self) -> String {
        let bottom = self.bottom.as_ref();
        bottom.map_or_else(String::new, |bottom| bottom.line.text())
    }

    /// Gives back a line that could not be taken, to be edited.
    pub(crate) async fn put_back(&mut self, line: &str) -> Result {
        self.begun = self.asked;
        if let Some(bottom) = &mut self.bottom {
            bottom.line.set(line);
        }
        self.redraw().await
    }

    /// Handles a key. If more keys follow, as after a paste, the last one redraws the line.
    pub(crate) async fn key(&mut self, key: Key, more: bool) -> Result<Typing> {
        let Some(bottom) = &mut self.bottom else {
            return Ok(Typing::More);
        };
        if bottom.line.is_empty() {
            self.begun = self.asked;
        }
        match key {
            Key::Redraw => {}
            Key::Suspend => {
                let text = bottom.erased(columns());
                self.printer.verbatim(&text).await?;
                #[cfg(unix)]
                crate::stdio::mode::suspend()?;
            }
            key => match bottom.line.key(key) {
                Edit::Changed => self.is_stale = true,
                Edit::Nothing => {}
                Edit::End => return Ok(Typing::End),
                Edit::Entered(line) => {
                    let entered = bottom.entered(&line).filter(|_| !line.trim().is_empty());
                    match entered {
                        Some(text) => return self.entered(line, &text).await,
                        None => self.redraw().await?,
                    }
                    return Ok(Typing::Line(line, self.begun));
                }
            },
        }
        let must_draw = matches!(key, Key::Redraw | Key::Suspend);
        if must_draw || self.is_stale && !more {
            self.redraw().await?;
        }
        Ok(Typing::More)
    }

    /// Leaves a line that was entered in the text.
    async fn entered(&mut self, line: String, shown: &str) -> Result<Typing> {
        self.new_line().await?;
        let shown = Stream::Out.paint(DIM, shown);
        self.verbatim(&format!("{shown}\n")).await?;
        Ok(Typing::Line(line, self.begun))
    }

    async fn redraw(&mut self) -> Result {
        self.is_stale = false;
        match &mut self.bottom {
            Some(bottom) => {
                let text = bottom.redrawn(columns());
                self.printer.verbatim(&text).await
            }
            None => Ok(()),
        }
    }
}

fn columns() -> usize {
    // Less could hold nothing that is wide.
    width().unwrap_or(80).max(2)
}
