//! The token that opens a connection.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use super::{
    jwt::{Claims, sign},
    secret::Secret,
};

/// How to authenticate with a server that listens on `ws://` with `--ws-auth`.
///
/// Each connection reads the files and signs a token anew. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct Auth(Source);

#[derive(Debug, Clone)]
enum Source {
    Token(Secret),
    TokenFile(PathBuf),
    Signed {
        secret: Key,
        issuer: Option<String>,
        audience: Option<String>,
        lifetime: Duration,
    },
}

#[derive(Debug, Clone)]
enum Key {
    Text(Secret),
    File(PathBuf),
}

/// The shortest shared secret that a server takes.
const SHORTEST: usize = 32;

impl Auth {
    /// Sends this token: a capability token (`--ws-auth capability-token`), or a token that
    /// somebody else has signed.
    #[must_use]
    pub fn token(token: impl Into<String>) -> Self {
        Self(Source::Token(Secret::new(token)))
    }

    /// Sends the token in this file, without the white space around it. A file that other users may
    /// read is an error; on Windows this is not checked.
    #[must_use]
    pub fn token_file(path: impl Into<PathBuf>) -> Self {
        Self(Source::TokenFile(path.into()))
    }

    /// Signs a token for each connection, with HS256 and the secret that it shares with the server
    /// (`--ws-auth signed-bearer-token`). The secret has at least 32 bytes.
    #[must_use]
    pub fn shared_secret(secret: impl Into<String>) -> Self {
        Self::signed(Key::Text(Secret::new(secret)))
    }

    /// Same as [`shared_secret`](Self::shared_secret), with the secret in a file, without the white
    /// space around it. A file that other users may read is an error; on Windows this is not
    /// checked.
    #[must_use]
    pub fn shared_secret_file(path: impl Into<PathBuf>) -> Self {
        Self::signed(Key::File(path.into()))
    }

    fn signed(secret: Key) -> Self {
        Self(Source::Signed {
            secret,
            issuer: None,
            audience: None,
            lifetime: Duration::from_secs(60),
        })
    }

    /// Sets the claim `iss` of the tokens that are signed here, for a server with `--ws-issuer`.
    /// Default: none.
    #[must_use]
    pub fn issuer(mut self, name: impl Into<String>) -> Self {
        if let Source::Signed { issuer, .. } = &mut self.0 {
            *issuer = Some(name.into());
        }
        self
    }

    /// Sets the claim `aud` of the tokens that are signed here, for a server with `--ws-audience`.
    /// Default: none.
    #[must_use]
    pub fn audience(mut self, name: impl Into<String>) -> Self {
        if let Source::Signed { audience, .. } = &mut self.0 {
            *audience = Some(name.into());
        }
        self
    }

    /// Sets how long a token that is signed here is valid. A connection outlives its token.
    /// Default: 60 s.
    #[must_use]
    pub fn lifetime(mut self, valid: Duration) -> Self {
        if let Source::Signed { lifetime, .. } = &mut self.0 {
            *lifetime = valid;
        }
        self
    }

    /// The token for a connection that opens now.
    pub(super) fn bearer(&self) -> Result<Secret, String> {
        let token = match &self.0 {
            Source::Token(token) => Secret::new(token.expose().trim()),
            Source::TokenFile(path) => Secret::read(path)?,
            Source::Signed {
                secret,
                issuer,
                audience,
                lifetime,
            } => {
                let secret = match secret {
                    Key::Text(text) => Secret::new(text.expose().trim()),
                    Key::File(path) => Secret::read(path)?,
                };
                if secret.expose().len() < SHORTEST {
                    return Err(format!(
                        "a shared secret has at least {SHORTEST} bytes, and this one has {}",
                        secret.expose().len()
                    ));
                }
                let now = SystemTime::now()
                    .duration_since(SystemTime::UNIX_EPOCH)
                    .unwrap_or_default();
                let claims = Claims {
                    iat: now.as_secs(),
                    exp: now.saturating_add(*lifetime).as_secs(),
                    iss: issuer.as_deref(),
                    aud: audience.as_deref(),
                };
                sign(&claims, secret.expose().as_bytes())
            }
        };
        if token.expose().is_empty() {
            return Err("the token is empty".to_owned());
        }
        if !token.expose().bytes().all(|b| b.is_ascii_graphic()) {
            return Err(
                "the token has characters that cannot be sent: spaces, line ends or non-ASCII ones"
                    .to_owned(),
            );
        }
        Ok(token)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn a_token_file_that_others_may_read_or_that_holds_none_is_refused_without_its_text() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let write = |text: &str, mode| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        let bearer = || Auth::token_file(&path).bearer();
        assert!(bearer().unwrap_err().contains("cannot be read"));
        for (text, mode, reason) in [
            ("s3cret", 0o644, "644"),
            ("s3cret", 0o660, "660"),
            ("", 0o600, "empty"),
            (" \n", 0o600, "empty"),
            ("s3cret two", 0o600, "spaces"),
            ("s3cret\r\nX: y", 0o600, "line ends"),
            ("s3crèt", 0o600, "non-ASCII"),
        ] {
            write(text, mode);
            let error = bearer().unwrap_err();
            assert!(error.contains(reason), "{error}");
            assert!(!error.contains("s3cr"), "{error}");
        }
        write("s3cret\n", 0o600);
        assert_eq!(bearer().unwrap().expose(), "s3cret");
        let dir = Auth::token_file(dir.path()).bearer().unwrap_err();
        assert!(dir.contains("not a regular file"), "{dir}");
    }

    #[test]
    fn no_debug_text_shows_a_secret() {
        let secret = "s3cret".repeat(8);
        for auth in [
            Auth::token(&secret),
            Auth::shared_secret(&secret).issuer("me").audience("you"),
        ] {
            let endpoint = crate::live::Endpoint::unix("/x").auth(auth.clone());
            let told = format!("{auth:?} {endpoint:?} {:?}", auth.bearer().unwrap());
            assert!(!told.contains("s3cret"), "{told}");
        }
    }

    #[test]
    fn a_shared_secret_that_is_too_short_is_refused_here() {
        let error = Auth::shared_secret("short").bearer().unwrap_err();
        assert!(error.contains("at least 32 bytes"), "{error}");
    }
}
