//! Tests of each pass, on schemas of a few lines.

mod bundle;
mod mutate;
mod needed;
mod next_release;
mod output;
mod shapes;
mod sharing;
mod sources;

use std::{collections::BTreeSet, path::Path};

use serde_json::{Value, json};

use super::{
    Output, Result, generate,
    load::{Bundle, Definitions},
    model::{Field, Model, Shape},
    normalise,
    source::Source,
};

/// A bundle with these requests (each a method and its params) and definitions.
fn bundle(requests: &[(&str, Value)], definitions: &Value) -> Value {
    let request = |(method, params): &(&str, Value)| {
        let mut variant = json!({ "properties": { "method": { "enum": [method] } } });
        if !params.is_null() {
            variant["properties"]["params"] = params.clone();
        }
        variant
    };
    let requests: Vec<Value> = requests.iter().map(request).collect();
    let mut all = json!({
        "ClientRequest": { "oneOf": requests },
        "ServerNotification": { "oneOf": [] },
        "ServerRequest": { "oneOf": [] },
        "ClientNotification": { "oneOf": [] },
    });
    for (name, definition) in definitions.as_object().into_iter().flatten() {
        all[name] = definition.clone();
    }
    json!({ "definitions": all })
}

fn parse(bundle: &Value) -> Result<Bundle> {
    Bundle::parse(&bundle.to_string(), "here")
}

fn source(bundle: &Value, vendored: bool) -> Source {
    Source {
        bundle: bundle.to_string(),
        stable_methods: BTreeSet::from(["thing/start".to_owned()]),
        ours: None,
        vendored,
        origin: "here".into(),
    }
}

/// Runs all passes.
fn output(bundle: &Value) -> Output {
    generate(&source(bundle, false), Path::new("/out")).expect("the schema is a good one")
}

/// The output file of types without a module of their own.
fn common(bundle: &Value) -> String {
    let files = output(bundle).files;
    let file = files
        .into_iter()
        .find(|(name, _)| name == "protocol/common.rs");
    file.expect("there is a type without an area").1
}

fn object(properties: &Value, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": properties, "required": required })
}

/// The text of an output file.
fn file(bundle: &Value, name: &str) -> String {
    let files = output(bundle).files;
    files.into_iter().find(|(file, _)| file == name).unwrap().1
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/definitions/{name}") })
}

fn normalised(definitions: &Value) -> (Definitions, Vec<String>) {
    let mut definitions = definitions.as_object().expect("an object").clone();
    let log = normalise::normalise(&mut definitions);
    (definitions, log)
}

/// Runs the passes up to the types.
fn model(definitions: &Value) -> Result<Model> {
    let (definitions, _) = normalised(definitions);
    super::model::of(&definitions, &mut Vec::new())
}

fn good_model(definitions: &Value) -> Model {
    model(definitions).expect("the definitions are good ones")
}

/// The field of a struct by its name on the wire.
fn field(model: &Model, owner: &str, wire: &str) -> Field {
    let Shape::Struct { fields, .. } = &model.types[owner].shape else {
        panic!("{owner} is no struct: {:?}", model.types[owner].shape);
    };
    let field = fields.iter().find(|field| field.wire == wire);
    field
        .unwrap_or_else(|| panic!("{owner} has no {wire}"))
        .clone()
}
