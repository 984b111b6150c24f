//! What a request for approval is about, read leniently: rules decide also about params that the types don't fit.

use serde_json::Value;

use super::rule::{Permission, Subject};
use crate::{
    handler::{ElicitationAsk, ElicitationRequest},
    read::readable,
};

/// What a request for approval is about.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) subject: Option<Subject>,
    pub(super) thread: Option<String>,
    pub(super) command: Option<String>,
    pub(super) cwd: Option<String>,
    /// The files that would be changed; `None` if that is not known.
    pub(super) files: Option<Vec<String>>,
    /// The permissions that are asked for, and the path of each that is about one; an empty path is one that can't be
    /// told.
    pub(super) asks: Vec<(Permission, Option<String>)>,
    pub(super) server: Option<String>,
    pub(super) tool: Option<String>,
    /// Whether an MCP tool declares itself read-only.
    pub(super) reads_only: bool,
    pub(super) skill: Option<String>,
    pub(super) offer: Offer,
}

/// What the server offers as decisions.
#[derive(Debug, Default)]
pub(crate) struct Offer {
    pub(super) available: Option<Vec<Value>>,
    pub(super) proposed: Option<Vec<String>>,
    /// A person has to decide, and only once.
    pub(super) human: bool,
}

readable! {
    #[derive(Default)]
    struct Wire {
        maybe {
            thread_id: Option<String> = "threadId",
            kind: Option<String> = "kind",
            command: Option<String> = "command",
            cwd: Option<String> = "cwd",
            grant_root: Option<String> = "grantRoot",
            skill_name: Option<String> = "skillName",
        }
        maybe {
            network_approval_context: Value = "networkApprovalContext",
            additional_permissions: Value = "additionalPermissions",
            permissions: Value = "permissions",
            available_decisions: Option<Vec<Value>> = "availableDecisions",
            proposed_execpolicy_amendment: Option<Vec<String>> = "proposedExecpolicyAmendment",
        }
    }
}

impl Facts {
    /// Reads the params of a request. `changes` is the member of the item that a file change is about.
    pub(crate) fn read(method: &str, params: &str, changes: Option<&Value>) -> Self {
        // One member of another type than expected must not hide the others, so each is tried by itself.
        let wire = serde_json::from_str::<Wire>(params).unwrap_or_else(|_| lenient(params));
        let mut facts = Self {
            thread: wire.thread_id,
            cwd: wire.cwd,
            ..Self::default()
        };
        match method {
            "item/commandExecution/requestApproval" => {
                facts.subject = match wire.kind.as_deref() {
                    _ if !wire.network_approval_context.is_null() => Some(Subject::Network),
                    None | Some("command" | "humanCommand") => Some(Subject::Command),
                    Some("writeStdin") => Some(Subject::Stdin),
                    Some(_) => None,
                };
                facts.command = wire.command;
                facts.asks = asks(&wire.additional_permissions);
                facts.offer = Offer {
                    available: wire.available_decisions,
                    proposed: wire.proposed_execpolicy_amendment,
                    human: wire.kind.as_deref() == Some("humanCommand"),
                };
            }
            "item/fileChange/requestApproval" => {
                facts.subject = Some(Subject::FileChange);
                facts.files = changes.and_then(files).map(|mut files| {
                    files.extend(wire.grant_root);
                    files
                });
            }
            "item/permissions/requestApproval" => {
                facts.subject = Some(Subject::Permissions);
                facts.asks = asks(&wire.permissions);
            }
            "skill/requestApproval" => {
                facts.subject = Some(Subject::Skill);
                facts.skill = wire.skill_name;
            }
            _ => {}
        }
        facts
    }

    /// The facts of the call of an MCP tool; `None` if the request is about something else.
    pub(crate) fn of_elicitation(request: &ElicitationRequest) -> Option<Self> {
        let ElicitationAsk::ToolCall(call) = &request.ask else {
            return None;
        };
        Some(Self {
            subject: Some(Subject::McpTool),
            thread: Some(request.thread_id.clone()),
            server: Some(request.server.clone()),
            tool: Some(call.tool.clone()),
            reads_only: call.annotations["readOnlyHint"] == true,
            ..Self::default()
        })
    }

    pub(crate) fn offer(&self) -> &Offer {
        &self.offer
    }

    /// Whether a rule may accept it.
    pub(super) fn can_be_accepted(&self) -> bool {
        self.subject.is_some() && !self.offer.human
    }
}

fn lenient(params: &str) -> Wire {
    let Ok(Value::Object(members)) = serde_json::from_str(params) else {
        return Wire::default();
    };
    let text = |key: &str| members.get(key).and_then(Value::as_str).map(str::to_owned);
    let value = |key: &str| members.get(key).cloned().unwrap_or_default();
    Wire {
        thread_id: text("threadId"),
        // What is there and is no string is no kind that is known.
        kind: members
            .get("kind")
            .filter(|kind| !kind.is_null())
            .map(|kind| kind.as_str().unwrap_or("?").to_owned()),
        command: text("command"),
        cwd: text("cwd"),
        network_approval_context: value("networkApprovalContext"),
        additional_permissions: value("additionalPermissions"),
        permissions: value("permissions"),
        available_decisions: value("availableDecisions").as_array().cloned(),
        proposed_execpolicy_amendment: serde_json::from_value(value("proposedExecpolicyAmendment"))
            .ok(),
        grant_root: text("grantRoot"),
        skill_name: text("skillName"),
    }
}

/// The files of a list of changes; `None` if one of them has none.
fn files(changes: &Value) -> Option<Vec<String>> {
    let mut files = Vec::new();
    for change in changes.as_array()? {
        files.push(change["path"].as_str()?.to_owned());
        match &change["kind"]["move_path"] {
            Value::Null => {}
            to => files.push(to.as_str()?.to_owned()),
        }
    }
    (!files.is_empty()).then_some(files)
}

/// The permissions of a profile. What is not known asks for something that no rule can name.
fn asks(profile: &Value) -> Vec<(Permission, Option<String>)> {
    const UNTOLD: Option<String> = Some(String::new());
    let mut asks = Vec::new();
    for (key, value) in profile.as_object().into_iter().flatten() {
        match (key.as_str(), value) {
            (_, Value::Null) => {}
            ("network", network) => {
                if network["enabled"] != false {
                    asks.push((Permission::Network, None));
                }
            }
            ("fileSystem", Value::Object(files)) => {
                for (key, value) in files {
                    let paths = value.as_array().map(Vec::as_slice).unwrap_or_default();
                    match (key.as_str(), value) {
                        (_, Value::Null) | ("globScanMaxDepth", _) => {}
                        _ if !value.is_array() => asks.push((Permission::Other, UNTOLD)),
                        ("read", _) => {
                            asks.extend(all(Permission::Read, paths));
                        }
                        ("write", _) => {
                            asks.extend(all(Permission::Write, paths));
                        }
                        ("entries", _) => asks.extend(paths.iter().filter_map(entry)),
                        _ => asks.push((Permission::Other, UNTOLD)),
                    }
                }
            }
            _ => asks.push((Permission::Other, UNTOLD)),
        }
    }
    asks
}

/// One permission for several paths.
fn all(
    permission: Permission,
    paths: &[Value],
) -> impl Iterator<Item = (Permission, Option<String>)> {
    paths.iter().map(move |path| (permission, Some(text(path))))
}

fn text(path: &Value) -> String {
    path.as_str().unwrap_or_default().to_owned()
}

fn entry(entry: &Value) -> Option<(Permission, Option<String>)> {
    let permission = match entry["access"].as_str() {
        Some("deny") => return None,
        Some("read") => Permission::Read,
        Some("write") => Permission::Write,
        _ => Permission::Other,
    };
    let path = match entry["path"]["type"].as_str() {
        Some("path") => text(&entry["path"]["path"]),
        _ => String::new(),
    };
    Some((permission, Some(path)))
}
