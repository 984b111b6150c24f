//! `CodexHome`: a temporary, hermetic home for one codex, configured to use a `MockModel`.

use std::{env, ffi::OsString, fs, io, path::PathBuf, time::Duration};

use tempfile::TempDir;
use toml::{Table, Value};

use super::MockModel;

/// A temporary `CODEX_HOME` with a scratch `HOME`, a work directory and a directory for temporary
/// files, all removed on drop.
///
/// Its `config.toml` makes codex use the given [`MockModel`] only: connections and DNS queries stay
/// on the loopback interface. Start codex with [`env`](Self::env) as its *whole* environment, and
/// let it end before dropping the home.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// use cas_sdk::testing::{CodexHome, MockModel};
///
/// let model = MockModel::start().await;
/// let home = CodexHome::builder(&model).model("gpt-5.5").approval_policy("on-request").build()?;
///
/// let mut codex = tokio::process::Command::new("codex");
/// codex.arg("app-server").env_clear().envs(home.env()).current_dir(home.work_dir());
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct CodexHome {
    root: TempDir,
}

impl CodexHome {
    /// Creates a home with the defaults of [`CodexHome::builder`].
    ///
    /// # Errors
    /// If the directories or the configuration cannot be written.
    pub fn new(model: &MockModel) -> io::Result<Self> {
        Self::builder(model).build()
    }

    /// Starts a configuration with the model `mock-model`, the approval policy `never`, the sandbox
    /// `read-only`, no login and no retries.
    pub fn builder(model: &MockModel) -> CodexHomeBuilder {
        CodexHomeBuilder::new(model)
    }

    /// The `CODEX_HOME`.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.root.path().join("codex")
    }

    /// An empty directory for codex to work in.
    #[must_use]
    pub fn work_dir(&self) -> PathBuf {
        self.root.path().join("work")
    }

    /// The whole environment to start codex with.
    ///
    /// `PATH` is the caller's; `HOME`, `CODEX_HOME` and `TMPDIR` lie in this home (on Windows also `USERPROFILE`,
    /// `APPDATA`, `LOCALAPPDATA`, `TEMP` and `TMP`); there are no keys and no proxies.
    #[must_use]
    pub fn env(&self) -> Vec<(OsString, OsString)> {
        let root = self.root.path();
        let path = env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
        let mut variables: Vec<(&str, OsString)> = vec![
            ("PATH", path),
            ("HOME", root.join("home").into()),
            ("CODEX_HOME", self.path().into()),
            // Codex refuses to put its sandbox helper below the directory for temporary files. This
            // home is usually in the system's, so codex gets another one.
            ("TMPDIR", root.join("tmp").into()),
            ("LANG", "C.UTF-8".into()),
            ("NO_PROXY", "127.0.0.1,localhost".into()),
            ("RUST_LOG", "warn".into()),
        ];
        if cfg!(windows) {
            let home = root.join("home");
            variables.extend([
                ("USERPROFILE", home.clone().into()),
                ("APPDATA", home.join("AppData/Roaming").into()),
                ("LOCALAPPDATA", home.join("AppData/Local").into()),
                ("TEMP", root.join("tmp").into()),
                ("TMP", root.join("tmp").into()),
            ]);
            // Without these no program finds the system's own libraries and shells.
            for name in ["SystemRoot", "SystemDrive", "ComSpec", "PATHEXT"] {
                variables.extend(env::var_os(name).map(|value| (name, value)));
            }
        }
        variables
            .into_iter()
            .map(|(name, value)| (name.into(), value))
            .collect()
    }
}

impl Drop for CodexHome {
    fn drop(&mut self) {
        // A codex that is being killed may create files during the removal; the next attempt finds
        // them. `TempDir` makes the last attempt.
        for _ in 0..3 {
            if fs::remove_dir_all(self.root.path()).is_ok() {
                break;
            }
        }
    }
}

/// Configures a [`CodexHome`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct CodexHomeBuilder {
    config: Table,
    extra: Vec<String>,
}

impl CodexHomeBuilder {
    fn new(model: &MockModel) -> Self {
        let config = toml::toml! {
            model = "mock-model"
            model_provider = "mock"
            approval_policy = "never"
            sandbox_mode = "read-only"

            [analytics]
            enabled = false

            [features]
            // With plugins, every start of codex contacts github.com and chatgpt.com.
            plugins = false

            [sandbox_workspace_write]
            // This home is usually in /tmp, all of which codex would make writable.
            exclude_slash_tmp = true

            [model_providers.mock]
            name = "Mock provider"
            wire_api = "responses"
        };
        let builder = Self {
            config,
            extra: Vec::new(),
        };
        builder
            .set(&["chatgpt_base_url"], model.chatgpt_base_url())
            .set(&["model_providers", "mock", "base_url"], model.base_url())
            .retries(0, 0)
    }

    /// Sets the model, which decides the tools that codex offers it.
    ///
    /// - An unknown slug such as `mock-model` (the default) gets `exec_command` and the like, but
    ///   no `apply_patch`, and one `warning` notification a turn.
    /// - `gpt-5.5` is a classic model and also gets `apply_patch` and `tool_search`. It suits tests
    ///   of approvals best.
    /// - `gpt-6.1-sol` and newer models are code-mode models: they call one freeform tool, `exec`,
    ///   with JavaScript.
    pub fn model(self, slug: &str) -> Self {
        self.set(&["model"], slug)
    }

    /// Sets the approval policy: `never` (the default) or `on-request`. Codex 0.169.0 exits with
    /// `untrusted`.
    pub fn approval_policy(self, policy: &str) -> Self {
        self.set(&["approval_policy"], policy)
    }

    /// Sets the sandbox: `read-only` (the default), `workspace-write` or `danger-full-access`.
    ///
    /// With `workspace-write` a command may write to the work directory and to this home's
    /// directory for temporary files, but not to `/tmp`, which codex usually allows.
    pub fn sandbox_mode(self, mode: &str) -> Self {
        self.set(&["sandbox_mode"], mode)
    }

    /// Switches a feature: `default_mode_request_user_input` (the tool `request_user_input` outside
    /// of plan mode), `request_permissions_tool` and `exec_permission_approvals` (the server
    /// request `item/permissions/requestApproval`), and many more.
    pub fn feature(self, name: &str, enabled: bool) -> Self {
        self.set(&["features", name], enabled)
    }

    /// Makes codex up to 0.169 ask the client for the time (`currentTime/read`) and remind the
    /// model of it. Later versions refuse to start a thread with this setting.
    pub fn external_clock(self) -> Self {
        let reminder = toml::toml! {
            enabled = true
            reminder_interval_seconds = 1
            clock_source = "external"
            sleep_tool = true
        };
        self.set(&["features", "current_time_reminder"], reminder)
    }

    /// Makes the model provider require a ChatGPT login, which the client makes with a
    /// [`jwt`](super::jwt()). Credentials stay in this home.
    pub fn chatgpt_auth(self) -> Self {
        self.set(&["model_providers", "mock", "requires_openai_auth"], true)
            .set(&["cli_auth_credentials_store"], "file")
            .feature("apps", false)
    }

    /// Adds an MCP server that codex starts and uses over stdio. The model calls its tools in the
    /// namespace `mcp__NAME`.
    pub fn mcp_server<I>(self, name: &str, command: impl Into<String>, args: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let args: Vec<Value> = args
            .into_iter()
            .map(|arg| Value::String(arg.into()))
            .collect();
        self.set(&["mcp_servers", name, "command"], command.into())
            .set(&["mcp_servers", name, "args"], args)
    }

    /// Sets the number of times codex retries a refused request, and a broken stream. Default: 0.
    pub fn retries(self, request: u32, stream: u32) -> Self {
        self.set(
            &["model_providers", "mock", "request_max_retries"],
            i64::from(request),
        )
        .set(
            &["model_providers", "mock", "stream_max_retries"],
            i64::from(stream),
        )
    }

    /// Sets the silence after which codex gives up a stream. Default: codex's own, some minutes.
    pub fn stream_idle_timeout(self, timeout: Duration) -> Self {
        let millis = i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX);
        self.set(
            &["model_providers", "mock", "stream_idle_timeout_ms"],
            millis,
        )
    }

    /// Merges TOML into the configuration: tables are merged, other values are replaced. It
    /// overrides the other methods, and a later text an earlier one.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
    /// # let model = cas_sdk::testing::MockModel::start().await;
    /// let home = cas_sdk::testing::CodexHome::builder(&model)
    ///     .toml("model_reasoning_effort = 'high'\n[sandbox_workspace_write]\nnetwork_access = true")
    ///     .build()?;
    /// # Ok(()) }
    /// ```
    pub fn toml(mut self, text: impl Into<String>) -> Self {
        self.extra.push(text.into());
        self
    }

    /// Creates the home.
    ///
    /// # Errors
    /// If the directories or the configuration cannot be written. [`io::ErrorKind::InvalidInput`]
    /// if a text given to [`toml`](Self::toml) is not TOML; codex itself would start with its
    /// defaults and use the real OpenAI.
    pub fn build(self) -> io::Result<CodexHome> {
        let mut config = self.config;
        for text in &self.extra {
            let extra: Table = text.parse().map_err(|error| {
                invalid(format!("the configuration to merge is not TOML: {error}"))
            })?;
            merge(&mut config, extra);
        }
        // Without symbolic links, so that these are the paths that codex reports.
        let parent = if cfg!(windows) {
            std::path::absolute(env::temp_dir())? // There, the real path begins with `\\?\`.
        } else {
            env::temp_dir().canonicalize()?
        };
        let root = tempfile::Builder::new()
            .prefix("cas-sdk-home-")
            .tempdir_in(parent)?;
        let home = CodexHome { root };
        for directory in [
            home.path(),
            home.work_dir(),
            home.root.path().join("home"),
            home.root.path().join("tmp"),
        ] {
            fs::create_dir(directory)?;
        }
        fs::write(home.path().join("config.toml"), config.to_string())?;
        Ok(home)
    }

    fn set(mut self, path: &[&str], value: impl Into<Value>) -> Self {
        let (key, tables) = path.split_last().expect("a path has a key");
        let mut table = &mut self.config;
        for name in tables {
            let entry = table
                .entry(*name)
                .or_insert_with(|| Value::Table(Table::new()));
            table = entry
                .as_table_mut()
                .expect("only tables have keys below them");
        }
        table.insert((*key).to_owned(), value.into());
        self
    }
}

fn merge(config: &mut Table, extra: Table) {
    for (key, value) in extra {
        match (config.get_mut(&key), value) {
            (Some(Value::Table(old)), Value::Table(new)) => merge(old, new),
            (_, value) => {
                config.insert(key, value);
            }
        }
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

#[cfg(test)]
#[path = "home_tests.rs"]
mod tests;
