//! Markdown as a terminal shows it.

use cas_sdk::terminal::escape;
use termimad::{FmtText, MadSkin};

/// A text of a model, safe to print and wrapped to so many columns.
pub(crate) fn render(text: &str, columns: usize, has_colours: bool) -> String {
    let skin = if has_colours {
        MadSkin::default()
    } else {
        MadSkin::no_style()
    };
    let safe = escape(text);
    let shown = FmtText::from(&skin, &safe, Some(columns.max(20))).to_string();
    format!("{}\n", shown.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_shown_and_not_obeyed() {
        let shown = render(
            "# Title\n\n\x1b[2J **bold** and `code`\n\n- one\n- two",
            40,
            false,
        );
        assert!(!shown.contains('\x1b'), "{shown:?}");
        assert!(
            shown.contains("^[[2J") && shown.contains("bold") && !shown.contains("**"),
            "{shown}"
        );
    }

    #[test]
    fn lines_are_wrapped_to_the_width() {
        let shown = render(&"word ".repeat(50), 40, false);
        assert!(
            shown.lines().all(|line| line.chars().count() <= 40),
            "{shown}"
        );
    }
}
