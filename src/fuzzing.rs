//! Doors to the engine for the fuzz targets, in builds with `--cfg fuzzing` only. Not a part of the API.

#[cfg(feature = "cli")]
pub use crate::proxy::fuzzing::Proxy;

use crate::{
    Decision, Policy,
    handlers::policy::{Facts, Ruling},
};

/// What the rules of a policy decide about the params of a request to approve a command.
#[must_use]
pub fn ruled(policy: &Policy, params: &str) -> Option<Decision> {
    let facts = Facts::read("item/commandExecution/requestApproval", params, None);
    policy
        .decide(&facts)
        .map(|Ruling { decision, .. }| decision)
}
