//! The flags that every command has which starts an app-server, and the client they make.

use std::{path::PathBuf, time::Duration};

use cas_sdk::{Builder, CasClient};

use crate::out::Result;

/// Which codex to start, and where.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Server {
    /// The codex executable [default: `$CAS_CODEX`, else codex on `$PATH`]
    #[arg(long, value_name = "PATH", global = true)]
    pub(crate) codex: Option<PathBuf>,
    /// The working directory of the app-server [default: the current one]
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) cwd: Option<PathBuf>,
}

impl Server {
    pub(crate) fn builder(&self) -> Builder {
        let mut builder = CasClient::builder().client_info("cas", "cas", env!("CARGO_PKG_VERSION"));
        if let Some(codex) = &self.codex {
            builder = builder.codex(codex);
        }
        if let Some(cwd) = &self.cwd {
            builder = builder.cwd(cwd);
        }
        builder
    }

    pub(crate) async fn client(&self) -> Result<CasClient> {
        Ok(self.builder().spawn().await?)
    }
}

pub(crate) fn millis(text: &str) -> Result<Duration, String> {
    let number: u64 = text
        .parse()
        .map_err(|_| "not a number of milliseconds".to_owned())?;
    Ok(Duration::from_millis(number))
}
