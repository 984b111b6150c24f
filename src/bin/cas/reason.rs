//! What went wrong, in the words of the command line.

use std::error::Error as StdError;

use cas_sdk::{Error, RpcErrorKind, error::SpawnError};

/// An error with its sources, each said once, and in the words of the command line.
pub(crate) fn reason(error: &(dyn StdError + 'static)) -> String {
    let mut text = own_words(error).unwrap_or_else(|| error.to_string());
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = error.source();
    }
    text
}

/// The text of an error for the command line, where the library's text is for programmers.
fn own_words(error: &(dyn StdError + 'static)) -> Option<String> {
    let error = match error.downcast_ref::<Error>() {
        Some(Error::Spawn(error)) => error,
        Some(Error::Rpc { source, .. }) if source.kind() == RpcErrorKind::ActiveWriter => {
            return Some(IN_USE.to_owned());
        }
        _ => error.downcast_ref::<SpawnError>()?,
    };
    let text = error.to_string();
    // Also in what the error says of the places where codex was looked for.
    let is_to_be_named = matches!(
        error,
        SpawnError::NotFound { .. } | SpawnError::NodeMissing { .. }
    );
    is_to_be_named.then(|| text.replace("the builder's `codex`", "--codex"))
}

const IN_USE: &str = "the thread is in use: another program (a TUI, an IDE or another `cas`) has it open and writes to it; \
     leave a message for it with `cas post ID TEXT`, join its server with --connect (`cas live` lists what runs), or go on in a \
     copy of it: `cas ask --thread ID --fork`, `cas threads fork ID`";
