//! The questions of the model, as they are put to a person.

use std::fmt::Write as _;

use cas_sdk::protocol::ToolRequestUserInputQuestion as Question;

/// A question with its options, a line each. It goes through a filter on its way to the terminal.
pub(super) fn text(question: &Question) -> String {
    let options = question.options.as_deref().unwrap_or_default();
    let options = options
        .iter()
        .map(|option| (option.label.as_str(), option.description.as_str()));
    with_options(&question.question, options)
}

/// The same of any question.
pub(super) fn with_options<'a>(
    question: &str,
    options: impl Iterator<Item = (&'a str, &'a str)>,
) -> String {
    let mut text = format!("asks: {question}");
    for (n, (label, description)) in options.enumerate() {
        let _ = write!(text, "\n  {}. {label}  {description}", n + 1);
    }
    text
}

/// Whether there is something to choose from.
pub(super) fn has_options(question: &Question) -> bool {
    question.options.as_ref().is_some_and(|all| !all.is_empty())
}

/// How a question is answered.
pub(super) fn how(has_options: bool) -> &'static str {
    if has_options {
        "a number, or your own words"
    } else {
        "your answer"
    }
}

/// The answer that was typed: an option by its number, or what was typed.
pub(super) fn answer<'a>(question: &'a Question, typed: &'a str) -> &'a str {
    let options = question.options.as_deref().unwrap_or_default();
    match number(typed).and_then(|n| options.get(n)) {
        Some(option) => &option.label,
        None => typed,
    }
}

/// The place of the option that has this number.
pub(super) fn number(typed: &str) -> Option<usize> {
    typed.parse::<usize>().ok()?.checked_sub(1)
}
