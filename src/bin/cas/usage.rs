//! What is said of a command line that is wrong, and of one that asks for help.

use std::{io, process::ExitCode};

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::{failure::USAGE, output::complain};

pub(crate) const AFTER_HELP: &str = "\
Exit status:
  0 done  1 failed  2 wrong usage  3 something was declined, or the answer does not fit the schema
  4, 5 the message of cas post waits, or may have been delivered
  124 the time was up  130 interrupted  129, 143 ended by SIGHUP, SIGTERM

Environment:
  CAS_CODEX   the codex executable          CODEX_HOME  where codex keeps its threads
  CAS_CONFIG  the configuration file        NO_COLOR    no colours
  RUST_LOG    what is logged to stderr

`cas man` has all of it. Compatible with cas.zig and the scripts of the cas skill:
cas smoke_check, cas instance_runner, cas proxy, cas rate_limits.";

/// The commands that programs run: usage errors are one line, and the configuration file does not
/// apply.
pub(crate) const FOR_PROGRAMS: [&str; 7] = [
    "proxy",
    "smoke-check",
    "smoke_check",
    "instance-runner",
    "instance_runner",
    "rate-limits",
    "rate_limits",
];

/// Options whose values may contain a secret. Error messages never repeat the values.
const SECRET: [&str; 2] = ["--connect", "--config"];

/// Removes from the error every value that may contain a secret, wherever it stood on the command
/// line.
pub(crate) fn without_secrets(mut error: clap::Error) -> clap::Error {
    let is_secret = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(arg)) => {
            let name = arg.split_whitespace().next();
            SECRET.iter().any(|secret| name == Some(secret))
        }
        _ => false,
    };
    let kinds: Vec<_> = error.context().map(|(kind, _)| kind).collect();
    for kind in kinds {
        let hidden = match error.get(kind) {
            Some(ContextValue::String(text)) => {
                let is_value = kind == ContextKind::InvalidValue;
                (is_secret && is_value || may_have_password(text)).then(|| "…".to_owned())
            }
            _ => None,
        };
        if let Some(hidden) = hidden {
            // The suggestions of clap may quote the value, too.
            for kind in [ContextKind::Suggested, ContextKind::SuggestedArg] {
                error.remove(kind);
            }
            error.insert(kind, ContextValue::String(hidden));
        }
    }
    error
}

/// Whether the text may be an address that contains a password or a token.
fn may_have_password(text: &str) -> bool {
    text.contains("://") && text.contains(['@', '?', '#'])
}

/// Says what is wrong, or the help; returns the exit status.
pub(crate) fn report(error: clap::Error, is_for_programs: bool) -> ExitCode {
    let error = &without_secrets(error);
    let is_help = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    if !is_help {
        let mut text = error.render().to_string();
        if is_for_programs {
            let lines = text.lines().map(str::trim);
            let lines: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
            text = lines.join(" ");
        } else if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            // If even standard error is gone, nobody can be told.
            let _ = error.print();
            return ExitCode::from(USAGE);
        }
        // NB. It quotes the command line, which may hold anything.
        complain(text.trim_start_matches("error: "));
        return ExitCode::from(USAGE);
    }
    match error.print() {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever was reading has seen enough.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(e) => {
            complain(&format!("standard output: {e}"));
            ExitCode::FAILURE
        }
    }
}
