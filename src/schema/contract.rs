//! `Contract`: the needs of a program that a server does not meet.

use std::{collections::BTreeSet, fmt};

use serde_json::Value;

use super::{
    needs::{Need, Needs},
    summary::{METHOD, Summary},
};
use crate::protocol::lifetimes::life;

/// The needs of a program that a server does not meet. Its `Display` is a report of one line each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Contract {
    /// The number of needs that were looked up.
    pub checked: usize,
    /// The needs that are not met, in their order.
    pub unmet: Vec<Unmet>,
}

/// One need that a server does not meet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unmet {
    /// The need, such as `thread/start` or `SandboxMode = "read-only"`.
    pub need: String,
    /// The reason why it is not met.
    pub problem: Problem,
    /// The first version of codex that has it, if that is later than 0.150.0.
    pub since: Option<&'static str>,
    /// The first version of codex that lacks it again, if one does.
    pub until: Option<&'static str>,
}

/// The reason why a need is not met.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The server does not have it.
    Missing,
    /// The server does not have it, but has a similar name that this crate does not know.
    Renamed {
        /// The most similar name.
        to: String,
    },
    /// The server refuses the value.
    Refused {
        /// The values that it accepts.
        accepted: Vec<String>,
    },
}

impl Contract {
    /// Whether the server meets every need.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.unmet.is_empty()
    }
}

impl fmt::Display for Contract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_met() {
            return write!(f, "all {} needs are met", self.checked);
        }
        write!(
            f,
            "{} of {} needs are not met",
            self.unmet.len(),
            self.checked
        )?;
        self.unmet
            .iter()
            .try_for_each(|unmet| write!(f, "\n  {unmet}"))
    }
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let need = &self.need;
        match &self.problem {
            Problem::Missing => write!(f, "{need} is missing")?,
            Problem::Renamed { to } => write!(f, "{need} is missing; it may now be {to}")?,
            Problem::Refused { accepted } => write!(
                f,
                "{need} is refused; the server takes {}",
                accepted.join(", ")
            )?,
        }
        match (self.since, self.until) {
            (_, Some(until)) => write!(f, " (gone since codex {until})"),
            (Some(since), None) => write!(f, " (there since codex {since})"),
            (None, None) => Ok(()),
        }
    }
}

/// Looks up needs in a server's summary. A name that `ours` lacks is new to this crate.
pub(super) fn check(needs: &Needs, theirs: &Summary, ours: &Summary) -> Contract {
    let mut contract = Contract::default();
    let mut seen = BTreeSet::new();
    for need in &needs.0 {
        let mut found = Vec::new();
        if let Need::Request { method, params } = need {
            request(method, params, theirs, &mut found);
        } else {
            found.push(name(need));
        }
        for name in found.into_iter().filter(|name| seen.insert(name.clone())) {
            contract.checked += 1;
            if !has(theirs, &name) {
                contract.unmet.push(unmet(&name, theirs, ours));
            }
        }
    }
    contract
}

/// Checks a server whose schema is not available, by the methods that it lists and by its version.
pub(super) fn check_running(
    needs: &Needs,
    methods: &BTreeSet<String>,
    version: Option<&str>,
    ours: &Summary,
) -> Contract {
    let lived = |name: &str| match (life(name), version) {
        (Some(life), Some(version)) => life.includes(version),
        // A name without a history has always existed if this crate knows it.
        _ => has(ours, name),
    };
    let mut theirs = Summary::new();
    for (name, what) in ours {
        // The list has the client's requests only.
        let is_there = match name
            .strip_prefix(METHOD)
            .filter(|_| what.starts_with("ClientRequest("))
        {
            Some(method) if !methods.is_empty() => methods.contains(method),
            _ => lived(name),
        };
        if is_there {
            theirs.insert(name.clone(), what.clone());
        }
    }
    for method in methods {
        theirs.entry(format!("{METHOD}{method}")).or_default();
    }
    check(needs, &theirs, ours)
}

/// The methods that the server lists when it refuses an unknown one.
pub(super) fn methods_in(refusal: &str) -> BTreeSet<String> {
    let Some((_, list)) = refusal.split_once("expected one of ") else {
        return BTreeSet::new();
    };
    let names = list.split('`').skip(1).step_by(2);
    names.map(str::to_owned).collect()
}

/// The name of a need in summaries.
fn name(need: &Need) -> String {
    match need {
        Need::Method(method) | Need::Request { method, .. } => format!("{METHOD}{method}"),
        other => other.to_string(),
    }
}

/// Whether a summary has a name. A value may also be the only key of an object, which is a field in
/// summaries.
fn has(theirs: &Summary, name: &str) -> bool {
    if theirs.contains_key(name) {
        return true;
    }
    let as_field = name
        .split_once(" = ")
        .map(|(ty, value)| format!("{ty}.{}", value.trim_matches('"')));
    if as_field.is_some_and(|name| theirs.contains_key(&name)) {
        return true;
    }
    // A field of a union is one of its variants' fields.
    let Some((ty, field)) = name.split_once('.') else {
        return false;
    };
    let end = format!(".{field}");
    let start = format!("{ty} ");
    theirs
        .range(start.clone()..)
        .take_while(|(name, _)| name.starts_with(&start))
        .any(|(name, _)| name.ends_with(&end))
}

/// Collects every method, field and value of a request.
fn request(method: &str, params: &Value, theirs: &Summary, found: &mut Vec<String>) {
    let name = format!("{METHOD}{method}");
    let ty = theirs.get(&name).and_then(|what| what.split_once('('));
    let ty = ty.map(|(_, ty)| ty.trim_end_matches(')').to_owned());
    found.push(name);
    if let Some(ty) = ty {
        value(&ty, params, theirs, found);
    }
}

/// Collects the fields and values of a value, given its type in the notation of summaries.
fn value(ty: &str, value: &Value, theirs: &Summary, found: &mut Vec<String>) {
    let ty = ty.trim_end_matches('?');
    for ty in alternatives(ty) {
        match value {
            Value::Array(items) => {
                if let Some(inner) = ty.strip_prefix('[').and_then(|ty| ty.strip_suffix(']')) {
                    for item in items {
                        self::value(inner, item, theirs, found);
                    }
                }
            }
            Value::String(text) => {
                let start = format!("{ty} = ");
                if theirs
                    .range(start.clone()..)
                    .next()
                    .is_some_and(|(name, _)| name.starts_with(&start))
                {
                    found.push(format!("{ty} = {}", Value::from(text.as_str())));
                }
            }
            Value::Object(fields) => object(ty, fields, theirs, found),
            _ => {}
        }
    }
}

fn object(
    ty: &str,
    fields: &serde_json::Map<String, Value>,
    theirs: &Summary,
    found: &mut Vec<String>,
) {
    if let Some(inner) = ty.strip_prefix('{').and_then(|ty| ty.strip_suffix('}')) {
        fields
            .values()
            .for_each(|field| value(inner, field, theirs, found));
        return;
    }
    // The variant of a union, if the value has a tag.
    let tags = fields.iter().filter_map(|(key, value)| {
        let start = format!("{ty} {key}=");
        let is_tag = theirs
            .range(start.clone()..)
            .next()
            .is_some_and(|(name, _)| name.starts_with(&start));
        Some(format!("{start}{}", value.as_str().filter(|_| is_tag)?))
    });
    let variant = tags.into_iter().next();
    let owner = variant.as_deref().unwrap_or(ty);
    let start = format!("{owner}.");
    let is_struct = theirs
        .range(start.clone()..)
        .next()
        .is_some_and(|(name, _)| name.starts_with(&start));
    if let Some(variant) = &variant {
        found.push(variant.clone());
    }
    if !is_struct {
        return;
    }
    for (key, field) in fields {
        let name = format!("{owner}.{key}");
        match theirs.get(&name) {
            Some(ty) => {
                // The values of an inline enum are listed under the name of the field.
                let in_place = format!("{name} = ");
                let has_values = theirs
                    .range(in_place.clone()..)
                    .next()
                    .is_some_and(|(n, _)| n.starts_with(&in_place));
                let ty = if has_values { name.clone() } else { ty.clone() };
                found.push(name);
                value(&ty, field, theirs, found);
            }
            // The tag is part of the variant's name.
            None if variant
                .as_deref()
                .is_some_and(|variant| variant.contains(&format!(" {key}="))) => {}
            None => found.push(name),
        }
    }
}

/// Splits `A|B|null` into its types; brackets keep theirs together.
fn alternatives(ty: &str) -> Vec<&str> {
    let mut depth = 0;
    let mut start = 0;
    let mut all = Vec::new();
    for (at, c) in ty.char_indices() {
        match c {
            '[' | '{' => depth += 1,
            ']' | '}' => depth -= 1,
            '|' if depth == 0 => {
                all.push(&ty[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    all.push(&ty[start..]);
    all
}

fn unmet(name: &str, theirs: &Summary, ours: &Summary) -> Unmet {
    let life = life(name).unwrap_or_default();
    let shown = name.strip_prefix(METHOD).unwrap_or(name);
    let problem = match name.split_once(" = ") {
        Some((ty, _)) => {
            let start = format!("{ty} = ");
            let accepted: Vec<String> = theirs
                .range(start.clone()..)
                .take_while(|(name, _)| name.starts_with(&start))
                .map(|(name, _)| name[start.len()..].to_owned())
                .collect();
            if accepted.is_empty() {
                Problem::Missing
            } else {
                Problem::Refused { accepted }
            }
        }
        None => match successor(name, theirs, ours) {
            Some(to) => Problem::Renamed {
                to: to.strip_prefix(METHOD).unwrap_or(&to).to_owned(),
            },
            None => Problem::Missing,
        },
    };
    Unmet {
        need: shown.to_owned(),
        problem,
        since: life.since,
        until: life.until,
    }
}

/// The likely new name of something: unknown to this crate, in the same place, with at least half
/// of the words in common.
fn successor(name: &str, theirs: &Summary, ours: &Summary) -> Option<String> {
    // The last part is the name itself; the parts before it are its place.
    let end = name.rfind(['/', '.', '=', ' ']).map_or(0, |at| at + 1);
    let (place, last) = name.split_at(end);
    let words = words(last);
    let candidates = theirs.keys().filter(|other| !ours.contains_key(*other));
    let in_place = candidates.filter_map(|other| {
        let rest = other.strip_prefix(place)?;
        let other_words = self::words(rest);
        let shared = words
            .iter()
            .filter(|word| other_words.contains(word))
            .count();
        let is_close =
            !rest.contains(['.', ' ', '=']) && shared * 2 >= words.len().max(other_words.len());
        is_close.then_some((shared, other))
    });
    in_place
        .max_by_key(|(shared, _)| *shared)
        .map(|(_, name)| name.clone())
}

/// The words of a wire name, in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = vec![String::new()];
    for c in name.chars() {
        if !c.is_alphanumeric() || c.is_uppercase() {
            words.push(String::new());
        }
        if let (true, Some(word)) = (c.is_alphanumeric(), words.last_mut()) {
            word.extend(c.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
#[path = "contract_tests.rs"]
mod tests;
