//! What a request for approval would allow, as a person is told it before the decision: in `ask`, `attach` and `watch`.
//!
//! All that is granted is told. A request that asks for something which can't be told, or which this version does not
//! know, is told as far as it can be, and nobody is offered to accept it.

mod members;
mod permissions;
mod tool_call;

use cas_sdk::{handlers::PendingRequest, protocol::FileUpdateChange};
use serde_json::Value;

pub(super) use self::tool_call::ToolCall;
use self::{members::Members, permissions::granted};
use crate::output::field;

/// What a request is about. The texts are those of the request: they are made safe where they are shown.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// What stands before [`act`](Self::act) where it is not "wants to".
    lead: &'static str,
    /// What is to be done, as in `run ls`.
    act: String,
    /// What that allows beside it, as in `may write to /`.
    grants: Vec<String>,
    /// Where, and with what.
    circumstances: Vec<String>,
    /// What is changed in files.
    diffs: Vec<String>,
    reason: Option<String>,
    /// Why nobody is offered to accept it.
    unclear: Vec<String>,
}

/// What each request of a turn has, and what only decisions are about that no letter stands for.
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

impl Wanted {
    /// By a request that waits. `changes` are those of its item, if the client has not seen it; `is_called` says whether a
    /// call of a tool is in progress.
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
        let mut wanted = Self {
            lead: "an approval to ",
            ..Self::default()
        };
        let mut members = Members::of(params, &mut wanted.unclear);
        match method {
            "item/commandExecution/requestApproval" => wanted.command(&mut members),
            "item/fileChange/requestApproval" => wanted.files(&mut members, changes),
            "item/permissions/requestApproval" => {
                "have more permissions".clone_into(&mut wanted.act);
                wanted.place(&mut members);
                let profile = members.take("permissions");
                wanted.grants.extend(granted(profile, &mut wanted.unclear));
            }
            "skill/requestApproval" => match members.text("skillName", &mut wanted.unclear) {
                Some(name) => wanted.act = format!("use the skill {name}"),
                None => wanted.untold("use a skill", "which skill"),
            },
            "mcpServer/elicitation/request" => {
                wanted.elicitation(members, is_called);
                return wanted;
            }
            "item/tool/requestUserInput" => {
                let questions = members.take("questions");
                wanted.lead = "a question: ";
                wanted.act = text_of(&questions[0]["question"]);
                return wanted;
            }
            method => {
                wanted.lead = "";
                method.clone_into(&mut wanted.act);
                return wanted;
            }
        }
        wanted.reason = members.text("reason", &mut wanted.unclear);
        for key in HARMLESS {
            members.take(key);
        }
        members.unknown(&mut wanted.unclear);
        wanted
    }

    fn command(&mut self, members: &mut Members) {
        let kind = members.text("kind", &mut self.unclear);
        let command = members.text("command", &mut self.unclear);
        let mut network = Members::of(members.take("networkApprovalContext"), &mut self.unclear);
        let host = network.text("host", &mut self.unclear);
        let protocol = network.text("protocol", &mut self.unclear);
        network.unknown(&mut self.unclear);
        if let Some(host) = &host {
            let protocol = protocol.unwrap_or_else(|| "any protocol".to_owned());
            self.grants
                .push(format!("may reach the host {host} by {protocol}"));
        }
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
        let more = members.take("additionalPermissions");
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
        if let Some(root) = members.text("grantRoot", &mut self.unclear) {
            let all = format!("may write to all of {root} until the session ends");
            self.grants.push(all);
        }
    }

    fn elicitation(&mut self, mut members: Members, is_called: impl FnOnce(&ToolCall) -> bool) {
        // None of these is about more than an answer to the server that asks.
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

    /// Where it is done.
    fn place(&mut self, members: &mut Members) {
        if let Some(cwd) = members.text("cwd", &mut self.unclear) {
            self.circumstances.push(format!("in {cwd}"));
        }
        if let Some(environment) = members.text("environmentId", &mut self.unclear) {
            let text = format!("in the environment {environment}");
            self.circumstances.push(text);
        }
    }

    fn untold(&mut self, act: &str, what: &str) {
        act.clone_into(&mut self.act);
        self.unclear
            .push(format!("the request does not say {what}"));
    }

    /// Whether a person may be offered to accept it: all of it is known and told.
    pub(super) fn is_clear(&self) -> bool {
        self.unclear.is_empty()
    }

    /// What it is about, in a line that may be followed by others: `an approval to run ls`.
    pub(super) fn subject(&self) -> String {
        format!("{}{}", self.lead, self.act)
    }

    /// The same with all that is granted, for programs.
    pub(super) fn line(&self) -> String {
        let all = std::iter::once(self.subject());
        all.chain(self.grants.iter().cloned())
            .collect::<Vec<_>>()
            .join("; ")
    }

    /// All of it for the person who decides, after "wants to": no part of it can begin a line of its own.
    pub(super) fn told(&self) -> String {
        self.lines(field(&self.act).into_owned(), true)
    }

    /// All of it for the person who decides or who watches, a line each; with the changes of files, or without.
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
        // Last, so that nothing long can move it off the screen.
        for text in &self.grants {
            add("+ ", text);
        }
        for text in &self.unclear {
            add("can't be accepted here: ", text);
        }
        lines.join("\n")
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
