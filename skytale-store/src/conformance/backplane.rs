//! The contract of [`Backplane`].

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use skytale_core::Dialect;

use super::channel;
use crate::contract::backplane::{Backplane, BackplaneMessage, Delivery, Topic};

/// How long a message may take.
const SOON: Duration = Duration::from_secs(10);

/// Runs every check, between three relays' ends of one backplane.
pub async fn backplane(ends: &[Arc<dyn Backplane>; 3]) {
    messages_reach_all_that_listen_but_the_sender(ends).await;
    one_of_several_is_reached(ends).await;
    topics_are_independent(ends).await;
    nothing_comes_after_leaving(ends).await;
    messages_keep_their_order(ends).await;
    large_messages_arrive(ends).await;
}

fn topic() -> Topic {
    Topic { channel: channel().components(), dialect: Dialect::Slim3, instance: None }
}

async fn listen(ends: &[Arc<dyn Backplane>], topic: Topic) -> Vec<BoxStream<'static, BackplaneMessage>> {
    let mut received = Vec::new();
    for end in ends {
        received.push(end.received());
        end.listen(topic).await.expect("listen");
    }
    received
}

async fn send(end: &Arc<dyn Backplane>, topic: Topic, delivery: Delivery, body: impl Into<Bytes>) {
    end.send(topic, delivery, body.into()).await.expect("send");
}

/// Returns the next message of a topic; other checks' messages may still be on their way.
async fn next(received: &mut BoxStream<'static, BackplaneMessage>, topic: Topic) -> Bytes {
    let next = async {
        loop {
            let message = received.next().await.expect("open");
            if message.topic == topic {
                return message.body;
            }
        }
    };
    tokio::time::timeout(SOON, next).await.expect("a message in time")
}

/// Messages reach every other relay that listens, once, and not the one that sent them.
pub async fn messages_reach_all_that_listen_but_the_sender(ends: &[Arc<dyn Backplane>; 3]) {
    let topic = topic();
    let mut received = listen(ends, topic).await;
    send(&ends[0], topic, Delivery::All, "first").await;
    send(&ends[1], topic, Delivery::All, "second").await;
    assert_eq!(next(&mut received[0], topic).await, "second", "no echo");
    assert_eq!(next(&mut received[1], topic).await, "first");
    let mut both = [next(&mut received[2], topic).await, next(&mut received[2], topic).await];
    both.sort();
    assert_eq!(both, ["first", "second"], "each once");
}

/// A message for any one reaches one relay of those that listen, and never the sender.
pub async fn one_of_several_is_reached(ends: &[Arc<dyn Backplane>; 3]) {
    let topic = topic();
    let mut received = listen(ends, topic).await;
    const SENT: usize = 30;
    for number in 0..SENT {
        send(&ends[0], topic, Delivery::AnyOne, number.to_string()).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    for end in [1, 2] {
        send(&ends[0], topic, Delivery::All, format!("end {end}")).await;
    }
    let mut seen = Vec::new();
    for received in &mut received[1..] {
        loop {
            let body = next(received, topic).await;
            if body.starts_with(b"end") {
                break;
            }
            seen.push(String::from_utf8_lossy(&body).parse::<usize>().expect("a number"));
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..SENT).collect::<Vec<_>>(), "each at one relay");
    send(&ends[1], topic, Delivery::All, "over").await;
    assert_eq!(next(&mut received[0], topic).await, "over", "nothing reached the sender");
}

/// A relay hears only what it listens to: another dialect or instance is another topic.
pub async fn topics_are_independent(ends: &[Arc<dyn Backplane>; 3]) {
    let topic = topic();
    let mut received = listen(&ends[1..2], topic).await;
    for other in [Topic { dialect: Dialect::Slim1, ..topic }, Topic { instance: Some(7), ..topic }] {
        send(&ends[0], other, Delivery::All, "other").await;
        send(&ends[0], other, Delivery::AnyOne, "other").await;
    }
    send(&ends[0], topic, Delivery::All, "mine").await;
    // Other checks' messages may still be on their way.
    let mut of_channel =
        received.remove(0).filter(|message| std::future::ready(message.topic.channel == topic.channel));
    let message = tokio::time::timeout(SOON, of_channel.next()).await.expect("in time").expect("open");
    assert_eq!((message.topic, &message.body[..]), (topic, &b"mine"[..]));
}

/// A relay that has left a topic receives nothing of it, and everything again once it listens again.
pub async fn nothing_comes_after_leaving(ends: &[Arc<dyn Backplane>; 3]) {
    let topic = topic();
    let mut received = listen(&ends[1..2], topic).await;
    ends[1].leave(topic).await.expect("leave");
    ends[1].leave(topic).await.expect("leave again");
    send(&ends[0], topic, Delivery::All, "unheard").await;
    send(&ends[0], topic, Delivery::AnyOne, "unheard").await;
    ends[0].flush().await.expect("flush");
    tokio::time::sleep(Duration::from_millis(300)).await;
    ends[1].listen(topic).await.expect("listen again");
    send(&ends[0], topic, Delivery::All, "heard").await;
    assert_eq!(next(&mut received[0], topic).await, "heard");
}

/// What one relay sends arrives in its order.
pub async fn messages_keep_their_order(ends: &[Arc<dyn Backplane>; 3]) {
    let topic = topic();
    let mut received = listen(&ends[1..2], topic).await;
    for number in 0..500_u32 {
        send(&ends[0], topic, Delivery::All, number.to_be_bytes().to_vec()).await;
    }
    for number in 0..500_u32 {
        assert_eq!(next(&mut received[0], topic).await, number.to_be_bytes().to_vec());
    }
}

/// A message as large as the largest frame arrives whole, in its place.
pub async fn large_messages_arrive(ends: &[Arc<dyn Backplane>; 3]) {
    let topic = topic();
    let mut received = listen(&ends[1..2], topic).await;
    for size in [10, 8_000, 100_000, 4 * 1024 * 1024 + 100, 20] {
        let body: Vec<u8> = (0..size).map(|place: usize| (place % 251) as u8).collect();
        for delivery in [Delivery::All, Delivery::AnyOne] {
            send(&ends[0], topic, delivery, body.clone()).await;
            assert!(next(&mut received[0], topic).await == body, "{size} bytes to {delivery:?}");
        }
    }
}
