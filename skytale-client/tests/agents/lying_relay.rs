//! A relay that shows some members another history than the rest: they are told.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use skytale_client::{Channel, Client, Event, StateStore};
use skytale_core::{ChannelName, SequenceNumber};
use skytale_relay::{AllowAnyone, Relay};
use skytale_store::{MemoryStore, NewRecord, Precondition, Record, Store};
use skytale_testing::RunningRelay;

const ROOM: &str = "acme/research/room";
const ALICE: &str = "acme/agents/alice";
const BOB: &str = "globex/agents/bob";
const CAROL: &str = "initech/agents/carol";

/// Copies the room's archive, in which two messages, of this number and the next, change places.
async fn with_two_swapped(log: &MemoryStore, first: u64) -> Arc<MemoryStore> {
    let (room, copy) = (ChannelName::parse(ROOM).expect("a name"), MemoryStore::new());
    let mut records: Vec<Record> =
        log.read(&room, SequenceNumber::START).try_collect().await.expect("readable");
    records.swap(first as usize - 1, first as usize);
    for record in records {
        let id = record.message_id.expect("native messages have one");
        let new = NewRecord::new(record.dialect, record.body).with_message_id(id);
        copy.append(&room, vec![new], Precondition::Any).await.expect("appended");
    }
    Arc::new(copy)
}

/// Runs a relay over a log.
async fn serve(log: Arc<MemoryStore>, directory: &Arc<MemoryStore>) -> RunningRelay {
    let configure = |relay: Relay| relay.with_directory(directory.clone());
    RunningRelay::assembled(log, AllowAnyone, configure, |listener| listener).await
}

async fn agent(name: &str, relay: &RunningRelay, state: &Path) -> Client {
    let builder = Client::builder(name, format!("grpc://{}", relay.address))
        .with_state(StateStore::directory(state.join(name.replace('/', "-"))));
    builder.start().await.expect("starts")
}

/// Reads until the last message, and returns the texts and whoever has told of another history.
async fn hear(room: &Channel, last: &str) -> (Vec<String>, Vec<(String, u64)>) {
    let (mut events, mut heard, mut told) = (room.events(), Vec::new(), Vec::new());
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
        member.wait_until_addable().await.expect("left");
        room.add(name).await.expect("added");
        member.join_channel(ROOM).await.expect("joined");
        member.close().await;
    }
    let first = room.send("pay Bob 10").await.expect("sent");
    room.send("never mind, pay him nothing").await.expect("sent");
    let third = room.send("done").await.expect("sent");
    assert_eq!(third, first + 2);

    let lying = serve(with_two_swapped(&log, first).await, &log).await;
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
