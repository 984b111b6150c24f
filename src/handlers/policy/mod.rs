//! Policies: decisions about approvals as values, without a handler.

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
mod program_lists;
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
    user_code::Handler,
};

pub use audit::{Audit, DecidedBy};
pub(crate) use audit::{AuditFn, Decided};
pub(crate) use facts::Facts;
pub use rule::{Permission, Rule, Subject};

/// Decides about approvals: rules in order, then a preset, then an [`Approvals`] handler.
///
/// A request that none of them decides goes to the fallback if there is one, else it is declined.
/// Without a policy every request is declined. An accepted command runs outside of the sandbox, so
/// accept narrowly; see [Naming commands](Rule#naming-commands).
///
/// ```
/// use cas_sdk::{CasClient, policy::{Policy, Rule}};
///
/// let policy = Policy::decline()
///     .rule(Rule::decline().command("git push").named("no pushing"))
///     .rule(Rule::accept().command("git status").exact_command("cargo test").exact_cwd("/repo"))
///     .rule(Rule::accept_for_session().within("/repo/src"))
///     .rule(Rule::accept().mcp_server("docs").mcp_tool("get_*"));
/// let builder = CasClient::builder().approvals(policy);
/// ```
///
/// A handler alone is a policy too: `builder.approvals(handler)`. `Policy::from(handler).rule(…)`
/// puts rules before it.
#[derive(Clone)]
#[must_use = "a policy decides nothing until it is registered"]
pub struct Policy {
    rules: Vec<Rule>,
    preset: Vec<Rule>,
    pub(crate) handler: Option<ApprovalHandler>,
    shells: Vec<PathBuf>,
    /// Policies that must all accept, instead of the rules.
    all_of: Vec<Policy>,
    /// Undecided requests are declined rather than offered to the fallback.
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

    /// Declines every request that no rule and no handler decides. Unlike a client without a
    /// policy, it does not ask the fallback.
    pub fn decline() -> Self {
        Self {
            closed: true,
            ..Self::with_preset(Vec::new())
        }
    }

    /// Decides by these rules only.
    pub fn rules(rules: impl IntoIterator<Item = Rule>) -> Self {
        Self {
            rules: rules.into_iter().collect(),
            ..Self::with_preset(Vec::new())
        }
    }

    /// Accepts every command, input to a command, file change and skill, for the session at most.
    /// This is for unattended agents in a sandbox of their own: accepted commands run outside of
    /// codex's sandbox.
    ///
    /// Persists nothing: it accepts no amendment of the execution policy. It does not accept
    /// permissions (including those that a command or a file change requests), hosts, tools of MCP
    /// servers, or commands that the server reserves for a person. Each of these needs its own
    /// rule.
    pub fn auto() -> Self {
        Self::everything(Decision::AcceptForSession, "Policy::auto")
    }

    /// Accepts what [`auto`](Self::auto) accepts, permanently if the server offers that: **it
    /// writes rules that outlive this process**.
    ///
    /// From then on codex runs matching commands outside of the sandbox without asking, in every
    /// process, whatever its policy. The model can choose these rules. [`Rule::accept_always`]
    /// lists the exceptions.
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

    /// Declines commands, file changes, skills, permissions beyond reading, and MCP tools that do
    /// not declare themselves read-only. The agent can do whatever its sandbox permits without
    /// asking.
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

    /// Adds a rule after the existing ones and before the preset. The first rule that matches
    /// decides.
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Sets the handler for requests that no rule decides.
    pub fn handler(mut self, handler: impl Approvals) -> Self {
        self.handler = Some(Handler::of(handler));
        self
    }

    /// Adds a shell whose `-c` script rules look into, since codex wraps commands in a shell. The
    /// path must be the absolute one that codex uses. Default: `bash`, `dash`, `sh` and `zsh` in
    /// `/bin` and `/usr/bin`.
    pub fn shell(mut self, path: impl AsRef<Path>) -> Self {
        self.shells.push(path.as_ref().to_owned());
        self
    }

    pub(crate) fn shells(&self) -> &[PathBuf] {
        &self.shells
    }

    /// The decision of the rules, if one matches.
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

    /// Warns of rules that accept more than they seem to.
    pub(crate) fn warn(&self) {
        for (n, rule) in self.rules.iter().enumerate() {
            if let Some(warning) = rule.warning() {
                tracing::warn!(target: "cas_sdk", rule = rule.name(n), "{warning}");
            }
        }
    }

    /// Whether a server that never asks would change any outcome.
    pub(crate) fn wants_to_be_asked(&self) -> bool {
        let mut rules = self.rules.iter().chain(&self.preset);
        self.handler.is_some() || rules.any(|rule| rule.decision.accepts())
    }

    /// Whether a decision may access the file system.
    pub(crate) fn looks_at_files(&self) -> bool {
        self.rules.iter().any(Rule::looks_at_files) || self.all_of.iter().any(Self::looks_at_files)
    }
}

/// A decision of a rule.
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
