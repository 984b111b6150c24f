//! The loop of an instance: one task that reads both sides, writes both sides and ends the child.

use std::{
    future::{pending, ready},
    io,
    process::ExitStatus,
    time::{Duration, Instant},
};

use cas_sdk::internal::Line;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    time::sleep_until,
};

use super::{
    child::{Child, MAX_LINE, Parts, exit_of},
    notice::Notice,
    open::{join, registry, start},
    options::Options,
    pipes::{Input, Output, ended_early, write_to},
    session::{Phase, Session},
};

/// How many bytes may wait to be written to the server before reading commands pauses.
const TO_SERVER: usize = 1024 * 1024;
/// How long the end of the commands waits for the next answer to what was asked,
const LAST_ANSWERS: Duration = Duration::from_secs(10);
/// and for turns and other long work.
const LAST_WORK: Duration = Duration::from_secs(600);

/// Runs an instance to its end and returns the exit code for the process: 0 after `cas/exit` or the
/// end of the commands, else the app-server's, and 1 where there is none.
pub(crate) async fn run(
    options: Options,
    commands: impl AsyncRead + Unpin,
    events: impl AsyncWrite + Unpin,
    notices: mpsc::Receiver<Notice>,
) -> u8 {
    let options = options.bounded();
    let mut session = Session::new(&options);
    session.announce();
    let mut output = Output {
        to: events,
        waited: false,
    };
    let mut notices = notices;
    // The remains of a killed instance get time to end, so a signal may come meanwhile.
    let opened = tokio::select! {
        biased;
        Some(notice) = notices.recv() => {
            return ended_early(notice, session, output, notices).await;
        }
        opened = registry(&options, &mut session) => opened,
    };
    let server = match &options.connect {
        Some(endpoint) => {
            tokio::select! {
                biased;
                Some(notice) = notices.recv() => {
                    return ended_early(notice, session, output, notices).await;
                }
                joined = output.write_during(&mut session, join(endpoint, &options)) => match joined {
                    Some(joined) => joined,
                    None => return 0,
                },
            }
        }
        None => start(&options, &mut session, opened),
    };
    let server = match server {
        Ok(server) => server,
        Err((what, error)) => {
            session.error(what, |m| {
                m.value("error", error);
            });
            output.flush(&mut session, &mut notices).await;
            return 1;
        }
    };
    session.server_listens = true;
    session.handshake(&options);
    let now = Instant::now();
    let instance = Instance {
        handshake_by: now + options.handshake_timeout,
        heartbeat: options.heartbeat,
        next_heartbeat: None,
        session,
        server,
        commands: Some(Input::new(commands, MAX_LINE)),
        output,
        notices,
        commands_ended: None,
        wanted: None,
    };
    instance.run().await
}

struct Instance<I, O> {
    session: Session,
    server: Child,
    /// `None` after their end.
    commands: Option<Input<I>>,
    output: Output<O>,
    notices: mpsc::Receiver<Notice>,
    handshake_by: Instant,
    heartbeat: Option<Duration>,
    next_heartbeat: Option<Instant>,
    /// When the commands ended, by the session's clock.
    commands_ended: Option<Duration>,
    /// The exit code, if it is not the child's.
    wanted: Option<u8>,
}

/// What happened.
enum Step {
    Server(io::Result<bool>),
    Stderr(io::Result<bool>),
    Commands(io::Result<bool>),
    ToServer(io::Result<usize>),
    Written(io::Result<usize>),
    Notice(Notice),
    Ended(Option<ExitStatus>),
    /// Time has passed, or lines wait in a buffer.
    Turn,
}

impl<I: AsyncRead + Unpin, O: AsyncWrite + Unpin> Instance<I, O> {
    async fn run(mut self) -> u8 {
        loop {
            self.session.events.tick();
            self.pump();
            self.timers(Instant::now());
            self.session.save_state(Instant::now());
            self.session.balance();
            if self.server.is_over() {
                break;
            }
            let step = self.step().await;
            if let Err(ReaderGone) = self.take(step) {
                // Nobody is left to tell. The app-server ends with its input.
                self.server.stop().await;
                return 0;
            }
        }
        self.server.kill_rest();
        let why = match self.wanted {
            Some(0) => "the instance was ended before the app-server had answered",
            _ => "the app-server ended before it had answered",
        };
        self.session.fail_requests(why);
        self.session.save_last();
        let (code, signal) = exit_of(self.server.status);
        self.session.events.emit("appServerExit", |m| {
            m.value("code", code).value("signal", signal);
        });
        if self.session.phase == Phase::Handshake && self.wanted.is_none() {
            self.session
                .error("the app-server ended before it was ready", |_| {});
            self.wanted = code
                .and_then(|code| u8::try_from(code).ok())
                .filter(|code| *code != 0)
                .or(Some(1));
        }
        self.output
            .flush(&mut self.session, &mut self.notices)
            .await;
        self.wanted
            .unwrap_or_else(|| code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
    }

    /// Whether lines are taken at all. The remaining output of an ended child always is, however
    /// much waits already.
    fn takes_lines(&mut self) -> bool {
        !self.session.balance() || self.server.drained_by.is_some()
    }

    fn takes_commands(&mut self) -> bool {
        self.session.phase == Phase::Ready
            && self.session.to_server.len() < TO_SERVER
            && !self.session.requests.is_full()
            && self.takes_lines()
    }

    /// Carries out the lines that have been read.
    fn pump(&mut self) {
        while self.takes_commands()
            && let Some(line) = self.commands.as_mut().and_then(Input::next)
        {
            match line {
                Line::Text(line) => self.session.client_line(line),
                Line::TooLong { len, head } => too_long(&mut self.session, "a command", len, &head),
            }
        }
        while self.takes_lines()
            && let Some(line) = self.server.stderr.as_mut().and_then(Input::next)
        {
            match line {
                Line::Text(line) => self.session.events.emit("appServerStderr", |m| {
                    m.value("line", String::from_utf8_lossy(line));
                }),
                Line::TooLong { len, head } => {
                    too_long(&mut self.session, "a line of stderr", len, &head);
                }
            }
        }
        let answered = self.session.to_server.len();
        // NB. An answer to the server goes out before the next line is looked at, and before what
        // was read is written to a slow reader.
        while self.session.to_server.len() <= answered
            && self.takes_lines()
            && let Some(line) = self.server.stdout.as_mut().and_then(Input::next)
        {
            match line {
                Line::Text(line) => self.session.server_line(line),
                Line::TooLong { len, head } => too_long(&mut self.session, "a message", len, &head),
            }
        }
        self.ends();
    }

    /// Looks for sides that have ended, once their last line is taken.
    fn ends(&mut self) {
        let now = Instant::now();
        if Input::finish(&mut self.commands) {
            self.commands_ended = Some(self.session.clock(now));
        }
        Input::finish(&mut self.server.stderr);
        if Input::finish(&mut self.server.stdout) && self.server.drained_by.is_none() {
            // The app-server usually ends at this moment. If it does not, it is no longer of use.
            self.server.expect_end(now);
        }
    }

    fn timers(&mut self, now: Instant) {
        self.session.expire(now);
        if let Some(every) = self.heartbeat
            && self.session.phase == Phase::Ready
        {
            let next = *self.next_heartbeat.get_or_insert(now + every);
            if next <= now {
                self.session.emit_stats("heartbeat");
                self.next_heartbeat = Some(now + every);
            }
        }
        if self.session.phase == Phase::Handshake
            && self.handshake_by <= now
            && self.wanted.is_none()
        {
            self.session
                .error("the app-server did not answer initialize in time", |_| {});
            self.session.phase = Phase::Refused;
        }
        let wanted = match self.session.phase {
            Phase::Exit => 0,
            Phase::Refused => 1,
            Phase::Ready | Phase::Handshake => {
                let ends = self.last_answers_by();
                if ends.is_some_and(|by| by <= self.session.clock(now)) {
                    self.session.events.emit("exiting", |m| {
                        m.word("reason", "stdinClosed");
                    });
                    self.session.phase = Phase::Exit;
                    0
                } else {
                    self.server.climb(now);
                    return;
                }
            }
        };
        if self.wanted.is_none() {
            self.wanted = Some(wanted);
            self.commands = None;
            self.server.wind_up(now);
        }
        if self.session.to_server.is_empty() {
            self.server.hurry(now); // What was to be sent before the end has been sent.
        }
        self.server.climb(now);
    }

    /// Once there are no more commands: when nothing more is waited for, by the session's clock.
    fn last_answers_by(&self) -> Option<Duration> {
        let ended = self.commands_ended?;
        let Session {
            requests,
            turns,
            to_server,
            ..
        } = &self.session;
        let by = if turns.any() || requests.has_long() {
            ended + LAST_WORK
        } else if requests.len() > 0 || !to_server.is_empty() {
            ended.max(requests.last_answer()) + LAST_ANSWERS
        } else {
            ended
        };
        Some(by)
    }

    /// The next moment at which [`timers`](Self::timers) has something to do.
    fn deadline(&self) -> Option<Instant> {
        [
            self.session.next_expiry(),
            self.next_heartbeat,
            (self.session.phase == Phase::Handshake).then_some(self.handshake_by),
            self.last_answers_by()
                .filter(|_| self.wanted.is_none())
                .and_then(|by| self.session.clock_shows(by)),
            self.session.state.next_try(),
            self.server.deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Waits for the next thing that happens. All branches are cancel safe: `fill` keeps what it
    /// read, `write` tells what it wrote, a child can be waited for again.
    async fn step(&mut self) -> Step {
        let deadline = self.deadline();
        let (takes_lines, takes_commands) = (self.takes_lines(), self.takes_commands());
        let Self {
            session,
            server,
            commands,
            output,
            notices,
            ..
        } = self;
        let Parts {
            process,
            stdin,
            stdout,
            stderr,
            has_ended,
        } = server.parts();
        let has_more = takes_lines
            && (stdout.as_ref().is_some_and(|i| i.more) || stderr.as_ref().is_some_and(|i| i.more))
            || takes_commands && commands.as_ref().is_some_and(|i| i.more);
        let Session {
            to_server,
            events,
            counts,
            ..
        } = session;
        // NB. Answers to the server go first, then events, then reading: so little waits.
        tokio::select! {
            biased;
            wrote = write_to(stdin, to_server) => Step::ToServer(wrote),
            wrote = output.write(events.queue.front(), counts) => Step::Written(wrote),
            Some(notice) = notices.recv() => Step::Notice(notice),
            status = Child::exit(process), if !has_ended => Step::Ended(status),
            () = ready(()), if has_more => Step::Turn,
            // In turns, so that a flood from one side does not silence the others.
            step = async {
                tokio::select! {
                    more = Input::fill(stdout), if takes_lines => Step::Server(more),
                    more = Input::fill(stderr), if takes_lines => Step::Stderr(more),
                    more = Input::fill(commands), if takes_commands => Step::Commands(more),
                    else => pending().await,
                }
            } => step,
            () = at(deadline) => Step::Turn,
        }
    }

    fn take(&mut self, step: Step) -> Result<(), ReaderGone> {
        let now = Instant::now();
        match step {
            Step::Turn => {}
            Step::Server(more) => Input::filled(&mut self.server.stdout, &more),
            Step::Stderr(more) => Input::filled(&mut self.server.stderr, &more),
            Step::Commands(more) => Input::filled(&mut self.commands, &more),
            Step::ToServer(Ok(n)) => self.session.wrote_to_server(n),
            Step::ToServer(Err(error)) => {
                self.server.stdin = None;
                self.session.server_listens = false;
                self.session.to_server.clear();
                self.session
                    .error("the app-server can't be written to", |m| {
                        m.value("error", error.to_string());
                    });
            }
            Step::Written(Ok(n)) => {
                self.session.counts.stdout_writes += 1;
                self.session.events.queue.wrote(n);
            }
            Step::Written(Err(_)) | Step::Notice(Notice::ReaderGone) => return Err(ReaderGone),
            Step::Notice(notice) => {
                if let Some((name, signal)) = notice.signal() {
                    self.session.events.emit("signal", |m| {
                        m.word("signal", name);
                    });
                    self.server.signal(now, signal);
                }
            }
            Step::Ended(status) => {
                self.server.ended(status, now);
                self.session.server_listens = false;
                self.session.to_server.clear();
                // The commands that were read already get an error, since they come too late.
                if let Some(mut commands) = self.commands.take()
                    && self.session.phase == Phase::Ready
                {
                    while let Some(Line::Text(line)) = commands.next() {
                        self.session.client_line(line);
                    }
                }
            }
        }
        Ok(())
    }
}

/// There is nobody left to emit events to.
struct ReaderGone;

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => pending().await,
    }
}

fn too_long(session: &mut Session, what: &str, len: u64, head: &[u8]) {
    session.error(&format!("{what} is too long and was skipped"), |m| {
        m.value("length", len)
            .value("line", String::from_utf8_lossy(head));
    });
}
