//! The files of `src/`, and which of them import which, read with `syn`. Tests and the binary are left out.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use proc_macro2::{TokenStream, TokenTree};
use syn::{Attribute, Item, UseTree, visit::Visit};

/// The path of a module below the crate's root.
pub(crate) type Module = Vec<String>;

/// One file of `src/`.
pub(crate) struct File {
    /// Relative to `src/`, with slashes.
    pub(crate) path: String,
    pub(crate) lines: usize,
    pub(crate) imports: BTreeSet<String>,
}

/// Reads the crate at `src`, from `lib.rs` on.
pub(crate) fn files(src: &Path) -> Vec<File> {
    let mut found = BTreeMap::new();
    collect(src, &src.join("lib.rs"), &Vec::new(), &mut found);
    let sources: Vec<Source> = found.into_values().collect();
    let index = Index::new(&sources);
    sources
        .iter()
        .map(|source| File {
            path: source.path.clone(),
            lines: source.lines,
            imports: source
                .paths
                .iter()
                .filter_map(|path| index.file_of(path))
                .filter(|path| *path != source.path && *path != "lib.rs")
                .map(str::to_owned)
                .collect(),
        })
        .collect()
}

/// Every module that has a file, parsed.
pub(crate) fn modules(src: &Path) -> BTreeMap<Module, syn::File> {
    let mut found = BTreeMap::new();
    collect(src, &src.join("lib.rs"), &Vec::new(), &mut found);
    found
        .into_values()
        .map(|source| (source.module, source.syntax))
        .collect()
}

struct Source {
    syntax: syn::File,
    path: String,
    lines: usize,
    module: Module,
    /// Every path that names something of the crate, from the root.
    paths: Vec<Module>,
    /// What the module re-exports: the name, and the path it stands for.
    exports: Vec<(String, Module)>,
}

fn collect(src: &Path, file: &Path, module: &Module, found: &mut BTreeMap<PathBuf, Source>) {
    let text = fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let syntax = syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let mut reader = Reader {
        module: module.clone(),
        paths: Vec::new(),
        exports: Vec::new(),
        children: Vec::new(),
    };
    reader.visit_file(&syntax);
    let path = file
        .strip_prefix(src)
        .unwrap()
        .to_str()
        .unwrap()
        .replace('\\', "/");
    let children = std::mem::take(&mut reader.children);
    let dir = file.parent().unwrap();
    let own_dir = match file.file_stem().unwrap().to_str().unwrap() {
        "lib" | "mod" => dir.to_path_buf(),
        stem => dir.join(stem),
    };
    found.insert(
        file.to_path_buf(),
        Source {
            syntax,
            path,
            lines: text.lines().count(),
            module: module.clone(),
            paths: reader.paths,
            exports: reader.exports,
        },
    );
    for Child { name, path } in children {
        let file = match path {
            Some(path) => dir.join(path),
            None => own_dir.join(format!("{name}.rs")),
        };
        let file = if file.is_file() {
            file
        } else {
            own_dir.join(&name).join("mod.rs")
        };
        let module = module.iter().cloned().chain([name]).collect();
        collect(src, &file, &module, found);
    }
}

/// Maps what a path names to the file it stands in.
struct Index<'a> {
    modules: BTreeMap<&'a [String], &'a Source>,
}

impl<'a> Index<'a> {
    fn new(sources: &'a [Source]) -> Self {
        let modules = sources.iter().map(|s| (s.module.as_slice(), s)).collect();
        Self { modules }
    }

    fn file_of(&self, path: &[String]) -> Option<&'a str> {
        self.resolve(path, 0)
    }

    /// The longest prefix that is a module, and from there through its re-exports.
    fn resolve(&self, path: &[String], depth: usize) -> Option<&'a str> {
        if depth > 8 {
            return None;
        }
        let (len, source) = (0..=path.len())
            .rev()
            .find_map(|len| Some((len, *self.modules.get(&path[..len])?)))?;
        let Some(name) = path.get(len) else {
            return Some(&source.path);
        };
        let export = source.exports.iter().find(|(exported, _)| exported == name);
        if let Some((_, target)) = export {
            let mut target = target.clone();
            target.extend_from_slice(&path[len + 1..]);
            return self.resolve(&target, depth + 1).or(Some(&source.path));
        }
        Some(&source.path)
    }
}

/// Collects the paths of one file.
struct Reader {
    module: Module,
    paths: Vec<Module>,
    exports: Vec<(String, Module)>,
    children: Vec<Child>,
}

/// A module in a file of its own.
struct Child {
    name: String,
    /// From its `path` attribute.
    path: Option<String>,
}

impl Reader {
    /// A path from the crate's root, if it is one of the crate's.
    fn absolute(&self, segments: &[String], is_use: bool) -> Option<Module> {
        let (first, rest) = segments.split_first()?;
        match first.as_str() {
            "crate" | "$crate" => Some(rest.to_vec()),
            "self" => Some([&self.module, rest].concat()),
            "super" => {
                let ups = segments.iter().take_while(|s| *s == "super").count();
                let base = self.module.get(..self.module.len().checked_sub(ups)?)?;
                Some([base, &segments[ups..]].concat())
            }
            child if is_use && self.children.iter().any(|c| c.name == child) => {
                Some([&self.module, segments].concat())
            }
            _ => None,
        }
    }

    fn tree(&mut self, tree: &UseTree, head: &mut Vec<String>, exported: bool) {
        match tree {
            UseTree::Path(path) => {
                head.push(path.ident.to_string());
                self.tree(&path.tree, head, exported);
                head.pop();
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.tree(tree, head, exported);
                }
            }
            UseTree::Name(name) => {
                let name = name.ident.to_string();
                self.leaf(head, &name, &name, exported);
            }
            UseTree::Rename(rename) => {
                let (name, alias) = (rename.ident.to_string(), rename.rename.to_string());
                self.leaf(head, &name, &alias, exported);
            }
            UseTree::Glob(_) => {
                if let Some(path) = self.absolute(head, true) {
                    self.paths.push(path);
                }
            }
        }
    }

    fn leaf(&mut self, head: &[String], name: &str, alias: &str, exported: bool) {
        let mut segments = head.to_vec();
        let mut alias = alias.to_owned();
        if name == "self" {
            alias = head.last().cloned().unwrap_or_default();
        } else {
            segments.push(name.to_owned());
        }
        let Some(path) = self.absolute(&segments, true) else {
            return;
        };
        if exported {
            self.exports.push((alias, path.clone()));
        }
        // NB. A parent that re-exports its child's names does not depend on the child by that.
        if !(exported && path.starts_with(&self.module)) {
            self.paths.push(path);
        }
    }

    /// Paths in the input of a macro, which `syn` does not parse.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut segments: Vec<String> = Vec::new();
        let mut colons = 0;
        let flush = |segments: &mut Vec<String>, reader: &mut Self| {
            if segments.len() > 1
                && let Some(path) = reader.absolute(segments, false)
            {
                reader.paths.push(path);
            }
            segments.clear();
        };
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        flush(&mut segments, self);
                    }
                    segments.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Group(group) => {
                    flush(&mut segments, self);
                    colons = 0;
                    self.tokens(group.stream());
                }
                _ => {
                    flush(&mut segments, self);
                    colons = 0;
                }
            }
        }
        flush(&mut segments, self);
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_file(&mut self, file: &'ast syn::File) {
        // The children first: a `use` may begin with the name of one.
        for item in &file.items {
            if let Item::Mod(module) = item
                && module.content.is_none()
                && !is_test(&module.attrs)
            {
                self.children.push(Child {
                    name: module.ident.to_string(),
                    path: path_attribute(&module.attrs),
                });
            }
        }
        syn::visit::visit_file(self, file);
    }

    fn visit_item(&mut self, item: &'ast Item) {
        if !is_test(attributes(item)) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let exported = !matches!(item.vis, syn::Visibility::Inherited);
        self.tree(&item.tree, &mut Vec::new(), exported);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<_> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        if segments.len() > 1
            && let Some(path) = self.absolute(&segments, false)
        {
            self.paths.push(path);
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        self.visit_path(&mac.path);
        self.tokens(mac.tokens.clone());
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        _ => &[],
    }
}

fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    let attribute = attributes.iter().find(|a| a.path().is_ident("path"))?;
    match &attribute.meta.require_name_value().ok()?.value {
        syn::Expr::Lit(syn::ExprLit {
            lit: syn::Lit::Str(path),
            ..
        }) => Some(path.value()),
        _ => None,
    }
}

/// Whether an item is compiled for tests or the fuzzer only.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.meta.require_list().is_ok_and(|list| {
                let text = list.tokens.to_string();
                text.contains("test") && !text.contains("not") && !text.contains("testing")
                    || text.contains("fuzzing")
            })
    })
}
