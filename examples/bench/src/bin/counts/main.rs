//! Does a fixed amount of one part's work, for tools that count instructions.
//!
//! `valgrind --tool=callgrind counts codec 1000`: between 1,000 and 2,000 operations lie those of 1,000, without the start.

mod agents;
mod codec;
mod relay;

use clap::{Parser, ValueEnum};

/// Does a number of operations of one part.
#[derive(Debug, Parser)]
struct Args {
    part: Part,
    operations: u32,
}

/// The part whose work is done.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Part {
    /// A SLIM and a native message are read and written.
    Codec,
    /// A message is submitted, numbered, archived in memory, and acknowledged.
    Sequencer,
    /// The same, and it is delivered to eight subscribers.
    Outbox,
    /// An agent that is alone in its group sends a message, to a relay in memory.
    Send,
    /// The same, and another agent hears it.
    Receive,
}

fn main() -> anyhow::Result<()> {
    let Args { part, operations } = Args::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match part {
            Part::Codec => codec::run(operations),
            Part::Sequencer => relay::run(operations, 0).await,
            Part::Outbox => relay::run(operations, 8).await,
            Part::Send => agents::run(operations, 1).await,
            Part::Receive => agents::run(operations, 2).await,
        }
    })
}
