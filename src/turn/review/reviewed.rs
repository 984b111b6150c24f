//! What exactly was reviewed: the commits, asked of git where the server runs.

use std::time::Duration;

use tokio::time::timeout;

use crate::{
    protocol::pointer::at,
    protocol::{CommandExecParams, ReviewTarget, ThreadReadParams},
    thread::Thread,
};

/// How long git may take. The review is worth more than its fingerprint.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was reviewed, as git told it just before the review began. What git could not tell is `None`: there is no
/// repository, no git, or no such commit; the server reviews all the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reviewed {
    /// The commit that is checked out, in hex.
    pub head: Option<String>,
    /// The commit with which it was compared: where the base branch and `head` part, or the parent of the commit.
    pub base: Option<String>,
    /// The commit that was reviewed, if one was.
    pub commit: Option<String>,
    /// A hash of what differs from `head` in the working tree, tracked files by their contents and others by their names.
    /// The same hash means the same changes.
    pub changes: Option<String>,
}

impl Reviewed {
    pub(super) async fn of(thread: &Thread, target: &ReviewTarget) -> Self {
        timeout(PATIENCE, Self::ask(thread, target))
            .await
            .unwrap_or_default()
    }

    async fn ask(thread: &Thread, target: &ReviewTarget) -> Self {
        let cwd = if let Ok(cwd) = at(thread.json(), &["cwd"]) {
            cwd
        } else {
            let read = thread.client().request(ThreadReadParams::new(thread.id()));
            let Ok(read) = read.await else {
                return Self::default();
            };
            read.thread.cwd.to_string()
        };
        let git = Git { thread, cwd };
        let head = git.rev("HEAD").await;
        let mut reviewed = Self {
            head,
            ..Self::default()
        };
        if reviewed.head.is_none() {
            return reviewed;
        }
        match target {
            ReviewTarget::UncommittedChanges => reviewed.changes = git.changes().await,
            ReviewTarget::BaseBranch(base) => {
                reviewed.base = git.run(&["merge-base", "HEAD", &base.branch]).await;
            }
            ReviewTarget::Commit(commit) => {
                reviewed.commit = git.rev(&commit.sha).await;
                reviewed.base = git.rev(&format!("{}^", commit.sha)).await;
            }
            _ => {}
        }
        reviewed
    }
}

struct Git<'a> {
    thread: &'a Thread,
    cwd: String,
}

impl Git<'_> {
    async fn rev(&self, name: &str) -> Option<String> {
        let name = format!("{name}^{{commit}}");
        self.run(&[
            "rev-parse",
            "--verify",
            "--quiet",
            "--end-of-options",
            &name,
        ])
        .await
    }

    async fn changes(&self) -> Option<String> {
        let script = "{ git diff --no-ext-diff --no-textconv HEAD && git status --porcelain=v1; } | git hash-object --stdin";
        self.command(["sh", "-c", script].map(str::to_owned).to_vec())
            .await
    }

    async fn run(&self, args: &[&str]) -> Option<String> {
        let command = ["git"].iter().chain(args).map(|word| (*word).to_owned());
        self.command(command.collect()).await
    }

    /// The first line of the output, if the command succeeds. It runs in the server's sandbox.
    async fn command(&self, command: Vec<String>) -> Option<String> {
        let params = CommandExecParams::new(command).cwd(self.cwd.clone());
        let done = self.thread.client().request(params).await.ok()?;
        let line = done.stdout.lines().next().unwrap_or_default().trim();
        (done.exit_code == 0 && !line.is_empty()).then(|| line.to_owned())
    }
}
