//! Amendments of codex's execution policy: a prefix of commands that runs outside the sandbox,
//! unasked, in every later process. The model can choose it.

use super::command::Words;

/// Whether an amendment has words, and every command of a line begins with it.
pub(super) fn is_of(amendment: &[String], plain: Option<&[Words]>) -> bool {
    let says_something =
        !amendment.is_empty() && amendment.iter().all(|word| !word.trim().is_empty());
    says_something
        && plain.is_some_and(|commands| commands.iter().all(|words| words.starts_with(amendment)))
}
