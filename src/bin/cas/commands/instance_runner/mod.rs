//! `cas instance-runner`: the same request to many instances at once.

mod instance;
mod report;

use std::{
    collections::BTreeMap,
    fs,
    io::IsTerminal as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use cas_sdk::{Retry, internal::PrivateDir};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json, value::RawValue};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
};

use self::{
    instance::Instance,
    report::{Report, Sample, StartFailure, Timing},
};
use super::proxy::{Approvals, registry};
use crate::{
    failure::done_if,
    output::{Failure, Result, complain, pretty_json},
    proxy::{Notice, Options},
    signals::Signals,
    when::millis,
};

/// Start many instances, make the same request to each, and report.
///
/// Each instance is a proxy with an app-server of its own. A start that is too slow, or fails
/// because another one uses the databases of the same home, is retried up to four times. Exits with
/// 0 only if every start and every request succeeded.
#[derive(Debug, clap::Args)]
#[command(args_override_self = true)]
#[command(after_help = "Compatible with cas_instance_runner.zig.")]
pub(crate) struct Args {
    /// The working directory of the app-servers
    #[arg(long, value_name = "DIR")]
    cwd: PathBuf,
    /// The codex executable [default: `$CAS_CODEX`, else codex on `$PATH`]
    #[arg(long, value_name = "PATH")]
    codex: Option<PathBuf>,
    /// How many instances
    #[arg(long, value_name = "N", default_value = "12", value_parser = positive, allow_hyphen_values = true)]
    instances: usize,
    /// How many instances may start at the same time; 0 means all of them
    #[arg(long, value_name = "N", default_value_t = 8)]
    max_starting: usize,
    /// The request to make
    #[arg(long, value_name = "NAME", default_value = "thread/list")]
    method: String,
    /// Its params [default: one thread for thread/list, else none]
    #[arg(long, value_name = "JSON", conflicts_with = "params_file")]
    params_json: Option<String>,
    /// A file with its params
    #[arg(long, value_name = "PATH")]
    params_file: Option<PathBuf>,
    /// The directory for the state files of the instances [default: a temporary one]
    #[arg(long, value_name = "DIR")]
    state_file_dir: Option<PathBuf>,
    /// Give each instance a `CODEX_HOME` of its own below this directory
    #[arg(long, value_name = "DIR")]
    codex_home_dir: Option<PathBuf>,
    /// How long the request may take; 0 waits for ever
    #[arg(long, value_name = "N", default_value = "30000", value_parser = millis)]
    request_timeout_ms: Duration,
    /// How long until a server request fails, since nobody answers it here; 0 waits for ever
    #[arg(long, value_name = "N", default_value = "30000", value_parser = millis)]
    server_request_timeout_ms: Duration,
    #[command(flatten)]
    approvals: Approvals,
    /// Have the servers suppress a notification; may be given several times
    #[arg(long, value_name = "METHOD")]
    opt_out_notification_method: Vec<String>,
    /// The prefix of the client names; a dash and the number of the instance follow
    #[arg(long, value_name = "NAME", default_value = "cas-instance")]
    client_prefix: String,
    /// How many results to show
    #[arg(long, value_name = "N", default_value_t = 3)]
    sample: usize,
    /// Report as JSON, in the shape of `cas_instance_runner.mjs`
    #[arg(long)]
    pub(crate) json: bool,
    /// With --json: include the whole result in each sample
    #[arg(long, requires = "json")]
    full: bool,
    /// Report on stderr what each instance does
    #[arg(long)]
    verbose: bool,
}

/// How far an instance has come: its number, and the result of its start or its request.
enum Progress {
    Started(usize, Result<(), String>),
    Answered(usize, Result<Box<RawValue>, String>),
}

pub(crate) async fn run(args: Args, signals: &mut Signals) -> Result {
    let params = params(&args)?;
    let began = Instant::now();
    let state_dir = StateDir::new(args.state_file_dir.as_deref());
    private_dir(&state_dir.path)?;
    if let Some(warning) = args.approvals.warning() {
        complain(&warning);
    }

    let mut fleet = Fleet::start(&args, &params, &state_dir.path)?;
    let done = tokio::select! {
        done = fleet.collect(&args) => Ok(done),
        caught = signals.next() => Err(caught),
    };
    fleet.end().await;
    drop(state_dir);
    let outcome = match done {
        Ok(outcome) => outcome,
        Err(caught) => {
            complain("interrupted; all instances have been ended");
            return Err(Failure::Signal(caught));
        }
    };
    outcome.report(&args, &params, began.elapsed())
}

/// The directory of the state files. A directory created for this run is removed at its end.
struct StateDir {
    path: PathBuf,
    is_temporary: bool,
}

impl StateDir {
    fn new(given: Option<&Path>) -> Self {
        let path = given.map_or_else(
            // Nobody can have created this name in advance.
            || std::env::temp_dir().join(format!("cas-instances-{}", uuid::Uuid::new_v4())),
            Path::to_owned,
        );
        let is_temporary = given.is_none();
        Self { path, is_temporary }
    }
}

impl Drop for StateDir {
    fn drop(&mut self) {
        if self.is_temporary {
            // The directory contains only what the instances of this run wrote.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Makes a directory for this user alone, or takes one where nobody else can put anything.
fn private_dir(path: &Path) -> Result {
    match PrivateDir::own(path) {
        Ok(_) => Ok(()),
        Err(e) => Err(format!("{}: {e}", path.display()).into()),
    }
}

fn params(args: &Args) -> Result<Value> {
    let text = match (&args.params_json, &args.params_file) {
        (Some(text), _) => text.clone(),
        (None, Some(file)) => fs::read_to_string(file)
            .map_err(|e| Failure::Usage(format!("{}: {e}", file.display())))?,
        (None, None) if args.method == "thread/list" => {
            return Ok(json!({"cursor": null, "limit": 1}));
        }
        (None, None) => return Ok(json!({})),
    };
    serde_json::from_str(&text).map_err(|e| Failure::Usage(format!("the params are not JSON: {e}")))
}

/// The instances that run.
struct Fleet {
    tasks: JoinSet<()>,
    progress: mpsc::Receiver<Progress>,
    /// Set when all have started and may make their request.
    go: watch::Sender<bool>,
    notices: Vec<Notify>,
}

/// Sends a notice to the current attempt of an instance.
type Notify = Arc<Mutex<Option<mpsc::Sender<Notice>>>>;

/// How often a failed start of an instance is retried, if it was too slow or another one used the
/// databases of its home.
const START_RETRIES: u32 = 4;

impl Fleet {
    fn start(args: &Args, params: &Value, state_dir: &Path) -> Result<Self> {
        let (tell, progress) = mpsc::channel(16);
        let (go, begin) = watch::channel(false);
        let starting = Arc::new(Semaphore::new(match args.max_starting {
            0 => args.instances,
            some => some,
        }));
        let mut tasks = JoinSet::new();
        let mut notices = Vec::new();
        for number in 1..=args.instances {
            let name = format!("{}-{number}", args.client_prefix);
            let mut options = Options::default();
            options.codex.clone_from(&args.codex);
            options.cwd = Some(args.cwd.clone());
            options.state_file = Some(std::path::absolute(state_dir)?.join(format!("{name}.json")));
            if let Some(dir) = &args.codex_home_dir {
                let home = std::path::absolute(dir)?.join(&name);
                private_dir(&home)?;
                options.env.push(("CODEX_HOME".into(), home.into()));
            }
            options.client_name = name;
            options.registry = registry();
            // The one request has a limit of its own.
            options.request_timeout = None;
            options.approvals = args.approvals.policy();
            options.server_request_timeout =
                Some(args.server_request_timeout_ms).filter(|after| !after.is_zero());
            options
                .opt_out_notification_methods
                .clone_from(&args.opt_out_notification_method);
            let notice: Notify = Arc::default();
            notices.push(notice.clone());
            let (method, params, within) =
                (args.method.clone(), params.clone(), args.request_timeout_ms);
            let within = Some(within).filter(|after| !after.is_zero());
            let (tell, mut begin, starting) = (tell.clone(), begin.clone(), starting.clone());
            tasks.spawn(async move {
                let Ok(permit) = starting.acquire_owned().await else {
                    return;
                };
                let mut permit = Some(permit);
                let mut pauses = Retry::times(START_RETRIES).pauses();
                loop {
                    let (notify, seen) = mpsc::channel(1);
                    *notice.lock().unwrap_or_else(PoisonError::into_inner) = Some(notify);
                    let (mut instance, life) = Instance::new(options.clone(), seen);
                    let work = async {
                        let started = match instance.ready().await {
                            Ok(()) => Ok(()),
                            Err(failed) if failed.may_pass && !tell.is_closed() => {
                                if let Some(pause) = pauses.next() {
                                    instance.exit().await;
                                    return Some(pause);
                                }
                                Err(failed.error)
                            }
                            Err(failed) => Err(failed.error),
                        };
                        permit = None;
                        let is_up = started.is_ok();
                        // Nobody is left to tell only when the run is being ended.
                        let _ = tell.send(Progress::Started(number, started)).await;
                        if is_up && begin.wait_for(|go| *go).await.is_ok() {
                            let answer = instance.request(&method, &params, within).await;
                            let _ = tell.send(Progress::Answered(number, answer)).await;
                        }
                        instance.exit().await;
                        None
                    };
                    let (_, Some(pause)) = tokio::join!(life, work) else {
                        return;
                    };
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = tell.closed() => return,
                    }
                }
            });
        }
        Ok(Self {
            tasks,
            progress,
            go,
            notices,
        })
    }

    async fn collect(&mut self, args: &Args) -> Outcome {
        let bar = progress(args);
        let began = Instant::now();
        let mut outcome = Outcome::default();
        bar.set_message("starting");
        for _ in 0..args.instances {
            match self.progress.recv().await {
                Some(Progress::Started(_, Ok(()))) => outcome.started += 1,
                Some(Progress::Started(number, Err(error))) => {
                    if args.verbose {
                        complain(&format!("instance {number} did not start: {error}"));
                    }
                    outcome.start_failures.insert(number, error);
                }
                _ => break,
            }
            bar.inc(1);
        }
        outcome.starting = began.elapsed();
        bar.set_message("asking");
        let asked = Instant::now();
        self.go.send_replace(true);
        for _ in 0..outcome.started {
            let Some(Progress::Answered(number, answer)) = self.progress.recv().await else {
                break;
            };
            if args.verbose {
                match &answer {
                    Ok(_) => complain(&format!("instance {number} has answered")),
                    Err(error) => complain(&format!("instance {number}: {error}")),
                }
            }
            outcome.answers.insert(number, answer);
            bar.inc(1);
        }
        outcome.asking = asked.elapsed();
        bar.finish_and_clear();
        outcome
    }

    /// Ends all instances, gently if that does not take too long.
    async fn end(self) {
        let Self {
            mut tasks,
            progress,
            go,
            notices,
        } = self;
        // Those that still wait for it have nothing to wait for any more.
        drop((go, progress));
        for notice in &notices {
            let notify = notice.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(notify) = &*notify {
                // Full or closed: the instance has a notice already, or has ended.
                let _ = notify.try_send(Notice::Terminate);
            }
        }
        let all = async { while tasks.join_next().await.is_some() {} };
        // What is left after that is killed with its process group when the tasks are dropped.
        let _ = tokio::time::timeout(LAST, all).await;
    }
}

/// How long the instances have to end.
const LAST: Duration = Duration::from_millis(1_500);

#[derive(Default)]
struct Outcome {
    started: usize,
    start_failures: BTreeMap<usize, String>,
    answers: BTreeMap<usize, Result<Box<RawValue>, String>>,
    starting: Duration,
    asking: Duration,
}

impl Outcome {
    fn report(&self, args: &Args, params: &Value, total: Duration) -> Result {
        let ok = self.answers.values().filter(|a| a.is_ok()).count();
        let millis = |took: Duration| u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let samples = self.answers.iter().take(args.sample);
        let report = Report {
            demo: "cas-instance-runner",
            cwd: &args.cwd,
            state_file_dir: args.state_file_dir.as_deref(),
            method: &args.method,
            params,
            instances_requested: args.instances,
            instances_started: self.started,
            start_failures: (self.start_failures.iter())
                .map(|(instance, error)| StartFailure {
                    instance: *instance,
                    error,
                })
                .collect(),
            requests_ok: ok,
            requests_failed: self.started - ok,
            timing_ms: Timing {
                start_all_clients: millis(self.starting),
                run_all_requests: millis(self.asking),
                total: millis(total),
            },
            sample_results: samples
                .map(|(instance, answer)| Sample::new(*instance, answer, &args.method, args.full))
                .collect(),
        };
        if args.json {
            pretty_json(&report)?;
        } else {
            report.show()?;
        }
        done_if(self.start_failures.is_empty() && ok == args.instances)
    }
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("a positive number".to_owned()),
    }
}

/// A bar on a terminal, nothing elsewhere.
fn progress(args: &Args) -> ProgressBar {
    if args.json || args.verbose || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(args.instances as u64 * 2);
    let style = ProgressStyle::with_template("{msg:>8} {wide_bar} {pos}/{len}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
