//! Checks the answers to server requests against the schema, before the app-server turns a malformed one into a refusal
//! that nobody understands.

use std::{fmt::Write as _, sync::LazyLock};

use serde_json::{Map, Value};

/// What `codegen/answers.rs` cut out of the schema.
static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(cas_sdk::internal::ANSWERS).expect("the build script writes JSON")
});

/// Checks the `result` for a method; a method that the schema doesn't know takes anything.
///
/// # Errors
/// Where the result differs from what the schema wants there.
pub(super) fn check(method: &str, result: &Value) -> Result<(), String> {
    let Some(name) = SCHEMA["methods"][method].as_str() else {
        return Ok(());
    };
    fits(&SCHEMA["definitions"][name], result, "result").map_err(|mut wrong| {
        if method == "account/chatgptAuthTokens/refresh" && result.get("idToken").is_some() {
            wrong.push_str(
                "; {idToken, accessToken} is an older form, now it is {accessToken, chatgptAccountId, chatgptPlanType?}",
            );
        }
        format!("{method}: {wrong}")
    })
}

/// Checks a value against a schema of the kind that codex writes; `at` is the path to the value.
fn fits(schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let Value::Object(schema) = schema else {
        return match schema {
            Value::Bool(false) => Err(format!("{at} must not be there")),
            _ => Ok(()),
        };
    };
    if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        let name = name.trim_start_matches("#/definitions/");
        return fits(&SCHEMA["definitions"][name], value, at);
    }
    if let Some(types) = schema.get("type") {
        let types: Vec<&str> = match types {
            Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
            one => one.as_str().into_iter().collect(),
        };
        if !types.iter().any(|name| is(name, value)) {
            return Err(format!("{at} must be {}", types.join(" or ")));
        }
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array)
        && !words.contains(value)
    {
        return Err(format!("{at} must be {}", list(words)));
    }
    if let (Some(least), Some(number)) = (
        schema.get("minimum").and_then(Value::as_f64),
        value.as_f64(),
    ) && number < least
    {
        return Err(format!("{at} must be at least {least}"));
    }
    for part in branches(schema, "allOf") {
        fits(part, value, at)?;
    }
    for key in ["oneOf", "anyOf"] {
        one_of(branches(schema, key), value, at)?;
    }
    if let Value::Object(members) = value {
        object(schema, members, at)?;
    }
    if let (Some(schema), Value::Array(items)) = (schema.get("items"), value) {
        for (index, item) in items.iter().enumerate() {
            fits(schema, item, &format!("{at}[{index}]"))?;
        }
    }
    Ok(())
}

fn object(
    schema: &Map<String, Value>,
    members: &Map<String, Value>,
    at: &str,
) -> Result<(), String> {
    for key in branches(schema, "required")
        .iter()
        .filter_map(Value::as_str)
    {
        if !members.contains_key(key) {
            return Err(format!("{at}.{key} is missing"));
        }
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    for (key, value) in members {
        let rule = properties
            .and_then(|p| p.get(key))
            .or_else(|| schema.get("additionalProperties"));
        if let Some(rule) = rule {
            fits(rule, value, &format!("{at}.{key}"))?;
        }
    }
    Ok(())
}

/// Whether the value fits one of several forms. If not, the error is that of the most likely form.
fn one_of(forms: &[Value], value: &Value, at: &str) -> Result<(), String> {
    let mut complaints = Vec::new();
    for form in forms {
        match fits(form, value, at) {
            Ok(()) => return Ok(()),
            Err(wrong) => complaints.push((depth(form, value), wrong)),
        }
    }
    match complaints.iter().map(|(depth, _)| *depth).max() {
        None => Ok(()),
        Some(0) => {
            let words: Vec<Value> = forms
                .iter()
                .flat_map(|form| match form {
                    Value::Object(form) => branches(form, "enum"),
                    _ => &[],
                })
                .cloned()
                .collect();
            Err(match (words.is_empty(), value) {
                (false, Value::String(_)) => format!("{at} must be {}", list(&words)),
                _ => format!("{at} has none of the forms that the schema knows"),
            })
        }
        Some(best) => Err(complaints
            .into_iter()
            .find(|(depth, _)| *depth == best)
            .map(|(_, wrong)| wrong)
            .unwrap_or_default()),
    }
}

/// How likely it is that a value was meant in this form: 2 if its `type` is the form's, 1 if it has
/// all keys that the form requires.
fn depth(form: &Value, value: &Value) -> u8 {
    let Value::Object(members) = value else {
        return 0;
    };
    let form = match form.get("$ref").and_then(Value::as_str) {
        Some(name) => &SCHEMA["definitions"][name.trim_start_matches("#/definitions/")],
        None => form,
    };
    let tag = &form["properties"]["type"]["enum"];
    if tag
        .as_array()
        .is_some_and(|words| members.get("type").is_some_and(|tag| words.contains(tag)))
    {
        return 2;
    }
    let required = form["required"].as_array().map_or(&[][..], Vec::as_slice);
    let has_all = required
        .iter()
        .all(|key| key.as_str().is_some_and(|key| members.contains_key(key)));
    u8::from(tag.is_null() && !required.is_empty() && has_all)
}

fn branches<'a>(schema: &'a Map<String, Value>, key: &str) -> &'a [Value] {
    schema
        .get(key)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn is(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        _ => true,
    }
}

fn list(words: &[Value]) -> String {
    let mut text = String::new();
    for (index, word) in words.iter().enumerate() {
        let _ = write!(text, "{}{word}", if index == 0 { "" } else { " or " });
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn good_answers_of_every_method_pass() {
        for (method, result) in [
            (
                "item/tool/call",
                json!({"contentItems": [], "success": true}),
            ),
            (
                "item/tool/call",
                json!({"contentItems": [{"type": "inputText", "text": "x"}, {"type": "inputImage", "imageUrl": "data:"}], "success": false, "more": 1}),
            ),
            (
                "item/tool/requestUserInput",
                json!({"answers": {"q": {"answers": ["a"]}}}),
            ),
            (
                "item/permissions/requestApproval",
                json!({"permissions": {}}),
            ),
            (
                "item/permissions/requestApproval",
                json!({"permissions": {"network": {"enabled": true}, "fileSystem": {"write": ["/x"]}}, "scope": "session"}),
            ),
            (
                "mcpServer/elicitation/request",
                json!({"action": "accept", "content": {"a": 1}, "_meta": null}),
            ),
            (
                "account/chatgptAuthTokens/refresh",
                json!({"accessToken": "a", "chatgptAccountId": "b", "chatgptPlanType": null}),
            ),
            ("attestation/generate", json!({"token": "t"})),
            ("currentTime/read", json!({"currentTimeAt": 1_700_000_000})),
            (
                "item/commandExecution/requestApproval",
                json!({"decision": "cancel"}),
            ),
            ("some/newMethod", json!(5)),
        ] {
            assert_eq!(check(method, &result), Ok(()), "{method} {result}");
        }
    }

    #[test]
    fn a_malformed_answer_is_told_by_the_place_where_it_differs() {
        for (method, result, complaint) in [
            (
                "item/tool/call",
                json!({"success": true}),
                "result.contentItems is missing",
            ),
            (
                "item/tool/call",
                json!({"contentItems": [{"type": "inputText"}], "success": true}),
                "result.contentItems[0].text is missing",
            ),
            (
                "item/tool/call",
                json!({"contentItems": [{"type": "smell"}], "success": true}),
                "result.contentItems[0] has none of the forms",
            ),
            ("item/tool/call", json!([]), "result must be object"),
            (
                "item/tool/requestUserInput",
                json!({"answers": {"q": {"answers": "a"}}}),
                "result.answers.q.answers must be array",
            ),
            (
                "mcpServer/elicitation/request",
                json!({"action": "maybe"}),
                r#"result.action must be "accept" or "decline" or "cancel""#,
            ),
            (
                "item/permissions/requestApproval",
                json!({"decision": "accept"}),
                "result.permissions is missing",
            ),
            (
                "account/chatgptAuthTokens/refresh",
                json!({"idToken": "i", "accessToken": "a"}),
                "result.chatgptAccountId is missing; {idToken, accessToken} is an older form",
            ),
        ] {
            let told = check(method, &result).unwrap_err();
            assert!(
                told.starts_with(&format!("{method}: {complaint}")),
                "{told}"
            );
        }
    }
}
