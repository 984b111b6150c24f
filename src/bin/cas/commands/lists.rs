//! `cas models` and `cas features`.

use serde_json::{Map, Value};

use crate::{
    output::{Result, raw_json},
    screen::Table,
    server::{Server, close, list, parsed},
};

/// The flags of both.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print one JSON object per line
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
    #[command(flatten)]
    server: Server,
}

pub(crate) async fn features(args: Args) -> Result {
    let columns = ["ON", "NAME", "STAGE", "DESCRIPTION"];
    show(args, "experimentalFeature/list", &columns, |feature| {
        let on = if feature["enabled"] == true {
            "on"
        } else {
            "off"
        };
        let text = |key| text(feature, key);
        [
            on.to_owned(),
            text("name"),
            text("stage"),
            text("description"),
        ]
        .to_vec()
    })
    .await
}

pub(crate) async fn models(args: Args) -> Result {
    let columns = ["", "MODEL", "EFFORT", "DESCRIPTION"];
    show(args, "model/list", &columns, |model| {
        let default = if model["isDefault"] == true { "*" } else { "" };
        let text = |key| text(model, key);
        let effort = text("defaultReasoningEffort");
        [default.to_owned(), text("id"), effort, text("description")].to_vec()
    })
    .await
}

async fn show(
    args: Args,
    method: &'static str,
    columns: &[&'static str],
    row: impl Fn(&Value) -> Vec<String>,
) -> Result {
    let client = args.server.client().await?;
    let items = list(&client, method, Map::new(), usize::MAX).await;
    close(&client).await;
    let mut table = Table::new(columns);
    for item in items? {
        if args.json {
            raw_json(item.get())?;
        } else {
            table.row(row(&parsed(&item)));
        }
    }
    if args.json { Ok(()) } else { table.print() }
}

fn text(item: &Value, key: &str) -> String {
    item[key].as_str().unwrap_or_default().to_owned()
}
