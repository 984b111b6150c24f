//! Breaks cycles among types: with a box where that is possible, else with any JSON value.
//!
//! typify boxes cycles among structs. It does not see cycles through unions, since we emit these.

use std::collections::BTreeSet;

use super::model::{Model, Shape, Type};

/// Breaks all cycles. Warns of types that have become any value.
pub(crate) fn cut(model: &mut Model, warnings: &mut Vec<String>) {
    while let Some(name) = circular_alias(model) {
        warnings.push(format!(
            "{name}: a name for itself; it is a plain JSON value"
        ));
        if let Some(ty) = model.types.get_mut(&name) {
            ty.shape = Shape::Alias("Value".into());
        }
    }
    while let Some(circle) = find(model) {
        if !circle
            .windows(2)
            .any(|pair| boxed(model, &pair[0], &pair[1]))
        {
            // A cycle of aliases.
            warnings.push(format!(
                "{}: contains itself; it is a plain JSON value",
                circle[0]
            ));
            if let Some(ty) = model.types.get_mut(&circle[0]) {
                ty.shape = match ty.shape {
                    Shape::Newtype(_) => Shape::Newtype("Value".into()),
                    _ => Shape::Alias("Value".into()),
                };
            }
        }
    }
}

/// An alias that contains itself, be it in a list. Rust has no such aliases.
fn circular_alias(model: &Model) -> Option<String> {
    let alias = |name: &str| match &model.types.get(name)?.shape {
        Shape::Alias(_) => Some(model.types[name].mentions()),
        _ => None,
    };
    let goes_round = |name: &&String| {
        let mut seen = BTreeSet::new();
        let mut open = alias(name).unwrap_or_default();
        while let Some(next) = open.pop() {
            if next == name.as_str() {
                return true;
            }
            if seen.insert(next) {
                open.extend(alias(next).unwrap_or_default());
            }
        }
        false
    };
    model.types.keys().find(goes_round).cloned()
}

/// The type that a value of `ty` contains without a pointer in between.
fn inside(ty: &str) -> Option<&str> {
    let ty = ty.trim();
    match ty
        .strip_prefix("Option<")
        .and_then(|rest| rest.strip_suffix('>'))
    {
        Some(inner) => inside(inner),
        None => (!ty.contains('<')).then_some(ty),
    }
}

/// The types inside of a type.
fn parts(ty: &Type) -> Vec<&str> {
    match &ty.shape {
        Shape::Struct { fields, .. } => fields.iter().filter_map(|f| inside(&f.ty)).collect(),
        Shape::Tagged { variants, .. } | Shape::Keyed(variants) => variants
            .iter()
            .filter_map(|variant| inside(variant.payload.as_deref()?))
            .collect(),
        Shape::Shaped(variants) => variants
            .iter()
            .filter_map(|(variant, _)| inside(variant.payload.as_deref()?))
            .collect(),
        Shape::Alias(target) | Shape::Newtype(target) => inside(target).into_iter().collect(),
        Shape::Words(_) | Shape::Text => Vec::new(),
    }
}

/// A path from a type to itself, both ends included.
fn find(model: &Model) -> Option<Vec<String>> {
    let mut done = BTreeSet::new();
    for start in model.types.keys() {
        let mut path = Vec::new();
        if let Some(circle) = visit(model, start, &mut path, &mut done) {
            return Some(circle);
        }
    }
    None
}

fn visit<'a>(
    model: &'a Model,
    name: &'a str,
    path: &mut Vec<&'a str>,
    done: &mut BTreeSet<&'a str>,
) -> Option<Vec<String>> {
    if let Some(at) = path.iter().position(|open| *open == name) {
        let mut circle: Vec<String> = path[at..].iter().map(ToString::to_string).collect();
        circle.push(name.to_owned());
        return Some(circle);
    }
    let ty = model.types.get(name)?;
    if done.contains(name) {
        return None;
    }
    path.push(name);
    for part in parts(ty) {
        if let Some(circle) = visit(model, part, path, done) {
            return Some(circle);
        }
    }
    path.pop();
    done.insert(&ty.name);
    None
}

/// Boxes every `part` in `owner`. Returns `false` if that is not possible.
fn boxed(model: &mut Model, owner: &str, part: &str) -> bool {
    let Some(ty) = model.types.get_mut(owner) else {
        return false;
    };
    let wrap = |ty: &mut String| {
        let hit = inside(ty) == Some(part);
        if hit {
            *ty = ty.replace(part, &format!("Box<{part}>"));
        }
        hit
    };
    match &mut ty.shape {
        Shape::Struct { fields, .. } => {
            fields
                .iter_mut()
                .filter_map(|field| wrap(&mut field.ty).then_some(()))
                .count()
                > 0
        }
        Shape::Keyed(variants) => {
            let payloads = variants
                .iter_mut()
                .filter_map(|variant| variant.payload.as_mut());
            payloads
                .filter_map(|payload| wrap(payload).then_some(()))
                .count()
                > 0
        }
        Shape::Shaped(variants) => {
            let payloads = variants
                .iter_mut()
                .filter_map(|(variant, _)| variant.payload.as_mut());
            payloads
                .filter_map(|payload| wrap(payload).then_some(()))
                .count()
                > 0
        }
        // A payload is read as part of the object around it, and an alias is not a type of its own.
        Shape::Tagged { .. }
        | Shape::Alias(_)
        | Shape::Newtype(_)
        | Shape::Words(_)
        | Shape::Text => false,
    }
}
