//! `cas features` and `cas models`.

use serde_json::{Map, Value};

use crate::{
    connect::{Server, list},
    out::{Result, line},
};

/// The flags of both.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    server: Server,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

pub(crate) async fn features(args: Args) -> Result {
    show(args, "experimentalFeature/list", |feature| {
        let on = if feature["enabled"] == true {
            "on "
        } else {
            "off"
        };
        let description = feature["description"].as_str().unwrap_or_default();
        format!(
            "{on}  {:<40} {:<18} {description}",
            text(feature, "name"),
            text(feature, "stage")
        )
    })
    .await
}

pub(crate) async fn models(args: Args) -> Result {
    show(args, "model/list", |model| {
        let default = if model["isDefault"] == true { "*" } else { " " };
        format!(
            "{default} {:<24} {}",
            text(model, "id"),
            text(model, "description")
        )
    })
    .await
}

async fn show(args: Args, method: &str, row: impl Fn(&Value) -> String) -> Result {
    let client = args.server.client().await?;
    let items = list(&client, method, Map::new(), usize::MAX).await;
    client.shutdown().await;
    for item in items? {
        if args.json {
            line(item)?;
        } else {
            line(row(&item).trim_end())?;
        }
    }
    Ok(())
}

fn text<'a>(item: &'a Value, key: &str) -> &'a str {
    item[key].as_str().unwrap_or_default()
}
