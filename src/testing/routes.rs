//! The routes of the scripted model besides model requests, which a logged-in codex uses.

use std::collections::HashMap;

use axum::http::Method;
use serde_json::{Value, json};

/// The account and the plan of the default routes.
pub(super) const ACCOUNT: (&str, &str) = ("org-1", "pro");

/// The answers by route, and the number of calls of each.
#[derive(Debug)]
pub(super) struct Routes {
    answers: HashMap<Key, (u16, Value)>,
    calls: HashMap<Key, usize>,
}

type Key = (Method, String);

impl Routes {
    pub(super) fn new() -> Self {
        let mut routes = Self {
            answers: HashMap::new(),
            calls: HashMap::new(),
        };
        routes.set(Method::GET, "/v1/models", 200, json!({ "models": [] }));
        routes.set(
            Method::GET,
            "/backend-api/wham/settings/user",
            200,
            json!({}),
        );
        // Codex tolerates this. Without a route the request would count as unexpected.
        routes.set(
            Method::GET,
            "/backend-api/wham/rate-limit-reset-credits",
            404,
            json!({ "detail": "not found" }),
        );
        routes.set_account(ACCOUNT.0, ACCOUNT.1);
        routes
    }

    pub(super) fn set(&mut self, method: Method, path: &str, status: u16, body: Value) {
        self.answers
            .insert((method, path.to_owned()), (status, body));
    }

    /// Sets the one account of the backend, with unused rate limits.
    pub(super) fn set_account(&mut self, id: &str, plan: &str) {
        let check = json!({
            "accounts": [{
                "id": id, "name": "Mock workspace", "structure": "workspace", "plan_type": plan,
                "is_deactivated": false, "can_access_with_session": true,
                "profile_picture_url": null, "sso_connection_name": null, "is_fedramp_compliant_workspace": false,
                // Codex requires an https origin here, but keeps using its `chatgpt_base_url`.
                "workspace_backend_origin": "https://chatgpt.com", "account_routing_override": "NO_CONSTRAINT",
            }],
            "account_ordering": [id], "default_account_id": id,
        });
        let usage = json!({
            "account_id": id, "plan_type": plan,
            "rate_limit": {
                "allowed": true, "limit_reached": false,
                "primary_window": {
                    "used_percent": 0, "limit_window_seconds": 18_000, "reset_after_seconds": 18_000, "reset_at": 2_000_000_000,
                },
                "secondary_window": {
                    "used_percent": 0, "limit_window_seconds": 604_800, "reset_after_seconds": 604_800, "reset_at": 2_000_000_000,
                },
            },
            "credits": { "has_credits": false, "unlimited": false, "balance": null },
            "rate_limit_reached_type": null, "additional_rate_limits": [],
        });
        self.set(Method::GET, "/backend-api/wham/accounts/check", 200, check);
        self.set(Method::GET, "/backend-api/wham/usage", 200, usage);
    }

    /// Counts a call and returns its answer.
    pub(super) fn answer(&mut self, method: Method, path: &str) -> Option<(u16, Value)> {
        let key = (method, path.to_owned());
        let answer = self.answers.get(&key).cloned();
        *self.calls.entry(key).or_default() += 1;
        answer
    }

    pub(super) fn calls(&self, method: Method, path: &str) -> usize {
        self.calls
            .get(&(method, path.to_owned()))
            .copied()
            .unwrap_or_default()
    }
}
