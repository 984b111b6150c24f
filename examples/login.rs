//! Logs in: `cargo run --example login` with a code, `cargo run --example login -- browser` with a browser.

use cas_sdk::{CasClient, protocol::Account};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = CasClient::builder().spawn().await?;
    let login = client.login();
    let login = match std::env::args().nth(1).as_deref() {
        Some("browser") => login.chatgpt().await?,
        _ => login.device_code().await?,
    };
    println!("Open {}", login.url().unwrap_or_default());
    if let Some(code) = login.user_code() {
        println!("and enter {code}");
    }
    match login.wait().await?.account {
        Some(Account::Chatgpt(account)) => println!("logged in as {:?}", account.email),
        account => println!("logged in: {account:?}"),
    }

    client.shutdown().await;
    Ok(())
}
