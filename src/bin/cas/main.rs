//! `cas`: codex app-server from the command line.

mod proxy;
mod stdio;

use std::process::ExitCode;

use clap::Parser;

#[derive(Debug, Parser)]
#[command(name = "cas", version, about, args_override_self = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Proxy(proxy::Args),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    let done = runtime.block_on(async {
        match cli.command {
            Command::Proxy(args) => proxy::run(args).await,
        }
    });
    match done {
        Ok(code) => code.into(),
        Err(error) => {
            eprintln!("cas: {error}");
            ExitCode::FAILURE
        }
    }
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
    eprintln!("cas: {}", line.trim_start_matches("error: "));
    ExitCode::from(2)
}
