//! `cas login`: the account that turns are charged to.

use std::io::Read as _;

use cas_sdk::{CasClient, protocol::Account};
use serde_json::json;

use crate::{
    output::{Failure, Result, complain, field, json as json_line, line},
    server::Server,
};

/// Log in. By default with a code that you enter in any browser.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit status: 0 done, 1 failed or nobody is logged in, 2 wrong usage.")]
#[allow(clippy::struct_excessive_bools, reason = "they are flags")]
pub(crate) struct Args {
    /// Log in with a browser on this machine
    #[arg(long, conflicts_with_all = ["api_key", "status", "logout"])]
    browser: bool,
    /// Log in with an API key, which is read from standard input
    #[arg(long, conflicts_with_all = ["status", "logout"])]
    api_key: bool,
    /// Only print who is logged in
    #[arg(long, conflicts_with = "logout")]
    status: bool,
    /// Forget the login
    #[arg(long)]
    logout: bool,
    /// Print who is logged in as JSON
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
    #[command(flatten)]
    server: Server,
}

pub(crate) async fn run(args: Args) -> Result {
    let client = args.server.client().await?;
    let done = log_in(&args, &client).await;
    client.shutdown().await;
    done
}

async fn log_in(args: &Args, client: &CasClient) -> Result {
    if args.logout {
        client.logout().await?;
        return Ok(());
    }
    let account = if args.status {
        client.account().await?
    } else {
        let login = client.login();
        let login = if args.api_key {
            let mut key = String::new();
            std::io::stdin().read_to_string(&mut key)?;
            if key.trim().is_empty() {
                return Err(Failure::Usage(
                    "there is no key on standard input".to_owned(),
                ));
            }
            login.api_key(key.trim()).await?
        } else if args.browser {
            login.chatgpt().await?
        } else {
            login.device_code().await?
        };
        if let Some(url) = login.url() {
            let code = login.user_code().map(|code| format!(" and enter {code}"));
            complain(&format!("open {url}{}", code.unwrap_or_default()));
        }
        login.wait().await?
    };
    let name = match &account.account {
        Some(Account::Chatgpt(account)) => account
            .email
            .clone()
            .unwrap_or_else(|| "ChatGPT".to_owned()),
        Some(Account::ApiKey) => "an API key".to_owned(),
        Some(_) => "another kind of account".to_owned(),
        None => return Err("nobody is logged in, or the model provider needs no login".into()),
    };
    if args.json {
        json_line(&json!({"account": name, "userId": account.user_id}))
    } else {
        line(format_args!("logged in with {}", field(&name)))
    }
}
