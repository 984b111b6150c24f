//! `cas man` and `cas completions`: the manual and the shell's help, made from the flags themselves.

use std::{fs, path::PathBuf};

use clap::CommandFactory as _;

use crate::{
    Cli,
    output::{Result, verbatim},
};

/// Print the manual page, or write one for each command.
#[derive(Debug, clap::Args)]
pub(crate) struct Man {
    /// Write cas.1, cas-proxy.1 and so on here instead of printing cas.1
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Print the completions for a shell.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "As in:\n  cas completions bash > ~/.local/share/bash-completion/completions/cas"
)]
pub(crate) struct Completions {
    /// The shell
    shell: clap_complete::Shell,
}

pub(crate) fn man(args: &Man) -> Result {
    if let Some(dir) = &args.dir {
        fs::create_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        return Ok(clap_mangen::generate_to(Cli::command(), dir)?);
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut page)?;
    verbatim(&String::from_utf8(page)?)
}

pub(crate) fn completions(args: &Completions) -> Result {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "cas", &mut script);
    verbatim(&String::from_utf8(script)?)
}
