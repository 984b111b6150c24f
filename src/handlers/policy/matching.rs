//! Matching a rule against a request, and narrowing its decision.

use std::{
    cell::OnceCell,
    path::{Path, PathBuf},
};

use super::{
    Facts, Permission, Rule, Subject,
    command::{self, Words},
    condition::Match,
    path, programs,
    rule::Line,
    scan::Scan,
};
use crate::handlers::decision::Decision;

/// A request as the rules of one policy see it. Its command is parsed once, and only if a rule
/// needs it.
pub(super) struct Asked<'a> {
    pub(super) facts: &'a Facts,
    shells: &'a [PathBuf],
    plain: OnceCell<Option<Vec<Words>>>,
    scan: OnceCell<Scan>,
}

impl<'a> Asked<'a> {
    pub(super) fn new(facts: &'a Facts, shells: &'a [PathBuf]) -> Self {
        Self {
            facts,
            shells,
            plain: OnceCell::new(),
            scan: OnceCell::new(),
        }
    }

    /// The commands of the line, if all are plain.
    fn plain(&self) -> Option<&[Words]> {
        let read = || command::plain(self.facts.command.as_deref()?, self.shells);
        self.plain.get_or_init(read).as_deref()
    }

    /// Everything in the line that may be a command.
    fn scan(&self, line: &str) -> &Scan {
        let read = || Scan::of(&command::unwrapped(line, self.shells));
        self.scan.get_or_init(read)
    }
}

/// The id of the environment that is the server's own machine.
const LOCAL: &str = "local";

impl Rule {
    pub(super) fn matches(&self, asked: &Asked<'_>) -> bool {
        let facts = asked.facts;
        let accepts = self.decision.accepts();
        if accepts && !facts.can_be_accepted() {
            return false;
        }
        // Lazily in this order, so that the file system is accessed only if the outcome depends on
        // it.
        let conditions: [&dyn Fn() -> Match; 11] = [
            &|| self.subject_matches(facts),
            &|| one_of(&self.threads, facts.thread.as_deref()),
            &|| self.environment_matches(facts),
            &|| name_matches(Subject::Skill, &self.skills, facts.skill.as_deref(), facts),
            &|| {
                name_matches(
                    Subject::McpTool,
                    &self.servers,
                    facts.server.as_deref(),
                    facts,
                )
            },
            &|| name_matches(Subject::McpTool, &self.tools, facts.tool.as_deref(), facts),
            &|| Match::from(!(self.mcp_writes && facts.reads_only)),
            &|| self.host_matches(facts),
            &|| self.command_matches(asked),
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

    /// The decision, narrowed to the session where persisting it would be wider than the rule: a
    /// persisted rule holds for every thread and directory, and for all commands that begin with
    /// the amendment.
    pub(super) fn decision(&self, asked: &Asked<'_>) -> Decision {
        let narrowed = !self.threads.is_empty()
            || !self.environments.is_empty()
            || self.is_narrowed_to_directories();
        let is_command = asked.facts.subject == Some(Subject::Command);
        let persists = match &self.decision {
            Decision::AcceptAlways if is_command => {
                let proposed = asked.facts.offer.proposed.as_deref();
                !narrowed && proposed.is_none_or(|words| self.covers(words, asked))
            }
            Decision::AcceptWithExecpolicyAmendment(words) => {
                !narrowed && is_command && self.covers(words, asked)
            }
            Decision::AcceptAlways | Decision::ApplyNetworkPolicyAmendment { allow: true, .. } => {
                !narrowed
            }
            _ => true,
        };
        if persists {
            self.decision.clone()
        } else {
            Decision::AcceptForSession
        }
    }

    /// Whether this rule accepts every command that begins with these words, and the command of the
    /// request is one of them.
    fn covers(&self, amendment: &[String], asked: &Asked<'_>) -> bool {
        let own = |line: &Line| {
            !line.exact && !line.words.is_empty() && amendment.starts_with(&line.words)
        };
        let named = if self.commands.is_empty() {
            // A rule for all commands must not persist one that can run all others.
            !programs::can_run_others(amendment) && !programs::obeys_directory(amendment)
        } else {
            self.commands.iter().any(own)
        };
        named && super::amendment::is_of(amendment, asked.plain())
    }

    fn subject_matches(&self, facts: &Facts) -> Match {
        let Some(subject) = facts.subject else {
            return if self.subjects.is_empty() {
                Match::Yes
            } else {
                Match::Unknown
            };
        };
        if self.decision.accepts() {
            // What leaves the sandbox for longer than one command must be named.
            return match subject {
                Subject::Permissions => self.names_permissions() || self.names(subject),
                Subject::Network => self.names(subject) || self.names_host(),
                _ => self.subjects.is_empty() || self.names(subject),
            }
            .into();
        }
        let asks = |wanted: Permission| {
            facts
                .asks
                .iter()
                .any(|(p, _)| *p == wanted || *p == Permission::Other)
        };
        let beside = self.names(Subject::Permissions) && !facts.asks.is_empty()
            || self.names(Subject::Network) && asks(Permission::Network);
        (self.subjects.is_empty() || self.names(subject) || beside).into()
    }

    fn names(&self, subject: Subject) -> bool {
        self.subjects.contains(&subject)
    }

    /// Whether the rule names permissions by a condition. Explicit subjects take precedence.
    fn names_permissions(&self) -> bool {
        self.subjects.is_empty() && (!self.permissions.is_empty() || !self.roots.is_empty())
    }

    fn names_host(&self) -> bool {
        let amends = matches!(self.decision, Decision::ApplyNetworkPolicyAmendment { .. });
        self.subjects.is_empty() && (amends || !self.hosts.is_empty())
    }

    fn host_matches(&self, facts: &Facts) -> Match {
        let amended = match &self.decision {
            Decision::ApplyNetworkPolicyAmendment { host, .. } => Some(host),
            _ => None,
        };
        if self.hosts.is_empty() && amended.is_none() {
            return Match::Yes;
        }
        if facts.subject.is_some_and(|s| s != Subject::Network) {
            return Match::No;
        }
        let Some(host) = facts.host.as_deref() else {
            return Match::Unknown;
        };
        let named = self.hosts.is_empty() || self.hosts.iter().any(|wanted| is_host(wanted, host));
        (named && amended.is_none_or(|amended| is_host(amended, host))).into()
    }

    fn command_matches(&self, asked: &Asked<'_>) -> Match {
        let facts = asked.facts;
        if self.commands.is_empty() {
            return Match::Yes;
        }
        let accepts = self.decision.accepts();
        match (facts.subject, &facts.command) {
            (Some(Subject::Command) | None, None) => Match::Unknown,
            (Some(Subject::Command), Some(_)) if accepts => {
                let Some(commands) = asked.plain() else {
                    return Match::Unknown;
                };
                let ours = |words: &Words| self.commands.iter().any(|line| line.takes(words));
                commands.iter().all(ours).into()
            }
            (_, Some(line)) if !accepts => {
                if line.trim().is_empty() {
                    return Match::Unknown;
                }
                let scan = asked.scan(line);
                let found = self.commands.iter().map(|line| scan.has(&line.words));
                found.fold(Match::No, Match::or)
            }
            _ => Match::No,
        }
    }

    /// A request must ask for nothing but what the rule names. Permissions alone are no reason to
    /// run a command: that takes a condition on the command.
    fn permission_matches(&self, facts: &Facts) -> Match {
        if !self.decision.accepts() {
            return self.refuses_permission(facts);
        }
        let mut asked = facts.asks.iter().map(|(permission, _)| permission);
        if !self.permissions.is_empty() {
            let about_permissions = matches!(
                facts.subject,
                Some(Subject::Permissions | Subject::FileChange)
            );
            let about_command = !self.commands.is_empty() || !self.subjects.is_empty();
            if !about_permissions && !about_command {
                return Match::No;
            }
            // A rule about permissions accepts no request without any.
            return (!facts.asks.is_empty() && asked.all(|p| self.permissions.contains(p))).into();
        }
        if !self.roots.is_empty() {
            let files = [Permission::Read, Permission::Write];
            return asked.all(|p| files.contains(p)).into();
        }
        if self.names(Subject::Permissions) {
            return asked.all(|p| *p != Permission::Other).into();
        }
        facts.asks.is_empty().into()
    }

    fn refuses_permission(&self, facts: &Facts) -> Match {
        if self.permissions.is_empty() {
            return Match::Yes;
        }
        if facts.subject.is_none() {
            return Match::Unknown;
        }
        // Reaching a host means reaching the network.
        let host = (facts.subject == Some(Subject::Network)).then_some(Permission::Network);
        let mut asked = facts
            .asks
            .iter()
            .map(|(permission, _)| *permission)
            .chain(host);
        asked
            .any(|p| self.permissions.contains(&p) || p == Permission::Other)
            .into()
    }

    /// Matches the server's machine for a rule that accepts, unless the rule names another
    /// environment.
    fn environment_matches(&self, facts: &Facts) -> Match {
        let id = facts.environment.as_deref().unwrap_or(LOCAL);
        if self.environments.is_empty() {
            return (!self.decision.accepts() || id == LOCAL).into();
        }
        self.environments
            .iter()
            .any(|wanted| is_named(wanted, id))
            .into()
    }

    fn paths_match(&self, facts: &Facts) -> Match {
        let cwd = match &facts.cwd {
            _ if !self.is_narrowed_to_directories() => Match::Yes,
            Some(cwd) => any_root(&self.cwds, cwd, path::within).or(any_root(
                &self.exact_cwds,
                cwd,
                path::is,
            )),
            None => Match::Unknown,
        };
        if self.roots.is_empty() || cwd == Match::No {
            return cwd;
        }
        let asks = facts.asks.iter().filter_map(|(_, path)| path.as_deref());
        let files = match (facts.subject, &facts.files) {
            (None, _) | (Some(Subject::FileChange), None) => return Match::Unknown,
            (Some(Subject::FileChange), Some(files)) => files.as_slice(),
            _ => &[],
        };
        let mut paths = files.iter().map(String::as_str).chain(asks).peekable();
        let roots = if self.decision.accepts() {
            let some = paths.peek().is_some();
            let mut parts = paths.map(|path| any_root(&self.roots, path, path::within));
            Match::from(some && parts.all(|m| m == Match::Yes))
        } else {
            let mut parts = paths.map(|path| any_root(&self.roots, path, path::overlaps));
            Match::from(parts.any(|m| m != Match::No))
        };
        if roots == Match::Yes { cwd } else { roots }
    }
}

/// A condition on the name of the subject of a request.
fn name_matches(subject: Subject, wanted: &[String], got: Option<&str>, facts: &Facts) -> Match {
    match got {
        _ if wanted.is_empty() => Match::Yes,
        _ if facts.subject.is_some_and(|s| s != subject) => Match::No,
        Some(got) => wanted.iter().any(|wanted| is_named(wanted, got)).into(),
        None => Match::Unknown,
    }
}

/// Whether a name matches the wanted one. A final `*` matches any ending.
fn is_named(wanted: &str, got: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(prefix) => got.starts_with(prefix),
        None => wanted == got,
    }
}

fn any_root(roots: &[PathBuf], path: &str, holds: fn(&Path, &Path) -> Match) -> Match {
    let each = roots.iter().map(|root| holds(Path::new(path), root));
    each.fold(Match::No, Match::or)
}

fn one_of(wanted: &[String], got: Option<&str>) -> Match {
    match got {
        _ if wanted.is_empty() => Match::Yes,
        Some(got) => wanted.iter().any(|w| w == got).into(),
        None => Match::Unknown,
    }
}

/// Whether a host is the wanted one, or below it if that begins with `*.`.
fn is_host(wanted: &str, host: &str) -> bool {
    let plain = |host: &str| host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let (wanted, host) = (plain(wanted), plain(host));
    match wanted.strip_prefix("*.") {
        Some(domain) => host
            .strip_suffix(domain)
            .and_then(|rest| rest.strip_suffix('.'))
            .is_some_and(|below| !below.is_empty() && !domain.is_empty()),
        None => !wanted.is_empty() && wanted == host,
    }
}
