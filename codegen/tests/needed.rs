//! The list of needed types matches the crate's own code, and fills the gaps of other schemas.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Value, json};
use syn::visit::Visit;

use super::super::{
    emit::BY_HAND,
    load::Bundle,
    model,
    needed::{METHODS, Ours, TYPES, keep, model_of},
    normalise,
};

const VENDORED: &str = include_str!("../../schema/codex_app_server_protocol.schemas.json");

/// The names in paths through `protocol`, and in what is imported from it.
#[derive(Default)]
struct Named(BTreeSet<String>);

impl<'a> Visit<'a> for Named {
    fn visit_path(&mut self, path: &'a syn::Path) {
        let names: Vec<String> = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string())
            .collect();
        if let Some(at) = names.iter().position(|name| name == "protocol")
            && let Some(name) = names.get(at + 1)
        {
            self.0.insert(name.clone());
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_use_path(&mut self, path: &'a syn::UsePath) {
        if path.ident == "protocol" {
            leaves(&path.tree, &mut self.0);
        }
        syn::visit::visit_use_path(self, path);
    }
}

fn leaves(tree: &syn::UseTree, names: &mut BTreeSet<String>) {
    match tree {
        syn::UseTree::Name(name) => drop(names.insert(name.ident.to_string())),
        syn::UseTree::Rename(name) => drop(names.insert(name.ident.to_string())),
        syn::UseTree::Group(group) => group.items.iter().for_each(|tree| leaves(tree, names)),
        syn::UseTree::Path(_) | syn::UseTree::Glob(_) => {}
    }
}

fn files(dir: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn the_crates_own_code_names_no_generated_type_that_is_not_in_the_list() {
    let bundle = Bundle::parse(VENDORED, "schema/").unwrap();
    let mut definitions = bundle.definitions.clone();
    normalise::normalise(&mut definitions);
    let types = model::of(&definitions, &mut Vec::new()).unwrap().types;
    let listed: BTreeSet<&str> = TYPES.iter().map(|(name, _)| *name).collect();
    let params = bundle
        .methods
        .iter()
        .filter(|method| METHODS.contains(&method.name.as_str()));
    let params: Vec<String> = params
        .map(|method| format!("{:?}", method.params))
        .collect();
    let mut found = Vec::new();
    files(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut found,
    );
    let mut unlisted = Vec::new();
    for path in found
        .iter()
        .filter(|path| !path.to_string_lossy().ends_with("_tests.rs"))
    {
        let text = fs::read_to_string(path).unwrap();
        let mut named = Named::default();
        named.visit_file(&syn::parse_file(&text).unwrap());
        for name in named
            .0
            .iter()
            .filter(|name| types.contains_key(*name) && !BY_HAND.contains(&name.as_str()))
        {
            let is_listed = listed.contains(name.as_str())
                || params.iter().any(|p| p.contains(&format!("\"{name}\"")));
            if !is_listed {
                unlisted.push(format!("{} names {name}", path.display()));
            }
        }
    }
    assert!(
        unlisted.is_empty(),
        "put it in codegen/needed/list.rs, or do without:\n{}",
        unlisted.join("\n")
    );
}

/// A bundle of the next release, with what the crate's own code needs put back, and the warnings.
fn kept(change: impl FnOnce(&mut Value)) -> (Bundle, Vec<String>) {
    let mut bundle: Value = serde_json::from_str(VENDORED).unwrap();
    change(&mut bundle);
    let mut theirs = Bundle::parse(&bundle.to_string(), "there").unwrap();
    let warnings = keep(&mut theirs, &Ours::parse(VENDORED).unwrap(), "there").unwrap();
    (theirs, warnings)
}

#[test]
fn a_schema_that_lacks_nothing_stays_as_it_is() {
    let (_, warnings) = kept(|_| {});
    assert_eq!(warnings, [""; 0]);
}

#[test]
fn removed_methods_types_fields_and_variants_are_kept_for_the_crates_own_code() {
    let (theirs, warnings) = kept(|bundle| {
        let definitions = &mut bundle["definitions"];
        let requests = definitions["ClientRequest"]["oneOf"]
            .as_array_mut()
            .unwrap();
        requests.retain(|method| method["properties"]["method"]["enum"][0] != "turn/steer");
        let types = definitions["v2"].as_object_mut().unwrap();
        types.remove("TurnSteerParams");
        types["ThreadStartParams"]["properties"]
            .as_object_mut()
            .unwrap()
            .remove("cwd");
        types["ThreadStartParams"]["properties"]["model"] = json!({ "type": "integer" });
        types["TurnStatus"]["enum"]
            .as_array_mut()
            .unwrap()
            .retain(|word| word != "interrupted");
        types["ReviewTarget"] = json!({ "type": "string" });
    });
    let steer = theirs
        .methods
        .iter()
        .find(|method| method.name == "turn/steer")
        .unwrap();
    assert!(steer.kept);
    let types = &theirs.definitions;
    assert!(types["TurnSteerParams"]["properties"]["expectedTurnId"].is_object());
    let start = &types["ThreadStartParams"]["properties"];
    assert!(
        start["cwd"].is_object() && start["model"]["type"] != "integer",
        "{start}"
    );
    assert!(
        types["TurnStatus"]["enum"]
            .as_array()
            .unwrap()
            .contains(&"interrupted".into())
    );
    assert!(types["ReviewTarget"]["oneOf"].is_array());
    for name in [
        "turn/steer",
        "ThreadStartParams (cwd, model)",
        "TurnStatus (interrupted)",
        "ReviewTarget",
    ] {
        assert!(
            warnings.iter().any(|warning| warning.contains(name)),
            "{name}: {warnings:#?}"
        );
    }
}

#[test]
fn a_new_required_field_of_a_listed_type_becomes_optional() {
    let (theirs, warnings) = kept(|bundle| {
        let params = &mut bundle["definitions"]["v2"]["TurnSteerParams"];
        params["properties"]["mood"] = json!({ "type": "string" });
        params["required"]
            .as_array_mut()
            .unwrap()
            .push("mood".into());
    });
    let steer = &theirs.definitions["TurnSteerParams"];
    assert!(steer["properties"]["mood"].is_object());
    assert!(
        !steer["required"]
            .as_array()
            .unwrap()
            .contains(&"mood".into())
    );
    assert!(
        warnings[0].contains("TurnSteerParams (mood)"),
        "{warnings:?}"
    );
}

#[test]
fn a_response_that_the_crates_own_code_makes_can_be_made_where_no_method_names_it() {
    let (theirs, _) = kept(|bundle| {
        let requests = bundle["definitions"]["ServerRequest"]["oneOf"]
            .as_array_mut()
            .unwrap();
        let at = |method: &str| {
            requests
                .iter()
                .position(|request| request["properties"]["method"]["enum"][0] == method)
                .unwrap()
        };
        let (asks, other) = (
            at("item/permissions/requestApproval"),
            at("item/tool/requestUserInput"),
        );
        requests[asks]["properties"]["params"] = requests[other]["properties"]["params"].clone();
    });
    let model = model_of(&theirs).unwrap();
    let ask = model
        .methods
        .iter()
        .find(|method| method.name == "item/permissions/requestApproval")
        .unwrap();
    let response = ask.response.as_deref();
    assert_eq!(response, Some("ToolRequestUserInputResponse"));
    for made in [
        "PermissionsRequestApprovalResponse",
        "GrantedPermissionProfile",
    ] {
        assert!(model.types[made].sent, "{made} has a constructor");
    }
}

/// Responses of which the crate's own code reads no field through the generated type.
const UNREAD: [&str; 9] = [
    "FsWatchResponse",
    "InitializeResponse",
    "ModelListResponse",
    "ReviewStartResponse",
    "ThreadForkResponse",
    "ThreadResumeResponse",
    "ThreadStartResponse",
    "ThreadUnarchiveResponse",
    "ThreadUnsubscribeResponse",
];

#[test]
fn every_response_that_the_crates_own_code_reads_is_in_the_list() {
    let model = model_of(&Bundle::parse(VENDORED, "here").unwrap()).unwrap();
    let listed: BTreeSet<&str> = TYPES.iter().map(|(name, _)| *name).collect();
    let called = model
        .methods
        .iter()
        .filter(|method| METHODS.contains(&method.name.as_str()));
    let responses = called.filter_map(|method| method.response.as_deref());
    let unlisted: Vec<&str> = responses
        .filter(|name| !listed.contains(name) && !UNREAD.contains(name) && !is_empty(&model, name))
        .collect();
    assert_eq!(
        unlisted, [""; 0],
        "each is in the list with the fields that are read, or in `UNREAD`"
    );
}

fn is_empty(model: &model::Model, name: &str) -> bool {
    matches!(&model.types[name].shape, model::Shape::Struct { fields, .. } if fields.is_empty())
}
