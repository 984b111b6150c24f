//! Emits the model as source text, one file per module, formatted as rustfmt would.

mod describe;
mod methods;
mod pages;
mod structs;
mod unions;

use std::{fmt::Write as _, path::Path};

use super::{
    model::{Model, Shape, Type},
    names,
};
use describe::Describer;

/// Types written by hand in `src/protocol/`, under the same name.
pub(super) const BY_HAND: [&str; 3] = ["RequestId", "ThreadId", "TurnId"];

/// All files, by name. `out` is their directory.
pub(crate) fn files(model: &Model, out: &Path) -> Vec<(String, String)> {
    let describer = Describer::new(model);
    let mut files = Vec::new();
    let mut root = String::from("// Generated from the schema by codegen/. Do not edit.\n\n");
    for area in names::areas() {
        let types: Vec<&Type> = model
            .types
            .values()
            .filter(|ty| ty.area == area && !BY_HAND.contains(&ty.name.as_str()))
            .collect();
        if !types.is_empty() {
            let text: String = types
                .into_iter()
                .map(|ty| one(ty, model, &describer))
                .collect();
            files.push((format!("protocol/{area}.rs"), with_header(&text)));
            mount(&mut root, area, out);
        }
    }
    files.push((
        "protocol/methods.rs".into(),
        with_header(&(methods::emit(model, &describer) + &pages::emit(model))),
    ));
    mount(&mut root, "methods", out);
    files.push(("protocol.rs".into(), root));
    files.push(("inventory.txt".into(), methods::inventory(model)));
    files.push(("for_tests.rs".into(), methods::list(model)));
    files
}

fn one(ty: &Type, model: &Model, describer: &Describer<'_>) -> String {
    let doc = describer.ty(ty);
    match &ty.shape {
        Shape::Struct { fields, extra } => structs::structure(ty, fields, extra.as_deref(), &doc),
        Shape::Words(variants) => unions::words(ty, variants, &doc),
        Shape::Tagged { tag, variants } => unions::tagged(ty, model, tag, variants, &doc),
        Shape::Keyed(variants) => unions::keyed(ty, variants, &doc),
        Shape::Shaped(variants) => unions::shaped(ty, model, variants, &doc),
        Shape::Text => structs::text(ty, &doc),
        Shape::Newtype(inner) => structs::newtype(ty, inner, model, &doc),
        Shape::Alias(target) => {
            format!(
                "{}pub type {} = {target};\n\n",
                doc_lines(&doc, ""),
                ty.name
            )
        }
    }
}

fn with_header(body: &str) -> String {
    format!(
        "// Generated from the schema by codegen/. Do not edit.\n\n\
         use std::collections::BTreeMap;\n\n\
         use serde::{{Deserialize, Serialize}};\nuse serde_json::{{Map, Value, value::RawValue}};\n\n\
         use super::{{macros::*, structs::{{Nullable, Optional, Required}}, *}};\n\n{body}"
    )
}

fn mount(root: &mut String, module: &str, out: &Path) {
    let path = out.join("protocol").join(format!("{module}.rs"));
    let path = path.to_string_lossy();
    let _ = write!(
        root,
        "#[path = {path:?}]\n#[rustfmt::skip]\nmod {module};\npub use {module}::*;\n"
    );
}

/// Documentation as `///` lines, indented.
fn doc_lines(doc: &str, indent: &str) -> String {
    doc.lines().fold(String::new(), |mut lines, line| {
        let space = if line.is_empty() { "" } else { " " };
        let _ = writeln!(lines, "{indent}///{space}{line}");
        lines
    })
}
