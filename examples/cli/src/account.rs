//! The account, its tokens and its use.

use std::io::{BufRead, Read};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::api::Api;
use crate::cli::{AccountCommand, Login, Place, Signup};
use crate::home::{Credentials, Home};
use crate::output::{Output, field};

pub async fn signup(home: &Home, out: Output, wanted: Signup) -> Result<()> {
    let free = !home.file().exists();
    ensure!(free, "{} has credentials already: choose another --home", home.file().display());
    let body = json!({ "email": wanted.email, "name": wanted.name });
    let mut created = Api::new(&wanted.place.api, None).post("/v1/accounts", &body).await?;
    let key = created["api_key"].take();
    let key = key.as_str().context("the API server gave no key")?;
    keep(home, wanted.place, key)?;
    let place = home.file().display().to_string();
    out.print(&created["account"], |account| {
        let (id, name) = (field(account, "id"), field(account, "name"));
        format!("account {id} ({name}); its API key is kept in {place}")
    });
    Ok(())
}

/// Reads the key from standard input, so that it shows in no list of processes.
pub async fn login(home: &Home, out: Output, wanted: Login) -> Result<()> {
    out.progress("paste an API key, and press Enter:");
    let mut key = String::new();
    std::io::stdin().lock().take(1024).read_line(&mut key)?;
    let account = Api::new(&wanted.place.api, Some(key.trim())).get("/v1/accounts/me").await?;
    keep(home, wanted.place, key.trim())?;
    let place = home.file().display().to_string();
    out.print(&account, |account| format!("account {}; the key is kept in {place}", field(account, "id")));
    Ok(())
}

fn keep(home: &Home, place: Place, key: &str) -> Result<()> {
    let Place { api, relay, trust, agent } = place;
    let trust = trust.map(|path| std::path::absolute(&path)).transpose()?;
    home.save(&Credentials { api, api_key: key.to_owned(), relay, agent, trust })
}

pub async fn run(home: &Home, out: Output, command: AccountCommand) -> Result<()> {
    let api = Api::with(&home.load()?);
    match command {
        AccountCommand::Show => out.print(&api.get("/v1/accounts/me").await?, describe),
        AccountCommand::Rename { name } => {
            out.print(&api.patch("/v1/accounts/me", &json!({ "name": name })).await?, describe);
        }
        AccountCommand::Close { yes } => {
            ensure!(yes, "this cannot be undone: say --yes to close the account");
            api.delete("/v1/accounts/me").await?;
            out.print(&json!({ "status": "closed" }), |_| "the account is closed".to_owned());
        }
    }
    Ok(())
}

fn describe(account: &Value) -> String {
    let [id, name, email, plan] = ["id", "name", "email", "plan_tier"].map(|name| field(account, name));
    format!("{id}  {name}  {email}  plan {plan}")
}

pub async fn token(home: &Home, out: Output) -> Result<()> {
    let answer = Api::with(&home.load()?).ask("/v1/tokens").await?;
    out.print(&answer, |answer| field(answer, "token").to_owned());
    Ok(())
}

pub async fn usage(home: &Home, out: Output, month: Option<String>) -> Result<()> {
    let query = month.map(|month| format!("?month={month}")).unwrap_or_default();
    let usage = Api::with(&home.load()?).get(&format!("/v1/usage{query}")).await?;
    out.print(&usage, |usage| {
        let limit = match usage["limits"]["messages_per_month"].as_u64() {
            Some(limit) => format!(" of {limit}"),
            None => String::new(),
        };
        format!(
            "{}: {} messages{limit}, {} bytes, {} tokens; begins again on {}",
            field(usage, "period"),
            usage["messages_relayed"],
            usage["bytes_relayed"],
            usage["token_exchanges"],
            field(usage, "resets_on"),
        )
    });
    Ok(())
}
