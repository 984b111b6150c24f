//! The table of failures names tests that are there.

use std::{fs, path::Path};

/// The rule was taken out, or why it can't be.
const MARKS: [char; 4] = ['†', '¹', '²', '³'];

#[test]
fn every_row_of_the_table_names_a_test_that_is_there() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let text = fs::read_to_string(docs.join("reliability.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| "));
    let rows: Vec<&str> = rows.filter(|row| !row.starts_with("| failure |")).collect();
    assert!(rows.len() > 80, "{}", rows.len());
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [failure, seen, rule, shown] = cells[..] else {
            panic!("not four cells: {row}")
        };
        assert!(
            !failure.is_empty() && !seen.is_empty() && !rule.is_empty(),
            "{row}"
        );
        let named = shown.trim_end_matches(MARKS).trim();
        let marks = shown.chars().filter(|c| MARKS.contains(c)).count();
        assert_eq!(marks, 1, "one mark of {MARKS:?}: {row}");
        let link = named.strip_prefix('[').and_then(|t| t.strip_suffix(')'));
        let (name, path) = link.and_then(|t| t.split_once("](")).expect(row);
        let file = fs::read_to_string(docs.join(path)).expect(row);
        let found = file.contains(&format!("fn {name}()"));
        assert!(found, "{path} has no test {name}");
    }
}
