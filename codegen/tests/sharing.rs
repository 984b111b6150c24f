//! Tests of params types that several methods share.

use serde_json::{Value, json};

use super::{bundle, file, object, reference};

fn search(order: &[&str]) -> String {
    let requests: Vec<(&str, Value)> = order
        .iter()
        .map(|method| (*method, reference("ThingSearchParams")))
        .collect();
    let page = json!({
        "data": { "type": "array", "items": { "type": "string" } },
        "nextCursor": { "type": ["string", "null"] },
    });
    let bundle = bundle(
        &requests,
        &json!({
            "ThingSearchParams": object(&json!({ "cursor": { "type": ["string", "null"] } }), &[]),
            "ThingSearchResponse": object(&page, &["data"]),
            "ThingSearchCountResponse": object(&json!({ "count": { "type": "integer" } }), &[]),
        }),
    );
    file(&bundle, "protocol/methods.rs") + &file(&bundle, "protocol/common.rs")
}

#[test]
fn the_method_after_which_a_type_is_named_keeps_it_in_any_order() {
    for order in [
        ["thing/search", "thing/search/stream", "thing/search/count"],
        ["thing/search/count", "thing/search/stream", "thing/search"],
    ] {
        let text = search(&order);
        for call in [
            "call!(ThingSearchParams, \"thing/search\", experimental, ThingSearchResponse);",
            "call!(ThingSearchStreamParams, \"thing/search/stream\", experimental, ThingSearchResponse);",
            // A response of its own comes before that of the one it has its params from.
            "call!(ThingSearchCountParams, \"thing/search/count\", experimental, ThingSearchCountResponse);",
            "newtype!(ThingSearchStreamParams(ThingSearchParams));",
            "#[derive(Clone, Debug, PartialEq, Default)]\npub struct ThingSearchStreamParams(pub ThingSearchParams);",
            "paged!(ThingSearchParams, String);",
            "paged!(ThingSearchStreamParams, String);",
        ] {
            assert!(text.contains(call), "{call}\n{text}");
        }
        assert!(!text.contains("paged!(ThingSearchCountParams"), "{text}");
    }
}

#[test]
fn the_method_that_shares_most_words_keeps_a_name_that_no_method_bears() {
    let text = search(&["thing/find/all", "thing/search/deep"]);
    assert!(
        text.contains("call!(ThingSearchParams, \"thing/search/deep\""),
        "{text}"
    );
    assert!(
        text.contains("newtype!(ThingFindAllParams(ThingSearchParams));"),
        "{text}"
    );
}

#[test]
fn two_requests_of_the_server_have_a_type_each_and_two_notifications_share_theirs() {
    let mut schema = bundle(
        &[],
        &json!({
            "AskParams": object(&json!({ "id": { "type": "string" } }), &[]),
            "AskResponse": object(&json!({}), &[]),
        }),
    );
    let methods = |names: [&str; 2]| {
        let variant = |name| json!({ "properties": { "method": { "enum": [name] }, "params": reference("AskParams") } });
        json!(names.map(variant))
    };
    schema["definitions"]["ServerRequest"]["oneOf"] = methods(["ask", "ask/again"]);
    schema["definitions"]["ServerNotification"]["oneOf"] = methods(["said", "said/again"]);
    let text = file(&schema, "protocol/methods.rs");
    assert!(
        text.contains("server_call!(AskParams, \"ask\", AskResponse);"),
        "{text}"
    );
    assert!(
        text.contains("server_call!(AskAgainParams, \"ask/again\", AskResponse);"),
        "{text}"
    );
    assert!(
        text.contains("\"ask/again\" AskAgain(AskAgainParams),"),
        "{text}"
    );
    assert!(
        text.contains("notification!(AskParams, [\"said\", \"said/again\"]);"),
        "{text}"
    );
}

#[test]
fn params_without_a_type_of_their_own_get_one() {
    let inline = json!({ "type": "object", "properties": { "id": { "type": "string" } }, "required": ["id"] });
    let schema = bundle(
        &[
            ("thing/list", reference("Names")),
            ("thing/more", json!(true)),
            ("thing/open", inline),
        ],
        &json!({ "Names": { "type": "array", "items": { "type": "string" } } }),
    );
    let text = file(&schema, "protocol/methods.rs") + &file(&schema, "protocol/common.rs");
    assert!(
        text.contains("pub struct Names(pub Vec<String>);"),
        "{text}"
    );
    assert!(
        text.contains("pub struct ThingMoreParams(pub Value);"),
        "{text}"
    );
    assert!(text.contains("pub struct ThingOpenParams {"), "{text}");
    assert!(
        text.contains("call!(ThingOpenParams, \"thing/open\", experimental, Value);"),
        "{text}"
    );
}
