//! The public items of the hand-written code, as a text that can be compared.
//!
//! The source is read, not compiled, so items that a macro expands to are missing. The generated types are listed in
//! `docs/protocol.md`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use quote::ToTokens;
use syn::{Attribute, Fields, ImplItem, Item, TraitItem, UseTree, Visibility};

use crate::source::{Module, modules};

/// One line for each public item, sorted.
pub(crate) fn listing(src: &Path) -> String {
    let modules = modules(src);
    let mut listing = Listing {
        modules: &modules,
        lines: BTreeSet::new(),
        named: BTreeMap::new(),
    };
    listing.module(&Vec::new(), "cas_sdk");
    listing.impls();
    let mut text = String::new();
    for line in &listing.lines {
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// Compares with the golden file, or writes it where `CAS_BLESS` is set.
pub(crate) fn compare(listing: &str, golden: &Path) {
    if std::env::var_os("CAS_BLESS").is_some() {
        fs::write(golden, listing).unwrap();
    }
    let expected = fs::read_to_string(golden).unwrap_or_default();
    let (old, new): (BTreeSet<_>, BTreeSet<_>) =
        (expected.lines().collect(), listing.lines().collect());
    let gone: Vec<_> = old.difference(&new).collect();
    let come: Vec<_> = new.difference(&old).collect();
    assert!(
        gone.is_empty() && come.is_empty(),
        "the public API is not that of {}; if that is meant, run with CAS_BLESS=1\ngone: {gone:#?}\nnew: {come:#?}",
        golden.display()
    );
}

struct Listing<'a> {
    modules: &'a BTreeMap<Module, syn::File>,
    lines: BTreeSet<String>,
    /// The public path of each listed type, by its name.
    named: BTreeMap<String, String>,
}

impl Listing<'_> {
    fn module(&mut self, module: &Module, path: &str) {
        let Some(file) = self.modules.get(module) else {
            return;
        };
        for item in &file.items {
            match item {
                Item::Mod(child) if is_public(&child.vis) && !is_hidden(&child.attrs) => {
                    let name = child.ident.to_string();
                    self.lines.insert(format!("{path}::{name}: mod"));
                    if let Some((_, items)) = &child.content {
                        self.inline(module, items, &format!("{path}::{name}"));
                        continue;
                    }
                    let child = module.iter().cloned().chain([name.clone()]).collect();
                    self.module(&child, &format!("{path}::{name}"));
                }
                Item::Use(item) if is_public(&item.vis) && !is_hidden(&item.attrs) => {
                    self.reexports(module, &item.tree, &mut Vec::new(), path);
                }
                item => self.item(item, path, None),
            }
        }
    }

    /// A module without a file, which has nothing but re-exports.
    fn inline(&mut self, module: &Module, items: &[Item], path: &str) {
        for item in items {
            if let Item::Use(item) = item
                && is_public(&item.vis)
            {
                self.reexports(module, &item.tree, &mut Vec::new(), path);
            }
        }
    }

    fn reexports(&mut self, module: &Module, tree: &UseTree, head: &mut Vec<String>, path: &str) {
        match tree {
            UseTree::Path(tree) => {
                head.push(tree.ident.to_string());
                self.reexports(module, &tree.tree, head, path);
                head.pop();
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.reexports(module, tree, head, path);
                }
            }
            UseTree::Name(name) => {
                let name = name.ident.to_string();
                self.reexport(module, head, &name, &name, path);
            }
            UseTree::Rename(rename) => {
                let (name, alias) = (rename.ident.to_string(), rename.rename.to_string());
                self.reexport(module, head, &name, &alias, path);
            }
            UseTree::Glob(_) => {
                self.lines
                    .insert(format!("{path}: all of {}", head.join("::")));
            }
        }
    }

    fn reexport(&mut self, module: &Module, head: &[String], name: &str, alias: &str, path: &str) {
        let found = self.find(module, head, name, 0);
        if let Some((module, item)) = found {
            match item {
                Some(item) => self.item(&item, path, Some(alias)),
                None => self.module(&module, &format!("{path}::{alias}")),
            }
        } else {
            let of = head.iter().map(String::as_str).chain([name]);
            let of = of.collect::<Vec<_>>().join("::");
            self.lines.insert(format!("{path}::{alias}: {of}"));
        }
    }

    /// The item that a name stands for, through re-exports; `None` for a module.
    fn find(
        &self,
        module: &Module,
        head: &[String],
        name: &str,
        depth: usize,
    ) -> Option<(Module, Option<Item>)> {
        if depth > 8 {
            return None;
        }
        let mut target: Module = match head.first().map(String::as_str) {
            Some("crate") => head[1..].to_vec(),
            Some("self") => [module.as_slice(), &head[1..]].concat(),
            Some("super") => [&module[..module.len() - 1], &head[1..]].concat(),
            _ => [module.as_slice(), head].concat(),
        };
        let file = self.modules.get(&target)?;
        for item in &file.items {
            if name_of(item).is_some_and(|n| n == name) && !matches!(item, Item::Mod(_)) {
                return Some((target, Some(item.clone())));
            }
        }
        for item in &file.items {
            if let Item::Use(item) = item {
                for (path, original, alias) in leaves(&item.tree) {
                    if alias == name
                        && let Some(found) = self.find(&target, &path, &original, depth + 1)
                    {
                        return Some(found);
                    }
                }
            }
        }
        target.push(name.to_owned());
        self.modules.contains_key(&target).then_some((target, None))
    }

    fn item(&mut self, item: &Item, path: &str, alias: Option<&str>) {
        let Some(name) = name_of(item) else { return };
        let name = alias.unwrap_or(&name).to_owned();
        let path = format!("{path}::{name}");
        let line = match item {
            Item::Struct(item) if is_public(&item.vis) => {
                let Fields::Named(fields) = &item.fields else {
                    let line = format!("{path}: struct {}", text(&item.fields));
                    self.lines.insert(line);
                    self.named.insert(item.ident.to_string(), path);
                    return;
                };
                for field in fields.named.iter().filter(|f| is_public(&f.vis)) {
                    let name = field.ident.as_ref().unwrap();
                    self.lines
                        .insert(format!("{path}.{name}: {}", text(&field.ty)));
                }
                self.named.insert(item.ident.to_string(), path.clone());
                format!(
                    "{path}: struct{}{}",
                    text(&item.generics),
                    derives(&item.attrs)
                )
            }
            Item::Enum(item) if is_public(&item.vis) => {
                for variant in &item.variants {
                    let fields = text(&variant.fields);
                    self.lines
                        .insert(format!("{path}::{}{fields}: variant", variant.ident));
                }
                self.named.insert(item.ident.to_string(), path.clone());
                format!(
                    "{path}: enum{}{}",
                    text(&item.generics),
                    derives(&item.attrs)
                )
            }
            Item::Trait(item) if is_public(&item.vis) => {
                for member in &item.items {
                    let line = match member {
                        TraitItem::Fn(f) => {
                            let default = if f.default.is_some() {
                                ", with a default"
                            } else {
                                ""
                            };
                            format!("{path}::{}: {}{default}", f.sig.ident, text(&f.sig))
                        }
                        TraitItem::Const(c) => {
                            format!("{path}::{}: const {}", c.ident, text(&c.ty))
                        }
                        TraitItem::Type(t) => {
                            format!("{path}::{}: type {}", t.ident, text(&t.bounds))
                        }
                        _ => continue,
                    };
                    self.lines.insert(line);
                }
                self.named.insert(item.ident.to_string(), path.clone());
                format!("{path}: trait {}", text(&item.supertraits))
            }
            Item::Fn(item) if is_public(&item.vis) => format!("{path}: {}", text(&item.sig)),
            Item::Const(item) if is_public(&item.vis) => {
                format!("{path}: const {}", text(&item.ty))
            }
            Item::Type(item) if is_public(&item.vis) => format!("{path}: type {}", text(&item.ty)),
            _ => return,
        };
        self.lines.insert(line.trim_end().to_owned());
    }

    /// The methods and traits of the listed types, wherever they are implemented.
    fn impls(&mut self) {
        let mut lines = Vec::new();
        for item in self.modules.values().flat_map(|file| &file.items) {
            let Item::Impl(item) = item else { continue };
            let syn::Type::Path(of) = &*item.self_ty else {
                continue;
            };
            let of = of.path.segments.last().unwrap().ident.to_string();
            let Some(path) = self.named.get(&of) else {
                continue;
            };
            if is_hidden(&item.attrs) {
                continue;
            }
            if let Some((_, of_trait, _)) = &item.trait_ {
                lines.push(format!("{path}: impl {}", text(of_trait)));
                continue;
            }
            for member in &item.items {
                match member {
                    ImplItem::Fn(f) if is_public(&f.vis) && !is_hidden(&f.attrs) => {
                        lines.push(format!("{path}::{}: {}", f.sig.ident, text(&f.sig)));
                    }
                    ImplItem::Const(c) if is_public(&c.vis) => {
                        lines.push(format!("{path}::{}: const {}", c.ident, text(&c.ty)));
                    }
                    _ => {}
                }
            }
        }
        self.lines.extend(lines);
    }
}

/// The names that a `use` brings: the path before it, its own name, the name it gets.
fn leaves(tree: &UseTree) -> Vec<(Vec<String>, String, String)> {
    fn walk(tree: &UseTree, head: &[String], found: &mut Vec<(Vec<String>, String, String)>) {
        match tree {
            UseTree::Path(path) => {
                let head = [head, &[path.ident.to_string()]].concat();
                walk(&path.tree, &head, found);
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| walk(tree, head, found)),
            UseTree::Name(name) => {
                let name = name.ident.to_string();
                found.push((head.to_vec(), name.clone(), name));
            }
            UseTree::Rename(rename) => {
                found.push((
                    head.to_vec(),
                    rename.ident.to_string(),
                    rename.rename.to_string(),
                ));
            }
            UseTree::Glob(_) => {}
        }
    }
    let mut found = Vec::new();
    walk(tree, &[], &mut found);
    found
}

fn name_of(item: &Item) -> Option<String> {
    Some(match item {
        Item::Struct(item) => item.ident.to_string(),
        Item::Enum(item) => item.ident.to_string(),
        Item::Trait(item) => item.ident.to_string(),
        Item::Fn(item) => item.sig.ident.to_string(),
        Item::Const(item) => item.ident.to_string(),
        Item::Type(item) => item.ident.to_string(),
        _ => return None,
    })
}

fn derives(attributes: &[Attribute]) -> String {
    let mut text_of = String::new();
    for attribute in attributes {
        if attribute.path().is_ident("derive") || attribute.path().is_ident("non_exhaustive") {
            text_of.push_str(", ");
            text_of.push_str(&text(&attribute.meta));
        }
    }
    text_of
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn is_hidden(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let text = attribute.meta.to_token_stream().to_string();
        text == "doc (hidden)"
            || attribute.path().is_ident("cfg")
                && text.contains("test")
                && !text.contains("testing")
    })
}

/// Tokens as a person would write them, nearly.
fn text(tokens: &impl ToTokens) -> String {
    let mut text = tokens.to_token_stream().to_string();
    for (from, to) in [
        (" :: ", "::"),
        (":: ", "::"),
        (" < ", "<"),
        ("< ", "<"),
        (" >", ">"),
        (" ,", ","),
        (" (", "("),
        ("( ", "("),
        (" )", ")"),
        ("& ", "&"),
        (" :", ":"),
        ("' ", "'"),
        (" ;", ";"),
    ] {
        text = text.replace(from, to);
    }
    text
}
