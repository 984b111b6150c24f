//! Enums: strings, and the three forms of unions. Each has `Unknown` for values that are not in the
//! schema.

use std::fmt::Write as _;

use super::{
    super::model::{Form, Model, Shape, Type, Variant},
    describe, doc_lines,
};

pub(super) fn words(ty: &Type, variants: &[Variant], doc: &str) -> String {
    let derives = "Clone, Debug";
    let mut text = enumeration(
        ty,
        variants,
        doc,
        derives,
        "A value that is not in the schema.",
        "Box<str>",
    );
    let _ = writeln!(text, "open_enum!({} {{", ty.name);
    for variant in variants {
        let _ = writeln!(text, "    {} = {:?},", variant.name, variant.wire);
    }
    text + "});\n\n"
}

pub(super) fn tagged(
    ty: &Type,
    model: &Model,
    tag: &str,
    variants: &[Variant],
    doc: &str,
) -> String {
    let unknown = format!("An object whose `{tag}` is not in the schema, whole.");
    let mut text = enumeration(
        ty,
        variants,
        doc,
        "Clone, Debug, PartialEq",
        &unknown,
        "Value",
    );
    let _ = writeln!(text, "internally_tagged!({} {tag:?} {{", ty.name);
    text + &groups("units", variants) + &conversions(ty, model, variants.iter()) + "\n"
}

pub(super) fn keyed(ty: &Type, variants: &[Variant], doc: &str) -> String {
    let unknown = "A value that is not in the schema.";
    let mut text = enumeration(
        ty,
        variants,
        doc,
        "Clone, Debug, PartialEq",
        unknown,
        "Value",
    );
    let _ = writeln!(text, "externally_tagged!({} {{", ty.name);
    text + &groups("words", variants) + "\n"
}

/// Emits `From` for the payloads of a union that users send.
///
/// A payload of two variants has no `From`, and neither has the union itself.
fn conversions<'a>(
    ty: &Type,
    model: &Model,
    variants: impl Iterator<Item = &'a Variant>,
) -> String {
    let all: Vec<&Variant> = variants.filter(|v| v.payload.is_some()).collect();
    let meant = |variant: &Variant| {
        let mut meant = variant.payload.clone().unwrap_or_default();
        while let Some(Shape::Alias(target)) = model.types.get(&meant).map(|ty| &ty.shape) {
            meant.clone_from(target);
        }
        meant
    };
    let is_only = |variant: &&Variant| {
        let own = meant(variant);
        own != ty.name && all.iter().filter(|other| meant(other) == own).count() == 1
    };
    let with: Vec<&Variant> = all.iter().copied().filter(is_only).collect();
    if !ty.sent || with.is_empty() {
        return String::new();
    }
    let mut text = format!("variants_from!({} {{\n", ty.name);
    for variant in with {
        let _ = writeln!(text, "    {},", with_payload(variant));
    }
    text + "});\n"
}

/// Variants without a payload, followed by those with one.
fn groups(bare: &str, variants: &[Variant]) -> String {
    let mut text = String::new();
    for (name, with) in [(bare, false), ("objects", true)] {
        let _ = write!(text, "    {name} {{");
        for variant in variants
            .iter()
            .filter(|variant| variant.payload.is_some() == with)
        {
            let _ = write!(
                text,
                "\n        {} = {:?},",
                with_payload(variant),
                variant.wire
            );
        }
        text.push_str(if text.ends_with('{') {
            " }\n"
        } else {
            "\n    }\n"
        });
    }
    text + "});\n"
}

pub(super) fn shaped(
    ty: &Type,
    model: &Model,
    variants: &[(Variant, Vec<Form>)],
    doc: &str,
) -> String {
    let only: Vec<Variant> = variants
        .iter()
        .map(|(variant, _)| variant.clone())
        .collect();
    let unknown = "A value of a form that is not in the schema.";
    let mut text = enumeration(ty, &only, doc, "Clone, Debug, PartialEq", unknown, "Value");
    let _ = writeln!(text, "untagged!({} {{", ty.name);
    // The strictest form comes first, since a laxer one would match its values.
    let mut variants: Vec<_> = variants.iter().collect();
    variants.sort_by_key(|(_, forms)| std::cmp::Reverse(forms.iter().map(strictness).min()));
    for (variant, forms) in variants {
        let forms: Vec<String> = forms.iter().map(form).collect();
        let _ = writeln!(
            text,
            "    {} = [{}],",
            with_payload(variant),
            forms.join(", ")
        );
    }
    text + "});\n" + &conversions(ty, model, only.iter()) + "\n"
}

fn with_payload(variant: &Variant) -> String {
    match &variant.payload {
        Some(payload) => format!("{}({payload})", variant.name),
        None => variant.name.clone(),
    }
}

fn enumeration(
    ty: &Type,
    variants: &[Variant],
    doc: &str,
    derives: &str,
    unknown_doc: &str,
    unknown: &str,
) -> String {
    let mut text = format!(
        "{}#[derive({derives})]\n#[non_exhaustive]\npub enum {} {{\n",
        doc_lines(doc, ""),
        ty.name
    );
    for variant in variants {
        let _ = writeln!(
            text,
            "{}    {},",
            doc_lines(&describe::variant(variant), "    "),
            with_payload(variant)
        );
    }
    text + &format!("    /// {unknown_doc}\n    Unknown({unknown}),\n}}\n")
}

fn strictness(form: &Form) -> usize {
    match form {
        Form::Object { keys, words } => {
            keys.len() + words.iter().filter(|(_, words)| !words.is_empty()).count()
        }
        _ => usize::MAX,
    }
}

fn form(form: &Form) -> String {
    match form {
        Form::Null => "Shape::Null".into(),
        Form::Bool => "Shape::Bool".into(),
        Form::Integer => "Shape::Integer".into(),
        Form::Number => "Shape::Number".into(),
        Form::Text => "Shape::Text".into(),
        Form::List => "Shape::List".into(),
        Form::Object { keys, words } => format!("Shape::Object(&{keys:?}, &{})", word_list(words)),
    }
}

fn word_list(words: &[(String, Vec<String>)]) -> String {
    let items: Vec<String> = words
        .iter()
        .map(|(key, values)| format!("({key:?}, &{values:?})"))
        .collect();
    format!("[{}]", items.join(", "))
}
