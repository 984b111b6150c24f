//! `--connect`: the flags that name a server which runs already, and the token for it.

use std::path::PathBuf;

use cas_sdk::{
    internal::CONNECT_TOKEN as TOKEN,
    live::{Auth, Endpoint},
};

use crate::output::{Failure, Result};

/// Which server to join instead of starting one.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Running server")]
pub(crate) struct Connect {
    /// Join the server that listens here instead of starting one: `unix://` for that of a plain
    /// `codex`, `unix://PATH`, `ws://HOST:PORT`, `wss://HOST`; flags for starting a server, such as
    /// --codex and -c, then have no effect
    #[arg(long = "connect", id = "connect", value_name = "URL")]
    url: Option<Endpoint>,
    /// The file with the token for the server [default: the token in `$CAS_CONNECT_TOKEN`]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, requires = "connect")]
    token_file: Option<PathBuf>,
    /// The file with the secret that signs a token for the server
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, requires = "connect", conflicts_with = "token_file")]
    secret_file: Option<PathBuf>,
    /// The certificate authorities to trust for `wss://`, a PEM file, instead of the system's
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, requires = "connect")]
    ca_file: Option<PathBuf>,
}

impl Connect {
    /// Whether a server is named.
    pub(crate) fn is_given(&self) -> bool {
        self.url.is_some()
    }

    /// The server that is named, with its token.
    ///
    /// # Errors
    /// If the token is not UTF-8.
    pub(crate) fn endpoint(&self) -> Result<Option<Endpoint>> {
        let Some(mut endpoint) = self.url.clone() else {
            return Ok(None);
        };
        let auth = match (&self.token_file, &self.secret_file) {
            (Some(file), _) => Some(Auth::token_file(file)),
            (None, Some(file)) => Some(Auth::shared_secret_file(file)),
            // Every process could read a token on the command line.
            (None, None) => match std::env::var(TOKEN) {
                Ok(token) if token.is_empty() => None,
                Ok(token) => Some(Auth::token(token)),
                Err(std::env::VarError::NotPresent) => None,
                Err(std::env::VarError::NotUnicode(_)) => {
                    return Err(Failure::Usage(format!("${TOKEN} is not UTF-8")));
                }
            },
        };
        if let Some(auth) = auth {
            endpoint = endpoint.auth(auth);
        }
        if let Some(file) = &self.ca_file {
            endpoint = endpoint.certificate_authorities(file);
        }
        Ok(Some(endpoint))
    }
}
