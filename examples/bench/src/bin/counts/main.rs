//! Does a fixed amount of one part's work, for tools that count instructions.
//!
//! `valgrind --tool=callgrind --toggle-collect='counts::measured*' counts codec 1000` counts 1,000 operations, without what
//! comes before them.

mod agents;
mod codec;
mod relay;

use clap::{Parser, ValueEnum};
use tokio::runtime::Builder;

use agents::Group;
use codec::Codec;
use relay::Sessions;

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

/// How many operations come first, which do not count.
const WARM_UP: u32 = 128;

fn main() -> anyhow::Result<()> {
    let Args { part, operations } = Args::parse();
    // All tasks on this thread, whose instructions are counted.
    let runtime = Builder::new_current_thread().enable_all().build()?;
    match part {
        Part::Codec => {
            let mut codec = Codec::new();
            count(operations, |operations| codec.run(operations))
        }
        Part::Sequencer | Part::Outbox => {
            let subscribers = if matches!(part, Part::Outbox) { 8 } else { 0 };
            let mut sessions = runtime.block_on(Sessions::open(subscribers))?;
            count(operations, |operations| runtime.block_on(sessions.run(operations)))
        }
        Part::Send | Part::Receive => {
            let members = if matches!(part, Part::Receive) { 2 } else { 1 };
            let mut group = runtime.block_on(Group::gather(members))?;
            count(operations, |operations| runtime.block_on(group.run(operations)))
        }
    }
}

fn count(operations: u32, mut work: impl FnMut(u32) -> anyhow::Result<()>) -> anyhow::Result<()> {
    work(WARM_UP)?;
    measured(&mut || work(operations))
}

/// Does what is counted; by this name it is found.
#[inline(never)]
fn measured(work: &mut dyn FnMut() -> anyhow::Result<()>) -> anyhow::Result<()> {
    work()
}
