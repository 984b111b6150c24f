//! A JSON web token, signed with HS256.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use serde::Serialize;

use super::secret::Secret;

/// The claims of a token. Times are in seconds since 1970.
#[derive(Serialize)]
pub(super) struct Claims<'a> {
    pub(super) iat: u64,
    pub(super) exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) aud: Option<&'a str>,
}

pub(super) fn sign(claims: &Claims<'_>, secret: &[u8]) -> Secret {
    let claims = serde_json::to_string(claims).expect("strings and numbers can be written");
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let text = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, text.as_bytes()));
    Secret::new(format!("{text}.{signature}"))
}
