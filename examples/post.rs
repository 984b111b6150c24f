//! Posts a report into a live session, without the authority of the user, and says what became of it.
//!
//! `cargo run --example post --features ws -- ADDRESS THREAD NAME TEXT…`; ADDRESS is `unix://` for the
//! server behind a plain `codex`, and `cas live` lists the threads.

use std::error::Error;

use cas_sdk::{
    CasClient,
    client::Role,
    turn::{Message, MessageState, Receipt},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [address, thread, name, text @ ..] = &args[..] else {
        return Err("usage: post ADDRESS THREAD NAME TEXT…".into());
    };
    // Who posts takes part, and does not only watch.
    let builder = CasClient::builder().role(Role::Driver);
    let client = builder.connect_to(address.as_str()).await?;
    let thread = client.thread(thread);

    let message = Message::from_agent(name, text.join(" "));
    let id = message.id().to_owned();
    match thread.deliver(message).await {
        Ok(Receipt::Started { turn }) => println!("it has started turn {turn}"),
        Ok(Receipt::Posted { turn }) => println!("turn {turn} reads it at its next step"),
        Ok(other) => println!("{other:?}"),
        // It may have been delivered: look it up, and don't send it again.
        Err(error @ cas_sdk::Error::Indeterminate { .. }) => {
            println!("{error}");
            let again = CasClient::builder().connect_to(address.as_str()).await?;
            match again.thread(thread.id()).find_message(&id).await? {
                MessageState::Delivered { turn } => println!("turn {turn} has it"),
                state => println!("{state:?}"),
            }
        }
        Err(error) => return Err(error.into()),
    }
    client.shutdown().await;
    Ok(())
}
