//! `cas`: codex app-server from the command line.

#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "`output` has the filter for terminals"
)]

mod commands;
mod completion;
mod config;
mod connect;
mod failure;
mod files;
mod input;
mod logs;
mod markdown;
mod output;
mod page;
mod printer;
mod proxy;
mod reason;
mod running;
mod screen;
mod server;
mod signals;
mod stdio;
mod typing;
mod usage;
mod waiting;
mod when;

use std::{process::ExitCode, time::Duration};

use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use serde_json::json;

use self::{
    commands::Command,
    failure::{Failure, Result},
    output::{complain, fail},
    signals::Signals,
};

/// Drive `codex app-server` from the command line, and from programs that speak JSON lines.
#[derive(Debug, Parser)]
#[command(name = "cas", version, args_override_self = true)]
#[command(after_help = usage::AFTER_HELP)]
struct Cli {
    /// The format of the log lines on stderr; `RUST_LOG` selects what is logged
    #[arg(
        long,
        value_enum,
        default_value = "text",
        global = true,
        help_heading = "Global"
    )]
    log_format: logs::Format,
    /// When to use colours
    #[arg(
        long,
        value_enum,
        default_value = "auto",
        value_name = "WHEN",
        global = true,
        help_heading = "Global"
    )]
    color: screen::Colour,
    /// Use the flags of this profile in the configuration file
    #[arg(long, value_name = "NAME", global = true, help_heading = "Global")]
    #[allow(dead_code, reason = "it is looked at before clap looks at the flags")]
    config_profile: Option<String>,
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    // When a shell asks for completions, this answers and exits.
    clap_complete::CompleteEnv::with_factory(Cli::command).complete();
    let (cli, defaults) = match parse() {
        Ok(parsed) => parsed,
        Err(code) => return code,
    };
    cli.color.apply();
    logs::start(cli.log_format);
    // The message of a panic may quote text from elsewhere.
    std::panic::set_hook(Box::new(|panic| {
        let trace = std::backtrace::Backtrace::capture();
        let trace = match trace.status() {
            std::backtrace::BacktraceStatus::Captured => format!("\n{trace}"),
            _ => String::new(),
        };
        stdio::give_back_terminal();
        complain(&format!("{panic}{trace}"));
    }));
    // One thread: what a proxy does takes microseconds, and waking another costs more.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let (json, is_node_report) = (cli.command.json(), cli.command.is_node_report());
    let done = match runtime {
        Ok(runtime) => {
            if !cli.command.is_contract() {
                signals::guard();
            }
            let done = runtime.block_on(async {
                let signals = Signals::listen()?;
                Box::pin(cli.command.run(signals)).await
            });
            // Drops every task that still runs, and with it every server that was started.
            runtime.shutdown_timeout(Duration::from_millis(100));
            done
        }
        Err(error) => Err(error.into()),
    };
    let failure = match done {
        Ok(code) => return ExitCode::from(code),
        Err(failure) => failure,
    };
    let status = failure.status();
    if !failure.is_silent() {
        let text = failure.text();
        // If the flags are wrong, nothing is written to standard output.
        let has_event = match failure {
            Failure::Usage(_) => false,
            Failure::Signal(_) => true,
            _ => !is_node_report,
        };
        if json && has_event {
            // If it can't be written, the exit status says so.
            let _ = output::json(&json!({"event": "failed", "error": text, "exitStatus": status}));
        }
        fail(&text);
        if let (Failure::Usage(_), Some(defaults)) = (&failure, defaults.remark()) {
            complain(&defaults);
        }
    }
    ExitCode::from(status)
}

/// Parses the command line. Returns it with the flags that come from the file, or returns the exit
/// status after printing an error or the help.
fn parse() -> Result<(Cli, config::Defaults), ExitCode> {
    let args: Vec<_> = std::env::args_os().collect();
    let mut command = Cli::command();
    let is_for_programs =
        config::Invocation::of(&command, &args).is_some_and(|typed| typed.is_for_programs());
    let (args, defaults) = config::with_defaults(&command, args).map_err(|text| {
        fail(&text);
        ExitCode::from(failure::USAGE)
    })?;
    let cli = command
        .try_get_matches_from_mut(args)
        .and_then(|matches| Cli::from_arg_matches(&matches))
        .map_err(|error| usage::report(error, is_for_programs))?;
    Ok((cli, defaults))
}
