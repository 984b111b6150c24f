//! `cas login`: the account that turns are charged to.

use std::io::{self, IsTerminal as _};

use cas_sdk::{CasClient, protocol::Account};
use serde_json::json;

use crate::{
    input::piped,
    output::{Failure, Result, complain, field, json as json_line, line},
    server::{Server, close},
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
    let key = if args.api_key {
        Some(key().await?)
    } else {
        None
    };
    let client = args.server.client().await?;
    let done = log_in(&args, key, &client).await;
    close(&client).await;
    done
}

/// Reads the API key from a pipe: a typed key would be visible on the screen.
async fn key() -> Result<String> {
    if io::stdin().is_terminal() {
        let text = "--api-key reads the key from standard input, where it would be seen as it is typed: give it a file or a \
                    pipe, as in `cas login --api-key < key.txt`";
        return Err(Failure::Usage(text.to_owned()));
    }
    match piped().await?.trim() {
        "" => Err(Failure::Usage(
            "there is no key on standard input".to_owned(),
        )),
        key => Ok(key.to_owned()),
    }
}

async fn log_in(args: &Args, key: Option<String>, client: &CasClient) -> Result {
    if args.logout {
        client.logout().await?;
        return Ok(());
    }
    let account = if args.status {
        client.account().await?
    } else {
        let login = client.login();
        let login = if let Some(key) = key {
            login.api_key(key).await?
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
