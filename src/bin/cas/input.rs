//! What is piped into a command.

use std::time::Duration;

use tokio::{io::AsyncReadExt as _, time::timeout};

use crate::{
    output::{Failure, Result, complain},
    stdio,
};

/// How long standard input may take before a message says that the command waits for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Parses a name or a text of the command line, which must not be blank: an unset shell variable
/// expands to nothing.
///
/// # Errors
/// If it is blank.
pub(crate) fn given(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("it is empty".to_owned());
    }
    Ok(text.to_owned())
}

/// Returns the given text, or standard input if that is `-`.
///
/// # Errors
/// If the text is blank or not UTF-8.
pub(crate) async fn text(what: &str, given: &str) -> Result<String> {
    let text = match given {
        "-" => piped().await?,
        text => text.to_owned(),
    };
    if text.trim().is_empty() {
        return Err(Failure::Usage(format!("{what} is empty")));
    }
    Ok(text)
}

/// Standard input, to its end.
///
/// # Errors
/// If it is not UTF-8.
pub(crate) async fn piped() -> Result<String> {
    let mut bytes = Vec::new();
    let mut stdin = stdio::stdin()?;
    let mut reading = std::pin::pin!(stdin.read_to_end(&mut bytes));
    if timeout(PATIENCE, &mut reading).await.is_err() {
        complain("reading standard input to its end; `< /dev/null` skips this");
        reading.await?;
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(_) => Err(Failure::Usage("standard input is not UTF-8".to_owned())),
    }
}
