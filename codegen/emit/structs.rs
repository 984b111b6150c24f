//! Structs and string newtypes.

use std::fmt::Write as _;

use super::{
    super::model::{Field, Model, Presence, Shape, Type},
    describe, doc_lines,
};

/// The longest line.
const WIDTH: usize = 100;

/// How many fields a row has at most; see `src/protocol/fields.rs`.
const ROW: usize = 8;

/// Methods that every struct has, so no setter may have these names.
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
    let default = has_default(ty);
    let derived_default = default && fields.iter().all(has_plain_default);
    let mut derives = vec!["Clone"];
    derives.extend((!secret).then_some("Debug"));
    derives.extend(derived_default.then_some("Default"));

    let mut text = format!(
        "{}#[derive({})]\n#[non_exhaustive]\npub struct {name} {{",
        doc_lines(doc, ""),
        derives.join(", ")
    );
    for field in fields {
        let _ = write!(
            text,
            "\n{}    pub {}: {},",
            doc_lines(&describe::field(field), "    "),
            field.ident,
            field.full_type()
        );
    }
    if let Some(value) = extra {
        let _ = write!(
            text,
            "\n    /// All other keys.\n    pub extra: BTreeMap<String, {value}>,"
        );
    }
    text.push_str(if text.ends_with('{') { "}\n" } else { "\n}\n" });
    if ty.sent && !default {
        text.push_str(&constructor(name, fields, extra.is_some()));
    } else if default && !derived_default {
        let _ = write!(
            text,
            "impl Default for {name} {{\n    #[inline]\n    fn default() -> Self {{\n        Self {{\n{}        }}\n    }}\n}}\n",
            initial(fields, extra.is_some())
        );
    }
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

/// Whether users can build a value without any arguments.
fn has_default(ty: &Type) -> bool {
    match &ty.shape {
        Shape::Struct { fields, .. } => ty.sent && fields.iter().all(|field| !field.needed()),
        _ => false,
    }
}

pub(super) fn newtype(ty: &Type, inner: &str, model: &Model, doc: &str) -> String {
    let name = &ty.name;
    let default = model.types.get(inner).is_some_and(has_default);
    let derives = if default { ", Default" } else { "" };
    let doc = doc_lines(doc, "");
    let item = format!(
        "{doc}#[derive(Clone, Debug, PartialEq{derives})]\npub struct {name}(pub {inner});\n"
    );
    format!("{item}newtype!({name}({inner}));\n\n")
}

pub(super) fn text(ty: &Type, doc: &str) -> String {
    let name = &ty.name;
    let item = format!(
        "{}#[derive(Clone, Debug, PartialEq, PartialOrd, Ord, Hash)]\npub struct {name}(pub String);\n",
        doc_lines(doc, ""),
    );
    format!("{item}string_newtype!({name});\n\n")
}

/// The call of `struct_serde!`, which has one group for each way to treat a field. What we send
/// does not mention defaults; what we received is written as codex does it.
fn object(ty: &Type, fields: &[Field], extra: bool) -> String {
    let group = |field: &Field| match &field.presence {
        Presence::Required => "required",
        Presence::Nullable => "nullable",
        Presence::Optional => "optional",
        Presence::Any | Presence::Patch => "present",
        Presence::Default { .. } if ty.sent => "implied",
        Presence::Default { .. } => "filled",
    };
    let call = if ty.payload {
        "variant_serde"
    } else {
        "struct_serde"
    };
    let mut text = format!("{call}!({} {{\n", ty.name);
    let mut row = Vec::new();
    for name in [
        "required", "nullable", "optional", "present", "filled", "implied",
    ] {
        let wrap = match name {
            "required" => "Required",
            "present" => "Nullable",
            _ => "Optional",
        };
        let fields: Vec<_> = fields.iter().filter(|f| group(f) == name).collect();
        if fields.is_empty() {
            continue;
        }
        let _ = writeln!(text, "    {name} {{");
        for field in fields {
            let default = match &field.presence {
                Presence::Default { expr, .. } => format!(" {expr}"),
                _ => String::new(),
            };
            let _ = writeln!(text, "        {} {:?}{default},", field.ident, field.wire);
            row.push(format!("{wrap}({})", field.ident));
        }
        text.push_str("    }\n");
    }
    let row = tuple(&row);
    text + &match (ty.payload, extra) {
        (true, _) => format!("}} read_rest {row});\n"),
        (false, false) => format!("}} read_object {row});\n"),
        (false, true) => format!("    ..extra\n}} read_open_object ({row}, extra));\n"),
    }
}

/// A tuple of any length: a long one has tuples in it, one a line.
fn tuple(parts: &[String]) -> String {
    match parts {
        [only] => format!("({only},)"),
        parts if parts.len() <= ROW => format!("({})", parts.join(", ")),
        parts => {
            let size = parts.len().div_ceil(ROW).max(ROW);
            let rows: Vec<String> = parts.chunks(size).map(tuple).collect();
            format!("(\n    {},\n)", rows.join(",\n    "))
        }
    }
}

fn has_plain_default(field: &Field) -> bool {
    match &field.presence {
        Presence::Default { expr, .. } => {
            matches!(expr.as_str(), "false" | "0" | "Vec::new()")
        }
        _ => true,
    }
}

/// Scalars are passed directly: with `impl Into<u32>` the literal `5` would be an `i32`.
fn converts(ty: &str) -> bool {
    !matches!(
        ty,
        "bool" | "u8" | "u16" | "u32" | "u64" | "i8" | "i16" | "i32" | "i64" | "f32" | "f64"
    )
}

/// Orders arguments: the id of the thread, other ids, the name, the rest.
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

/// What a constructor takes for the id of a thread or of a turn.
fn id_type(field: &Field) -> Option<&'static str> {
    match field.wire.as_str() {
        _ if field.ty != "String" => None,
        wire if wire == "threadId" || wire.ends_with("ThreadId") => Some("ThreadId"),
        wire if wire == "turnId" || wire.ends_with("TurnId") => Some("TurnId"),
        _ => None,
    }
}

fn constructor(name: &str, fields: &[Field], extra: bool) -> String {
    let mut needed: Vec<&Field> = fields.iter().filter(|field| field.needed()).collect();
    needed.sort_by_key(|field| rank(field));
    let args = needed.iter().map(|field| {
        let Field { ident, ty, .. } = field;
        if let Some(id) = id_type(field) {
            format!("{ident}: impl Into<{id}>")
        } else if converts(ty) {
            format!("{ident}: impl Into<{ty}>")
        } else {
            format!("{ident}: {ty}")
        }
    });
    let args: Vec<String> = args.collect();
    let one_line = format!("    pub fn new({}) -> Self {{", args.join(", "));
    let head = if one_line.len() <= WIDTH {
        one_line
    } else {
        let args = args.join(",\n        ");
        format!("    pub fn new(\n        {args},\n    ) -> Self {{")
    };
    let mut text = format!(
        "impl {name} {{\n    /// Creates a value from its required fields.\n    #[inline]\n    #[must_use]\n{head}\n        Self {{\n{}        }}\n    }}\n}}\n",
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
                "impl From<{from}> for {name} {{\n    #[inline]\n    fn from({ident}: {from}) -> Self {{\n        Self::new({ident})\n    }}\n}}\n"
            );
        }
    }
    text
}

/// The fields of a new struct, one per line.
fn initial(fields: &[Field], extra: bool) -> String {
    let mut text = String::new();
    for field in fields {
        let Field { ident, ty, .. } = field;
        let _ = match &field.presence {
            Presence::Required if id_type(field).is_some() => {
                writeln!(text, "            {ident}: {ident}.into().0,")
            }
            Presence::Required if converts(ty) => {
                writeln!(text, "            {ident}: {ident}.into(),")
            }
            Presence::Required => writeln!(text, "            {ident},"),
            Presence::Default { expr, .. } => writeln!(text, "            {ident}: {expr},"),
            _ => writeln!(text, "            {ident}: None,"),
        };
    }
    if extra {
        text.push_str("            extra: BTreeMap::new(),\n");
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
        let is_null_of = |other: &Field| {
            other.presence == Presence::Patch && format!("{}_null", other.ident) == field.ident
        };
        let is_taken = TAKEN.contains(&field.ident.as_str()) || fields.iter().any(is_null_of);
        (!is_taken).then(|| format!("{wrap}{into}"))
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
