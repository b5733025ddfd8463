//! Commits of those who are no members yet.

use std::sync::Arc;

use skytale_core::Verb;
use skytale_core::extension::{Code, Content, FetchGroupInfo, Submit};
use skytale_testing::mls::{COMMIT, PROPOSAL, private};
use skytale_testing::{RunningRelay, mls, tokens};

use crate::agent::{Native, channel, code, number, token};

fn with_external_commits(relay: skytale_relay::Relay) -> skytale_relay::Relay {
    relay.with_external_commits(skytale_relay::ExternalCommits::Accept)
}

#[tokio::test]
async fn external_commits_are_refused_by_default() {
    let relay = RunningRelay::start().await;
    let mut agent = Native::connect(&relay).await;
    let refused = agent.refused(mls::external_commit("g", 0, 1), 1, 0).await;
    assert_eq!(code(&refused), Code::NotPrivate);
    assert!(refused.text.contains("external commits"), "{}", refused.text);
}

#[tokio::test]
async fn an_external_commit_passes_the_gate_and_brings_what_any_commit_does() {
    let relay = RunningRelay::with(with_external_commits).await;
    let (mut member, mut joiner) = (Native::connect(&relay).await, Native::connect(&relay).await);
    member.resume(&channel(), None).await;
    member.accepted(private("g", 0, COMMIT, 1), 1).await;
    assert_eq!(code(&joiner.refused(mls::external_commit("g", 0, 2), 2, 0).await), Code::StaleEpoch);
    let brings = Submit { group_info: vec![7; 60].into(), ..Default::default() };
    let accepted = number(joiner.submit(mls::external_commit("g", 1, 3), 3, brings).await);
    assert_eq!((accepted, member.hear().await.sequence), (2, 1), "the member's own, then the joiner's");
    assert_eq!(member.hear().await.blob, mls::external_commit("g", 1, 3));
    let fetch = FetchGroupInfo { channel: channel().to_string() };
    let Content::GroupInfo(info) = member.control(Content::FetchGroupInfo(fetch)).await else {
        panic!("no GroupInfo")
    };
    assert_eq!((info.sequence, &info.group_info[..]), (2, &[7; 60][..]));
}

#[tokio::test]
async fn no_other_public_message_is_taken_with_external_commits() {
    let relay = RunningRelay::with(with_external_commits).await;
    let mut agent = Native::connect(&relay).await;
    let mut proposal = mls::external_commit("g", 0, 1).to_vec();
    proposal[14..17].copy_from_slice(&[3, 0, PROPOSAL]);
    for public in [mls::commit("g", 0, 1), mls::proposal("g", 0, 1), proposal.into()] {
        assert_eq!(code(&agent.refused(public, 1, 0).await), Code::NotPrivate);
    }
}

#[tokio::test]
async fn an_account_joins_a_channel_once_a_minute() {
    let relay = RunningRelay::with(with_external_commits).await;
    let mut joiner = Native::connect(&relay).await;
    assert_eq!(joiner.accepted(mls::external_commit("g", 0, 1), 1).await, 1);
    let refused = joiner.refused(mls::external_commit("g", 1, 2), 2, 1).await;
    assert_eq!(code(&refused), Code::Rate);
    assert!((50_000..=60_000).contains(&refused.retry_after_ms), "{}", refused.retry_after_ms);
    assert_eq!(joiner.accepted(mls::external_commit("g", 0, 1), 1).await, 1, "sent again");
    assert_eq!(joiner.accepted(private("g", 1, COMMIT, 2), 3).await, 2, "as a member");
}

#[tokio::test]
async fn an_external_commit_needs_the_permission_to_join() {
    let store = Arc::new(skytale_store::MemoryStore::new());
    let relay =
        RunningRelay::assembled(store, tokens::authenticator(), with_external_commits, |listener| listener)
            .await;
    let mut stranger =
        Native::with_token(&relay, &token(&[Verb::Publish, Verb::Subscribe, Verb::Commit])).await;
    let refused = stranger.refused(mls::external_commit("g", 0, 1), 1, 0).await;
    assert_eq!(code(&refused), Code::NotAuthorized);
    assert!(refused.text.contains("join"), "{}", refused.text);
    let mut joiner = Native::with_token(&relay, &token(&[Verb::Join])).await;
    joiner.accepted(mls::external_commit("g", 0, 1), 1).await;
    assert_eq!(code(&joiner.refused(private("g", 1, COMMIT, 1), 2, 1).await), Code::NotAuthorized);
}
