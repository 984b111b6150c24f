//! The flags that every command has which starts an app-server, and the client they make.

use std::{collections::HashSet, path::PathBuf, time::Duration};

use cas_sdk::{Builder, CasClient};
use serde_json::{Map, Value};

use crate::out::Result;

/// Which codex to start, and where.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Server {
    /// The codex executable [default: `$CAS_CODEX`, else codex on `$PATH`]
    #[arg(long, value_name = "PATH")]
    pub(crate) codex: Option<PathBuf>,
    /// The working directory of the app-server [default: the current one]
    #[arg(long, value_name = "DIR")]
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

/// A length of time as people write it: `90s`, `5m`, `2h`, `7d`; a bare number is seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let at = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let unit = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err("a time is a number with s, m, h or d behind it".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| format!("{text:?} is no time"))?;
    number
        .checked_mul(unit)
        .map(Duration::from_secs)
        .ok_or_else(|| format!("{text:?} is too long"))
}

/// All items of a list, page by page, up to a number of them.
pub(crate) async fn list(
    client: &CasClient,
    method: &str,
    mut params: Map<String, Value>,
    limit: usize,
) -> Result<Vec<Value>> {
    let mut items = Vec::new();
    let mut cursors = HashSet::new();
    loop {
        let page: Value = client.request_raw(method, &params).await?;
        items.extend(page["data"].as_array().cloned().unwrap_or_default());
        match page["nextCursor"].as_str() {
            Some(cursor) if items.len() < limit => {
                if !cursors.insert(cursor.to_owned()) {
                    return Err(format!("{method} gave the cursor {cursor:?} a second time").into());
                }
                params.insert("cursor".to_owned(), cursor.into());
            }
            _ => break,
        }
    }
    items.truncate(limit);
    Ok(items)
}
