//! Servers and clients that do what the real server rarely does: goals that others replace, agents that are closed in
//! between, methods that were not agreed on.

use cas_sdk::{
    CasClient, Error, Thread, TurnEvent,
    testing::FakeServer,
    turn::{GoalEnd, GoalEvent, SubAgentStatus},
};
use serde_json::{Value, json};

use crate::common::within;

async fn rig() -> (CasClient, FakeServer, Thread) {
    let (client, server) = FakeServer::connect(CasClient::builder()).await.unwrap();
    server.opens("thr");
    server.starts("turn");
    let thread = client.resume_thread("thr").await.unwrap();
    (client, server, thread)
}

fn goal(created: u64, status: &str) -> Value {
    json!({
        "threadId": "thr", "objective": "Reach it", "status": status, "tokenBudget": null,
        "tokensUsed": 0, "timeUsedSeconds": 0, "createdAt": created, "updatedAt": created,
    })
}

fn tell(server: &FakeServer, created: u64, status: &str) {
    let params = json!({"threadId": "thr", "turnId": null, "goal": goal(created, status)});
    server.notify("thread/goal/updated", params);
}

#[tokio::test]
async fn a_goal_that_another_client_replaces_has_ended_and_the_other_is_let_run() {
    within(20, async {
        let (client, server, thread) = rig().await;
        server.answer("thread/goal/get", |_| Ok(json!({"goal": null})));
        server.answer("thread/goal/set", |_| {
            Ok(json!({"goal": goal(1, "active")}))
        });
        let mut set = thread.set_goal("Reach it").await.unwrap();
        // What is told of the one before this is not of this.
        server.notify("thread/goal/cleared", json!({"threadId": "thr"}));
        tell(&server, 1, "active");
        server.turn_started("thr", "turn-1");
        while !matches!(
            set.next().await.unwrap().unwrap(),
            GoalEvent::TurnStarted(_)
        ) {}
        tell(&server, 2, "active");
        server.turn_completed("thr", "turn-1", "completed");
        assert_eq!(set.finish().await.unwrap().end, GoalEnd::Replaced);
        client
            .call::<Value>("thread/goal/get", json!({"threadId": "thr"}))
            .await
            .unwrap();
        assert_eq!(
            server.calls("thread/goal/set"),
            1,
            "the other one is not paused"
        );
        assert_eq!(server.calls("turn/interrupt"), 0);
    })
    .await;
}

#[tokio::test]
async fn a_goal_on_a_thread_that_is_closed_has_ended() {
    within(20, async {
        let (_client, server, thread) = rig().await;
        server.answer("thread/goal/get", |_| {
            Ok(json!({"goal": goal(1, "paused")}))
        });
        server.answer("thread/goal/clear", |_| Ok(json!({"cleared": true})));
        server.answer("thread/goal/set", |_| {
            Ok(json!({"goal": goal(2, "active")}))
        });
        let set = thread.set_goal("Reach it").await.unwrap();
        tell(&server, 2, "active");
        server.notify("thread/closed", json!({"threadId": "thr"}));
        assert_eq!(set.finish().await.unwrap().end, GoalEnd::ThreadClosed);
    })
    .await;
}

#[tokio::test]
async fn an_agent_that_is_closed_in_between_is_interrupted_and_what_it_said_is_kept() {
    within(20, async {
        let (client, server, thread) = rig().await;
        let turn = thread.ask("go").await.unwrap();
        server.turn_started("thr", "turn");
        // The first sign of it is its own turn, on a thread that nobody has announced.
        server.status("child", "active");
        let started = json!({"id": "child-turn", "rootTurnId": "turn", "items": [], "status": "inProgress"});
        server.notify("turn/started", json!({"threadId": "child", "turn": started}));
        server.message("child", "child-turn", "m", "so far, so good");
        server.usage("child", "child-turn", (7, 3), (7, 3));
        server.notify("thread/closed", json!({"threadId": "child"}));
        let call = json!({"type": "collabAgentToolCall", "id": "c", "tool": "wait", "status": "completed",
            "senderThreadId": "thr", "receiverThreadIds": ["child"], "agentsStates": {"child": {"status": "notFound"}}});
        server.item_completed("thr", "turn", call);
        server.turn_completed("thr", "turn", "completed");
        server.answer("thread/read", |params| {
            let mut thread = FakeServer::thread(params["threadId"].as_str().unwrap(), "notLoaded");
            thread["agentNickname"] = json!("Noether");
            Ok(json!({"thread": thread}))
        });
        let outcome = turn.finish().await.unwrap();
        let [agent] = &outcome.agents[..] else { panic!("{:?}", outcome.agents) };
        assert_eq!((agent.status, agent.usage.total), (SubAgentStatus::Interrupted, 10));
        assert_eq!(agent.result.as_deref(), Some("so far, so good"));
        assert_eq!(agent.nickname.as_deref(), Some("Noether"));
        assert_eq!(outcome.usage_with_agents.map(|usage| usage.total), None, "the server told of none of its own");
        assert!(client.running_turns().is_empty());
    })
    .await;
}

#[tokio::test]
async fn what_was_not_agreed_on_is_refused_here_with_the_way_out() {
    within(20, async {
        let builder = CasClient::builder().experimental_api(false);
        let (client, server) = FakeServer::connect(builder).await.unwrap();
        server.opens("thr");
        server.starts("turn");
        let thread = client.resume_thread("thr").await.unwrap();
        let errors = [
            thread.terminals().await.unwrap_err(),
            thread.enqueue("x").await.unwrap_err(),
            thread.ask("x").plan().await.unwrap_err(),
            thread
                .implement(&cas_sdk::turn::Plan::new("x"))
                .await
                .unwrap_err(),
        ];
        for error in errors {
            let Error::Invalid(text) = &error else {
                panic!("{error:?}")
            };
            assert!(text.contains("experimental_api(true)"), "{text}");
        }
        // An interrupt does without: the shells are the server's to end.
        let turn = thread.ask("x").await.unwrap();
        server.turn_started("thr", "turn");
        server.item_started(
            "thr",
            "turn",
            json!({"type": "commandExecution", "id": "c", "command": "sleep", "cwd": "/",
            "status": "inProgress", "commandActions": []}),
        );
        let (ended, ()) = tokio::join!(turn.interrupt(), async {
            server.next("turn/interrupt").await.reply(json!({}));
            server.turn_completed("thr", "turn", "interrupted");
        });
        ended.unwrap();
        assert_eq!(server.calls("thread/backgroundTerminals/list"), 0);
    })
    .await;
}

#[tokio::test]
async fn a_name_that_is_never_said_holds_up_no_outcome() {
    within(20, async {
        let (_client, server, thread) = rig().await;
        server.leave("thread/read");
        let mut turn = thread.ask("go").await.unwrap();
        server.turn_started("thr", "turn");
        let spawned = json!({"type": "subAgentActivity", "id": "a", "kind": "started",
            "agentThreadId": "child", "agentPath": "/root/child"});
        server.item_completed("thr", "turn", spawned);
        server.turn_completed("thr", "turn", "completed");
        let mut told = Vec::new();
        let outcome = loop {
            match turn.next().await.unwrap().unwrap() {
                TurnEvent::Agent(agent) => told.push(agent),
                TurnEvent::Completed(outcome) => break outcome,
                _ => {}
            }
        };
        let [agent] = &told[..] else {
            panic!("{told:?}")
        };
        assert_eq!(outcome.agents, [(**agent).clone()]);
        assert_eq!(
            (agent.thread_id.as_str(), &agent.nickname),
            ("child", &None)
        );
    })
    .await;
}
