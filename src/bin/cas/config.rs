//! The user's defaults: flags in a file, as they are or by the name of a profile.
//!
//! ```toml
//! approvals = "ask"            # for every command that has --approvals
//!
//! [profiles.review]            # with --config-profile review
//! model = "gpt-6"
//! sandbox = "read-only"
//! config = ["model_verbosity=\"low\""]
//! ```

use std::{
    ffi::OsString,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use clap::{ArgAction, Command};
use toml::{Table, Value};

use crate::usage::FOR_PROGRAMS;

/// Commands for which defaults have no meaning. The commands that [programs run](FOR_PROGRAMS) keep
/// their documented defaults.
const WITHOUT_DEFAULTS: [&str; 2] = ["man", "completions"];

/// Where the file is: `$CAS_CONFIG`, else `cas/config.toml` in `$XDG_CONFIG_HOME` or `~/.config`.
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

/// Whether an argument names a command that takes no defaults.
fn is_left_alone(arg: &OsString) -> bool {
    let mut names = FOR_PROGRAMS.iter().chain(&WITHOUT_DEFAULTS);
    names.any(|name| arg == name)
}

/// The command line with the flags of the file before those that were given, so that the latter
/// win.
///
/// # Errors
/// If the file can't be read, or has a flag that no command has.
pub(crate) fn with_defaults(cli: &Command, args: Vec<OsString>) -> Result<Vec<OsString>, String> {
    if args.get(1).is_some_and(is_left_alone) {
        return Ok(args);
    }
    let Some((command, at, profile)) = command(cli, &args) else {
        return Ok(args);
    };
    if args[1..=at].iter().any(is_left_alone) {
        return Ok(args);
    }
    let Some(path) = path() else { return Ok(args) };
    let wrong = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound && profile.is_none() => return Ok(args),
        Err(e) => return Err(wrong(&e)),
    };
    let mut table: Table = text.parse().map_err(|e| wrong(&e))?;
    let profiles = table.remove("profiles");
    let mut flags = flags(cli, command, &table, &path)?;
    if let Some(name) = profile {
        match profiles.as_ref().and_then(|profiles| profiles.get(&name)) {
            Some(Value::Table(table)) => flags.extend(self::flags(cli, command, table, &path)?),
            _ => return Err(wrong(&format!("it has no [profiles.{name}]"))),
        }
    }
    let mut all = args;
    let rest = all.split_off(at + 1);
    all.extend(flags);
    all.extend(rest);
    Ok(all)
}

/// The command of a command line, the position of its name, and the requested profile.
fn command<'a>(
    cli: &'a Command,
    args: &[OsString],
) -> Option<(&'a Command, usize, Option<String>)> {
    let (mut command, mut at, mut profile) = (cli, 0, None);
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
                Some(found) => (command, at) = (found, n),
                None => open = false,
            }
        }
    }
    (at > 0).then_some((command, at, profile))
}

fn takes_value(cli: &Command, flag: &str) -> bool {
    cli.get_arguments()
        .any(|arg| arg.get_long() == Some(flag) && arg.get_action().takes_values())
}

/// The flags of a table that the command has.
fn flags(
    cli: &Command,
    command: &Command,
    table: &Table,
    path: &Path,
) -> Result<Vec<OsString>, String> {
    let mut flags = Vec::new();
    for (name, value) in table {
        let wrong = |what: &str| format!("{}: {name}: {what}", path.display());
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
        for value in values {
            match (value, arg.get_action()) {
                (Value::Boolean(true), ArgAction::SetTrue) => {
                    flags.push(format!("--{name}").into());
                }
                (Value::Boolean(false), ArgAction::SetTrue) => {}
                (_, ArgAction::SetTrue) => return Err(wrong("it must be true or false")),
                (Value::String(text), _) => flags.push(format!("--{name}={text}").into()),
                (Value::Integer(number), _) => flags.push(format!("--{name}={number}").into()),
                _ => return Err(wrong("it must be a text, a number, or a list of these")),
            }
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
            command(&cli, &args)
                .map(|(command, at, profile)| (command.get_name().to_owned(), at, profile))
        };
        assert_eq!(
            found(&["cas", "--log-format", "json", "ask", "hi"]),
            Some(("ask".into(), 3, None))
        );
        assert_eq!(
            found(&["cas", "threads", "list", "--config-profile", "x"]),
            Some(("list".into(), 2, Some("x".into())))
        );
        // A prompt that is the name of a command is a prompt.
        assert_eq!(
            found(&["cas", "ask", "threads", "--", "--config-profile=y"]),
            Some(("ask".into(), 1, None))
        );
        assert_eq!(found(&["cas"]), None);
    }

    #[test]
    fn flags_of_a_table_are_those_that_the_command_has() {
        let cli = crate::Cli::command();
        let ask = cli.find_subcommand("ask").unwrap();
        let flags = |text: &str| flags(&cli, ask, &text.parse().unwrap(), Path::new("config.toml"));
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
