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

/// Frames are made and dropped by the hundred thousand: with the system's allocator a delivery costs a tenth more.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(run(cli))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("skytale-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: cli::Cli) -> anyhow::Result<()> {
    let config = config::load(&cli)?;
    match cli.command {
        None => serve::run(config).await,
        Some(cli::Command::Token(wanted)) => token::print(&config, &wanted),
        Some(cli::Command::Archive(wanted)) => archive::print(&config, &wanted).await,
    }
}
