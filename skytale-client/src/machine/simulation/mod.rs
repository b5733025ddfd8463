//! Many agents, one real relay, and everything that can happen between them, in an order that a seed decides.
//!
//! `SKYTALE_SEED=7 cargo test -p skytale-client simulation` replays one schedule; `SKYTALE_SEEDS=10000` runs so many.

mod agent;
mod changes;
mod world;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use skytale_store::{MemoryStore, Precondition, Store};
use skytale_testing::hooked_store::{Append, HookedStore};

use world::{Members, World};

/// How many schedules all parts of a test run together, if nothing else is said.
const SEEDS: u64 = 500;

/// Of how many schedules one has members that come and go: it takes ten times as long.
const ONE_IN: u64 = 10;

/// Runs a schedule to its end; panics where something does not hold.
fn run(seed: u64, members: Members, gate: impl FnOnce(Arc<MemoryStore>) -> Arc<dyn Store>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let store = Arc::new(MemoryStore::new());
        let log = gate(store.clone());
        World::new(seed, members, log, store).await.run().await;
    });
}

/// Runs one of so many parts of all schedules.
fn run_all(members: Members, part: u64, parts: u64) {
    if let Ok(seed) = std::env::var("SKYTALE_SEED") {
        if part == 0 {
            run(seed.parse().expect("SKYTALE_SEED is a number"), members, |store| store);
        }
        return;
    }
    let seeds = std::env::var("SKYTALE_SEEDS").map(|seeds| seeds.parse().expect("SKYTALE_SEEDS is a number"));
    let share = if members == Members::Stay { parts } else { parts * ONE_IN };
    let each = seeds.unwrap_or(SEEDS).div_ceil(share);
    run_range(members, part * each..(part + 1) * each);
}

fn run_range(members: Members, seeds: Range<u64>) {
    for seed in seeds {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(seed, members, |store| store))) {
            eprintln!("replay it: SKYTALE_SEED={seed} cargo test -p skytale-client simulation");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn schedules_first_quarter() {
    run_all(Members::Stay, 0, 4);
}

#[test]
fn schedules_second_quarter() {
    run_all(Members::Stay, 1, 4);
}

#[test]
fn schedules_third_quarter() {
    run_all(Members::Stay, 2, 4);
}

#[test]
fn schedules_last_quarter() {
    run_all(Members::Stay, 3, 4);
}

#[test]
fn schedules_with_comings_and_goings_first_half() {
    run_all(Members::ComeAndGo, 0, 2);
}

#[test]
fn schedules_with_comings_and_goings_second_half() {
    run_all(Members::ComeAndGo, 1, 2);
}

/// Makes a log whose gate is broken: it takes every commit.
fn broken_gate(store: Arc<MemoryStore>) -> Arc<dyn Store> {
    let store = HookedStore::<MemoryStore>::new(store).on_append(|append, next| async move {
        next.append(Append { precondition: Precondition::Any, ..append }).await
    });
    Arc::new(store)
}

/// The simulation finds out when the relay takes two commits of one epoch.
#[test]
fn a_broken_gate_is_caught() {
    let broken = |seed| {
        let run = || run(seed, Members::Stay, |store| broken_gate(store));
        catch_unwind(AssertUnwindSafe(run))
    };
    let caught = (0..20).filter(|seed| broken(*seed).is_err()).count();
    assert!(caught >= 15, "only {caught} of 20 schedules noticed");
}
