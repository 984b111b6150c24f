//! `cas man` and `cas completions`: the manual and the shell's help, made from the flags
//! themselves.

use std::{fs, io, path::PathBuf};

use clap::{Command, CommandFactory as _};
use clap_mangen::Man as Page;

use crate::{
    Cli,
    output::{Result, verbatim},
};

/// Print the manual page of cas or of one of its commands, or write all of them.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cas man | man -l -\n  cas man ask | man -l -\n  cas man --dir ~/.local/share/man/man1"
)]
pub(crate) struct Man {
    /// The command, as in `threads list` [default: cas itself]
    command: Vec<String>,
    /// Write cas.1, cas-proxy.1 and so on here instead of printing one
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath, conflicts_with = "command")]
    dir: Option<PathBuf>,
}

/// Print the completions for a shell.
///
/// They ask `cas` itself, so ids of threads are completed too.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cas completions bash > ~/.local/share/bash-completion/completions/cas\n  cas completions zsh > ~/.zfunc/_cas\n  cas completions fish > ~/.config/fish/completions/cas.fish"
)]
pub(crate) struct Completions {
    /// The shell
    shell: clap_complete::Shell,
}

/// The sections that are not made from the flags; each has a title and entries.
const SECTIONS: [(&str, &[(&str, &str)]); 3] = [
    (
        "EXIT STATUS",
        &[
            ("0", "It was done."),
            (
                "1",
                "It failed; the reason is on standard error, and with --json in the last line.",
            ),
            (
                "2",
                "The flags are wrong, or the file to write exists already. Nothing was started. cas preflight: it could not be determined.",
            ),
            (
                "3",
                "Something that the agent wanted to do was declined, or its answer does not fit --schema. cas review: the reviewer says that the code is not right.",
            ),
            ("4", "The message of cas post waits in the queue."),
            (
                "5",
                "The answer to cas post was lost, so the message may have been delivered.",
            ),
            (
                "124",
                "The time limit of --timeout passed, or a goal reached one of its limits.",
            ),
            (
                "129, 130, 143",
                "It was ended by SIGHUP, SIGINT or SIGTERM; 130 also if the turn was interrupted elsewhere.",
            ),
        ],
    ),
    (
        "ENVIRONMENT",
        &[
            (
                "CAS_CODEX",
                "The codex executable, if --codex does not name one.",
            ),
            ("CAS_CONFIG", "The configuration file."),
            (
                "CAS_CONNECT_TOKEN",
                "The token for the server of --connect, if --token-file names none.",
            ),
            (
                "CODEX_HOME",
                "The directory of codex's configuration, login and threads. Default: ~/.codex.",
            ),
            ("NO_COLOR", "If set to anything, no colours are used."),
            (
                "RUST_LOG",
                "What is logged to standard error, as in cas_sdk=debug.",
            ),
            (
                "TERM",
                "With the value dumb, there are no colours and no spinner.",
            ),
        ],
    ),
    (
        "FILES",
        &[
            (
                "~/.config/cas/config.toml",
                "Defaults for flags, by their long names, for every command that has them; those in [profiles.NAME] apply with --config-profile NAME. A flag that is typed wins, and a default that does not go with it is ignored. The commands of the cas skill don't read it.",
            ),
            (
                "~/.codex/cas/state/HASH.json",
                "The last thread of cas proxy in a directory.",
            ),
            (
                "~/.codex/cas/registry/",
                "The running app-servers, so that the next start ends what a killed instance has left.",
            ),
        ],
    ),
];

pub(crate) fn man(args: &Man) -> Result {
    let mut cli = Cli::command();
    cli.build();
    if let Some(dir) = &args.dir {
        fs::create_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        return write_all(&cli, "cas", dir);
    }
    let (mut command, mut name) = (&cli, "cas".to_owned());
    for word in &args.command {
        command = (command.find_subcommand(word))
            .ok_or_else(|| format!("there is no command `{name} {word}`"))?;
        name = format!("{name}-{}", command.get_name());
    }
    verbatim(&String::from_utf8(page(command, &name)?)?)
}

fn write_all(command: &Command, name: &str, dir: &std::path::Path) -> Result {
    let file = dir.join(format!("{name}.1"));
    fs::write(&file, page(command, name)?).map_err(|e| format!("{}: {e}", file.display()))?;
    for sub in command
        .get_subcommands()
        .filter(|sub| sub.get_name() != "help")
    {
        write_all(sub, &format!("{name}-{}", sub.get_name()), dir)?;
    }
    Ok(())
}

/// The page of a command. The text after its help has its examples; the other sections are the same
/// on all pages.
fn page(command: &Command, name: &str) -> io::Result<Vec<u8>> {
    let examples = command.get_after_help().map(ToString::to_string);
    let page = Page::new(command.clone().after_help("").display_name(name.to_owned()));
    let mut out = Vec::new();
    page.render_title(&mut out)?;
    page.render_name_section(&mut out)?;
    page.render_synopsis_section(&mut out)?;
    page.render_description_section(&mut out)?;
    page.render_options_section(&mut out)?;
    if command.has_subcommands() {
        page.render_subcommands_section(&mut out)?;
    }
    for (title, entries) in SECTIONS {
        section(title, &mut out);
        for (term, text) in entries {
            out.extend(format!(".TP\n\\fB{}\\fR\n{}\n", roff(term), roff(text)).bytes());
        }
    }
    let examples = examples
        .as_deref()
        .and_then(|text| text.strip_prefix("Examples:\n"));
    let examples = examples.map_or("cas ask \"Why is the build red?\"\ncas doctor", |text| {
        text.split("\n\n").next().unwrap_or_default()
    });
    section("EXAMPLES", &mut out);
    out.extend(b".nf\n");
    for line in examples.lines() {
        out.extend(format!("{}\n", roff(line.trim())).bytes());
    }
    out.extend(b".fi\n");
    if command.get_version().is_some() {
        page.render_version_section(&mut out)?;
    }
    Ok(out)
}

fn section(title: &str, out: &mut Vec<u8>) {
    out.extend(format!(".SH \"{title}\"\n").bytes());
}

/// Escapes text for roff.
fn roff(text: &str) -> String {
    let text = text
        .replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('\'', "\\(aq");
    if text.starts_with('.') {
        format!("\\&{text}")
    } else {
        text
    }
}

pub(crate) fn completions(args: &Completions) -> Result {
    use clap_complete::env::Shells;
    let shell = args.shell.to_string();
    let mut script = Vec::new();
    let shells = Shells::builtins();
    let completer = shells
        .completer(&shell)
        .ok_or_else(|| format!("{shell} is not supported"))?;
    completer.write_registration("COMPLETE", "cas", "cas", "cas", &mut script)?;
    verbatim(&String::from_utf8(script)?)
}
