//! The typed verdict of a review.

use std::{fmt, path::PathBuf};

use serde::Deserialize;

/// The verdict of a review.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Verdict {
    /// The review is in the requested format.
    Typed(Findings),
    /// The review is not in the requested format, or the server no longer has the reviewer's
    /// answer.
    Raw {
        /// The review as the server renders it for people.
        text: String,
        /// Why there are no typed findings.
        reason: String,
    },
}

/// The findings of a review in the requested format.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Findings {
    /// The findings, in the reviewer's order.
    pub findings: Vec<Finding>,
    /// Whether the reviewed code is correct as a whole.
    pub correctness: Correctness,
    /// Why the code is correct or not, in some sentences.
    pub explanation: String,
    /// The reviewer's confidence in the correctness, from 0 to 1; `None` if the reviewer gave none.
    pub confidence: Option<f64>,
}

/// One finding of a reviewer.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Finding {
    /// The title, usually with the priority in front: `[P1] …`.
    pub title: String,
    /// What is wrong, in Markdown.
    pub body: String,
    /// The priority, from 0, which has to be fixed at once, to 3, which is nice to have; `None` if
    /// the reviewer gave none.
    pub priority: Option<u8>,
    /// The reviewer's confidence, from 0 to 1; `None` if the reviewer gave none.
    pub confidence: Option<f64>,
    /// The location, if the reviewer gave one.
    pub location: Option<Location>,
}

/// A range of lines in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Location {
    /// The absolute path of the file.
    pub file: PathBuf,
    /// The first line, counted from 1.
    pub start: u32,
    /// The last line, which is part of the range.
    pub end: u32,
}

/// Whether the reviewed code is correct as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Correctness {
    /// "patch is correct": nothing breaks.
    Correct,
    /// "patch is incorrect": the patch has to be changed.
    Incorrect,
    /// Any other text.
    Other(String),
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}-{}", self.file.display(), self.start, self.end)
    }
}

impl Verdict {
    /// The findings, if the review is in the requested format.
    #[must_use]
    pub fn typed(&self) -> Option<&Findings> {
        match self {
            Self::Typed(findings) => Some(findings),
            Self::Raw { .. } => None,
        }
    }

    /// Whether the reviewer says that the code is correct as a whole; `None` if the verdict does
    /// not say.
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

/// Parses the JSON that the reviewer is asked for. Fences and words around it are skipped.
///
/// # Errors
/// Says, in words, why the text is not in that form.
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

/// The priority as the field states it, or else as the title does.
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
