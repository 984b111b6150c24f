//! The properties of a Rust field that follow from its schema: optional, nullable, secret.

use serde_json::Value;

use super::{
    model::Presence,
    normalise::without_null,
    schema::description,
    shape::{Kind, Shaped},
};
use std::collections::BTreeMap;

/// Fields where `null` means "clear it" although the description does not say so.
///
/// The server declares them as `Option<Option<_>>`. That shows in the TypeScript export as
/// `| null | null`, or in its behaviour: codex 0.169.0 keeps a goal's `tokenBudget` if the field is
/// absent and removes it if it is `null`. (A `null` for `objective` or `status` changes nothing.)
const PATCHES: [(&str, &str); 7] = [
    ("CollaborationModeMask", "reasoning_effort"),
    ("ThreadForkParams", "serviceTier"),
    ("ThreadGoalSetParams", "tokenBudget"),
    ("ThreadRealtimeStartParams", "prompt"),
    ("ThreadResumeParams", "serviceTier"),
    ("ThreadStartParams", "serviceTier"),
    ("TurnStartParams", "serviceTier"),
];

/// Fields whose description is about their inner fields. The TypeScript export has a plain `|
/// null`.
const NO_PATCHES: [(&str, &str); 1] = [("ThreadMetadataUpdateParams", "gitInfo")];

/// Phrases by which a description says that `null` has its own meaning.
const PATCH_PHRASES: [&str; 6] = [
    "set to `null` ",
    "set to null ",
    "use `null` to",
    "`null` clears the",
    "set to `null` to",
    "`null` to clear it, or provide",
];

/// Names of fields whose values must not be printed.
const SECRETS: [&str; 23] = [
    "accessKeyId",
    "accessToken",
    "apiKey",
    "authBearerToken",
    "authToken",
    "authorization",
    "bearerToken",
    "clientSecret",
    "env",
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

/// Fields that are secret in one type only.
const SECRETS_IN: [(&str, &str); 2] = [
    ("RequestHeader", "value"),
    ("ToolRequestUserInputAnswer", "answers"),
];

/// The presence of a field, by its owner and name. `ty` is its Rust type.
pub(crate) fn presence(
    (owner, field): (&str, &str),
    schema: &Value,
    ty: &str,
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
        && let Some(expr) = expression(default, ty, all)
    {
        return Presence::Default {
            expr,
            json: default.to_string(),
        };
    }
    if is_anything(&plain) || ty == "Value" {
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

/// Whether a schema permits any value.
pub(crate) fn is_anything(schema: &Value) -> bool {
    const SILENT: [&str; 3] = ["description", "default", "deprecated"];
    schema == &Value::Bool(true)
        || schema
            .as_object()
            .is_some_and(|object| object.keys().all(|key| SILENT.contains(&key.as_str())))
}

/// A default value as an expression of a type. `None` if it is not of that type or has no short
/// expression.
fn expression(value: &Value, ty: &str, all: &BTreeMap<String, Shaped>) -> Option<String> {
    let integer = |least: i64, most: u64| {
        let fits = value.as_i64().is_some_and(|value| value >= least)
            || value
                .as_u64()
                .is_some_and(|value| i64::try_from(value).is_err());
        (fits && value.as_u64().is_none_or(|value| value <= most)).then(|| value.to_string())
    };
    match all.get(ty).map(|shaped| &shaped.kind) {
        Some(Kind::Words(variants)) => {
            let word = value.as_str()?;
            let variant = variants.iter().find(|variant| variant.wire == word)?;
            return Some(format!("{ty}::{}", variant.name));
        }
        Some(Kind::Keyed(variants)) => {
            let word = value.as_str()?;
            let (variant, _) = variants
                .iter()
                .find(|(variant, payload)| variant.wire == word && payload.is_none())?;
            return Some(format!("{ty}::{}", variant.name));
        }
        Some(_) => return None,
        None => {}
    }
    match ty {
        "bool" => value.as_bool().map(|value| value.to_string()),
        "String" => value.as_str().map(|text| format!("String::from({text:?})")),
        "i8" => integer(i8::MIN.into(), i8::MAX as u64),
        "i16" => integer(i16::MIN.into(), i16::MAX as u64),
        "i32" => integer(i32::MIN.into(), i32::MAX as u64),
        "i64" => integer(i64::MIN, i64::MAX as u64),
        "u8" => integer(0, u8::MAX.into()),
        "u16" => integer(0, u16::MAX.into()),
        "u32" => integer(0, u32::MAX.into()),
        "u64" => integer(0, u64::MAX),
        _ => {
            let item = ty.strip_prefix("Vec<")?.strip_suffix('>')?;
            let items = value.as_array()?;
            if items.is_empty() {
                return Some("Vec::new()".into());
            }
            let items: Option<Vec<String>> = items
                .iter()
                .map(|value| expression(value, item, all))
                .collect();
            Some(format!("vec![{}]", items?.join(", ")))
        }
    }
}

/// Whether `Debug` must omit the value of a field. A flag called `refreshToken` is not a secret.
pub(crate) fn is_secret(owner: &str, field: &str, ty: &str) -> bool {
    let camel = {
        use heck::ToLowerCamelCase;
        field.to_lower_camel_case()
    };
    let named = SECRETS.contains(&camel.as_str()) || SECRETS_IN.contains(&(owner, field));
    named && !matches!(ty, "bool" | "u16" | "u32" | "u64" | "i32" | "i64" | "f64")
}
