//! Rules: conditions on a request for approval, and what is decided where they hold.

use std::path::{Path, PathBuf};

use super::{Facts, command, path};
use crate::handler::Decision;

/// One rule of a [`Policy`](super::Policy).
///
/// Conditions of the same sort widen (`.command("ls").command("cat")` takes both), conditions of different sorts narrow.
/// A rule without conditions matches every request.
///
/// A request can have several parts: the commands of a pipeline, the files of a change, the permissions asked for. A rule
/// that accepts matches if it is *certain* that *all* parts satisfy it. A rule that refuses matches if *one* part does, or
/// may do. So what can't be read is accepted by no rule about it.
///
/// Rules that refuse commands are a guard against accidents, not a wall: a command can be spelled in ways that no rule
/// sees. The wall is the sandbox.
#[derive(Debug, Clone)]
#[must_use = "a rule decides nothing until it is in a policy"]
pub struct Rule {
    pub(super) decision: Decision,
    name: Option<String>,
    subjects: Vec<Subject>,
    commands: Vec<Vec<String>>,
    cwds: Vec<PathBuf>,
    roots: Vec<PathBuf>,
    servers: Vec<String>,
    tools: Vec<String>,
    mcp_writes: bool,
    permissions: Vec<Permission>,
    skills: Vec<String>,
    threads: Vec<String>,
}

/// What a request for approval is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Subject {
    /// Running a command.
    Command,
    /// Reaching a host from a command.
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

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Match {
    Yes,
    No,
    Unknown,
}

impl From<bool> for Match {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
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
    /// `git status --short`.
    ///
    /// To accept, each command of a pipeline or a list (`a && b; c | d`) has to be of this rule, and the line has to be
    /// plain: no variables, substitutions, redirections or globs; the program is compared as it is written. To refuse,
    /// the words may stand anywhere in the line, the program with or without its directory.
    pub fn command(mut self, words: &str) -> Self {
        self.commands
            .push(words.split_whitespace().map(str::to_owned).collect());
        self
    }

    /// Only requests whose working directory is this or below it.
    pub fn cwd(mut self, dir: impl AsRef<Path>) -> Self {
        self.cwds.push(absolute(dir.as_ref()));
        self
    }

    /// Only changes of files, and requests for permissions to read and write files, in this directory or below it. Links
    /// are followed.
    pub fn within(mut self, root: impl AsRef<Path>) -> Self {
        self.roots.push(absolute(root.as_ref()));
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

    pub(super) fn matches(&self, facts: &Facts) -> bool {
        let accepts = self.decision.accepts();
        if accepts && !facts.can_be_accepted() {
            return false;
        }
        // One after the other, so that only what still matters looks at the file system.
        let conditions: [&dyn Fn() -> Match; 9] = [
            &|| self.subject(facts),
            &|| one_of(&self.threads, facts.thread.as_deref()),
            &|| {
                pattern(
                    &self.skills,
                    facts.subject == Some(Subject::Skill),
                    facts.skill.as_deref(),
                )
            },
            &|| {
                pattern(
                    &self.servers,
                    facts.subject == Some(Subject::McpTool),
                    facts.server.as_deref(),
                )
            },
            &|| {
                pattern(
                    &self.tools,
                    facts.subject == Some(Subject::McpTool),
                    facts.tool.as_deref(),
                )
            },
            &|| Match::from(!(self.mcp_writes && facts.reads_only)),
            &|| self.command_matches(facts),
            &|| self.permission_matches(facts),
            &|| self.paths_match(facts),
        ];
        conditions.into_iter().all(|holds| {
            if accepts {
                holds() == Match::Yes
            } else {
                holds() != Match::No
            }
        })
    }

    fn subject(&self, facts: &Facts) -> Match {
        match facts.subject {
            _ if self.subjects.is_empty() => Match::Yes,
            Some(subject) => self.subjects.contains(&subject).into(),
            None => Match::Unknown,
        }
    }

    fn command_matches(&self, facts: &Facts) -> Match {
        if self.commands.is_empty() {
            return Match::Yes;
        }
        if !matches!(facts.subject, Some(Subject::Command) | None) {
            return Match::No;
        }
        let Some(line) = &facts.command else {
            return Match::Unknown;
        };
        if self.decision.accepts() {
            let Some(commands) = command::plain(line) else {
                return Match::Unknown;
            };
            let ours = |words: &Vec<String>| self.commands.iter().any(|c| words.starts_with(c));
            return commands.iter().all(ours).into();
        }
        let words = command::words(line);
        let found = |prefix: &Vec<String>| {
            (0..words.len()).any(|at| {
                words[at..].len() >= prefix.len()
                    && prefix.iter().enumerate().all(|(n, word)| {
                        let here = &words[at + n];
                        here == word || n == 0 && here.rsplit('/').next() == Some(word)
                    })
            })
        };
        self.commands.iter().any(found).into()
    }

    /// Nothing may be asked for besides what the rule names. A command that asks for permissions of its own too is
    /// accepted only by a rule that names them, or has no conditions on what is asked for.
    fn permission_matches(&self, facts: &Facts) -> Match {
        let accepts = self.decision.accepts();
        let named = if !self.permissions.is_empty() {
            &self.permissions[..]
        } else if !self.roots.is_empty() {
            &[Permission::Read, Permission::Write][..]
        } else if accepts && !self.commands.is_empty() {
            &[]
        } else {
            return Match::Yes;
        };
        let mut asked = facts.asks.iter().map(|(permission, _)| permission);
        if accepts {
            // What a command asks for besides is no reason to run it: that takes a condition on the command.
            let besides = !matches!(
                facts.subject,
                Some(Subject::Permissions | Subject::FileChange)
            );
            if besides && self.commands.is_empty() && self.subjects.is_empty() {
                return Match::No;
            }
            // A rule about permissions accepts nothing that asks for none.
            let about = self.permissions.is_empty() || !facts.asks.is_empty();
            return (about && asked.all(|p| named.contains(p))).into();
        }
        if self.permissions.is_empty() {
            return Match::Yes; // It is the paths that matter.
        }
        asked
            .any(|p| named.contains(p) || *p == Permission::Other)
            .into()
    }

    fn paths_match(&self, facts: &Facts) -> Match {
        let accepts = self.decision.accepts();
        let cwd = match &facts.cwd {
            _ if self.cwds.is_empty() => Match::Yes,
            Some(cwd) => any_root(&self.cwds, cwd),
            None => Match::Unknown,
        };
        if self.roots.is_empty() || cwd == Match::No {
            return cwd;
        }
        let asked: Vec<&str> = match facts.subject {
            Some(Subject::FileChange) => match &facts.files {
                Some(files) => files.iter().map(String::as_str).collect(),
                None => return Match::Unknown,
            },
            _ => facts
                .asks
                .iter()
                .filter_map(|(_, path)| path.as_deref())
                .collect(),
        };
        let mut parts = asked.iter().map(|path| any_root(&self.roots, path));
        let roots = if accepts {
            Match::from(!asked.is_empty() && parts.all(|m| m == Match::Yes))
        } else {
            Match::from(parts.any(|m| m != Match::No))
        };
        if roots == Match::Yes { cwd } else { roots }
    }
}

/// A path of a rule, from the current directory if it is relative.
fn absolute(dir: &Path) -> PathBuf {
    std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned())
}

fn any_root(roots: &[PathBuf], path: &str) -> Match {
    let mut found = Match::No;
    for root in roots {
        match path::within(Path::new(path), root) {
            Match::Yes => return Match::Yes,
            Match::Unknown => found = Match::Unknown,
            Match::No => {}
        }
    }
    found
}

fn one_of(wanted: &[String], got: Option<&str>) -> Match {
    match got {
        _ if wanted.is_empty() => Match::Yes,
        Some(got) => wanted.iter().any(|w| w == got).into(),
        None => Match::Unknown,
    }
}

fn pattern(wanted: &[String], applies: bool, got: Option<&str>) -> Match {
    match got {
        _ if wanted.is_empty() => Match::Yes,
        _ if !applies => Match::No,
        Some(got) => wanted
            .iter()
            .any(|w| match w.strip_suffix('*') {
                Some(prefix) => got.starts_with(prefix),
                None => w == got,
            })
            .into(),
        None => Match::Unknown,
    }
}
