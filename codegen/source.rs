//! Where the schema comes from: the vendored bundle, a directory, or the user's own codex.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use super::{Error, Result, needed::Ours};

/// The file that `codex app-server generate-json-schema` writes beside the many small ones.
pub(crate) const BUNDLE: &str = "codex_app_server_protocol.schemas.json";

/// A schema bundle and what is known about it.
pub(crate) struct Source {
    /// The text of the experimental bundle.
    pub(crate) bundle: String,
    /// The methods that need no `experimentalApi`.
    pub(crate) stable_methods: BTreeSet<String>,
    /// The schema in the repository, if this is another one.
    pub(crate) ours: Option<Arc<Ours>>,
    /// Whether this is the schema in the repository, of which everything is known.
    pub(crate) vendored: bool,
    /// For error messages.
    pub(crate) origin: String,
}

impl Source {
    /// Obeys `CAS_CODEX` and `CAS_SCHEMA_DIR`; the vendored schema otherwise.
    pub(crate) fn from_env(manifest_dir: &Path, out_dir: &Path) -> Result<Self> {
        let vendored = manifest_dir.join("schema");
        match (non_empty("CAS_CODEX"), non_empty("CAS_SCHEMA_DIR")) {
            (Some(_), Some(_)) => Err(Error::new(
                "CAS_CODEX and CAS_SCHEMA_DIR are both set; unset one of them",
            )),
            (Some(codex), None) => Self::from_codex(&codex, out_dir, &vendored),
            (None, Some(dir)) => Self::from_dir(&dir, &vendored),
            (None, None) => Ok(Self {
                bundle: read(&vendored.join(BUNDLE))?,
                ours: None,
                stable_methods: lines(&read(&vendored.join("stable-methods.txt"))?),
                vendored: true,
                origin: "schema/".into(),
            }),
        }
    }

    fn from_dir(dir: &Path, vendored: &Path) -> Result<Self> {
        let path = dir.join(BUNDLE);
        let bundle = fs::read_to_string(&path).map_err(|error| {
            Error::new(format!(
                "CAS_SCHEMA_DIR={}: {error} when reading {BUNDLE}; the directory must be one written by \
                 `codex app-server generate-json-schema --experimental --out {}`",
                dir.display(),
                dir.display(),
            ))
        })?;
        // The experimental bundle does not say which methods are stable. A list beside it does; ours is a good guess.
        let own = dir.join("stable-methods.txt");
        let stable = if own.is_file() {
            own
        } else {
            vendored.join("stable-methods.txt")
        };
        Ok(Self {
            bundle,
            stable_methods: lines(&read(&stable)?),
            ours: Some(ours(vendored)?),
            vendored: false,
            origin: format!("CAS_SCHEMA_DIR={}", dir.display()),
        })
    }

    fn from_codex(codex: &Path, out_dir: &Path, vendored: &Path) -> Result<Self> {
        let stable = generate(codex, &out_dir.join("codex-schema-stable"), &[])?;
        let origin = format!("CAS_CODEX={}", codex.display());
        Ok(Self {
            bundle: generate(codex, &out_dir.join("codex-schema"), &["--experimental"])?,
            stable_methods: super::load::Bundle::parse(&stable, &origin)?
                .methods
                .into_iter()
                .map(|m| m.name)
                .collect(),
            ours: Some(ours(vendored)?),
            vendored: false,
            origin,
        })
    }
}

fn ours(vendored: &Path) -> Result<Arc<Ours>> {
    Ours::parse(&read(&vendored.join(BUNDLE))?).map(Arc::new)
}

fn non_empty(variable: &str) -> Option<PathBuf> {
    env::var_os(variable)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

fn generate(codex: &Path, out: &Path, flags: &[&str]) -> Result<String> {
    let fail = |what: String| {
        Error::new(format!(
            "CAS_CODEX={}: {what}; it must be the path of a codex binary that knows `app-server generate-json-schema`",
            codex.display(),
        ))
    };
    let run = Command::new(codex)
        .args(["app-server", "generate-json-schema"])
        .args(flags)
        .arg("--out")
        .arg(out)
        .output()
        .map_err(|error| fail(format!("cannot be run: {error}")))?;
    if !run.status.success() {
        let stderr = String::from_utf8_lossy(&run.stderr);
        let last = stderr
            .lines()
            .rfind(|line| !line.trim().is_empty())
            .unwrap_or("no message");
        return Err(fail(format!(
            "generate-json-schema failed with {}: {last}",
            run.status
        )));
    }
    fs::read_to_string(out.join(BUNDLE))
        .map_err(|error| fail(format!("it wrote no {BUNDLE}: {error}")))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| Error::new(format!("{}: {error}", path.display())))
}

fn lines(text: &str) -> BTreeSet<String> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(String::from)
        .collect()
}
