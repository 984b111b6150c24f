//! An answer as a typed value: `cargo run --example structured_output -- "Linus Torvalds"`

use cas_sdk::{CasClient, protocol::ThreadStartParams};

/// The model reads the doc comments of the fields, and fills the fields in this order.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
struct Person {
    /// What is known of the person, in a sentence or two.
    about: String,
    /// The year of birth, if it is known.
    born: Option<u16>,
    /// What the person made.
    works: Vec<Work>,
}

#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
struct Work {
    title: String,
    kind: Kind,
}

#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Software,
    Book,
    Other,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args()
        .nth(1)
        .ok_or("usage: structured_output NAME")?;
    let client = CasClient::builder().spawn().await?;
    let thread = client.start_thread(ThreadStartParams::default()).await?;

    let turn = thread
        .ask(format!("Who is {name}?"))
        .structured::<Person>()
        .await?;
    let (person, outcome) = turn.finish().await?;
    if let Some(usage) = outcome.usage {
        eprintln!("{} tokens", usage.total);
    }
    println!("{}", person.about);
    if let Some(year) = person.born {
        println!("born {year}");
    }
    for work in person.works {
        println!("- {} ({:?})", work.title, work.kind);
    }

    client.shutdown().await;
    Ok(())
}
