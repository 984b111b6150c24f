//! The wire types, generated from the schema at build time, and the traits that tie them to their methods.

use serde::{Serialize, de::DeserializeOwned};

/// The params of a client request: names the method and fixes the type of its response.
pub trait Call: Serialize {
    /// The method on the wire, as in `thread/start`.
    const METHOD: &'static str;
    /// Whether the server refuses the method unless `experimentalApi` was negotiated.
    const EXPERIMENTAL: bool;
    /// What the server answers.
    type Response: DeserializeOwned + Send + 'static;
}

/// The payload of a notification from the server.
pub trait Notification: DeserializeOwned + Send + Sync + 'static {
    /// The methods that carry this payload; almost always one.
    const METHODS: &'static [&'static str];
}

/// The params of a request from the server: names the method and fixes the type of the answer.
pub trait ServerCall: DeserializeOwned + Send + 'static {
    /// The method on the wire, as in `item/tool/call`.
    const METHOD: &'static str;
    /// What the server expects back.
    type Response: Serialize + Send + 'static;
}
// TEMP stubs until codegen lands
use serde::Deserialize;
macro_rules! st { ($($n:ident),*) => { $(#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)] pub struct $n {})* } }
st!(TurnSteerParams, TurnSteerResponse, ExperimentalFeatureListParams, ExperimentalFeatureListResponse, ThreadForkParams, ThreadStartParams, ThreadResumeParams, ThreadItem, ThreadTokenUsage, CodexErrorInfo, UserInput, ReasoningEffort, AskForApproval, SandboxPolicy, ModelListParams);
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)] pub struct Thread {}
macro_rules! call { ($p:ident, $r:ty, $m:literal) => { impl Call for $p { const METHOD: &'static str = $m; const EXPERIMENTAL: bool = false; type Response = $r; } } }
call!(TurnSteerParams, TurnSteerResponse, "turn/steer");
call!(ExperimentalFeatureListParams, ExperimentalFeatureListResponse, "experimentalFeature/list");
call!(ThreadStartParams, serde_json::Value, "thread/start");
call!(ThreadResumeParams, serde_json::Value, "thread/resume");
call!(ThreadForkParams, serde_json::Value, "thread/fork");
call!(ModelListParams, serde_json::Value, "model/list");
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)] #[serde(rename_all="camelCase")] pub enum TurnStatus { Completed, Interrupted, Failed, InProgress }
impl std::fmt::Display for TurnStatus { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { write!(f, "{self:?}") } }
#[derive(Debug)] pub enum ServerNotification { Unknown }
impl ServerNotification { pub fn decode(_m: &str, _p: &str) -> Result<Self, serde_json::Error> { Ok(Self::Unknown) } }
