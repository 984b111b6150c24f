//! What a property's place in its schema says about the Rust field: may it be absent, may it be null, is it a secret.

use serde_json::Value;

use super::{
    model::Presence,
    normalise::without_null,
    schema::description,
    shape::{Kind, Shaped},
};
use std::collections::BTreeMap;

/// Fields where `null` is an order of its own ("clear it") although the description does not say so. The server declares
/// them as `Option<Option<_>>`, which shows in the TypeScript export as `| null | null` or in what it does: codex 0.169.0
/// keeps a goal's `tokenBudget` of 1000 if it is absent, and takes it away if it is `null` (not so `objective` and `status`,
/// of which a `null` changes nothing).
const PATCHES: [(&str, &str); 7] = [
    ("CollaborationModeMask", "reasoning_effort"),
    ("ThreadForkParams", "serviceTier"),
    ("ThreadGoalSetParams", "tokenBudget"),
    ("ThreadRealtimeStartParams", "prompt"),
    ("ThreadResumeParams", "serviceTier"),
    ("ThreadStartParams", "serviceTier"),
    ("TurnStartParams", "serviceTier"),
];

/// Fields whose description speaks of the fields inside: the TypeScript export has a plain `| null`.
const NO_PATCHES: [(&str, &str); 1] = [("ThreadMetadataUpdateParams", "gitInfo")];

/// How a description says that `null` is an order of its own.
const PATCH_PHRASES: [&str; 6] = [
    "set to `null` ",
    "set to null ",
    "use `null` to",
    "`null` clears the",
    "set to `null` to",
    "`null` to clear it, or provide",
];

/// Field names whose text must not be printed.
const SECRETS: [&str; 22] = [
    "accessKeyId",
    "accessToken",
    "apiKey",
    "authBearerToken",
    "authToken",
    "authorization",
    "bearerToken",
    "clientSecret",
    "headers",
    "httpHeaders",
    "idToken",
    "manualPairingCode",
    "pairingCode",
    "password",
    "refreshToken",
    "requestHeaders",
    "secret",
    "secretAccessKey",
    "sessionToken",
    "signature",
    "token",
    "userCode",
];

/// The same for names that are only secret in one place.
const SECRETS_IN: [(&str, &str); 2] = [
    ("RequestHeader", "value"),
    ("ToolRequestUserInputAnswer", "answers"),
];

/// The presence of `field` in `owner`.
pub(crate) fn presence(
    owner: &str,
    field: &str,
    schema: &Value,
    required: bool,
    all: &BTreeMap<String, Shaped>,
) -> Presence {
    let (plain, nullable) = without_null(schema);
    if required {
        return if nullable {
            Presence::Nullable
        } else {
            Presence::Required
        };
    }
    if let Some(default) = schema
        .get("default")
        .filter(|default| !default.is_null() && !nullable)
        && let Some(expr) = expression(default, &plain, all)
    {
        return Presence::Default {
            expr,
            json: default.to_string(),
        };
    }
    if is_anything(&plain) {
        Presence::Any
    } else if nullable && is_patch(owner, field, schema) {
        Presence::Patch
    } else {
        Presence::Optional
    }
}

fn is_patch(owner: &str, field: &str, schema: &Value) -> bool {
    let text = description(schema).unwrap_or_default().replace('\n', " ");
    PATCHES.contains(&(owner, field))
        || owner.ends_with("Params")
            && !NO_PATCHES.contains(&(owner, field))
            && PATCH_PHRASES
                .iter()
                .any(|phrase| text.to_lowercase().contains(phrase))
}

/// Whether a schema says nothing at all of its values.
pub(crate) fn is_anything(schema: &Value) -> bool {
    const SILENT: [&str; 3] = ["description", "default", "deprecated"];
    schema == &Value::Bool(true)
        || schema
            .as_object()
            .is_some_and(|object| object.keys().all(|key| SILENT.contains(&key.as_str())))
}

/// A default value as Rust; `None` if it is of a kind that has no short expression.
fn expression(value: &Value, schema: &Value, all: &BTreeMap<String, Shaped>) -> Option<String> {
    Some(match value {
        Value::Bool(value) => value.to_string(),
        Value::Number(number) if number.is_i64() || number.is_u64() => number.to_string(),
        Value::String(word) => match super::load::reference(schema) {
            None => format!("String::from({word:?})"),
            Some(target) => match &all.get(target)?.kind {
                Kind::Words(variants) => {
                    format!(
                        "{target}::{}",
                        variants.iter().find(|variant| variant.wire == *word)?.name
                    )
                }
                Kind::Keyed(variants) => {
                    format!(
                        "{target}::{}",
                        variants
                            .iter()
                            .find(|(variant, _)| variant.wire == *word)?
                            .0
                            .name
                    )
                }
                _ => return None,
            },
        },
        Value::Array(items) if items.is_empty() => "Vec::new()".into(),
        Value::Array(items) => {
            let items: Option<Vec<String>> = items
                .iter()
                .map(|item| expression(item, &schema["items"], all))
                .collect();
            format!("vec![{}]", items?.join(", "))
        }
        _ => return None,
    })
}

/// Whether the field's value must stay out of `Debug` output. A flag called `refreshToken` is none.
pub(crate) fn is_secret(owner: &str, field: &str, ty: &str) -> bool {
    let camel = {
        use heck::ToLowerCamelCase;
        field.to_lower_camel_case()
    };
    let named = SECRETS.contains(&camel.as_str()) || SECRETS_IN.contains(&(owner, field));
    named && !matches!(ty, "bool" | "u16" | "u32" | "u64" | "i32" | "i64" | "f64")
}
