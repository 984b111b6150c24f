//! Methods → their params and response types. The schema does not link a request to its response; names do.

use super::{
    Error, Result,
    load::{self, Bundle, Kind, Params},
    model::{Method, Model},
    names,
    source::Source,
};

/// Responses that no rule finds; `account/rateLimits/read` only in schemas before it took params.
const RESPONSES: [(&str, &str); 10] = [
    ("account/rateLimits/read", "GetAccountRateLimitsResponse"),
    ("account/gatewayOAuth/cancel", "GatewayOAuthCancelResponse"),
    ("account/logout", "LogoutAccountResponse"),
    (
        "account/securitySetup/read",
        "GetAccountSecuritySetupResponse",
    ),
    (
        "account/workspaceMessages/read",
        "GetWorkspaceMessagesResponse",
    ),
    ("accountSession/list", "AccountSessionsResponse"),
    ("config/batchWrite", "ConfigWriteResponse"),
    ("config/value/write", "ConfigWriteResponse"),
    ("config/mcpServer/reload", "McpServerRefreshResponse"),
    (
        "externalAgentConfig/import/readHistories",
        "ExternalAgentConfigImportHistoriesReadResponse",
    ),
];

/// Ties the bundle's methods to the model's types; returns warnings.
pub(crate) fn bind(bundle: &Bundle, source: &Source, model: &mut Model) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    let mut unbound = Vec::new();
    for method in &bundle.methods {
        let answered = matches!(method.kind, Kind::Request | Kind::ServerRequest);
        let mut response = response(method, model).filter(|_| answered);
        if answered && response.is_none() {
            unbound.push(method.name.as_str());
            warnings.push(format!(
                "{}: no type known for the response of {}; it is a plain JSON value",
                source.origin, method.name
            ));
            response = Some("Value".into());
        }
        let no_params = method.params == Params::None && answered;
        let params = match &method.params {
            Params::Type { name, .. } => Some(name.clone()),
            Params::None => no_params.then(|| format!("{}Params", names::method(&method.name))),
        };
        if no_params
            && params
                .as_ref()
                .is_some_and(|name| model.types.contains_key(name))
        {
            return Err(Error::new(format!(
                "the name of the params of {} is taken",
                method.name
            )));
        }
        model.methods.push(Method {
            name: method.name.clone(),
            kind: method.kind,
            experimental: method.kind != Kind::ClientNotification
                && !source.stable_methods.contains(&method.name),
            doc: method.doc.clone(),
            params,
            no_params,
            response,
        });
    }
    if source.vendored && !unbound.is_empty() {
        return Err(Error::new(format!(
            "no response type known for {}; add it to RESPONSES in codegen/methods.rs",
            unbound.join(", "),
        )));
    }
    let (sent, roots): (Vec<_>, Vec<_>) = model
        .methods
        .iter()
        .partition(|method| method.kind == Kind::Request);
    let roots = roots
        .into_iter()
        .filter(|method| method.kind == Kind::ServerRequest);
    let roots = sent
        .iter()
        .filter_map(|method| method.params.clone())
        .chain(roots.filter_map(|method| method.response.clone()));
    let roots: Vec<String> = roots.collect();
    let sent: Vec<String> = model
        .reachable(roots.iter().map(String::as_str))
        .into_iter()
        .map(String::from)
        .collect();
    for name in sent {
        if let Some(ty) = model.types.get_mut(&name) {
            ty.sent = true;
        }
    }
    Ok(warnings)
}

fn response(method: &load::Method, model: &Model) -> Option<String> {
    let by_params = match &method.params {
        Params::Type { name, .. } => name
            .strip_suffix("Params")
            .map(|stem| format!("{stem}Response")),
        Params::None => None,
    };
    let by_method = format!("{}Response", names::method(&method.name));
    let by_table = RESPONSES
        .iter()
        .find(|(name, _)| *name == method.name)
        .map(|(_, response)| (*response).to_owned());
    [by_table, by_params, Some(by_method)]
        .into_iter()
        .flatten()
        .find(|name| model.types.contains_key(name))
}
