//! Classifies errors by what their caller can do: one class for requests, starts and turns alike.

use std::{io::ErrorKind, time::SystemTime};

use super::{
    ConnectErrorKind, Error, JoinRefusal, RpcError, RpcErrorKind, SpawnError, TurnError,
    TurnErrorKind, TurnFailure,
};
use crate::protocol::CodexErrorInfo;

/// What the caller can do about an error; see [`Error::class`].
///
/// ```
/// use cas_sdk::{Error, ErrorClass};
///
/// fn advice(error: &Error) -> &'static str {
///     match error.class() {
///         ErrorClass::RateLimited { resets_at: Some(_) } => "wait until then",
///         ErrorClass::ThreadMissing => "start a new thread",
///         class if class.is_retryable() => "try again after a pause",
///         _ => "tell the user",
///     }
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorClass {
    /// A rate limit of the account or of the model's provider is used up.
    RateLimited {
        /// When the limit resets, as the server last reported it in `account/rateLimits/updated`. `None` if it did not.
        resets_at: Option<SystemTime>,
    },
    /// The server or the model is overloaded. A request was not carried out; a turn can be started again.
    Overloaded,
    /// Something is unavailable for the moment: a start was too slow, another codex was using the
    /// databases of the same home, or the connection to the model's provider broke.
    Unavailable,
    /// A login is needed, or the credentials were refused.
    Auth,
    /// The conversation no longer fits the model's context window. Compact it, or start a new thread.
    ContextWindow,
    /// There is no such thread, it is not loaded, or it has had no turn yet; see [`RpcErrorKind::ThreadMissing`].
    ThreadMissing,
    /// The thread or its turn is in another state than the call needs: the thread is archived, not followed or in use by
    /// another process, or no turn runs, or another one does.
    Conflict,
    /// A policy of the provider or of the workspace forbids it, a budget is spent, or the client is an
    /// observer.
    Denied,
    /// The turn was interrupted.
    Interrupted,
    /// The connection or the thread has ended, or the server is shutting down.
    Closed,
    /// The answer was lost. The server may have carried the request out: check before you repeat
    /// it.
    Indeterminate,
    /// A deadline passed. The server may still carry the request out.
    Timeout,
    /// codex is not installed or cannot be started.
    Spawn,
    /// The call itself is wrong and fails again if it is repeated.
    Invalid,
    /// This version of the server, or this kind of thread, does not support it.
    Unsupported,
    /// What the server sent is not of the expected type.
    Decode,
    /// Events were dropped because a stream was read too slowly. The stream goes on.
    Lagged,
    /// Something failed inside the server.
    Internal,
    /// None of these.
    Other,
}

impl ErrorClass {
    /// Whether repeating the call after a pause is safe and may succeed: [`Overloaded`] and [`Unavailable`].
    ///
    /// [`RateLimited`] is not among them, since its pause is known or long. [`Timeout`] and [`Indeterminate`] are not, since
    /// the server may have carried the request out.
    ///
    /// [`Overloaded`]: Self::Overloaded
    /// [`Unavailable`]: Self::Unavailable
    /// [`RateLimited`]: Self::RateLimited
    /// [`Timeout`]: Self::Timeout
    /// [`Indeterminate`]: Self::Indeterminate
    #[must_use]
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Overloaded | Self::Unavailable)
    }

    /// The class of a failed connection.
    fn of_connect(kind: &ConnectErrorKind) -> Self {
        use ConnectErrorKind as Kind;
        match kind {
            Kind::NoServer | Kind::Stale | Kind::Refused | Kind::Silent { .. } | Kind::Io(_) => {
                Self::Unavailable
            }
            Kind::Token(_)
            | Kind::Unauthorized(_)
            | Kind::NotPermitted
            | Kind::OtherUser { .. } => Self::Auth,
            Kind::InUse | Kind::OtherServer { .. } => Self::Conflict,
            Kind::OldServer { .. } | Kind::Unsupported(_) => Self::Unsupported,
            _ => Self::Invalid,
        }
    }

    /// The class of a failure by the server's own code for it. An HTTP status is that of the
    /// model's provider.
    fn of_info(info: &CodexErrorInfo) -> Self {
        use CodexErrorInfo as Info;
        let status = match info {
            Info::ContextWindowExceeded => return Self::ContextWindow,
            Info::UsageLimitExceeded | Info::RateLimitExceeded => {
                return Self::RateLimited { resets_at: None };
            }
            Info::ServerOverloaded | Info::FlexUnavailable | Info::PolicyCapacityUnavailable => {
                return Self::Overloaded;
            }
            Info::InternalServerError => return Self::Unavailable,
            Info::Unauthorized => return Self::Auth,
            Info::ModelNotFound | Info::BadRequest => return Self::Invalid,
            Info::CyberPolicy
            | Info::MisalignmentPolicyViolation
            | Info::TooManyDenials
            | Info::InferenceHookDenied
            | Info::SessionBudgetExceeded => return Self::Denied,
            Info::ActiveTurnNotSteerable(_) => return Self::Conflict,
            Info::ThreadRollbackFailed | Info::SandboxError => return Self::Internal,
            Info::HttpConnectionFailed(failed) => failed.http_status_code,
            Info::ResponseStreamConnectionFailed(failed) => failed.http_status_code,
            Info::ResponseStreamDisconnected(failed) => failed.http_status_code,
            Info::ResponseTooManyFailedAttempts(failed) => failed.http_status_code,
            _ => return Self::Other,
        };
        match status {
            Some(401 | 403) => Self::Auth,
            Some(429) => Self::RateLimited { resets_at: None },
            Some(400..=499) => Self::Invalid,
            _ => Self::Unavailable,
        }
    }
}

impl Error {
    /// What the error means, whether it comes from a request, a start or a turn.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Spawn(error) => error.class(),
            Self::Connect(error) => ErrorClass::of_connect(&error.kind),
            // It waited for a place, and the server has not seen it.
            Self::NotSent { .. } => ErrorClass::Overloaded,
            // The server answered late or not at all, and has been ended: nothing was carried out.
            Self::Handshake(inner) => match inner.class() {
                ErrorClass::Timeout => ErrorClass::Unavailable,
                class => class,
            },
            Self::Rpc { source, .. } => source.class(),
            Self::Timeout { .. } => ErrorClass::Timeout,
            Self::Decode { .. } => ErrorClass::Decode,
            Self::Lagged { .. } => ErrorClass::Lagged,
            Self::Closed(_) => ErrorClass::Closed,
            Self::Indeterminate { .. } => ErrorClass::Indeterminate,
            Self::Turn(error) => error.class(),
            Self::NotFollowed { .. } | Self::NotPending { .. } => ErrorClass::Conflict,
            Self::Observer { .. } => ErrorClass::Denied,
            Self::NotJoinable { reason, .. } => match reason {
                JoinRefusal::NoTurnsYet => ErrorClass::Conflict,
                JoinRefusal::Ephemeral => ErrorClass::Unsupported,
            },
            Self::Encode { .. } | Self::Invalid(_) => ErrorClass::Invalid,
        }
    }

    /// Whether repeating the call after a pause is safe and may succeed; the same as [`ErrorClass::is_retryable`] of its
    /// class.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.class().is_retryable()
    }
}

impl RpcError {
    /// The class of the refusal. [`kind`](Self::kind) is more precise.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        let of_kind = match self.kind() {
            RpcErrorKind::UnknownMethod
            | RpcErrorKind::ExperimentalRequired { .. }
            | RpcErrorKind::Unsupported => ErrorClass::Unsupported,
            RpcErrorKind::InvalidParams
            | RpcErrorKind::NotInitialized
            | RpcErrorKind::AlreadyInitialized
            | RpcErrorKind::InputTooLarge { .. } => ErrorClass::Invalid,
            RpcErrorKind::ThreadMissing | RpcErrorKind::NoTurnsYet => ErrorClass::ThreadMissing,
            RpcErrorKind::Archived
            | RpcErrorKind::ActiveWriter
            | RpcErrorKind::NoActiveTurn
            | RpcErrorKind::TurnMismatch { .. }
            | RpcErrorKind::NotSteerable { .. }
            | RpcErrorKind::OutputSchemaMismatch => ErrorClass::Conflict,
            RpcErrorKind::AuthRequired => ErrorClass::Auth,
            RpcErrorKind::Draining => ErrorClass::Closed,
            RpcErrorKind::Overloaded => ErrorClass::Overloaded,
            RpcErrorKind::Internal => ErrorClass::Internal,
            RpcErrorKind::Other => ErrorClass::Other,
        };
        match (of_kind, self.info()) {
            (ErrorClass::Internal | ErrorClass::Other, Some(info)) => ErrorClass::of_info(&info),
            (class, _) => class,
        }
    }

    /// The server's own code for the failure, if the refusal carries a `TurnError`.
    fn info(&self) -> Option<CodexErrorInfo> {
        let info = self.data.as_ref()?.get("codexErrorInfo")?;
        crate::protocol::from_value(info).ok()
    }
}

impl TurnError {
    /// The class of the turn's end.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match &self.kind {
            TurnErrorKind::Failed => match &self.outcome.failure {
                Some(failure) => failure.class(),
                None => ErrorClass::Other,
            },
            TurnErrorKind::Interrupted => ErrorClass::Interrupted,
            TurnErrorKind::Closed(_) | TurnErrorKind::ThreadClosed => ErrorClass::Closed,
            TurnErrorKind::DeadlinePassed { .. } => ErrorClass::Timeout,
            TurnErrorKind::AnswerMismatch { .. } => ErrorClass::Decode,
        }
    }
}

impl TurnFailure {
    /// The class of the failure.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        let class = self.info.as_ref().map(ErrorClass::of_info);
        match class {
            Some(ErrorClass::RateLimited { .. }) => ErrorClass::RateLimited {
                resets_at: self.resets_at,
            },
            // Failures that the server has no code for.
            None | Some(ErrorClass::Other) => {
                let starts = |text: &str| self.message.starts_with(text);
                if starts("stream disconnected before completion") {
                    ErrorClass::Unavailable
                } else if starts("auth refresh ") || starts("invalid auth refresh response") {
                    ErrorClass::Auth
                } else {
                    ErrorClass::Other
                }
            }
            Some(class) => class,
        }
    }
}

impl SpawnError {
    /// The class of the failure: [`ErrorClass::Unavailable`] if another codex was using the
    /// databases of the same home, or if the executable could not be started just then, as while an
    /// update replaces it; else [`ErrorClass::Spawn`].
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        let passes = match self {
            Self::Exited { reason, .. } => lost_its_home(&reason.stderr_tail),
            Self::Io { source, .. } => matches!(
                source.kind(),
                ErrorKind::ExecutableFileBusy | ErrorKind::WouldBlock
            ),
            Self::NotFound { .. } | Self::NodeMissing { .. } | Self::Registry { .. } => false,
        };
        if passes {
            ErrorClass::Unavailable
        } else {
            ErrorClass::Spawn
        }
    }
}

/// What codex prints before it exits because another codex holds a database of the same home, or is migrating it.
const LOST: [&str; 5] = [
    "database is locked",
    "database table is locked",
    "another Codex process is using its local data",
    "failed to initialize sqlite state runtime",
    "failed to migrate state DB",
];

/// What it prints beside that if no further attempt will help.
const FOR_GOOD: [&str; 6] = [
    "unable to open database file",
    "attempt to write a readonly database",
    "database disk image is malformed",
    "file is not a database",
    "database or disk is full",
    "Permission denied",
];

/// Whether a start that printed this and exited may succeed if it is repeated.
#[must_use]
pub fn lost_its_home(stderr: &str) -> bool {
    let says = |texts: &[&str]| texts.iter().any(|text| stderr.contains(text));
    says(&LOST) && !says(&FOR_GOOD)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of_info(info: &serde_json::Value, message: &str) -> ErrorClass {
        let failure = TurnFailure {
            message: message.to_owned(),
            info: crate::protocol::from_value(info).ok(),
            details: None,
            resets_at: None,
        };
        failure.class()
    }

    #[test]
    fn a_failure_has_the_same_class_as_a_turns_and_as_a_requests() {
        let limited = ErrorClass::RateLimited { resets_at: None };
        for (info, class) in [
            (json!("usageLimitExceeded"), limited),
            (json!("contextWindowExceeded"), ErrorClass::ContextWindow),
            (json!("serverOverloaded"), ErrorClass::Overloaded),
            (json!("unauthorized"), ErrorClass::Auth),
            (json!("cyberPolicy"), ErrorClass::Denied),
            (
                json!({"httpConnectionFailed": {"httpStatusCode": 401}}),
                ErrorClass::Auth,
            ),
            (
                json!({"httpConnectionFailed": {"httpStatusCode": 502}}),
                ErrorClass::Unavailable,
            ),
            (
                json!({"responseTooManyFailedAttempts": {"httpStatusCode": 429}}),
                limited,
            ),
            (
                json!({"responseStreamDisconnected": {"httpStatusCode": null}}),
                ErrorClass::Unavailable,
            ),
        ] {
            assert_eq!(of_info(&info, "m"), class, "{info}");
            let data = json!({"message": "m", "codexErrorInfo": info});
            let refusal = RpcError::new(-32603, "m", Some(data));
            assert_eq!(refusal.class(), class, "{info}");
        }
        let broken = of_info(&json!("other"), "stream disconnected before completion: x");
        assert_eq!(broken, ErrorClass::Unavailable);
        assert_eq!(of_info(&json!("news"), "m"), ErrorClass::Other);
    }

    #[test]
    fn a_home_that_is_busy_is_told_from_one_that_is_broken() {
        for (stderr, lost) in [
            (
                "error returned from database: (code: 5) database is locked",
                true,
            ),
            (
                "Error: failed to initialize sqlite state runtime under /h: failed to initialize state runtime at /h",
                true,
            ),
            (
                "failed to migrate state DB: (code: 1) duplicate column name: originator",
                true,
            ),
            (
                "failed to initialize sqlite state runtime under /h: (code: 14) unable to open database file",
                false,
            ),
            (
                "failed to initialize sqlite state runtime: (code: 11) database disk image is malformed",
                false,
            ),
            ("error: unexpected argument", false),
        ] {
            assert_eq!(lost_its_home(stderr), lost, "{stderr}");
        }
    }
}
