//! The user's defaults: flags in a file, at its top level or in a named profile.
//!
//! ```toml
//! approvals = "ask"            # for every command that has --approvals
//!
//! [profiles.review]            # with --config-profile review
//! model = "gpt-6"
//! sandbox = "read-only"
//! config = ["model_verbosity=\"low\""]
//! ```

mod fit;

use std::{ffi::OsString, fs, io::ErrorKind, path::PathBuf};

use clap::{ArgAction, Command};
use toml::{Table, Value};

use crate::usage::FOR_PROGRAMS;

/// Commands that have no use for defaults. Commands [for programs](FOR_PROGRAMS) keep the defaults
/// of their contract.
const WITHOUT_DEFAULTS: [&str; 2] = ["man", "completions"];

/// The path of the file: `$CAS_CONFIG`, else `cas/config.toml` in `$XDG_CONFIG_HOME` or
/// `~/.config`.
pub(crate) fn path() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(path) = set("CAS_CONFIG") {
        return Some(path.into());
    }
    let dir = match set("XDG_CONFIG_HOME") {
        Some(dir) => PathBuf::from(dir),
        None => std::env::home_dir()?.join(".config"),
    };
    Some(dir.join("cas/config.toml"))
}

/// The flags of the file that were added to a command line.
#[derive(Debug, Default)]
pub(crate) struct Defaults {
    path: PathBuf,
    flags: Vec<OsString>,
}

impl Defaults {
    /// Names the flags of the file, for an error about flags: the user did not type these. Leaves
    /// out their values, which may be secrets.
    pub(crate) fn remark(&self) -> Option<String> {
        if self.flags.is_empty() {
            return None;
        }
        let names = self.flags.iter().map(|flag| flag.display().to_string());
        let mut names: Vec<_> = names
            .map(|flag| flag.split('=').next().unwrap_or_default().to_owned())
            .collect();
        names.dedup();
        Some(format!("from {}: {}", self.path.display(), names.join(" ")))
    }
}

/// Inserts the flags of the file before the flags that were given, so that the given ones win.
///
/// Leaves out flags that don't fit the given ones. A profile's flags win over the others of the
/// file.
///
/// # Errors
/// If the file can't be read, has a flag that no command has, or has flags that are wrong or
/// exclude each other.
pub(crate) fn with_defaults(
    cli: &Command,
    args: Vec<OsString>,
) -> Result<(Vec<OsString>, Defaults), String> {
    let none = Defaults::default();
    let Some(typed) = Invocation::of(cli, &args) else {
        return Ok((args, none));
    };
    if typed.takes_no_defaults() {
        return Ok((args, none));
    }
    let Some(path) = path() else {
        return Ok((args, none));
    };
    let wrong = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound && typed.profile.is_none() => {
            return Ok((args, none));
        }
        Err(e) => return Err(wrong(&e)),
    };
    let mut table: Table = text.parse().map_err(|e| wrong(&at_its_line(&text, &e)))?;
    let profiles = table.remove("profiles");
    let flags = |table: &Table| flags(cli, typed.command, table).map_err(|e| wrong(&e));
    let mut layers = vec![flags(&table)?];
    if let Some(name) = &typed.profile {
        match profiles.as_ref().and_then(|profiles| profiles.get(name)) {
            Some(Value::Table(table)) => layers.push(flags(table)?),
            _ => return Err(wrong(&format!("it has no [profiles.{name}]"))),
        }
    }
    let flags = fit::fitting(cli, &args, typed.at, layers).map_err(|e| wrong(&e))?;
    let args = fit::line(&args, typed.at, &flags);
    Ok((args, Defaults { path, flags }))
}

/// Describes an error in the file and names its line. The line is not quoted: it may contain a
/// secret.
fn at_its_line(text: &str, error: &toml::de::Error) -> String {
    let message = error.message();
    match error.span().and_then(|span| text.get(..span.start)) {
        Some(before) => format!("line {}: {message}", before.matches('\n').count() + 1),
        None => message.to_owned(),
    }
}

/// The command that a command line names.
#[derive(Debug)]
pub(crate) struct Invocation<'a> {
    command: &'a Command,
    /// The first word of the command's name, as it was typed.
    first: &'a str,
    /// The index of the last word of the name.
    at: usize,
    profile: Option<String>,
}

impl<'a> Invocation<'a> {
    /// Returns `None` if no command is named.
    pub(crate) fn of(cli: &'a Command, args: &'a [OsString]) -> Option<Self> {
        let (mut command, mut at, mut first, mut profile) = (cli, 0, None, None);
        let mut open = true;
        let mut rest = args.iter().enumerate().skip(1);
        while let Some((n, arg)) = rest.next() {
            let Some(arg) = arg.to_str() else { continue };
            if arg == "--" {
                break;
            }
            if let Some(name) = arg.strip_prefix("--config-profile=") {
                profile = Some(name.to_owned());
            } else if arg == "--config-profile" {
                profile = rest
                    .next()
                    .and_then(|(_, name)| Some(name.to_str()?.to_owned()));
            } else if let Some(flag) = arg.strip_prefix("--") {
                if !flag.contains('=') && takes_value(cli, flag) && open {
                    rest.next();
                }
            } else if open && !arg.starts_with('-') {
                match command.find_subcommand(arg) {
                    Some(found) => {
                        (command, at) = (found, n);
                        first.get_or_insert(arg);
                    }
                    None => open = false,
                }
            }
        }
        Some(Self {
            command,
            first: first?,
            at,
            profile,
        })
    }

    /// Whether the command is [for programs](FOR_PROGRAMS).
    pub(crate) fn is_for_programs(&self) -> bool {
        FOR_PROGRAMS.contains(&self.first)
    }

    fn takes_no_defaults(&self) -> bool {
        self.is_for_programs() || WITHOUT_DEFAULTS.contains(&self.first)
    }
}

fn takes_value(cli: &Command, flag: &str) -> bool {
    cli.get_arguments()
        .any(|arg| arg.get_long() == Some(flag) && arg.get_action().takes_values())
}

/// A flag of the file: given once, or once for each value of a list.
pub(super) type Flag = Vec<OsString>;

/// The flags of the table that the command accepts.
fn flags(cli: &Command, command: &Command, table: &Table) -> Result<Vec<Flag>, String> {
    let mut flags = Vec::new();
    for (name, value) in table {
        let wrong = |what: &str| format!("{name}: {what}");
        if !is_known(cli, name) {
            return Err(wrong("no command has such a flag"));
        }
        let Some(arg) = command
            .get_arguments()
            .find(|arg| arg.get_long() == Some(name))
        else {
            continue;
        };
        let values = match value {
            Value::Array(values) => values.clone(),
            one => vec![one.clone()],
        };
        let mut flag = Flag::new();
        for value in values {
            match (value, arg.get_action()) {
                (Value::Boolean(true), ArgAction::SetTrue) => {
                    flag.push(format!("--{name}").into());
                }
                (Value::Boolean(false), ArgAction::SetTrue) => {}
                (_, ArgAction::SetTrue) => return Err(wrong("it must be true or false")),
                (Value::String(text), _) => flag.push(format!("--{name}={text}").into()),
                (Value::Integer(number), _) => flag.push(format!("--{name}={number}").into()),
                _ => return Err(wrong("it must be a text, a number, or a list of these")),
            }
        }
        if !flag.is_empty() {
            flags.push(flag);
        }
    }
    Ok(flags)
}

fn is_known(command: &Command, name: &str) -> bool {
    command
        .get_arguments()
        .any(|arg| arg.get_long() == Some(name))
        || command.get_subcommands().any(|sub| is_known(sub, name))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn line(args: &[&str]) -> Vec<OsString> {
        args.iter().map(OsString::from).collect()
    }

    #[test]
    fn the_command_and_the_profile_are_found_wherever_they_stand() {
        let cli = crate::Cli::command();
        let found = |args: &[&str]| {
            let args = line(args);
            Invocation::of(&cli, &args).map(|typed| {
                let name = typed.command.get_name().to_owned();
                (name, typed.at, typed.profile)
            })
        };
        assert_eq!(
            found(&["cas", "--log-format", "json", "ask", "hi"]),
            Some(("ask".into(), 3, None))
        );
        assert_eq!(
            found(&["cas", "threads", "list", "--config-profile", "x"]),
            Some(("list".into(), 2, Some("x".into())))
        );
        // A prompt that is also the name of a command is a prompt.
        assert_eq!(
            found(&["cas", "ask", "threads", "--", "--config-profile=y"]),
            Some(("ask".into(), 1, None))
        );
        assert_eq!(found(&["cas"]), None);
        let line = line(&[
            "cas",
            "--color",
            "never",
            "smoke_check",
            "--config-profile",
            "ask",
        ]);
        assert!(Invocation::of(&cli, &line).unwrap().is_for_programs());
    }

    #[test]
    fn flags_of_a_table_are_those_that_the_command_has() {
        let cli = crate::Cli::command();
        let ask = cli.find_subcommand("ask").unwrap();
        let flags = |text: &str| {
            let flags = flags(&cli, ask, &text.parse().unwrap());
            flags.map(|flags| flags.concat())
        };
        assert_eq!(
            flags("model = \"m\"\ninclude-turns = true\nephemeral = true").unwrap(),
            line(&["--ephemeral", "--model=m"])
        );
        assert_eq!(
            flags("image = [\"a\", \"b\"]").unwrap(),
            line(&["--image=a", "--image=b"])
        );
        assert!(flags("modle = \"m\"").unwrap_err().contains("modle"));
        assert!(flags("ephemeral = \"yes\"").is_err());
    }
}
