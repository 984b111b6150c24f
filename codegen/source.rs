//! The sources of a schema: the vendored bundle, a directory, or a codex binary.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    Error, Result,
    needed::Ours,
    schema::{branches, single_word},
};

/// The file of `codex app-server generate-json-schema` that holds the whole schema.
pub(crate) const BUNDLE: &str = "codex_app_server_protocol.schemas.json";

/// The time codex has to write its schema. It takes about a second.
const LIMIT: Duration = Duration::from_secs(60);

/// The oldest codex with whose schema the crate works, and methods that it added. A schema without
/// any of them is older.
const OLDEST: &str = "0.150.0";
const SINCE_OLDEST: [&str; 3] = [
    "mcpServer/event/stream/start",
    "thread/realtime/item/completed",
    "thread/timeline/list",
];

/// The requested source of a schema.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish {
    /// `CAS_CODEX`.
    pub(crate) codex: Option<PathBuf>,
    /// `CAS_SCHEMA_DIR`.
    pub(crate) dir: Option<PathBuf>,
    /// The limit for codex.
    pub(crate) limit: Duration,
}

impl Wish {
    pub(crate) fn from_env() -> Self {
        Self {
            codex: non_empty("CAS_CODEX"),
            dir: non_empty("CAS_SCHEMA_DIR"),
            limit: LIMIT,
        }
    }
}

/// A schema bundle with its origin.
pub(crate) struct Source {
    /// The text of the experimental bundle.
    pub(crate) bundle: String,
    /// The methods that do not need `experimentalApi`.
    pub(crate) stable_methods: BTreeSet<String>,
    /// The schema in the repository, if this one is another.
    pub(crate) ours: Option<Arc<Ours>>,
    /// Whether this is the schema in the repository.
    pub(crate) vendored: bool,
    /// For error messages.
    pub(crate) origin: String,
}

impl Source {
    /// Reads the requested source, by default the vendored schema.
    pub(crate) fn choose(wish: &Wish, manifest_dir: &Path, out_dir: &Path) -> Result<Self> {
        let vendored = manifest_dir.join("schema");
        match (&wish.codex, &wish.dir) {
            (Some(_), Some(_)) => Err(Error::new(
                "CAS_CODEX and CAS_SCHEMA_DIR are both set; unset one of them",
            )),
            (Some(codex), None) => Self::from_codex(codex, wish.limit, out_dir, &vendored),
            (None, Some(dir)) => Self::from_dir(dir, &vendored),
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
        let origin = format!("CAS_SCHEMA_DIR={}", dir.display());
        let remedy = format!(
            "write it with `codex app-server generate-json-schema --experimental --out {}`",
            dir.display()
        );
        let bundle = fs::read_to_string(dir.join(BUNDLE)).map_err(|error| {
            Error::new(format!("{origin}: {error} when reading {BUNDLE}; {remedy}"))
        })?;
        let known = lines(&read(&vendored.join("stable-methods.txt"))?);
        check(&bundle, &known, &origin, &remedy)?;
        // The experimental bundle does not mark stable methods. A list beside it does; without one,
        // ours is a good guess.
        let own = dir.join("stable-methods.txt");
        let stable_methods = if own.is_file() {
            lines(&read(&own)?)
        } else {
            known
        };
        Ok(Self {
            bundle,
            stable_methods,
            ours: Some(ours(vendored)?),
            vendored: false,
            origin,
        })
    }

    fn from_codex(codex: &Path, limit: Duration, out_dir: &Path, vendored: &Path) -> Result<Self> {
        let origin = format!("CAS_CODEX={}", codex.display());
        let stable = Generator {
            codex,
            limit,
            out: &out_dir.join("codex-schema-stable"),
        }
        .run(&[])?;
        let bundle = Generator {
            codex,
            limit,
            out: &out_dir.join("codex-schema"),
        }
        .run(&["--experimental"])?;
        let known = lines(&read(&vendored.join("stable-methods.txt"))?);
        let remedy = "it must be the path of a codex binary that knows `app-server generate-json-schema --experimental`";
        check(&bundle, &known, &origin, remedy)?;
        Ok(Self {
            bundle,
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

/// Checks that a bundle is complete, experimental and new enough.
fn check(bundle: &str, stable: &BTreeSet<String>, origin: &str, remedy: &str) -> Result<()> {
    let root: Value = serde_json::from_str(bundle).map_err(|error| {
        let torn = if error.is_eof() {
            "is torn"
        } else {
            "is not JSON"
        };
        Error::new(format!("{origin}: {BUNDLE} {torn} ({error}); {remedy}"))
    })?;
    let methods = methods(&root);
    if methods.is_empty() {
        return Ok(()); // A later pass names what is missing.
    }
    let experimental = methods
        .iter()
        .filter(|method| !stable.contains(**method))
        .count();
    // Some methods outside of our list are new or removed, but a third of all methods is
    // experimental.
    if experimental * 10 < methods.len() {
        return Err(Error::new(format!(
            "{origin}: this is the schema of the stable API only; {remedy}, with `--experimental`"
        )));
    }
    if !SINCE_OLDEST.iter().any(|method| methods.contains(method)) {
        return Err(Error::new(format!(
            "{origin}: this is the schema of a codex before {OLDEST}, which this crate does not support; use {OLDEST} or later, or \
             build with the schema in the repository (unset CAS_SCHEMA_DIR and CAS_CODEX)"
        )));
    }
    Ok(())
}

/// All methods that a bundle names.
fn methods(root: &Value) -> BTreeSet<&str> {
    let groups = ["ClientRequest", "ServerNotification"];
    let homes = ["definitions", "$defs"];
    let lists = homes
        .iter()
        .flat_map(|home| groups.map(|group| &root[*home][group]));
    lists
        .filter_map(branches)
        .flatten()
        .filter_map(|variant| single_word(&variant["properties"]["method"]))
        .collect()
}

fn non_empty(variable: &str) -> Option<PathBuf> {
    env::var_os(variable)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// A codex binary that writes its schema.
struct Generator<'a> {
    codex: &'a Path,
    limit: Duration,
    out: &'a Path,
}

impl Generator<'_> {
    fn run(&self, flags: &[&str]) -> Result<String> {
        // The output of an earlier run must not be mistaken for this one's.
        let _ = fs::remove_dir_all(self.out);
        fs::create_dir_all(self.out).map_err(|error| self.failed(flags, &error.to_string()))?;
        // A file, since descendants of codex may keep a pipe open after it has ended.
        let stderr = self.out.join("stderr.txt");
        let file =
            fs::File::create(&stderr).map_err(|error| self.failed(flags, &error.to_string()))?;
        let mut child = Command::new(self.codex)
            .args(["app-server", "generate-json-schema"])
            .args(flags)
            .arg("--out")
            .arg(self.out)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .map_err(|error| self.failed(flags, &format!("it cannot be run: {error}")))?;
        let started = Instant::now();
        let ended = loop {
            match child.try_wait() {
                Ok(Some(status)) => break Ended::With(status),
                Ok(None) if started.elapsed() >= self.limit => break Ended::Not,
                Ok(None) => thread::sleep(Duration::from_millis(10)),
                Err(error) => return Err(self.failed(flags, &error.to_string())),
            }
        };
        let said = fs::read_to_string(&stderr).unwrap_or_default();
        let said = tail(&said);
        match ended {
            Ended::With(status) if status.success() => fs::read_to_string(self.out.join(BUNDLE))
                .map_err(|error| {
                    self.failed(
                        flags,
                        &format!("it wrote no {BUNDLE}: {error}; it said: {said}"),
                    )
                }),
            Ended::With(status) => {
                Err(self.failed(flags, &format!("it failed with {status}: {said}")))
            }
            Ended::Not => {
                let _ = child.kill();
                let _ = child.wait();
                Err(self.failed(
                    flags,
                    &format!(
                        "it did not end within {:?} and was killed; it said: {said}",
                        self.limit
                    ),
                ))
            }
        }
    }

    fn failed(&self, flags: &[&str], what: &str) -> Error {
        let flags: String = flags.iter().flat_map(|flag| [" ", flag]).collect();
        Error::new(format!(
            "CAS_CODEX={}: ran `{} app-server generate-json-schema{flags} --out {}`: {what}; CAS_CODEX must be the path of a \
             codex binary of {OLDEST} or later",
            self.codex.display(),
            self.codex.display(),
            self.out.display(),
        ))
    }
}

enum Ended {
    With(ExitStatus),
    Not,
}

/// The last lines of the output, joined into one.
fn tail(said: &str) -> String {
    let lines: Vec<&str> = said
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    match &lines[lines.len().saturating_sub(5)..] {
        [] => "nothing".into(),
        last => last.join(" / "),
    }
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
