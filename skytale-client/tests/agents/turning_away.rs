//! Callers that turn away, and channels that are closed one by one.

use std::time::Duration;

use futures::poll;
use skytale_client::{Client, Error, LocalRelay};

const ROOM: &str = "acme/research/room";
const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_channel_whose_creation_was_given_up_is_founded_all_the_same() {
    let alice = LocalRelay::start().agent("acme/agents/alice").start().await.expect("starts");
    let mut creating = Box::pin(alice.create_channel(ROOM));
    assert!(poll!(&mut creating).is_pending());
    drop(creating);
    let room = alice.open_channel(ROOM).await.expect("it is there");
    assert_eq!(room.send("hello").await.expect("sent"), 2);
}

#[tokio::test]
async fn a_creation_that_no_relay_answers_holds_up_nothing_else() {
    let alice = Client::builder("acme/agents/alice", "grpc://127.0.0.1:9").start().await.expect("starts");
    let (first, second) = (alice.create_channel(ROOM), alice.create_channel("acme/research/other"));
    let (mut first, mut second) = (Box::pin(first), Box::pin(second));
    assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending());
    tokio::time::timeout(SOON, alice.clone().close()).await.expect("closing waits for no relay");
    assert!(matches!(first.await, Err(Error::Closed)));
    assert!(matches!(second.await, Err(Error::Closed)));
}

#[tokio::test]
async fn a_channel_is_closed_and_opened_again() {
    let alice = LocalRelay::start().agent("acme/agents/alice").start().await.expect("starts");
    let room = alice.create_channel(ROOM).await.expect("created");
    alice.close_channel(ROOM).await.expect("closed");
    assert!(matches!(room.send("too late").await, Err(Error::Closed)));
    alice.close_channel("acme/research/unknown").await.expect("nothing to do");
    let again = alice.open_channel(ROOM).await.expect("opened");
    assert_eq!(again.send("in time").await.expect("sent"), 2);
}
