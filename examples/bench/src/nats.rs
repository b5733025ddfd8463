//! What NATS itself does with as many messages: passed on to whoever listens, or kept in a stream.

use std::future::poll_fn;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use anyhow::Context;
use async_nats::jetstream::context::PublishAckFuture;
use async_nats::jetstream::{self, stream};
use async_nats::{Client, Subscriber};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use skytale_bench::clock::now;
use tokio::sync::{mpsc, watch};

use crate::args::{Load, Node};
use crate::load::Progress;
use crate::message::{Arrived, Stamp, read_stamp, write_stamp};
use crate::report::Report;
use crate::run::{await_late, measured_time, watch_node};
use crate::tally::Tally;

/// Publishes to a subject with one subscriber; or, with `replicas`, to a stream, where the acknowledgements count.
pub async fn measure(
    node: &Node,
    load: &Load,
    window: u64,
    replicas: Option<usize>,
) -> anyhow::Result<Report> {
    let subject = format!("bench.{:08x}", rand::random::<u32>());
    let client = connect(node).await?;
    let progress = Arc::new(Progress::with_credit(window));
    let measured = measured_time(load);
    let (stop, mut stopped) = watch::channel(());
    let stopped = async move { drop(stopped.changed().await) };
    let (receiving, acks) = if let Some(replicas) = replicas {
        make_stream(&client, &subject, replicas).await?;
        let (acks, answered) = mpsc::unbounded_channel();
        (tokio::spawn(count_acks(answered, progress.clone(), measured.clone())), Some(acks))
    } else {
        let listener = connect(&node.of_subscriber(0)).await?;
        let messages = listener.subscribe(subject.clone()).await?;
        listener.flush().await?;
        (tokio::spawn(count_messages(messages, stopped, progress.clone(), measured.clone())), None)
    };
    let publisher = Publisher { client, subject, acks, bytes: load.bytes as usize, until: measured.end };
    let publishing = tokio::spawn(publisher.publish(progress.clone()));

    let mut report = watch_node(node, &progress, &measured).await;
    await_late(&progress, 1, load.drain).await;
    drop(stop);
    publishing.await??;
    report.complete(&receiving.await?, progress.sent.load(Ordering::Relaxed));
    Ok(report)
}

async fn connect(node: &Node) -> anyhow::Result<Client> {
    async_nats::connect(&node.endpoint).await.with_context(|| format!("connecting to {}", node.endpoint))
}

async fn make_stream(client: &Client, subject: &str, replicas: usize) -> anyhow::Result<()> {
    let config = stream::Config {
        name: subject.replace('.', "-"),
        subjects: vec![subject.to_owned()],
        num_replicas: replicas,
        ..stream::Config::default()
    };
    jetstream::new(client.clone()).create_stream(config).await.context("the stream")?;
    Ok(())
}

struct Publisher {
    client: Client,
    subject: String,
    acks: Option<mpsc::UnboundedSender<(Stamp, PublishAckFuture)>>,
    bytes: usize,
    until: u64,
}

impl Publisher {
    async fn publish(self, progress: Arc<Progress>) -> anyhow::Result<()> {
        let context = jetstream::new(self.client.clone());
        while now() < self.until {
            poll_fn(|waiting| if progress.take(1, waiting) { Poll::Ready(()) } else { Poll::Pending }).await;
            let stamp = Stamp { number: progress.sent.fetch_add(1, Ordering::Relaxed) + 1, at: now() };
            let payload = self.payload(stamp);
            match &self.acks {
                None => self.client.publish(self.subject.clone(), payload).await?,
                Some(acks) => {
                    let ack = context.publish(self.subject.clone(), payload).await?;
                    let _ = acks.send((stamp, ack));
                }
            }
        }
        Ok(())
    }

    fn payload(&self, stamp: Stamp) -> Bytes {
        let mut payload = BytesMut::zeroed(self.bytes);
        write_stamp(&mut payload, stamp);
        payload.freeze()
    }
}

async fn count_messages(
    messages: Subscriber,
    stopped: impl Future<Output = ()>,
    progress: Arc<Progress>,
    measured: Range<u64>,
) -> Tally {
    let mut tally = Tally::new(1);
    let mut messages = std::pin::pin!(messages.take_until(stopped));
    while let Some(message) = messages.next().await {
        let arrived = read_stamp(&message.payload).map_or(Arrived::Other, Arrived::Stamped);
        if tally.count(&arrived, now(), &measured) {
            progress.deliver();
        }
    }
    tally
}

async fn count_acks(
    mut answered: mpsc::UnboundedReceiver<(Stamp, PublishAckFuture)>,
    progress: Arc<Progress>,
    measured: Range<u64>,
) -> Tally {
    let mut tally = Tally::new(1);
    while let Some((stamp, ack)) = answered.recv().await {
        if ack.await.is_ok() {
            tally.count(&Arrived::Stamped(stamp), now(), &measured);
        }
        progress.deliver();
    }
    tally
}
