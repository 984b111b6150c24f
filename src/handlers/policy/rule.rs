//! Rules: conditions on a request for approval, and what is decided where they hold.

use std::path::{Path, PathBuf};

use super::programs;
use crate::handlers::decision::Decision;

/// One rule of a [`Policy`](super::Policy).
///
/// Conditions of the same sort widen (`.command("ls").command("cat")` takes both), conditions of different sorts narrow.
/// A rule without conditions matches every request, except that a rule which accepts has to name what outlasts a command:
/// permissions ([`permission`](Self::permission), [`within`](Self::within) or
/// [`on(Subject::Permissions)`](Subject::Permissions)), also those that a command or a change of files asks for besides,
/// and the network ([`host`](Self::host) or [`on(Subject::Network)`](Subject::Network)).
///
/// A request can have several parts: the commands of a pipeline, the files of a change, the permissions asked for. A rule
/// that accepts matches if it is *certain* that *all* parts satisfy it. A rule that refuses matches if *one* part does, or
/// may do. So what can't be read is accepted by no rule.
///
/// Rules that refuse commands are a guard against accidents, not a wall: a command can be spelled in ways that no rule
/// sees. The wall is the sandbox.
///
/// # Naming commands
/// What follows the words of a rule is free, and an accepted command runs outside of the sandbox. So name subcommands,
/// and only those whose options are harmless:
///
/// ```
/// # use cas_sdk::policy::Rule;
/// // Takes `git status --short`, and no other command of git.
/// Rule::accept().command("git status");
/// // Takes `cargo test` alone: not `cargo test --config …`, which can run any program.
/// Rule::accept().exact_command("cargo test");
/// ```
///
/// `Rule::accept().command("git")` accepts any program: `git -c core.sshCommand=…` runs one. A rule that accepts such a
/// program (`find`, `xargs`, `env`, `ssh`, `make`, `python` and others) without a subcommand is warned of when it is
/// registered, and each decision by it has the warning in its [`Audit`](super::Audit).
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a rule decides nothing until it is in a policy"]
pub struct Rule {
    pub(super) decision: Decision,
    name: Option<String>,
    pub(super) subjects: Vec<Subject>,
    pub(super) commands: Vec<Line>,
    pub(super) cwds: Vec<PathBuf>,
    pub(super) roots: Vec<PathBuf>,
    pub(super) hosts: Vec<String>,
    pub(super) servers: Vec<String>,
    pub(super) tools: Vec<String>,
    pub(super) mcp_writes: bool,
    pub(super) permissions: Vec<Permission>,
    pub(super) skills: Vec<String>,
    pub(super) threads: Vec<String>,
}

/// What a request for approval is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Subject {
    /// Running a command.
    Command,
    /// Reaching a host from a command; see [`Rule::host`].
    Network,
    /// Input to a command that is running.
    Stdin,
    /// Changing files.
    FileChange,
    /// More permissions from now on.
    Permissions,
    /// Using a skill.
    Skill,
    /// Calling a tool of an MCP server.
    McpTool,
}

/// A permission that the agent asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Permission {
    /// To reach the network.
    Network,
    /// To read files.
    Read,
    /// To write files.
    Write,
    /// A permission that this version of the crate does not know.
    Other,
}

impl Rule {
    /// A rule that decides so.
    pub fn new(decision: Decision) -> Self {
        Self {
            decision,
            name: None,
            subjects: Vec::new(),
            commands: Vec::new(),
            cwds: Vec::new(),
            roots: Vec::new(),
            hosts: Vec::new(),
            servers: Vec::new(),
            tools: Vec::new(),
            mcp_writes: false,
            permissions: Vec::new(),
            skills: Vec::new(),
            threads: Vec::new(),
        }
    }

    /// A rule that accepts, once.
    pub fn accept() -> Self {
        Self::new(Decision::Accept)
    }

    /// A rule that accepts for the session.
    pub fn accept_for_session() -> Self {
        Self::new(Decision::AcceptForSession)
    }

    /// A rule that accepts for good. **What it accepts outlives this process**: codex writes the amendment that the server
    /// proposes into `$CODEX_HOME/rules`, and from then on runs all that begins with its words outside of the sandbox,
    /// without asking, in every process and whatever the policy.
    ///
    /// The model can choose the amendment. It is taken only if it is no wider than the rule: it has to begin with the words
    /// of a [`command`](Self::command) of the rule, and each plain command of the line has to begin with it. A rule with a
    /// [`cwd`](Self::cwd), a [`thread`](Self::thread) or an [`exact_command`](Self::exact_command) is narrower than any
    /// amendment, and one without commands takes none for a program that runs others. What is not taken is accepted for the
    /// session.
    pub fn accept_always() -> Self {
        Self::new(Decision::AcceptAlways)
    }

    /// A rule that declines.
    pub fn decline() -> Self {
        Self::new(Decision::Decline)
    }

    /// A name for the audit. Default: the number of the rule, from 1.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Only requests about this.
    pub fn on(mut self, subject: Subject) -> Self {
        self.subjects.push(subject);
        self
    }

    /// Only commands that begin with these words, which are separated by spaces: `git status` takes
    /// `git status --short`. What follows the words is free; see [Naming commands](Self#naming-commands).
    ///
    /// To accept, each command of a pipeline or a list (`a && b; c | d`) has to be of this rule, and the line has to be
    /// plain and no longer than 64 KiB: no variables, substitutions, redirections or globs; the program is compared as it
    /// is written, and nothing may stand between the words. No words match nothing.
    ///
    /// To refuse, the words may stand anywhere in the line, as they are written or as the shell reads them, the program
    /// with or without its directory, and with options between them: `git push` refuses `git -C . push`. A line whose
    /// program the shell makes up (`$X`, `r?`, `{rm,x}`) is refused too.
    pub fn command(mut self, words: &str) -> Self {
        self.commands.push(Line::new(words, false));
        self
    }

    /// Only commands of exactly these words, which are separated by spaces: `git status` does not take
    /// `git status --short`. In a rule that refuses the same as [`command`](Self::command).
    pub fn exact_command(mut self, words: &str) -> Self {
        self.commands.push(Line::new(words, true));
        self
    }

    /// Only requests whose working directory is this or below it.
    pub fn cwd(mut self, dir: impl AsRef<Path>) -> Self {
        self.cwds.push(absolute(dir.as_ref()));
        self
    }

    /// Only changes of files, and requests for permissions to read and write files, in this directory or below it. Links
    /// are followed. A rule that refuses also matches what is above the directory: a permission for `/` is one for all.
    pub fn within(mut self, root: impl AsRef<Path>) -> Self {
        self.roots.push(absolute(root.as_ref()));
        self
    }

    /// Only requests to reach this host; with a leading `*.`, all hosts below it. Case does not matter.
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.hosts.push(host.into());
        self
    }

    /// Only requests for this permission.
    pub fn permission(mut self, permission: Permission) -> Self {
        self.permissions.push(permission);
        self
    }

    /// Only tools of this MCP server; with a final `*`, of all whose names begin so.
    pub fn mcp_server(mut self, name: impl Into<String>) -> Self {
        self.servers.push(name.into());
        self
    }

    /// Only this tool of an MCP server; with a final `*`, all whose names begin so.
    pub fn mcp_tool(mut self, name: impl Into<String>) -> Self {
        self.tools.push(name.into());
        self
    }

    /// Only MCP tools that don't declare themselves read-only.
    pub(super) fn mcp_writes(mut self) -> Self {
        self.mcp_writes = true;
        self
    }

    /// Only this skill; with a final `*`, all whose names begin so.
    pub fn skill(mut self, name: impl Into<String>) -> Self {
        self.skills.push(name.into());
        self
    }

    /// Only this thread.
    pub fn thread(mut self, id: impl Into<String>) -> Self {
        self.threads.push(id.into());
        self
    }

    pub(super) fn name(&self, n: usize) -> String {
        self.name
            .clone()
            .unwrap_or_else(|| format!("rule {}", n + 1))
    }

    pub(super) fn looks_at_files(&self) -> bool {
        !self.cwds.is_empty() || !self.roots.is_empty()
    }

    /// What is to be said of an accept rule that takes more than it seems to.
    pub(super) fn warning(&self) -> Option<String> {
        let wide = |line: &&Line| !line.exact && programs::can_run_others(&line.words);
        let line = self.commands.iter().find(wide)?;
        self.decision.accepts().then(|| {
            format!(
                "a rule accepts `{}` with whatever follows, by which it can run any other program; name its subcommand, or use exact_command",
                line.words.join(" ")
            )
        })
    }
}

/// The words of a command rule.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    pub(super) words: Vec<String>,
    /// Nothing may follow them.
    pub(super) exact: bool,
}

impl Line {
    fn new(words: &str, exact: bool) -> Self {
        let words = words.split_whitespace().map(str::to_owned).collect();
        Self { words, exact }
    }

    /// Whether a rule that accepts takes a command of these words.
    pub(super) fn takes(&self, words: &[String]) -> bool {
        let (own, len) = (&self.words, self.words.len());
        len > 0 && words.starts_with(own) && (!self.exact || words.len() == len)
    }
}

/// A path of a rule, from the current directory if it is relative.
fn absolute(dir: &Path) -> PathBuf {
    std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned())
}
