//! The methods that answer page by page: `cursor` in the params, `data` and `nextCursor` in the
//! response.

use std::fmt::Write as _;

use super::super::{
    load::Kind,
    model::{Field, Method, Model, Shape},
};

/// One `paged!(Params, Item);` per method.
pub(super) fn emit(model: &Model) -> String {
    let mut text = String::new();
    for method in model.methods.iter().filter(|m| m.kind == Kind::Request) {
        if let Some((params, item)) = paged(model, method) {
            let _ = writeln!(text, "paged!({params}, {item});");
        }
    }
    text + "\n"
}

fn paged<'a>(model: &'a Model, method: &'a Method) -> Option<(&'a str, &'a str)> {
    let params = method.params.as_deref()?;
    field(model, params, "cursor")?;
    let response = method.response.as_deref()?;
    field(model, response, "nextCursor")?;
    let data = field(model, response, "data")?;
    let item = data.ty.strip_prefix("Vec<")?.strip_suffix('>')?;
    Some((params, item))
}

fn field<'a>(model: &'a Model, ty: &str, wire: &str) -> Option<&'a Field> {
    match &model.types.get(ty)?.shape {
        Shape::Struct { fields, .. } => fields.iter().find(|f| f.wire == wire),
        Shape::Newtype(inner) => field(model, inner, wire),
        _ => None,
    }
}
