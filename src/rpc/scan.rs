//! The envelopes of line after line: the walk goes on where a line differs from the one before.

use super::{
    envelope::{Envelope, MessageKind, Span, Text},
    protocol::{KEYS, Protocol},
    scanner::{Mark, Scanner},
};

/// Reads the envelopes of line after line.
///
/// In a flood most lines begin like the one before, up to their last routing key. Comparing that much is far less work
/// than reading it, so the walk starts behind it. Where the routing keys are the same too, the line is known to go where
/// the one before went.
pub(super) struct Scan {
    protocol: &'static Protocol,
    /// How the line before began, up to the mark.
    begin: Vec<u8>,
    mark: Option<Mark>,
    /// What the line before was in the end.
    kind: Option<MessageKind>,
    route: RouteSpans,
}

/// The spans of the method and of the routing keys.
type RouteSpans = (Span, [Span; KEYS]);

/// What was found in a line.
#[derive(Debug)]
pub(super) struct Scanned {
    pub(super) kind: MessageKind,
    pub(super) env: Envelope,
    /// The line is of the same kind as the one before, and has the same method and the same routing keys.
    pub(super) same: bool,
    /// The strings that the envelope names and that have escapes in the line, to be appended to it without them.
    pub(super) unescaped: String,
}

impl Scanned {
    /// The line with what its envelope names beside it; `appended` is the room for that.
    pub(super) fn text<'a>(&self, line: &'a str, appended: &'a mut String) -> Text<'a> {
        if self.unescaped.is_empty() {
            return Text::new(line);
        }
        *appended = [line, &self.unescaped].concat();
        Text::appended(appended, line.len())
    }

    /// A line that is not compared with the one before.
    pub(super) fn alone(kind: MessageKind, env: Envelope) -> Self {
        Self {
            kind,
            env,
            same: false,
            unescaped: String::new(),
        }
    }
}

impl Scan {
    pub(super) fn new(protocol: &'static Protocol) -> Self {
        Self {
            protocol,
            begin: Vec::new(),
            mark: None,
            kind: None,
            route: RouteSpans::default(),
        }
    }

    /// Forgets the line before.
    pub(super) fn reset(&mut self) {
        self.mark = None;
    }

    pub(super) fn next(&mut self, line: &str) -> Scanned {
        let bytes = line.as_bytes();
        let mut scanner = Scanner::new(bytes, self.protocol);
        let known = match &self.mark {
            Some(mark) if bytes.starts_with(&self.begin) => Some(scanner.resume(mark)),
            _ => None,
        };
        let whole = known.unwrap_or_else(|| scanner.message());
        if whole.is_none() {
            scanner.env = Envelope::default();
            scanner.mark = None;
            scanner.unescaped.clear();
        }
        let env = scanner.env;
        let kind = match whole {
            Some(()) => env.kind(),
            None => MessageKind::Malformed,
        };
        let route = (env.method, env.keys);
        let same = known.is_some() && self.kind == Some(kind) && self.route == route;
        if !same {
            // NB. `same` compares with the line before, so what is kept must be of the line before.
            self.mark = None;
            let (method, keys) = &route;
            if let (None, Some(mark)) = (known, scanner.mark)
                && method.range().end <= mark.at
                && keys.iter().all(|key| key.range().end <= mark.at)
            {
                self.begin.clear();
                self.begin.extend_from_slice(&bytes[..mark.at]);
                self.mark = Some(mark);
                self.kind = Some(kind);
                self.route = route;
            }
        }
        Scanned {
            kind,
            env,
            same,
            unescaped: scanner.unescaped,
        }
    }
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
