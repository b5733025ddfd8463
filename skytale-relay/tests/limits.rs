//! Every limit, at its value and one beyond, over the wire.

use std::sync::Arc;
use std::time::Duration;

use skytale_core::{Dialect, MessageKind};
use skytale_relay::grpc::ConnectionLimits;
use skytale_relay::{AllowAnyone, Limits};
use skytale_store::MemoryStore;
use skytale_testing::slim::{Agent, Content, Say, room};
use skytale_testing::{NEVER, RunningRelay, SOON};
use tokio::io::AsyncReadExt;
use tonic::Code;

async fn limited(set: impl FnOnce(&mut Limits)) -> RunningRelay {
    RunningRelay::with(skytale_testing::limited(set)).await
}

async fn limited_listener(set: impl FnOnce(&mut ConnectionLimits)) -> RunningRelay {
    let mut limits = ConnectionLimits::default();
    set(&mut limits);
    let store = Arc::new(MemoryStore::new());
    RunningRelay::assembled(
        store,
        AllowAnyone,
        |relay| relay,
        |listener| listener.with_limits(limits.clone()),
    )
    .await
}

#[tokio::test]
async fn frame_bytes() {
    for dialect in [Dialect::Slim1, Dialect::Slim3] {
        let relay = limited(|limits| limits.frame.frame_bytes = 10_000).await;
        let mut sender = relay.agent(dialect, "sender", 1).await;
        let mut member = relay.agent(dialect, "member", 2).await;
        member.subscribe(&room()).await;
        let padded = |bytes: usize| Say::new(MessageKind::Msg, room(), Content::App(vec![1; bytes].into()));
        let spare = 10_000 - sender.publish_frame(&padded(9_000)).len();
        sender.say(padded(9_000 + spare)).await;
        assert_eq!(member.hear().await.blob.len(), 9_000 + spare, "at the limit");
        sender.say(padded(9_001 + spare)).await;
        let status = sender.ended().await;
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains("10000"), "{status:?}");
        assert_eq!(relay.archived(["org", "ns", "room"]).await.len(), 1);
    }
}

#[tokio::test]
async fn name_bytes() {
    let relay = limited(|limits| limits.frame.name_bytes = 20).await;
    let mut agent = relay.agent(Dialect::Slim3, "agent", 1).await;
    let mut name = room();
    name.strings[2] = "x".repeat(20);
    agent.subscribe(&name).await;
    name.strings[2].push('x');
    agent.send(agent.subscribe_frame(&name, 77)).await;
    let status = agent.ended().await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("21") && status.message().contains("20"), "{status:?}");
}

#[tokio::test]
async fn repeated_elements() {
    let relay = limited(|limits| limits.frame.elements = 3).await;
    let mut agent = relay.agent(Dialect::Slim1, "agent", 1).await;
    agent.subscribe(&room()).await;
    let with = |count: usize| {
        (0..count).fold(Say::msg(room(), "x"), |say, number| say.with_metadata(&number.to_string(), "value"))
    };
    agent.say(with(3)).await;
    agent.hears_nothing().await;
    agent.say(with(4)).await;
    let status = agent.ended().await;
    assert!(status.message().contains("repeated elements has 4; 3 are allowed"), "{status:?}");
}

#[tokio::test]
async fn sessions() {
    let relay = limited(|limits| limits.sessions = 2).await;
    let _held = [relay.agent(Dialect::Slim1, "a", 1).await, relay.agent(Dialect::Slim3, "b", 2).await];
    let refused = relay.silent_agent(Dialect::Slim1, "c", 3, None).await.err().expect("refused");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.message().contains("too many sessions: 2"), "{refused:?}");
}

#[tokio::test]
async fn sessions_per_principal_and_a_place_that_becomes_free() {
    let relay = limited(|limits| limits.sessions_per_principal = 1).await;
    let held = relay.agent(Dialect::Slim1, "a", 1).await;
    let refused = relay.silent_agent(Dialect::Slim1, "b", 2, None).await.err().expect("refused");
    assert!(refused.message().contains("sessions of this account: 1"), "{refused:?}");
    drop(held);
    let admitted = async {
        while relay.silent_agent(Dialect::Slim1, "b", 2, None).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, admitted).await.expect("the place becomes free");
}

#[tokio::test]
async fn subscriptions_per_session() {
    let relay = limited(|limits| limits.subscriptions_per_session = 2).await;
    let mut agent = relay.agent(Dialect::Slim3, "agent", 1).await;
    agent.subscribe(&room().with_id(1)).await;
    agent.subscribe(&room().with_id(2)).await;
    let refused = agent.try_subscribe(&room().with_id(3)).await.expect_err("one too many");
    assert!(refused.contains("2 are allowed"), "{refused}");
    agent.unsubscribe(&room().with_id(1), None).await.expect("acknowledged");
    agent.subscribe(&room().with_id(3)).await;
}

#[tokio::test]
async fn subscriptions_per_principal() {
    let relay = limited(|limits| limits.subscriptions_per_principal = 1).await;
    let mut one = relay.agent(Dialect::Slim1, "one", 1).await;
    let mut other = relay.agent(Dialect::Slim1, "other", 2).await;
    one.subscribe(&room()).await;
    let refused = other.try_subscribe(&room()).await.expect_err("one too many");
    assert!(refused.contains("subscriptions of this account: 1"), "{refused}");
}

#[tokio::test]
async fn channels() {
    let relay = limited(|limits| limits.channels = 1).await;
    let mut agent = relay.agent(Dialect::Slim1, "agent", 1).await;
    agent.subscribe(&room()).await;
    let refused = agent.try_subscribe(&agent.me.clone()).await.expect_err("one too many");
    assert!(refused.contains("too many channels: 1"), "{refused}");
}

#[tokio::test]
async fn publish_rate() {
    let relay = limited(|limits| limits.publish_rate = 50).await;
    let mut member = relay.agent(Dialect::Slim1, "member", 2).await;
    member.subscribe(&room()).await;
    let mut sender = relay.agent(Dialect::Slim1, "sender", 1).await;
    for _ in 0..51 {
        sender.say(Say::msg(room(), "x")).await;
    }
    let status = sender.ended().await;
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("50"), "{status:?}");
    for _ in 0..50 {
        assert_eq!(member.hear().await.text(), "x", "what was within the limit is delivered");
    }
    member.hears_nothing().await;
}

#[tokio::test]
async fn answers_that_are_not_read() {
    let relay = limited(|limits| limits.queued_answers = 100).await;
    let mut agent = relay.agent(Dialect::Slim3, "agent", 1).await;
    agent.subscribe(&room()).await;
    let mut number = 1_000;
    // What fits into the transport's buffers has left the queue.
    while !agent.sender.is_closed() && number < 1_000_000 {
        number += 1;
        agent.send(agent.subscribe_frame(&room(), number)).await;
    }
    let status = agent.ended().await;
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("slow consumer: more than 100 answers"), "{status:?}");
}

#[tokio::test]
async fn messages_in_flight_hold_their_sender_up_and_lose_nothing() {
    for set in [(|limits| limits.unarchived_in_flight = 1) as fn(&mut Limits), |limits| {
        limits.unarchived_bytes_in_flight = 1
    }] {
        let relay = limited(set).await;
        let sender = relay.agent(Dialect::Slim3, "sender", 1).await;
        let mut member = relay.agent(Dialect::Slim3, "member", 2).await;
        member.subscribe(&room()).await;
        for number in 0..100 {
            sender.say(Say::msg(room(), &number.to_string())).await;
            sender.say(Say::new(MessageKind::RtxReply, room(), Content::App("between".into()))).await;
        }
        for number in 0..100 {
            assert_eq!(member.hear().await.text(), number.to_string());
            assert_eq!(member.hear().await.text(), "between");
        }
    }
}

#[tokio::test]
async fn unauthenticated_connections_and_their_time() {
    let relay = limited_listener(|limits| {
        limits.unauthenticated = 1;
        limits.authentication_time = Duration::from_secs(3);
    })
    .await;
    let mut silent = tokio::net::TcpStream::connect(relay.address).await.expect("connect");
    let mut byte = [0; 64];
    let mut second = tokio::net::TcpStream::connect(relay.address).await.expect("connect");
    let refused = tokio::time::timeout(SOON, second.read(&mut byte)).await.expect("closed at once");
    assert!(matches!(refused, Ok(0) | Err(_)), "one too many: {refused:?}");
    let closed = async { while silent.read(&mut byte).await.is_ok_and(|count| count > 0) {} };
    tokio::time::timeout(SOON, closed).await.expect("closed for want of authentication");
    relay.agent(Dialect::Slim3, "agent", 1).await;
}

#[tokio::test]
async fn connections() {
    let relay = limited_listener(|limits| limits.connections = 1).await;
    let _held = relay.agent(Dialect::Slim3, "agent", 1).await;
    let mut second = tokio::net::TcpStream::connect(relay.address).await.expect("connect");
    let refused = tokio::time::timeout(SOON, second.read(&mut [0; 64])).await.expect("closed at once");
    assert!(matches!(refused, Ok(0) | Err(_)), "one too many: {refused:?}");
}

#[tokio::test]
async fn streams_per_connection() {
    let relay = limited_listener(|limits| limits.streams = 2).await;
    let connection = relay.channel().await;
    let open = |who: &'static str| Agent::open_on(connection.clone(), Dialect::Slim3, who, 1, None);
    let (first, _second) = (open("first").await.expect("admitted"), open("second").await.expect("admitted"));
    let mut third = std::pin::pin!(open("third"));
    assert!(tokio::time::timeout(NEVER, &mut third).await.is_err(), "one too many waits");
    drop(first);
    tokio::time::timeout(SOON, third).await.expect("there is room again").expect("admitted");
}

#[tokio::test]
async fn reset_floods_leave_others_alone() {
    let relay = limited_listener(|limits| limits.pending_resets = 5).await;
    let mut healthy = relay.agent(Dialect::Slim1, "healthy", 1).await;
    healthy.subscribe(&room()).await;
    let tcp = tokio::net::TcpStream::connect(relay.address).await.expect("connect");
    let (mut flood, connection) = h2::client::handshake(tcp).await.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let uri = format!("http://{}/dataplane.proto.v1.DataPlaneService/OpenChannel", relay.address);
    for _ in 0..5_000 {
        let request =
            http::Request::post(&uri).header("content-type", "application/grpc").body(()).expect("valid");
        let Ok(ready) = flood.clone().ready().await else { break };
        flood = ready;
        match flood.send_request(request, false) {
            Ok((_, mut stream)) => stream.send_reset(h2::Reason::CANCEL),
            Err(_) => break,
        }
    }
    drop(flood);
    drop(tokio::time::timeout(SOON, connection).await.expect("the flood's connection ends"));
    let sender = relay.agent(Dialect::Slim1, "sender", 2).await;
    sender.say(Say::msg(room(), "unaffected")).await;
    assert_eq!(healthy.hear().await.text(), "unaffected");
}
