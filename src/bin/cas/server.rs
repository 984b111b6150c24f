//! The flags that every command has which starts an app-server, the client they make, and the
//! threads it knows.

use std::path::PathBuf;

use cas_sdk::{
    Builder, CasClient, Live,
    client::Role,
    internal::{CONNECT_TOKEN, EVERY_SOURCE, Pager},
    live::{Endpoint, LiveServer},
    protocol::ThreadStartParams,
};
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};
use tokio::time::timeout;

use crate::{
    connect::Connect,
    input::given,
    output::{Failure, Result, line, raw_json},
    signals::{self, STOP, Signals},
};

/// Which codex to start, and where.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "App-server")]
pub(crate) struct Server {
    /// The codex executable [default: `$CAS_CODEX`, else codex on `$PATH`]
    #[arg(long, value_name = "PATH", value_hint = clap::ValueHint::ExecutablePath)]
    pub(crate) codex: Option<PathBuf>,
    /// The working directory of the app-server [default: the current one]
    #[arg(long, short = 'C', value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub(crate) cwd: Option<PathBuf>,
    /// Override a value of codex's configuration; the value is TOML, else text; may be given
    /// several times
    #[arg(short = 'c', long = "config", value_name = "KEY=VALUE", value_parser = override_of)]
    pub(crate) config: Vec<(String, String)>,
    #[command(flatten)]
    pub(crate) connect: Connect,
}

impl Server {
    pub(crate) fn builder(&self) -> Builder {
        let mut builder = builder();
        if let Some(codex) = &self.codex {
            builder = builder.codex(codex);
        }
        if let Some(cwd) = &self.cwd {
            builder = builder.cwd(cwd);
        }
        for (key, value) in &self.config {
            builder = builder.config(key, value);
        }
        builder
    }

    pub(crate) async fn client(&self) -> Result<CasClient> {
        self.open(self.builder()).await
    }

    /// The server that is named, or else one that runs already and is of use, or else one that is
    /// started.
    pub(crate) async fn near(&self, is_of_use: impl Fn(&LiveServer) -> bool) -> Result<CasClient> {
        if !self.connect.is_given() {
            let live = Live::discover().await;
            if let Some(server) = live.servers.into_iter().find(is_of_use) {
                return join(self.builder().role(Role::Driver), server.endpoint).await;
            }
        }
        self.client().await
    }

    /// The absolute path of the working directory.
    pub(crate) fn dir(&self) -> Result<PathBuf> {
        let dir = self.cwd.clone().map_or_else(std::env::current_dir, Ok)?;
        Ok(std::path::absolute(dir)?)
    }

    /// The directory that was given, for a thread that otherwise keeps its own.
    ///
    /// # Errors
    /// If it is relative and there is no working directory.
    pub(crate) fn other_dir(&self) -> Result<Option<String>> {
        match self.cwd {
            Some(_) => Ok(Some(self.dir()?.display().to_string())),
            None => Ok(None),
        }
    }

    /// The params of a new thread in the working directory. They name it if a server is joined,
    /// which would otherwise use its own directory.
    ///
    /// # Errors
    /// If there is no working directory.
    pub(crate) fn new_thread(&self) -> Result<ThreadStartParams> {
        let mut params = ThreadStartParams::default();
        if self.connect.is_given() {
            params.cwd = Some(self.dir()?.display().to_string());
        }
        Ok(params)
    }

    /// Joins the server that is named, or starts one. What a command does there it was asked for,
    /// so it drives.
    pub(crate) async fn open(&self, builder: Builder) -> Result<CasClient> {
        match self.connect.endpoint()? {
            Some(endpoint) => join(builder.role(Role::Driver), endpoint).await,
            None => start(builder).await,
        }
    }
}

/// The builder that every client starts from. A server that it starts does not inherit the token
/// for another server.
pub(crate) fn builder() -> Builder {
    CasClient::builder()
        .client_info("cas", "cas", env!("CARGO_PKG_VERSION"))
        .env_remove(CONNECT_TOKEN)
}

/// Joins a server that runs already.
pub(crate) async fn join(builder: Builder, endpoint: Endpoint) -> Result<CasClient> {
    Ok(Box::pin(builder.connect_to(endpoint)).await?)
}

/// Starts the server, which is gone at the latest when this process is.
pub(crate) async fn start(builder: Builder) -> Result<CasClient> {
    let client = builder.spawn().await?;
    signals::started(client.pid());
    Ok(client)
}

/// Closes the connection, and stops the server if it was started here.
pub(crate) async fn close(client: &CasClient) {
    let pid = client.pid();
    client.shutdown().await;
    signals::ended(pid);
}

/// Like [`close`]. After a signal or a time limit it waits only briefly; otherwise a signal can cut
/// it short.
///
/// # Errors
/// [`Failure::Signal`].
pub(crate) async fn close_in_time(
    client: &CasClient,
    is_late: bool,
    signals: &mut Signals,
) -> Result {
    if is_late {
        // A server that does not stop in time is killed with this process.
        let _ = timeout(STOP, close(client)).await;
        return Ok(());
    }
    let closed = async {
        close(client).await;
        Ok::<_, Failure>(())
    };
    signals.or(closed).await
}

fn override_of(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.to_owned()))
        }
        _ => Err("an override is KEY=VALUE".to_owned()),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(default)]
    data: Vec<Box<RawValue>>,
    #[serde(default)]
    next_cursor: Value,
}

/// All items of a list as the server wrote them, page by page, up to a number of them.
pub(crate) async fn list(
    client: &CasClient,
    method: &'static str,
    params: Map<String, Value>,
    limit: usize,
) -> Result<Vec<Box<RawValue>>> {
    let mut items = Vec::new();
    let mut pages = Pager::new(method, params);
    loop {
        let page: Page = client.call(method, pages.params()).await?;
        items.extend(page.data);
        if items.len() >= limit || !pages.turn(page.next_cursor)? {
            break;
        }
    }
    items.truncate(limit);
    Ok(items)
}

/// What an item of a list says.
pub(crate) fn parsed(item: &RawValue) -> Value {
    serde_json::from_str(item.get()).unwrap_or_default()
}

/// The params that list stored threads of every kind and provider, last updated first.
pub(crate) fn every_thread(archived: bool) -> Map<String, Value> {
    let params = json!({
        "archived": archived, "sortKey": "updated_at", "limit": 100, "sourceKinds": EVERY_SOURCE, "modelProviders": [],
    });
    match params {
        Value::Object(params) => params,
        _ => Map::new(),
    }
}

/// How many characters of an id tell a thread from all others that were made in other milliseconds.
pub(crate) const SHORT: usize = 13;

/// An id that people can type: its beginning.
pub(crate) fn short(id: &str) -> &str {
    id.get(..SHORT).unwrap_or(id)
}

/// The title of a thread: its name, or else how it began.
pub(crate) fn title(thread: &Value) -> &str {
    let text = |key: &str| thread[key].as_str().filter(|text| !text.is_empty());
    text("name").or_else(|| text("preview")).unwrap_or_default()
}

/// The id of the thread that is named: by its id, or by the beginning of it.
///
/// # Errors
/// If no stored thread begins like that, or more than one does.
pub(crate) async fn thread_named(client: &CasClient, name: &str) -> Result<String> {
    let is_whole = name.len() >= 36 || !name.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    if is_whole {
        return Ok(name.to_owned());
    }
    let mut ids: Vec<String> = Vec::new();
    for archived in [false, true] {
        for thread in list(client, "thread/list", every_thread(archived), usize::MAX).await? {
            ids.extend(parsed(&thread)["id"].as_str().map(str::to_owned));
        }
    }
    match the_one(ids.iter().map(String::as_str), name)? {
        Some(id) => Ok(id.to_owned()),
        None => Err(format!("no stored thread has an id that begins with {name}").into()),
    }
}

/// Finds the id that `name` is, or is the beginning of.
///
/// # Errors
/// If several ids begin with `name`.
pub(crate) fn the_one<'a>(
    ids: impl Iterator<Item = &'a str>,
    name: &str,
) -> Result<Option<&'a str>> {
    let mut found: Vec<&str> = ids.filter(|id| id.starts_with(name)).collect();
    found.sort_unstable();
    found.dedup();
    match found[..] {
        [] => Ok(None),
        [id] => Ok(Some(id)),
        // The ids are sorted, so an exact match comes first.
        [id, ..] if id == name => Ok(Some(id)),
        _ => Err(Failure::from(format!(
            "{} threads have an id that begins with {name}: {}",
            found.len(),
            found.join(", ")
        ))),
    }
}

/// The thread that a command is for.
#[derive(Debug, clap::Args)]
pub(crate) struct OneThread {
    /// The thread, given by its id or the beginning of its id
    #[arg(value_name = "ID", value_parser = given, add = crate::completion::threads())]
    pub(crate) thread: String,
    /// Print what the server answers, as JSON
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) server: Server,
}

impl OneThread {
    /// Prints what was done, or with `--json` the server's response.
    pub(crate) fn report(&self, answer: &RawValue, text: std::fmt::Arguments<'_>) -> Result {
        if self.json {
            raw_json(answer.get())
        } else {
            line(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_named_by_all_of_it_or_by_a_beginning_that_no_other_has() {
        let one = |ids: &[&'static str], name| the_one(ids.iter().copied(), name);
        assert_eq!(one(&["abc", "abd"], "abd").unwrap(), Some("abd"));
        assert_eq!(one(&["abc", "abd", "xy"], "x").unwrap(), Some("xy"));
        assert_eq!(one(&["abc", "ab"], "ab").unwrap(), Some("ab"));
        assert_eq!(one(&["abc", "abc"], "a").unwrap(), Some("abc"));
        assert_eq!(one(&["abc"], "b").unwrap(), None);
        let several = one(&["abd", "abc", "x"], "ab").unwrap_err().text();
        assert_eq!(
            several,
            "2 threads have an id that begins with ab: abc, abd"
        );
    }
}
