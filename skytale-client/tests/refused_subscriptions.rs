//! A relay that cannot say yet where a channel ends: agents ask again until it can.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures::stream::BoxStream;
use skytale_client::Client;
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

/// A log that is out of reach some times when it is asked for the end of the room.
#[derive(Debug, Default)]
struct Failing {
    log: MemoryStore,
    failures: AtomicU32,
}

#[async_trait]
impl Store for Failing {
    async fn append(&self, name: &ChannelName, new: Vec<NewRecord>, only: Precondition) -> Result<Appended> {
        self.log.append(name, new, only).await
    }

    async fn find(&self, channel: &ChannelName, id: MessageId) -> Result<Option<SequenceNumber>> {
        self.log.find(channel, id).await
    }

    async fn head(&self, channel: &ChannelName) -> Result<Head> {
        let fails = |failures: u32| failures.checked_sub(1);
        if channel.to_string() == ROOM
            && self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fails).is_ok()
        {
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

#[tokio::test]
async fn a_channel_whose_subscription_is_refused_is_subscribed_later() {
    let store = Arc::new(Failing { failures: AtomicU32::new(2), ..Failing::default() });
    let relay = Relay::new(store.clone()).with_directory(Arc::new(MemoryStore::new()));
    let drain = relay.drain();
    let server = Server::new(AuthenticateLayer::new(AllowAnyone).layer(relay), drain);
    let tcp = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = format!("grpc://{}", tcp.local_addr().expect("an address"));
    tokio::spawn(server.serve(Listener::new(tcp), std::future::pending()));

    let alice = Client::builder("acme/agents/alice", address).start().await.expect("starts");
    let creating = tokio::time::timeout(Duration::from_secs(20), alice.create_channel(ROOM));
    let room = creating.await.expect("in time").expect("created");
    assert_eq!(store.failures.load(Ordering::SeqCst), 0);
    assert_eq!(room.send("hello").await.expect("sent"), 2);
}
