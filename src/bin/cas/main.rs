//! `cas`: codex app-server from the command line.

#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "`out` has the filter for terminals"
)]

mod ask;
mod connect;
mod database;
mod doctor;
mod instance;
mod instance_report;
mod instance_runner;
mod lists;
mod logs;
mod manual;
mod mine;
mod mine_text;
mod out;
mod preflight;
mod proxy;
mod rate_limits;
mod sink;
mod smoke_check;
mod stdio;
mod threads;

use std::process::ExitCode;

use clap::Parser;
use out::{Result, complain};

/// Drive `codex app-server` from the command line, and from programs that speak JSON lines.
#[derive(Debug, Parser)]
#[command(name = "cas", version, args_override_self = true)]
#[command(
    after_help = "Compatible with cas.zig and the scripts of the cas skill: cas smoke_check, cas instance_runner, cas proxy, cas rate_limits."
)]
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
    Ask(Box<ask::Args>),
    Threads(threads::Args),
    Steer(threads::Steer),
    /// List the experimental features of codex and whether they are on.
    Features(lists::Args),
    /// List the models that can be asked.
    Models(lists::Args),
    Doctor(doctor::Args),
    Preflight(preflight::Args),
    Mine(Box<mine::Args>),
    Man(manual::Man),
    Completions(manual::Completions),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    logs::start(cli.log_format);
    // What a panic says may quote what came from elsewhere.
    std::panic::set_hook(Box::new(|panic| {
        let trace = std::backtrace::Backtrace::capture();
        let trace = match trace.status() {
            std::backtrace::BacktraceStatus::Captured => format!("\n{trace}"),
            _ => String::new(),
        };
        complain(&format!("{panic}{trace}"));
    }));
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
        Command::Ask(args) => ask::run(*args).await?,
        Command::Threads(args) => threads::run(args).await?,
        Command::Steer(args) => threads::steer(args).await?,
        Command::Features(args) => lists::features(args).await?,
        Command::Models(args) => lists::models(args).await?,
        Command::Doctor(args) => doctor::run(args).await?,
        Command::Preflight(args) => preflight::run(args).await?,
        Command::Mine(args) => mine::run(*args).await?,
        Command::Man(args) => manual::man(&args)?,
        Command::Completions(args) => manual::completions(&args)?,
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
