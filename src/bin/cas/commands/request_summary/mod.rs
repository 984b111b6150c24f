//! What a request for approval would allow, as `ask`, `attach` and `watch` show it to the user
//! before the decision.
//!
//! They show everything that would be granted. If part of a request can't be shown, or this version
//! does not know it, they show the rest and don't offer to accept the request.

mod members;
mod permissions;
mod tool_call;

use cas_sdk::{handlers::PendingRequest, protocol::FileUpdateChange};
use serde_json::Value;

pub(super) use self::tool_call::ToolCall;
use self::{members::Members, permissions::granted};
use crate::output::field;

/// What a request is about. The texts come from the request; they are escaped where they are shown.
#[derive(Debug, Default)]
pub(super) struct RequestSummary {
    /// The words before [`act`](Self::act), unless those are "wants to".
    lead: &'static str,
    /// The action, such as `run ls`.
    act: String,
    /// What the request also allows, such as `may write to /`.
    grants: Vec<String>,
    /// Where the action happens, and with what arguments.
    circumstances: Vec<String>,
    /// The text of the file changes.
    diffs: Vec<String>,
    reason: Option<String>,
    /// Why the request can't be accepted here.
    unclear: Vec<String>,
}

/// Keys that every request of a turn has, and keys that matter only for decisions without a letter.
const HARMLESS: [&str; 9] = [
    "threadId",
    "turnId",
    "itemId",
    "approvalId",
    "startedAtMs",
    "commandActions",
    "availableDecisions",
    "proposedExecpolicyAmendment",
    "proposedNetworkPolicyAmendments",
];

impl RequestSummary {
    /// Describes a pending request. `changes` are the file changes of its item, for a client that
    /// has not seen the item; `is_called` returns whether a tool call is in progress.
    pub(super) fn of(
        request: &PendingRequest,
        changes: Vec<FileUpdateChange>,
        is_called: impl FnOnce(&ToolCall) -> bool,
    ) -> Self {
        let params = serde_json::from_str(request.json()).unwrap_or_default();
        let known = Some(request.file_changes()).filter(|known| !known.is_empty());
        let changes = known.unwrap_or(changes);
        Self::read(&request.method, params, &changes, is_called)
    }

    fn read(
        method: &str,
        params: Value,
        changes: &[FileUpdateChange],
        is_called: impl FnOnce(&ToolCall) -> bool,
    ) -> Self {
        let mut summary = Self {
            lead: "an approval to ",
            ..Self::default()
        };
        let mut members = Members::of("", params, &mut summary.unclear);
        match method {
            "item/commandExecution/requestApproval" => summary.command(&mut members),
            "item/fileChange/requestApproval" => summary.files(&mut members, changes),
            "item/permissions/requestApproval" => {
                "have more permissions".clone_into(&mut summary.act);
                summary.place(&mut members);
                let profile = members.object("permissions", &mut summary.unclear);
                summary.grants = granted(profile, &mut summary.unclear);
            }
            "skill/requestApproval" => match members.text("skillName", &mut summary.unclear) {
                Some(name) => summary.act = format!("use the skill {name}"),
                None => summary.untold("use a skill", "which skill"),
            },
            "mcpServer/elicitation/request" => {
                summary.elicitation(members, is_called);
                return summary;
            }
            "item/tool/requestUserInput" => {
                let questions = members.take("questions");
                summary.lead = "a question: ";
                summary.act = text_of(&questions[0]["question"]);
                return summary;
            }
            method => {
                summary.lead = "";
                method.clone_into(&mut summary.act);
                return summary;
            }
        }
        summary.reason = members.text("reason", &mut summary.unclear);
        for key in HARMLESS {
            members.take(key);
        }
        members.unknown(&mut summary.unclear);
        summary
    }

    fn command(&mut self, members: &mut Members) {
        let kind = members.text("kind", &mut self.unclear);
        let command = members.text("command", &mut self.unclear);
        let host = host(members, &mut self.unclear);
        match (kind.as_deref(), command) {
            (None | Some("command" | "humanCommand"), Some(command)) => {
                self.act = format!("run {command}");
            }
            (None | Some("command" | "humanCommand"), None) if host.is_some() => {
                "use the network".clone_into(&mut self.act);
            }
            (None | Some("command" | "humanCommand"), None) => {
                self.untold("run something", "which command");
            }
            (Some("writeStdin"), Some(command)) => {
                self.act = format!("type into a program that runs: {command}");
            }
            (Some("writeStdin"), None) => {
                self.untold("type into a program that runs", "what");
            }
            (Some(kind), command) => {
                self.act = format!("do {kind}: {}", command.unwrap_or_default());
                self.unclear.push(format!("`{kind}` is not known here"));
            }
        }
        self.place(members);
        let more = members.object("additionalPermissions", &mut self.unclear);
        self.grants.extend(host);
        self.grants.extend(granted(more, &mut self.unclear));
    }

    fn files(&mut self, members: &mut Members, changes: &[FileUpdateChange]) {
        let mut acts = Vec::new();
        for change in changes {
            let kind = serde_json::to_value(&change.kind).unwrap_or_default();
            let path = &change.path;
            let to = kind["move_path"].as_str();
            acts.push(match (kind["type"].as_str(), to) {
                (Some("add"), _) => format!("add {path}"),
                (Some("delete"), _) => format!("delete {path}"),
                (Some("update"), None) => format!("change {path}"),
                (Some("update"), Some(to)) => format!("change {path}, moved to {to}"),
                _ => {
                    self.unclear.push(format!("{kind} is not known here"));
                    format!("do {kind} to {path}")
                }
            });
            self.diffs.push(change.diff.trim_end().to_owned());
        }
        match &acts[..] {
            [] => self.untold("change files", "which files"),
            [act] => self.act.clone_from(act),
            _ => {
                self.act = format!("change {} files", acts.len());
                self.grants = acts;
            }
        }
        self.grants.extend(root(members, &mut self.unclear));
    }

    fn elicitation(&mut self, mut members: Members, is_called: impl FnOnce(&ToolCall) -> bool) {
        // Not checked: these texts concern only the answer to the server that asks.
        let mut text = |key: &str| members.text(key, &mut Vec::new()).unwrap_or_default();
        let (server, message, url) = (text("serverName"), text("message"), text("url"));
        let meta = members.take("_meta");
        match &meta["codex_approval_kind"] {
            Value::Null => {
                self.lead = "an answer to ";
                let url = if url.is_empty() {
                    url
                } else {
                    format!(" ({url})")
                };
                self.act = format!("the MCP server {server}: {message}{url}");
            }
            kind if kind == "mcp_tool_call" => {
                let call = ToolCall::of(server, &meta);
                self.act = format!("call {} of the MCP server {}", call.tool, call.server);
                self.circumstances.push(format!("with {}", call.arguments));
                self.reason = Some(message).filter(|text| !text.is_empty());
                if !is_called(&call) {
                    let why = "no such call was seen, so the MCP server may have made it up";
                    self.unclear.push(why.to_owned());
                }
            }
            kind => {
                self.act = format!("do {kind} for the MCP server {server}");
                self.reason = Some(message).filter(|text| !text.is_empty());
                self.unclear.push(format!("{kind} is not known here"));
            }
        }
    }

    /// Adds where the action happens.
    fn place(&mut self, members: &mut Members) {
        if let Some(cwd) = members.text("cwd", &mut self.unclear) {
            self.circumstances.push(format!("in {cwd}"));
        }
        if let Some(environment) = members.text("environmentId", &mut self.unclear) {
            let text = format!("in the environment {environment}");
            self.circumstances.push(text);
        }
    }

    /// Records that the request leaves out what it is about.
    fn untold(&mut self, act: &str, what: &str) {
        act.clone_into(&mut self.act);
        self.unclear
            .push(format!("the request does not say {what}"));
    }

    /// Whether the user may be offered to accept the request: all of it is known and shown.
    pub(super) fn is_clear(&self) -> bool {
        self.unclear.is_empty()
    }

    /// Why the user can only decline the request, in one line.
    pub(super) fn unclear(&self) -> String {
        field(&self.unclear.join("; ")).into_owned()
    }

    /// The action in one line, which others may follow: `an approval to run ls`.
    pub(super) fn subject(&self) -> String {
        format!("{}{}", self.lead, self.act)
    }

    /// The action and everything that would be granted, in one line for programs.
    pub(super) fn line(&self) -> String {
        let all = std::iter::once(self.subject());
        all.chain(self.grants.iter().cloned())
            .collect::<Vec<_>>()
            .join("; ")
    }

    /// The whole request, to follow "wants to", for the user who decides. No text of the request
    /// can begin a line of its own.
    pub(super) fn to_decide(&self) -> String {
        self.lines(field(&self.act).into_owned(), true)
    }

    /// The whole request for the user who decides or watches, one fact a line, with or without the
    /// text of file changes.
    pub(super) fn shown(&self, with_diffs: bool) -> String {
        self.lines(field(&self.subject()).into_owned(), with_diffs)
    }

    fn lines(&self, first: String, with_diffs: bool) -> String {
        let mut lines = vec![first];
        let mut add = |prefix: &str, text: &str| lines.push(format!("{prefix}{}", field(text)));
        for text in &self.circumstances {
            add("", text);
        }
        if let Some(reason) = &self.reason {
            add("because: ", reason);
        }
        let diffs = { self.diffs.iter() }.filter(|_| with_diffs);
        for line in diffs.flat_map(|diff| diff.lines()) {
            add("| ", line);
        }
        // Grants come last, so that no long text can move them off the screen.
        for text in &self.grants {
            add("+ ", text);
        }
        for text in &self.unclear {
            add("can't be accepted here: ", text);
        }
        if !self.is_clear() {
            lines.push("it may allow more than is shown, so it can only be declined".to_owned());
        }
        lines.join("\n")
    }
}

/// What was granted by a decision about a request besides its action, one grant each. What this
/// version does not know is quoted. `granted_by` is the answer to a request for permissions, or
/// the params of another request.
pub(super) fn grants(granted_by: Value) -> Vec<String> {
    let mut unknown = Vec::new();
    let mut members = Members::of("", granted_by, &mut unknown);
    let mut grants: Vec<String> = { host(&mut members, &mut unknown).into_iter() }
        .chain(root(&mut members, &mut unknown))
        .collect();
    for key in ["permissions", "additionalPermissions"] {
        let profile = members.object(key, &mut unknown);
        grants.extend(granted(profile, &mut unknown));
    }
    grants.append(&mut unknown);
    grants
}

/// The host that a request to use the network names.
fn host(members: &mut Members, unclear: &mut Vec<String>) -> Option<String> {
    let mut network = members.object("networkApprovalContext", unclear);
    let (host, protocol) = (
        network.text("host", unclear),
        network.text("protocol", unclear),
    );
    network.unknown(unclear);
    let protocol = protocol.unwrap_or_else(|| "any protocol".to_owned());
    Some(format!("may reach the host {} by {protocol}", host?))
}

/// The directory that a request to change files opens.
fn root(members: &mut Members, unclear: &mut Vec<String>) -> Option<String> {
    let root = members.text("grantRoot", unclear)?;
    Some(format!("may write to all of {root} until the session ends"))
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
