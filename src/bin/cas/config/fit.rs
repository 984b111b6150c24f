//! Selects the flags of the file that fit the typed ones.

use std::ffi::OsString;

use clap::{Command, Error, error::ErrorKind};

use super::Flag;
use crate::usage::without_secrets;

/// Returns the flags of the file that fit the command line. Later layers take precedence.
///
/// Leaves out a flag that conflicts with one of higher precedence, or that requires one that is
/// missing.
///
/// # Errors
/// If a flag is wrong, or if two flags of one layer conflict.
pub(super) fn fitting(
    cli: &Command,
    args: &[OsString],
    at: usize,
    layers: Vec<Vec<Flag>>,
) -> Result<Vec<OsString>, String> {
    let parse = |flags: &[OsString]| verdict(cli, line(args, at, flags));
    let all: Vec<OsString> = layers.iter().flatten().flatten().cloned().collect();
    // Most files fit as they are.
    if all.is_empty() || parse(&all).is_ok() {
        return Ok(all);
    }
    // If the command line itself is wrong, that error is the one to report.
    if parse(&[]).is_err() {
        return Ok(Vec::new());
    }
    let mut taken: Vec<OsString> = Vec::new();
    for layer in layers.into_iter().rev() {
        let above = taken.clone();
        let with = |taken: &[OsString], flag: &Flag| {
            let before = taken.len() - above.len();
            [&taken[..before], flag, &taken[before..]].concat()
        };
        let mut open = layer;
        loop {
            let before = open.len();
            open.retain(|flag| {
                let more = with(&taken, flag);
                let fits = parse(&more).is_ok();
                if fits {
                    taken = more;
                }
                !fits
            });
            // A flag that was just taken may be the one that another flag requires.
            if open.is_empty() || open.len() == before {
                break;
            }
        }
        for flag in open {
            match parse(&with(&taken, &flag)) {
                Err(error) if is_about_others(&error) && parse(&with(&above, &flag)).is_err() => {}
                Err(error) => return Err(first_line(error)),
                Ok(()) => {}
            }
        }
    }
    Ok(taken)
}

/// The command line with `flags` inserted after the name of the command, which is at `at`.
pub(super) fn line(args: &[OsString], at: usize, flags: &[OsString]) -> Vec<OsString> {
    [&args[..=at], flags, &args[at + 1..]].concat()
}

fn verdict(cli: &Command, args: Vec<OsString>) -> Result<(), Error> {
    match cli.clone().try_get_matches_from(args) {
        Err(error) if error.use_stderr() => Err(error),
        // The help and the version are not errors.
        _ => Ok(()),
    }
}

/// Whether the error is about other flags, so that this one is valid in itself.
fn is_about_others(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ArgumentConflict | ErrorKind::MissingRequiredArgument
    )
}

/// The error in one line.
fn first_line(error: Error) -> String {
    let text = without_secrets(error).render().to_string();
    let first = text.lines().next().unwrap_or_default();
    first.trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// The flags that fit a command line, from a file and a profile in it.
    fn with(typed: &[&str], layers: [&[&str]; 2]) -> Result<Vec<String>, String> {
        let args: Vec<OsString> = ["cas"].iter().chain(typed).map(OsString::from).collect();
        let layers = layers.map(|layer| layer.iter().map(|flag| vec![flag.into()]).collect());
        let flags = fitting(&crate::Cli::command(), &args, 1, layers.into())?;
        let texts = flags.into_iter().map(|flag| flag.into_string().unwrap());
        Ok(texts.collect())
    }

    #[test]
    fn flags_that_were_typed_win_over_those_that_exclude_them() {
        let file = &["--markdown", "--ephemeral", "--model=m"][..];
        assert_eq!(with(&["ask", "go"], [file, &[]]).unwrap(), file);
        assert_eq!(
            with(&["ask", "go", "--json", "--last"], [file, &[]]).unwrap(),
            ["--model=m"]
        );
        assert_eq!(
            with(
                &["ask", "--connect", "unix://", "go"],
                [&["--add-dir=d", "-q"], &[]]
            )
            .unwrap(),
            ["-q"]
        );
    }

    #[test]
    fn a_flag_that_wants_another_one_counts_where_that_is_there() {
        let (token, connect) = ("--token-file=f", "--connect=unix://");
        assert!(with(&["models"], [&[token], &[]]).unwrap().is_empty());
        assert_eq!(
            with(&["models", connect], [&[token], &[]]).unwrap(),
            [token]
        );
        assert_eq!(
            with(
                &["ask", "--json", "go"],
                [&[token, "--markdown", connect], &[]]
            )
            .unwrap(),
            [connect, token]
        );
    }

    #[test]
    fn flags_of_a_profile_win_over_those_of_all() {
        let flags = with(
            &["ask", "go"],
            [&["--ephemeral", "--model=m"], &["--last", "--model=n"]],
        );
        assert_eq!(flags.unwrap(), ["--model=m", "--last", "--model=n"]);
    }

    #[test]
    fn flags_that_are_wrong_are_told_and_so_are_those_of_a_file_that_exclude_each_other() {
        let error = with(&["ask", "go"], [&["--sandbox=nope"], &[]]).unwrap_err();
        assert!(error.contains("'nope' for '--sandbox"), "{error}");
        let error = with(&["ask", "go"], [&["--ephemeral", "--last"], &[]]).unwrap_err();
        assert!(
            error.contains("'--last'") && error.contains("'--ephemeral'"),
            "{error}"
        );
        // If the command line itself is wrong, clap reports that.
        let none: [String; 0] = [];
        assert_eq!(
            with(&["ask", "--fly"], [&["--sandbox=nope"], &[]]).unwrap(),
            none
        );
    }
}
