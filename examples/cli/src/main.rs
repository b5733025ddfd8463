//! A command line for Skytale.

mod account;
mod agent;
mod api;
mod channel;
mod cli;
mod home;
mod keys;
mod output;
mod talk;

use std::process::ExitCode;

use clap::Parser;
use cli::{Cli, Command};

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("skytale: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let (home, out) = (home::Home::open(cli.home)?, output::Output::new(cli.json));
    match cli.command {
        Command::Signup(wanted) => account::signup(&home, out, wanted).await,
        Command::Login(wanted) => account::login(&home, out, wanted).await,
        Command::Account { command } => account::run(&home, out, command).await,
        Command::Keys { command } => keys::run(&home, out, command).await,
        Command::Token => account::token(&home, out).await,
        Command::Usage { month } => account::usage(&home, out, month).await,
        Command::Channel { command } => channel::run(&home, out, command).await,
        Command::Send(wanted) => talk::send(&home, out, wanted).await,
        Command::Receive(wanted) => talk::receive(&home, out, wanted).await,
    }
}
