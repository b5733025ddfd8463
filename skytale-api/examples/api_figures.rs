//! Measures the API over real sockets: what docs/performance.md and docs/security.md say of it.
//!
//! `cargo run --release -p skytale-api --example api_figures -- [tokens|timing]`; PostgreSQL where SKYTALE_TEST_POSTGRES says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use skytale_api::{Api, Rate, RateLimits, TokenIssuer};
use skytale_store::{SqlOptions, SqlStore};

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// How many callers ask at once, and how often each.
const CALLERS: usize = 32;
const EACH: usize = 1_000;

/// How many keys of each kind are tried, and how often all are.
const KEYS: usize = 100;
const ROUNDS: usize = 50;

#[tokio::main]
async fn main() -> Result<()> {
    let chosen: Vec<String> = std::env::args().skip(1).collect();
    let is_chosen = |name: &str| chosen.is_empty() || chosen.iter().any(|chosen| chosen == name);
    if is_chosen("tokens") {
        let directory = tempfile::tempdir_in(".")?;
        tokens("SQLite", sqlite(&directory, "tokens").await?).await?;
        match std::env::var("SKYTALE_TEST_POSTGRES") {
            Ok(url) => tokens("PostgreSQL", postgres(&url).await?).await?,
            Err(_) => println!("PostgreSQL: left out, SKYTALE_TEST_POSTGRES is not set"),
        }
    }
    if is_chosen("timing") {
        timing().await?;
    }
    Ok(())
}

async fn sqlite(directory: &tempfile::TempDir, name: &str) -> Result<Arc<SqlStore>> {
    let path = directory.path().join(name);
    Ok(Arc::new(SqlStore::open_sqlite(path, SqlOptions::default()).await?))
}

async fn postgres(url: &str) -> Result<Arc<SqlStore>> {
    Ok(Arc::new(SqlStore::connect_postgres(url, SqlOptions::default()).await?))
}

/// Serves an API; returns where.
async fn serve(store: Arc<SqlStore>, pepper: &[u8]) -> Result<SocketAddr> {
    let plenty = Rate::new(u32::MAX, u32::MAX, Duration::from_secs(1));
    let rates = RateLimits::default().with_per_key(plenty).with_per_stranger(plenty).with_sign_ups(plenty);
    let issuer = TokenIssuer::hs256(b"a secret of at least 32 bytes, for figures")?;
    let app = Api::new(store, issuer, pepper)?.with_rate_limits(rates).into_router();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    Ok(address)
}

async fn sign_up(http: &Client, address: SocketAddr) -> Result<String> {
    let body = json!({ "email": "figures@example.org" });
    let created: Value =
        http.post(format!("http://{address}/v1/accounts")).json(&body).send().await?.json().await?;
    Ok(created["api_key"].as_str().ok_or("no key")?.to_owned())
}

/// Asks for a token; returns how long it took.
async fn ask(http: &Client, address: SocketAddr, key: &str, expected: StatusCode) -> Result<Duration> {
    let asked = Instant::now();
    let answer = http.post(format!("http://{address}/v1/tokens")).bearer_auth(key).send().await?;
    let status = answer.status();
    answer.bytes().await?;
    if status != expected {
        return Err(format!("{status} instead of {expected}").into());
    }
    Ok(asked.elapsed())
}

/// Exchanges keys for tokens as fast as it goes.
async fn tokens(name: &str, store: Arc<SqlStore>) -> Result<()> {
    let address = serve(store, b"a pepper of at least 32 bytes, for figures").await?;
    let mut callers = Vec::new();
    for _ in 0..CALLERS {
        let http = Client::new();
        let key = sign_up(&http, address).await?;
        callers.push((http, key));
    }
    let began = Instant::now();
    let asking = callers.into_iter().map(|(http, key)| {
        tokio::spawn(async move {
            let mut times = Vec::with_capacity(EACH);
            for _ in 0..EACH {
                times.push(ask(&http, address, &key, StatusCode::OK).await?);
            }
            Result::<Vec<Duration>>::Ok(times)
        })
    });
    let mut times = Vec::new();
    for asked in asking.collect::<Vec<_>>() {
        times.extend(asked.await??);
    }
    let rate = times.len() as f64 / began.elapsed().as_secs_f64();
    times.sort();
    let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!("POST /v1/tokens on {name}, {CALLERS} callers: {rate:.0}/s, p50 {p50:?}, p99 {p99:?}");
    Ok(())
}

/// Compares how long keys take whose id is known and whose secret is wrong with keys that nobody knows.
async fn timing() -> Result<()> {
    let directory = tempfile::tempdir_in(".")?;
    let (here, elsewhere) = (sqlite(&directory, "here").await?, sqlite(&directory, "elsewhere").await?);
    let issued = b"the pepper that the keys were made with";
    // Under another pepper every secret is wrong.
    let asked = serve(here.clone(), b"the pepper of the server that is asked").await?;
    let (http, here, elsewhere) =
        (Client::new(), serve(here, issued).await?, serve(elsewhere, issued).await?);
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for _ in 0..KEYS {
        known.push(sign_up(&http, here).await?);
        unknown.push(sign_up(&http, elsewhere).await?);
    }
    let (mut of_known, mut of_unknown) = (Vec::new(), Vec::new());
    for _ in 0..2 * KEYS * ROUNDS {
        let number = rand::rng().random_range(0..2 * KEYS);
        let (key, times) = match number < KEYS {
            true => (&known[number], &mut of_known),
            false => (&unknown[number - KEYS], &mut of_unknown),
        };
        times.push(ask(&http, asked, key, StatusCode::UNAUTHORIZED).await?.as_nanos() as f64 / 1_000.0);
    }
    println!("a known id with a wrong secret: {}", Sample::of(&mut of_known));
    println!("an unknown id:                  {}", Sample::of(&mut of_unknown));
    let t = Sample::of(&mut of_known).welch(&Sample::of(&mut of_unknown));
    println!("Welch's t without the slowest tenth: {t:.2} (beyond 4.5 they could be told apart)");
    Ok(())
}

/// A sample of times, in microseconds, without its slowest tenth, which is noise of the machine.
struct Sample {
    count: f64,
    median: f64,
    mean: f64,
    variance: f64,
}

impl Sample {
    fn of(times: &mut [f64]) -> Self {
        times.sort_by(f64::total_cmp);
        let times = &times[..times.len() * 9 / 10];
        let count = times.len() as f64;
        let mean = times.iter().sum::<f64>() / count;
        let variance = times.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0);
        Self { count, median: times[times.len() / 2], mean, variance }
    }

    fn welch(&self, other: &Self) -> f64 {
        (self.mean - other.mean) / (self.variance / self.count + other.variance / other.count).sqrt()
    }
}

impl std::fmt::Display for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} times, median {:.1} us, mean {:.2} us", self.count, self.median, self.mean)
    }
}
