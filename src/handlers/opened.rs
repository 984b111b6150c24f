//! Checks of an opened thread: whether its handlers can be reached, and whether its tools are the
//! same.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

use super::{policy::Policy, set::Handlers, tools};
use crate::{
    client::handle::CasClient,
    error::Error,
    protocol::{self, DynamicToolSpec},
};

/// The response to a request that opens a thread.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Opened {
    thread: Thread,
    #[serde(default)]
    approval_policy: Value,
}

#[derive(Deserialize)]
struct Thread {
    id: String,
    path: Option<PathBuf>,
}

impl CasClient {
    /// The tools to advertise on `thread/start`.
    pub(crate) fn advertised(&self) -> Result<Option<Vec<DynamicToolSpec>>, Error> {
        let handlers = self.handlers();
        let tools = &handlers.tools;
        tools.check()?;
        let specs = tools.specs();
        if specs.is_some() && !self.experimental_api() {
            let text = "tools are experimental; call `experimental_api(true)` on the builder to start threads with them";
            return Err(Error::Invalid(text.to_owned()));
        }
        let specs = specs.as_ref().map(protocol::from_value);
        specs
            .transpose()
            .map_err(|e| Error::encode("thread/start", &e))
    }

    /// Warns if something about a newly opened thread won't be as its handlers expect.
    pub(crate) async fn warn_of_opened(&self, method: &str, result: &str) {
        let Ok(opened) = serde_json::from_str::<Opened>(result) else {
            return;
        };
        let thread = opened.thread.id;
        for what in unreachable(&self.handlers(), &opened.approval_policy) {
            let policy = &opened.approval_policy;
            tracing::warn!(
                target: "cas_sdk",
                thread,
                "the approval policy {policy} of the thread keeps the server from asking: no {what} will reach the handlers"
            );
        }
        let Some(path) = opened.thread.path.filter(|_| method != "thread/start") else {
            return;
        };
        let specs = self.handlers().tools.specs();
        let compared =
            tokio::task::spawn_blocking(move || tools::differences(&path, specs.as_ref()));
        for difference in compared.await.unwrap_or_default() {
            tracing::warn!(target: "cas_sdk", thread, "{difference}");
        }
    }
}

/// What the server won't ask under an approval policy, although a handler would answer.
fn unreachable(handlers: &Handlers, policy: &Value) -> Vec<&'static str> {
    let never = policy == "never";
    let off = |key: &str| never || policy["granular"][key] == false;
    let approvals = handlers
        .approvals
        .as_ref()
        .is_some_and(Policy::wants_to_be_asked);
    let mut found = Vec::new();
    if approvals && off("sandbox_approval") && off("rules") {
        found.push("approvals of commands and changes of files");
    }
    if approvals && off("request_permissions") {
        found.push("requests for permissions");
    }
    if (approvals || handlers.elicitation.is_some()) && off("mcp_elicitations") {
        found.push("elicitations of MCP servers");
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::handlers::policy::Rule;

    #[test]
    fn handlers_that_cannot_be_reached_are_named() {
        let auto = Handlers::new().approvals(Policy::auto());
        assert_eq!(unreachable(&auto, &json!("never")).len(), 3);
        assert_eq!(unreachable(&auto, &json!("on-request")), [""; 0]);
        let granular = json!({"granular": {"sandbox_approval": true, "rules": false, "mcp_elicitations": false, "request_permissions": true}});
        assert_eq!(
            unreachable(&auto, &granular),
            ["elicitations of MCP servers"]
        );
        let nobody =
            Handlers::new().approvals(Policy::decline().rule(Rule::decline().command("rm")));
        assert_eq!(
            unreachable(&nobody, &json!("never")),
            [""; 0],
            "what refuses need not be asked"
        );
        assert_eq!(unreachable(&Handlers::new(), &json!("never")), [""; 0]);
    }
}
