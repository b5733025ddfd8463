//! One agent speaks to the others of its group, with a number of messages on their way.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Parser;
use skytale_bench::clock::{nanoseconds, now, sleep_until};
use skytale_bench::histogram::Histogram;
use skytale_client::Channel;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::Place;
use crate::group::gather;
use crate::report::{Reading, Report};

#[derive(Debug, Parser)]
pub struct Talk {
    /// How many agents are in the group.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(2..))]
    members: u32,
    /// The size of a message, in bytes.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(8..))]
    bytes: u32,
    /// How many messages are on their way.
    #[arg(long, default_value_t = 256)]
    window: u32,
    /// Seconds to measure.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Seconds before, which do not count.
    #[arg(long, default_value_t = 1.0)]
    warmup: f64,
    /// Seconds to wait for late messages at the end.
    #[arg(long, default_value_t = 10.0)]
    drain: f64,
}

/// How far the messages are.
#[derive(Debug)]
struct Progress {
    delivered: AtomicU64,
    /// A permit for each delivery that may be on its way beyond those that are.
    credit: Semaphore,
}

impl Talk {
    pub async fn measure(&self, place: &Place) -> anyhow::Result<Report> {
        let group = gather(place, self.members as usize).await?;
        let copies = self.members - 1;
        let credit = Semaphore::new((self.window * copies) as usize);
        let progress = Arc::new(Progress { delivered: AtomicU64::new(0), credit });
        let start = now() + nanoseconds(self.warmup);
        let measured = start..start + nanoseconds(self.seconds);
        let (stop, stopped) = watch::channel(());
        let mut hearing = JoinSet::new();
        for (_, channel) in &group[1..] {
            let (channel, progress) = (channel.clone(), progress.clone());
            hearing.spawn(hear(channel, progress, measured.clone(), stopped.clone()));
        }
        let speaking = speak(group[0].1.clone(), progress.clone(), self.bytes, copies, measured.end);
        let speaking = tokio::spawn(speaking);

        let read = || Reading::take(place.pid, progress.delivered.load(Ordering::Relaxed));
        sleep_until(measured.start).await;
        let before = read();
        sleep_until(measured.end).await;
        let mut report = read().since(&before);
        let expected = speaking.await?? * u64::from(copies);
        report.lost = self.await_late(&progress, expected).await;
        drop(stop);
        let times = hearing.join_all().await.into_iter().fold(Histogram::default(), |mut sum, times| {
            sum.add(&times);
            sum
        });
        (report.p50, report.p99) = (Some(times.milliseconds(0.5)), Some(times.milliseconds(0.99)));
        for (client, _) in group {
            client.close().await;
        }
        Ok(report)
    }

    /// Waits for what is still on its way; returns how much never came.
    async fn await_late(&self, progress: &Progress, expected: u64) -> u64 {
        let deadline = now() + nanoseconds(self.drain);
        let missing = || expected.saturating_sub(progress.delivered.load(Ordering::Relaxed));
        while missing() > 0 && now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        missing()
    }
}

/// Speaks until a time; returns how many messages were sent.
async fn speak(
    channel: Channel,
    progress: Arc<Progress>,
    bytes: u32,
    copies: u32,
    until: u64,
) -> anyhow::Result<u64> {
    let (mut sent, mut sends) = (0, JoinSet::new());
    while now() < until {
        progress.credit.acquire_many(copies).await?.forget();
        let mut body = vec![0; bytes as usize];
        body[..8].copy_from_slice(&now().to_be_bytes());
        let channel = channel.clone();
        sends.spawn(async move { channel.send(body).await });
        sent += 1;
        while let Some(done) = sends.try_join_next() {
            done??;
        }
    }
    while let Some(done) = sends.join_next().await {
        done??;
    }
    Ok(sent)
}

/// Hears everything until it is stopped; returns the times of what came while it was measured.
async fn hear(
    channel: Channel,
    progress: Arc<Progress>,
    measured: Range<u64>,
    mut stopped: watch::Receiver<()>,
) -> Histogram {
    let (mut messages, mut times) = (channel.events(), Histogram::default());
    loop {
        let message = tokio::select! {
            biased;
            message = messages.next_message() => message,
            _ = stopped.changed() => return times,
        };
        let Some(Ok(message)) = message else { return times };
        let (sent, heard) = (message.body.first_chunk().map(|at| u64::from_be_bytes(*at)), now());
        if measured.contains(&heard) {
            times.record(heard.saturating_sub(sent.unwrap_or(heard)));
        }
        progress.delivered.fetch_add(1, Ordering::Relaxed);
        progress.credit.add_permits(1);
    }
}
