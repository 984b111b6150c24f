//! What a review says, typed.

use std::{fmt, path::PathBuf};

use serde::Deserialize;

/// The verdict of a review.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Verdict {
    /// The reviewer kept to the form.
    Typed(Findings),
    /// It did not, or what it said can't be had from the server any more.
    Raw {
        /// What the server made of it, for people.
        text: String,
        /// Why there are no typed findings.
        reason: String,
    },
}

/// A review that kept to the form.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Findings {
    /// What was found, in the reviewer's order.
    pub findings: Vec<Finding>,
    /// Whether what was reviewed is right as a whole.
    pub correctness: Correctness,
    /// Why, in some sentences.
    pub explanation: String,
    /// How sure the reviewer is of that, from 0 to 1; `None` if it did not say.
    pub confidence: Option<f64>,
}

/// One thing that a reviewer has found.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Finding {
    /// The title, mostly with the priority in front: `[P1] …`.
    pub title: String,
    /// What is wrong, in Markdown.
    pub body: String,
    /// From 0, which has to be fixed at once, to 3, which is nice to have; `None` if the reviewer did not say.
    pub priority: Option<u8>,
    /// How sure the reviewer is, from 0 to 1; `None` if it did not say.
    pub confidence: Option<f64>,
    /// Where, if the reviewer said so.
    pub location: Option<Location>,
}

/// Lines of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Location {
    /// The file, absolute.
    pub file: PathBuf,
    /// The first line, from 1.
    pub start: u32,
    /// The last line, which is part of it.
    pub end: u32,
}

/// Whether what was reviewed is right as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Correctness {
    /// "patch is correct": nothing breaks.
    Correct,
    /// "patch is incorrect": it has to be changed.
    Incorrect,
    /// Something else.
    Other(String),
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}-{}", self.file.display(), self.start, self.end)
    }
}

impl Verdict {
    /// The findings, if the reviewer kept to the form.
    #[must_use]
    pub fn typed(&self) -> Option<&Findings> {
        match self {
            Self::Typed(findings) => Some(findings),
            Self::Raw { .. } => None,
        }
    }

    /// Whether the reviewer says that it is right as a whole; `None` if that can't be told.
    #[must_use]
    pub fn is_correct(&self) -> Option<bool> {
        match self.typed()?.correctness {
            Correctness::Correct => Some(true),
            Correctness::Incorrect => Some(false),
            Correctness::Other(_) => None,
        }
    }
}

#[derive(Deserialize)]
struct Form {
    findings: Vec<FindingForm>,
    overall_correctness: String,
    #[serde(default)]
    overall_explanation: String,
    overall_confidence_score: Option<f64>,
}

#[derive(Deserialize)]
struct FindingForm {
    title: String,
    #[serde(default)]
    body: String,
    confidence_score: Option<f64>,
    priority: Option<f64>,
    code_location: Option<LocationForm>,
}

#[derive(Deserialize)]
struct LocationForm {
    absolute_file_path: PathBuf,
    line_range: Lines,
}

#[derive(Deserialize)]
struct Lines {
    start: u32,
    end: u32,
}

/// Reads the form that the reviewer is asked for. Fences and words around it are passed over.
///
/// # Errors
/// Why it is not in that form, in words.
pub(super) fn parse(text: &str) -> Result<Findings, String> {
    let form = match (text.find('{'), text.rfind('}')) {
        (Some(start), Some(end)) if start < end => &text[start..=end],
        _ => return Err("the reviewer answered in prose".to_owned()),
    };
    let form: Form = serde_json::from_str(form)
        .map_err(|error| format!("the reviewer's answer is not in the form: {error}"))?;
    let findings = form.findings.into_iter().map(|finding| Finding {
        priority: priority(finding.priority, &finding.title),
        title: finding.title,
        body: finding.body,
        confidence: finding.confidence_score,
        location: finding.code_location.map(|location| Location {
            file: location.absolute_file_path,
            start: location.line_range.start,
            end: location.line_range.end,
        }),
    });
    Ok(Findings {
        findings: findings.collect(),
        correctness: match form.overall_correctness.trim() {
            "patch is correct" => Correctness::Correct,
            "patch is incorrect" => Correctness::Incorrect,
            other => Correctness::Other(other.to_owned()),
        },
        explanation: form.overall_explanation,
        confidence: form.overall_confidence_score,
    })
}

/// The priority as told, or as it stands in the title.
fn priority(told: Option<f64>, title: &str) -> Option<u8> {
    let of_title = || {
        let (number, _) = title.trim_start().strip_prefix("[P")?.split_once(']')?;
        number.parse().ok()
    };
    let told = told.filter(|told| (0.0..=255.0).contains(told) && told.fract() == 0.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is whole and in the range"
    )]
    told.map(|told| told as u8).or_else(of_title)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str = r#"{"findings":[{"title":"[P1] Off by one","body":"b","confidence_score":0.9,"priority":1,
        "code_location":{"absolute_file_path":"/a.py","line_range":{"start":2,"end":3}}},
        {"title":"[P3] Typo"}],
        "overall_correctness":"patch is incorrect","overall_explanation":"why","overall_confidence_score":0.95}"#;

    #[test]
    fn the_form_is_read_with_fences_and_words_around_it() {
        let fenced = format!("Here it is:\n```json\n{FORM}\n```\nThat's all.");
        for text in [FORM, fenced.as_str()] {
            let found = parse(text).unwrap();
            assert_eq!(found.correctness, Correctness::Incorrect);
            assert_eq!(
                (found.explanation.as_str(), found.confidence),
                ("why", Some(0.95))
            );
            let first = &found.findings[0];
            assert_eq!((first.priority, first.confidence), (Some(1), Some(0.9)));
            assert_eq!(first.location.as_ref().unwrap().to_string(), "/a.py:2-3");
            let second = &found.findings[1];
            assert_eq!(
                (second.priority, second.confidence),
                (Some(3), None),
                "as in the title"
            );
            assert_eq!(second.location, None);
        }
    }

    #[test]
    fn anything_else_is_refused_with_a_reason() {
        for (text, reason) in [
            ("Looks fine to me.", "in prose"),
            ("{}", "missing field `findings`"),
            (
                r#"{"findings":[{}],"overall_correctness":"x"}"#,
                "missing field `title`",
            ),
            ("}{", "in prose"),
            (r#"{"findings":["#, "in prose"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
