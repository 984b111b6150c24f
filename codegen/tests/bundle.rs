//! Tests of the passes from the text of a bundle to corrected definitions.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::{
    load::{Bundle, Kind, Params},
    names,
    normalise::without_null,
};
use super::{bundle, normalised, parse, reference};

#[test]
fn nested_definitions_are_lifted_and_references_follow() {
    let nested = json!({ "v2": {
        "Inner": { "title": "A title", "type": "string" },
        "Outer": { "properties": { "title": { "$ref": "#/definitions/v2/Inner" } } },
    } });
    let definitions = parse(&bundle(&[], &nested)).unwrap().definitions;
    assert_eq!(definitions["Inner"], json!({ "type": "string" }));
    // A property may be called `title`; only the keyword goes.
    assert_eq!(
        definitions["Outer"]["properties"]["title"],
        reference("Inner")
    );
}

#[test]
fn a_name_with_two_meanings_becomes_two_types_and_a_duplicate_becomes_one() {
    let twice = |inner: Value| json!({ "Same": { "type": "string" }, "v2": { "Same": inner } });
    let same = parse(&bundle(
        &[],
        &twice(json!({ "type": "string", "title": "x" })),
    ))
    .unwrap();
    assert_eq!((same.definitions.len(), same.warnings.len()), (1, 0));
    let other = parse(&bundle(&[], &twice(json!({ "type": "integer" })))).unwrap();
    // The newer one has the plain name.
    assert_eq!(other.definitions["Same"], json!({ "type": "integer" }));
    assert_eq!(other.definitions["Same2"], json!({ "type": "string" }));
    assert!(
        other.warnings[0].starts_with("`Same` is defined twice"),
        "{:?}",
        other.warnings
    );
}

#[test]
fn params_are_a_type_or_a_nullable_type_or_nothing() {
    let nullable = json!({ "anyOf": [reference("P"), { "type": "null" }] });
    let methods = [
        ("a", reference("P")),
        ("b", nullable),
        ("c", json!({ "type": "null" })),
        ("d", Value::Null),
    ];
    let found = parse(&bundle(&methods, &json!({ "P": {} })))
        .unwrap()
        .methods;
    let ty = |nullable| Params::Type {
        name: "P".into(),
        nullable,
    };
    let params: Vec<_> = found.iter().map(|method| method.params.clone()).collect();
    assert_eq!(params, [ty(false), ty(true), Params::None, Params::None]);
    assert!(found.iter().all(|method| method.kind == Kind::Request));
}

#[test]
fn a_file_that_is_no_bundle_is_refused_by_its_path() {
    for bad in [json!({}), json!({ "definitions": {} }), json!(1)] {
        let error = parse(&bad).unwrap_err().to_string();
        assert!(error.starts_with("here: not a codex"), "{error}");
    }
}

#[test]
fn a_wrong_wire_name_is_corrected_and_an_unused_patch_is_reported() {
    let (definitions, log) = normalised(&json!({ "ThreadRealtimeItem": { "oneOf": [{
        "required": ["item_id"],
        "properties": { "item_id": { "type": "string" } },
    }] } }));
    let branch = &definitions["ThreadRealtimeItem"]["oneOf"][0];
    assert_eq!(branch["required"], json!(["itemId"]));
    assert_eq!(
        branch["properties"],
        json!({ "itemId": { "type": "string" } })
    );
    assert!(log.contains(&"ThreadRealtimeItem.item_id: renamed to itemId".to_owned()));
    assert!(
        log.iter()
            .any(|line| line.contains("turn_id: fixed upstream")),
        "{log:?}"
    );
}

#[test]
fn a_map_that_the_export_lost_is_a_map_again() {
    let object = json!({ "type": "object", "properties": {} });
    let (definitions, _) = normalised(&json!({ "AppsConfig": object, "AppConfig": object }));
    let extra = &definitions["AppsConfig"]["additionalProperties"];
    assert_eq!(*extra, reference("AppConfig"));
}

#[test]
fn constraints_are_dropped_and_formats_decide_the_width_of_numbers() {
    let (definitions, _) = normalised(&json!({ "Thing": { "properties": {
        "size": { "type": "integer", "format": "uint", "minimum": 1 },
        "at": { "type": "string", "format": "date-time", "minLength": 1 },
    } } }));
    let properties = &definitions["Thing"]["properties"];
    assert_eq!(
        properties["size"],
        json!({ "type": "integer", "format": "uint64" })
    );
    assert_eq!(properties["at"], json!({ "type": "string" }));
}

#[test]
fn a_reference_with_a_description_beside_it_is_still_a_reference() {
    let (definitions, _) = normalised(&json!({ "Thing": { "properties": {
        "mode": { "allOf": [reference("Mode")], "description": "How." },
    } } }));
    let mode = &definitions["Thing"]["properties"]["mode"];
    assert_eq!(mode["$ref"], "#/definitions/Mode");
    assert_eq!(mode["description"], "How.");
    assert_eq!(mode.get("allOf"), None);
}

#[test]
fn properties_beside_a_union_go_into_each_branch() {
    let (definitions, _) = normalised(&json!({ "Union": {
        "oneOf": [{ "properties": { "a": {} }, "required": ["a"] }, { "properties": { "b": {} } }],
        "properties": { "common": { "type": "string" } },
        "required": ["common"],
    } }));
    let union = &definitions["Union"];
    assert_eq!(union.get("properties"), None);
    for branch in union["oneOf"].as_array().unwrap() {
        assert_eq!(branch["properties"]["common"], json!({ "type": "string" }));
        let required = branch["required"].as_array().unwrap();
        assert!(required.contains(&"common".into()), "{branch}");
    }
}

#[test]
fn alternative_sets_of_properties_become_optional_ones() {
    let (definitions, _) = normalised(&json!({ "Thing": {
        "type": "object",
        "properties": { "always": {} },
        "anyOf": [
            { "properties": { "this": {} }, "required": ["this"] },
            { "properties": { "that": {} }, "required": ["that"] },
        ],
    } }));
    let thing = &definitions["Thing"];
    assert_eq!(
        thing["properties"],
        json!({ "always": {}, "this": {}, "that": {} })
    );
    assert_eq!((thing.get("anyOf"), thing.get("required")), (None, None));
}

#[test]
fn an_object_without_properties_is_empty_if_it_is_a_message_and_free_if_not() {
    let object = json!({ "type": "object" });
    let (definitions, _) = normalised(&json!({
        "ThingResponse": object,
        "Thing": object,
        "Closed": { "type": "object", "properties": {}, "additionalProperties": false },
    }));
    assert_eq!(definitions["ThingResponse"]["properties"], json!({}));
    assert_eq!(definitions["Thing"]["additionalProperties"], json!({}));
    assert_eq!(definitions["Closed"].get("additionalProperties"), None);
}

#[test]
fn null_is_found_in_a_list_of_types_and_among_alternatives() {
    let string = json!({ "type": "string" });
    for (schema, plain, nullable) in [
        (json!({ "type": ["string", "null"] }), string.clone(), true),
        (
            json!({ "anyOf": [reference("X"), { "type": "null" }] }),
            reference("X"),
            true,
        ),
        (string.clone(), string, false),
    ] {
        assert_eq!(without_null(&schema), (plain, nullable), "{schema}");
    }
}

#[test]
fn generated_names_are_idiomatic() {
    for (wire, name) in [
        ("read-only", "ReadOnly"),
        ("unknown", "UnknownToServer"),
        ("self", "Itself"),
        ("2fa", "V2fa"),
    ] {
        assert_eq!(names::variant(wire), name);
    }
    assert_eq!(
        names::payload("AgentMessage", "ThreadItem"),
        "AgentMessageThreadItem"
    );
    assert_eq!(
        names::payload("ExternalSandbox", "SandboxPolicy"),
        "ExternalSandboxPolicy"
    );
    let cut = names::without_common_ends(&["BigTextThing", "BigListThing"]);
    assert_eq!(cut, ["Text", "List"]);
    assert_eq!(names::area("GetAccountParams"), "account");
    assert_eq!(names::area("Nothing"), "common");
}

#[test]
fn no_generated_type_has_the_name_of_one_at_the_root_of_the_crate() {
    let list = include_str!("../../tests/golden/public_api.txt");
    let ours: BTreeSet<&str> = list
        .lines()
        .filter_map(|line| {
            let path = line.strip_prefix("cas_sdk::")?;
            let path = path.strip_prefix("prelude::").unwrap_or(path);
            let (name, what) = path.split_once(": ")?;
            let is_type = ["struct", "enum", "trait"]
                .iter()
                .any(|kind| what.starts_with(kind));
            (is_type && !name.contains("::")).then_some(name)
        })
        .collect();
    assert!(ours.contains("Thread") && ours.contains("Approvals"));
    let bundle = include_str!("../../schema/codex_app_server_protocol.schemas.json");
    let definitions = Bundle::parse(bundle, "here").unwrap().definitions;
    assert!(definitions.contains_key("ThreadInfo"));
    let both: Vec<&String> = definitions
        .keys()
        .filter(|name| ours.contains(name.as_str()))
        .collect();
    assert!(both.is_empty(), "{both:?}");
}
