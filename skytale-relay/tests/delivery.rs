//! Slow readers, replays, authentication, hostile frames, and the published SDK's profile, over the wire.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use skytale_core::generated::slim1;
use skytale_core::{Claims, Dialect, Grant, MessageKind, Verb};
use skytale_relay::{LegacySdkExpiry, Relay, ReplayPolicy};
use skytale_store::{MemoryStore, SqlOptions, SqlStore};
use skytale_testing::slim::{Agent, Content, Say, room};
use skytale_testing::{RunningRelay, SOON, TestClock, eventually, limited, tokens};
use tonic::Code;

fn token(lifetime: i64, grants: Option<Vec<Grant>>) -> String {
    let now = tokens::now();
    let mut claims = Claims::new("account", now - 100, now.saturating_add_signed(lifetime));
    claims.grants = grants;
    tokens::signed(&claims)
}

async fn authenticated() -> RunningRelay {
    by_clock(&TestClock::default(), |relay| relay).await
}

/// Starts a relay that takes tokens, and whose clock is moved.
async fn by_clock(clock: &TestClock, configure: impl FnOnce(Relay) -> Relay) -> RunningRelay {
    let (store, tokens) = (Arc::new(MemoryStore::new()), tokens::authenticator().with_clock(clock.shared()));
    let configure = |relay: Relay| configure(relay.with_clock(clock.shared()));
    RunningRelay::assembled(store, tokens, configure, |listener| listener).await
}

#[tokio::test]
async fn a_slow_subscriber_reads_the_archive_and_misses_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let store =
        SqlStore::open_sqlite(directory.path().join("log.db"), SqlOptions::default()).await.expect("open");
    let relay = RunningRelay::assembled(
        Arc::new(store),
        skytale_relay::AllowAnyone,
        limited(|limits| limits.queued_messages = 16),
        |listener| listener,
    )
    .await;
    let sender = relay.agent(Dialect::Slim3, "sender", 1).await;
    let mut slow = relay.agent(Dialect::Slim3, "slow", 2).await;
    let mut quick = relay.agent(Dialect::Slim3, "quick", 3).await;
    slow.subscribe(&room()).await;
    quick.subscribe(&room()).await;
    let padding = "x".repeat(2_000);
    for number in 0..3_000 {
        sender.say(Say::msg(room(), &format!("{number} {padding}"))).await;
        if number % 100 == 99 {
            for _ in 0..100 {
                quick.hear().await;
            }
        }
    }
    for number in 0..3_000 {
        assert_eq!(slow.hear().await.text().split(' ').next(), Some(number.to_string().as_str()));
    }
    sender.say(Say::msg(room(), "live again")).await;
    assert_eq!(slow.hear().await.text(), "live again");
}

#[tokio::test]
async fn a_session_that_lets_unarchived_messages_pile_up_is_closed_with_a_reason() {
    let relay = RunningRelay::with(limited(|limits| limits.queued_unarchived = 8)).await;
    let sender = relay.agent(Dialect::Slim1, "sender", 1).await;
    let mut slow = relay.agent(Dialect::Slim1, "slow", 2).await;
    slow.subscribe(&room()).await;
    // Of several relays, the third agent's is another than that of the slow one, and the fourth's the same.
    let _beside = relay.agent(Dialect::Slim1, "beside", 4).await;
    let mut quick = relay.agent(Dialect::Slim1, "quick", 3).await;
    quick.subscribe(&room()).await;
    let large = Content::App(vec![1; 200_000].into());
    for _ in 0..100 {
        sender.say(Say::new(MessageKind::RtxReply, room(), large.clone())).await;
        quick.hear().await;
    }
    let status = slow.ended().await;
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("slow consumer"), "{status:?}");
}

async fn replay_since_last_delivery(dialect: Dialect) {
    let relay = RunningRelay::with(|relay| relay.with_replay(ReplayPolicy::SinceLastDelivery)).await;
    let sender = relay.agent(dialect, "sender", 1).await;
    sender.say(Say::msg(room(), "before it came")).await;
    relay.archives(["org", "ns", "room"], 1).await;
    let mut agent = relay.agent(dialect, "agent", 2).await;
    agent.subscribe(&room()).await;
    sender.say(Say::msg(room(), "while it is here")).await;
    assert_eq!(agent.hear().await.text(), "while it is here");
    let subscriptions = || relay.meters.gauge("skytale_subscriptions");
    let told = || relay.meters.counter("skytale_parcels_received_total");
    let (subscriptions_before, told_before) = (subscriptions(), told());
    drop(agent);
    // The relay notices the cut at its own pace; until then the agent's old session would take the message. Where there are
    // two, the other one has to be told as well.
    let is_noticed =
        async || subscriptions() < subscriptions_before && (relay.is_one() || told() > told_before);
    eventually(SOON, "the cut is noticed", is_noticed).await;
    sender.say(Say::msg(room(), "while it is away")).await;
    let mut again = relay.agent(dialect, "agent", 2).await;
    again.subscribe(&room()).await;
    assert_eq!(again.hear().await.text(), "while it is away");
    sender.say(Say::msg(room(), "live")).await;
    assert_eq!(again.hear().await.text(), "live");
}

#[tokio::test]
async fn an_agent_that_comes_back_is_given_what_it_missed() {
    replay_since_last_delivery(Dialect::Slim1).await;
    replay_since_last_delivery(Dialect::Slim3).await;
}

#[tokio::test]
async fn the_last_records_are_replayed_and_ones_own_are_not() {
    for dialect in [Dialect::Slim1, Dialect::Slim3] {
        let relay = RunningRelay::with(|relay| relay.with_replay(ReplayPolicy::Last(3))).await;
        let sender = relay.agent(dialect, "sender", 1).await;
        let mut agent = relay.agent(dialect, "agent", 2).await;
        for text in ["1", "2", "3"] {
            sender.say(Say::msg(room(), text)).await;
        }
        let mut witness = relay.agent(dialect, "witness", 3).await;
        witness.subscribe(&room()).await;
        for text in ["1", "2", "3"] {
            assert_eq!(witness.hear().await.text(), text);
        }
        agent.say(Say::msg(room(), "4, its own")).await;
        assert_eq!(witness.hear().await.text(), "4, its own");
        agent.subscribe(&room()).await;
        assert_eq!((agent.hear().await.text(), agent.hear().await.text()), ("2", "3"));
        agent.hears_nothing().await;
    }
}

#[tokio::test]
async fn without_a_valid_token_nobody_is_admitted() {
    let relay = authenticated().await;
    let valid = token(60, None);
    for bad in [None, Some("nonsense"), Some(&valid[..valid.len() - 3]), Some(&*token(-10, None))] {
        let refused = relay.silent_agent(Dialect::Slim3, "agent", 1, bad).await.err().expect("refused");
        assert_eq!(refused.code(), Code::Unauthenticated, "{refused:?}");
        assert!(!refused.message().is_empty());
    }
    relay.silent_agent(Dialect::Slim3, "agent", 1, Some(&valid)).await.expect("admitted");
}

#[tokio::test]
async fn a_session_ends_when_its_token_does() {
    let clock = TestClock::default();
    let relay = by_clock(&clock, |relay| relay).await;
    let mut agent =
        relay.silent_agent(Dialect::Slim3, "agent", 1, Some(&token(600, None))).await.expect("admitted");
    agent.negotiate().await;
    clock.advance(Duration::from_secs(300));
    agent.subscribe(&room()).await;
    clock.advance(Duration::from_secs(300));
    let status = agent.ended().await;
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(status.message().contains("expired"), "{status:?}");
}

#[tokio::test]
async fn permissions_hold_per_channel_and_verb() {
    let relay = authenticated().await;
    let grant = Grant { channels: "org/ns/room".parse().expect("valid"), verbs: vec![Verb::Subscribe] };
    let limited = token(60, Some(vec![grant]));
    let mut agent = relay.silent_agent(Dialect::Slim1, "agent", 1, Some(&limited)).await.expect("admitted");
    agent.negotiate().await;
    agent.subscribe(&room()).await;
    let refused = agent.try_subscribe(&agent.me.clone()).await.expect_err("not granted");
    assert!(refused.contains("subscribe on org/ns/agent"), "{refused}");
    agent.say(Say::msg(room(), "not granted")).await;
    let status = agent.ended().await;
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().contains("publish on org/ns/room"), "{status:?}");
}

#[tokio::test]
async fn a_wrong_or_missing_tag_ends_the_stream() {
    let relay = RunningRelay::start().await;
    let mut agent = relay.agent(Dialect::Slim3, "agent", 1).await;
    agent.key = None;
    agent.say(Say::msg(room(), "untagged")).await;
    assert_eq!(agent.ended().await.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn hostile_frames_end_their_own_stream_alone() {
    let relay = RunningRelay::start().await;
    let mut healthy = relay.agent(Dialect::Slim1, "healthy", 1).await;
    healthy.subscribe(&room()).await;
    let whole = healthy.publish_frame(&Say::msg(room(), "x"));
    let twice = [&whole[..], &whole].concat();
    let foreign = relay.agent(Dialect::Slim3, "foreign", 3).await.publish_frame(&Say::msg(room(), "x"));
    let bomb = [&[0x1A, 0x80, 0x08][..], &[0x1A; 1024]].concat();
    for hostile in
        [Bytes::from_static(b"garbage"), whole.slice(..whole.len() - 1), twice.into(), foreign, bomb.into()]
    {
        let mut attacker = relay.agent(Dialect::Slim1, "attacker", 2).await;
        attacker.send(hostile).await;
        assert_eq!(attacker.ended().await.code(), Code::InvalidArgument);
    }
    let sender = relay.agent(Dialect::Slim1, "sender", 4).await;
    sender.say(Say::msg(room(), "fine")).await;
    assert_eq!(healthy.hear().await.text(), "fine");
}

/// What the published SDK sends: names of strings alone.
fn sdk_frame(message: slim1::message::MessageType) -> Bytes {
    slim1::Message { message_type: Some(message), ..Default::default() }.encode_to_vec().into()
}

fn sdk_header() -> Option<slim1::SlimHeader> {
    Some(slim1::SlimHeader { destination: Some(room().strings_only()), ..Default::default() })
}

fn sdk_publish(payload_type: &str, blob: &'static [u8]) -> Bytes {
    let payload =
        slim1::ApplicationPayload { payload_type: payload_type.into(), blob: Bytes::from_static(blob) };
    sdk_frame(slim1::message::MessageType::Publish(slim1::Publish {
        header: sdk_header(),
        session: Some(slim1::SessionHeader {
            session_type: 2,
            session_message_type: 1,
            ..Default::default()
        }),
        msg: Some(slim1::Content { content_type: Some(slim1::content::ContentType::AppPayload(payload)) }),
    }))
}

async fn sdk(relay: &RunningRelay, token: Option<&str>) -> Agent {
    let mut agent = relay.silent_agent(Dialect::Slim1, "sdk", 0, token).await.expect("admitted");
    let subscribe = slim1::Subscribe { header: sdk_header(), subscription_id: 1 };
    agent.send(sdk_frame(slim1::message::MessageType::Subscribe(subscribe))).await;
    agent.acknowledged(1).await.expect("subscribed");
    agent
}

#[tokio::test]
async fn published_sdk_gets_the_sequence_number_appended_and_slim_agents_do_not() {
    let relay = RunningRelay::start().await;
    let mut slim = relay.agent(Dialect::Slim1, "slim", 1).await;
    slim.subscribe(&room()).await;
    let mut reader = sdk(&relay, None).await;
    let writer = sdk(&relay, None).await;
    slim.say(Say::msg(room(), "from a SLIM agent")).await;
    let heard = reader.hear().await;
    assert_eq!(&heard.blob[..], b"from a SLIM agent\0\0\0\0\0\0\0\x01");
    writer.send(sdk_publish("application/x-skytale-cover", b"cover")).await;
    writer.send(sdk_publish("", b"ciphertext")).await;
    assert_eq!(&slim.hear().await.blob[..], b"ciphertext");
    assert_eq!(&reader.hear().await.blob[..], b"ciphertext\0\0\0\0\0\0\0\x02");
    assert_eq!(relay.archived(["org", "ns", "room"]).await.len(), 2, "cover traffic is dropped");
}

#[tokio::test]
async fn published_sdk_is_replayed_what_others_of_its_kind_said() {
    let relay = RunningRelay::with(|relay| relay.with_replay(ReplayPolicy::Last(100))).await;
    let mut witness = sdk(&relay, None).await;
    let writer = sdk(&relay, None).await;
    for _ in 0..40 {
        writer.send(sdk_publish("", b"early")).await;
        witness.hear().await;
    }
    let mut late = sdk(&relay, None).await;
    for number in 1..=40 {
        assert_eq!(late.hear().await.blob, [&b"early\0\0\0\0\0\0\0"[..], &[number]].concat());
    }
}

#[tokio::test]
async fn published_sdk_outlives_its_token_only_by_setting() {
    for (expiry, ends) in [(LegacySdkExpiry::GoOn, false), (LegacySdkExpiry::End, true)] {
        let clock = TestClock::default();
        let relay = by_clock(&clock, |relay| relay.with_published_sdk_expiry(expiry)).await;
        let mut agent = sdk(&relay, Some(&token(600, None))).await;
        let mut witness =
            relay.silent_agent(Dialect::Slim3, "w", 3, Some(&token(600, None))).await.expect("admitted");
        witness.negotiate().await;
        clock.advance(Duration::from_secs(600));
        assert_eq!(witness.ended().await.code(), Code::Unauthenticated);
        if ends {
            assert_eq!(agent.ended().await.code(), Code::Unauthenticated);
        } else {
            let sender = relay
                .silent_agent(Dialect::Slim1, "s", 2, Some(&token(1_200, None)))
                .await
                .expect("admitted");
            sender.say(Say::msg(room(), "later")).await;
            assert!(agent.hear().await.text().starts_with("later"));
        }
    }
}
