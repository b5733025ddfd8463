//! What is not to be found: neither in the archive, nor in the logs of relay and agents, however much they say.

use std::sync::{Arc, Mutex};

use futures::StreamExt;
use skytale_client::Credentials;
use skytale_core::SequenceNumber;
use skytale_store::Store;
use skytale_testing::edge::{By, Edge, gather, hear};
use skytale_testing::tokens;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::util::SubscriberInitExt;

const PLAINTEXT: &str = "canary-plaintext-7f3a";
const ACCOUNT: &str = "canary-account-91bc";
const AGENTS: [&str; 2] = ["canary/agents/alice7f3a", "canary/agents/bob7f3a"];

/// Neither the archive nor the logs hold a plaintext, a token, or who the senders are.
#[tokio::test]
async fn archive_and_logs_hold_no_secret() {
    let log = Log::start();
    let edge = Edge::with(tokens::authenticator()).await;
    let token = tokens::token(ACCOUNT, 600);
    let mut agents = Vec::new();
    for (name, by) in AGENTS.into_iter().zip([By::Quic, By::Grpc]) {
        let agent = edge.kept(name, by).with_credentials(Credentials::token(&token));
        agents.push(agent.start().await.expect("starts"));
    }
    let [alices, bobs] = gather(&agents).await.try_into().expect("two");
    for _ in 0..20 {
        alices.send(PLAINTEXT).await.expect("sent");
        bobs.send(PLAINTEXT).await.expect("sent");
    }
    alices.rotate().await.expect("rotated");
    assert_eq!(hear(&bobs, 20).await[0].text(), PLAINTEXT);
    let mut archived = Vec::new();
    let mut records = edge.store().read(alices.name(), SequenceNumber::START);
    while let Some(record) = records.next().await {
        let record = record.expect("a record");
        archived.extend_from_slice(format!("{record:?}").as_bytes());
        archived.extend_from_slice(&record.body);
    }
    let logged = log.0.lock().expect("unpoisoned").clone();
    assert!(contains(&logged, b"TRACE") && contains(&logged, b"openmls"), "everybody logs");
    for (place, bytes) in [("archive", &archived), ("logs", &logged)] {
        for secret in [PLAINTEXT, &token, ACCOUNT, AGENTS[0], AGENTS[1], "alice7f3a", "bob7f3a"] {
            assert!(!contains(bytes, secret.as_bytes()), "{secret} in the {place}");
        }
    }
    let files = edge.files();
    for secret in [PLAINTEXT, &token, ACCOUNT] {
        assert!(!contains(&files, secret.as_bytes()), "{secret} in the relay's files");
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Begins to keep everything that anybody in this process logs.
    fn start() -> Self {
        let log = Self::default();
        let writer = log.clone();
        tracing_subscriber::fmt()
            .with_max_level(LevelFilter::TRACE)
            .with_writer(move || writer.clone())
            .finish()
            .try_init()
            .expect("the first");
        log
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("unpoisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn contains(bytes: &[u8], secret: &[u8]) -> bool {
    bytes.windows(secret.len()).any(|window| window == secret)
}
