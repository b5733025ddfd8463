//! How many proposals an epoch has.

use skytale_core::extension::{self, Code, Content, Extension, Submit};
use skytale_testing::mls::{APPLICATION, COMMIT, PROPOSAL, private};
use skytale_testing::{RunningRelay, limited};

use crate::agent::{Native, by_token, channel, code};

#[tokio::test]
async fn an_epoch_has_so_many_proposals_and_an_account_so_many_of_them() {
    let limits = limited(|limits| (limits.proposals_per_epoch, limits.proposals_per_principal) = (3, 2));
    let relay = by_token(limits).await;
    let mut one = Native::with_token(&relay, "one").await;
    let (mut other, mut third) =
        (Native::with_token(&relay, "other").await, Native::with_token(&relay, "third").await);
    one.accepted(private("g", 0, PROPOSAL, 1), 1).await;
    one.accepted(private("g", 0, PROPOSAL, 2), 2).await;
    let refused = one.refused(private("g", 0, PROPOSAL, 3), 3, 2).await;
    assert_eq!(code(&refused), Code::ProposalLimit);
    assert!(refused.text.contains("at most 3 proposals, 2 of one account"), "{}", refused.text);
    assert_eq!(one.accepted(private("g", 0, PROPOSAL, 2), 2).await, 2, "sent again");
    assert_eq!(one.accepted(private("g", 0, APPLICATION, 2), 4).await, 3, "no proposal");
    other.accepted(private("g", 0, PROPOSAL, 4), 5).await;
    assert_eq!(code(&third.refused(private("g", 0, PROPOSAL, 5), 6, 4).await), Code::ProposalLimit);
    third.accepted(private("g", 0, COMMIT, 6), 7).await;
    for id in [8, 9] {
        one.accepted(private("g", 1, PROPOSAL, id), id).await;
    }
    assert_eq!(code(&one.refused(private("g", 0, PROPOSAL, 1), 10, 7).await), Code::StaleEpoch);
    assert_eq!(code(&one.refused(private("g", 1, PROPOSAL, 1), 11, 7).await), Code::ProposalLimit);
}

#[tokio::test]
async fn proposals_that_come_together_are_counted_and_answered_each() {
    let relay = RunningRelay::start().await;
    let mut agent = Native::connect(&relay).await;
    let mut requests = Vec::new();
    for id in 1..=20 {
        let content = if id % 4 == 0 { APPLICATION } else { PROPOSAL };
        let frame =
            |extension: Extension| extension::message(&channel(), private("g", 0, content, id), &extension);
        requests.push((content, agent.request(frame, Content::Submit(Submit::default()), [id; 16]).await));
    }
    let (mut archived, mut refused) = (0, 0);
    let mut answers = std::collections::HashMap::new();
    while answers.len() < requests.len() {
        let (_, extension) = agent.frame().await;
        answers.insert(extension.request, extension.content.expect("an answer"));
    }
    for (content, request) in requests {
        match &answers[&request] {
            Content::Accepted(_) => archived += u32::from(content == PROPOSAL),
            Content::Refused(why) => {
                assert_eq!((code(why), content), (Code::ProposalLimit, PROPOSAL));
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((archived, refused), (8, 7));
    assert_eq!(relay.archived(["org", "ns", "native"]).await.len(), 13);
}
