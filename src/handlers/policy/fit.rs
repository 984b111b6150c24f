//! Fits a decision to what the server offers for a request, never to something laxer.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Facts, Subject, amendment, command, facts::Offer};
use crate::handlers::decision::Decision;

impl Facts {
    /// The decision about a command on the wire: the first offered one, from `wanted` towards
    /// stricter ones. A refusal is always possible, though the server does not list it.
    pub(crate) fn command_decision(&self, wanted: &Decision, shells: &[PathBuf]) -> Value {
        let amendment = |words: &[String]| json!({"acceptWithExecpolicyAmendment": {"execpolicy_amendment": words}});
        let plain = || command::plain(self.command.as_deref()?, shells);
        let mut ladder = Vec::new();
        match wanted {
            Decision::Cancel => return json!("cancel"),
            // Nobody has checked the words, so they must be those of the command.
            Decision::AcceptAlways if self.subject == Some(Subject::Command) => {
                let proposed = self.offer.proposed.as_deref();
                let proposed = proposed.filter(|words| amendment::is_of(words, plain().as_deref()));
                ladder.extend(proposed.map(amendment));
            }
            Decision::AcceptWithExecpolicyAmendment(words)
                if self.offer.proposed.as_ref() == Some(words)
                    && amendment::is_of(words, plain().as_deref()) =>
            {
                ladder.push(amendment(words));
            }
            Decision::ApplyNetworkPolicyAmendment { allow, host } => {
                let Some(asked) = self
                    .host
                    .as_ref()
                    .filter(|asked| asked.eq_ignore_ascii_case(host))
                else {
                    return json!("decline"); // The decision names another host.
                };
                let action = if *allow { "allow" } else { "deny" };
                let amendment = json!({"action": action, "host": asked});
                let proposed = self.offer.proposed_network.as_ref();
                if proposed.is_none_or(|proposed| proposed.contains(&amendment)) {
                    ladder.push(json!({"applyNetworkPolicyAmendment": {"network_policy_amendment": amendment}}));
                }
            }
            _ => {}
        }
        if wanted.accepts() {
            if *wanted != Decision::Accept {
                ladder.push(json!("acceptForSession"));
            }
            ladder.push(json!("accept"));
        }
        ladder
            .into_iter()
            .find(|decision| self.offer.offers(decision))
            .unwrap_or_else(|| json!("decline"))
    }
}

impl Facts {
    /// The decisions to accept a command that the server takes as they are, the most permissive
    /// first.
    pub(crate) fn offered(&self, shells: &[PathBuf]) -> Vec<Decision> {
        let mut candidates = Vec::new();
        let proposed = self.offer.proposed.clone();
        candidates.extend(proposed.map(Decision::AcceptWithExecpolicyAmendment));
        for amendment in self.offer.proposed_network.iter().flatten() {
            let (action, host) = (amendment["action"].as_str(), amendment["host"].as_str());
            if let (Some(action @ ("allow" | "deny")), Some(host)) = (action, host) {
                candidates.push(Decision::ApplyNetworkPolicyAmendment {
                    allow: action == "allow",
                    host: host.to_owned(),
                });
            }
        }
        candidates.extend([Decision::AcceptForSession, Decision::Accept]);
        candidates.retain(|wanted| {
            let fitted = self.command_decision(wanted, shells);
            let name = match &fitted {
                Value::String(word) => Some(word.as_str()),
                fitted => fitted
                    .as_object()
                    .and_then(|o| o.keys().next().map(String::as_str)),
            };
            name == Some(wanted.to_string().as_str())
        });
        candidates
    }
}

impl Offer {
    fn offers(&self, decision: &Value) -> bool {
        (!self.human || decision == "accept")
            && self
                .available
                .as_ref()
                .is_none_or(|available| available.contains(decision))
    }
}

/// The decision about a file change on the wire.
pub(crate) fn file_change(wanted: &Decision) -> &'static str {
    match wanted {
        Decision::Cancel => "cancel",
        Decision::Accept => "accept",
        _ if wanted.accepts() => "acceptForSession",
        _ => "decline",
    }
}

/// The decision about a skill on the wire.
pub(crate) fn skill(wanted: &Decision) -> &'static str {
    if wanted.accepts() {
        "approve"
    } else {
        "decline"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(available: Option<Value>, proposed: Option<&[&str]>) -> Facts {
        Facts {
            subject: Some(Subject::Command),
            command: Some("/bin/bash -lc 'touch x'".to_owned()),
            offer: Offer {
                available: available.map(|a| a.as_array().unwrap().clone()),
                proposed: proposed.map(|words| words.iter().map(|w| (*w).to_owned()).collect()),
                ..Offer::default()
            },
            ..Facts::default()
        }
    }

    fn decided(facts: &Facts, wanted: &Decision) -> Value {
        facts.command_decision(wanted, &[])
    }

    #[test]
    fn a_decision_that_is_not_offered_falls_to_the_next_stricter_one() {
        let touch =
            json!({"acceptWithExecpolicyAmendment": {"execpolicy_amendment": ["touch", "x"]}});
        let real = facts(
            Some(json!(["accept", touch, "cancel"])),
            Some(&["touch", "x"]),
        );
        assert_eq!(decided(&real, &Decision::AcceptAlways), touch);
        assert_eq!(decided(&real, &Decision::AcceptForSession), "accept");
        assert_eq!(decided(&real, &Decision::Accept), "accept");
        assert_eq!(
            decided(&real, &Decision::Decline),
            "decline",
            "not listed, but always possible"
        );
        assert_eq!(decided(&real, &Decision::Cancel), "cancel");
        let other = Decision::AcceptWithExecpolicyAmendment(vec!["touch".to_owned()]);
        assert_eq!(
            decided(&real, &other),
            "accept",
            "a wider amendment than the proposed one"
        );

        let no_yes = facts(Some(json!(["cancel"])), None);
        assert_eq!(decided(&no_yes, &Decision::AcceptAlways), "decline");
        let session = facts(Some(json!(["acceptForSession", "decline"])), None);
        assert_eq!(
            decided(&session, &Decision::Accept),
            "decline",
            "for the session would be laxer"
        );
    }

    #[test]
    fn an_amendment_that_is_not_of_the_command_is_not_taken() {
        for words in [
            &[][..],
            &[""],
            &["touch", ""],
            &[" "],
            &["find"],
            &["touch", "y"],
            &["touch", "x", "z"],
        ] {
            let proposed = facts(None, Some(words));
            assert_eq!(
                decided(&proposed, &Decision::AcceptAlways),
                "acceptForSession",
                "{words:?}"
            );
            let named = words.iter().map(|w| (*w).to_owned()).collect();
            let named = Decision::AcceptWithExecpolicyAmendment(named);
            assert_eq!(decided(&proposed, &named), "acceptForSession", "{words:?}");
        }
        for line in [
            "/bin/bash -lc 'touch x > y'",
            "/bin/bash -lc 'touch x; id'",
            "./bash -lc 'touch x'",
            "",
        ] {
            let mut proposed = facts(None, Some(&["touch"]));
            proposed.command = Some(line.to_owned());
            assert_eq!(
                decided(&proposed, &Decision::AcceptAlways),
                "acceptForSession",
                "{line}"
            );
        }
    }

    #[test]
    fn every_decision_is_offered_without_a_list() {
        assert_eq!(
            decided(&facts(None, None), &Decision::AcceptAlways),
            "acceptForSession"
        );
    }

    #[test]
    fn an_amendment_of_the_network_is_for_the_host_that_is_asked_for() {
        let mut asked = facts(None, None);
        asked.subject = Some(Subject::Network);
        asked.host = Some("github.com".to_owned());
        let amend = |allow: bool, host: &str| Decision::ApplyNetworkPolicyAmendment {
            allow,
            host: host.to_owned(),
        };
        let wire = |action: &str| json!({"applyNetworkPolicyAmendment": {"network_policy_amendment": {"action": action, "host": "github.com"}}});
        assert_eq!(decided(&asked, &amend(true, "GitHub.com")), wire("allow"));
        assert_eq!(decided(&asked, &amend(false, "github.com")), wire("deny"));
        assert_eq!(decided(&asked, &amend(true, "evil.com")), "decline");
        assert_eq!(decided(&asked, &amend(true, "")), "decline");
        asked.offer.proposed_network = Some(vec![json!({"action": "deny", "host": "github.com"})]);
        assert_eq!(
            decided(&asked, &amend(true, "github.com")),
            "acceptForSession"
        );
        asked.offer.available = Some(vec![json!("accept")]);
        assert_eq!(
            decided(&asked, &amend(false, "github.com")),
            "decline",
            "a refusal stays one"
        );
    }

    #[test]
    fn a_request_that_a_person_must_decide_is_accepted_only_once() {
        let mut human = facts(None, Some(&["touch"]));
        human.offer.human = true;
        assert_eq!(decided(&human, &Decision::AcceptAlways), "accept");
    }

    #[test]
    fn other_methods_have_fewer_words() {
        assert_eq!(file_change(&Decision::AcceptAlways), "acceptForSession");
        assert_eq!(file_change(&Decision::Cancel), "cancel");
        assert_eq!(
            (skill(&Decision::Accept), skill(&Decision::Cancel)),
            ("approve", "decline")
        );
    }
}
