//! Many agents, one real relay, and everything that can happen between them, in an order that a seed decides.
//!
//! `SKYTALE_SEED=7 cargo test -p skytale-client simulation` replays one schedule; `SKYTALE_SEEDS=10000` runs so many.

mod agent;
mod broken;
mod world;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use skytale_store::{MemoryStore, Store};

use broken::BrokenGate;
use world::World;

/// How many schedules one of the tests below runs, if nothing else is said.
const SEEDS: u64 = 125;

/// Runs a schedule to its end; panics where something does not hold.
fn run(seed: u64, gate: impl FnOnce(Arc<MemoryStore>) -> Arc<dyn Store>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let store = Arc::new(MemoryStore::new());
        let log = gate(store.clone());
        World::new(seed, log, store).await.run().await;
    });
}

fn run_all(part: u64) {
    if let Ok(seed) = std::env::var("SKYTALE_SEED") {
        if part == 0 {
            run(seed.parse().expect("SKYTALE_SEED is a number"), |store| store);
        }
        return;
    }
    let seeds = std::env::var("SKYTALE_SEEDS").map(|seeds| seeds.parse().expect("SKYTALE_SEEDS is a number"));
    let each = seeds.map_or(SEEDS, |seeds: u64| seeds.div_ceil(4));
    run_range(part * each..(part + 1) * each);
}

fn run_range(seeds: Range<u64>) {
    for seed in seeds {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(seed, |store| store))) {
            eprintln!("replay it: SKYTALE_SEED={seed} cargo test -p skytale-client simulation");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn schedules_first_quarter() {
    run_all(0);
}

#[test]
fn schedules_second_quarter() {
    run_all(1);
}

#[test]
fn schedules_third_quarter() {
    run_all(2);
}

#[test]
fn schedules_last_quarter() {
    run_all(3);
}

/// The simulation finds out when the relay takes two commits of one epoch.
#[test]
fn a_broken_gate_is_caught() {
    let broken = |seed| catch_unwind(AssertUnwindSafe(|| run(seed, |store| Arc::new(BrokenGate(store)))));
    let caught = (0..20).filter(|seed| broken(*seed).is_err()).count();
    assert!(caught >= 15, "only {caught} of 20 schedules noticed");
}
