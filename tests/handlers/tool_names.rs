//! Which tools there are: how they are named and advertised, and what is refused.

use cas_sdk::{
    CasClient, Error, Tool, ToolContext, ToolError, protocol::ThreadStartParams, testing::Reply,
    tools::DynamicTool,
};
use serde_json::{Value, json};

use crate::{
    common::{codex_test, codex_test_with},
    item, start, told,
    tools::tool,
    turn,
};

#[tokio::test]
async fn a_tool_of_a_namespace_is_advertised_with_the_description_of_it_and_called() {
    struct Weather;
    #[derive(serde::Deserialize, schemars::JsonSchema)]
    struct Args {
        /// The city to look at.
        city: String,
    }
    impl Tool for Weather {
        const NAME: &'static str = "weather";
        const DESCRIPTION: &'static str = "Tells the weather.";
        const NAMESPACE: Option<&'static str> = Some("sky");
        type Args = Args;
        type Output = String;
        async fn call(&self, args: Args, cx: ToolContext) -> Result<String, ToolError> {
            assert_eq!(cx.call_id, "c-1");
            Ok(format!("sunny in {}", args.city))
        }
    }
    codex_test(60, async |rig| {
        rig.model.reply(Reply::new().namespaced_call(
            "c-1",
            "sky",
            "weather",
            json!({"city": "Oslo"}),
        ));
        rig.model.reply(Reply::text("done"));
        let builder = rig
            .builder()
            .tool(Weather)
            .handlers(cas_sdk::Handlers::new().tool_namespace("sky", "All about the sky."));
        let client = builder.spawn().await.unwrap();
        let outcome = turn(&start(&client).await).await;
        assert_eq!(told(&rig, "c-1"), "sunny in Oslo");
        assert_eq!(item(&outcome, "c-1")["namespace"], "sky");
        let first = rig.model.requests()[0].body().to_string();
        assert!(first.contains("All about the sky."));
        assert!(first.contains("The city to look at."));
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_tool_without_arguments_or_with_odd_ones_is_taken_by_the_server_and_called() {
    #[derive(serde::Deserialize, schemars::JsonSchema)]
    struct Odd {
        /// From and to.
        range: (u8, String),
        #[serde(default)]
        nothing: (),
    }
    codex_test(60, async |rig| {
        rig.model.reply(
            Reply::new()
                .function_call("c-1", "now", json!({}))
                .function_call("c-2", "odd", json!({"range": [1, "two"]})),
        );
        rig.model.reply(Reply::text("done"));
        let now = DynamicTool::new("now", "Tells the time.", |(), _cx: ToolContext| async {
            Ok("noon")
        });
        let odd = DynamicTool::new("odd", "Odd.", |odd: Odd, _cx: ToolContext| async move {
            let ((from, to), ()) = (odd.range, odd.nothing);
            Ok(format!("{from} to {to}"))
        });
        let client = rig.builder().tool(now).tool(odd).spawn().await.unwrap();
        turn(&start(&client).await).await;
        assert_eq!(told(&rig, "c-1"), "noon");
        assert_eq!(told(&rig, "c-2"), "1 to two");
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn the_servers_rules_for_schemas_are_the_ones_that_are_checked() {
    codex_test(60, async |rig| {
        let client = rig.client().await;
        let within = |schema: Value| json!({"type": "object", "properties": {"a": schema}});
        for (schema, good) in [
            (json!({}), true),
            (json!({"type": "object"}), true),
            (json!({"type": ["null", "object"]}), true),
            (within(json!(true)), true),
            (within(json!({"type": "null"})), true),
            (
                within(json!({"items": null, "properties": null, "required": null})),
                true,
            ),
            (within(json!({"$ref": "#/definitions/A"})), true),
            (json!({"type": "null"}), false),
            (json!({"type": ["null"]}), false),
            (within(json!({"items": []})), false),
            (
                within(json!({"items": [{"type": "string"}, {"type": "integer"}]})),
                false,
            ),
            (within(json!({"items": "x"})), false),
            (within(json!({"enum": "x"})), false),
            (within(json!({"anyOf": {}})), false),
            (within(json!({"$ref": 5})), false),
            (within(json!({"type": "string", "description": 5})), false),
            (within(json!({"required": [1]})), false),
            (within(json!({"additionalProperties": "x"})), false),
            (within(json!({"anyOf": [{"items": []}]})), false),
            (within(json!(null)), false),
            (json!({"type": "object", "properties": []}), false),
        ] {
            let spec =
                json!({"type": "function", "name": "t", "description": "d", "inputSchema": schema});
            let sent = client
                .call::<Value>("thread/start", &json!({"dynamicTools": [spec]}))
                .await;
            assert_eq!(sent.is_ok(), good, "by the server: {schema}");
            let tool = tool("t", |_, _cx| async { Ok("") }).input_schema(schema.clone());
            let builder = CasClient::builder().codex("/no/such/codex").tool(tool);
            let early = matches!(builder.spawn().await, Err(Error::Invalid(_)));
            assert_eq!(early, !good, "here: {schema}");
        }
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_deferred_tool_is_not_shown_until_it_is_searched_for() {
    codex_test_with(
        |home| home.model("gpt-5.5"),
        60,
        async |rig| {
            rig.model.reply(Reply::text("done"));
            let shown = tool("shown", |_, _cx| async { Ok("") }).namespace("n");
            let hidden = tool("hidden", |_, _cx| async { Ok("") })
                .namespace("n")
                .defer_loading();
            let client = rig
                .builder()
                .tool(shown)
                .tool(hidden)
                .spawn()
                .await
                .unwrap();
            turn(&start(&client).await).await;
            let tools = rig.model.requests()[0].tools();
            assert!(tools.contains(&"n.shown".to_owned()), "{tools:?}");
            assert!(!tools.contains(&"n.hidden".to_owned()), "{tools:?}");
            client.shutdown().await;
        },
    )
    .await;
}

#[tokio::test]
async fn a_tool_that_is_not_registered_is_told_to_the_model() {
    codex_test(60, async |rig| {
        // The thread is started with a tool that the resuming client does not have.
        rig.model.reply(Reply::text("hello"));
        let client = rig
            .builder()
            .tool(tool("t", |_, _cx| async { Ok("") }))
            .spawn()
            .await
            .unwrap();
        let thread = start(&client).await;
        turn(&thread).await;
        client.shutdown().await;

        rig.model
            .reply(Reply::new().function_call("c-1", "t", json!({})));
        rig.model.reply(Reply::text("done"));
        let client = rig.client().await;
        let thread = client.resume_thread(thread.id()).await.unwrap();
        let outcome = turn(&thread).await;
        assert_eq!(told(&rig, "c-1"), "there is no tool t");
        assert_eq!(item(&outcome, "c-1")["status"], "failed");
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_tool_that_the_server_would_refuse_is_an_error_before_anything_is_started() {
    for (tool, text) in [
        (
            tool("a.b", |_, _cx| async { Ok("") }),
            "\"a.b\" must be 1 to 128",
        ),
        (
            tool("mcp__x", |_, _cx| async { Ok("") }),
            "reserved for MCP",
        ),
        (
            tool("t", |_, _cx| async { Ok("") }).namespace("web"),
            "reserved by the Responses API",
        ),
    ] {
        let builder = CasClient::builder().codex("/no/such/codex").tool(tool);
        let Err(Error::Invalid(error)) = builder.spawn().await else {
            panic!("it was not looked at")
        };
        assert!(error.contains(text), "{error}");
    }
}

#[tokio::test]
async fn the_servers_rules_for_names_are_the_ones_that_are_checked() {
    codex_test(60, async |rig| {
        let client = rig.client().await;
        let spec = |name: &str| json!({"type": "function", "name": name, "description": "d", "inputSchema": {"type": "object", "properties": {}}});
        let space = |name: &str, tools: Value, description: String| json!({"type": "namespace", "name": name, "description": description, "tools": tools});
        for bad in [
            spec(""), spec("a.b"), spec("mcp"), spec("mcp__x"), spec(&"t".repeat(129)),
            space("web", json!([spec("t")]), String::new()), space("a b", json!([spec("t")]), String::new()),
            space(&"n".repeat(65), json!([spec("t")]), String::new()), space("n", json!([spec("t")]), "x".repeat(1025)),
        ] {
            let sent = client.call::<Value>("thread/start", &json!({"dynamicTools": [bad]})).await;
            assert!(sent.is_err(), "{bad}");
        }
        let good = json!([spec("mcp_x"), spec(&"t".repeat(128)), space(&"n".repeat(64), json!([spec("t")]), "x".repeat(1024))]);
        client.call::<Value>("thread/start", &json!({"dynamicTools": good})).await.unwrap();
        client.shutdown().await;
    }).await;
}

#[tokio::test]
async fn tools_without_the_experimental_api_are_an_error_before_anything_is_sent() {
    codex_test(60, async |rig| {
        let tool = tool("t", |_, _cx| async { Ok("") });
        let client = rig
            .builder()
            .experimental_api(false)
            .tool(tool)
            .spawn()
            .await
            .unwrap();
        let error = client
            .start_thread(ThreadStartParams::default())
            .await
            .unwrap_err();
        let Error::Invalid(text) = &error else {
            panic!("{error:?}")
        };
        assert!(text.contains("experimental_api(true)"), "{text}");
        client.shutdown().await;
    })
    .await;
}
