//! Strips terminal escape sequences from text, wherever the text is cut into pieces.

/// The position in an escape sequence at which the last piece ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Stripper {
    #[default]
    Text,
    /// After the escape itself.
    Escape,
    /// In a control sequence, up to its final byte.
    Control,
    /// In a command to the terminal, up to a bell or a string terminator.
    Command,
    /// After an escape in such a command.
    CommandEscape,
}

const ESCAPE: u8 = 0x1b;
const BELL: u8 = 0x07;

impl Stripper {
    /// Strips the next piece of text.
    pub(super) fn strip(&mut self, text: &mut Vec<u8>) {
        if *self == Self::Text && !text.contains(&ESCAPE) {
            return;
        }
        text.retain(|byte| {
            let (next, keep) = self.after(*byte);
            *self = next;
            keep
        });
    }

    /// The state after a byte, and whether the byte is text.
    fn after(self, byte: u8) -> (Self, bool) {
        match (self, byte) {
            // An unfinished sequence ends with its line, so that it can't swallow what follows.
            (_, b'\n') => (Self::Text, true),
            (Self::Text | Self::Control, ESCAPE) | (Self::Escape, 0x20..=0x2f) => {
                (Self::Escape, false)
            }
            (Self::Text, _) => (Self::Text, true),
            (Self::Escape, b'[') | (Self::Control, 0x20..=0x3f) => (Self::Control, false),
            (Self::Escape, b']' | b'P' | b'X' | b'^' | b'_') => (Self::Command, false),
            (Self::Command | Self::CommandEscape, ESCAPE) => (Self::CommandEscape, false),
            (Self::Escape | Self::Control, _)
            | (Self::Command, BELL)
            | (Self::CommandEscape, b'\\') => (Self::Text, false),
            (Self::Command | Self::CommandEscape, _) => (Self::Command, false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\x1b[2m2026\x1b[0m \x1b[38;5;9mERROR\x1b[0m ä\x1b]8;;http://x\x1b\\link\x1b]0;t\x07 \x1b(Bend\x1b[";
    const PLAIN: &str = "2026 ERROR älink end";

    #[test]
    fn sequences_are_stripped_wherever_the_pieces_are_cut() {
        for size in 1..TEXT.len() {
            let mut stripper = Stripper::default();
            let mut plain = Vec::new();
            for piece in TEXT.as_bytes().chunks(size) {
                let mut piece = piece.to_vec();
                stripper.strip(&mut piece);
                plain.extend(piece);
            }
            assert_eq!(String::from_utf8(plain).unwrap(), PLAIN, "{size}");
        }
    }

    #[test]
    fn a_sequence_that_is_never_finished_costs_its_line_only() {
        let mut text = b"a\x1b]0;title\nb".to_vec();
        Stripper::default().strip(&mut text);
        assert_eq!(text, b"a\nb");
    }
}
