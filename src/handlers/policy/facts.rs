//! `Facts`: what is certain about a request for approval.

use serde_json::Value;

use super::{
    Permission, Subject,
    members::{Members, Misfit},
};
use crate::handlers::{
    elicitation::{ElicitationAsk, ElicitationRequest},
    method::Approval,
};

/// What is certain about a request for approval.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) subject: Option<Subject>,
    /// The request cannot be read, so nobody may accept it.
    pub(crate) unreadable: bool,
    pub(super) thread: Option<String>,
    pub(super) command: Option<String>,
    pub(super) cwd: Option<String>,
    /// The environment that a command or a permission affects, if not the server's machine.
    pub(super) environment: Option<String>,
    /// The host that a command wants to reach.
    pub(super) host: Option<String>,
    /// The files to change. `None` if they are unknown.
    pub(super) files: Option<Vec<String>>,
    /// The requested permissions, each with its path if it has one. An empty path is unknown.
    pub(super) asks: Vec<(Permission, Option<String>)>,
    pub(super) server: Option<String>,
    pub(super) tool: Option<String>,
    /// Whether an MCP tool declares itself read-only.
    pub(super) reads_only: bool,
    pub(super) skill: Option<String>,
    pub(super) offer: Offer,
}

/// The decisions that the server offers.
#[derive(Debug, Default)]
pub(crate) struct Offer {
    pub(super) available: Option<Vec<Value>>,
    pub(super) proposed: Option<Vec<String>>,
    pub(super) proposed_network: Option<Vec<Value>>,
    /// A person must decide, and only for once.
    pub(super) human: bool,
}

impl Facts {
    /// Reads the params of a request. `changes` is the field of the item that a file change is
    /// about.
    ///
    /// An unreadable request has no known subject, so that no rule accepts it and every rule that
    /// refuses may match it. Nothing is offered for it.
    pub(crate) fn read(approval: Approval, params: &str, changes: Option<&Value>) -> Self {
        let members = Members::read(params);
        let read = members.and_then(|members| Self::of(approval, &members, changes).ok());
        read.unwrap_or_else(|| Self {
            unreadable: true,
            offer: Offer {
                available: Some(Vec::new()),
                ..Offer::default()
            },
            ..Self::default()
        })
    }

    fn of(approval: Approval, members: &Members, changes: Option<&Value>) -> Result<Self, Misfit> {
        let mut facts = Self {
            thread: members.text("threadId")?.filter(|id| !id.is_empty()),
            cwd: members.text("cwd")?,
            ..Self::default()
        };
        if matches!(approval, Approval::Command | Approval::Permissions) {
            facts.environment = members.text("environmentId")?;
        }
        match approval {
            Approval::Command => {
                let kind = members.text("kind")?;
                let network = members.object("networkApprovalContext")?;
                facts.subject = match kind.as_deref() {
                    None | Some("command" | "humanCommand") if !network.is_null() => {
                        Some(Subject::Network)
                    }
                    None | Some("command" | "humanCommand") => Some(Subject::Command),
                    Some("writeStdin") if network.is_null() => Some(Subject::Stdin),
                    Some(_) => None,
                };
                facts.host = match &network["host"] {
                    Value::Null if network.is_null() => None,
                    host => Some(host.as_str().ok_or(Misfit)?.to_owned()),
                };
                facts.command = members.text("command")?;
                facts.asks = asks(members.object("additionalPermissions")?);
                facts.offer = Offer {
                    available: members.list("availableDecisions")?,
                    proposed: members.texts("proposedExecpolicyAmendment")?,
                    proposed_network: members.list("proposedNetworkPolicyAmendments")?,
                    human: kind.as_deref() == Some("humanCommand"),
                };
            }
            Approval::FileChange => {
                facts.subject = Some(Subject::FileChange);
                facts.files = changes.and_then(files);
                // The request includes writing to the whole directory until the session ends.
                let root = members.text("grantRoot")?;
                facts
                    .asks
                    .extend(root.map(|root| (Permission::Write, Some(root))));
            }
            Approval::Permissions => {
                facts.subject = Some(Subject::Permissions);
                facts.asks = asks(members.object("permissions")?);
            }
            Approval::Skill => {
                facts.subject = Some(Subject::Skill);
                facts.skill = members.text("skillName")?.filter(|name| !name.is_empty());
            }
        }
        Ok(facts)
    }

    /// The facts of the call of an MCP tool; `None` if the request is about something else.
    /// `declared` says whether the server has declared the tool read-only, and not only the
    /// request.
    pub(crate) fn of_elicitation(request: &ElicitationRequest, declared: bool) -> Option<Self> {
        let ElicitationAsk::ToolCall(call) = &request.ask else {
            return None;
        };
        Some(Self {
            subject: Some(Subject::McpTool),
            thread: Some(request.thread_id.clone()).filter(|id| !id.is_empty()),
            server: Some(request.server.clone()).filter(|name| !name.is_empty()),
            tool: Some(call.tool.clone()).filter(|name| !name.is_empty()),
            reads_only: declared && call.annotations["readOnlyHint"] == true,
            ..Self::default()
        })
    }

    /// Whether a rule may accept it.
    pub(crate) fn can_be_accepted(&self) -> bool {
        self.subject.is_some() && !self.offer.human
    }
}

/// The files of a list of changes, or `None` if one of the changes has none.
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

/// The permissions of a profile. An unknown one becomes a permission that no rule can name.
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
    paths.iter().map(move |path| match path {
        Value::String(path) => (permission, Some(path.clone())),
        _ => (Permission::Other, Some(String::new())),
    })
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
