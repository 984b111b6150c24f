//! The tables of failures and of promises name existing tests.

use std::{fs, path::Path};

/// The marks of a row: the test was seen to fail without the rule, or a reason why not.
const MARKS: [char; 5] = ['†', '¹', '²', '³', '⁴'];

/// The rows of a table in `docs`, without its headings.
fn rows(file: &str, heading: &str) -> Vec<String> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let text = fs::read_to_string(docs.join(file)).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| "));
    let rows = rows.filter(|row| !row.starts_with(heading));
    rows.map(str::to_owned).collect()
}

fn cells(row: &str) -> Vec<&str> {
    row.trim_matches('|').split(" | ").map(str::trim).collect()
}

/// Asserts that the file of a cell has its test.
fn assert_is_there(shown: &str) {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let named = shown.trim_end_matches(MARKS).trim();
    let link = named.strip_prefix('[').and_then(|t| t.strip_suffix(')'));
    let (name, path) = link.and_then(|t| t.split_once("](")).expect(shown);
    let file = fs::read_to_string(docs.join(path)).expect(shown);
    let found = file.contains(&format!("fn {name}()"));
    assert!(found, "{path} has no test {name}");
}

#[test]
fn every_row_of_the_table_names_an_existing_test() {
    let rows = rows("reliability.md", "| failure |");
    assert!(rows.len() > 80, "{}", rows.len());
    for row in rows {
        let [failure, seen, rule, shown] = cells(&row)[..] else {
            panic!("not four cells: {row}")
        };
        assert!(
            !failure.is_empty() && !seen.is_empty() && !rule.is_empty(),
            "{row}"
        );
        let marks = shown.chars().filter(|c| MARKS.contains(c)).count();
        assert_eq!(marks, 1, "one mark of {MARKS:?}: {row}");
        assert_is_there(shown);
    }
}

#[test]
fn every_promise_about_security_names_an_existing_test() {
    let rows = rows("security.md", "| promise |");
    let promises = rows.iter().filter(|row| row.contains("]("));
    let promises: Vec<_> = promises.collect();
    assert!(promises.len() > 30, "{}", promises.len());
    for row in promises {
        let [promise, rule, shown] = cells(row)[..] else {
            panic!("not three cells: {row}")
        };
        assert!(!promise.is_empty() && !rule.is_empty(), "{row}");
        assert_is_there(shown);
    }
}
