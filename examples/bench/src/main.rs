//! Measures a node that speaks SLIM's wire, dialect 3, over gRPC, or a relay's native frames over QUIC: how much it
//! delivers, how fast, and what that costs.
//!
//! `skytale-bench --endpoint 127.0.0.1:5000 --pid $(pidof skytale-server) window` is one publisher and one subscriber with
//! 256 messages on the way at any time; `--help` lists the other loads.

mod args;
mod connection;
mod idle;
mod load;
mod message;
mod nats;
mod report;
mod run;
mod tally;

use clap::Parser;

use args::{Args, Mode};

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let output = runtime.block_on(async {
        match args.mode {
            Mode::Idle { connections, hold } => {
                Ok(idle::measure(&args.node, connections, hold).await?.show(args.json))
            }
            Mode::Window { window, ref load } => run::measure(&args.node, load, load::Pace::Window(window))
                .await
                .map(|report| report.show(args.json)),
            Mode::Nats { window, kept, ref load } => {
                Ok(nats::measure(&args.node, load, window, kept).await?.show(args.json))
            }
            Mode::Rate { rate, ref load } => run::measure(&args.node, load, load::Pace::Rate(rate))
                .await
                .map(|report| report.show(args.json)),
        }
    });
    println!("{}", output?);
    // Streams of subscribers that stopped reading never end by themselves.
    std::process::exit(0)
}
