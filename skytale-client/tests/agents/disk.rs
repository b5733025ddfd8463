//! A disk that fails, and a state that is older than what was sent.

use std::path::Path;

use rusqlite::Connection;
use skytale_client::{Client, Durability, Error, Event, StateStore};
use skytale_testing::edge::{By, Edge, ROOM, SOON, add, copy, gather, hear};

const ALICE: &str = "acme/agents/alice";
const BOB: &str = "globex/agents/bob";

/// Kinds of records, as the state numbers them: whichever cannot be written, nothing of its step is.
const KINDS: std::ops::RangeInclusive<u8> = 1..=6;

/// Opens an agent's state beside it.
fn open(place: &Path) -> Connection {
    let connection = Connection::open(place.join("agent.db")).expect("opens");
    connection.busy_timeout(SOON).expect("an option");
    connection
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_whose_disk_fails_goes_on_from_its_last_step() {
    let edge = Edge::start().await;
    let alice = edge.kept(ALICE, By::Quic).start().await.expect("starts");
    let bob = edge.kept(BOB, By::Quic).start().await.expect("starts");
    let [alices, bobs] = gather(&[alice, bob]).await.try_into().expect("two");
    let disk = open(&edge.place(ALICE));
    let mut expected = Vec::new();
    for kind in KINDS {
        for write in ["INSERT", "DELETE"] {
            let row = if write == "INSERT" { "NEW" } else { "OLD" };
            let fail = format!(
                "CREATE TRIGGER fails BEFORE {write} ON records WHEN {row}.kind = {kind} \
                 BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
            );
            disk.execute_batch(&fail).expect("made");
            let said = format!("{kind} {write}");
            let sent = alices.send(said.clone()).await;
            let rotated = alices.rotate().await;
            bobs.send(format!("to Alice, {said}")).await.expect("sent");
            disk.execute_batch("DROP TRIGGER fails").expect("dropped");
            for failed in [sent, rotated].into_iter().filter_map(Result::err) {
                assert!(matches!(failed, Error::State { .. } | Error::Closed), "{failed}");
            }
            expected.push(said);
        }
    }
    alices.send("the last").await.expect("sent");
    let heard = hear(&alices, expected.len()).await;
    let wanted: Vec<_> = expected.iter().map(|said| format!("to Alice, {said}")).collect();
    assert_eq!(heard.iter().map(|message| message.text().into_owned()).collect::<Vec<_>>(), wanted);
    // A message whose caller was told of a failure may have been kept all the same, and is then said.
    expected.push("the last".to_owned());
    let mut said = expected.iter();
    loop {
        let text = hear(&bobs, 1).await.remove(0).text().into_owned();
        assert!(said.any(|expected| *expected == text), "{text} twice, or out of order");
        if text == "the last" {
            break;
        }
    }
    let last = alices.rotate().await.expect("rotated");
    bobs.wait_for(last).await.expect("reached");
    assert_eq!(alices.epoch_authenticator(), bobs.epoch_authenticator());
}

#[tokio::test]
async fn an_agent_is_told_that_its_state_fails_and_can_be_closed_all_the_same() {
    let edge = Edge::start().await;
    let alice = edge.kept(ALICE, By::Quic).start().await.expect("starts");
    let room = alice.create_channel(ROOM).await.expect("created");
    let mut events = room.events();
    let fail = "UPDATE records SET value = x'00' WHERE kind = 2; \
                CREATE TRIGGER fails BEFORE INSERT ON records BEGIN SELECT RAISE(ABORT, 'the disk is full'); END";
    open(&edge.place(ALICE)).execute_batch(fail).expect("made");
    for _ in 0..2 {
        let sent = room.send("hello").await;
        assert!(matches!(sent, Err(Error::State { .. })), "{sent:?}");
    }
    let told = async {
        loop {
            if let Event::StateFailed { reason } = events.next().await.expect("open").expect("an event") {
                return reason;
            }
        }
    };
    let reason = tokio::time::timeout(SOON, told).await.expect("told");
    assert!(reason.contains("the disk is full"), "{reason}");
    tokio::time::timeout(SOON, alice.close()).await.expect("closed");
}

#[tokio::test]
async fn a_welcome_that_could_not_be_kept_is_there_for_the_next_try() {
    let edge = Edge::start().await;
    let alice = edge.agent(ALICE, By::Quic).start().await.expect("starts");
    let bob = edge.kept(BOB, By::Quic).start().await.expect("starts");
    let room = alice.create_channel(ROOM).await.expect("created");
    add(&room, &bob).await;
    let disk = open(&edge.place(BOB));
    let fail = "CREATE TRIGGER fails BEFORE INSERT ON records WHEN NEW.kind = 2 \
                BEGIN SELECT RAISE(ABORT, 'the disk is full'); END";
    disk.execute_batch(fail).expect("made");
    assert!(matches!(bob.join_channel(ROOM).await, Err(Error::State { .. })));
    disk.execute_batch("DROP TRIGGER fails").expect("dropped");
    let joining = tokio::time::timeout(SOON, bob.join_channel(ROOM)).await.expect("the Welcome waits");
    let bobs = joining.expect("joined");
    room.send("hello").await.expect("sent");
    assert_eq!(hear(&bobs, 1).await[0].text(), "hello");
    assert!(bob.invitations().await.expect("listed").is_empty());
}

/// Copies a state as it is at a moment, while it is in use.
fn snapshot(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    let state = Connection::open(from.join("agent.db")).expect("opens");
    let to = to.join("agent.db");
    state.execute("VACUUM INTO ?1", [to.to_str().expect("text")]).expect("copied");
}

/// A power failure takes the last steps of a state that is not synced at each; the messages of those steps are sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_whose_last_steps_are_gone_uses_no_key_again() {
    let edge = Edge::start().await;
    let relaxed = || StateStore::directory(edge.place(ALICE)).with_durability(Durability::Relaxed);
    let start = || async { edge.agent(ALICE, By::Quic).with_state(relaxed()).start().await.expect("starts") };
    let (alice, bob) = (start().await, edge.kept(BOB, By::Quic).start().await.expect("starts"));
    let [mut alices, bobs] = gather(&[alice.clone(), bob]).await.try_into().expect("two");
    let (mut alice, mut expected) = (alice, Vec::new());
    for lost in [1, 2, 10, 100] {
        let backup = edge.place(&format!("backup{lost}"));
        alices.send(format!("kept {lost}")).await.expect("sent");
        snapshot(&edge.place(ALICE), &backup);
        for number in 0..lost {
            alices.send(format!("lost {lost} {number}")).await.expect("sent");
        }
        alice.close().await;
        std::fs::remove_dir_all(edge.place(ALICE)).expect("removed");
        copy(&backup, &edge.place(ALICE));
        alice = start().await;
        alices = alice.open_channel(ROOM).await.expect("opened");
        alices.send(format!("again {lost}")).await.expect("sent");
        expected.push(format!("kept {lost}"));
        expected.extend((0..lost).map(|number| format!("lost {lost} {number}")));
        expected.push(format!("again {lost}"));
    }
    let heard = hear(&bobs, expected.len()).await;
    assert_eq!(heard.iter().map(|message| message.text().into_owned()).collect::<Vec<_>>(), expected);
}

/// A power failure takes what is not synced: of a state that was not closed, the mark must not be.
#[tokio::test]
async fn a_state_is_known_to_be_open_before_anything_of_it_can_be_lost() {
    let directory = tempfile::tempdir().expect("a directory");
    let state = StateStore::directory(directory.path()).with_durability(Durability::Relaxed);
    let start = || Client::builder(ALICE, "grpc://127.0.0.1:9").with_state(state.clone()).start();
    start().await.expect("starts").close().await;
    let file = open(directory.path());
    let watch = "CREATE TABLE seen (what TEXT, synchronous INTEGER); \
        CREATE TRIGGER marks AFTER INSERT ON opened \
        BEGIN INSERT INTO seen SELECT 'mark', synchronous FROM pragma_synchronous; END; \
        CREATE TRIGGER steps AFTER INSERT ON records \
        BEGIN INSERT INTO seen SELECT 'step', synchronous FROM pragma_synchronous; END";
    file.execute_batch(watch).expect("made");
    let client = start().await.expect("starts");
    let begun = async { while client.channels().await.expect("readable").is_empty() {} };
    tokio::select! {
        created = client.create_channel(ROOM) => panic!("there is no relay: {created:?}"),
        begun = tokio::time::timeout(SOON, begun) => begun.expect("kept"),
    }
    client.close().await;
    let seen = |what: &str| -> u32 {
        file.query_row("SELECT synchronous FROM seen WHERE what = ?1", [what], |row| row.get(0)).expect(what)
    };
    let (normal, full) = (1, 2);
    assert_eq!((seen("mark"), seen("step")), (full, normal));
}
