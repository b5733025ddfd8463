//! How a server ends. A drain waits for what was sent to be archived: here in a store that is held up until the test lets
//! it go on.

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use futures::stream::BoxStream;
use skytale_core::{ChannelName, Dialect, SequenceNumber};
use skytale_relay::grpc::{Listener, Server};
use skytale_relay::{AllowAnyone, AuthenticateLayer, Relay};
use skytale_store::{
    Appended, Durability, Head, MemoryStore, MessageId, NewRecord, Precondition, Record, Result, Store,
};
use skytale_testing::slim::{Agent, Say, room};
use skytale_testing::{NEVER, RunningRelay, SOON};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tonic::Code;
use tower::Layer;

/// A store whose appends say that they have begun, and then wait for leave.
#[derive(Debug)]
struct HeldUp {
    inner: MemoryStore,
    begun: Arc<Semaphore>,
    leave: Arc<Semaphore>,
}

#[async_trait]
impl Store for HeldUp {
    async fn append(
        &self,
        channel: &ChannelName,
        records: Vec<NewRecord>,
        precondition: Precondition,
    ) -> Result<Appended> {
        self.begun.add_permits(1);
        self.leave.acquire().await.expect("open").forget();
        self.inner.append(channel, records, precondition).await
    }

    async fn find(&self, channel: &ChannelName, id: MessageId) -> Result<Option<SequenceNumber>> {
        self.inner.find(channel, id).await
    }

    async fn head(&self, channel: &ChannelName) -> Result<Head> {
        self.inner.head(channel).await
    }

    fn read(&self, channel: &ChannelName, after: SequenceNumber) -> BoxStream<'static, Result<Record>> {
        self.inner.read(channel, after)
    }

    fn follow(&self, channel: &ChannelName, after: SequenceNumber) -> BoxStream<'static, Result<Record>> {
        self.inner.follow(channel, after)
    }

    async fn trim(&self, channel: &ChannelName, through: SequenceNumber) -> Result<()> {
        self.inner.trim(channel, through).await
    }

    async fn expire(&self, before: SystemTime) -> Result<u64> {
        self.inner.expire(before).await
    }

    fn channels(&self) -> BoxStream<'static, Result<(ChannelName, Head)>> {
        self.inner.channels()
    }

    fn durability(&self) -> Durability {
        self.inner.durability()
    }
}

#[tokio::test]
async fn a_session_ends_after_what_it_sent_is_archived() {
    let (begun, leave) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let store = HeldUp { inner: MemoryStore::new(), begun: begun.clone(), leave: leave.clone() };
    let relay =
        RunningRelay::assembled(Arc::new(store), AllowAnyone, |relay| relay, |listener| listener).await;
    let mut sender = relay.agent(Dialect::Slim3, "sender", 1).await;
    sender.say(Say::msg(room(), "sent before the drain")).await;
    begun.acquire().await.expect("the append begins").forget();
    relay.drain.start(NEVER);
    sender.hears_nothing().await;
    leave.add_permits(1);
    assert_eq!(sender.ended().await.code(), Code::Unavailable);
    assert_eq!(relay.archived(["org", "ns", "room"]).await.len(), 1);
}

#[tokio::test]
async fn a_server_that_is_dropped_ends_streams_and_closes_its_socket() {
    let tcp = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = tcp.local_addr().expect("an address");
    let relay = Relay::new(Arc::new(MemoryStore::new()));
    let drain = relay.drain();
    let server = Server::new(AuthenticateLayer::new(AllowAnyone).layer(relay), drain);
    let serving = tokio::spawn(server.serve(Listener::new(tcp), std::future::pending()));
    let mut agent = Agent::open(address, Dialect::Slim3, "agent", 1, None).await.expect("admitted");
    agent.subscribe(&room()).await;
    serving.abort();
    agent.ended().await;
    let refused = async { while TcpStream::connect(address).await.is_ok() {} };
    tokio::time::timeout(SOON, refused).await.expect("nobody listens any more");
}
