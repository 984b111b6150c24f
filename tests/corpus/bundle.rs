//! The schema as the corpus reads it: by pointer, with the errors of the export mended by a list of
//! its own. A slip in the generator's list would pass unseen if the corpus shared it.

use serde_json::{Value, json};

/// Names that the export gets wrong. The wire has the second one.
const WRONG_NAMES: [(&str, &str, &str); 8] = [
    ("AccountSessionsSwitchResponse", "auth_url", "authUrl"),
    ("AccountSessionsSwitchResponse", "login_id", "loginId"),
    ("ThreadRealtimeItem", "item_id", "itemId"),
    ("ThreadRealtimeItem", "turn_id", "turnId"),
    ("ThreadTimelineEntry", "turn_id", "turnId"),
    ("ThreadTimelineEntry", "started_at", "startedAt"),
    ("ThreadTimelineEntry", "completed_at", "completedAt"),
    ("ThreadTimelineEntry", "duration_ms", "durationMs"),
];

/// Maps that the export turned into objects.
const LOST_MAPS: [(&str, &str); 3] = [
    ("AppsConfig", "AppConfig"),
    ("AppLinksConfig", "AppLinkConfig"),
    ("AppToolsConfig", "AppToolConfig"),
];

pub(crate) struct Bundle(Value);

/// One message of the protocol.
pub(crate) struct Message {
    pub(crate) method: String,
    /// `None` if there are no params, which is sent as `null`.
    pub(crate) params: Option<Value>,
}

impl Bundle {
    pub(crate) fn load() -> Self {
        let mut root = crate::built_from::bundle();
        for (name, wrong, right) in WRONG_NAMES {
            let Some(definition) = definition(&mut root, name) else {
                is_gone(name);
                continue;
            };
            let text = definition
                .to_string()
                .replace(&format!("\"{wrong}\""), &format!("\"{right}\""));
            *definition = serde_json::from_str(&text).expect("still JSON");
        }
        for (name, value) in LOST_MAPS {
            let known = definition(&mut root, value).is_some();
            match definition(&mut root, name).filter(|_| known) {
                Some(definition) => {
                    definition["additionalProperties"] =
                        json!({ "$ref": format!("#/definitions/v2/{value}") });
                }
                None => is_gone(name),
            }
        }
        Self(root)
    }

    /// A definition by its name.
    pub(crate) fn named(&self, name: &str) -> Option<Value> {
        let places = ["v2/", ""];
        places
            .iter()
            .map(|place| format!("#/definitions/{place}{name}"))
            .find(|target| self.0.pointer(&target[1..]).is_some())
            .map(|target| json!({ "$ref": target }))
    }

    /// The target of a reference, and its name.
    pub(crate) fn resolve<'a>(&self, target: &'a str) -> (&'a str, &Value) {
        let name = target.rsplit('/').next().unwrap_or(target);
        let schema = self.0.pointer(&target[1..]);
        (name, schema.unwrap_or_else(|| panic!("{target} dangles")))
    }

    /// The messages of one of the four enums of methods.
    pub(crate) fn messages(&self, group: &str) -> Vec<Message> {
        let variants = self.0["definitions"][group]["oneOf"].as_array();
        let variants = variants.expect("the bundle lists its methods");
        let message = |variant: &Value| {
            let properties = &variant["properties"];
            let params = &properties["params"];
            let branches = params["anyOf"].as_array().into_iter().flatten();
            Message {
                method: properties["method"]["enum"][0]
                    .as_str()
                    .expect("a method has a name")
                    .to_owned(),
                params: std::iter::once(params)
                    .chain(branches)
                    .find(|schema| schema["$ref"].is_string())
                    .cloned(),
            }
        };
        variants.iter().map(message).collect()
    }
}

/// Older schemas lack some of the corrected definitions.
fn is_gone(name: &str) {
    if cfg!(foreign_schema) {
        return;
    }
    panic!("{name} or what it holds is gone: take it off the lists");
}

fn definition<'a>(root: &'a mut Value, name: &str) -> Option<&'a mut Value> {
    let nested = root["definitions"]["v2"].get(name).is_some();
    let definitions = &mut root["definitions"];
    if nested {
        definitions["v2"].get_mut(name)
    } else {
        definitions.get_mut(name)
    }
}
