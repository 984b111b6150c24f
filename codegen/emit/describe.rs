//! Documents every item: by the schema's description, or by its role where there is none.

use std::{collections::BTreeMap, fmt::Write as _};

use super::super::{
    docs::escape,
    load::Kind,
    model::{Field, Method, Model, Presence, Shape, Type, Variant},
};

pub(crate) struct Describer<'a> {
    users: BTreeMap<&'a str, Vec<&'a str>>,
    /// The roles of a type for methods, one sentence each.
    roles: BTreeMap<&'a str, Vec<String>>,
    /// The union of a payload, and the value of its tag.
    payloads: BTreeMap<&'a str, (&'a str, &'a str)>,
}

impl<'a> Describer<'a> {
    pub(crate) fn new(model: &'a Model) -> Self {
        let mut roles: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for method in &model.methods {
            if let Some(params) = &method.params {
                roles.entry(params).or_default().push(role(method));
            }
            if let Some(response) = &method.response {
                roles
                    .entry(response)
                    .or_default()
                    .push(format!("Response of `{}`.", method.name));
            }
        }
        let mut payloads = BTreeMap::new();
        for ty in model.types.values() {
            if let Shape::Tagged { variants, .. } | Shape::Keyed(variants) = &ty.shape {
                for variant in variants {
                    if let Some(payload) = &variant.payload {
                        payloads
                            .insert(payload.as_str(), (ty.name.as_str(), variant.wire.as_str()));
                    }
                }
            }
        }
        Self {
            users: model.users(),
            roles,
            payloads,
        }
    }

    pub(crate) fn ty(&self, ty: &Type) -> String {
        let mut parts: Vec<String> = ty.doc.iter().map(|doc| escape(doc)).collect();
        if let Some(roles) = self.roles.get(ty.name.as_str()) {
            parts.push(roles.join("\n"));
        }
        if parts.is_empty() {
            parts.push(
                match (
                    self.payloads.get(ty.name.as_str()),
                    self.users.get(ty.name.as_str()),
                ) {
                    (Some((union, wire)), _) => format!("The `{wire}` form of [`{union}`]."),
                    (None, Some(users)) => {
                        let shown: Vec<String> = users
                            .iter()
                            .take(3)
                            .map(|user| format!("[`{user}`]"))
                            .collect();
                        format!(
                            "Occurs in {}{}.",
                            shown.join(", "),
                            if users.len() > 3 { " and others" } else { "" }
                        )
                    }
                    (None, None) => "A type that no message mentions.".into(),
                },
            );
        }
        parts.join("\n\n")
    }
}

fn role(method: &Method) -> String {
    let gate = if method.experimental {
        " Needs `experimentalApi`."
    } else {
        ""
    };
    match (method.kind, &method.response) {
        (Kind::Request, Some(response)) if response == "Value" => {
            format!("Params of `{}`.{gate}", method.name)
        }
        (Kind::Request, Some(response)) => format!(
            "Params of `{}`; answered with [`{response}`].{gate}",
            method.name
        ),
        (Kind::ServerRequest, Some(response)) => {
            format!(
                "Params of the server's request `{}`; to be answered with [`{response}`].{gate}",
                method.name
            )
        }
        (Kind::ClientNotification, _) => {
            format!("Payload of the client's notification `{}`.", method.name)
        }
        _ => format!("Payload of the notification `{}`.", method.name),
    }
}

/// The documentation of a method, as a variant of one of the enums or as a unit struct.
pub(super) fn method(method: &Method) -> String {
    let mut parts: Vec<String> = method.doc.iter().map(|doc| escape(doc)).collect();
    parts.push(if method.no_params && parts.is_empty() {
        role(method)
    } else {
        format!("`{}`", method.name)
    });
    parts.join("\n\n")
}

/// The documentation of a unit struct for absent params.
pub(super) fn no_params(method: &Method) -> String {
    let doc = method
        .doc
        .as_deref()
        .map(|doc| format!("{}\n\n", escape(doc)))
        .unwrap_or_default();
    format!("{doc}{} There are none.", role(method))
}

pub(super) fn field(field: &Field) -> String {
    let mut doc = field
        .doc
        .as_deref()
        .map_or_else(|| format!("`{}` on the wire.", field.wire), escape);
    match &field.presence {
        Presence::Default { json, .. } => {
            let _ = write!(doc, "\n\nDefaults to `{json}`.");
        }
        Presence::Patch => {
            doc.push_str(
                "\n\n`None` omits the field. `Some(None)` sends `null`, which has another meaning.",
            );
        }
        Presence::Required | Presence::Nullable | Presence::Optional | Presence::Any => {}
    }
    doc
}

pub(super) fn variant(variant: &Variant) -> String {
    match &variant.doc {
        Some(doc) => escape(doc),
        None if variant.wire.is_empty() => format!(
            "The form with {}.",
            variant.payload.as_deref().map_or_else(String::new, link)
        ),
        None => format!("`{}` on the wire.", variant.wire),
    }
}

fn link(ty: &str) -> String {
    if ty.contains('<') {
        format!("`{ty}`")
    } else {
        format!("[`{ty}`]")
    }
}
