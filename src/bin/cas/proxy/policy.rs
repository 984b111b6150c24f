//! Which server requests the proxy answers by itself, and what.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::options::{ApprovalPolicy, Decision, SkillDecision};

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
    let answers: &[&str] = match &*name {
        "item/commandExecution/requestApproval" => of_decision(policy.exec),
        "item/fileChange/requestApproval" => of_decision(policy.file),
        "skill/requestApproval" => match policy.skill {
            SkillDecision::Auto | SkillDecision::Approve => &["approve", "decline"],
            SkillDecision::Decline => &["decline"],
        },
        "execCommandApproval" | "applyPatchApproval" => {
            return Verdict::Deprecated(name.into_owned());
        }
        _ => return Verdict::Forward,
    };
    let read = Asked::read(params);
    let accepts = !matches!(answers[0], "decline" | "cancel");
    let asked = match read {
        Some(asked) if !asked.is_for_a_person() => asked,
        // A request need not be understood to be declined.
        _ if !accepts => read.unwrap_or_default(),
        _ => return Verdict::Forward,
    };
    let may_amend = policy.exec == Decision::Auto && name.starts_with("item/commandExecution/");
    let amendment = asked.amendment.filter(|_| may_amend).map(|amendment| {
        format!(r#"{{"acceptWithExecpolicyAmendment":{{"execpolicy_amendment":{amendment}}}}}"#)
    });
    let mut answers = amendment
        .into_iter()
        .chain(answers.iter().map(|word| format!("\"{word}\"")));
    let answer = match asked.available {
        None => answers.next(),
        Some(available) => answers.find(|answer| {
            serde_json::from_str::<Value>(answer).is_ok_and(|answer| available.contains(&answer))
        }),
    };
    Verdict::Approve(answer.unwrap_or_else(|| r#""decline""#.to_owned()))
}

/// A decision, and the stricter ones that replace it if the server does not offer it.
fn of_decision(decision: Decision) -> &'static [&'static str] {
    match decision {
        Decision::Auto | Decision::AcceptForSession => {
            &["acceptForSession", "accept", "decline", "cancel"]
        }
        Decision::Accept => &["accept", "decline", "cancel"],
        Decision::Decline => &["decline", "cancel"],
        Decision::Cancel => &["cancel", "decline"],
    }
}

/// The parts of an approval request that matter here.
#[derive(Default)]
struct Asked<'a> {
    kind: Option<Cow<'a, str>>,
    /// The amendment that the server proposes, as it wrote it.
    amendment: Option<&'a str>,
    /// The decisions that it takes, if it lists them.
    available: Option<Vec<Value>>,
}

impl<'a> Asked<'a> {
    /// `None` if it can't be read.
    fn read(params: Option<&'a str>) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Params<'a> {
            #[serde(borrow, default)]
            kind: Option<Cow<'a, str>>,
            #[serde(borrow, default)]
            proposed_execpolicy_amendment: Option<&'a RawValue>,
            #[serde(default)]
            available_decisions: Option<Vec<Value>>,
        }
        let params = match params.map(str::trim_ascii) {
            None | Some("null") => return Some(Self::default()),
            Some(params) if params.starts_with('{') => params,
            Some(_) => return None, // A list would be read as an object's values.
        };
        let params: Params<'_> = serde_json::from_str(params).ok()?;
        let amendment = match params.proposed_execpolicy_amendment.map(RawValue::get) {
            None => None,
            Some(amendment) => {
                let words: Vec<Cow<'_, str>> = serde_json::from_str(amendment).ok()?;
                // An amendment without a program allows all programs.
                let names_a_program = words.first().is_some_and(|word| !word.trim().is_empty());
                names_a_program.then_some(amendment)
            }
        };
        Some(Self {
            kind: params.kind,
            amendment,
            available: params.available_decisions,
        })
    }

    /// Codex marks a request that only a person may decide by its kind. An unknown kind of a later
    /// codex may mean the same.
    fn is_for_a_person(&self) -> bool {
        !matches!(self.kind.as_deref(), None | Some("command" | "writeStdin"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let quoted = |word: &str| format!("\"{word}\"");
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

    const EXEC: &str = r#""item/commandExecution/requestApproval""#;
    const FILE: &str = r#""item/fileChange/requestApproval""#;
    const SKILL: &str = r#""skill/requestApproval""#;

    fn exec(decision: Decision, params: &str) -> Verdict {
        let policy = ApprovalPolicy {
            exec: decision,
            ..ApprovalPolicy::default()
        };
        judge(policy, EXEC, Some(params))
    }

    fn answer(json: &str) -> Verdict {
        Verdict::Approve(json.to_owned())
    }

    #[test]
    fn the_answer_is_one_that_is_offered_and_never_wider_than_was_given() {
        use Decision::{Accept, AcceptForSession, Auto, Cancel, Decline};
        const AMEND: &str =
            r#"{"acceptWithExecpolicyAmendment":{"execpolicy_amendment":["git","push"]}}"#;
        for (given, offered, decision) in [
            (Auto, format!(r#"["accept",{AMEND},"decline"]"#), AMEND),
            (
                Auto,
                r#"["accept","acceptForSession","decline"]"#.into(),
                r#""acceptForSession""#,
            ),
            (Auto, r#"["accept","decline"]"#.into(), r#""accept""#),
            (Auto, r#"["decline","cancel"]"#.into(), r#""decline""#),
            (Auto, r#"["cancel"]"#.into(), r#""cancel""#),
            (Auto, "[]".into(), r#""decline""#),
            (Auto, r#"["approveEverything"]"#.into(), r#""decline""#),
            // Another amendment than the proposed one is somebody else's idea.
            (
                Auto,
                r#"[{"acceptWithExecpolicyAmendment":{"execpolicy_amendment":["git"]}},"accept"]"#
                    .into(),
                r#""accept""#,
            ),
            (
                AcceptForSession,
                format!(r#"[{AMEND},"decline"]"#),
                r#""decline""#,
            ),
            (
                AcceptForSession,
                r#"["accept","cancel"]"#.into(),
                r#""accept""#,
            ),
            (
                Accept,
                format!(r#"["acceptForSession",{AMEND},"decline"]"#),
                r#""decline""#,
            ),
            (
                Accept,
                r#"["acceptForSession","cancel"]"#.into(),
                r#""cancel""#,
            ),
            (
                Decline,
                r#"["accept","acceptForSession","cancel"]"#.into(),
                r#""cancel""#,
            ),
            (Decline, r#"["accept"]"#.into(), r#""decline""#),
            (Cancel, r#"["accept","decline"]"#.into(), r#""decline""#),
            (Cancel, "null".into(), r#""cancel""#),
            (Auto, "null".into(), AMEND),
        ] {
            let params = format!(
                r#"{{"proposedExecpolicyAmendment":["git","push"],"availableDecisions":{offered}}}"#
            );
            assert_eq!(
                exec(given, &params),
                answer(decision),
                "{given:?} of {offered}"
            );
        }
        for (method, decision) in [(FILE, r#""accept""#), (SKILL, r#""decline""#)] {
            let params = r#"{"availableDecisions":["accept","decline"]}"#;
            let verdict = judge(ApprovalPolicy::default(), method, Some(params));
            assert_eq!(verdict, answer(decision));
        }
    }

    #[test]
    fn an_amendment_that_names_no_program_is_never_accepted() {
        for amendment in [
            r#"[""]"#,
            "[]",
            r#"["  "]"#,
            r#"["","git"]"#,
            r#"["\u0020"]"#,
            r#"["\t"]"#,
        ] {
            let params = format!(r#"{{"proposedExecpolicyAmendment":{amendment}}}"#);
            assert_eq!(
                exec(Decision::Auto, &params),
                answer(r#""acceptForSession""#)
            );
            let offered = format!(
                r#"{{"acceptWithExecpolicyAmendment":{{"execpolicy_amendment":{amendment}}}}}"#
            );
            let params = format!(
                r#"{{"proposedExecpolicyAmendment":{amendment},"availableDecisions":[{offered},"decline"]}}"#
            );
            assert_eq!(
                exec(Decision::Auto, &params),
                answer(r#""decline""#),
                "{amendment}"
            );
        }
    }

    #[test]
    fn what_is_marked_for_a_person_or_cannot_be_read_is_passed_on_and_never_accepted() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        let deep = format!(r#"{{"availableDecisions":[{deep}]}}"#);
        for params in [
            r#"{"kind":"humanCommand"}"#,
            r#"{"kind":"human\u0043ommand"}"#,
            r#"{"k\u0069nd":"humanCommand","proposedExecpolicyAmendment":["ls"]}"#,
            r#"{"kind":"humanCommand","availableDecisions":["accept","decline"]}"#,
            r#"{"kind":"somethingNew"}"#,
            r#"{"kind":""}"#,
            r#"{"kind":5}"#,
            r#"{"kind":"command","kind":"humanCommand"}"#,
            r#"{"availableDecisions":"accept"}"#,
            r#"{"availableDecisions":{}}"#,
            r#"{"proposedExecpolicyAmendment":"ls"}"#,
            r#"{"proposedExecpolicyAmendment":["ls",5]}"#,
            r#"["command"]"#,
            "[]",
            "5",
            r#""text""#,
            &deep,
        ] {
            for given in [Decision::Auto, Decision::Accept, Decision::AcceptForSession] {
                assert_eq!(exec(given, params), Verdict::Forward, "{given:?} {params}");
            }
            assert_eq!(
                exec(Decision::Decline, params),
                answer(r#""decline""#),
                "{params}"
            );
        }
        for params in [
            r#"{"kind":"command"}"#,
            r#"{"kind":"writeStdin"}"#,
            r#"{"kind":null}"#,
        ] {
            assert_eq!(
                exec(Decision::Accept, params),
                answer(r#""accept""#),
                "{params}"
            );
        }
        let odd = Some(r#"{"availableDecisions":"accept"}"#);
        for method in [FILE, SKILL] {
            assert_eq!(
                judge(ApprovalPolicy::default(), method, odd),
                Verdict::Forward
            );
        }
    }
}
