//! The generator on hundreds of simulated releases: no panics, no duplicate or dangling names,
//! valid Rust.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, LazyLock},
};

use serde_json::{Value, json};
use syn::{Item, Type};

use super::{
    super::{
        Output, Result, generate, names,
        needed::{Ours, TYPES},
        source::Source,
    },
    mutate::{Dice, MUTATIONS},
};

const BUNDLE: &str = include_str!("../../schema/codex_app_server_protocol.schemas.json");

/// Several changes at once, chosen by a seed, with their names.
fn next_release(seed: u64) -> (Value, Vec<&'static str>) {
    let mut dice = Dice::new(seed);
    let mut bundle = slice(&mut dice);
    // Each kind is the first change of some seed.
    let first = usize::try_from(seed).expect("a small number") % MUTATIONS.len();
    let mut changes = vec![first];
    changes.extend((0..dice.below(4)).map(|_| dice.below(MUTATIONS.len())));
    let mut names = Vec::new();
    for change in changes {
        let (name, mutation) = MUTATIONS[change];
        // Of definitions at the top some changes know nothing.
        if bundle["definitions"].is_object() {
            mutation(&mut bundle, &mut dice);
            names.push(name);
        }
    }
    (bundle, names)
}

/// A part of the schema, since there are hundreds to do: some methods, and what they refer to.
fn slice(dice: &mut Dice) -> Value {
    static WHOLE: LazyLock<Value> =
        LazyLock::new(|| serde_json::from_str(BUNDLE).expect("the schema is JSON"));
    let mut definitions = WHOLE["definitions"].clone();
    let all = std::mem::take(&mut definitions["v2"]);
    for (group, keep) in [
        ("ClientRequest", 14),
        ("ServerNotification", 8),
        ("ServerRequest", 5),
    ] {
        let methods = definitions[group]["oneOf"]
            .as_array_mut()
            .expect("a list of methods");
        while methods.len() > keep {
            methods.swap_remove(dice.below(methods.len()));
        }
    }
    let mut needed = serde_json::Map::new();
    // What the crate's own code needs is there as a rule.
    let definition = |ty: &&'static str| {
        let renamed = names::RENAMED.iter().find(|(_, instead)| instead == ty);
        renamed.map_or(*ty, |(name, _)| *name)
    };
    let own: Vec<String> = TYPES
        .iter()
        .map(|(ty, _)| format!("#/definitions/v2/{}\"", definition(ty)))
        .collect();
    let mut open = vec![definitions.to_string(), own.concat()];
    while let Some(text) = open.pop() {
        for part in text.split("#/definitions/v2/").skip(1) {
            let name = part.split('"').next().unwrap_or_default();
            if !needed.contains_key(name) && all[name] != Value::Null {
                open.push(all[name].to_string());
                needed.insert(name.to_owned(), all[name].clone());
            }
        }
    }
    definitions["v2"] = needed.into();
    serde_json::json!({ "definitions": definitions })
}

fn output(bundle: &Value) -> Result<Output> {
    static OURS: LazyLock<Arc<Ours>> =
        LazyLock::new(|| Arc::new(Ours::parse(BUNDLE).expect("the schema is a good one")));
    let source = Source {
        bundle: bundle.to_string(),
        ours: Some(OURS.clone()),
        stable_methods: BTreeSet::new(),
        vendored: false,
        origin: "the next release".into(),
    };
    generate(&source, Path::new("/out"))
}

/// The defects of the generated text.
#[expect(clippy::too_many_lines, reason = "one check after the other")]
fn problems(output: &Output) -> Vec<String> {
    let mut problems = Vec::new();
    let mut types = BTreeSet::new();
    let mut named: Vec<(String, String)> = Vec::new();
    let mut calls: BTreeMap<(String, String), usize> = BTreeMap::new();
    for (file, text) in output
        .files
        .iter()
        .filter(|(name, _)| name.starts_with("protocol/"))
    {
        let parsed = match syn::parse_file(text) {
            Ok(parsed) => parsed,
            Err(error) => {
                let line = text
                    .lines()
                    .nth(error.span().start().line.saturating_sub(1));
                problems.push(format!("{file}: {error} in {}", line.unwrap_or_default()));
                continue;
            }
        };
        for item in &parsed.items {
            let (name, members): (_, Vec<(String, Vec<&Type>)>) = match item {
                Item::Struct(item) => {
                    let field = |field: &syn::Field| {
                        field
                            .ident
                            .as_ref()
                            .map_or_else(String::new, ToString::to_string)
                    };
                    (
                        &item.ident,
                        item.fields
                            .iter()
                            .map(|f| (field(f), vec![&f.ty]))
                            .collect(),
                    )
                }
                Item::Enum(item) => {
                    let member = |v: &'_ syn::Variant| v.ident.to_string();
                    (
                        &item.ident,
                        item.variants
                            .iter()
                            .map(|v| (member(v), v.fields.iter().map(|f| &f.ty).collect()))
                            .collect(),
                    )
                }
                Item::Type(item) => (&item.ident, vec![(String::new(), vec![&*item.ty])]),
                Item::Macro(call) => {
                    let name = call
                        .mac
                        .path
                        .segments
                        .last()
                        .map_or_else(String::new, |s| s.ident.to_string());
                    let first = call
                        .mac
                        .tokens
                        .clone()
                        .into_iter()
                        .next()
                        .map_or_else(String::new, |t| t.to_string());
                    *calls.entry((name, first)).or_default() += 1;
                    continue;
                }
                _ => continue,
            };
            if !types.insert(name.to_string()) {
                problems.push(format!("{name} is there twice"));
            }
            let mut seen = BTreeSet::new();
            for (member, types) in members {
                if !seen.insert(member.clone()) {
                    problems.push(format!("{name} has {member} twice"));
                }
                for ty in types {
                    mentions(ty, &mut |mentioned| {
                        named.push((name.to_string(), mentioned));
                    });
                }
            }
        }
    }
    let known = [
        "BTreeMap",
        "Box",
        "Map",
        "Option",
        "RawValue",
        "RequestId",
        "ThreadId",
        "TurnId",
        "String",
        "Value",
        "Vec",
        "str",
        "bool",
        "f32",
        "f64",
        "i8",
        "i16",
        "i32",
        "i64",
        "u8",
        "u16",
        "u32",
        "u64",
    ];
    for (owner, ty) in named {
        if !types.contains(&ty) && !known.contains(&ty.as_str()) {
            problems.push(format!("{owner} names {ty}, which is not there"));
        }
    }
    // Each of these is an impl of a trait for the type that comes first.
    let twice = calls.iter().filter(|(_, count)| **count > 1);
    problems.extend(twice.map(|((name, ty), _)| format!("{name}!({ty}) is there twice")));
    problems
}

fn mentions(ty: &Type, found: &mut dyn FnMut(String)) {
    let Type::Path(path) = ty else {
        return;
    };
    for segment in &path.path.segments {
        found(segment.ident.to_string());
        if let syn::PathArguments::AngleBracketed(arguments) = &segment.arguments {
            for argument in &arguments.args {
                if let syn::GenericArgument::Type(ty) = argument {
                    mentions(ty, found);
                }
            }
        }
    }
}

/// The failure for a seed, if there is one.
fn trouble(seed: u64) -> Option<String> {
    let (bundle, changes) = next_release(seed);
    let found = match catch_unwind(AssertUnwindSafe(|| output(&bundle))) {
        Ok(Ok(output)) => problems(&output),
        Ok(Err(error)) => vec![format!("the build would end: {error}")],
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            vec![format!("panicked: {}", text.unwrap_or_default())]
        }
    };
    (!found.is_empty())
        .then(|| format!("seed {seed} ({}): {}", changes.join(", "), found.join("; ")))
}

#[test]
fn the_schema_in_the_repository_has_no_problem_and_no_warning() {
    let source = Source {
        bundle: BUNDLE.to_owned(),
        ours: None,
        stable_methods: BTreeSet::new(),
        vendored: true,
        origin: "schema/".into(),
    };
    let output = generate(&source, Path::new("/out")).expect("it is ours");
    assert_eq!(output.warnings, [""; 0]);
    assert_eq!(problems(&output), [""; 0]);
}

/// The number of releases that the ordinary tests simulate.
const SEEDS: u64 = 128;

/// `CAS_SEEDS=4,39` tries these again.
fn seeds(otherwise: std::ops::Range<u64>) -> Vec<u64> {
    match std::env::var("CAS_SEEDS") {
        Ok(list) => list
            .split(',')
            .filter_map(|seed| seed.trim().parse().ok())
            .collect(),
        Err(_) => otherwise.collect(),
    }
}

#[test]
fn many_next_releases_become_types_or_a_readable_error() {
    let seeds = seeds(0..SEEDS);
    let (odd, even): (Vec<u64>, Vec<u64>) = seeds.iter().partition(|seed| *seed % 2 == 1);
    let troubles: Vec<String> = std::thread::scope(|scope| {
        let try_all = |seeds: Vec<u64>| seeds.into_iter().filter_map(trouble).collect::<Vec<_>>();
        let other = scope.spawn(move || try_all(odd));
        let mut troubles = try_all(even);
        troubles.extend(other.join().expect("panics are caught"));
        troubles
    });
    let shown: Vec<&str> = troubles
        .iter()
        .take(20)
        .map(|t| t.get(..1000).unwrap_or(t))
        .collect();
    assert!(
        troubles.is_empty(),
        "{} of {}:\n{}",
        troubles.len(),
        seeds.len(),
        shown.join("\n")
    );
}

#[test]
#[ignore = "compiles the crate twelve times"]
fn the_crate_compiles_with_next_releases() {
    // Together they have every kind of change.
    let seeds = seeds(0..12);
    let part = |at: usize| at * MUTATIONS.len() / 12;
    let mut failed = Vec::new();
    for seed in seeds {
        let at = usize::try_from(seed % 12).expect("a small number");
        let mut bundle: Value = serde_json::from_str(BUNDLE).expect("the schema is JSON");
        let mut dice = Dice::new(seed);
        let changes = MUTATIONS[part(at)..part(at + 1)].iter();
        // Those that move the definitions come last: the others look for them where they are.
        let (moving, others): (Vec<_>, Vec<_>) = changes.partition(|(name, _)| *name == "$defs");
        let changes: Vec<_> = others.into_iter().chain(moving).collect();
        for (_, mutation) in &changes {
            mutation(&mut bundle, &mut dice);
        }
        let changes: Vec<&str> = changes.iter().map(|(name, _)| *name).collect();
        let errors = errors_with(&bundle);
        let result = errors.as_ref().map_or("compiles", |_| "does not compile");
        println!("seed {seed} ({}): {result}", changes.join(", "));
        if let Some(errors) = errors {
            println!("{errors}");
            failed.push(seed);
        }
    }
    assert!(failed.is_empty(), "these seeds do not compile: {failed:?}");
}

/// The compiler finds every field that is read or set although the list does not name it.
#[test]
#[ignore = "compiles the crate"]
fn the_crate_compiles_with_a_schema_that_has_nothing_but_what_is_listed() {
    let listed: BTreeMap<&str, &[&str]> = TYPES.into_iter().collect();
    let mut bundle: Value = serde_json::from_str(BUNDLE).expect("the schema is JSON");
    let mut bare = 0;
    for pointer in ["/definitions", "/definitions/v2"] {
        let definitions = bundle.pointer_mut(pointer).and_then(Value::as_object_mut);
        for (name, definition) in definitions.expect("definitions") {
            let is_struct = definition["type"] == "object" && definition["properties"].is_object();
            let parts = listed.get(names::ty(name).as_str()).copied();
            let parts = parts.unwrap_or_default();
            if !is_struct || parts.contains(&"*") {
                continue;
            }
            // Not empty, so that it is a struct of its own.
            definition["properties"]["other"] = json!({ "type": "string" });
            let keep = |field: &str| field == "other" || parts.contains(&field);
            let fields = definition["properties"].as_object_mut();
            fields.expect("fields").retain(|field, _| keep(field));
            if let Some(required) = definition["required"].as_array_mut() {
                required.retain(|field| field.as_str().is_some_and(keep));
            }
            bare += 1;
        }
    }
    assert!(bare > 400, "{bare}");
    let errors = errors_with(&bundle);
    assert!(errors.is_none(), "{}", errors.unwrap_or_default());
}

/// Compiles the library and `cas` with a schema. Returns what the compiler says if they do not compile.
fn errors_with(bundle: &Value) -> Option<String> {
    let scratch = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("next-release");
    fs::create_dir_all(&scratch).expect("a directory");
    let file = scratch.join(super::super::source::BUNDLE);
    fs::write(file, bundle.to_string()).expect("a file");
    let run = Command::new(env!("CARGO"))
        .args([
            "check",
            "--quiet",
            "--features",
            "cli,testing",
            "--target-dir",
        ])
        .arg(scratch.join("target"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("CAS_SCHEMA_DIR", &scratch)
        .env_remove("CAS_CODEX")
        .output()
        .expect("cargo runs");
    let said = String::from_utf8_lossy(&run.stderr);
    let errors = said
        .lines()
        .filter(|line| !line.starts_with("warning: cas-sdk"));
    (!run.status.success()).then(|| errors.collect::<Vec<_>>().join("\n"))
}
