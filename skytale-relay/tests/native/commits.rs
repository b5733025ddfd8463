//! The epoch gate: who wins, what losers learn, and whose turn it is.

use std::sync::Arc;

use skytale_core::extension::{AddressedWelcome, Code, Content, FetchWelcomes, Submit};
use skytale_core::{Envelope, FrameLimits, Verb};
use skytale_store::{KeyPackageDirectory, SqlOptions, SqlStore, Store};
use skytale_testing::mls::{APPLICATION, COMMIT, PROPOSAL, private};
use skytale_testing::{RunningRelay, mls, tokens};

use crate::agent::{Native, channel, code, token};

#[tokio::test]
async fn the_first_commit_of_an_epoch_wins_and_the_loser_learns_what_it_missed() {
    let relay = RunningRelay::start().await;
    let (mut first, mut second) = (Native::connect(&relay).await, Native::connect(&relay).await);
    assert_eq!(first.accepted(private("g", 0, COMMIT, 1), 1).await, 1);
    assert_eq!(first.accepted(private("g", 1, APPLICATION, 1), 2).await, 2);
    let refused = second.refused(private("g", 0, COMMIT, 9), 9, 0).await;
    assert_eq!((code(&refused), refused.epoch, refused.winner, refused.last), (Code::StaleEpoch, 1, 1, 2));
    let missed: Vec<_> = refused.missed.iter().map(|missed| missed.sequence).collect();
    assert_eq!((missed, refused.more), (vec![1, 2], false));
    let winner = Envelope::parse_first(refused.missed[0].frame.clone(), &FrameLimits::default());
    assert_eq!(winner.expect("parses").app_payload().expect("payload").blob, private("g", 0, COMMIT, 1));
    assert_eq!(
        second.refused(private("g", 0, COMMIT, 9), 9, 1).await.missed.len(),
        1,
        "after what it applied"
    );
    assert_eq!(second.accepted(private("g", 1, COMMIT, 9), 10).await, 3, "made again on the new epoch");
}

/// Commits in a loop until there are so many commits in all, and returns how many were its own.
async fn commit_again_and_again(mut member: Native, who: u8, total: u64) -> u64 {
    let (mut epoch, mut own, mut tries) = (0, 0, 0u64);
    while epoch < total {
        tries += 1;
        let mut id = [who; 16];
        id[8..].copy_from_slice(&tries.to_be_bytes());
        let until = match member.commit(epoch, id).await {
            Content::Accepted(accepted) => {
                own += u64::from(accepted.sequence <= total);
                accepted.sequence
            }
            Content::Refused(refused) if code(&refused) == Code::StaleEpoch => refused.epoch,
            Content::Refused(refused) => {
                assert_eq!(code(&refused), Code::NotYourTurn);
                assert!((1..=2_000).contains(&refused.retry_after_ms), "{}", refused.retry_after_ms);
                epoch + 1
            }
            other => panic!("{other:?}"),
        };
        while epoch < until {
            epoch = member.hear().await.sequence;
        }
    }
    own
}

#[tokio::test]
async fn every_member_that_wants_to_commit_gets_its_turn() {
    const MEMBERS: u8 = 8;
    const EACH: u64 = 25;
    let relay = RunningRelay::alone().await;
    let mut members = Vec::new();
    for who in 1..=MEMBERS {
        let mut member = Native::connect(&relay).await;
        member.resume(&channel(), None).await;
        members.push(commit_again_and_again(member, who, u64::from(MEMBERS) * EACH));
    }
    let own = futures::future::join_all(members).await;
    assert_eq!(own.iter().sum::<u64>(), u64::from(MEMBERS) * EACH);
    assert!(own.iter().all(|own| *own >= EACH - 1), "{own:?}");
}

#[tokio::test]
async fn a_losers_turn_holds_up_others_but_no_repetition_and_ends_with_its_session() {
    let relay = RunningRelay::alone().await;
    let (mut winner, mut loser) = (Native::connect(&relay).await, Native::connect(&relay).await);
    winner.accepted(private("g", 0, COMMIT, 1), 1).await;
    assert_eq!(code(&loser.refused(private("g", 0, COMMIT, 9), 9, 0).await), Code::StaleEpoch);
    let refused = winner.refused(private("g", 1, COMMIT, 1), 2, 1).await;
    assert_eq!((code(&refused), refused.epoch, refused.winner, refused.last), (Code::NotYourTurn, 1, 1, 1));
    assert_eq!(winner.accepted(private("g", 0, COMMIT, 1), 1).await, 1, "sent again");
    winner.accepted(private("g", 1, APPLICATION, 1), 3).await;
    assert_eq!(loser.accepted(private("g", 1, COMMIT, 9), 10).await, 3);
    assert_eq!(winner.accepted(private("g", 2, COMMIT, 1), 4).await, 4, "its own turn now");

    assert_eq!(code(&loser.refused(private("g", 2, COMMIT, 9), 11, 4).await), Code::StaleEpoch);
    assert_eq!(code(&winner.refused(private("g", 3, COMMIT, 1), 5, 4).await), Code::NotYourTurn);
    drop(loser);
    let in_time = async { while !matches!(winner.commit(3, [6; 16]).await, Content::Accepted(_)) {} };
    tokio::time::timeout(std::time::Duration::from_millis(1_500), in_time)
        .await
        .expect("before the lease ends");
}

#[tokio::test]
async fn a_member_that_commits_alone_is_never_held_up() {
    let relay = RunningRelay::start().await;
    let mut member = Native::connect(&relay).await;
    member.accepted(private("g", 0, COMMIT, 1), 1).await;
    assert_eq!(code(&member.refused(private("g", 0, COMMIT, 2), 2, 1).await), Code::StaleEpoch);
    for epoch in 1..50 {
        assert!(matches!(member.commit(epoch, [epoch as u8 + 2; 16]).await, Content::Accepted(_)));
    }
}

#[tokio::test]
async fn what_was_missed_is_inlined_up_to_a_bound() {
    let relay = RunningRelay::start().await;
    let mut agent = Native::connect(&relay).await;
    agent.accepted(private("g", 0, COMMIT, 1), 1).await;
    for id in 2..6 {
        let long = [private("g", 1, APPLICATION, id), vec![0; 30_000].into()].concat();
        agent.accepted(long.into(), id).await;
    }
    let refused = agent.refused(private("g", 0, COMMIT, 9), 9, 0).await;
    assert!(refused.missed.len() == 3 && refused.more, "{} missed", refused.missed.len());
}

#[tokio::test]
async fn what_was_missed_is_told_only_to_who_may_read_the_channel() {
    let store = Arc::new(skytale_store::MemoryStore::new());
    let relay =
        RunningRelay::assembled(store, tokens::authenticator(), |relay| relay, |listener| listener).await;
    let mut member = Native::with_token(&relay, &token(&Verb::ALL)).await;
    member.accepted(private("g", 0, COMMIT, 1), 1).await;
    for (verbs, missed) in [(&[Verb::Commit, Verb::Subscribe][..], 1), (&[Verb::Commit], 0)] {
        let mut loser = Native::with_token(&relay, &token(verbs)).await;
        let refused = loser.refused(private("g", 0, COMMIT, 9), 9, 0).await;
        assert_eq!((code(&refused), refused.epoch, refused.winner), (Code::StaleEpoch, 1, 1));
        assert_eq!(refused.missed.len(), missed, "{verbs:?}");
    }
}

#[tokio::test]
async fn a_message_of_a_past_epoch_is_refused_and_one_of_a_future_epoch_too() {
    let relay = RunningRelay::start().await;
    let mut agent = Native::connect(&relay).await;
    agent.accepted(private("g", 0, COMMIT, 1), 1).await;
    for content in [APPLICATION, PROPOSAL] {
        let stale = agent.refused(private("g", 0, content, 2), 2, 1).await;
        assert_eq!((code(&stale), stale.epoch), (Code::StaleEpoch, 1));
        assert_eq!(code(&agent.refused(private("g", 2, content, 3), 3, 1).await), Code::FutureEpoch);
        agent.accepted(private("g", 1, content, content), 10 + content).await;
    }
}

#[tokio::test]
async fn a_channel_belongs_to_the_group_of_its_first_commit() {
    let relay = RunningRelay::start().await;
    let (mut first, mut second) = (Native::connect(&relay).await, Native::connect(&relay).await);
    first.accepted(private("one", 0, COMMIT, 1), 1).await;
    for content in [APPLICATION, COMMIT] {
        let refused = second.refused(private("two", 0, content, 2), 2 + content, 0).await;
        assert_eq!(code(&refused), Code::WrongGroup);
    }
}

#[tokio::test]
async fn public_messages_and_what_is_no_mls_are_refused() {
    let relay = RunningRelay::start().await;
    let mut agent = Native::connect(&relay).await;
    assert_eq!(code(&agent.refused(mls::commit("g", 0, 1), 1, 0).await), Code::NotPrivate);
    assert_eq!(code(&agent.refused("plain text".into(), 1, 0).await), Code::NotMls);
    agent.accepted(private("g", 0, APPLICATION, 1), 1).await;
}

#[tokio::test]
async fn lenient_epochs_let_late_messages_in_but_no_late_proposals() {
    let lenient = |relay: skytale_relay::Relay| relay.with_epochs(skytale_relay::EpochPolicy::Lenient);
    let relay = RunningRelay::with(lenient).await;
    let mut agent = Native::connect(&relay).await;
    for epoch in 0..5 {
        agent.accepted(private("g", epoch, COMMIT, 1), epoch as u8 + 1).await;
    }
    for (epoch, id) in [(2, 10), (5, 11), (3, 12), (4, 13)] {
        agent.accepted(private("g", epoch, APPLICATION, 2), id).await;
    }
    let stale = agent.refused(private("g", 1, APPLICATION, 2), 20, 9).await;
    assert_eq!((code(&stale), stale.epoch), (Code::StaleEpoch, 5));
    assert_eq!(code(&agent.refused(private("g", 6, APPLICATION, 2), 21, 9).await), Code::FutureEpoch);
    assert_eq!(code(&agent.refused(private("other", 5, APPLICATION, 2), 22, 9).await), Code::WrongGroup);
    assert_eq!(code(&agent.refused(private("g", 4, PROPOSAL, 2), 23, 9).await), Code::StaleEpoch);
}

#[tokio::test]
async fn what_a_commit_brings_is_not_archived() {
    let relay = RunningRelay::start().await;
    let mut adder = Native::connect(&relay).await;
    let welcomes = vec![AddressedWelcome { agent: "org/ns/x".to_owned(), welcome: vec![0xEE; 500].into() }];
    adder.submit(private("g", 0, COMMIT, 1), 1, Submit { welcomes, ..Default::default() }).await;
    let archived = relay.archived(["org", "ns", "native"]).await;
    assert_eq!(archived.len(), 1);
    assert!(!archived[0].body.windows(10).any(|bytes| bytes == [0xEE; 10]));
}

#[tokio::test]
async fn the_gate_and_the_directory_outlive_the_relay_on_sqlite() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("archive.db");
    let start = || async {
        let store = SqlStore::open_sqlite(&path, SqlOptions::default()).await.expect("open");
        let store = Arc::new(store);
        let shelves: Arc<dyn KeyPackageDirectory> = store.clone();
        let allow = skytale_relay::AllowAnyone;
        let log: Arc<dyn Store> = store;
        RunningRelay::assembled(log, allow, |relay| relay.with_directory(shelves), |listener| listener).await
    };
    let relay = start().await;
    let mut agent = Native::connect(&relay).await;
    let welcomes = vec![AddressedWelcome { agent: "org/ns/x".to_owned(), welcome: vec![1; 9].into() }];
    agent.submit(private("g", 0, COMMIT, 1), 1, Submit { welcomes, ..Default::default() }).await;
    drop(agent);
    relay.stop().await;
    let relay = start().await;
    let mut agent = Native::connect(&relay).await;
    assert_eq!(code(&agent.refused(private("g", 0, COMMIT, 2), 2, 1).await), Code::StaleEpoch);
    assert_eq!(agent.accepted(private("g", 0, COMMIT, 1), 1).await, 1, "sent again");
    let fetch = FetchWelcomes { agent: "org/ns/x".to_owned(), skip: 0 };
    let Content::Welcomes(waiting) = agent.control(Content::FetchWelcomes(fetch)).await else {
        panic!("no list")
    };
    assert_eq!(waiting.welcomes.len(), 1);
}
