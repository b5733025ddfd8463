//! A relay whose storage fails now and then: agents ask again until it does not, and send again what was not archived.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use skytale_client::{Channel, Client, Event, Events};
use skytale_core::ChannelName;
use skytale_relay::AllowAnyone;
use skytale_store::{Appended, MemoryStore, Result, StoreError};
use skytale_testing::RunningRelay;
use skytale_testing::hooked_store::{Append, HookedStore, Next};

const ROOM: &str = "acme/research/room";

/// When the log is out of reach: some times when it is asked for the end of the room, or to archive what was said there.
#[derive(Debug, Default)]
struct Failing {
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

impl Failing {
    /// Runs a relay over a store that fails so.
    async fn serve(self: &Arc<Self>) -> RunningRelay {
        let (appends, heads) = (self.clone(), self.clone());
        let store = HookedStore::new(MemoryStore::new())
            .on_append(move |append, next| appends.clone().append(append, next))
            .on_head(move |channel| heads.head(channel));
        RunningRelay::assembled(Arc::new(store), AllowAnyone, |relay| relay, |listener| listener).await
    }

    async fn append(self: Arc<Self>, append: Append, next: Next) -> Result<Appended> {
        let (is_room, count) = (append.channel.to_string() == ROOM, append.records.len());
        if is_room && count > 1 {
            tokio::time::sleep(APPEND).await;
            if !is_over(&self.appends) && self.appends.load(Ordering::SeqCst) == 0 {
                self.failed.fetch_add(count as u32, Ordering::SeqCst);
                return Err(unavailable("it fails over"));
            }
        }
        let breaks_off = is_room && self.breaks_off.swap(false, Ordering::SeqCst);
        let appended = next.append(append).await?;
        if breaks_off { Err(unavailable("the connection broke during the commit")) } else { Ok(appended) }
    }

    fn head(&self, channel: &ChannelName) -> Result<()> {
        let fails = channel.to_string() == ROOM && !is_over(&self.failures);
        if fails { Err(unavailable("it fails over")) } else { Ok(()) }
    }
}

fn unavailable(why: &str) -> StoreError {
    StoreError::Unavailable { source: why.into() }
}

/// Returns the address of a relay for agents.
fn address(relay: &RunningRelay) -> String {
    format!("grpc://{}", relay.address)
}

#[tokio::test]
async fn a_channel_whose_subscription_is_refused_is_subscribed_later() {
    let store = Arc::new(Failing { failures: AtomicU32::new(2), ..Failing::default() });
    let relay = store.serve().await;
    let alice = Client::builder("acme/agents/alice", address(&relay)).start().await.expect("starts");
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
    let relay = store.serve().await;
    let names = ["acme/agents/alice", "globex/agents/bob"];
    let [(room, _), (_, mut heard)] = room_of(&relay, names).await;

    store.appends.store(2, Ordering::SeqCst);
    let sending = (0..SAID).map(|number| room.send(number.to_string()));
    let sent = futures::future::try_join_all(sending);
    let (sent, heard) =
        tokio::time::timeout(Duration::from_secs(120), async { tokio::join!(sent, read(&mut heard, SAID)) })
            .await
            .expect("in time");
    sent.expect("all are archived in the end");
    assert!(store.failed.load(Ordering::SeqCst) > 64, "enough failed together");
    assert_eq!(heard, (0..SAID).map(|number| number.to_string()).collect::<Vec<_>>());
}

/// Starts agents of one room, the first of whom made it, with what each of them hears.
async fn room_of<const N: usize>(relay: &RunningRelay, names: [&str; N]) -> [(Channel, Events); N] {
    let mut agents = Vec::new();
    for name in names {
        agents.push(Client::builder(name, address(relay)).start().await.expect("starts"));
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
    let relay = store.serve().await;
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
