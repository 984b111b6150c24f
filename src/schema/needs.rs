//! `Needs`: the methods, fields and values that a program needs of a server.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// One part of the protocol that a program needs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Need {
    /// A method of either side, such as `thread/start` or `item/tool/call`.
    Method(String),
    /// A field of a type, such as `ThreadStartParams.cwd`.
    Field {
        /// The name of the type in the schema.
        ty: String,
        /// The name of the field on the wire.
        field: String,
    },
    /// A value of an enum, such as `SandboxMode = "read-only"`.
    Value {
        /// The name of the type in the schema.
        ty: String,
        /// The value on the wire.
        value: String,
    },
    /// A variant of a union, such as `UserInput type=text`.
    Variant {
        /// The name of the type in the schema.
        ty: String,
        /// The field that names the variant.
        tag: String,
        /// Its value.
        value: String,
    },
    /// A request: its method, and each field and value in its params.
    Request {
        /// The method.
        method: String,
        /// The params.
        params: Value,
    },
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Method(method) | Self::Request { method, .. } => f.write_str(method),
            Self::Field { ty, field } => write!(f, "{ty}.{field}"),
            Self::Value { ty, value } => write!(f, "{ty} = {value:?}"),
            Self::Variant { ty, tag, value } => write!(f, "{ty} {tag}={value}"),
        }
    }
}

/// A list of the parts of the protocol that a program needs, for [`contract`](super::contract).
///
/// ```
/// use cas_sdk::schema::{Needs, Profile};
/// use serde_json::json;
///
/// let needs = Needs::from(Profile::Core)
///     .method("thread/compact/start")
///     .value("SandboxMode", "workspace-write")
///     .request("thread/start", &json!({"approvalPolicy": "never", "ephemeral": true}));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct Needs(pub(super) Vec<Need>);

impl Needs {
    /// Creates an empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the needs of a profile.
    pub fn profile(mut self, profile: Profile) -> Self {
        self.0.extend(profile.needs());
        self
    }

    /// Adds a method, of the client or of the server.
    pub fn method(mut self, method: impl Into<String>) -> Self {
        self.0.push(Need::Method(method.into()));
        self
    }

    /// Adds a field, such as `field("ThreadStartParams", "cwd")`.
    pub fn field(mut self, ty: impl Into<String>, field: impl Into<String>) -> Self {
        let (ty, field) = (ty.into(), field.into());
        self.0.push(Need::Field { ty, field });
        self
    }

    /// Adds a value that the program sends, such as `value("AskForApproval", "never")`.
    pub fn value(mut self, ty: impl Into<String>, value: impl Into<String>) -> Self {
        let (ty, value) = (ty.into(), value.into());
        self.0.push(Need::Value { ty, value });
        self
    }

    /// Adds a variant of a union, such as `variant("UserInput", "type", "text")`.
    pub fn variant(
        mut self,
        ty: impl Into<String>,
        tag: impl Into<String>,
        value: impl Into<String>,
    ) -> Self {
        let (ty, tag, value) = (ty.into(), tag.into(), value.into());
        self.0.push(Need::Variant { ty, tag, value });
        self
    }

    /// Adds a request that the program sends. Every field and every enum value in `params` is
    /// looked up. Params that cannot be written as JSON count as none.
    pub fn request(mut self, method: impl Into<String>, params: &impl Serialize) -> Self {
        let method = method.into();
        let params = serde_json::to_value(params).unwrap_or_default();
        self.0.push(Need::Request { method, params });
        self
    }
}

impl From<Profile> for Needs {
    fn from(profile: Profile) -> Self {
        Self::new().profile(profile)
    }
}

impl FromIterator<Need> for Needs {
    fn from_iter<I: IntoIterator<Item = Need>>(needs: I) -> Self {
        Self(needs.into_iter().collect())
    }
}

/// The needs of one kind of program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Profile {
    /// Threads, turns, steering, interrupting, approvals.
    Core,
    /// Dynamic tools, and questions of the model to the user.
    Tools,
    /// Reviews.
    Review,
    /// Goals of threads.
    Goals,
    /// Reading stored sessions.
    Mining,
    /// Sharing a server with other clients.
    Live,
}

impl Profile {
    /// All profiles.
    pub const ALL: [Self; 6] = [
        Self::Core,
        Self::Tools,
        Self::Review,
        Self::Goals,
        Self::Mining,
        Self::Live,
    ];

    /// The name that `cas preflight --profile` takes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Tools => "tools",
            Self::Review => "review",
            Self::Goals => "goals",
            Self::Mining => "mining",
            Self::Live => "live",
        }
    }

    /// One need per line: a method, `Type.field`, `Type = "value"` or `Type tag=value`.
    fn needs(self) -> impl Iterator<Item = Need> {
        let text = match self {
            Self::Core => CORE,
            Self::Tools => TOOLS,
            Self::Review => REVIEW,
            Self::Goals => GOALS,
            Self::Mining => MINING,
            Self::Live => LIVE,
        };
        text.lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(read)
    }
}

fn read(line: &str) -> Need {
    if let Some((ty, value)) = line.split_once(" = ") {
        let (ty, value) = (ty.to_owned(), value.trim_matches('"').to_owned());
        return Need::Value { ty, value };
    }
    if let Some((ty, variant)) = line.split_once(' ') {
        let (tag, value) = variant.split_once('=').unwrap_or((variant, ""));
        let (ty, tag, value) = (ty.to_owned(), tag.to_owned(), value.to_owned());
        return Need::Variant { ty, tag, value };
    }
    match line.split_once('.') {
        Some((ty, field)) => Need::Field {
            ty: ty.to_owned(),
            field: field.to_owned(),
        },
        None => Need::Method(line.to_owned()),
    }
}

const CORE: &str = r#"
    initialize
    initialized
    thread/start
    thread/resume
    thread/fork
    thread/read
    turn/start
    turn/steer
    turn/interrupt
    thread/started
    thread/status/changed
    turn/started
    turn/completed
    item/started
    item/completed
    item/agentMessage/delta
    thread/tokenUsage/updated
    error
    serverRequest/resolved
    item/commandExecution/requestApproval
    item/fileChange/requestApproval
    item/permissions/requestApproval
    ThreadStartParams.cwd
    ThreadStartParams.model
    ThreadStartParams.approvalPolicy
    ThreadStartParams.sandbox
    ThreadResumeParams.threadId
    ThreadForkParams.threadId
    TurnStartParams.threadId
    TurnStartParams.input
    TurnSteerParams.threadId
    TurnSteerParams.expectedTurnId
    TurnInterruptParams.threadId
    TurnInterruptParams.turnId
    UserInput type=text
    UserInput type=localImage
    AskForApproval = "never"
    AskForApproval = "on-request"
    SandboxMode = "read-only"
    SandboxMode = "workspace-write"
    SandboxMode = "danger-full-access"
    TurnStatus = "completed"
    TurnStatus = "interrupted"
    TurnStatus = "failed"
    CommandExecutionApprovalDecision = "accept"
    CommandExecutionApprovalDecision = "decline"
    FileChangeApprovalDecision = "accept"
    FileChangeApprovalDecision = "decline"
"#;

const TOOLS: &str = r"
    item/tool/call
    item/tool/requestUserInput
    ThreadStartParams.dynamicTools
    DynamicToolCallParams.tool
    DynamicToolCallParams.arguments
    DynamicToolCallParams.callId
    DynamicToolCallResponse.success
    DynamicToolCallResponse.contentItems
    ToolRequestUserInputResponse.answers
";

const REVIEW: &str = r"
    review/start
    ReviewStartParams.threadId
    ReviewStartParams.target
    ReviewTarget type=uncommittedChanges
    ReviewTarget type=baseBranch
    ReviewTarget type=commit
    ReviewTarget type=custom
";

const GOALS: &str = r"
    thread/goal/set
    thread/goal/get
    thread/goal/clear
    ThreadGoalSetParams.threadId
    ThreadGoalSetParams.objective
    ThreadGoalSetParams.tokenBudget
";

const MINING: &str = r"
    thread/list
    thread/read
    thread/turns/list
    ThreadListParams.cursor
    ThreadListParams.limit
    ThreadListResponse.nextCursor
    ThreadReadParams.threadId
    ThreadTurnsListParams.threadId
    ThreadTurnsListParams.cursor
";

const LIVE: &str = r"
    thread/loaded/list
    thread/resume
    thread/unsubscribe
    thread/status/changed
    serverRequest/resolved
    ThreadUnsubscribeParams.threadId
";
