//! A relay whose storage fails now and then: agents ask again until it does not, and send again what was not archived.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures::stream::BoxStream;
use skytale_client::{Channel, Client, Event, Events};
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
    /// Whether the next append of one message is kept and all the same answered by an error.
    breaks_off: AtomicBool,
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
        let breaks_off = name.to_string() == ROOM && self.breaks_off.swap(false, Ordering::SeqCst);
        let appended = self.log.append(name, new, only).await?;
        match breaks_off {
            true => Err(StoreError::Unavailable { source: "the connection broke during the commit".into() }),
            false => Ok(appended),
        }
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
    let mut heard = bob.join_channel(ROOM).await.expect("joined").events();

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

/// Starts agents of one room, the first of whom made it, with what each of them hears.
async fn room_of<const N: usize>(relay: &str, names: [&str; N]) -> [(Channel, Events); N] {
    let mut agents = Vec::new();
    for name in names {
        agents.push(Client::builder(name, relay).start().await.expect("starts"));
    }
    let founded = agents[0].create_channel(ROOM).await.expect("created");
    let mut rooms = Vec::new();
    for (agent, name) in agents.iter().zip(names) {
        let room = if rooms.is_empty() {
            founded.clone()
        } else {
            founded.add(name).await.expect("added");
            agent.join_channel(ROOM).await.expect("joined")
        };
        let events = room.events();
        rooms.push((room, events));
    }
    rooms.try_into().expect("as many as agents")
}

/// Reads so many messages.
async fn read(events: &mut Events, count: usize) -> Vec<String> {
    let mut read = Vec::new();
    while read.len() < count {
        match events.next().await.expect("an event").expect("open") {
            Event::Message(message) => read.push(message.text().into_owned()),
            Event::Undecryptable { sequence, reason } => panic!("{sequence}: {reason}"),
            _ => {}
        }
    }
    read
}

#[tokio::test]
async fn what_was_archived_though_its_append_failed_reaches_everybody() {
    let store = Arc::new(Failing::default());
    let relay = serve(&store).await;
    let names = ["acme/agents/alice", "globex/agents/bob", "initech/agents/carol"];
    let [(alice, _), (bob, mut at_bob), (_, mut at_carol)] = room_of(&relay, names).await;
    let saying = async {
        store.breaks_off.store(true, Ordering::SeqCst);
        alice.send("alone").await.expect("archived");
        assert_eq!(read(&mut at_bob, 1).await, ["alone"]);
        assert_eq!(read(&mut at_carol, 1).await, ["alone"]);

        store.breaks_off.store(true, Ordering::SeqCst);
        let (first, second) = tokio::join!(alice.send("before another"), bob.send("the other"));
        assert!(first.expect("archived") < second.expect("archived"));
        assert_eq!(read(&mut at_carol, 2).await, ["before another", "the other"]);

        for commit in 0..3 {
            store.breaks_off.store(true, Ordering::SeqCst);
            alice.rotate().await.expect("committed");
            bob.send(format!("after commit {commit}")).await.expect("archived");
            assert_eq!(read(&mut at_carol, 1).await, [format!("after commit {commit}")]);
        }
        assert!(!store.breaks_off.load(Ordering::SeqCst), "each time");
    };
    tokio::time::timeout(Duration::from_secs(60), saying).await.expect("in time");
}
