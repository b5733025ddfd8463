//! Groups of which some members run this crate, on openmls, and others mls-rs: what one library says the other understands,
//! and all agree on every epoch.
//!
//! `SKYTALE_SEED=7 cargo test -p skytale-client agreement` replays one sequence; `SKYTALE_SEQUENCES=10000` runs so many. A
//! seed decides what happens and to whom, not the keys.

mod ours;
mod party;
mod theirs;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::commit::Plan;
use party::{Made, Party, Proposal};
use world::{Proposals, World};

/// How many sequences all the tests below run, if nothing else is said.
const SEQUENCES: u64 = 500;

/// A fourth of the sequences; half of those are ones in which proposals are sent on their own.
fn run_quarter(part: u64) {
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse().expect("a number"));
    if let Some(seed) = number("SKYTALE_SEED") {
        if part == 0 {
            run(seed);
        }
        return;
    }
    let each = number("SKYTALE_SEQUENCES").unwrap_or(SEQUENCES).div_ceil(4);
    for seed in part * each..(part + 1) * each {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(seed))) {
            eprintln!("replay it: SKYTALE_SEED={seed} cargo test -p skytale-client agreement");
            std::panic::resume_unwind(panic);
        }
    }
}

fn run(seed: u64) {
    let proposals = if seed.is_multiple_of(2) { Proposals::WithinCommits } else { Proposals::BeforeCommits };
    World::new(seed, proposals).run();
}

#[test]
fn sequences_first_quarter() {
    run_quarter(0);
}

#[test]
fn sequences_second_quarter() {
    run_quarter(1);
}

#[test]
fn sequences_third_quarter() {
    run_quarter(2);
}

#[test]
fn sequences_last_quarter() {
    run_quarter(3);
}

/// mls-rs lets anybody in who has the GroupInfo; channels let in only those who replace a leaf of their own.
#[test]
fn a_stranger_with_the_group_info_is_let_in_by_nobody_of_ours() {
    let mut founder = ours::party("acme/agents/founder");
    let built = founder.create();
    let mut stranger = theirs::party("acme/agents/stranger");
    let commit = stranger.enter(&built, None).commit;
    let before = founder.view();
    assert!(founder.refuses(&commit));
    assert_eq!(founder.view(), before);
}

/// Proposals that nobody commits, of a member that runs something else, neither keep channels' agents from speaking nor
/// get into their commits.
#[test]
fn a_flood_of_proposals_keeps_nobody_of_ours_from_speaking() {
    let mut founder = ours::party("acme/agents/founder");
    founder.create();
    let mut flooding = theirs::party("acme/agents/flooding");
    add(&mut founder, &mut flooding);
    for number in 0..64_u8 {
        let removal = Proposal::Remove(founder.leaf());
        let proposal = flooding.propose(if number % 2 == 0 { &Proposal::Update } else { &removal });
        founder.overhears(&proposal);
        assert_eq!(flooding.hear(&founder.say(&[number])), Some((founder.name().to_owned(), vec![number])));
    }
    let commit = founder.commit(&Plan::default()).commit;
    founder.accepted();
    flooding.follow(&commit);
    assert_eq!(flooding.view(), founder.view());
}

/// Who has made no commit yet has the leaf of its key package, which may have expired since.
#[test]
fn a_member_whose_key_package_has_expired_keeps_nobody_out() {
    let mut founder = theirs::party("acme/agents/founder");
    founder.create();
    let mut silent = theirs::party_for("acme/agents/silent", Duration::ZERO);
    add(&mut founder, &mut silent);
    let mut newcomer = ours::party("acme/agents/newcomer");
    let made = add(&mut founder, &mut newcomer);
    assert_eq!(newcomer.view(), founder.view());
    let leaf = newcomer.leaf();
    let commit = newcomer.enter(&made.group_info, Some(leaf)).commit;
    founder.follow(&commit);
    assert_eq!(newcomer.view(), founder.view());
}

fn add(founder: &mut Box<dyn Party>, joins: &mut Box<dyn Party>) -> Made {
    let adds = vec![(joins.name().to_owned(), joins.key_package())];
    let made = founder.commit(&Plan { adds, ..Plan::default() });
    founder.accepted();
    joins.join(made.welcome.as_ref().expect("a Welcome"));
    made
}
