//! `cas features` and `cas models`.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::{
    connect::{Server, list},
    out::{Result, field, json, line},
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
        format!(
            "{on}  {:<40} {:<18} {}",
            text(feature, "name"),
            text(feature, "stage"),
            text(feature, "description")
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
            json(&item)?;
        } else {
            line(row(&item).trim_end())?;
        }
    }
    Ok(())
}

fn text<'a>(item: &'a Value, key: &str) -> Cow<'a, str> {
    field(item[key].as_str().unwrap_or_default())
}
