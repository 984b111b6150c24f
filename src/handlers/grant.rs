//! `Grant`: the permissions that an agent gets.

use super::decision::Decision;
use crate::protocol::{
    GrantedPermissionProfile, PermissionGrantScope, PermissionsRequestApprovalParams,
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
