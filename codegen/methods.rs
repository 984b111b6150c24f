//! Finds the params and response types of methods. The schema links a request to its response only
//! by names.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    load::{self, Bundle, Kind, Params},
    model::{Method, Model},
    names::{self, Names},
    sharing,
};

/// Responses that no rule finds. `account/rateLimits/read` is needed for schemas without its
/// params.
const RESPONSES: [(&str, &str); 11] = [
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
    ("modelProvider/default/set", "ConfigWriteResponse"),
    ("config/mcpServer/reload", "McpServerRefreshResponse"),
    (
        "externalAgentConfig/import/readHistories",
        "ExternalAgentConfigImportHistoriesReadResponse",
    ),
];

/// Binds the methods of a bundle to the types of the model. Returns those with an unknown response.
pub(crate) fn bind<'a>(
    bundle: &'a Bundle,
    stable_methods: &BTreeSet<String>,
    model: &mut Model,
) -> Vec<&'a str> {
    let mut unbound = Vec::new();
    let mut units = Vec::new();
    let mut variants: BTreeMap<Kind, Names> = BTreeMap::new();
    sharing::own_types(&bundle.methods, model);
    let newtypes = sharing::newtypes(&bundle.methods, model);
    for method in &bundle.methods {
        let answered = matches!(method.kind, Kind::Request | Kind::ServerRequest);
        let newtype = newtypes.get(&(method.kind, method.name.as_str()));
        let mut response = response(method, newtype.is_some(), model).filter(|_| answered);
        if answered && response.is_none() {
            unbound.push(method.name.as_str());
            response = Some("Value".into());
        }
        let no_params = method.params == Params::None && method.kind != Kind::ClientNotification;
        let params = match &method.params {
            Params::Type { name, .. } => Some(newtype.unwrap_or(name).clone()),
            Params::None if no_params => {
                let taken = model.types.keys().chain(units.iter());
                let name = Names::of(taken).take(&names::params(&method.name));
                units.push(name.clone());
                Some(name)
            }
            Params::None => None,
        };
        model.methods.push(Method {
            name: method.name.clone(),
            kind: method.kind,
            experimental: method.kind != Kind::ClientNotification
                && !stable_methods.contains(&method.name),
            doc: method.doc.clone(),
            params,
            no_params,
            response,
            variant: variants
                .entry(method.kind)
                .or_insert_with(|| Names::of([String::from("Unknown")].iter()))
                .take(&names::method(&method.name)),
            kept: method.kept,
        });
    }
    let (sent, roots): (Vec<_>, Vec<_>) = model
        .methods
        .iter()
        .partition(|method| method.kind == Kind::Request);
    let roots = roots
        .into_iter()
        .filter(|method| method.kind == Kind::ServerRequest);
    let made = bundle.made.iter();
    let made = made.filter(|name| model.types.contains_key(*name));
    let roots = sent
        .iter()
        .filter_map(|method| method.params.clone())
        .chain(roots.filter_map(|method| method.response.clone()))
        .chain(made.cloned());
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
    unbound
}

/// A method that shares the params type of another one may also share its response type.
fn response(method: &load::Method, borrows: bool, model: &Model) -> Option<String> {
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
    let by_names = if borrows {
        [Some(by_method), by_params]
    } else {
        [by_params, Some(by_method)]
    };
    std::iter::once(by_table)
        .chain(by_names)
        .flatten()
        .find(|name| model.types.contains_key(name))
}
