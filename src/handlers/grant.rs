//! `Grant`: the permissions that an agent gets.

use serde_json::Value;

use super::decision::Decision;
use crate::protocol::{
    self, GrantedPermissionProfile, PermissionGrantScope, PermissionsRequestApprovalParams,
    PermissionsRequestApprovalResponse, RequestPermissionProfile,
};

/// The permissions to grant: those of the request, a part of them, or none.
#[derive(Debug, Clone)]
#[must_use]
pub struct Grant {
    permissions: GrantedPermissionProfile,
    for_session: bool,
}

impl Grant {
    /// Grants no permissions.
    pub fn nothing() -> Self {
        Self::of(GrantedPermissionProfile::default())
    }

    /// Grants all permissions that the request asks for, until the turn ends.
    pub fn all(request: &PermissionsRequestApprovalParams) -> Self {
        Self::of(request.permissions.clone())
    }

    /// Grants these permissions, until the turn ends: a [`GrantedPermissionProfile`], or the
    /// `permissions` of the request with some of them removed.
    pub fn of(permissions: impl Into<GrantedPermissionProfile>) -> Self {
        Self {
            permissions: permissions.into(),
            for_session: false,
        }
    }

    /// Grants the permissions until the session ends, instead of the turn.
    pub fn for_session(mut self) -> Self {
        self.for_session = true;
        self
    }

    /// Whether nothing is granted.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.permissions.file_system.is_none() && self.permissions.network.is_none()
    }

    /// Whether everything that is granted was requested.
    pub(crate) fn is_within(&self, asked: &RequestPermissionProfile) -> bool {
        let json = [
            protocol::to_value(&self.permissions),
            protocol::to_value(asked),
        ];
        matches!(&json, [Ok(granted), Ok(asked)] if is_within(granted, asked))
    }

    /// All of the requested permissions, or none.
    pub(crate) fn decided(decision: &Decision, asked: &RequestPermissionProfile) -> Self {
        match decision {
            Decision::Accept => Self::of(asked.clone()),
            _ if decision.accepts() => Self::of(asked.clone()).for_session(),
            _ => Self::nothing(),
        }
    }

    pub(crate) fn into_json(self) -> Result<String, serde_json::Error> {
        let for_session = self.for_session && !self.is_nothing();
        let mut response = PermissionsRequestApprovalResponse::new(self.permissions);
        if for_session {
            response = response.scope(PermissionGrantScope::Session);
        }
        serde_json::to_string(&response)
    }
}

impl From<RequestPermissionProfile> for GrantedPermissionProfile {
    fn from(asked: RequestPermissionProfile) -> Self {
        Self {
            file_system: asked.file_system,
            network: asked.network,
        }
    }
}

/// Whether a JSON value has nothing that another has not.
fn is_within(value: &Value, asked: &Value) -> bool {
    match (value, asked) {
        (Value::Null | Value::Bool(false), _) => true,
        (Value::Array(parts), Value::Array(asked)) => parts.iter().all(|p| asked.contains(p)),
        (Value::Array(parts), _) => parts.is_empty(),
        (Value::Object(members), asked) => members
            .iter()
            .all(|(key, value)| is_within(value, &asked[key])),
        (value, asked) => value == asked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_grant_is_within_a_request_if_each_part_of_it_was_requested() {
        let asked = json!({"fileSystem": {"read": ["/a", "/b"]}, "network": {"enabled": true}});
        for within in [
            json!({}),
            json!({"network": null}),
            json!({"network": {"enabled": false}, "fileSystem": {"read": []}}),
            json!({"fileSystem": {"read": ["/b"]}}),
            asked.clone(),
        ] {
            assert!(is_within(&within, &asked), "{within}");
        }
        for wider in [
            json!({"fileSystem": {"read": ["/c"]}}),
            json!({"fileSystem": {"write": ["/a"]}}),
            json!({"fileSystem": {"read": ["/a"], "globScanMaxDepth": 3}}),
        ] {
            assert!(!is_within(&wider, &asked), "{wider}");
        }
        assert!(!is_within(&asked, &json!({"network": {"enabled": null}})));
    }
}
