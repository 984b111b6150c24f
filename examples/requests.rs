//! Requests and their responses: `cargo run --example requests -- thread/list '{"limit": 3}'`

use std::time::Duration;

use cas_sdk::{
    CasClient, RpcErrorKind,
    protocol::{ExperimentalFeatureListParams, ModelListParams},
};
use serde_json::Value;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = CasClient::builder().spawn().await?;

    // The type of the params determines the method and the response.
    let models = client.request(ModelListParams::default()).await?;
    println!("{} models", models.data.len());

    // A deadline of its own; the three methods that everybody needs have names.
    let features = ExperimentalFeatureListParams::default().limit(5);
    let features = client
        .list_experimental_features(features)
        .timeout(Duration::from_secs(5))
        .await?;
    for feature in features.data {
        println!("{} ({})", feature.name, feature.stage);
    }

    // A method by name, such as one that is newer than this crate. The response is JSON.
    let mut args = std::env::args().skip(1);
    let method = args.next().unwrap_or_else(|| "thread/list".to_owned());
    let params: Value = serde_json::from_str(args.next().as_deref().unwrap_or("{}"))?;
    match client.call::<Value>(&method, &params).await {
        Ok(answer) => println!("{answer}"),
        // All refusals have the same code; `kind` classifies their texts.
        Err(error) if error.rpc_kind() == Some(RpcErrorKind::UnknownMethod) => {
            println!("this codex has no {method}");
        }
        Err(error) => return Err(error.into()),
    }

    client.shutdown().await;
    Ok(())
}
