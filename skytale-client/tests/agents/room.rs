//! What is limited: streams of a connection, messages that wait, key packages that are claimed.

use std::time::Duration;

use skytale_relay::AllowAnyone;
use skytale_testing::edge::{By, Edge, ROOM, add, gather, hear};

const ALICE: &str = "acme/agents/alice";
const BOB: &str = "globex/agents/bob";

/// An agent takes as many connections as its channels need.
#[tokio::test]
async fn an_agent_has_more_channels_than_a_connection_has_streams() {
    const STREAMS: u32 = 8;
    for by in [By::Quic, By::Grpc] {
        let edge = Edge::with_streams(STREAMS).await;
        let alice = edge.agent(ALICE, by).start().await.expect("starts");
        let bob = edge.agent(BOB, by).start().await.expect("starts");
        let mut rooms = Vec::new();
        for number in 0..STREAMS + 4 {
            let room = alice.create_channel(&format!("acme/research/room{number}")).await;
            rooms.push(room.unwrap_or_else(|error| panic!("{by:?}, {number}: {error}")));
        }
        let (first, last) = (&rooms[0], rooms.last().expect("some"));
        for room in [first, last] {
            add(room, &bob).await;
            let bobs = bob.join_channel(&room.name().to_string()).await.expect("joined");
            room.send("hello").await.expect("sent");
            assert_eq!(hear(&bobs, 1).await[0].text(), "hello", "{by:?}");
        }
    }
}

/// Messages wait for a relay that is away until so many of them, or so much, wait; also those whose callers turned away.
/// All of them arrive.
#[tokio::test]
async fn messages_of_callers_that_turned_away_take_up_room_until_they_are_sent() {
    const WAITS: Duration = Duration::from_millis(50);
    for (length, calls, most) in [(10, 1_100, 1_024), (1024 * 1024, 12, 8)] {
        let mut edge = Edge::start().await;
        let mut agents = Vec::new();
        for name in [ALICE, BOB] {
            agents.push(edge.agent(name, By::Grpc).start().await.expect("starts"));
        }
        let [alices, bobs] = gather(&agents).await.try_into().expect("two");
        edge.stop().await;
        let call = |number: usize| {
            let alices = alices.clone();
            let body = [&number.to_be_bytes()[..], &vec![7; length]].concat();
            async move { tokio::time::timeout(WAITS, alices.send(body[8..].to_vec())).await }
        };
        let turned_away = futures::future::join_all((0..calls).map(call)).await;
        assert!(turned_away.iter().all(Result::is_err), "nobody answers");
        assert_eq!(alices.sent_count(), most, "{length} bytes each");
        edge.run(AllowAnyone).await;
        assert_eq!(hear(&bobs, most as usize).await.len(), most as usize);
        alices.send("there is room again").await.expect("sent");
        assert_eq!(hear(&bobs, 1).await[0].text(), "there is room again");
    }
}

/// An account claims ten key packages of an agent in a minute; whoever asks for more waits.
#[tokio::test]
async fn an_agent_that_is_added_very_often_is_added_a_little_later() {
    let edge = Edge::start().await;
    let alice = edge.agent(ALICE, By::Quic).start().await.expect("starts");
    let bob = edge.agent(BOB, By::Grpc).with_key_packages(20).start().await.expect("starts");
    bob.wait_until_addable().await.expect("left");
    for number in 0..11 {
        let room = alice.create_channel(&format!("{ROOM}{number}")).await.expect("created");
        room.add(BOB).await.expect("added");
    }
    assert_eq!(bob.invitations().await.expect("listed").len(), 11);
}
