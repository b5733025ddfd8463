//! What a state says of itself when it is opened again.

use std::fs;
use std::path::Path;

use super::*;
use crate::machine::stored::ONLY;

const ROOMS: [&str; 2] = ["acme/research/one", "acme/research/two"];

async fn open(directory: &Path, durability: Durability) -> Records {
    let state = StateStore::directory(directory).encrypted_with([7; 32]).with_durability(durability);
    state.open().await.expect("opens")
}

/// Makes a state that knows some channels, and closes it.
async fn make(directory: &Path) {
    let records = open(directory, Durability::Full).await;
    let known = |room: &str| {
        let channel = Change::Put { kind: Kind::Channel, key: ONLY.to_vec(), value: b"channel".to_vec() };
        (room.to_owned(), vec![channel])
    };
    records.commit(ROOMS.map(known).to_vec()).await.expect("stored");
    records.close().await;
}

/// Returns of which channels the state may lack the last steps.
async fn in_doubt(records: &Records) -> Vec<&'static str> {
    let mut found = Vec::new();
    for room in ROOMS {
        if records.load(room).await.expect("loads").contains_key(&Kind::Doubt) {
            found.push(room);
        }
    }
    found
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("listed") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}

#[tokio::test]
async fn a_state_that_was_closed_is_in_order() {
    let directory = tempfile::tempdir().expect("a directory");
    make(directory.path()).await;
    for durability in [Durability::Full, Durability::Relaxed, Durability::Full] {
        let records = open(directory.path(), durability).await;
        assert!(in_doubt(&records).await.is_empty(), "{durability:?}");
        records.close().await;
    }
}

/// What was made of a copy's keys since, its original has made, or the copy itself before it was restored.
#[tokio::test]
async fn every_channel_of_a_copy_is_in_doubt_until_it_has_new_keys() {
    let (made, elsewhere) =
        (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("another"));
    make(made.path()).await;
    let copied = elsewhere.path().join("agent");
    copy(made.path(), &copied);
    let records = open(&copied, Durability::Full).await;
    assert_eq!(in_doubt(&records).await, ROOMS);
    let renewed = Change::Delete { kind: Kind::Doubt, key: ONLY.to_vec() };
    records.commit(vec![(ROOMS[0].to_owned(), vec![renewed])]).await.expect("stored");
    records.close().await;
    // A channel that was not opened meanwhile is in doubt for as long as that takes.
    let records = open(&copied, Durability::Full).await;
    assert_eq!(in_doubt(&records).await, &ROOMS[1..]);
    records.close().await;
    let records = open(made.path(), Durability::Full).await;
    assert!(in_doubt(&records).await.is_empty(), "the original is none");
}

#[tokio::test]
async fn every_channel_is_in_doubt_after_a_relaxed_session_that_did_not_end_in_order() {
    let (made, elsewhere) =
        (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("another"));
    make(made.path()).await;
    for (durability, expected) in [(Durability::Full, &[][..]), (Durability::Relaxed, &ROOMS[..])] {
        let session = open(made.path(), durability).await;
        let saved = elsewhere.path().join(format!("{durability:?}"));
        copy(made.path(), &saved);
        session.close().await;
        // The file comes back as it was while the session lasted, as after a power failure.
        for entry in fs::read_dir(made.path()).expect("listed") {
            let name = entry.expect("an entry").file_name();
            if !saved.join(&name).exists() {
                fs::remove_file(made.path().join(&name)).expect("removed");
            }
        }
        for entry in fs::read_dir(&saved).expect("listed") {
            let name = entry.expect("an entry").file_name();
            fs::write(made.path().join(&name), fs::read(saved.join(&name)).expect("read")).expect("written");
        }
        let records = open(made.path(), Durability::Full).await;
        assert_eq!(in_doubt(&records).await, expected, "{durability:?}");
        records.close().await;
    }
}

/// Whoever opens a copy without its key, by mistake, has damaged nothing.
#[tokio::test]
async fn a_copy_that_was_opened_with_another_key_is_in_doubt_and_readable() {
    let (made, elsewhere) =
        (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("another"));
    make(made.path()).await;
    let copied = elsewhere.path().join("agent");
    copy(made.path(), &copied);
    let mistaken = StateStore::directory(&copied).encrypted_with([8; 32]).open().await.expect("opens");
    assert!(mistaken.load(ROOMS[0]).await.is_err());
    mistaken.close().await;
    let records = open(&copied, Durability::Full).await;
    assert_eq!(in_doubt(&records).await, ROOMS);
}

#[tokio::test]
async fn events_are_taken_by_number_and_by_bytes() {
    let directory = tempfile::tempdir().expect("a directory");
    for records in [Records::Memory(Arc::default()), open(directory.path(), Durability::Full).await] {
        let event = |number: u64| Change::Put {
            kind: Kind::Event,
            key: EventKey { sequence: number, part: 0 }.to_bytes(),
            value: vec![number as u8; 1_000],
        };
        let events = (1..=10).map(event).collect();
        records.commit(vec![(ROOMS[0].to_owned(), events)]).await.expect("stored");
        for (events, bytes, count, more) in
            [(3, 1 << 20, 3, true), (10, 1, 1, true), (10, 2_500, 3, true), (20, 1 << 20, 10, false)]
        {
            let found =
                records.events(ROOMS[0], EventKey::default(), Page { events, bytes }).await.expect("read");
            assert_eq!((found.events.len(), found.more), (count, more), "{events} events, {bytes} bytes");
        }
    }
}
