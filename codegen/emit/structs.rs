//! Structs and string newtypes.

use std::fmt::Write as _;

use super::{
    super::model::{Field, Presence, Type},
    describe, doc_attrs, pretty,
};

/// Methods that every struct has, so no setter may be called so.
const TAKEN: [&str; 8] = [
    "new",
    "clone",
    "default",
    "eq",
    "fmt",
    "from",
    "into",
    "serialize",
];

pub(super) fn structure(ty: &Type, fields: &[Field], extra: Option<&str>, doc: &str) -> String {
    let name = &ty.name;
    let secret = fields.iter().any(|field| field.secret);
    let default = ty.sent && fields.iter().all(|field| !field.needed());
    let derived_default = default && fields.iter().all(has_plain_default);
    let mut derives = vec!["Clone", "PartialEq"];
    derives.extend((!secret).then_some("Debug"));
    derives.extend(derived_default.then_some("Default"));

    let mut item = format!(
        "{}#[derive({})]\n#[non_exhaustive]\npub struct {name} {{",
        doc_attrs(doc),
        derives.join(", ")
    );
    for field in fields {
        let _ = write!(
            item,
            "{}pub {}: {},",
            doc_attrs(&describe::field(field)),
            field.ident,
            field.full_type()
        );
    }
    if let Some(value) = extra {
        let _ = write!(
            item,
            "/// All other keys.\npub extra: BTreeMap<String, {value}>,"
        );
    }
    item.push('}');
    if ty.sent && !default {
        item.push_str(&constructor(name, fields, extra.is_some()));
    } else if default && !derived_default {
        let _ = write!(
            item,
            "impl Default for {name} {{ #[inline] fn default() -> Self {{ Self {{ {} }} }} }}",
            initial(fields, extra.is_some())
        );
    }

    let mut text = pretty(&item);
    text.push_str(&object(ty, fields, extra.is_some()));
    if secret {
        let names = |secret: bool| {
            fields
                .iter()
                .filter(|field| field.secret == secret)
                .map(|field| field.ident.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        };
        let _ = writeln!(
            text,
            "redacted!({name} {{ {}; {} }});",
            names(false),
            names(true)
        );
    }
    if ty.sent {
        text.push_str(&setters(name, fields));
    }
    text.push('\n');
    text
}

pub(super) fn text(ty: &Type, doc: &str) -> String {
    let name = &ty.name;
    let item = format!(
        "{}#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]\npub struct {name}(pub String);",
        doc_attrs(doc),
    );
    format!("{}string_newtype!({name});\n\n", pretty(&item))
}

/// The call of `object!`, which has one group for each way to treat a field. What we send does not mention defaults; what
/// we received is written as codex does it.
fn object(ty: &Type, fields: &[Field], extra: bool) -> String {
    let group = |field: &Field| match &field.presence {
        Presence::Required => "required",
        Presence::Nullable => "nullable",
        Presence::Optional => "optional",
        Presence::Any | Presence::Patch => "present",
        Presence::Default { .. } if ty.sent => "implied",
        Presence::Default { .. } => "filled",
    };
    let mut text = format!("object!({} {{\n", ty.name);
    for name in [
        "required", "nullable", "optional", "present", "filled", "implied",
    ] {
        let _ = write!(text, "    {name} {{");
        for field in fields.iter().filter(|field| group(field) == name) {
            let default = match &field.presence {
                Presence::Default { expr, .. } => format!(" {expr}"),
                _ => String::new(),
            };
            let _ = write!(text, "\n        {} {:?}{default},", field.ident, field.wire);
        }
        text.push_str(if text.ends_with('{') {
            " }\n"
        } else {
            "\n    }\n"
        });
    }
    text + if extra { "    ..extra\n});\n" } else { "});\n" }
}

fn has_plain_default(field: &Field) -> bool {
    match &field.presence {
        Presence::Default { expr, .. } => {
            matches!(expr.as_str(), "false" | "0" | "Vec::new()" | "\"\"")
        }
        _ => true,
    }
}

/// Scalars are passed as they are: `impl Into<u32>` would make the literal `5` an `i32`.
fn converts(ty: &str) -> bool {
    !matches!(
        ty,
        "bool" | "u8" | "u16" | "u32" | "u64" | "i8" | "i16" | "i32" | "i64" | "f32" | "f64"
    )
}

/// Ids come first, the thread's before all others, then the name: the order in which one says it.
fn rank(field: &Field) -> u8 {
    match field.wire.as_str() {
        "threadId" => 0,
        wire if is_id(wire) => 1,
        "name" => 2,
        _ => 3,
    }
}

fn is_id(wire: &str) -> bool {
    wire == "id" || wire.ends_with("Id")
}

fn constructor(name: &str, fields: &[Field], extra: bool) -> String {
    let mut needed: Vec<&Field> = fields.iter().filter(|field| field.needed()).collect();
    needed.sort_by_key(|field| rank(field));
    let args = needed.iter().map(|field| {
        let Field { ident, ty, .. } = field;
        if converts(ty) {
            format!("{ident}: impl Into<{ty}>")
        } else {
            format!("{ident}: {ty}")
        }
    });
    let args = args.collect::<Vec<_>>().join(", ");
    let mut text = format!(
        "impl {name} {{ /// With what is required.\n#[inline]\n#[must_use] pub fn new({args}) -> Self {{ Self {{ {} }} }} }}",
        initial(fields, extra),
    );
    if let [only] = needed[..]
        && only.ty == "String"
        && is_id(&only.wire)
        && name.ends_with("Params")
    {
        for from in ["&str", "String"] {
            let ident = &only.ident;
            let _ = write!(
                text,
                "impl From<{from}> for {name} {{ #[inline] fn from({ident}: {from}) -> Self {{ Self::new({ident}) }} }}"
            );
        }
    }
    text
}

fn initial(fields: &[Field], extra: bool) -> String {
    let mut text = String::new();
    for field in fields {
        let Field { ident, ty, .. } = field;
        let _ = match &field.presence {
            Presence::Required if converts(ty) => write!(text, "{ident}: {ident}.into(),"),
            Presence::Required => write!(text, "{ident},"),
            Presence::Default { expr, .. } => write!(text, "{ident}: {expr},"),
            _ => write!(text, "{ident}: None,"),
        };
    }
    if extra {
        text.push_str("extra: BTreeMap::new(),");
    }
    text
}

fn setters(name: &str, fields: &[Field]) -> String {
    let group = |field: &Field| {
        let wrap = match &field.presence {
            Presence::Required => return None,
            Presence::Default { .. } => "set",
            Presence::Nullable | Presence::Optional | Presence::Any => "some",
            Presence::Patch => "patch",
        };
        let into = if converts(&field.ty) { "_into" } else { "" };
        (!TAKEN.contains(&field.ident.as_str())).then(|| format!("{wrap}{into}"))
    };
    if fields.iter().all(|field| group(field).is_none()) {
        return String::new();
    }
    let mut text = format!("setters!({name} {{\n");
    for name in [
        "set",
        "set_into",
        "some",
        "some_into",
        "patch",
        "patch_into",
    ] {
        let _ = write!(text, "    {name} {{");
        for field in fields
            .iter()
            .filter(|field| group(field).is_some_and(|group| group == name))
        {
            let Field { ident, ty, .. } = field;
            let null = if name.starts_with("patch") {
                format!(" {ident}_null")
            } else {
                String::new()
            };
            let _ = write!(text, "\n        {ident}{null}: {ty},");
        }
        text.push_str(if text.ends_with('{') {
            " }\n"
        } else {
            "\n    }\n"
        });
    }
    text + "});\n"
}
