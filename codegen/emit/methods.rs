//! The traits, the three enums of methods, and the inventory.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{
    super::{
        docs::first_sentence,
        load::Kind,
        model::{Field, Method, Model, Shape},
    },
    describe::{self, Describer},
    doc_lines,
};

pub(super) fn emit(model: &Model, _: &Describer<'_>) -> String {
    let all = |kind: Kind| {
        model
            .methods
            .iter()
            .filter(move |method| method.kind == kind)
    };
    let of = |kind: Kind| all(kind).filter(|method| !method.kept);
    let mut text = String::new();

    for method in all(Kind::Request)
        .chain(all(Kind::ServerRequest))
        .chain(all(Kind::Notification))
        .filter(|method| method.no_params)
    {
        let name = params(method);
        let item = format!(
            "{}#[derive(Clone, Copy, Debug, Default)]\npub struct {name};\n",
            doc_lines(&describe::no_params(method), ""),
        );
        let _ = writeln!(text, "{item}no_params!({name});\n");
    }
    for method in all(Kind::Request) {
        let _ = writeln!(
            text,
            "call!({}, {:?},{} {});",
            params(method),
            method.name,
            if method.experimental {
                " experimental,"
            } else {
                ""
            },
            method.response.as_deref().unwrap_or("Value"),
        );
    }
    let mut payloads: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for method in of(Kind::Notification) {
        payloads
            .entry(params(method))
            .or_default()
            .push(&method.name);
    }
    for (payload, methods) in payloads {
        let fields = simple_fields(model, payload);
        let _ = writeln!(text, "notification!({payload}, {methods:?}{fields});");
    }
    for method in of(Kind::ServerRequest) {
        let response = method.response.as_deref().unwrap_or("Value");
        let _ = writeln!(
            text,
            "server_call!({}, {:?}, {response});",
            params(method),
            method.name
        );
    }
    text.push('\n');

    let client: Vec<&Method> = of(Kind::ClientNotification).collect();
    text += &enumeration(
        "ClientNotification",
        "A notification of the client.",
        &client,
        "",
    );
    text += &table("client_notification", &client);

    let unknown = "    /// A method that is not in the schema.\n    Unknown {\n        \
                   /// The method.\n        method: String,\n        \
                   /// The params, unchanged.\n        params: Box<RawValue>,\n    },\n";
    let mut notifications: Vec<&Method> = of(Kind::Notification).collect();
    notifications.sort_by_key(|method| &method.name);
    text += &enumeration(
        "ServerNotification",
        "A notification of the server, with its payload; boxed but for the deltas, of which there are many.",
        &notifications,
        unknown,
    );
    text += &table("server_message!(ServerNotification", &notifications);
    let mut calls: Vec<&Method> = of(Kind::Request).collect();
    calls.sort_by_key(|method| &method.name);
    text += &enumeration(
        "ClientRequest",
        "A request of the client, with its params: what a fake server, a proxy or a recording sees of it.",
        &calls,
        unknown,
    );
    text += &table("server_message!(ClientRequest", &calls);
    let mut requests: Vec<&Method> = of(Kind::ServerRequest).collect();
    requests.sort_by_key(|method| &method.name);
    text += &enumeration(
        "ServerRequest",
        "A request of the server, with its params.",
        &requests,
        unknown,
    );
    text += &table("server_message!(ServerRequest", &requests);
    text
}

fn params(method: &Method) -> &str {
    method.params.as_deref().unwrap_or("Value")
}

fn enumeration(name: &str, doc: &str, methods: &[&Method], unknown: &str) -> String {
    let mut item = format!(
        "{}#[derive(Clone, Debug)]\n#[non_exhaustive]\npub enum {name} {{\n",
        doc_lines(doc, "")
    );
    for method in methods {
        let _ = writeln!(
            item,
            "{}    {},",
            doc_lines(&describe::method(method), "    "),
            match &method.params {
                Some(params) if is_boxed(method) => {
                    format!("{}(Box<{params}>)", method.variant)
                }
                _ => variant(method),
            }
        );
    }
    item + unknown + "}\n"
}

/// Deltas are frequent and small. Without boxes each would take the size of the largest payload,
/// which is ten times as large. Requests of the client differ as much.
fn is_boxed(method: &Method) -> bool {
    match method.kind {
        Kind::Notification => !method.no_params && !is_delta(params(method)),
        Kind::Request => !method.no_params,
        Kind::ServerRequest | Kind::ClientNotification => false,
    }
}

/// The fields of a delta with only strings and integers, for `notification!`. Otherwise nothing.
fn simple_fields(model: &Model, payload: &str) -> String {
    let shape = model.types.get(payload).map(|ty| &ty.shape);
    let Some(Shape::Struct {
        fields,
        extra: None,
    }) = shape.filter(|_| is_delta(payload))
    else {
        return String::new();
    };
    let is_simple =
        |field: &Field| field.needed() && ["String", "i64"].contains(&field.ty.as_str());
    if !fields.iter().all(is_simple) {
        return String::new();
    }
    let fields = fields
        .iter()
        .map(|field| format!("{} {:?},", field.ident, field.wire));
    format!(", {{ {} }}", fields.collect::<Vec<_>>().join(" "))
}

fn is_delta(payload: &str) -> bool {
    payload.ends_with("DeltaNotification")
}

fn variant(method: &Method) -> String {
    let name = &method.variant;
    match &method.params {
        Some(params) => format!("{name}({params})"),
        None => name.clone(),
    }
}

/// The macro call that lists an enum's methods.
fn table(head: &str, methods: &[&Method]) -> String {
    let (open, close) = if head.contains('(') {
        (" {", "});\n\n")
    } else {
        ("! {", "}\n\n")
    };
    let mut text = format!("{head}{open}\n");
    for method in methods {
        let _ = writeln!(text, "    {:?} {},", method.name, variant(method));
    }
    text + close
}

/// A macro that calls another one with all methods and types, for tests that cover everything.
pub(super) fn list(model: &Model) -> String {
    let mut text = String::from("macro_rules! with_protocol {\n    ($with:ident) => { $with! {\n");
    for (head, kind) in [
        ("requests", Kind::Request),
        ("server_requests", Kind::ServerRequest),
        ("notifications", Kind::Notification),
    ] {
        let _ = writeln!(text, "        {head} {{");
        let of_kind = |method: &&Method| method.kind == kind && !method.kept;
        for method in model.methods.iter().filter(of_kind) {
            let response = method.response.as_deref().unwrap_or("Value");
            let _ = writeln!(
                text,
                "            {:?} {} {response},",
                method.name,
                params(method)
            );
        }
        text.push_str("        }\n");
    }
    text.push_str("        types {\n");
    for name in model.types.keys() {
        let _ = writeln!(text, "            {name},");
    }
    text + "        }\n    } };\n}\n"
}

/// One method per line, with its properties separated by tabs. `src/protocol/inventory.rs` reads
/// it.
pub(super) fn inventory(model: &Model) -> String {
    let mut methods: Vec<&Method> = model.methods.iter().filter(|m| !m.kept).collect();
    methods.sort_by_key(|method| (method.kind, &method.name));
    let mut text = String::new();
    for method in methods {
        let doc = method
            .doc
            .as_deref()
            .or_else(|| model.types.get(method.params.as_deref()?)?.doc.as_deref());
        let _ = writeln!(
            text,
            "{:?}\t{}\t{}\t{}\t{}\t{}",
            method.kind,
            method.name,
            method.params.as_deref().unwrap_or_default(),
            method.response.as_deref().unwrap_or_default(),
            if method.experimental {
                "experimental"
            } else {
                ""
            },
            doc.map(first_sentence).unwrap_or_default(),
        );
    }
    text
}
