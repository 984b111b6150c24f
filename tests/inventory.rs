//! The built-in inventory agrees with the schema, which this test reads independently of the
//! generator.

#[path = "common/built_from.rs"]
mod built_from;

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write as _,
    fs,
    path::Path,
};

use cas_sdk::protocol::{MethodInfo, MethodKind, inventory};
use serde_json::Value;

/// The counts of methods in the vendored schema.
const KINDS: [(MethodKind, &str, usize); 4] = [
    (MethodKind::Request, "ClientRequest", 189),
    (MethodKind::ServerRequest, "ServerRequest", 10),
    (MethodKind::Notification, "ServerNotification", 87),
    (MethodKind::ClientNotification, "ClientNotification", 1),
];

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn definitions() -> Value {
    built_from::bundle()["definitions"].clone()
}

/// The name of the type under `params`; `None` for `null` or nothing.
fn params(variant: &Value) -> Option<String> {
    let params = &variant["properties"]["params"];
    let named = |schema: &Value| Some(schema["$ref"].as_str()?.rsplit('/').next()?.to_owned());
    named(params).or_else(|| params["anyOf"].as_array()?.iter().find_map(named))
}

fn methods<'a>(
    definitions: &'a Value,
    group: &str,
) -> impl Iterator<Item = (&'a str, Option<String>)> {
    let variants = definitions[group]["oneOf"].as_array().unwrap();
    variants.iter().map(|variant| {
        let method = &variant["properties"]["method"]["enum"][0];
        (method.as_str().unwrap(), params(variant))
    })
}

fn of(kind: MethodKind) -> impl Iterator<Item = &'static MethodInfo> {
    inventory().iter().filter(move |method| method.kind == kind)
}

#[test]
fn every_method_of_the_schema_is_in_the_inventory_with_its_params_and_nothing_else_is() {
    let definitions = definitions();
    for (kind, group, count) in KINDS {
        let schema: BTreeMap<&str, Option<String>> = methods(&definitions, group).collect();
        let ours: BTreeMap<&str, Option<&str>> = of(kind)
            .map(|method| (method.method, method.params))
            .collect();
        if !cfg!(foreign_schema) {
            assert_eq!(schema.len(), count, "{group}");
        }
        assert_eq!(of(kind).count(), schema.len(), "{group}: a method twice");
        assert!(schema.keys().eq(ours.keys()), "{group}: {ours:?}");
        let mut users: BTreeMap<&str, usize> = BTreeMap::new();
        for params in schema.values().flatten() {
            *users.entry(params).or_default() += 1;
        }
        // Each request is called by its own type.
        let own: BTreeSet<&str> = ours.values().copied().flatten().collect();
        let answered = matches!(kind, MethodKind::Request | MethodKind::ServerRequest);
        assert!(!answered || own.len() == ours.len(), "{group}: {ours:?}");
        for (method, params) in &schema {
            match (params.as_deref(), ours[method]) {
                // Of several methods with one type, all but one have a newtype.
                (Some(params), Some(ours)) if ours != params => assert!(
                    users[params] > 1
                        && definitions["v2"][ours].is_null()
                        && definitions[ours].is_null(),
                    "{method}: {ours}"
                ),
                (Some(params), ours) => assert_eq!(Some(params), ours, "{method}"),
                // A request without params has a unit struct of a name that the schema doesn't use.
                (None, Some(ours)) => assert!(
                    answered && definitions["v2"][ours].is_null() && definitions[ours].is_null(),
                    "{method}: {ours}"
                ),
                (None, None) => assert!(!answered, "{method} can't be called"),
            }
        }
    }
}

#[test]
fn a_method_is_experimental_if_the_stable_schema_lacks_it() {
    let stable = built_from::stable_methods();
    for method in inventory() {
        let ours = !method.experimental || method.kind == MethodKind::ClientNotification;
        assert_eq!(
            stable.contains(method.method) || method.kind == MethodKind::ClientNotification,
            ours,
            "{}",
            method.method
        );
    }
    let known: BTreeSet<String> = inventory().iter().map(|m| m.method.to_owned()).collect();
    let gone: Vec<_> = stable.difference(&known).collect();
    // An older schema lacks some methods that are stable today.
    assert!(
        gone.is_empty() || cfg!(foreign_schema),
        "stable, but not in the schema: {gone:?}"
    );
}

#[test]
fn every_response_of_the_schema_answers_a_method_and_every_request_has_one() {
    let definitions = definitions();
    let top = definitions.as_object().unwrap().keys();
    let nested = definitions["v2"].as_object().unwrap().keys();
    let schema: BTreeSet<&str> = top
        .chain(nested)
        .map(String::as_str)
        .filter(|name| name.ends_with("Response") && !name.starts_with("JSONRPC"))
        .collect();
    // `Value` is for a response that nothing is known of, which only happens to a foreign schema,
    // and with a warning.
    let ours: BTreeSet<&str> = inventory()
        .iter()
        .filter_map(|method| method.response)
        .filter(|response| !cfg!(foreign_schema) || *response != "Value")
        .collect();
    let invented: Vec<_> = ours.difference(&schema).collect();
    assert!(invented.is_empty(), "not in the schema: {invented:?}");
    let unused: Vec<_> = schema.difference(&ours).collect();
    assert!(
        unused.is_empty() || cfg!(foreign_schema),
        "answers nothing: {unused:?}"
    );
    for method in inventory() {
        let answered = matches!(method.kind, MethodKind::Request | MethodKind::ServerRequest);
        assert_eq!(answered, method.response.is_some(), "{}", method.method);
    }
}

/// A reviewed file lists the pairs of params and response, which the schema does not have.
#[test]
#[cfg_attr(foreign_schema, ignore = "the file is of the schema in the repository")]
fn the_inventory_is_the_one_that_was_reviewed() {
    let mut text = String::from(
        "# kind, method, (params) -> response, * needs experimentalApi. Written by tests/inventory.rs with CAS_BLESS=1.\n",
    );
    for (kind, ..) in KINDS {
        let _ = writeln!(text, "\n{kind:?}: {}", of(kind).count());
        for method in of(kind) {
            let star = if method.experimental { "*" } else { " " };
            let params = method.params.unwrap_or_default();
            let response = method.response.map(|response| format!(" -> {response}"));
            let _ = writeln!(
                text,
                "{star} {} ({params}){}",
                method.method,
                response.unwrap_or_default()
            );
        }
    }
    let path = "tests/golden/inventory.txt";
    if env::var_os("CAS_BLESS").is_some() {
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(path), &text).unwrap();
    }
    assert!(
        read(path) == text,
        "{path} is stale: look at the change, then run again with CAS_BLESS=1"
    );
}
