//! What the server says about itself in the handshake.

use serde::Deserialize;

/// What the server says about itself in the response to `initialize`. Fields that the server leaves
/// out are empty.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct ServerInfo {
    /// `<client>/<version of codex> (<system>) …`; the only field that names the version.
    pub user_agent: String,
    /// The server's `CODEX_HOME`.
    pub codex_home: String,
    /// `unix` or `windows`.
    pub platform_family: String,
    /// `linux`, `macos`, `windows`.
    pub platform_os: String,
}

impl ServerInfo {
    /// The version of codex, as in `0.171.0`.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        let (_, rest) = self.user_agent.split_once('/')?;
        rest.split([' ', '('])
            .next()
            .filter(|v| v.starts_with(|c: char| c.is_ascii_digit()))
    }
}
