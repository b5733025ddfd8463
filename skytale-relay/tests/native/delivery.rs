//! What is acknowledged, and given to members: live, again, and after they were away.

use std::time::Duration;

use bytes::Bytes;
use skytale_core::Dialect;
use skytale_core::extension::{self, Content, Extension, Find, Submit};
use skytale_testing::mls::{APPLICATION, private};
use skytale_testing::slim::{Address, Say};
use skytale_testing::{RunningRelay, SOON, eventually, limited};

use crate::agent::{Delivered, Native, channel, number};

#[tokio::test]
async fn an_ack_carries_the_number_and_a_member_gets_the_message_with_it() {
    let relay = RunningRelay::start().await;
    let (mut sender, mut member) = (Native::connect(&relay).await, Native::connect(&relay).await);
    assert_eq!(number(member.resume(&channel(), None).await), 0);
    let message = private("g", 0, APPLICATION, 7);
    assert_eq!(sender.accepted(message.clone(), 1).await, 1);
    assert_eq!(member.hear().await, Delivered { sequence: 1, previous: 0, id: [1; 16], blob: message });
    assert_eq!(sender.accepted(private("g", 0, APPLICATION, 8), 2).await, 2);
    let second = member.hear().await;
    assert_eq!((second.sequence, second.previous), (2, 1));
}

#[tokio::test]
async fn a_message_sent_again_keeps_its_number_and_is_delivered_once() {
    let relay = RunningRelay::start().await;
    let (mut sender, mut member) = (Native::connect(&relay).await, Native::connect(&relay).await);
    member.resume(&channel(), None).await;
    for _ in 0..3 {
        assert_eq!(sender.accepted(private("g", 0, APPLICATION, 7), 1).await, 1);
    }
    assert_eq!(sender.accepted(private("g", 0, APPLICATION, 8), 2).await, 2);
    assert_eq!((member.hear().await.sequence, member.hear().await.sequence), (1, 2));
    let find = |id: u8| Find { channel: channel().to_string(), message_id: vec![id; 16].into() };
    assert_eq!(number(sender.control(Content::Find(find(2))).await), 2);
    assert_eq!(number(sender.control(Content::Find(find(3))).await), 0, "unknown");
}

#[tokio::test]
async fn a_drain_says_when_to_come_back() {
    let relay = RunningRelay::start().await;
    let mut member = Native::connect(&relay).await;
    member.resume(&channel(), None).await;
    relay.drain.start(Duration::from_secs(3));
    let hint = member.hint().await;
    assert!(matches!(hint, Content::Drain(drain) if drain.retry_after_ms == 3_000), "{hint:?}");
}

#[tokio::test]
async fn an_agent_that_was_away_resumes_after_its_last_message() {
    let relay = RunningRelay::start().await;
    let mut sender = Native::connect(&relay).await;
    for id in 1..=200 {
        sender.accepted(private("g", 0, APPLICATION, id), id).await;
    }
    let mut member = Native::connect(&relay).await;
    assert_eq!(number(member.resume(&channel(), Some(150)).await), 200, "the head");
    sender.accepted(private("g", 0, APPLICATION, 201), 201).await;
    for expected in 151..=201 {
        let delivered = member.hear().await;
        assert_eq!((delivered.sequence, delivered.previous), (expected, expected - 1));
        assert_eq!(delivered.id, [expected as u8; 16]);
    }
    assert!(matches!(member.resume(&channel(), Some(999)).await, Content::Refused(_)), "beyond the end");
}

#[tokio::test]
async fn a_members_own_messages_come_as_their_places() {
    let relay = RunningRelay::start().await;
    let (mut one, mut other) = (Native::connect(&relay).await, Native::connect(&relay).await);
    one.resume(&channel(), None).await;
    other.resume(&channel(), None).await;
    for id in 1..=20 {
        let sender = if id % 3 == 0 { &mut one } else { &mut other };
        sender.accepted(private("g", 0, APPLICATION, id), id).await;
    }
    for (member, owns_thirds) in [(&mut one, true), (&mut other, false)] {
        for id in 1..=20 {
            let is_own = (id % 3 == 0) == owns_thirds;
            let blob = if is_own { Bytes::new() } else { private("g", 0, APPLICATION, id) };
            let expected = Delivered { sequence: id.into(), previous: u64::from(id) - 1, id: [id; 16], blob };
            assert_eq!(member.hear().await, expected);
        }
    }
}

#[tokio::test]
async fn a_member_that_does_not_read_gets_its_own_messages_from_the_archive_in_order() {
    let relay = RunningRelay::with(limited(|limits| limits.queued_messages = 4)).await;
    let (mut slow, mut other) = (Native::connect(&relay).await, Native::connect(&relay).await);
    slow.resume(&channel(), None).await;
    for id in (1..=100).step_by(2) {
        let long = [private("g", 0, APPLICATION, id), vec![0; 50_000].into()].concat();
        other.accepted(long.into(), id).await;
        let own = |extension: Extension| {
            extension::message(&channel(), private("g", 0, APPLICATION, id + 1), &extension)
        };
        slow.request(own, Content::Submit(Submit::default()), [id + 1; 16]).await;
        let find = Find { channel: channel().to_string(), message_id: vec![id + 1; 16].into() };
        while number(other.control(Content::Find(find.clone())).await) == 0 {}
    }
    let mut whole = 0;
    for id in 1..=100 {
        let delivered = slow.hear().await;
        assert_eq!((delivered.sequence, delivered.previous), (id, id - 1));
        whole += u64::from(id % 2 == 0 && !delivered.blob.is_empty());
    }
    assert!(whole > 0, "some came from the archive");
}

#[tokio::test]
async fn a_native_agent_that_reads_nothing_is_closed_with_a_reason_and_a_slim_agent_stays() {
    let relay = RunningRelay::with(limited(|limits| limits.stalled = Duration::from_secs(1))).await;
    let (mut sender, mut stuck) = (Native::connect(&relay).await, Native::connect(&relay).await);
    let mut slim = relay.agent(Dialect::Slim3, "slim", 9).await;
    stuck.resume(&channel(), None).await;
    let address = Address { strings: ["org", "ns", "native"].map(Into::into), id: None };
    slim.subscribe(&address).await;
    let sessions = relay.meters.gauge("skytale_sessions");
    for id in 1..=60 {
        let long = [private("g", 0, APPLICATION, id), vec![0; 200_000].into()].concat();
        sender.accepted(long.into(), id).await;
    }
    let closed = async || relay.meters.gauge("skytale_sessions") < sessions;
    eventually(SOON, "the session that reads nothing is closed", closed).await;
    for _ in 1..=60 {
        slim.frame().await.expect("it cannot resume, and misses nothing");
    }
    let status = stuck.agent.ended().await;
    assert_eq!(status.code(), tonic::Code::Unavailable);
    assert!(status.message().contains("nothing was read for 1 s"), "{status:?}");
    let mut again = Native::connect(&relay).await;
    again.resume(&channel(), Some(0)).await;
    for id in 1..=60 {
        assert_eq!(again.hear().await.sequence, id);
    }
}

/// Ten messages, of which a member that has read two asks for the rest when some are gone.
async fn hear_of_a_trimmed_channel(
    through: u64,
    is_subscribed: bool,
) -> (RunningRelay, Native, Vec<[u64; 2]>) {
    let relay = RunningRelay::start().await;
    let mut sender = Native::connect(&relay).await;
    if is_subscribed {
        sender.resume(&channel(), None).await;
    }
    for id in 1..=10 {
        sender.accepted(private("g", 0, APPLICATION, id), id).await;
    }
    relay.store.trim(&channel(), skytale_core::SequenceNumber(through)).await.expect("trim");
    let mut member = Native::connect(&relay).await;
    member.resume(&channel(), Some(2)).await;
    let mut places = Vec::new();
    for _ in through..=10 {
        let delivered = member.hear().await;
        places.push([delivered.sequence, delivered.previous]);
    }
    (relay, member, places)
}

#[tokio::test]
async fn a_trimmed_channel_shows_the_gap() {
    // The channel is known to the relay by those that are subscribed to it, or, as after a restart, not at all.
    for is_subscribed in [true, false] {
        let (_relay, _member, places) = hear_of_a_trimmed_channel(6, is_subscribed).await;
        assert_eq!(places, [[6, 6], [7, 6], [8, 7], [9, 8], [10, 9]], "3 to 6 are gone, and nothing else");
    }
}

#[tokio::test]
async fn a_channel_of_which_nothing_is_left_shows_the_gap() {
    let (relay, mut member, places) = hear_of_a_trimmed_channel(10, false).await;
    assert_eq!(places, [[10, 10]]);
    Native::connect(&relay).await.accepted(private("g", 0, APPLICATION, 11), 11).await;
    let next = member.hear().await;
    assert_eq!((next.sequence, next.previous), (11, 10));
}

#[tokio::test]
async fn native_and_slim_agents_of_one_channel_do_not_disturb_each_other() {
    let relay = RunningRelay::start().await;
    let mut slim = relay.agent(Dialect::Slim3, "slim", 5).await;
    let room = Address { strings: ["org".into(), "ns".into(), "native".into()], id: None };
    slim.subscribe(&room).await;
    let mut native = Native::connect(&relay).await;
    native.resume(&channel(), Some(0)).await;
    let mut sender = Native::connect(&relay).await;
    sender.accepted(private("g", 0, APPLICATION, 1), 1).await;
    assert_eq!(slim.hear().await.blob, private("g", 0, APPLICATION, 1), "decodes with SLIM's own types");
    slim.say(Say::msg(room, "from SLIM")).await;
    assert_eq!(native.hear().await.sequence, 1);
}
