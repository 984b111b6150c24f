//! The configuration and the environment of a home.

use std::path::Path;

use super::*;

async fn config(configure: impl FnOnce(CodexHomeBuilder) -> CodexHomeBuilder) -> Table {
    let model = MockModel::start().await;
    let home = configure(CodexHome::builder(&model)).build().unwrap();
    fs::read_to_string(home.path().join("config.toml"))
        .unwrap()
        .parse()
        .unwrap()
}

#[tokio::test]
async fn the_default_configuration_asks_the_model_and_nobody_else() {
    let model = MockModel::start().await;
    let home = CodexHome::new(&model).unwrap();
    let config: Table = fs::read_to_string(home.path().join("config.toml"))
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(config["model_provider"].as_str(), Some("mock"));
    assert_eq!(
        config["chatgpt_base_url"].as_str(),
        Some(&*model.chatgpt_base_url())
    );
    let provider = &config["model_providers"]["mock"];
    assert_eq!(provider["base_url"].as_str(), Some(&*model.base_url()));
    assert_eq!(provider["request_max_retries"].as_integer(), Some(0));
    assert_eq!(config["features"]["plugins"].as_bool(), Some(false));
    assert_eq!(config["analytics"]["enabled"].as_bool(), Some(false));
}

#[tokio::test]
async fn every_option_has_its_place_in_the_configuration() {
    let config = config(|builder| {
        builder
            .model("gpt-5.5")
            .approval_policy("on-request")
            .sandbox_mode("workspace-write")
            .feature("request_permissions_tool", true)
            .external_clock()
            .chatgpt_auth()
            .mcp_server("tiny", "python3", ["tiny mcp.py"])
            .retries(1, 2)
            .stream_idle_timeout(Duration::from_millis(1500))
    })
    .await;
    let expected = toml::toml! {
        model = "gpt-5.5"
        approval_policy = "on-request"
        sandbox_mode = "workspace-write"
        cli_auth_credentials_store = "file"

        [features]
        plugins = false
        request_permissions_tool = true
        apps = false

        [features.current_time_reminder]
        enabled = true
        reminder_interval_seconds = 1
        clock_source = "external"
        sleep_tool = true

        [mcp_servers.tiny]
        command = "python3"
        args = ["tiny mcp.py"]
    };
    for (key, value) in expected {
        assert_eq!(config[&key], value, "{key}");
    }
    let provider = &config["model_providers"]["mock"];
    assert_eq!(provider["requires_openai_auth"].as_bool(), Some(true));
    assert_eq!(provider["request_max_retries"].as_integer(), Some(1));
    assert_eq!(provider["stream_max_retries"].as_integer(), Some(2));
    assert_eq!(provider["stream_idle_timeout_ms"].as_integer(), Some(1500));
}

#[tokio::test]
async fn merged_toml_has_the_last_word_and_leaves_the_rest() {
    let config = config(|builder| {
        builder
            .toml("model = 'late'\n[features]\napps = true")
            .model("early")
            .feature("apps", false)
            .toml("[model_providers.mock]\nsupports_websockets = true")
    })
    .await;
    assert_eq!(config["model"].as_str(), Some("late"));
    assert_eq!(config["features"]["apps"].as_bool(), Some(true));
    assert_eq!(config["features"]["plugins"].as_bool(), Some(false));
    assert_eq!(
        config["model_providers"]["mock"]["supports_websockets"].as_bool(),
        Some(true)
    );
    assert_eq!(
        config["model_providers"]["mock"]["wire_api"].as_str(),
        Some("responses")
    );
}

#[tokio::test]
async fn text_that_is_not_toml_is_refused() {
    let model = MockModel::start().await;
    let error = CodexHome::builder(&model)
        .toml("model = ")
        .build()
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert!(
        error
            .to_string()
            .starts_with("the configuration to merge is not TOML: "),
        "{error}"
    );
}

#[tokio::test]
async fn the_environment_is_complete_and_stays_inside_and_the_drop_removes_all() {
    let model = MockModel::start().await;
    let home = CodexHome::new(&model).unwrap();
    let root = home.root.path().to_owned();
    let env: std::collections::HashMap<_, _> = home.env().into_iter().collect();
    for name in ["HOME", "CODEX_HOME", "TMPDIR"] {
        let directory = Path::new(&env[std::ffi::OsStr::new(name)]);
        assert!(
            directory.is_dir() && directory.starts_with(&root),
            "{name}={}",
            directory.display()
        );
    }
    assert!(env.contains_key(std::ffi::OsStr::new("PATH")));
    assert!(home.work_dir().is_dir());
    drop(home);
    assert!(!root.exists());
}
