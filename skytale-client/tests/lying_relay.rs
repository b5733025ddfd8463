//! A relay that shows some members another history than the rest: they are told.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use skytale_client::{Channel, Client, Event, State};
use skytale_core::{ChannelName, SequenceNumber};
use skytale_relay::grpc::{Listener, Server};
use skytale_relay::{AllowAnyone, AuthenticateLayer, Relay};
use skytale_store::{
    Appended, Durability, Head, MemoryStore, MessageId, NewRecord, Precondition, Record, Result, Store,
};
use tokio::net::TcpListener;
use tower::Layer;

const ROOM: &str = "acme/research/room";
const ALICE: &str = "acme/agents/alice";
const BOB: &str = "globex/agents/bob";
const CAROL: &str = "initech/agents/carol";

/// A log in which two messages, of this number and the next, have changed places.
#[derive(Debug)]
struct Swapped {
    log: Arc<MemoryStore>,
    first: u64,
}

/// Reads what was said under another number.
async fn at(log: &Arc<MemoryStore>, channel: &ChannelName, number: u64) -> Option<Record> {
    log.read(channel, SequenceNumber(number - 1)).next().await?.ok()
}

#[async_trait]
impl Store for Swapped {
    async fn append(&self, name: &ChannelName, new: Vec<NewRecord>, only: Precondition) -> Result<Appended> {
        self.log.append(name, new, only).await
    }

    async fn find(&self, channel: &ChannelName, id: MessageId) -> Result<Option<SequenceNumber>> {
        self.log.find(channel, id).await
    }

    async fn head(&self, channel: &ChannelName) -> Result<Head> {
        self.log.head(channel).await
    }

    fn read(&self, channel: &ChannelName, after: SequenceNumber) -> BoxStream<'static, Result<Record>> {
        let (log, channel, first) = (self.log.clone(), channel.clone(), self.first);
        let honest = log.read(&channel, after);
        let lie = move |record: Result<Record>| {
            let (log, channel) = (log.clone(), channel.clone());
            async move {
                let record = record?;
                let other = match record.sequence.0 {
                    number if number == first => at(&log, &channel, first + 1).await,
                    number if number == first + 1 => at(&log, &channel, first).await,
                    _ => None,
                };
                let sequence = record.sequence;
                Ok(other.map_or(record, |other| Record { sequence, ..other }))
            }
        };
        honest.then(lie).boxed()
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

/// Runs a relay over a log, and returns its address.
async fn serve(log: Arc<dyn Store>, directory: &Arc<MemoryStore>) -> String {
    let relay = Relay::new(log).with_directory(directory.clone());
    let drain = relay.drain();
    let server = Server::new(AuthenticateLayer::new(AllowAnyone).layer(relay), drain);
    let tcp = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = format!("grpc://{}", tcp.local_addr().expect("an address"));
    tokio::spawn(server.serve(Listener::new(tcp), std::future::pending()));
    address
}

async fn agent(name: &str, relay: &str, state: &Path) -> Client {
    let builder =
        Client::builder(name, relay).with_state(State::directory(state.join(name.replace('/', "-"))));
    builder.start().await.expect("starts")
}

/// Reads until the last message, and returns the texts and whoever has told of another history.
async fn hear(room: &Channel, last: &str) -> (Vec<String>, Vec<(String, u64)>) {
    let (mut events, mut heard, mut told) = (room.messages(), Vec::new(), Vec::new());
    while heard.last().is_none_or(|text| text != last) {
        match events.next().await.expect("an event").expect("open") {
            Event::Message(message) => heard.push(message.text().into_owned()),
            Event::HistoryDiffers { sender, through, own, theirs, .. } => {
                assert_ne!(own, theirs);
                told.push((sender, through));
            }
            _ => {}
        }
    }
    (heard, told)
}

#[tokio::test]
async fn a_member_that_is_shown_another_order_is_told() {
    let state = tempfile::tempdir().expect("a directory");
    let log = Arc::new(MemoryStore::new());
    let honest = serve(log.clone(), &log).await;
    let alice = agent(ALICE, &honest, state.path()).await;
    let room = alice.create_channel(ROOM).await.expect("created");
    for name in [BOB, CAROL] {
        let member = agent(name, &honest, state.path()).await;
        member.left_key_packages().await.expect("left");
        room.add(name).await.expect("added");
        member.join_channel(ROOM).await.expect("joined");
        member.close().await;
    }
    let first = room.send("pay Bob 10").await.expect("sent");
    room.send("never mind, pay him nothing").await.expect("sent");
    let third = room.send("done").await.expect("sent");
    assert_eq!(third, first + 2);

    let lying = serve(Arc::new(Swapped { log: log.clone(), first }), &log).await;
    let bob = agent(BOB, &lying, state.path()).await;
    let at_bob = bob.open_channel(ROOM).await.expect("a member");
    let carol = agent(CAROL, &honest, state.path()).await;
    let at_carol = carol.open_channel(ROOM).await.expect("a member");
    let hearing = async { tokio::join!(hear(&at_bob, "done"), hear(&at_carol, "done")) };
    let (bobs, carols) = tokio::time::timeout(Duration::from_secs(30), hearing).await.expect("in time");
    assert_eq!(bobs.0, ["never mind, pay him nothing", "pay Bob 10", "done"], "the lie");
    assert_eq!(bobs.1, [(ALICE.to_owned(), first)], "by the message that came too early");
    assert_eq!(carols.0, ["pay Bob 10", "never mind, pay him nothing", "done"]);
    assert_eq!(carols.1, []);
}
