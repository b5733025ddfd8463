//! A relay whose storage fails now and then: agents ask again until it does not, and send again what was not archived.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures::stream::BoxStream;
use skytale_client::{Client, Event};
use skytale_core::{ChannelName, SequenceNumber};
use skytale_relay::grpc::{Listener, Server};
use skytale_relay::{AllowAnyone, AuthenticateLayer, Relay};
use skytale_store::{
    Appended, Durability, Head, MemoryStore, MessageId, NewRecord, Precondition, Record, Result, Store,
    StoreError,
};
use tokio::net::TcpListener;
use tower::Layer;

const ROOM: &str = "acme/research/room";

/// A log that is out of reach some times when it is asked for the end of the room, or to archive what was said there.
#[derive(Debug, Default)]
struct Failing {
    log: MemoryStore,
    failures: AtomicU32,
    /// How many appends come before the one that fails.
    appends: AtomicU32,
    failed: AtomicU32,
}

/// Counts down, and tells whether it was at 0 already.
fn is_over(count: &AtomicU32) -> bool {
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| count.checked_sub(1)).is_err()
}

/// How long an append takes: others wait meanwhile, and are appended together.
const APPEND: Duration = Duration::from_millis(20);

#[async_trait]
impl Store for Failing {
    async fn append(&self, name: &ChannelName, new: Vec<NewRecord>, only: Precondition) -> Result<Appended> {
        if name.to_string() == ROOM && new.len() > 1 {
            tokio::time::sleep(APPEND).await;
            if !is_over(&self.appends) && self.appends.load(Ordering::SeqCst) == 0 {
                self.failed.fetch_add(new.len() as u32, Ordering::SeqCst);
                return Err(StoreError::Unavailable { source: "it fails over".into() });
            }
        }
        self.log.append(name, new, only).await
    }

    async fn find(&self, channel: &ChannelName, id: MessageId) -> Result<Option<SequenceNumber>> {
        self.log.find(channel, id).await
    }

    async fn head(&self, channel: &ChannelName) -> Result<Head> {
        if channel.to_string() == ROOM && !is_over(&self.failures) {
            return Err(StoreError::Unavailable { source: "it fails over".into() });
        }
        self.log.head(channel).await
    }

    fn read(&self, channel: &ChannelName, after: SequenceNumber) -> BoxStream<'static, Result<Record>> {
        self.log.read(channel, after)
    }

    fn follow(&self, channel: &ChannelName, after: SequenceNumber) -> BoxStream<'static, Result<Record>> {
        self.log.follow(channel, after)
    }

    async fn trim(&self, channel: &ChannelName, through: SequenceNumber) -> Result<()> {
        self.log.trim(channel, through).await
    }

    async fn expire(&self, before: SystemTime) -> Result<u64> {
        self.log.expire(before).await
    }

    fn channels(&self) -> BoxStream<'static, Result<(ChannelName, Head)>> {
        self.log.channels()
    }

    fn durability(&self) -> Durability {
        self.log.durability()
    }
}

/// Runs a relay over a store, and returns its address.
async fn serve(store: &Arc<Failing>) -> String {
    let relay = Relay::new(store.clone()).with_directory(Arc::new(MemoryStore::new()));
    let drain = relay.drain();
    let server = Server::new(AuthenticateLayer::new(AllowAnyone).layer(relay), drain);
    let tcp = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = format!("grpc://{}", tcp.local_addr().expect("an address"));
    tokio::spawn(server.serve(Listener::new(tcp), std::future::pending()));
    address
}

#[tokio::test]
async fn a_channel_whose_subscription_is_refused_is_subscribed_later() {
    let store = Arc::new(Failing { failures: AtomicU32::new(2), ..Failing::default() });
    let alice = Client::builder("acme/agents/alice", serve(&store).await).start().await.expect("starts");
    let creating = tokio::time::timeout(Duration::from_secs(20), alice.create_channel(ROOM));
    let room = creating.await.expect("in time").expect("created");
    assert_eq!(store.failures.load(Ordering::SeqCst), 0);
    assert_eq!(room.send("hello").await.expect("sent"), 2);
}

/// Far more than the messages whose keys a receiver keeps when later ones come first.
const SAID: usize = 1_000;

#[tokio::test]
async fn messages_keep_their_order_where_some_were_not_archived() {
    let store = Arc::new(Failing::default());
    let relay = serve(&store).await;
    let alice = Client::builder("acme/agents/alice", relay.clone()).start().await.expect("starts");
    let bob = Client::builder("globex/agents/bob", relay).start().await.expect("starts");
    let room = alice.create_channel(ROOM).await.expect("created");
    room.add("globex/agents/bob").await.expect("added");
    let mut heard = bob.join_channel(ROOM).await.expect("joined").messages();

    store.appends.store(2, Ordering::SeqCst);
    let sending = (0..SAID).map(|number| room.send(number.to_string()));
    let sent = futures::future::try_join_all(sending);
    let reading = async {
        let mut read = Vec::new();
        while read.len() < SAID {
            match heard.next().await.expect("an event").expect("open") {
                Event::Message(message) => read.push(message.text().parse::<usize>().expect("a number")),
                Event::Undecryptable { sequence, reason } => panic!("{sequence}: {reason}"),
                _ => {}
            }
        }
        read
    };
    let (sent, read) = tokio::time::timeout(Duration::from_secs(120), async { tokio::join!(sent, reading) })
        .await
        .expect("in time");
    sent.expect("all are archived in the end");
    assert!(store.failed.load(Ordering::SeqCst) > 64, "enough failed together");
    assert_eq!(read, (0..SAID).collect::<Vec<_>>());
}
