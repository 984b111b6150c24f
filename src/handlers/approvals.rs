//! Approvals: may the agent run this, change that, have more permissions?

use std::{
    fmt,
    future::{Future, ready},
};

use futures_util::{TryFutureExt as _, future::BoxFuture};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Asked, Erased, HandlerError, RequestContext, Undecoded};
use crate::{
    protocol::pointer::readable,
    protocol::{
        CommandExecutionRequestApprovalParams, FileChangeRequestApprovalParams, FileUpdateChange,
        PermissionsRequestApprovalParams, from_value,
    },
};

/// Answers the server's requests for approval. Every default is a refusal.
///
/// Register it with [`Builder::approvals`](crate::Builder::approvals), alone or behind the rules of a
/// [`Policy`](crate::Policy). There is no time limit unless
/// [`Handlers::approval_limit`](super::Handlers::approval_limit) sets one. A closure
/// `|request: ApprovalRequest, cx| async { … }` that returns a [`Decision`] is an `Approvals` too.
///
/// ```
/// use cas_sdk::{Approvals, Decision, HandlerError, RequestContext, protocol::CommandExecutionRequestApprovalParams};
///
/// /// Asks the person in front of the terminal.
/// struct Ask;
///
/// impl Approvals for Ask {
///     async fn command(
///         &self,
///         request: CommandExecutionRequestApprovalParams,
///         _cx: RequestContext,
///     ) -> Result<Decision, HandlerError> {
///         let question = format!("Run {}?", request.command.unwrap_or_default());
///         Ok(if yes_or_no(question).await { Decision::Accept } else { Decision::Decline })
///     }
/// }
/// # async fn yes_or_no(_: String) -> bool { false }
/// ```
pub trait Approvals: Send + Sync + 'static {
    /// `item/commandExecution/requestApproval`: may this command run? Look at `kind` too: it may be about input to a
    /// running command, and with a `network_approval_context` it is about the network.
    ///
    /// # Errors
    /// The command is declined, and the turn goes on.
    fn command(
        &self,
        request: CommandExecutionRequestApprovalParams,
        cx: RequestContext,
    ) -> impl Future<Output = Result<Decision, HandlerError>> + Send {
        let _ = (request, cx);
        ready(Ok(Decision::Decline))
    }

    /// `item/fileChange/requestApproval`: may these files be changed?
    ///
    /// # Errors
    /// The change is declined, and the turn goes on.
    fn file_change(
        &self,
        request: FileChangeApproval,
        cx: RequestContext,
    ) -> impl Future<Output = Result<Decision, HandlerError>> + Send {
        let _ = (request, cx);
        ready(Ok(Decision::Decline))
    }

    /// `item/permissions/requestApproval`: may the agent have these permissions from now on?
    ///
    /// # Errors
    /// Nothing is granted, and the turn goes on.
    fn permissions(
        &self,
        request: PermissionsRequestApprovalParams,
        cx: RequestContext,
    ) -> impl Future<Output = Result<Grant, HandlerError>> + Send {
        let _ = (request, cx);
        ready(Ok(Grant::nothing()))
    }

    /// `skill/requestApproval`, of servers before 0.142: may this skill be used?
    ///
    /// # Errors
    /// The skill is declined, and the turn goes on.
    fn skill(
        &self,
        request: SkillApproval,
        cx: RequestContext,
    ) -> impl Future<Output = Result<Decision, HandlerError>> + Send {
        let _ = (request, cx);
        ready(Ok(Decision::Decline))
    }
}

impl<F, R> Approvals for F
where
    F: Fn(ApprovalRequest, RequestContext) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Decision, HandlerError>> + Send,
{
    fn command(
        &self,
        request: CommandExecutionRequestApprovalParams,
        cx: RequestContext,
    ) -> impl Future<Output = Result<Decision, HandlerError>> + Send {
        self(ApprovalRequest::Command(Box::new(request)), cx)
    }

    fn file_change(
        &self,
        request: FileChangeApproval,
        cx: RequestContext,
    ) -> impl Future<Output = Result<Decision, HandlerError>> + Send {
        self(ApprovalRequest::FileChange(request), cx)
    }

    fn permissions(
        &self,
        request: PermissionsRequestApprovalParams,
        cx: RequestContext,
    ) -> impl Future<Output = Result<Grant, HandlerError>> + Send {
        let asked = request.clone();
        let decision = self(ApprovalRequest::Permissions(Box::new(request)), cx);
        async move { Ok(Grant::decided(&decision.await?, &asked)) }
    }

    fn skill(
        &self,
        request: SkillApproval,
        cx: RequestContext,
    ) -> impl Future<Output = Result<Decision, HandlerError>> + Send {
        self(ApprovalRequest::Skill(request), cx)
    }
}

/// What a closure is asked; see [`Approvals`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ApprovalRequest {
    /// See [`Approvals::command`].
    Command(Box<CommandExecutionRequestApprovalParams>),
    /// See [`Approvals::file_change`].
    FileChange(FileChangeApproval),
    /// See [`Approvals::permissions`]. A decision that accepts grants all that is asked for.
    Permissions(Box<PermissionsRequestApprovalParams>),
    /// See [`Approvals::skill`].
    Skill(SkillApproval),
}

/// A request to approve changes of files.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FileChangeApproval {
    /// What the server sent.
    pub params: FileChangeRequestApprovalParams,
    /// The changes. The request itself doesn't have them: they are of the item that was started before it. Empty if
    /// that has not been seen.
    pub changes: Vec<FileUpdateChange>,
}

readable! {
    /// A request to approve the use of a skill.
    #[derive(Debug, Clone)]
    #[non_exhaustive]
    pub struct SkillApproval {
        maybe {
            /// The item that uses it.
            pub item_id: String = "itemId",
            /// Its name.
            pub skill_name: String = "skillName",
        }
    }
}

/// The answer to a request for approval.
///
/// What the server does not offer for a request falls back to the next stricter decision that it does: the order is
/// that of the variants. To refuse is always possible.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// Yes, and as far as the server proposes it for good: a command with the amendment of the execution policy that
    /// the server proposes, an MCP tool call with `persist: always`; else as [`AcceptForSession`](Self::AcceptForSession).
    AcceptAlways,
    /// Yes, and amend the execution policy by this prefix of commands, which has to be the one that the server proposes.
    /// For commands only.
    AcceptWithExecpolicyAmendment(Vec<String>),
    /// Amend the network policy: allow or deny this host from now on. For commands that want the network.
    ApplyNetworkPolicyAmendment {
        /// Whether the host is allowed.
        allow: bool,
        /// The host, as the server named it.
        host: String,
    },
    /// Yes, and don't ask again for the same thing in this session.
    AcceptForSession,
    /// Yes, once.
    Accept,
    /// No. The turn goes on: the model is told and may try something else.
    Decline,
    /// No, and interrupt the turn. Where the method has no such answer, as [`Decline`](Self::Decline).
    Cancel,
}

impl Decision {
    /// Whether it lets the agent do what it asks for.
    #[must_use]
    pub fn accepts(&self) -> bool {
        match self {
            Self::AcceptAlways
            | Self::AcceptWithExecpolicyAmendment(_)
            | Self::AcceptForSession
            | Self::Accept => true,
            Self::ApplyNetworkPolicyAmendment { allow, .. } => *allow,
            Self::Decline | Self::Cancel => false,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::AcceptAlways => "acceptAlways",
            Self::AcceptWithExecpolicyAmendment(_) => "acceptWithExecpolicyAmendment",
            Self::ApplyNetworkPolicyAmendment { .. } => "applyNetworkPolicyAmendment",
            Self::AcceptForSession => "acceptForSession",
            Self::Accept => "accept",
            Self::Decline => "decline",
            Self::Cancel => "cancel",
        }
    }
}

impl fmt::Display for Decision {
    /// The word on the wire, or the closest to it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Permissions that are granted: those of the request, a part of them, or none.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Grant {
    permissions: Value,
    session: bool,
}

impl Grant {
    /// None.
    pub fn nothing() -> Self {
        Self {
            permissions: json!({}),
            session: false,
        }
    }

    /// All that is asked for, until the turn ends.
    #[inline]
    pub fn all(request: &PermissionsRequestApprovalParams) -> Self {
        Self::of(&request.permissions)
    }

    /// These permissions, until the turn ends: a `GrantedPermissionProfile` or what has its form, such as the
    /// `permissions` of the request with some of them taken out.
    pub fn of(permissions: &impl Serialize) -> Self {
        match serde_json::to_value(permissions) {
            Ok(permissions @ Value::Object(_)) => Self {
                permissions,
                session: false,
            },
            _ => Self::nothing(),
        }
    }

    /// Until the session ends, instead of the turn.
    pub fn for_session(mut self) -> Self {
        self.session = true;
        self
    }

    /// Whether anything is granted.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.permissions
            .as_object()
            .is_none_or(serde_json::Map::is_empty)
    }

    /// All or nothing of what is asked for.
    #[inline]
    pub(crate) fn decided(decision: &Decision, asked: &PermissionsRequestApprovalParams) -> Self {
        Self::all_of(decision, &asked.permissions)
    }

    pub(crate) fn all_of(decision: &Decision, permissions: &impl Serialize) -> Self {
        match decision {
            Decision::Accept => Self::of(permissions),
            _ if decision.accepts() => Self::of(permissions).for_session(),
            _ => Self::nothing(),
        }
    }

    pub(crate) fn to_wire(&self) -> Value {
        if self.session && !self.is_nothing() {
            json!({"permissions": self.permissions, "scope": "session"})
        } else {
            json!({"permissions": self.permissions})
        }
    }
}

/// What a handler answers, whichever method it was asked through.
pub(crate) enum ApprovalAnswer {
    Decision(Decision),
    Grant(Grant),
}

/// The changes of files are those that the request is about.
pub(crate) type ApprovalHandler = Erased<(Undecoded, Option<Value>), ApprovalAnswer>;

impl ApprovalRequest {
    #[inline]
    fn decode(request: &Undecoded, changes: Option<&Value>) -> Result<Self, HandlerError> {
        Ok(match request.method() {
            "item/commandExecution/requestApproval" => Self::Command(request.decode()?),
            "item/fileChange/requestApproval" => Self::FileChange(FileChangeApproval {
                params: request.decode()?,
                changes: changes.and_then(|c| from_value(c).ok()).unwrap_or_default(),
            }),
            "item/permissions/requestApproval" => Self::Permissions(request.decode()?),
            _ => Self::Skill(request.decode()?),
        })
    }
}

impl<H: Approvals> Asked<(Undecoded, Option<Value>), ApprovalAnswer> for H {
    fn ask(
        &self,
        (request, changes): (Undecoded, Option<Value>),
        cx: RequestContext,
    ) -> BoxFuture<'_, Result<ApprovalAnswer, HandlerError>> {
        match ApprovalRequest::decode(&request, changes.as_ref()) {
            Ok(ApprovalRequest::Command(request)) => {
                Box::pin(self.command(*request, cx).map_ok(ApprovalAnswer::Decision))
            }
            Ok(ApprovalRequest::FileChange(request)) => Box::pin(
                self.file_change(request, cx)
                    .map_ok(ApprovalAnswer::Decision),
            ),
            Ok(ApprovalRequest::Permissions(request)) => {
                Box::pin(self.permissions(*request, cx).map_ok(ApprovalAnswer::Grant))
            }
            Ok(ApprovalRequest::Skill(request)) => {
                Box::pin(self.skill(request, cx).map_ok(ApprovalAnswer::Decision))
            }
            Err(error) => Box::pin(ready(Err(error))),
        }
    }
}
