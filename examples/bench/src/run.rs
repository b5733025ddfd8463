//! One run: connects everybody, sends, and counts what arrives.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use futures::{StreamExt, TryStreamExt, stream};
use skytale_bench::clock::{nanoseconds, now, sleep_until};
use skytale_bench::process;
use skytale_core::generated::slim3::Name;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::args::{Load, Node};
use crate::connection::Connection;
use crate::load::{Pace, Progress, Sending};
use crate::message::slim::name;
use crate::message::{Reader, Template};
use crate::report::Report;
use crate::tally::Tally;

/// The fan-out that a message for all asks for; more than there are subscribers.
const EVERYBODY: u32 = 4096;

/// How many connections are opened at the same time.
const OPENING: usize = 16;

/// Runs a load against a node.
pub async fn measure(node: &Node, load: &Load, pace: Pace) -> anyhow::Result<Report> {
    let run = format!("run-{:08x}", rand::random::<u32>());
    let channels = load.channels as usize;
    let rooms: Vec<_> =
        (0..channels).map(|number| name(["skytale", &run, &format!("room-{number}")], 1)).collect();
    let mut healthy = subscribe(node, &run, &rooms, 0..load.subscribers).await?;
    let stuck = subscribe(node, &run, &rooms, load.subscribers..load.subscribers + load.stuck).await?;
    let mut publisher = Connection::open(node).await.context("the publisher")?;
    let only = (healthy.len() == 1 && stuck.is_empty() && channels == 1).then(|| vec![healthy[0].0.clone()]);
    let (destinations, fanout) = only.map_or((rooms, EVERYBODY), |names| (names, 1));
    let source = name(["skytale", "bench", &run], 2);
    for destination in &destinations {
        publisher.found(destination).await.context("the publisher")?;
    }
    let template = |to| Template::new(&publisher.dialect, &source, to, fanout, load.bytes as usize);
    let templates: Vec<_> = destinations.iter().map(template).collect();

    let copies = load.subscribers as u64;
    let window = if let Pace::Window(window) = pace { window } else { 0 };
    let progress = Arc::new(Progress::with_credit(window * copies));
    let measured = measured_time(load);
    let (stop, stopped) = watch::channel(());
    let mut receivers = JoinSet::new();
    for (_, connection) in healthy.drain(..) {
        let reader = Reader::new(connection.dialect.clone(), &templates);
        let receiver =
            Receiver { connection, reader, channels, measured: measured.clone(), stopped: stopped.clone() };
        receivers.spawn(receiver.run(progress.clone()));
    }
    let Connection { outgoing, incoming, .. } = publisher;
    let keep = outgoing.clone();
    tokio::spawn(incoming.for_each(|_| async {}));
    Sending { templates, copies, until: measured.end, progress: progress.clone() }.begin(pace, outgoing);

    let mut report = watch_node(node, &progress, &measured).await;
    await_late(&progress, copies, load.drain).await;
    drop(stop);
    let tally = receivers.join_all().await.iter().fold(Tally::new(channels), |mut sum, tally| {
        sum.add(tally);
        sum
    });
    report.complete(&tally, progress.sent.load(Ordering::Relaxed) * copies);
    drop((keep, stuck));
    Ok(report)
}

/// Returns from when until when it is measured.
pub fn measured_time(load: &Load) -> Range<u64> {
    let from = now() + nanoseconds(load.warmup);
    from..from + nanoseconds(load.seconds)
}

/// Opens the connections of subscribers, each under a name of its own and in all rooms.
async fn subscribe(
    node: &Node,
    run: &str,
    rooms: &[Name],
    numbers: Range<usize>,
) -> anyhow::Result<Vec<(Name, Connection)>> {
    let opened = stream::iter(numbers).map(|number| async move {
        let own = name(["skytale", run, &format!("subscriber-{number}")], number as u64 + 1);
        let mut connection = Connection::open(&node.of_subscriber(number)).await?;
        connection.subscribe(&own, &own).await?;
        for room in rooms {
            connection.subscribe(&own, room).await?;
        }
        anyhow::Ok((own, connection))
    });
    opened.buffered(OPENING).try_collect().await.context("a subscriber")
}

struct Receiver {
    connection: Connection,
    reader: Reader,
    channels: usize,
    measured: Range<u64>,
    stopped: watch::Receiver<()>,
}

impl Receiver {
    async fn run(mut self, progress: Arc<Progress>) -> Tally {
        let mut tally = Tally::new(self.channels);
        loop {
            let frame = tokio::select! {
                biased;
                frame = self.connection.incoming.next() => frame,
                _ = self.stopped.changed() => return tally,
            };
            let Some(Ok(frame)) = frame else {
                tally.ended += 1;
                return tally;
            };
            if tally.count(&self.reader.read(&frame), now(), &self.measured) {
                progress.deliver();
            }
        }
    }
}

/// Measures what the node delivers and uses.
pub async fn watch_node(node: &Node, progress: &Progress, measured: &Range<u64>) -> Report {
    let read = || {
        let delivered = progress.delivered.load(Ordering::Relaxed);
        (now(), delivered, node.pid.and_then(process::processor_seconds))
    };
    sleep_until(measured.start).await;
    let (start, before, used_before) = read();
    sleep_until(measured.end).await;
    let (end, after, used) = read();
    let (deliveries, seconds) = ((after - before) as f64, (end - start) as f64 / 1e9);
    let used = used.zip(used_before).map(|(used, before)| (used - before) * 1e6 / deliveries.max(1.0));
    Report {
        deliveries_per_second: deliveries / seconds,
        processor_us_per_delivery: used,
        peak_kib: node.pid.and_then(process::peak_kib),
        ..Report::default()
    }
}

/// Waits for what is still on the way.
pub async fn await_late(progress: &Progress, copies: u64, seconds: f64) {
    let deadline = now() + nanoseconds(seconds);
    let late = || progress.delivered.load(Ordering::Relaxed) < progress.sent.load(Ordering::Relaxed) * copies;
    while late() && now() < deadline {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
