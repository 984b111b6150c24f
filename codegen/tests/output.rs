//! Tests of the emitters, from types and methods to source text.

use std::path::Path;

use serde_json::{Value, json};

use super::super::{docs, generate};
use super::{bundle, common, file, object, reference, source};

#[test]
fn a_response_is_found_by_the_params_the_method_or_the_table() {
    let empty = object(&json!({}), &[]);
    let methods = [
        ("thing/start", reference("ThingStartParams")),
        ("thing/stop", Value::Null),
        ("account/logout", Value::Null),
    ];
    let text = file(
        &bundle(
            &methods,
            &json!({
                "ThingStartParams": empty, "ThingStartResponse": empty, "ThingStopResponse": empty,
                "LogoutAccountResponse": empty,
            }),
        ),
        "protocol/methods.rs",
    );
    for call in [
        "call!(ThingStartParams, \"thing/start\", ThingStartResponse);",
        "call!(ThingStopParams, \"thing/stop\", experimental, ThingStopResponse);",
        "call!(AccountLogoutParams, \"account/logout\", experimental, LogoutAccountResponse);",
        "no_params!(ThingStopParams);",
    ] {
        assert!(text.contains(call), "{call} is not in {text}");
    }
}

#[test]
fn a_method_without_a_response_stops_the_build_or_is_a_warning_if_the_schema_is_foreign() {
    let bundle = bundle(&[("thing/dream", Value::Null)], &json!({}));
    let error = generate(&source(&bundle, true), Path::new("/out"))
        .err()
        .unwrap();
    assert!(
        error
            .to_string()
            .contains("no response type known for thing/dream"),
        "{error}"
    );
    let output = generate(&source(&bundle, false), Path::new("/out")).unwrap();
    assert!(
        output.warnings[0].contains("thing/dream"),
        "{:?}",
        output.warnings
    );
    let methods = output
        .files
        .iter()
        .find(|(name, _)| name == "protocol/methods.rs");
    assert!(
        methods
            .unwrap()
            .1
            .contains("call!(ThingDreamParams, \"thing/dream\", experimental, Value);")
    );
}

#[test]
fn responses_without_fields_are_one_type_and_params_without_fields_are_not() {
    let empty = object(&json!({}), &[]);
    let text = common(&bundle(
        &[
            ("thing/start", reference("ThingStartParams")),
            ("thing/stop", reference("ThingStopParams")),
        ],
        &json!({
            "ThingStartParams": empty, "ThingStartResponse": empty, "ThingStopParams": empty,
            "ThingStopResponse": object(&json!({ "id": { "type": "string" } }), &[]),
        }),
    ));
    for line in [
        "pub type ThingStartResponse = Empty;",
        "pub struct Empty {}",
        "pub struct ThingStartParams {}",
        "pub struct ThingStopResponse {\n",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    assert_eq!(text.matches(" = Empty;").count(), 1, "{text}");
}

#[test]
fn a_type_of_the_schema_may_be_called_empty() {
    let empty = object(&json!({}), &[]);
    let text = common(&bundle(
        &[("thing/start", reference("ThingStartParams"))],
        &json!({
            "ThingStartParams": object(&json!({ "empty": reference("Empty") }), &[]),
            "ThingStartResponse": empty, "Empty": { "type": "string" },
        }),
    ));
    assert!(text.contains("pub struct ThingStartResponse {}"), "{text}");
    assert!(!text.contains("= Empty;"), "{text}");
}

#[test]
fn the_inventory_has_a_line_for_each_method_and_a_tab_between_its_parts() {
    let empty = json!({ "type": "object", "description": "Starts a\nthing. Twice." });
    let bundle = bundle(
        &[
            ("thing/start", reference("ThingStartParams")),
            ("thing/stop", Value::Null),
        ],
        &json!({
            "ThingStartParams": empty, "ThingStartResponse": empty, "ThingStopResponse": empty,
        }),
    );
    assert_eq!(
        file(&bundle, "inventory.txt"),
        "Request\tthing/start\tThingStartParams\tThingStartResponse\t\tStarts a thing.\n\
         Request\tthing/stop\tThingStopParams\tThingStopResponse\texperimental\t\n",
    );
}

#[test]
fn only_what_a_client_sends_has_constructors_and_setters() {
    let fields = json!({
        "id": { "type": "string" },
        "note": { "type": ["string", "null"] },
        "count": { "type": "integer", "default": 5 },
    });
    let text = common(&bundle(
        &[("thing/start", reference("ThingStartParams"))],
        &json!({
            "ThingStartParams": object(&fields, &["id"]),
            "ThingStartResponse": object(&fields, &["id"]),
        }),
    ));
    let (params, response) = text.split_once("ThingStartResponse {").unwrap();
    assert!(
        params.contains("    pub fn new(id: impl Into<String>) -> Self {\n"),
        "{params}"
    );
    assert!(
        params.contains("impl From<&str> for ThingStartParams {"),
        "{params}"
    );
    assert!(
        params.contains("    some_into {\n        note: String,\n    }\n"),
        "{params}"
    );
    // What we send does not mention defaults; what we received is written as codex does it.
    assert!(
        params.contains("implied {\n        count \"count\" 5,"),
        "{params}"
    );
    assert!(
        response.contains("filled {\n        count \"count\" 5,"),
        "{response}"
    );
    assert!(
        !response.contains("new(") && !response.contains("setters!"),
        "{response}"
    );
}

#[test]
fn each_field_is_in_the_group_for_its_presence() {
    let nullable = json!({ "type": ["string", "null"] });
    let fields = json!({
        "needed": { "type": "string" }, "neededOrNull": nullable, "optional": nullable,
        "any": true, "count": { "type": "integer", "default": 5 }, "apiKey": { "type": "string" },
    });
    let text = common(&bundle(
        &[],
        &json!({
            "Thing": object(&fields, &["needed", "neededOrNull", "apiKey"]),
        }),
    ));
    let expected = "struct_serde!(Thing {\n    \
        required {\n        api_key \"apiKey\",\n        needed \"needed\",\n    }\n    \
        nullable {\n        needed_or_null \"neededOrNull\",\n    }\n    \
        optional {\n        optional \"optional\",\n    }\n    \
        present {\n        any \"any\",\n    }\n    \
        filled {\n        count \"count\" 5,\n    }\n\
        } read_object (Required(api_key), Required(needed), Optional(needed_or_null), Optional(optional), Nullable(any), Optional(count)));\n";
    assert!(text.contains(expected), "{text}");
    assert!(
        text.contains("redacted!(Thing {") && text.contains("; api_key });"),
        "{text}"
    );
    assert!(
        text.contains("    /// Defaults to `5`.\n    pub count: i64,\n"),
        "{text}"
    );
}

#[test]
fn a_row_that_is_too_long_for_a_tuple_has_tuples_in_it() {
    let properties: serde_json::Map<_, _> = (0..70)
        .map(|n| (format!("f{n:02}"), json!({ "type": "string" })))
        .collect();
    let required: Vec<&str> = properties.keys().map(String::as_str).collect();
    let thing = object(&json!(properties), &required);
    let text = common(&bundle(&[], &json!({ "Thing": thing })));
    let (_, row) = text.split_once("read_object ").unwrap();
    let mut widest = vec![0];
    for c in row.chars().take_while(|c| *c != ';') {
        match c {
            '(' => widest.push(0),
            ',' => *widest.last_mut().unwrap() += 1,
            ')' => assert!(widest.pop().unwrap() <= 8, "{row}"),
            _ => {}
        }
    }
    assert_eq!(row.matches("Required(").count(), 70);
}

#[test]
fn a_list_with_a_cursor_comes_in_pages() {
    let text = file(
        &bundle(
            &[("thing/list", reference("ThingListParams"))],
            &json!({
                "ThingListParams": object(&json!({ "cursor": { "type": ["string", "null"] } }), &[]),
                "ThingListResponse": object(&json!({
                    "data": { "type": "array", "items": reference("Thing") },
                    "nextCursor": { "type": ["string", "null"] },
                }), &["data"]),
                "Thing": object(&json!({}), &[]),
            }),
        ),
        "protocol/methods.rs",
    );
    assert!(text.contains("paged!(ThingListParams, Thing);"), "{text}");
}

#[test]
fn answers_keep_what_they_refer_to_and_drop_the_prose() {
    let mut schema = bundle(
        &[],
        &json!({
            "AskParams": object(&json!({}), &[]),
            "AskResponse": object(&json!({ "word": reference("Word") }), &[]),
            "Word": { "type": "string", "description": "Prose." },
            "Unused": { "type": "string" },
        }),
    );
    schema["definitions"]["ServerRequest"]["oneOf"] = json!([{ "properties": { "method": { "enum": ["ask"] }, "params": reference("AskParams") } }]);
    let answers: Value = serde_json::from_str(&file(&schema, "answers.json")).unwrap();
    assert_eq!(answers["methods"], json!({ "ask": "AskResponse" }));
    assert_eq!(answers["definitions"]["Word"], json!({ "type": "string" }));
    assert_eq!(answers["definitions"].get("Unused"), None);
}

#[test]
fn descriptions_are_safe_for_rustdoc() {
    for (text, safe) in [
        ("A <tag> and [a link]", "A \\<tag\\> and \\[a link\\]"),
        ("Code `Vec<T>` stays", "Code `Vec<T>` stays"),
        ("See https://x.y/z.", "See <https://x.y/z>."),
        ("        indented", "   indented"),
        ("```\n<raw>", "```text\n<raw>\n```"),
    ] {
        assert_eq!(docs::escape(text), safe);
    }
    assert_eq!(docs::first_sentence("One\nline. Two."), "One line.");
}
