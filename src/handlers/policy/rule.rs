//! Rules: conditions on a request for approval, with the decision for requests that meet them.

use std::path::{Path, PathBuf};

use super::programs;
use crate::handlers::decision::Decision;

/// One rule of a [`Policy`](super::Policy).
///
/// Conditions of the same kind widen a rule: `.command("ls").command("cat")` matches both.
/// Conditions of different kinds narrow it. A rule without conditions matches every request, with
/// one exception: a rule that accepts must name what outlasts a command. That is permissions
/// ([`permission`](Self::permission), [`within`](Self::within) or
/// [`on(Subject::Permissions)`](Subject::Permissions)), including those that a command or a file
/// change requests, and the network ([`host`](Self::host) or
/// [`on(Subject::Network)`](Subject::Network)).
///
/// A request can have several parts: the commands of a pipeline, the files of a change, the
/// requested permissions. A rule that accepts matches if *all* parts *certainly* satisfy it. A rule
/// that refuses matches if *one* part satisfies it or might. So no rule accepts what cannot be
/// read.
///
/// A rule that refuses commands guards against accidents. It is no security boundary, since a
/// command can be spelled in ways that no rule sees. The sandbox is.
///
/// # Naming commands
/// Any arguments may follow the words of a rule, and an accepted command runs outside of the
/// sandbox. So name subcommands, and only those whose options are harmless:
///
/// ```
/// # use cas_sdk::policy::Rule;
/// // Matches `git status --short`, and no other command of git.
/// Rule::accept().command("git status").exact_cwd("/repo");
/// // Matches `cargo test` only: not `cargo test --config …`, which can run any program.
/// Rule::accept().exact_command("cargo test");
/// ```
///
/// A command can also run what the files in its directory specify, and the model may write files.
/// `git` runs the programs that a repository's configuration names, and `./lint.sh` is a different
/// file in each directory, so give such a rule an [`exact_cwd`](Self::exact_cwd) whose `.git` and
/// scripts the model can't write. Build tools and test runners (`cargo test`, `npm run lint`) run
/// the project's code in any case: accept them only if the model may run that code outside of the
/// sandbox.
///
/// `Rule::accept().command("git")` accepts any program: `git -c core.sshCommand=…` runs one. The
/// crate warns about a rule that accepts such a program (`find`, `xargs`, `env`, `ssh`, `make`,
/// `python` and others) without a subcommand, and about one that accepts `git` or a program with a
/// relative path without an exact directory. It logs the warning when the rule is registered, and
/// each decision by the rule has it in its [`Audit`](super::Audit).
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a rule decides nothing until it is in a policy"]
pub struct Rule {
    pub(super) decision: Decision,
    name: Option<String>,
    pub(super) subjects: Vec<Subject>,
    pub(super) commands: Vec<Line>,
    pub(super) cwds: Vec<PathBuf>,
    pub(super) exact_cwds: Vec<PathBuf>,
    pub(super) roots: Vec<PathBuf>,
    pub(super) hosts: Vec<String>,
    pub(super) servers: Vec<String>,
    pub(super) tools: Vec<String>,
    pub(super) mcp_writes: bool,
    pub(super) permissions: Vec<Permission>,
    pub(super) skills: Vec<String>,
    pub(super) threads: Vec<String>,
    pub(super) environments: Vec<String>,
}

/// The subject of a request for approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Subject {
    /// Running a command.
    Command,
    /// Reaching a host from a command; see [`Rule::host`].
    Network,
    /// Input to a running command.
    Stdin,
    /// Changing files.
    FileChange,
    /// Additional permissions from now on.
    Permissions,
    /// Using a skill.
    Skill,
    /// Calling a tool of an MCP server.
    McpTool,
}

/// A permission that the agent requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Permission {
    /// Reach the network.
    Network,
    /// Read files.
    Read,
    /// Write files.
    Write,
    /// A permission that this crate does not know.
    Other,
}

impl Rule {
    /// Creates a rule with this decision.
    pub fn new(decision: Decision) -> Self {
        Self {
            decision,
            name: None,
            subjects: Vec::new(),
            commands: Vec::new(),
            cwds: Vec::new(),
            exact_cwds: Vec::new(),
            roots: Vec::new(),
            hosts: Vec::new(),
            servers: Vec::new(),
            tools: Vec::new(),
            mcp_writes: false,
            permissions: Vec::new(),
            skills: Vec::new(),
            threads: Vec::new(),
            environments: Vec::new(),
        }
    }

    /// Creates a rule that accepts once.
    pub fn accept() -> Self {
        Self::new(Decision::Accept)
    }

    /// Creates a rule that accepts for the session.
    pub fn accept_for_session() -> Self {
        Self::new(Decision::AcceptForSession)
    }

    /// Creates a rule that accepts permanently. **Its effect outlives this process**: codex writes
    /// the amendment that the server proposes to `$CODEX_HOME/rules`, and from then on runs every
    /// command that begins with its words outside of the sandbox, without asking, in every process,
    /// whatever its policy.
    ///
    /// The model can choose the amendment. The rule takes it only if it is no wider than the rule
    /// itself: the amendment must begin with the words of a [`command`](Self::command) of the rule,
    /// and each plain command of the line must begin with the amendment. A rule with a
    /// [`cwd`](Self::cwd), an [`exact_cwd`](Self::exact_cwd), a [`thread`](Self::thread) or an
    /// [`exact_command`](Self::exact_command) is narrower than any amendment. A rule without
    /// commands takes no amendment for a program that is known to run others, for `git`, or for a
    /// relative path. Without the amendment the request is accepted for the session.
    pub fn accept_always() -> Self {
        Self::new(Decision::AcceptAlways)
    }

    /// Creates a rule that declines.
    pub fn decline() -> Self {
        Self::new(Decision::Decline)
    }

    /// Sets the name for the audit. Default: the number of the rule, from 1.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Matches requests with this subject.
    pub fn on(mut self, subject: Subject) -> Self {
        self.subjects.push(subject);
        self
    }

    /// Matches commands that begin with these words, separated by spaces: `git status` matches
    /// `git status --short`. Any arguments may follow; see [Naming commands](Self#naming-commands).
    ///
    /// A rule that accepts requires every command of a pipeline or a list (`a && b; c | d`) to
    /// match it. The line must be plain and at most 64 KiB long: no variables, substitutions,
    /// redirections or globs. The program is compared as written, and nothing may stand between the
    /// words. Empty words match nothing.
    ///
    /// A rule that refuses finds the words anywhere in the line, as written or as the shell reads
    /// them, the program with or without its directory, with options between the words: `git push`
    /// refuses `git -C . push`. It also refuses a line whose program the shell computes (`$X`,
    /// `r?`, `{rm,x}`).
    pub fn command(mut self, words: &str) -> Self {
        self.commands.push(Line::new(words, false));
        self
    }

    /// Matches commands of exactly these words, separated by spaces: `git status` does not match
    /// `git status --short`. In a rule that refuses, it is the same as [`command`](Self::command).
    pub fn exact_command(mut self, words: &str) -> Self {
        self.commands.push(Line::new(words, true));
        self
    }

    /// Matches requests whose working directory is this one or below it.
    pub fn cwd(mut self, dir: impl AsRef<Path>) -> Self {
        self.cwds.push(absolute(dir.as_ref()));
        self
    }

    /// Matches requests with exactly this working directory, not one below it.
    pub fn exact_cwd(mut self, dir: impl AsRef<Path>) -> Self {
        self.exact_cwds.push(absolute(dir.as_ref()));
        self
    }

    /// Matches file changes, and requests for permissions to read or write files, in this directory
    /// or below it. Symbolic links are followed. A rule that refuses also matches directories above
    /// it: a permission for `/` includes this directory.
    pub fn within(mut self, root: impl AsRef<Path>) -> Self {
        self.roots.push(absolute(root.as_ref()));
        self
    }

    /// Matches requests to reach this host. A leading `*.` matches all hosts below it. Case does
    /// not matter.
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.hosts.push(host.into());
        self
    }

    /// Matches requests for this permission.
    pub fn permission(mut self, permission: Permission) -> Self {
        self.permissions.push(permission);
        self
    }

    /// Matches tools of this MCP server. A final `*` matches any ending.
    pub fn mcp_server(mut self, name: impl Into<String>) -> Self {
        self.servers.push(name.into());
        self
    }

    /// Matches this tool of an MCP server. A final `*` matches any ending.
    pub fn mcp_tool(mut self, name: impl Into<String>) -> Self {
        self.tools.push(name.into());
        self
    }

    /// Matches MCP tools that do not declare themselves read-only.
    pub(super) fn mcp_writes(mut self) -> Self {
        self.mcp_writes = true;
        self
    }

    /// Matches this skill. A final `*` matches any ending.
    pub fn skill(mut self, name: impl Into<String>) -> Self {
        self.skills.push(name.into());
        self
    }

    /// Matches requests of this thread.
    pub fn thread(mut self, id: impl Into<String>) -> Self {
        self.threads.push(id.into());
        self
    }

    /// Matches commands and permissions in this environment. A final `*` matches any ending.
    /// Default: a rule that accepts matches only in the environment `local`, the server's machine.
    pub fn environment(mut self, id: impl Into<String>) -> Self {
        self.environments.push(id.into());
        self
    }

    pub(super) fn name(&self, n: usize) -> String {
        self.name
            .clone()
            .unwrap_or_else(|| format!("rule {}", n + 1))
    }

    pub(super) fn looks_at_files(&self) -> bool {
        self.is_narrowed_to_directories() || !self.roots.is_empty()
    }

    pub(super) fn is_narrowed_to_directories(&self) -> bool {
        !self.cwds.is_empty() || !self.exact_cwds.is_empty()
    }

    /// The warning for a rule that accepts more than it seems to.
    pub(super) fn warning(&self) -> Option<String> {
        if !self.decision.accepts() {
            return None;
        }
        let wide = |line: &&Line| !line.exact && programs::can_run_others(&line.words);
        if let Some(line) = self.commands.iter().find(wide) {
            return Some(format!(
                "a rule accepts `{}` with any arguments, which can run any other program; name its subcommand, or use exact_command",
                line.words.join(" ")
            ));
        }
        let is_anywhere = self.exact_cwds.is_empty() || !self.cwds.is_empty();
        let obeys = |line: &&Line| is_anywhere && programs::obeys_directory(&line.words);
        self.commands.iter().find(obeys).map(|line| {
            format!(
                "a rule accepts `{}` in directories whose files decide what it runs; name the directory with exact_cwd",
                line.words.join(" ")
            )
        })
    }
}

/// The words of a command rule.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    pub(super) words: Vec<String>,
    /// No other words may follow.
    pub(super) exact: bool,
}

impl Line {
    fn new(words: &str, exact: bool) -> Self {
        let words = words.split_whitespace().map(str::to_owned).collect();
        Self { words, exact }
    }

    /// Whether a rule that accepts matches a command of these words.
    pub(super) fn takes(&self, words: &[String]) -> bool {
        let (own, len) = (&self.words, self.words.len());
        len > 0 && words.starts_with(own) && (!self.exact || words.len() == len)
    }
}

/// Makes a path of a rule absolute, relative to the current directory.
fn absolute(dir: &Path) -> PathBuf {
    std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned())
}
