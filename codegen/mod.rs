//! Generates the types of the protocol from the schema.
//!
//! | pass | from → to |
//! |---|---|
//! | `source` | the two variables → a bundle's text |
//! | `load` | text → methods, flat definitions (with `flat`, wherever they stand) |
//! | `needed` | a foreign bundle → the same, with what it lacks and the crate's own code names |
//! | `normalise` | definitions → corrected definitions: a table of patches, each logged |
//! | `shape` | definitions → shapes, with names for inline types (with `schema`, and `forms` for untagged unions) |
//! | `types` | shapes → Rust types of fields, by **typify**, from the schemas that `plain` simplifies |
//! | `sharing` | params types of several methods → newtypes |
//! | `methods` | methods → params and response types: rules, a table, and an error for the rest |
//! | `cycles` | model → model, with boxes that break cycles |
//! | `empty` | model → model, with one type for all responses without fields |
//! | `emit` | model → source text |
//!
//! typify alone would generate closed enums and unions, so that one new value would lose the
//! message, no three-state fields, and three times the code. So we emit all strings and unions
//! ourselves, as calls of the macros in `src/protocol/`. typify decides the Rust type of each
//! field: its number, map or list, its box. `types` is the interface.
//!
//! # The next schema
//! A schema that is not in the repository is not trusted. Each pass either expresses in types what
//! the schema says, or falls back and adds a warning, which cargo shows to whoever builds with that
//! schema: colliding names are numbered, cycles are boxed, and anything else becomes a JSON value.
//! An [`Error`] is for a file that is no schema at all. `tests/next_release.rs` simulates future
//! releases. The crate's own code may name only the types that `needed` lists.

mod answers;
mod cycles;
mod docs;
mod emit;
mod empty;
mod fields;
mod flat;
mod forms;
mod load;
mod methods;
mod model;
mod names;
mod needed;
mod normalise;
mod plain;
mod schema;
mod shape;
mod sharing;
mod source;
#[cfg(test)]
mod tests;
mod types;

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
};

/// A reason to stop the build, for the person who runs it.
#[derive(Debug)]
pub(crate) struct Error(String);

pub(crate) type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The result of a run.
pub(crate) struct Output {
    /// File names and their contents.
    pub(crate) files: Vec<(String, String)>,
    /// Warnings for the user.
    pub(crate) warnings: Vec<String>,
    /// The changes made to the schema.
    pub(crate) log: Vec<String>,
}

/// The entry point for `build.rs`.
pub(crate) fn build() -> Result<()> {
    for path in ["build.rs", "codegen", "schema"] {
        println!("cargo::rerun-if-changed={path}");
    }
    for variable in ["CAS_CODEX", "CAS_SCHEMA_DIR"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let wish = source::Wish::from_env();
    let foreign = wish
        .dir
        .iter()
        .map(|dir| dir.join(source::BUNDLE))
        .chain(wish.codex.clone());
    for path in foreign {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    let dir = |variable| {
        env::var_os(variable)
            .map(PathBuf::from)
            .ok_or_else(|| Error::new(format!("{variable} is not set")))
    };
    let out = dir("OUT_DIR")?;
    let source = source::Source::choose(&wish, &dir("CARGO_MANIFEST_DIR")?, &out)?;
    // For tests that apply only to the schema in the repository.
    println!("cargo::rustc-check-cfg=cfg(foreign_schema)");
    if !source.vendored {
        println!("cargo::rustc-cfg=foreign_schema");
    }
    let output = generate(&source, &out)?;
    for warning in &output.warnings {
        println!("cargo::warning={warning}");
    }
    write(&out.join("codegen.log"), &(output.log.join("\n") + "\n"))?;
    output
        .files
        .iter()
        .try_for_each(|(name, text)| write(&out.join(name), text))
}

/// Runs all passes. `out` is the directory of the generated files.
pub(crate) fn generate(source: &source::Source, out: &Path) -> Result<Output> {
    let mut bundle = load::Bundle::parse(&source.bundle, &source.origin)?;
    let mut warnings = std::mem::take(&mut bundle.warnings);
    if let Some(ours) = &source.ours {
        warnings.extend(needed::keep(&mut bundle, ours, &source.origin)?);
    }
    let mut log = normalise::normalise(&mut bundle.definitions);
    let mut model = model::of(&bundle.definitions, &mut warnings)?;
    let unbound = methods::bind(&bundle, &source.stable_methods, &mut model);
    if source.vendored {
        if !unbound.is_empty() {
            return Err(Error::new(format!(
                "no response type known for {}; add it to RESPONSES in codegen/methods.rs",
                unbound.join(", "),
            )));
        }
        needed::check(&bundle, &model)?;
    }
    warnings.extend(unbound.iter().map(|method| {
        format!(
            "{}: no type known for the response of {method}; it is a plain JSON value",
            source.origin
        )
    }));
    cycles::cut(&mut model, &mut warnings);
    let answers = answers::emit(&model, &bundle.definitions);
    log.extend(empty::merge(&mut model));
    let mut files = emit::files(&model, out);
    files.push(("answers.json".into(), answers));
    Ok(Output {
        files,
        warnings,
        log,
    })
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(path))
        .and_then(|()| fs::write(path, text))
        .map_err(|error| Error::new(format!("{}: {error}", path.display())))
}
