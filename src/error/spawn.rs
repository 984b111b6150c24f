//! Why `codex app-server` could not be started.

use std::{path::PathBuf, sync::Arc};

use super::close::CloseReason;

/// Why `codex app-server` could not be started.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// No codex executable was found.
    #[error(
        "codex was not found: {}; install it with `npm install -g @openai/codex`, or name it with the builder's `codex` or $CAS_CODEX",
        .looked.join("; ")
    )]
    NotFound {
        /// The places that were searched, and what was found there. A place that was named is the only one.
        looked: Vec<String>,
    },
    /// The executable is npm's script, and there is no Node to run it.
    #[error(
        "{} is npm's script, which needs Node, and there is no `node` on its $PATH; npm's package has no binary for this machine that could be started in its place: {}; put Node on the $PATH, or name the binary with the builder's `codex` or $CAS_CODEX",
        .script.display(), .looked.join("; ")
    )]
    NodeMissing {
        /// The script.
        script: PathBuf,
        /// The places where the binary may be, and what was found there.
        looked: Vec<String>,
    },
    /// The operating system refused to start it.
    #[error("{} could not be started: {source}", .program.display())]
    Io {
        /// The executable.
        program: PathBuf,
        /// What the operating system said.
        r#source: Arc<std::io::Error>,
    },
    /// The directory of the [`registry`](crate::Builder::registry) cannot be used. Nothing is left running.
    #[error("the registry {} cannot be used: {source}", .dir.display())]
    Registry {
        /// The directory.
        dir: PathBuf,
        /// What is wrong with it.
        r#source: Arc<std::io::Error>,
    },
    /// The process ended before the handshake was done.
    #[error("{} ended before the handshake: {reason}", .program.display())]
    Exited {
        /// The executable.
        program: PathBuf,
        /// Its exit status and the end of its stderr.
        reason: Arc<CloseReason>,
    },
}
