//! `cas`: codex app-server from the command line.

mod connect;
mod instance;
mod instance_runner;
mod logs;
mod out;
mod proxy;
mod rate_limits;
mod smoke_check;
mod stdio;

use std::process::ExitCode;

use clap::Parser;
use out::{Result, complain};

/// Drive `codex app-server` from the command line, and from programs that speak JSON lines.
#[derive(Debug, Parser)]
#[command(name = "cas", version, args_override_self = true)]
struct Cli {
    /// The form of the log lines on stderr; `RUST_LOG` says what is logged
    #[arg(long, value_enum, default_value = "text", global = true)]
    log_format: logs::Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Proxy(proxy::Args),
    #[command(alias = "smoke_check")]
    SmokeCheck(smoke_check::Args),
    #[command(alias = "instance_runner")]
    InstanceRunner(Box<instance_runner::Args>),
    #[command(alias = "rate_limits")]
    RateLimits(rate_limits::Args),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    logs::start(cli.log_format);
    // One thread: what a proxy does takes microseconds, and waking another costs more.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(run(cli.command)),
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

async fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Proxy(args) => return Ok(proxy::run(args).await?.into()),
        Command::SmokeCheck(args) => smoke_check::run(args).await?,
        Command::InstanceRunner(args) => instance_runner::run(*args).await?,
        Command::RateLimits(args) => rate_limits::run(args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Help goes to stdout as it is; what is wrong with the flags is one line on stderr, for programs that log it.
fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // Nobody may be reading any more, and that is fine.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.render().to_string();
    let lines = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.is_empty());
    let line = lines.collect::<Vec<_>>().join(" ");
    complain(line.trim_start_matches("error: "));
    ExitCode::from(2)
}
