//! What to start, and how.

use std::{ffi::OsString, fmt, path::PathBuf};

/// The variable with the token of `cas --connect`. A codex that `cas` starts must not inherit it:
/// the programs that its agent runs could read it, and the token is for another server.
pub const CONNECT_TOKEN: &str = "CAS_CONNECT_TOKEN";

/// The program, arguments and environment of a child.
#[derive(Clone)]
pub struct Launch {
    /// The executable. `None` looks for `codex`.
    pub codex: Option<PathBuf>,
    /// The arguments.
    pub args: Vec<OsString>,
    /// The working directory. `None` is this process's.
    pub cwd: Option<PathBuf>,
    /// Whether the child gets only the variables in `env`.
    pub env_clear: bool,
    /// Variables to set. `None` removes a variable.
    pub env: Vec<(OsString, Option<OsString>)>,
}

impl Launch {
    /// The search path of the child.
    pub(crate) fn path(&self) -> Option<OsString> {
        let set = self.env.iter().rev().find(|(name, _)| is_path(name));
        match set {
            Some((_, value)) => value.clone(),
            None if self.env_clear => None,
            None => std::env::var_os("PATH"),
        }
    }
}

/// Windows ignores the case of a variable's name, and itself writes `Path`.
fn is_path(name: &OsString) -> bool {
    if cfg!(windows) {
        name.eq_ignore_ascii_case("PATH")
    } else {
        name == "PATH"
    }
}

impl fmt::Debug for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The values of variables and of `-c key=value` may be secrets.
        let env: Vec<_> = self.env.iter().map(|(name, _)| name).collect();
        f.debug_struct("Launch")
            .field("codex", &self.codex)
            .field("args", &self.args.len())
            .field("cwd", &self.cwd)
            .field("env_clear", &self.env_clear)
            .field("env", &env)
            .finish()
    }
}
