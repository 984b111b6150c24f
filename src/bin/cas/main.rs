//! `cas`: codex app-server from the command line.

mod proxy;
mod stdio;

use std::process::ExitCode;

use clap::Parser;

#[derive(Debug, Parser)]
#[command(name = "cas", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Proxy(proxy::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
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
