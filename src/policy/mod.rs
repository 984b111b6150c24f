//! Policies: decisions about approvals that need nobody, as a value one can read.

mod audit;
mod command;
mod facts;
pub(crate) mod fit;
mod path;
mod rule;

use std::fmt;

use crate::handler::{ApprovalHandler, Approvals, Decision};

pub use audit::{Audit, DecidedBy};
pub(crate) use audit::{AuditFn, Decided};
pub(crate) use facts::{Facts, Offer};
pub use rule::{Permission, Rule, Subject};

/// Who decides about approvals: rules in order, then a preset, then an [`Approvals`] handler; what none of them decides
/// goes to the fallback, if there is one, and is declined otherwise.
///
/// Without any policy everything is declined.
///
/// ```
/// use cas_sdk::{CasClient, Policy, Rule};
///
/// let policy = Policy::decline()
///     .rule(Rule::decline().command("git push").named("no pushing"))
///     .rule(Rule::accept().command("git").command("cargo test").cwd("/repo"))
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
    /// What is left undecided is declined, and not offered to the fallback.
    pub(crate) closed: bool,
}

impl Policy {
    fn with_preset(preset: Vec<Rule>) -> Self {
        Self {
            rules: Vec::new(),
            preset,
            handler: None,
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

    /// Accepts every command, with the execution policy's amendment if the server proposes one, every change of files
    /// and every skill, all for the session: for agents that nobody watches, in a sandbox of their own. Permissions and
    /// the tools of MCP servers are not in it, nor commands that the server wants a person to decide.
    pub fn auto() -> Self {
        let rule = Rule::new(Decision::AcceptAlways).named("Policy::auto");
        Self::with_preset(vec![
            rule.on(Subject::Command)
                .on(Subject::Network)
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
        self.handler = Some(crate::handler::erase(handler));
        self
    }

    /// The decision of the first rule that matches, and how the rule is called.
    pub(crate) fn decide(&self, facts: &Facts) -> Option<(Decision, String)> {
        let rules = self.rules.iter().chain(&self.preset).enumerate();
        let (n, rule) = rules.into_iter().find(|(_, rule)| rule.matches(facts))?;
        Some((rule.decision.clone(), rule.name(n)))
    }

    /// Whether it is any loss if the server does not ask.
    pub(crate) fn wants_to_be_asked(&self) -> bool {
        let mut rules = self.rules.iter().chain(&self.preset);
        self.handler.is_some() || rules.any(|rule| rule.decision.accepts())
    }

    /// Whether a decision may look at the file system.
    pub(crate) fn looks_at_files(&self) -> bool {
        self.rules.iter().any(Rule::looks_at_files)
    }
}

impl<A: Approvals> From<A> for Policy {
    fn from(handler: A) -> Self {
        Self::with_preset(Vec::new()).handler(handler)
    }
}

impl fmt::Debug for Policy {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("rules", &self.rules)
            .field("preset", &self.preset)
            .field("handler", &self.handler.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
