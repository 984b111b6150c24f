//! The structure of `src/`: which file may import which, how many rooms there are, how long a file is.
//!
//! The list of all public items is a golden file, so that a change of it is seen in review.
//! `CAS_BLESS=1 cargo test --test house` writes it.

mod public;
mod source;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use source::File;

const MOST_ENTRIES: usize = 18;
const MOST_LINES: usize = 450;

type Graph = BTreeMap<String, BTreeSet<String>>;

fn src() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))
}

/// The folder, or the file's own name, at the root of `src/`.
fn room(path: &str) -> String {
    match path.split_once('/') {
        Some((room, _)) => room.to_owned(),
        None => path.trim_end_matches(".rs").to_owned(),
    }
}

fn files_graph(files: &[File]) -> Graph {
    files
        .iter()
        .filter(|file| file.path != "lib.rs")
        .map(|file| (file.path.clone(), file.imports.clone()))
        .collect()
}

fn rooms_graph(files: &[File]) -> Graph {
    let mut rooms = Graph::new();
    for (file, imports) in files_graph(files) {
        let from = room(&file);
        let others = imports.iter().map(|to| room(to)).filter(|to| *to != from);
        rooms.entry(from.clone()).or_default().extend(others);
    }
    rooms
}

/// The sets of more than one node that all reach each other.
fn circles(graph: &Graph) -> Vec<BTreeSet<String>> {
    let reach: BTreeMap<&str, BTreeSet<&str>> = graph
        .keys()
        .map(|from| (from.as_str(), reachable(graph, from)))
        .collect();
    let mut found = Vec::<BTreeSet<String>>::new();
    for (from, to) in &reach {
        let circle: BTreeSet<String> = to
            .iter()
            .filter(|other| reach.get(*other).is_some_and(|back| back.contains(from)))
            .map(|other| (*other).to_owned())
            .chain([(*from).to_owned()])
            .collect();
        if circle.len() > 1 && !found.contains(&circle) {
            found.push(circle);
        }
    }
    found
}

fn reachable<'g>(graph: &'g Graph, from: &str) -> BTreeSet<&'g str> {
    let mut seen = BTreeSet::new();
    let mut next: Vec<&str> = graph
        .get(from)
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    while let Some(node) = next.pop() {
        if seen.insert(node) {
            next.extend(graph.get(node).into_iter().flatten().map(String::as_str));
        }
    }
    seen
}

#[test]
fn no_two_files_import_each_other() {
    let files = source::files(src());
    assert!(files.len() > 50, "{} files found", files.len());
    let circles = circles(&files_graph(&files));
    assert!(circles.is_empty(), "circles among files: {circles:#?}");
}

#[test]
fn folders_are_layered_except_client_and_handlers() {
    let files = source::files(src());
    let rooms = rooms_graph(&files);
    let allowed: BTreeSet<String> = ["client", "handlers"].map(str::to_owned).into();
    for circle in circles(&rooms) {
        assert!(
            circle.is_subset(&allowed),
            "a circle among folders: {circle:?}"
        );
    }
}

#[test]
fn the_engine_imports_nothing_of_the_crate() {
    let files = source::files(src());
    let imports: Vec<_> = files
        .iter()
        .filter(|file| room(&file.path) == "rpc")
        .flat_map(|file| file.imports.iter().map(move |to| (&file.path, to)))
        .filter(|(_, to)| room(to) != "rpc")
        .collect();
    assert!(imports.is_empty(), "{imports:?}");
}

#[test]
fn the_root_has_few_entries() {
    let entries: Vec<_> = fs::read_dir(src())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(
        entries.len() <= MOST_ENTRIES,
        "{}: {entries:?}",
        entries.len()
    );
}

#[test]
fn no_file_is_too_long() {
    let long: Vec<_> = source::files(src())
        .into_iter()
        .filter(|file| file.lines > MOST_LINES)
        .map(|file| (file.path, file.lines))
        .collect();
    assert!(long.is_empty(), "longer than {MOST_LINES} lines: {long:?}");
}

#[test]
fn circles_are_found_in_a_graph_that_has_them() {
    let graph: Graph = [("a", ["b"]), ("b", ["c"]), ("c", ["b"]), ("d", ["a"])]
        .map(|(from, to)| (from.to_owned(), to.map(str::to_owned).into()))
        .into();
    let expected: BTreeSet<String> = ["b", "c"].map(str::to_owned).into();
    assert_eq!(circles(&graph), [expected]);
}

#[test]
fn the_public_items_are_those_of_the_list() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/public_api.txt");
    public::compare(&public::listing(src()), &golden);
}
