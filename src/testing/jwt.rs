//! `jwt()`: an access token in the form of ChatGPT's.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

/// Creates an access token for a login with externally managed ChatGPT tokens
/// (`account/login/start` of type `chatgptAuthTokens`).
///
/// Codex decodes such tokens without checking them, so this one is unsigned. It is valid for an
/// hour, and no two calls return the same token. [`MockModel`](super::MockModel) has the account
/// `org-1` with the plan `pro` unless another one is set.
///
/// ```
/// let old = cas_sdk::testing::jwt("org-1", "pro");
/// let new = cas_sdk::testing::jwt("org-1", "pro");
/// assert_ne!(old, new);
/// ```
#[must_use]
pub fn jwt(account_id: &str, plan: &str) -> String {
    static SERIAL: AtomicU64 = AtomicU64::new(1);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let header = json!({ "alg": "none", "typ": "JWT" });
    let payload = json!({
        "email": "user@example.com",
        "iat": now,
        "exp": now + 3600,
        "jti": SERIAL.fetch_add(1, Ordering::Relaxed).to_string(),
        "https://api.openai.com/auth": {
            "chatgpt_plan_type": plan,
            "chatgpt_account_id": account_id,
            "chatgpt_user_id": "user-1",
        },
    });
    let part = |text: String| URL_SAFE_NO_PAD.encode(text);
    format!(
        "{}.{}.{}",
        part(header.to_string()),
        part(payload.to_string()),
        part("signature".to_owned())
    )
}
