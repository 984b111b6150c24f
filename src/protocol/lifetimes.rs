//! Which codex brought a method, field or value, and which took it away: `schema/history.txt`, from 0.150.0 on.

/// A name a line, as `schema::summary::Summary` has them, with the first version that has it and the first that
/// lacks it again; either may be empty.
const HISTORY: &str = include_str!("../../schema/history.txt");

/// The versions in which something is part of the protocol. If it was there before 0.150.0, it has
/// no beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) since: Option<&'static str>,
    pub(crate) until: Option<&'static str>,
}

/// The life of a name. `None` if the name was always there or never.
pub(crate) fn life(name: &str) -> Option<Life> {
    let given = |version: &'static str| Some(version).filter(|version| !version.is_empty());
    HISTORY.lines().find_map(|line| {
        let rest = line.strip_prefix(name)?.strip_prefix('\t')?;
        let (since, until) = rest.split_once('\t')?;
        Some(Life {
            since: given(since),
            until: given(until),
        })
    })
}

impl Life {
    /// Whether a version of codex has it.
    pub(crate) fn includes(self, version: &str) -> bool {
        let version = parts(version);
        let begun = self.since.is_none_or(|since| parts(since) <= version);
        let ended = self.until.is_some_and(|until| parts(until) <= version);
        match (self.since, self.until) {
            // It went, and came back.
            (Some(since), Some(until)) if parts(until) < parts(since) => begun || !ended,
            _ => begun && !ended,
        }
    }
}

/// The numbers of a version, to compare it by.
pub(crate) fn parts(version: &str) -> [u64; 3] {
    let mut numbers = version
        .split(['.', '-', '+'])
        .map(|part| part.parse().unwrap_or(0));
    [(); 3].map(|()| numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

    use serde_json::Value;

    use super::*;
    use crate::schema::summary::{Summary, summarise};

    #[test]
    fn a_method_that_is_gone_is_known_with_the_version_that_lacks_it() {
        let clock = life("method currentTime/read").unwrap();
        assert_eq!(clock.until, Some("0.171.0"));
        assert!(
            clock.includes("0.169.0") && !clock.includes("0.171.0") && !clock.includes("0.200.1")
        );
        let stream = life("method thread/search/stream").unwrap();
        assert_eq!((stream.since, stream.until), (Some("0.171.0"), None));
        assert!(!stream.includes("0.169.0") && stream.includes("0.171.0-alpha.1"));
        assert_eq!(life("method thread/start"), None, "it was always there");
        assert_eq!(life("method thread"), None, "no name, but the start of one");
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert!(parts("0.9.0") < parts("0.150.0"));
        assert!(parts("0.171.0") < parts("1.0"));
        assert_eq!(parts("0.171.0-alpha.2"), [0, 171, 0]);
    }

    #[test]
    fn no_name_of_the_vendored_schema_is_recorded_as_removed() {
        let version = include_str!("../../schema/VERSION").trim();
        let ours = summary(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/schema")));
        for name in ours.keys() {
            if let Some(life) = life(name) {
                assert!(life.includes(version), "{name}: {life:?}");
            }
        }
        for line in HISTORY.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split('\t').next().unwrap();
            let there = life(name).unwrap().includes(version);
            assert_eq!(there, ours.contains_key(name), "{line}");
        }
    }

    fn summary(dir: &Path) -> Summary {
        let path = dir.join("codex_app_server_protocol.schemas.json");
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let bundle: Value = serde_json::from_str(&text).unwrap();
        summarise(&bundle).unwrap()
    }

    /// `CAS_SCHEMAS` is a directory with a schema in a subdirectory for each version. What is known of other versions stays.
    #[test]
    #[ignore = "writes schema/history.txt: run by schema/renew.sh"]
    fn the_history_is_written() {
        let dir = std::env::var("CAS_SCHEMAS").expect("CAS_SCHEMAS names a directory of schemas");
        let mut versions: Vec<String> = fs::read_dir(&dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| {
                name.starts_with(|c: char| c.is_ascii_digit()) && !name.ends_with("stable")
            })
            .collect();
        versions.sort_by_key(|version| parts(version));
        let mut lives: BTreeMap<String, (String, String)> = HISTORY
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| {
                let parts: Vec<&str> = line.split('\t').collect();
                (
                    parts[0].to_owned(),
                    (parts[1].to_owned(), parts[2].to_owned()),
                )
            })
            .collect();
        let summaries = versions
            .iter()
            .map(|version| summary(&Path::new(&dir).join(version)));
        let summaries: Vec<Summary> = summaries.collect();
        for (pair, version) in summaries.windows(2).zip(&versions[1..]) {
            for name in pair[1].keys().filter(|name| !pair[0].contains_key(*name)) {
                lives.entry(name.clone()).or_default().0.clone_from(version);
            }
            for name in pair[0].keys().filter(|name| !pair[1].contains_key(*name)) {
                lives.entry(name.clone()).or_default().1.clone_from(version);
            }
        }
        let mut text = String::from(
            "# What came and went in the protocol from 0.150.0 on: a name, the first version that has it, the first that lacks it.\n",
        );
        for (name, (since, until)) in lives {
            writeln!(text, "{name}\t{since}\t{until}").unwrap();
        }
        fs::write(
            concat!(env!("CARGO_MANIFEST_DIR"), "/schema/history.txt"),
            text,
        )
        .unwrap();
    }
}
