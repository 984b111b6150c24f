//! Handlers for the server's requests: one trait for each kind of request, and the context that
//! every handler gets.

mod answer;
mod approvals;
mod attestation;
mod auth;
mod client;
mod clock;
mod context;
mod decision;
pub(crate) mod dispatch;
mod elicitation;
mod error;
mod explicit;
mod fallback;
mod grant;
pub(crate) mod method;
mod opened;
pub(crate) mod policy;
mod request;
mod set;
pub(crate) mod tools;
mod uncalled;
mod user_code;
mod user_input;

pub use approvals::{ApprovalRequest, Approvals, FileChangeApproval, SkillApproval};
pub use attestation::Attestation;
pub use auth::{AuthRefresh, ChatgptTokens, RefreshRequest};
pub use clock::Clock;
pub use context::RequestContext;
pub use decision::Decision;
pub use dispatch::{PendingRequest, PendingRequestChange, PendingRequestChanges, Settled};
pub use elicitation::{
    Elicitation, ElicitationAnswer, ElicitationAsk, ElicitationRequest, McpToolCall, Persist,
};
pub use error::HandlerError;
pub(crate) use error::with_sources;
pub use explicit::RequestAnswer;
pub use fallback::{Fallback, Responder, UnclaimedRequest, UnclaimedRequests};
pub use grant::Grant;
pub use set::Handlers;
pub use user_input::{Answers, UserInput};
