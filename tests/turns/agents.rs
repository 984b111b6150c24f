//! Sub-agents: their events stay out of the turn, and their tokens count.

use std::time::Duration;

use cas_sdk::{
    TurnEvent,
    protocol::ThreadItem,
    testing::{Gate, ModelRequest, Reply, Usage},
    turn::{StartedBy, SubAgentStatus},
};
use serde_json::json;

use crate::common::{
    Rig, codex_test,
    scenes::{is_child, parent},
    within,
};

fn usage(input_tokens: u64, output_tokens: u64) -> Usage {
    Usage {
        input_tokens,
        output_tokens,
        ..Usage::default()
    }
}

/// The parent spawns a child, waits for it, and says so.
fn play(request: &ModelRequest) -> Reply {
    if is_child(request) {
        return Reply::text("child done").usage(usage(1000, 100));
    }
    parent(request).usage(usage(10, 5))
}

#[tokio::test]
async fn a_sub_agents_events_stay_out_and_its_tokens_count() {
    codex_test(60, async |rig| {
        rig.model.respond_with(play);
        let (client, thread) = rig.thread().await;
        let mut turn = thread.ask("parent, please").await.unwrap();
        let (mut text, mut told) = (String::new(), Vec::new());
        let outcome = loop {
            match turn.next().await.unwrap().unwrap() {
                TurnEvent::Text { delta, .. } => text.push_str(&delta),
                TurnEvent::Agent(agent) => told.push(agent),
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
        let [agent] = &outcome.agents[..] else { panic!("{:?}", outcome.agents) };
        assert_eq!((agent.usage.total, agent.usage.input, agent.usage.output), (1100, 1000, 100));
        assert_eq!((agent.status, agent.result.as_deref()), (SubAgentStatus::Completed, Some("child done")));
        assert_eq!(agent.parent_thread_id, thread.id());
        let [named] = &told[..] else { panic!("{told:?}") };
        assert_eq!(named.thread_id, agent.thread_id);
        assert!(named.nickname.is_some() && named.nickname == agent.nickname, "{named:?}");
        let late = turn.control().follow().finish().await.unwrap();
        assert_eq!(late.agents[0].nickname, agent.nickname);
        let child = client.thread(agent.thread_id.as_str());
        let history = child.history().all().await.unwrap();
        let by = child.turn(history[0].id.as_str()).await.unwrap().started_by();
        assert_eq!((history.len(), by), (1, StartedBy::SubAgent));
        client.shutdown().await;
    }).await;
}

/// The parent spawns a child that does not end, and does not wait for it.
fn spawn(family: &'static str, gate: &Gate) -> impl Fn(&ModelRequest) -> Reply + use<> {
    let gate = gate.clone();
    move |request| {
        let texts = request.prompts();
        if texts.iter().any(|text| text.contains("CHILD TASK"))
            && !texts.iter().any(|text| text.contains("parent, please"))
        {
            return Reply::new()
                .delta("at work")
                .hold(&gate)
                .delta(", done")
                .usage(usage(1000, 100));
        }
        if request.tool_output("spawn").is_some() {
            return Reply::text("parent done").usage(usage(10, 5));
        }
        let args = match family {
            "multi_agent_v1" => json!({"message": "CHILD TASK"}),
            _ => json!({"task_name": "research", "message": "CHILD TASK", "fork_turns": "none"}),
        };
        Reply::new()
            .namespaced_call("spawn", family, "spawn_agent", args)
            .usage(usage(10, 5))
    }
}

#[tokio::test]
async fn a_sub_agent_that_outlives_its_turn_is_in_the_outcome_and_is_stopped_on_request() {
    for family in ["multi_agent_v1", "collaboration"] {
        let v2 = family == "collaboration";
        let Some(rig) = Rig::with(|home| home.feature("multi_agent_v2", v2)).await else {
            return;
        };
        within(60, async {
            rig.model.respond_with(spawn(family, &Gate::new()));
            let (client, thread) = rig.thread().await;
            let turn = thread.ask("parent, please").await.unwrap();
            let outcome = turn.finish().await.unwrap();
            assert_eq!(outcome.text, "parent done", "{family}");
            let [agent] = &outcome.agents[..] else {
                panic!("{family}: {:?}", outcome.agents)
            };
            assert_eq!(agent.path.as_deref(), v2.then_some("/root/research"));
            let child = client.thread(agent.thread_id.as_str());
            rig.model.wait_for_requests(3).await;
            let running = child.running_turn().await.unwrap().unwrap();
            assert_eq!(running.started_by(), StartedBy::SubAgent, "{family}");
            assert_eq!(client.running_turns().len(), 1);
            let report = thread.stop_all(Duration::from_secs(10)).await;
            assert!(report.is_complete(), "{family}: {report:?}");
            assert_eq!(
                report.turns,
                [(child.id().to_owned(), running.id().to_owned())],
                "{family}"
            );
            assert!(client.running_turns().is_empty());
            client.shutdown().await;
        })
        .await;
    }
}
