//! From a decision to what the server offers for a request: never to something laxer.

use serde_json::{Value, json};

use super::Offer;
use crate::handler::Decision;

impl Offer {
    /// The decision about a command as it goes over the wire: the first, from `wanted` towards the stricter, that is
    /// offered. To refuse is always possible, though the server does not list it.
    pub(crate) fn command(&self, wanted: &Decision) -> Value {
        let amendment = |words: &[String]| json!({"acceptWithExecpolicyAmendment": {"execpolicy_amendment": words}});
        let mut ladder = Vec::new();
        match wanted {
            Decision::Cancel => return json!("cancel"),
            Decision::AcceptAlways => ladder.extend(self.proposed.as_deref().map(amendment)),
            Decision::AcceptWithExecpolicyAmendment(words) => ladder.push(amendment(words)),
            Decision::ApplyNetworkPolicyAmendment { allow, host } => {
                let action = if *allow { "allow" } else { "deny" };
                ladder.push(json!({"applyNetworkPolicyAmendment": {"network_policy_amendment": {"action": action, "host": host}}}));
            }
            Decision::AcceptForSession | Decision::Accept | Decision::Decline => {}
        }
        if wanted.accepts() {
            if *wanted != Decision::Accept {
                ladder.push(json!("acceptForSession"));
            }
            ladder.push(json!("accept"));
        }
        ladder
            .into_iter()
            .find(|decision| self.offers(decision))
            .unwrap_or_else(|| json!("decline"))
    }

    fn offers(&self, decision: &Value) -> bool {
        (!self.human || decision == "accept")
            && self
                .available
                .as_ref()
                .is_none_or(|available| available.contains(decision))
    }
}

/// The decision about a change of files as it goes over the wire.
pub(crate) fn file_change(wanted: &Decision) -> &'static str {
    match wanted {
        Decision::Cancel => "cancel",
        Decision::Accept => "accept",
        _ if wanted.accepts() => "acceptForSession",
        _ => "decline",
    }
}

/// The decision about a skill as it goes over the wire.
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

    fn offer(available: Option<Value>, proposed: Option<&[&str]>) -> Offer {
        Offer {
            available: available.map(|a| a.as_array().unwrap().clone()),
            proposed: proposed.map(|words| words.iter().map(|w| (*w).to_owned()).collect()),
            human: false,
        }
    }

    #[test]
    fn what_is_not_offered_falls_to_the_next_stricter_that_is() {
        let touch =
            json!({"acceptWithExecpolicyAmendment": {"execpolicy_amendment": ["touch", "x"]}});
        let real = || {
            offer(
                Some(json!(["accept", touch, "cancel"])),
                Some(&["touch", "x"]),
            )
        };
        assert_eq!(real().command(&Decision::AcceptAlways), touch);
        assert_eq!(real().command(&Decision::AcceptForSession), "accept");
        assert_eq!(real().command(&Decision::Accept), "accept");
        assert_eq!(
            real().command(&Decision::Decline),
            "decline",
            "not listed, but always possible"
        );
        assert_eq!(real().command(&Decision::Cancel), "cancel");
        let other = Decision::AcceptWithExecpolicyAmendment(vec!["touch".to_owned()]);
        assert_eq!(
            real().command(&other),
            "accept",
            "a wider amendment than the proposed one"
        );

        let no_yes = || offer(Some(json!(["cancel"])), None);
        assert_eq!(no_yes().command(&Decision::AcceptAlways), "decline");
        let session = offer(Some(json!(["acceptForSession", "decline"])), None);
        assert_eq!(
            session.command(&Decision::Accept),
            "decline",
            "for the session would be laxer"
        );
    }

    #[test]
    fn without_a_list_everything_is_offered() {
        assert_eq!(
            offer(None, None).command(&Decision::AcceptAlways),
            "acceptForSession"
        );
        let network = Decision::ApplyNetworkPolicyAmendment {
            allow: false,
            host: "h".to_owned(),
        };
        assert_eq!(
            offer(None, None).command(&network),
            json!({"applyNetworkPolicyAmendment": {"network_policy_amendment": {"action": "deny", "host": "h"}}})
        );
        assert_eq!(
            offer(Some(json!(["accept"])), None).command(&network),
            "decline",
            "a refusal stays one"
        );
    }

    #[test]
    fn what_a_person_must_decide_is_decided_once() {
        let human = Offer {
            human: true,
            ..offer(None, Some(&["x"]))
        };
        assert_eq!(human.command(&Decision::AcceptAlways), "accept");
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
