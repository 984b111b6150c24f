//! The end of a connection. One task owns the child and the reader and writer tasks, notices
//! whichever ends first, and takes the rest down in order, every step bounded.

use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    process::ExitStatus,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use tokio::{io::AsyncRead, sync::watch, task::JoinHandle, time::timeout};

use crate::{
    error::{CloseCause, CloseReason},
    rpc::{Connection, line::Lines, reader::read},
    transport::stdio::{Process, Tail},
};

/// Set to stop the connection; shared with the client, whose last clone sets it.
pub(crate) type Stop = watch::Sender<bool>;

/// The task of a connection, and what it owns.
///
/// NB. The order of the fields matters: if the runtime ends before the connection does, the process
/// is dropped first.
struct ConnectionTask {
    process: Option<Process>,
    stop: watch::Receiver<bool>,
    reader: AbortOnDrop<io::Result<()>>,
    writer: AbortOnDrop<io::Result<()>>,
    /// Sends the waiting requests that neither a caller nor a response will send.
    stuck: AbortOnDrop<()>,
    stderr: Option<AbortOnDrop<()>>,
    grace: Duration,
    ending: Ending,
}

/// Reports the end of the connection, however its task ends.
struct Ending {
    connection: Arc<Connection>,
    stderr: Option<Arc<Tail>>,
    done: watch::Sender<Option<Arc<CloseReason>>>,
}

impl Ending {
    fn tell(&self, cause: CloseCause, status: Option<ExitStatus>) -> Arc<CloseReason> {
        let stderr_tail = self.stderr.as_ref().map(|tail| tail.text());
        let reason = Arc::new(CloseReason {
            cause,
            status,
            stderr_tail: stderr_tail.unwrap_or_default(),
        });
        self.connection.close(&reason.closed());
        self.done.send_replace(Some(reason.clone()));
        reason
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        // The runtime ended together with the task.
        if self.done.borrow().is_none() {
            self.tell(CloseCause::RuntimeEnded, None);
        }
    }
}

/// Aborts a task when its owner is dropped.
pub(crate) struct AbortOnDrop<T>(pub(crate) JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What a client keeps of its connection task.
pub(crate) struct Supervised {
    pub(crate) stop: Stop,
    pub(crate) done: watch::Receiver<Option<Arc<CloseReason>>>,
}

/// The other side of a connection.
pub(crate) enum Peer {
    /// A child of this process.
    Process(Box<Process>, tokio::process::ChildStderr),
    /// A child of this process that listens on a socket. The task reads the child's output.
    #[cfg(all(unix, feature = "ws"))]
    Listener(Box<Process>, AbortOnDrop<()>),
    /// A server that somebody else runs: only the pipe is this client's.
    Foreign,
}

/// Starts the tasks of a connection.
pub(crate) fn supervise<R>(
    connection: &Arc<Connection>,
    input: R,
    line: usize,
    peer: Peer,
    grace: Duration,
) -> Supervised
where
    R: AsyncRead + Unpin + Send + 'static,
{
    let (stop_tx, stop) = watch::channel(false);
    let (done, done_rx) = watch::channel(None);
    let reader = tokio::spawn({
        let connection = connection.clone();
        async move { read(Lines::new(input, line), &connection).await }
    });
    let writer = tokio::spawn({
        let connection = connection.clone();
        async move { connection.outbox.drive().await }
    });
    let stuck = tokio::spawn({
        let connection = connection.clone();
        async move { connection.send_stuck().await }
    });
    let (process, stderr) = match peer {
        Peer::Process(process, stderr) => {
            let tail = process.stderr.clone();
            let aside = connection.router.aside.clone();
            let drain = tokio::spawn(async move { tail.drain(stderr, &aside).await });
            (Some(*process), Some(AbortOnDrop(drain)))
        }
        #[cfg(all(unix, feature = "ws"))]
        Peer::Listener(process, stderr) => (Some(*process), Some(stderr)),
        Peer::Foreign => (None, None),
    };
    let ending = Ending {
        connection: connection.clone(),
        stderr: process.as_ref().map(|process| process.stderr.clone()),
        done,
    };
    let task = ConnectionTask {
        process,
        stop,
        reader: AbortOnDrop(reader),
        writer: AbortOnDrop(writer),
        stuck: AbortOnDrop(stuck),
        stderr,
        grace,
        ending,
    };
    // Deliberately detached: the task ends by itself for every cause it watches, and reports its
    // end through `done`.
    drop(tokio::spawn(task.run()));
    Supervised {
        stop: stop_tx,
        done: done_rx,
    }
}

impl ConnectionTask {
    async fn run(self) {
        // NB. Bound first, so dropped last.
        let Self {
            ending,
            mut process,
            mut stop,
            mut reader,
            mut writer,
            stuck: _stuck,
            mut stderr,
            grace,
        } = self;
        let mut read_ended = false;
        let mut status = None;

        // Whichever comes first. All branches are cancel safe: a join handle and a child can be
        // awaited again.
        let mut cause = {
            let mut stopped = pin!(stop.wait_for(|stop| *stop));
            let mut exited = pin!(wait(&mut process));
            poll_fn(|cx| {
                if stopped.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(CloseCause::Shutdown);
                }
                if let Poll::Ready(end) = Pin::new(&mut reader.0).poll(cx) {
                    read_ended = true;
                    return Poll::Ready(match end {
                        Ok(Ok(())) => CloseCause::Eof,
                        Ok(Err(e)) => CloseCause::Read(e.to_string()),
                        Err(e) => CloseCause::Read(e.to_string()),
                    });
                }
                if let Poll::Ready(end) = Pin::new(&mut writer.0).poll(cx) {
                    return Poll::Ready(match end {
                        Ok(Ok(())) => CloseCause::Shutdown,
                        Ok(Err(e)) => CloseCause::Write(e.to_string()),
                        Err(e) => CloseCause::Write(e.to_string()),
                    });
                }
                exited.as_mut().poll(cx).map(|ended| {
                    status = ended;
                    CloseCause::Exited
                })
            })
            .await
        };

        // NB. The order matters. Closing the server's input asks the server to exit. Reading goes
        // on meanwhile, so that everything the server wrote before its exit is delivered.
        if let Some(process) = &mut process {
            process.refresh();
        }
        ending.connection.outbox.close();
        if let Some(process) = &mut process {
            if status.is_none() {
                let by_itself;
                (status, by_itself) = if cause == CloseCause::Shutdown {
                    process.stop(grace).await
                } else {
                    process.stop_ending(grace).await
                };
                if by_itself && cause != CloseCause::Shutdown {
                    cause = CloseCause::Exited; // Its output ends a moment before it does.
                }
            } else {
                process.end_rest(grace).await;
            }
        }
        if !read_ended {
            // A grandchild may keep the pipe open forever, so the wait for the end of the pipe is
            // bounded too.
            let _ = timeout(if process.is_some() { DRAIN } else { grace }, &mut reader.0).await;
        }
        if let Some(stderr) = &mut stderr {
            let _ = timeout(DRAIN, &mut stderr.0).await;
        }
        if let Some(process) = process.as_ref().filter(|_| cause == CloseCause::Exited) {
            process.note_refusal(status);
        }
        let reason = ending.tell(cause, status);
        tracing::debug!(target: "cas_sdk", "connection closed: {reason}");
    }
}

/// How long output that is already in a pipe may take to arrive after the process has ended.
const DRAIN: Duration = Duration::from_millis(500);

async fn wait(process: &mut Option<Process>) -> Option<std::process::ExitStatus> {
    match process {
        Some(process) => process.wait().await,
        None => std::future::pending().await,
    }
}
