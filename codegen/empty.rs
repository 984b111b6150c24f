//! Makes the responses without fields, some fifty, aliases of one type, `Empty`.
//!
//! Each type costs the compiler 130 KB of memory, even without fields; see `docs/build-cost.md`.

use super::model::{Model, Shape, Type};

const EMPTY: &str = "Empty";

/// Returns a line for the log.
pub(crate) fn merge(model: &mut Model) -> Option<String> {
    if model.types.contains_key(EMPTY) {
        return None; // The schema has a definition of that name.
    }
    let responses = model
        .methods
        .iter()
        .filter_map(|method| method.response.as_deref());
    let empty: Vec<String> = responses
        .filter(|name| model.types.get(*name).is_some_and(is_empty))
        .map(str::to_owned)
        .collect();
    for name in &empty {
        if let Some(ty) = model.types.get_mut(name) {
            ty.shape = Shape::Alias(EMPTY.into());
        }
    }
    if empty.is_empty() {
        return None;
    }
    let definition = Type {
        name: EMPTY.into(),
        doc: Some("An object without fields: the answer where there is nothing to say.".into()),
        area: "common",
        sent: false,
        payload: false,
        shape: Shape::Struct {
            fields: Vec::new(),
            extra: None,
        },
    };
    model.types.insert(EMPTY.into(), definition);
    Some(format!("{EMPTY}: {}", empty.join(", ")))
}

/// Whether a type has no fields and is only a response. Types that users send have their own
/// setters.
fn is_empty(ty: &Type) -> bool {
    let is_bare = matches!(&ty.shape, Shape::Struct { fields, extra: None } if fields.is_empty());
    is_bare && !ty.sent && !ty.payload
}
