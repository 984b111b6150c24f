//! Gives methods that share a params type a newtype each.
//!
//! A trait binds a params type to one method, so one method keeps the type and the others get a
//! newtype named after them. The choice depends on names alone, so later schemas do not change it:
//! the method after which the type is named, else the one that shares most words with it, else the
//! shorter one.

use std::{cmp::Reverse, collections::BTreeMap};

use super::{
    load::{Kind, Method, Params},
    model::{Model, Shape, Type},
    names::{self, Names},
};

/// Params types of requests that are shared, by kind and method.
pub(crate) type Newtypes<'a> = BTreeMap<(Kind, &'a str), String>;

/// Turns aliases that are params of methods into newtypes, since a trait cannot bind an alias.
pub(crate) fn own_types(methods: &[Method], model: &mut Model) {
    for method in methods {
        if let Params::Type { name, .. } = &method.params
            && let Some(ty) = model.types.get_mut(name)
            && let Shape::Alias(target) = &ty.shape
        {
            ty.shape = Shape::Newtype(target.clone());
        }
    }
}

/// Adds a newtype for every method that does not keep its params type.
pub(crate) fn newtypes<'a>(methods: &'a [Method], model: &mut Model) -> Newtypes<'a> {
    let mut users: BTreeMap<(Kind, &str), Vec<&Method>> = BTreeMap::new();
    for method in methods {
        if let (Kind::Request | Kind::ServerRequest, Params::Type { name, .. }) =
            (method.kind, &method.params)
        {
            users.entry((method.kind, name)).or_default().push(method);
        }
    }
    let mut newtypes = Newtypes::new();
    for ((kind, params), users) in users {
        let owner = owner(params, &users);
        let users = users.iter().map(|method| method.name.as_str());
        for method in users.filter(|method| *method != owner) {
            let name = Names::of(model.types.keys()).take(&names::params(method));
            let area = model.types.get(params).map_or("common", |ty| ty.area);
            let newtype = Type {
                name: name.clone(),
                doc: None,
                area,
                sent: false,
                payload: false,
                shape: Shape::Newtype(params.to_owned()),
            };
            model.types.insert(name.clone(), newtype);
            newtypes.insert((kind, method), name);
        }
    }
    newtypes
}

fn owner<'a>(params: &str, users: &[&'a Method]) -> &'a str {
    let words = names::words(params.strip_suffix("Params").unwrap_or(params));
    let closeness = |method: &Method| {
        let own = names::words(&names::method(&method.name));
        let shared = own.iter().filter(|word| words.contains(word)).count();
        // Methods that our own code calls come first, then the exact name, then most words in
        // common.
        (method.kept, own == words, shared, Reverse(own.len()))
    };
    let best = users
        .iter()
        .max_by_key(|method| (closeness(method), Reverse(&method.name)));
    best.map(|method| method.name.as_str()).unwrap_or_default()
}
