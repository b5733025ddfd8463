//! Measures how fast each store appends: `cargo run --release -p skytale-store --example append_rate`.
//!
//! Arguments choose the stores, by default all: `memory`, `sqlite`, or a URL like `postgres://user@host/database`.
//! Each line is one load on one store: how many records per second, how long one append took, and the processor time
//! of this process per record.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{StreamExt, stream};
use skytale_core::{ChannelName, Dialect};
use skytale_store::{MemoryStore, MessageId, NewRecord, Precondition, SqlOptions, SqlStore, Store};

type Failure = Box<dyn std::error::Error>;

/// What is appended, and by how many callers at once.
struct Load {
    name: &'static str,
    appends: u64,
    in_flight: usize,
    channels: u64,
    records: u64,
    ids: Ids,
    /// The time from one append to the next; zero for as fast as possible.
    every: Duration,
}

#[derive(Clone, Copy)]
enum Ids {
    None,
    Unique,
}

const BODY: usize = 256;

const FULL: Load = Load {
    name: "1 channel, 256 in flight",
    appends: 200_000,
    in_flight: 256,
    channels: 1,
    records: 1,
    ids: Ids::None,
    every: Duration::ZERO,
};

const LOADS: [Load; 6] = [
    FULL,
    Load { name: "the same with message ids", ids: Ids::Unique, ..FULL },
    Load { name: "64 channels, 256 in flight", channels: 64, ..FULL },
    Load { name: "1 channel, 4 x 64 records", appends: 8_000, in_flight: 4, records: 64, ..FULL },
    Load { name: "1 channel, 1 in flight", appends: 4_000, in_flight: 1, ..FULL },
    Load { name: "1 channel, 2,000 per second", appends: 6_000, every: Duration::from_micros(500), ..FULL },
];

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut targets: Vec<String> = std::env::args().skip(1).collect();
    if targets.is_empty() {
        targets =
            ["memory", "sqlite", "postgres://postgres@127.0.0.1:5432/postgres"].map(str::to_owned).to_vec();
    }
    println!("{:<8}  {:<28} {:>12} {:>10} {:>10} {:>10}", "STORE", "LOAD", "RECORDS/S", "P50", "P99", "CPU");
    for target in &targets {
        let directory = tempfile::tempdir()?;
        let store: Arc<dyn Store> = match target.as_str() {
            "memory" => Arc::new(MemoryStore::new()),
            "sqlite" => {
                Arc::new(SqlStore::open_sqlite(directory.path().join("log.db"), SqlOptions::default()).await?)
            }
            url => Arc::new(SqlStore::connect_postgres(url, SqlOptions::default()).await?),
        };
        for load in &LOADS {
            run(target, &store, load).await?;
        }
    }
    Ok(())
}

async fn run(target: &str, store: &Arc<dyn Store>, load: &Load) -> Result<(), Failure> {
    let (started, processor) = (Instant::now(), processor_time());
    let mut times =
        if load.every.is_zero() { as_fast_as_possible(store, load).await } else { paced(store, load).await };
    let elapsed = started.elapsed();
    let records = load.appends * load.records;
    let processor = (processor_time() - processor) / records as u32;
    times.sort_unstable();
    let percentile = |percent: usize| times[(times.len() - 1) * percent / 100];
    let rate = records as f64 / elapsed.as_secs_f64();
    let store = target.split_once(':').map_or(target, |(scheme, _)| scheme);
    println!(
        "{store:<8}  {:<28} {rate:>12.0} {:>10.1?} {:>10.1?} {processor:>10.2?}",
        load.name,
        percentile(50),
        percentile(99)
    );
    Ok(())
}

async fn as_fast_as_possible(store: &Arc<dyn Store>, load: &Load) -> Vec<Duration> {
    let appends = stream::iter(0..load.appends).map(|number| append(store.clone(), load, number));
    appends.buffer_unordered(load.in_flight).collect().await
}

async fn paced(store: &Arc<dyn Store>, load: &Load) -> Vec<Duration> {
    let mut interval = tokio::time::interval(load.every);
    let mut appends = Vec::new();
    for number in 0..load.appends {
        interval.tick().await;
        appends.push(tokio::spawn(append(store.clone(), load, number)));
    }
    futures::future::join_all(appends).await.into_iter().flatten().collect()
}

/// Appends once and returns how long it took.
fn append(
    store: Arc<dyn Store>,
    load: &Load,
    number: u64,
) -> impl Future<Output = Duration> + Send + 'static {
    let channel = ChannelName::from_components([1, u64::from(std::process::id()), number % load.channels]);
    let records = (0..load.records).map(|index| record(load.ids, number * load.records + index)).collect();
    async move {
        let started = Instant::now();
        store.append(&channel, records, Precondition::Any).await.expect("the store is there");
        started.elapsed()
    }
}

fn record(ids: Ids, number: u64) -> NewRecord {
    let record = NewRecord::new(Dialect::Slim3, Bytes::from_static(&[0xA5; BODY]));
    match ids {
        Ids::None => record,
        Ids::Unique => {
            record.with_message_id(MessageId((u128::from(number) * 0x9E37_79B9_7F4A_7C15).to_be_bytes()))
        }
    }
}

/// Returns the processor time that this process has used, or zero where the system does not tell.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields).split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}
