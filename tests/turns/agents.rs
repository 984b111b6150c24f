//! Sub-agents: their events stay out of the turn, and their tokens count.

use cas_sdk::{
    TurnEvent,
    protocol::ThreadItem,
    testing::{ModelRequest, Reply, Usage},
};
use serde_json::json;

use crate::common::{Rig, within};

fn usage(input_tokens: u64, output_tokens: u64) -> Usage {
    Usage {
        input_tokens,
        output_tokens,
        ..Usage::default()
    }
}

/// The parent spawns a child, waits for it, and says so.
fn play(request: &ModelRequest) -> Reply {
    let texts = request.prompts();
    if texts.last().is_some_and(|text| text.contains("CHILD TASK")) {
        return Reply::text("child done").usage(usage(1000, 100));
    }
    let spawned = request
        .tool_output("spawn")
        .map(|o| o.as_str().unwrap_or_default().to_owned());
    match (spawned, request.tool_output("wait")) {
        (None, _) => Reply::new().namespaced_call(
            "spawn",
            "multi_agent_v1",
            "spawn_agent",
            json!({"message": "CHILD TASK"}),
        ),
        (Some(spawned), None) => {
            let spawned: serde_json::Value = serde_json::from_str(&spawned).unwrap_or_default();
            let targets = json!({"targets": [spawned["agent_id"]]});
            Reply::new().namespaced_call("wait", "multi_agent_v1", "wait_agent", targets)
        }
        (Some(_), Some(_)) => Reply::text("parent done"),
    }
    .usage(usage(10, 5))
}

#[tokio::test]
async fn a_sub_agents_events_stay_out_and_its_tokens_count() {
    let Some(rig) = Rig::new().await else { return };
    within(60, async {
        rig.model.respond_with(play);
        let (client, thread) = rig.thread().await;
        let mut turn = thread.ask("parent, please").await.unwrap();
        let mut text = String::new();
        let outcome = loop {
            match turn.next().await.unwrap().unwrap() {
                TurnEvent::Text { delta, .. } => text.push_str(&delta),
                TurnEvent::Completed(outcome) => break outcome,
                _ => {}
            }
        };
        assert_eq!((text.as_str(), outcome.text.as_str()), ("parent done", "parent done"));
        assert!(outcome.items.iter().any(|i| matches!(i.item, ThreadItem::CollabAgentToolCall(_))));
        let says = |item: &ThreadItem| matches!(item, ThreadItem::AgentMessage(m) if m.text == "child done");
        assert!(!outcome.items.iter().any(|i| says(&i.item)));
        assert_eq!(outcome.usage.unwrap().total, 3 * 15);
        assert_eq!(outcome.usage_with_agents.unwrap().total, 3 * 15 + 1100);
        client.shutdown().await;
    })
    .await;
}
