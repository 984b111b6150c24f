//! Which server requests the proxy answers by itself, and what.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::options::{ApprovalPolicy, Decision};

/// What is to be done with a server request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Answer with this decision, a JSON text.
    Approve(String),
    /// Refuse it; the method's name.
    Deprecated(String),
    /// Let the orchestrator answer.
    Forward,
}

/// Judges a request by its method (a JSON string) and its params.
pub(super) fn judge(policy: ApprovalPolicy, method: &str, params: Option<&str>) -> Verdict {
    let name: Cow<'_, str> = if method.contains('\\') {
        serde_json::from_str::<String>(method)
            .unwrap_or_default()
            .into()
    } else {
        method.trim_matches('"').into()
    };
    match &*name {
        "item/commandExecution/requestApproval" => {
            Verdict::Approve(match (policy.exec, params.and_then(proposed_amendment)) {
                (Decision::Auto, Some(amendment)) => format!(
                    r#"{{"acceptWithExecpolicyAmendment":{{"execpolicy_amendment":{amendment}}}}}"#
                ),
                (decision, _) => quoted(decision.word()),
            })
        }
        "item/fileChange/requestApproval" => Verdict::Approve(quoted(policy.file.word())),
        "skill/requestApproval" => Verdict::Approve(quoted(policy.skill.word())),
        "execCommandApproval" | "applyPatchApproval" => Verdict::Deprecated(name.into_owned()),
        _ => Verdict::Forward,
    }
}

fn quoted(word: &str) -> String {
    format!("\"{word}\"")
}

/// The amendment that the server proposes, as it wrote it; an empty one is none.
fn proposed_amendment(params: &str) -> Option<&str> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Params<'a> {
        #[serde(borrow, default)]
        proposed_execpolicy_amendment: Option<&'a RawValue>,
    }
    let params: Params<'_> = serde_json::from_str(params).ok()?;
    let amendment = params.proposed_execpolicy_amendment?.get();
    let items = amendment.strip_prefix('[')?.strip_suffix(']')?;
    (!items.trim_ascii().is_empty()).then_some(amendment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::options::SkillDecision;

    #[test]
    fn auto_takes_the_proposed_amendment_and_else_accepts_for_the_session() {
        let auto = ApprovalPolicy::default();
        let exec = r#""item/commandExecution/requestApproval""#;
        for (params, decision) in [
            (
                r#"{"proposedExecpolicyAmendment":["git", "push"]}"#,
                r#"{"acceptWithExecpolicyAmendment":{"execpolicy_amendment":["git", "push"]}}"#,
            ),
            (
                r#"{"proposedExecpolicyAmendment":[ ]}"#,
                r#""acceptForSession""#,
            ),
            (
                r#"{"proposedExecpolicyAmendment":null}"#,
                r#""acceptForSession""#,
            ),
            ("{}", r#""acceptForSession""#),
            ("null", r#""acceptForSession""#),
        ] {
            assert_eq!(
                judge(auto, exec, Some(params)),
                Verdict::Approve(decision.to_owned())
            );
        }
        let escaped = r#""item\/fileChange\/requestApproval""#;
        assert_eq!(
            judge(auto, escaped, None),
            Verdict::Approve(r#""acceptForSession""#.into())
        );
        assert_eq!(
            judge(auto, r#""skill/requestApproval""#, None),
            Verdict::Approve(r#""approve""#.into())
        );
    }

    #[test]
    fn a_decision_that_was_given_is_the_answer_whatever_is_proposed() {
        let policy = ApprovalPolicy {
            exec: Decision::Cancel,
            file: Decision::Accept,
            skill: SkillDecision::Decline,
        };
        let proposed = Some(r#"{"proposedExecpolicyAmendment":["x"]}"#);
        for (method, decision) in [
            ("item/commandExecution/requestApproval", "cancel"),
            ("item/fileChange/requestApproval", "accept"),
            ("skill/requestApproval", "decline"),
        ] {
            let verdict = judge(policy, &quoted(method), proposed);
            assert_eq!(verdict, Verdict::Approve(quoted(decision)));
        }
        for method in [
            "item/tool/call",
            "item/permissions/requestApproval",
            "x/new",
        ] {
            assert_eq!(judge(policy, &quoted(method), None), Verdict::Forward);
        }
    }
}
