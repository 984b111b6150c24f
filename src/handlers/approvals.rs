//! Approvals: whether the agent may run a command, change a file, or have more permissions.

use std::future::{Future, ready};

use futures_util::{TryFutureExt as _, future::BoxFuture};
use serde::Deserialize;

use super::{
    context::RequestContext,
    decision::Decision,
    error::HandlerError,
    grant::Grant,
    method::Approval,
    request::Undecoded,
    user_code::{Asked, Handler},
};
use crate::protocol::{
    CommandExecutionRequestApprovalParams, FileChangeRequestApprovalParams, FileUpdateChange,
    PermissionsRequestApprovalParams,
};

/// Answers the server's requests for approval. Every default is a refusal.
///
/// Register a handler with [`Builder::approvals`](crate::Builder::approvals), alone or behind the
/// rules of a [`Policy`](crate::policy::Policy). There is no time limit unless
/// [`Handlers::approval_limit`](super::Handlers::approval_limit) sets one. A closure
/// `|request: ApprovalRequest, cx| async { … }` that returns a [`Decision`] is an `Approvals` too.
///
/// ```
/// use cas_sdk::{
///     handlers::{Approvals, Decision, HandlerError, RequestContext},
///     protocol::CommandExecutionRequestApprovalParams,
/// };
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
    /// `item/commandExecution/requestApproval`: decides whether a command may run. Check `kind`
    /// too: the request may be about input to a running command. A request with a
    /// `network_approval_context` is about the network.
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

    /// `item/fileChange/requestApproval`: decides whether files may be changed.
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

    /// `item/permissions/requestApproval`: decides which of these permissions the agent gets from
    /// now on.
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

    /// `skill/requestApproval`, from servers before 0.142: decides whether a skill may be used.
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
        let asked = request.permissions.clone();
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

/// A request for approval, as a closure gets it; see [`Approvals`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ApprovalRequest {
    /// See [`Approvals::command`].
    Command(Box<CommandExecutionRequestApprovalParams>),
    /// See [`Approvals::file_change`].
    FileChange(FileChangeApproval),
    /// See [`Approvals::permissions`]. A decision that accepts grants everything that the request
    /// asks for.
    Permissions(Box<PermissionsRequestApprovalParams>),
    /// See [`Approvals::skill`].
    Skill(SkillApproval),
}

/// A request to approve file changes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FileChangeApproval {
    /// The params that the server sent.
    pub params: FileChangeRequestApprovalParams,
    /// The changes. The request itself doesn't carry them: they belong to the item that was started
    /// before it. Empty if that item has not been seen.
    pub changes: Vec<FileUpdateChange>,
}

/// A request to approve the use of a skill. Fields that the server leaves out are empty.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct SkillApproval {
    /// The item that uses the skill.
    pub item_id: String,
    /// The name of the skill.
    pub skill_name: String,
}

/// The answer of a handler, for any of the approval methods.
pub(crate) enum ApprovalAnswer {
    Decision(Decision),
    Grant(Grant),
}

/// A request for approval, and the file changes of its item.
pub(crate) struct ApprovalCall {
    pub(crate) approval: Approval,
    pub(crate) request: Undecoded,
    pub(crate) changes: Vec<FileUpdateChange>,
}

pub(crate) type ApprovalHandler = Handler<ApprovalCall, ApprovalAnswer>;

impl ApprovalRequest {
    fn decode(call: ApprovalCall) -> Result<Self, HandlerError> {
        let request = call.request;
        Ok(match call.approval {
            Approval::Command => Self::Command(request.decode()?),
            Approval::FileChange => Self::FileChange(FileChangeApproval {
                params: request.decode()?,
                changes: call.changes,
            }),
            Approval::Permissions => Self::Permissions(request.decode()?),
            Approval::Skill => Self::Skill(request.decode()?),
        })
    }
}

impl<H: Approvals> Asked<ApprovalCall, ApprovalAnswer> for H {
    fn ask(
        &self,
        call: ApprovalCall,
        cx: RequestContext,
    ) -> BoxFuture<'_, Result<ApprovalAnswer, HandlerError>> {
        match ApprovalRequest::decode(call) {
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
