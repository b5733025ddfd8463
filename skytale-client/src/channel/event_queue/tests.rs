//! Readers that turn away while the state is read, and records that cannot be read.

use futures::poll;
use rusqlite::Connection;

use super::*;
use crate::machine::effects::{Change, Kind};
use crate::machine::stored::put;
use crate::state::location::StateStore;

const SCOPE: &str = "acme/research/room";

/// An event that tells which one it is.
fn event(number: u64) -> (Option<EventKey>, Event) {
    let key = EventKey { sequence: number, part: 0 };
    (Some(key), Event::Evicted { sequence: number })
}

fn stored((key, event): &(Option<EventKey>, Event)) -> Change {
    put(Kind::Event, &key.expect("a key").to_bytes(), event).expect("serialises")
}

/// Stores and adds what comes, as a channel's task does.
async fn come(inbox: &EventQueue, numbers: impl Iterator<Item = u64>) {
    let events: Vec<_> = numbers.map(event).collect();
    let changes = events.iter().map(stored).collect();
    inbox.records.commit(vec![(SCOPE.to_owned(), changes)]).await.expect("stored");
    inbox.add(events);
}

/// Asks for the next event and turns away, since the state's thread waits for the disk.
async fn turn_away(inbox: &EventQueue, disk: &Connection) {
    disk.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let unrelated = Change::Put { kind: Kind::Intent, key: vec![0], value: vec![0] };
    let mut busy = Box::pin(inbox.records.commit(vec![("another".to_owned(), vec![unrelated])]));
    assert!(poll!(&mut busy).is_pending());
    assert!(poll!(&mut Box::pin(inbox.next())).is_pending());
    disk.execute_batch("ROLLBACK").expect("freed");
    // The read that nobody waits for is over before anything else comes.
    inbox.records.events(SCOPE, EventKey::default(), Page { events: 1, bytes: 1 }).await.expect("read");
}

#[tokio::test]
async fn readers_that_turn_away_miss_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let records = StateStore::directory(directory.path()).open().await.expect("opens");
    let disk = Connection::open(directory.path().join("agent.db")).expect("opens");
    let inbox = EventQueue::new(SCOPE.to_owned(), records);
    let mut last = WAITING as u64 + 300;
    come(&inbox, 1..last + 1).await;
    let (mut next, mut turned_away) = (1, 0);
    while next <= last {
        if inbox.is_drained() {
            turn_away(&inbox, &disk).await;
            turned_away += 1;
            if turned_away <= 20 {
                last += 1;
                come(&inbox, last..last + 1).await;
            }
        }
        match inbox.next().await.expect("readable").expect("open") {
            (Some(key), _) => {
                assert_eq!(key.sequence, next, "each once, in order");
                next += 1;
            }
            (None, event) => assert!(matches!(event, Event::Lagging { .. }), "{event:?}"),
        }
    }
    assert!(turned_away > 3, "only {turned_away} reads were cut short");
}

#[tokio::test]
async fn what_follows_a_damaged_record_does_not_take_its_place() {
    let records = StateStore::memory().open().await.expect("opens");
    let inbox = EventQueue::new(SCOPE.to_owned(), records.clone());
    let key = EventKey { sequence: 1, part: 0 }.to_bytes();
    let damaged = Change::Put { kind: Kind::Event, key, value: vec![0xc1] };
    records.commit(vec![(SCOPE.to_owned(), vec![damaged])]).await.expect("stored");
    assert!(inbox.next().await.is_err());
    come(&inbox, 2..3).await;
    assert!(inbox.next().await.is_err(), "it is told as long as it is there");
}
