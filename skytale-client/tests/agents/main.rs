//! Agents and real relays, over real sockets.
//!
//! One program, since each that contains openmls takes a minute to compile. Tests that measure or observe their whole process
//! are programs of their own.

mod channels;
mod contention;
mod crash;
mod credentials;
mod disk;
mod failing_storage;
mod key_packages;
mod lying_relay;
mod network;
mod rejoin;
mod relay_killed;
mod room;
mod storm;
mod turning_away;
mod vectors;

use skytale_testing::RelayProcess;

/// Serves as the relay that a test kills; a test of its own only by name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_relay() {
    RelayProcess::serve().await;
}
