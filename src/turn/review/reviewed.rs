//! What exactly was reviewed: the commits, as git reports them where the server runs.

use std::time::Duration;

use tokio::time::timeout;

use crate::{
    protocol::pointer::at,
    protocol::{CommandExecParams, ReviewTarget, ThreadReadParams},
    thread::Thread,
};

/// How long git may take. The review is worth more than its fingerprint.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was reviewed, as git reported it just before the review began. A field is `None` if git
/// could not say: there is no repository, no git, or no such commit. The server reviews all the
/// same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reviewed {
    /// The checked-out commit, in hex.
    pub head: Option<String>,
    /// The commit that the review compares with: the merge base of the base branch and `head`, or
    /// the parent of the commit.
    pub base: Option<String>,
    /// The reviewed commit, if the review was of a commit.
    pub commit: Option<String>,
    /// A hash of the differences between `head` and the working tree: tracked files by their
    /// contents, other files by their names. The same hash means the same changes.
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
