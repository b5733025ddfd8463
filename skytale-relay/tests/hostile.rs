//! A relay under attack: garbage, broken and oversized frames, dialects mixed up, floods of resets.
//!
//! Healthy agents talk all the while and must not notice. `SKYTALE_HOSTILE_SECONDS` says how long; 5 if it does not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bytes::{BufMut, Bytes, BytesMut};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use skytale_core::{Dialect, MessageKind};
use skytale_testing::slim::{Address, Content, Say, room};
use skytale_testing::{RunningRelay, SOON};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// By how much the process may grow after the first quarter, in KiB. It holds relay, attackers and the names of the channels
/// that broken frames happened to make.
const GROWTH_KIB: u64 = 64 * 1024;

/// After how many healthy messages the archive is emptied, which would hide another growth.
const EMPTIED_AFTER: usize = 500;

static PANICS: AtomicUsize = AtomicUsize::new(0);

#[tokio::test(flavor = "multi_thread")]
async fn attackers_harm_neither_the_relay_nor_its_agents() {
    count_panics();
    let relay = RunningRelay::start().await;
    let samples = Arc::new(samples(&relay).await);
    let attack = Attack { address: relay.address, until: Instant::now() + duration(), tried: Arc::default() };
    let attackers = [
        tokio::spawn(garbage(attack.clone())),
        tokio::spawn(broken_frames(attack.clone(), samples.clone())),
        tokio::spawn(mixed_dialects(attack.clone(), samples)),
        tokio::spawn(oversized(attack.clone())),
        tokio::spawn(resets(attack.clone())),
    ];
    let exchanged = healthy(&relay, &attack).await;
    for attacker in attackers {
        attacker.await.expect("an attacker does not fail");
    }
    let tried = attack.tried.load(Ordering::Relaxed);
    println!("{tried} attacks, {exchanged} healthy messages, {} KiB resident", resident_kib());
    assert_eq!(PANICS.load(Ordering::Relaxed), 0, "panics");
    assert!(tried > 100 && exchanged > 10, "{tried} attacks, {exchanged} messages");
}

#[derive(Clone)]
struct Attack {
    address: SocketAddr,
    until: Instant,
    tried: Arc<AtomicU64>,
}

impl Attack {
    /// Counts an attack, unless the time is over.
    fn goes_on(&self) -> bool {
        self.tried.fetch_add(1, Ordering::Relaxed);
        Instant::now() < self.until
    }
}

fn duration() -> Duration {
    let seconds = std::env::var("SKYTALE_HOSTILE_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(5))
}

fn count_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        usual(panic);
    }));
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|text| text.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// Two agents of each dialect talk until the attack is over; everything has to arrive, in order and in time.
async fn healthy(relay: &RunningRelay, attack: &Attack) -> usize {
    let mut pairs = Vec::new();
    for dialect in [Dialect::Slim1, Dialect::Slim3] {
        let mut member = relay.agent(dialect, "member", 1).await;
        member.subscribe(&room()).await;
        pairs.push((relay.agent(dialect, "sender", 2).await, member));
    }
    let warm = attack.until - duration() * 3 / 4;
    let (mut exchanged, mut baseline) = (0, None);
    let mut pace = tokio::time::interval(Duration::from_millis(5));
    while Instant::now() < attack.until {
        for (sender, member) in &mut pairs {
            let text = format!("message {exchanged}");
            sender.say(Say::msg(room(), &text)).await;
            let heard = tokio::time::timeout(SOON, member.hear()).await.expect("in time");
            assert_eq!(heard.text(), text);
            exchanged += 1;
        }
        if exchanged % EMPTIED_AFTER == 0 {
            relay.store.expire(SystemTime::now()).await.expect("emptied");
        }
        if Instant::now() > warm {
            let now = resident_kib();
            let before = *baseline.get_or_insert(now);
            assert!(now < before + GROWTH_KIB, "grew from {before} KiB to {now} KiB");
        }
        pace.tick().await;
    }
    exchanged
}

/// Returns good frames of both dialects.
async fn samples(relay: &RunningRelay) -> Vec<Bytes> {
    let attacked = Address { strings: ["org", "ns", "attacked"].map(str::to_owned), id: None };
    let mut samples = Vec::new();
    for dialect in [Dialect::Slim1, Dialect::Slim3] {
        let agent = relay.agent(dialect, "sample", 9).await;
        samples.push(agent.subscribe_frame(&attacked, 5));
        samples
            .push(agent.publish_frame(&Say::msg(attacked.clone(), "sample").with_metadata("key", "value")));
        let welcome =
            Say::new(MessageKind::GroupWelcome, attacked.clone(), Content::App(vec![7; 300].into()));
        samples.push(agent.publish_frame(&welcome));
    }
    samples
}

/// Bytes that are no HTTP/2.
async fn garbage(attack: Attack) {
    let mut random = StdRng::seed_from_u64(1);
    while attack.goes_on() {
        let Ok(mut tcp) = TcpStream::connect(attack.address).await else { continue };
        let preface = if random.random_bool(0.5) { &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..] } else { b"" };
        let noise: Vec<u8> = (0..random.random_range(1..2_000)).map(|_| random.random()).collect();
        let _ = tcp.write_all(&[preface, &noise].concat()).await;
        if random.random_bool(0.2) {
            tokio::time::sleep(Duration::from_millis(random.random_range(0..20))).await;
        }
    }
}

/// Good frames with bytes flipped, cut out or put in.
async fn broken_frames(attack: Attack, samples: Arc<Vec<Bytes>>) {
    let mut random = StdRng::seed_from_u64(2);
    while attack.goes_on() {
        let frames = (0..random.random_range(1..4)).map(|_| {
            let mut frame = samples[random.random_range(0..samples.len())].to_vec();
            for _ in 0..random.random_range(0..4) {
                damage(&mut frame, &mut random);
            }
            framed(&frame)
        });
        let frames: Vec<_> = frames.collect();
        send(&attack, frames).await;
    }
}

fn damage(frame: &mut Vec<u8>, random: &mut StdRng) {
    let place = random.random_range(0..frame.len().max(1)).min(frame.len().saturating_sub(1));
    match random.random_range(0..4) {
        0 if !frame.is_empty() => frame[place] ^= 1 << random.random_range(0..8),
        1 => frame.truncate(place),
        2 => frame.insert(place, random.random()),
        _ if !frame.is_empty() => frame[place] = random.random(),
        _ => {}
    }
}

/// A stream that starts in one dialect and goes on in the other.
async fn mixed_dialects(attack: Attack, samples: Arc<Vec<Bytes>>) {
    let half = samples.len() / 2;
    let mut random = StdRng::seed_from_u64(3);
    while attack.goes_on() {
        let one = &samples[random.random_range(0..half)];
        let other = &samples[half + random.random_range(0..half)];
        let (first, second) = if random.random_bool(0.5) { (one, other) } else { (other, one) };
        send(&attack, vec![framed(first), framed(second), framed(first)]).await;
    }
}

/// Frames that announce more than they have, more than is allowed, or are as long as they say.
async fn oversized(attack: Attack) {
    let mut random = StdRng::seed_from_u64(4);
    while attack.goes_on() {
        let announced = match random.random_range(0..3) {
            0 => u32::MAX,
            1 => 5 * 1024 * 1024,
            _ => random.random_range(0..100_000),
        };
        let mut frame = BytesMut::new();
        frame.put_u8(u8::from(random.random_bool(0.1)));
        frame.put_u32(announced);
        frame.put_bytes(0x0A, random.random_range(0..60_000));
        send(&attack, vec![frame.freeze()]).await;
    }
}

/// Streams that are reset as soon as they are opened.
async fn resets(attack: Attack) {
    while attack.goes_on() {
        let Ok(tcp) = TcpStream::connect(attack.address).await else { continue };
        let Ok((mut flood, connection)) = h2::client::handshake(tcp).await else { continue };
        let connection = tokio::spawn(connection);
        for _ in 0..200 {
            let Ok(ready) = flood.clone().ready().await else { break };
            flood = ready;
            match flood.send_request(open(attack.address), false) {
                Ok((_, mut stream)) => stream.send_reset(h2::Reason::CANCEL),
                Err(_) => break,
            }
        }
        drop(flood);
        let _ = tokio::time::timeout(SOON, connection).await;
    }
}

fn open(address: SocketAddr) -> http::Request<()> {
    let uri = format!("http://{address}/dataplane.proto.v1.DataPlaneService/OpenChannel");
    http::Request::post(uri).header("content-type", "application/grpc").body(()).expect("a request")
}

/// Puts gRPC's prefix before a frame.
fn framed(frame: &[u8]) -> Bytes {
    let mut message = BytesMut::with_capacity(frame.len() + 5);
    message.put_u8(0);
    message.put_u32(frame.len() as u32);
    message.put_slice(frame);
    message.freeze()
}

/// Sends bytes on a stream of their own, and waits a moment for what the relay makes of them.
async fn send(attack: &Attack, messages: Vec<Bytes>) {
    let Ok(tcp) = TcpStream::connect(attack.address).await else { return };
    let Ok((sender, connection)) = h2::client::handshake(tcp).await else { return };
    let connection = tokio::spawn(connection);
    if let Ok(mut sender) = sender.ready().await
        && let Ok((answer, mut stream)) = sender.send_request(open(attack.address), false)
    {
        for message in messages {
            stream.reserve_capacity(message.len());
            let _ = stream.send_data(message, false);
        }
        let _ = stream.send_data(Bytes::new(), true);
        let _ = tokio::time::timeout(Duration::from_millis(50), drain(answer)).await;
    }
    connection.abort();
}

async fn drain(answer: h2::client::ResponseFuture) {
    let Ok(answer) = answer.await else { return };
    let mut body = answer.into_body();
    while let Some(Ok(data)) = body.data().await {
        let _ = body.flow_control().release_capacity(data.len());
    }
}
