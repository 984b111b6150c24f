//! Policies: decisions about approvals that need nobody, as a value one can read.

mod amendment;
mod audit;
mod command;
mod condition;
mod facts;
pub(crate) mod fit;
mod lexer;
mod matching;
mod members;
mod path;
mod programs;
mod rule;
mod scan;
mod strictest;
mod windows_path;
mod windows_shell;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use self::matching::Asked;
use crate::handlers::{
    approvals::{ApprovalHandler, Approvals},
    decision::Decision,
    erased::erase,
};

pub use audit::{Audit, DecidedBy};
pub(crate) use audit::{AuditFn, Decided};
pub(crate) use facts::Facts;
pub use rule::{Permission, Rule, Subject};

/// Who decides about approvals: rules in order, then a preset, then an [`Approvals`] handler; what none of them decides
/// goes to the fallback, if there is one, and is declined otherwise.
///
/// Without any policy everything is declined. An accepted command runs outside of the sandbox, so name what is accepted
/// narrowly; see [Naming commands](Rule#naming-commands).
///
/// ```
/// use cas_sdk::{CasClient, policy::{Policy, Rule}};
///
/// let policy = Policy::decline()
///     .rule(Rule::decline().command("git push").named("no pushing"))
///     .rule(Rule::accept().command("git status").exact_command("cargo test").cwd("/repo"))
///     .rule(Rule::accept_for_session().within("/repo/src"))
///     .rule(Rule::accept().mcp_server("docs").mcp_tool("get_*"));
/// let builder = CasClient::builder().approvals(policy);
/// ```
///
/// A handler alone is a policy too: `builder.approvals(handler)`. With rules before it: `Policy::from(handler).rule(…)`.
#[derive(Clone)]
#[must_use = "a policy decides nothing until it is registered"]
pub struct Policy {
    rules: Vec<Rule>,
    preset: Vec<Rule>,
    pub(crate) handler: Option<ApprovalHandler>,
    shells: Vec<PathBuf>,
    /// Policies all of which have to accept, in the place of the rules.
    all_of: Vec<Policy>,
    /// What is left undecided is declined, and not offered to the fallback.
    pub(crate) closed: bool,
}

impl Policy {
    fn with_preset(preset: Vec<Rule>) -> Self {
        Self {
            rules: Vec::new(),
            preset,
            handler: None,
            shells: Vec::new(),
            all_of: Vec::new(),
            closed: false,
        }
    }

    /// Declines everything that no rule and no handler decides. What the client does without a policy, but for the
    /// fallback: that is not asked.
    pub fn decline() -> Self {
        Self {
            closed: true,
            ..Self::with_preset(Vec::new())
        }
    }

    /// Only the rules that are added.
    pub fn rules(rules: impl IntoIterator<Item = Rule>) -> Self {
        Self {
            rules: rules.into_iter().collect(),
            ..Self::with_preset(Vec::new())
        }
    }

    /// Accepts every command, every input to one, every change of files and every skill, for the session at most: for agents
    /// that nobody watches, in a sandbox of their own. What it accepts runs outside of codex's sandbox.
    ///
    /// It persists nothing: no amendment of the execution policy is accepted. Not in it are permissions, also those that a
    /// command or a change of files asks for besides, hosts, the tools of MCP servers, and commands that the server wants a
    /// person to decide; each takes a rule of its own.
    pub fn auto() -> Self {
        Self::everything(Decision::AcceptForSession, "Policy::auto")
    }

    /// As [`auto`](Self::auto), and for good where the server proposes that: **it writes rules that outlive this process**.
    /// From then on codex runs what fits them outside of the sandbox without asking, in every process, whatever the policy.
    /// The model can choose them. What is not taken for good see at [`Rule::accept_always`].
    pub fn auto_persistent() -> Self {
        Self::everything(Decision::AcceptAlways, "Policy::auto_persistent")
    }

    fn everything(decision: Decision, name: &str) -> Self {
        let rule = Rule::new(decision).named(name);
        Self::with_preset(vec![
            rule.on(Subject::Command)
                .on(Subject::Stdin)
                .on(Subject::FileChange)
                .on(Subject::Skill),
        ])
    }

    /// Declines commands, changes of files, skills, permissions that are for more than reading, and the tools of MCP
    /// servers that don't declare themselves read-only. The agent can do what its sandbox lets it do without asking.
    pub fn read_only() -> Self {
        let rule = || Rule::decline().named("Policy::read_only");
        Self::with_preset(vec![
            rule()
                .on(Subject::Command)
                .on(Subject::Network)
                .on(Subject::Stdin)
                .on(Subject::FileChange)
                .on(Subject::Skill),
            rule()
                .on(Subject::Permissions)
                .permission(Permission::Write)
                .permission(Permission::Network),
            rule().on(Subject::McpTool).mcp_writes(),
        ])
    }

    /// Adds a rule, after those that are there and before the preset. The first rule that matches decides.
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Who is asked about what no rule decides.
    pub fn handler(mut self, handler: impl Approvals) -> Self {
        self.handler = Some(erase(handler));
        self
    }

    /// Also looks into what this shell is given with `-c`, which codex puts around a command. It has to be the absolute path
    /// that codex uses. Default: `bash`, `dash`, `sh` and `zsh` of `/bin` and `/usr/bin`.
    pub fn shell(mut self, path: impl AsRef<Path>) -> Self {
        self.shells.push(path.as_ref().to_owned());
        self
    }

    pub(crate) fn shells(&self) -> &[PathBuf] {
        &self.shells
    }

    /// What the rules decide, and by which.
    pub(crate) fn decide(&self, facts: &Facts) -> Option<Ruling> {
        if !self.all_of.is_empty() {
            return self.decide_together(facts);
        }
        let asked = Asked::new(facts, &self.shells);
        let rules = self.rules.iter().chain(&self.preset).enumerate();
        let (n, rule) = rules.into_iter().find(|(_, rule)| rule.matches(&asked))?;
        Some(Ruling {
            decision: rule.decision(&asked),
            by: rule.name(n),
            warning: rule.warning(),
        })
    }

    /// Says which rules accept more than they seem to.
    pub(crate) fn warn(&self) {
        for (n, rule) in self.rules.iter().enumerate() {
            if let Some(warning) = rule.warning() {
                tracing::warn!(target: "cas_sdk", rule = rule.name(n), "{warning}");
            }
        }
    }

    /// Whether it is any loss if the server does not ask.
    pub(crate) fn wants_to_be_asked(&self) -> bool {
        let mut rules = self.rules.iter().chain(&self.preset);
        self.handler.is_some() || rules.any(|rule| rule.decision.accepts())
    }

    /// Whether a decision may look at the file system.
    pub(crate) fn looks_at_files(&self) -> bool {
        self.rules.iter().any(Rule::looks_at_files) || self.all_of.iter().any(Self::looks_at_files)
    }
}

/// What rules decide.
#[derive(Debug, Clone)]
pub(crate) struct Ruling {
    pub(crate) decision: Decision,
    /// The name of the rule.
    pub(crate) by: String,
    pub(crate) warning: Option<String>,
}

impl<A: Approvals> From<A> for Policy {
    fn from(handler: A) -> Self {
        Self::with_preset(Vec::new()).handler(handler)
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("rules", &self.rules)
            .field("preset", &self.preset)
            .field("handler", &self.handler.is_some())
            .field("shells", &self.shells)
            .finish_non_exhaustive()
    }
}

// Their paths are those of Unix; `windows_path` and `path` have tests for those of Windows.
#[cfg(all(test, unix))]
mod attack_tests;
#[cfg(all(test, unix))]
mod command_attack_tests;
#[cfg(all(test, unix))]
mod shell_tests;
#[cfg(all(test, unix))]
mod tests;
