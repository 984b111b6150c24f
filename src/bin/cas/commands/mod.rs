//! The commands, one file or folder each: their flags, and what they do.

mod ask;
mod decisions;
mod doctor;
mod goal;
mod instance_runner;
mod lists;
mod live;
mod login;
mod manual;
mod mine;
mod post;
mod preflight;
mod proxy;
mod questions;
mod rate_limits;
mod request_summary;
mod review;
mod smoke_check;
mod stats;
mod steer;
mod threads;
mod watch;

use crate::{
    failure::{DONE, Result},
    signals::Signals,
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Ask(Box<ask::Args>),
    #[command(visible_alias = "thread")]
    Threads(threads::Args),
    Steer(steer::Args),
    Live(live::Args),
    Watch(watch::Args),
    Attach(watch::AttachArgs),
    Post(post::Args),
    Review(Box<review::Args>),
    Goal(Box<goal::Args>),
    Login(login::Args),
    /// List the models that can be asked.
    Models(lists::Args),
    /// List the experimental features of codex and whether they are on.
    Features(lists::Args),
    Mine(Box<mine::Args>),
    Stats(Box<stats::Args>),
    Doctor(doctor::Args),
    Preflight(preflight::Args),
    Proxy(proxy::Args),
    #[command(visible_alias = "smoke_check")]
    SmokeCheck(smoke_check::Args),
    #[command(visible_alias = "instance_runner")]
    InstanceRunner(Box<instance_runner::Args>),
    #[command(visible_alias = "rate_limits")]
    RateLimits(rate_limits::Args),
    Man(manual::Man),
    Completions(manual::Completions),
}

impl Command {
    /// Whether its output is JSON.
    pub(crate) fn json(&self) -> bool {
        match self {
            Self::Ask(args) => args.json,
            Self::Threads(args) => args.json(),
            Self::Steer(args) => args.json,
            Self::Live(args) => args.json,
            Self::Post(args) => args.json,
            Self::Watch(args) => args.json,
            Self::Review(args) => args.json,
            Self::Goal(args) => args.json(),
            Self::Login(args) => args.json,
            Self::Models(args) | Self::Features(args) => args.json,
            Self::Mine(args) => args.json(),
            Self::Stats(args) => args.json,
            Self::Doctor(args) => args.json,
            Self::Preflight(args) => args.json,
            Self::SmokeCheck(args) => args.json,
            Self::InstanceRunner(args) => args.json,
            Self::RateLimits(args) => args.json,
            Self::Proxy(_) | Self::Attach(_) | Self::Man(_) | Self::Completions(_) => false,
        }
    }

    /// Whether its report has the shape of a cas skill script, which does not report failures.
    pub(crate) fn is_node_report(&self) -> bool {
        matches!(
            self,
            Self::SmokeCheck(_) | Self::InstanceRunner(_) | Self::RateLimits(_)
        )
    }

    /// Whether it handles signals itself, as the original proxy does.
    pub(crate) fn is_contract(&self) -> bool {
        matches!(self, Self::Proxy(_))
    }

    /// Runs it; returns the exit status.
    pub(crate) async fn run(self, mut signals: Signals) -> Result<u8> {
        match self {
            Self::Proxy(args) => return proxy::run(args, signals).await,
            Self::Ask(args) => return ask::run(*args, &mut signals).await,
            Self::Live(args) => return live::run(args, &mut signals).await,
            Self::Watch(args) => return watch::run(args, &mut signals).await,
            Self::Attach(args) => return watch::attach(args, &mut signals).await,
            Self::Post(args) => return signals.or(post::run(args)).await,
            Self::Review(args) => return signals.or(review::run(*args)).await,
            Self::Goal(args) => return goal::run(*args, &mut signals).await,
            Self::Login(args) => signals.or(login::run(args)).await?,
            Self::InstanceRunner(args) => instance_runner::run(*args, &mut signals).await?,
            Self::Mine(args) => mine::run(*args, &mut signals).await?,
            Self::SmokeCheck(args) => signals.or(smoke_check::run(args)).await?,
            Self::RateLimits(args) => signals.or(rate_limits::run(args)).await?,
            Self::Threads(args) => signals.or(threads::run(args)).await?,
            Self::Steer(args) => signals.or(steer::run(args)).await?,
            Self::Features(args) => signals.or(lists::features(args)).await?,
            Self::Models(args) => signals.or(lists::models(args)).await?,
            Self::Stats(args) => stats::run(&args)?,
            Self::Doctor(args) => signals.or(doctor::run(args)).await?,
            Self::Preflight(args) => signals.or(preflight::run(args)).await?,
            Self::Man(args) => manual::man(&args)?,
            Self::Completions(args) => manual::completions(&args)?,
        }
        Ok(DONE)
    }
}
