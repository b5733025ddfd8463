//! The reference Skytale server.

mod api;
mod archive;
mod certificate;
mod cli;
mod config;
mod http;
mod https;
mod kept;
mod logging;
mod metered;
mod quic;
mod ready;
mod secret;
mod serve;
mod span;
mod stop;
mod storage;
mod summary;
mod token;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};
use crate::config::Config;

/// Frames are made and dropped by the hundred thousand: with the system's allocator a delivery costs a tenth more.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(run(cli))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("skytale-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    match &cli.command {
        None => serve::run(load(&cli)?).await,
        Some(Command::Token(wanted)) => token::print(&load(&cli)?, wanted),
        Some(Command::Archive(wanted)) => archive::print(&load(&cli)?, wanted).await,
        Some(Command::Settings) => {
            print!("{}", config::markdown::table());
            Ok(())
        }
    }
}

fn load(cli: &Cli) -> anyhow::Result<Config> {
    let config = Config::load(cli.config.as_deref(), &cli.flags);
    // A server that starts warns in its log.
    if config.is_err() || cli.command.is_some() {
        for variable in config::unknown_variables() {
            eprintln!("skytale-server: {variable}");
        }
    }
    config
}
