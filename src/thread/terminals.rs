//! The commands that a thread's agent has left running.

use crate::{
    error::Error,
    protocol::{
        ThreadBackgroundTerminal, ThreadBackgroundTerminalsCleanParams,
        ThreadBackgroundTerminalsListParams, ThreadBackgroundTerminalsTerminateParams,
    },
    thread::Thread,
};

/// A command that the agent of a thread has started and that still runs, in a turn or after it.
///
/// The command ends by itself, with [`terminate`](Self::terminate), with an
/// [interrupt](crate::Turn::interrupt) of the turn that started it, and with the thread or the
/// server. The `item/completed` of its item reports the end, even after the turn is over.
#[derive(Debug, Clone)]
pub struct Terminal {
    thread: Thread,
    told: ThreadBackgroundTerminal,
}

impl Thread {
    /// `thread/backgroundTerminals/list`: lists the commands of the agent that still run, in no
    /// particular order. Needs the experimental API, which is on by default.
    ///
    /// ```no_run
    /// # async fn run(thread: cas_sdk::Thread) -> Result<(), cas_sdk::Error> {
    /// for terminal in thread.terminals().await? {
    ///     println!("{} in {}", terminal.command(), terminal.cwd());
    ///     terminal.terminate().await?;
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Same errors as [`CasClient::request`](crate::CasClient::request); the kind is
    /// `ThreadMissing` if the thread is not loaded.
    pub async fn terminals(&self) -> Result<Vec<Terminal>, Error> {
        let client = self.client();
        let params = ThreadBackgroundTerminalsListParams::new(self.id());
        let listed = client.pages(params).timeout(client.urgent_timeout());
        let listed = listed.all().await?;
        let terminal = |told| Terminal {
            thread: self.clone(),
            told,
        };
        Ok(listed.into_iter().map(terminal).collect())
    }

    /// `thread/backgroundTerminals/clean`: ends all commands of the agent that still run.
    ///
    /// # Errors
    /// Same errors as [`terminals`](Self::terminals).
    pub async fn end_terminals(&self) -> Result<(), Error> {
        let params = ThreadBackgroundTerminalsCleanParams::new(self.id());
        self.client().request(params).urgent().await.map(drop)
    }
}

impl Terminal {
    /// The thread whose agent started the command.
    #[must_use]
    pub fn thread(&self) -> &Thread {
        &self.thread
    }

    /// The id of the `commandExecution` item that started the command.
    #[must_use]
    pub fn item_id(&self) -> &str {
        &self.told.item_id
    }

    /// The id that the server gave the process; not the process id of the operating system.
    #[must_use]
    pub fn process_id(&self) -> &str {
        &self.told.process_id
    }

    /// The command line.
    #[must_use]
    pub fn command(&self) -> &str {
        &self.told.command
    }

    /// The working directory.
    #[must_use]
    pub fn cwd(&self) -> &str {
        &self.told.cwd
    }

    /// Everything that the server says about the command.
    #[must_use]
    pub fn info(&self) -> &ThreadBackgroundTerminal {
        &self.told
    }

    /// `thread/backgroundTerminals/terminate`: ends the command. Returns `false` if the command was
    /// already gone.
    ///
    /// # Errors
    /// Same errors as [`Thread::terminals`].
    pub async fn terminate(&self) -> Result<bool, Error> {
        let params =
            ThreadBackgroundTerminalsTerminateParams::new(self.thread.id(), self.process_id());
        let ended = self.thread.client().request(params).urgent().await?;
        Ok(ended.terminated)
    }
}
