//! Checks the answers to server requests against the schema, before the app-server turns a
//! malformed one into a refusal that nobody understands.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{LazyLock, Mutex, PoisonError},
};

use jsonschema::{
    Draft, ValidationError, Validator,
    error::{TypeKind, ValidationErrorKind as Kind},
    paths::LocationSegment,
};
use serde_json::{Value, json};

/// What `codegen/answers.rs` cut out of the schema.
static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    // A value that fits two forms is as good as a value that fits one.
    let schema = cas_sdk::internal::ANSWERS.replace(r#""oneOf":"#, r#""anyOf":"#);
    serde_json::from_str(&schema).expect("the build script writes JSON")
});

/// The validators by method. Building one takes a while, so it is built for the first answer.
static VALIDATORS: Mutex<BTreeMap<String, Option<Validator>>> = Mutex::new(BTreeMap::new());

/// Returns `None` for a definition that is not understood, such as one of a later codex.
fn validator(definition: &str) -> Option<Validator> {
    let reference = format!("#/definitions/{definition}");
    let root = json!({"allOf": [{"$ref": reference}], "definitions": SCHEMA["definitions"]});
    jsonschema::options()
        // In this draft 1.0 is not an integer, as for the app-server.
        .with_draft(Draft::Draft4)
        .should_validate_formats(false)
        .build(&root)
        .ok()
}

/// Checks the `result` for a method; a method that the schema doesn't know takes anything.
///
/// # Errors
/// Where the result differs from what the schema wants there. The values of the result are not
/// repeated.
pub(super) fn check(method: &str, result: &Value) -> Result<(), String> {
    let Some(definition) = SCHEMA["methods"][method].as_str() else {
        return Ok(());
    };
    let mut validators = VALIDATORS.lock().unwrap_or_else(PoisonError::into_inner);
    let validator = validators
        .entry(method.to_owned())
        .or_insert_with(|| validator(definition));
    let Some(validator) = validator else {
        return Ok(());
    };
    validator.validate(result).map_err(|error| {
        let mut wrong = sentence(&error);
        if method == "account/chatgptAuthTokens/refresh" && result.get("idToken").is_some() {
            wrong.push_str(
                "; {idToken, accessToken} is an older form, now it is {accessToken, chatgptAccountId, chatgptPlanType?}",
            );
        }
        format!("{method}: {wrong}")
    })
}

/// What is wrong, and where.
fn sentence(error: &ValidationError<'_>) -> String {
    let mut place = "result".to_owned();
    for segment in error.instance_path() {
        let _ = match segment {
            LocationSegment::Property(name) => write!(place, ".{name}"),
            LocationSegment::Index(index) => write!(place, "[{index}]"),
        };
    }
    match error.kind() {
        Kind::Required { property } => {
            format!(
                "{place}.{} is missing",
                property.as_str().unwrap_or_default()
            )
        }
        Kind::Type {
            kind: TypeKind::Single(kind),
        } => format!("{place} must be {kind}"),
        Kind::Type {
            kind: TypeKind::Multiple(kinds),
        } => {
            let kinds: Vec<_> = kinds.iter().map(|kind| kind.to_string()).collect();
            format!("{place} must be {}", kinds.join(" or "))
        }
        Kind::Enum { options } => format!("{place} must be {}", one_of(options.as_array())),
        Kind::AnyOf { context } => {
            let here = error.instance_path().as_str();
            let is_meant = |form: &&Vec<_>| !form.iter().any(|error| is_of_another(error, here));
            let mut meant = context.iter().filter(is_meant);
            if let (Some([error, ..]), None) = (meant.next().map(Vec::as_slice), meant.next()) {
                return sentence(error);
            }
            let is_word = error.instance().is_string();
            let errors = context.iter().flatten().filter(|_| is_word);
            let words = errors.filter_map(|error| match error.kind() {
                Kind::Enum { options } => options.as_array(),
                _ => None,
            });
            match one_of(words) {
                words if words.is_empty() => {
                    format!("{place} has none of the forms that the schema knows")
                }
                words => format!("{place} must be {words}"),
            }
        }
        _ => error.masked_with(place).to_string(),
    }
}

/// Whether the error shows that the value was meant in another of several forms: it has another
/// type, or its tag names another form. `here` is the path of the value.
fn is_of_another(error: &ValidationError<'_>, here: &str) -> bool {
    let at = error.instance_path().as_str().strip_prefix(here);
    match error.kind() {
        Kind::Type { .. } => at == Some(""),
        Kind::Enum { .. } => matches!(at, Some("" | "/type" | "/kind")),
        _ => false,
    }
}

fn one_of<'a>(words: impl IntoIterator<Item = &'a Vec<Value>>) -> String {
    let words: Vec<_> = words.into_iter().flatten().map(Value::to_string).collect();
    words.join(" or ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_answers_to_every_method_of_the_schema_can_be_checked() {
        let methods = SCHEMA["methods"].as_object().unwrap();
        for (method, definition) in methods {
            assert!(
                validator(definition.as_str().unwrap()).is_some(),
                "{method}"
            );
        }
        assert!(methods.len() > 5);
    }

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
                "item/commandExecution/requestApproval",
                json!({"decision": "no"}),
                r#"result.decision must be "accept" or "acceptForSession""#,
            ),
            (
                "item/commandExecution/requestApproval",
                json!({"decision": {"allow": true}}),
                "result.decision has none of the forms",
            ),
            (
                "item/permissions/requestApproval",
                json!({"permissions": {"fileSystem": {"globScanMaxDepth": 1.0}}}),
                "result.permissions.fileSystem.globScanMaxDepth must be null or integer",
            ),
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
