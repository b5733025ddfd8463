//! Channels over real sockets: who hears what, and who does not.

use std::time::Duration;

use skytale_client::{ArchiveDurability, CipherSuite, Error, Event, LocalRelay, StateStore};
use skytale_store::Store;
use skytale_testing::edge::{self, By, Edge, ROOM, copy, expect, gather, hear};

const ALICE: &str = "acme/agents/alice";
const BOB: &str = "globex/agents/bob";
const CAROL: &str = "initech/agents/carol";

#[tokio::test]
async fn agents_on_quic_and_grpc_share_a_channel() {
    let edge = Edge::start().await;
    let alice = edge.agent(ALICE, By::Quic).start().await.expect("starts");
    let bob = edge.agent(BOB, By::Grpc).start().await.expect("starts");
    let [alices, bobs] = gather(&[alice, bob]).await.try_into().expect("two");
    let number = alices.send("hello, Bob").await.expect("sent");
    let heard = hear(&bobs, 1).await.remove(0);
    assert_eq!((heard.text().as_ref(), heard.sequence, heard.sender.as_str()), ("hello, Bob", number, ALICE));
    bobs.send("hello, Alice").await.expect("sent");
    assert_eq!(hear(&alices, 1).await[0].sender, BOB);
    assert_eq!(alices.epoch_authenticator(), bobs.epoch_authenticator());
    let names: Vec<_> = bobs.members().into_iter().map(|member| member.agent).collect();
    assert_eq!(names, [ALICE, BOB]);
}

#[tokio::test]
async fn an_agent_learns_what_its_messages_survive() {
    let relay = LocalRelay::start();
    let alice = relay.agent(ALICE).start().await.expect("starts");
    let room = alice.create_channel(ROOM).await.expect("created");
    room.send("hello").await.expect("sent");
    assert_eq!(room.durability(), Some(ArchiveDurability::Memory), "it says so with the answer");
}

#[tokio::test]
async fn an_agent_that_is_away_is_added_and_reads_what_came_after() {
    let edge = Edge::start().await;
    let alice = edge.agent(ALICE, By::Quic).start().await.expect("starts");
    let bob = edge.kept(BOB, By::Grpc).start().await.expect("starts");
    let room = alice.create_channel(ROOM).await.expect("created");
    room.send("before").await.expect("sent");
    bob.wait_until_addable().await.expect("left");
    bob.close().await;
    room.add(BOB).await.expect("added");
    room.send("after").await.expect("sent");
    let bob = edge.kept(BOB, By::Quic).start().await.expect("starts");
    assert_eq!(bob.invitations().await.expect("listed"), [ROOM]);
    let bobs = bob.join_channel(ROOM).await.expect("joined");
    assert_eq!(hear(&bobs, 1).await[0].text(), "after");
    assert!(bob.invitations().await.expect("listed").is_empty());
}

#[tokio::test]
async fn an_agent_whose_key_packages_are_used_up_is_added_by_its_last_resort() {
    let edge = Edge::start().await;
    let alice = edge.agent(ALICE, By::Quic).start().await.expect("starts");
    let bob = edge.kept(BOB, By::Grpc).with_key_packages(1).start().await.expect("starts");
    bob.wait_until_addable().await.expect("left");
    bob.close().await;
    let mut rooms = Vec::new();
    for number in 0..4 {
        let room = alice.create_channel(&format!("acme/research/room{number}")).await.expect("created");
        room.add(BOB).await.expect("added");
        room.send(format!("room {number}")).await.expect("sent");
        rooms.push(room);
    }
    let bob = edge.kept(BOB, By::Grpc).start().await.expect("starts");
    for (number, room) in rooms.iter().enumerate() {
        let bobs = bob.join_channel(&room.name().to_string()).await.expect("joined");
        assert_eq!(hear(&bobs, 1).await[0].text(), format!("room {number}"));
        assert_eq!(bobs.epoch_authenticator(), room.epoch_authenticator());
    }
    assert!(bob.invitations().await.expect("listed").is_empty(), "each Welcome was used once");
}

#[tokio::test]
async fn a_removed_agent_reads_nothing_after_its_removal() {
    let edge = Edge::start().await;
    let alice = edge.agent(ALICE, By::Quic).start().await.expect("starts");
    let bob = edge.agent(BOB, By::Quic).start().await.expect("starts");
    let [alices, bobs] = gather(&[alice, bob]).await.try_into().expect("two");
    let removal = alices.remove(BOB).await.expect("removed");
    alices.send("not for Bob").await.expect("sent");
    let Event::Evicted { sequence } =
        expect(&bobs, |event| !matches!(event, Event::Joined { .. } | Event::Epoch { .. })).await
    else {
        panic!("not evicted")
    };
    assert_eq!(sequence, removal);
    assert!(matches!(bobs.send("hello?").await, Err(Error::NotAMember { .. })));
    assert!(!bobs.is_member());
    assert_eq!(alices.members().len(), 1);
}

#[tokio::test]
async fn an_agent_that_was_removed_can_be_added_again_and_misses_nothing_of_before() {
    let edge = Edge::start().await;
    let alice = edge.agent(ALICE, By::Quic).start().await.expect("starts");
    let bob = edge.kept(BOB, By::Grpc).start().await.expect("starts");
    let [alices, mut bobs] = gather(&[alice, bob.clone()]).await.try_into().expect("two");
    bobs.send("mine").await.expect("sent");
    for round in 0..3 {
        alices.send(format!("before {round}")).await.expect("sent");
        let removal = alices.remove(BOB).await.expect("removed");
        alices.send("not for Bob").await.expect("sent");
        bobs.wait_for(removal).await.expect("reached");
        alices.add(BOB).await.expect("added");
        bobs = bob.join_channel(ROOM).await.expect("joined again");
        alices.send(format!("after {round}")).await.expect("sent");
        // The last one that was handed out had not been dealt with.
        let again = usize::from(round > 0);
        let heard = hear(&bobs, 2 + again).await;
        let heard: Vec<_> = heard[again..].iter().map(|message| message.text().into_owned()).collect();
        assert_eq!(heard, [format!("before {round}"), format!("after {round}")]);
        assert_eq!(bobs.sent_count(), 1, "it counts on");
        assert_eq!(alices.epoch_authenticator(), bobs.epoch_authenticator());
    }
}

#[tokio::test]
async fn an_agent_that_leaves_is_removed_by_one_of_the_others() {
    let edge = Edge::start().await;
    let mut agents = Vec::new();
    for name in [ALICE, BOB, CAROL] {
        agents.push(edge.agent(name, By::Quic).start().await.expect("starts"));
    }
    let [alices, bobs, carols] = gather(&agents).await.try_into().expect("three");
    bobs.leave().await.expect("asked");
    expect(&bobs, |event| matches!(event, Event::Evicted { .. })).await;
    for channel in [&alices, &carols] {
        expect(channel, |event| matches!(event, Event::Left { agent, .. } if agent == BOB)).await;
    }
    alices.send("still here").await.expect("sent");
    assert_eq!(hear(&carols, 1).await[0].text(), "still here");
}

#[tokio::test]
async fn one_of_two_that_create_a_channel_at_once_gets_it() {
    let edge = Edge::start().await;
    let alice = edge.agent(ALICE, By::Quic).start().await.expect("starts");
    let bob = edge.agent(BOB, By::Grpc).start().await.expect("starts");
    let rounds = if std::env::var("SKYTALE_SCALE").is_ok_and(|scale| scale == "full") { 1000 } else { 10 };
    for round in 0..rounds {
        let name = format!("acme/race/room{round}");
        let (first, second) = tokio::join!(alice.create_channel(&name), bob.create_channel(&name));
        let (got, refused) = match (first, second) {
            (Ok(got), Err(refused)) | (Err(refused), Ok(got)) => (got, refused),
            other => panic!("{other:?}"),
        };
        assert!(matches!(refused, Error::ChannelExists { .. }), "{refused}");
        got.send("mine").await.expect("sent");
    }
}

#[tokio::test]
async fn two_members_that_add_the_same_agent_at_once_both_succeed() {
    let edge = Edge::start().await;
    let mut agents = Vec::new();
    for name in [ALICE, BOB, CAROL] {
        agents.push(edge.agent(name, By::Quic).start().await.expect("starts"));
    }
    let carol = agents.pop().expect("three");
    carol.wait_until_addable().await.expect("left");
    let [alices, bobs] = gather(&agents).await.try_into().expect("two");
    let (first, second) = tokio::join!(alices.add(CAROL), bobs.add(CAROL));
    first.and(second).expect("both");
    let carols = carol.join_channel(ROOM).await.expect("joined");
    for channel in [&alices, &bobs, &carols] {
        channel.wait_for(alices.last_applied().max(bobs.last_applied())).await.expect("reached");
        assert_eq!(channel.members().len(), 3);
    }
}

#[tokio::test]
async fn what_was_not_sent_is_sent_when_the_relay_is_back() {
    let mut edge = Edge::start().await;
    let alice = edge.kept(ALICE, By::Quic).start().await.expect("starts");
    let bob = edge.kept(BOB, By::Grpc).start().await.expect("starts");
    let [alices, bobs] = gather(&[alice.clone(), bob.clone()]).await.try_into().expect("two");
    alices.send("one").await.expect("sent");
    edge.stop().await;
    let late = alices.clone();
    let waiting = tokio::spawn(async move { late.send("two").await });
    expect(&alices, |event| *event == Event::Disconnected).await;
    edge.run(skytale_relay::AllowAnyone).await;
    waiting.await.expect("runs").expect("sent");
    let heard: Vec<_> = hear(&bobs, 2).await.into_iter().map(|message| message.body).collect();
    assert_eq!(heard, [b"one".to_vec(), b"two".to_vec()]);
}

#[tokio::test]
async fn an_agent_that_is_opened_again_goes_on_where_it_was() {
    let edge = Edge::start().await;
    let alice = edge.kept(ALICE, By::Quic).start().await.expect("starts");
    let bob = edge.kept(BOB, By::Quic).start().await.expect("starts");
    let [alices, bobs] = gather(&[alice, bob.clone()]).await.try_into().expect("two");
    for number in 0..10 {
        alices.send(format!("{number}")).await.expect("sent");
    }
    assert_eq!(hear(&bobs, 4).await.len(), 4);
    bob.close().await;
    alices.send("10").await.expect("sent");
    let bob = edge.kept(BOB, By::Grpc).start().await.expect("starts");
    assert_eq!(bob.channels().await.expect("listed"), [ROOM]);
    let bobs = bob.open_channel(ROOM).await.expect("opened");
    // The last one that was handed out had not been dealt with.
    let heard: Vec<_> = hear(&bobs, 8).await.iter().map(|message| message.text().into_owned()).collect();
    assert_eq!(heard, ["3", "4", "5", "6", "7", "8", "9", "10"]);
}

#[tokio::test]
async fn a_state_is_one_process_s_and_one_key_s() {
    let edge = Edge::start().await;
    let place = StateStore::directory(edge.place("kept")).encrypted_with([1; 32]);
    let client = edge.agent(ALICE, By::Quic).with_state(place.clone()).start().await.expect("starts");
    let again = edge.agent(ALICE, By::Quic).with_state(place.clone()).start().await;
    let Err(error @ Error::StateInUse { .. }) = again else { panic!("two have it") };
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    let room = client.create_channel("acme/research/hidden").await.expect("created");
    room.send("hidden words").await.expect("sent");
    client.close().await;
    let bytes = std::fs::read(edge.place("kept").join("agent.db")).expect("read");
    assert!(!contains(&bytes, b"hidden words"));
    let other = StateStore::directory(edge.place("kept")).encrypted_with([2; 32]);
    assert!(matches!(edge.agent(ALICE, By::Quic).with_state(other).start().await, Err(Error::State { .. })));
    let other = edge.agent(BOB, By::Quic).with_state(place.clone()).start().await;
    assert!(matches!(other, Err(Error::Configuration { .. })), "another agent's");
    edge.agent(ALICE, By::Quic).with_state(place).start().await.expect("opens again");
    std::os::unix::fs::symlink(edge.place("kept"), edge.place("link")).expect("linked");
    let linked =
        edge.agent(ALICE, By::Quic).with_state(StateStore::directory(edge.place("link"))).start().await;
    assert!(matches!(linked, Err(Error::Configuration { .. })), "a link");
    for file in ["agent.db", "lock"] {
        let place = edge.place(&format!("with-linked-{file}"));
        std::fs::create_dir(&place).expect("made");
        std::os::unix::fs::symlink(edge.place("elsewhere"), place.join(file)).expect("linked");
        let linked = edge.agent(ALICE, By::Quic).with_state(StateStore::directory(place)).start().await;
        assert!(matches!(linked, Err(Error::Configuration { .. })), "{file}");
        assert!(!edge.place("elsewhere").exists());
    }
}

#[tokio::test]
async fn an_agent_with_an_older_state_comes_back_by_an_external_commit() {
    let edge = Edge::start().await;
    let alice = edge.kept(ALICE, By::Quic).start().await.expect("starts");
    let bob = edge.kept(BOB, By::Quic).start().await.expect("starts");
    let [alices, bobs] = gather(&[alice, bob.clone()]).await.try_into().expect("two");
    bob.close().await;
    drop(bobs);
    let (place, backup) = (edge.place(BOB), edge.place("backup"));
    copy(&place, &backup);
    let bob = edge.kept(BOB, By::Quic).start().await.expect("starts");
    let bobs = bob.open_channel(ROOM).await.expect("opened");
    bobs.rotate().await.expect("rotated");
    bobs.send("as I was").await.expect("sent");
    bob.close().await;
    std::fs::remove_dir_all(&place).expect("removed");
    copy(&backup, &place);
    let bob = edge.kept(BOB, By::Quic).start().await.expect("starts");
    let bobs = bob.open_channel(ROOM).await.expect("opened");
    expect(&bobs, |event| matches!(event, Event::Forked { .. })).await;
    expect(&bobs, |event| matches!(event, Event::Rejoined { .. })).await;
    let number = bobs.send("as I am").await.expect("sent");
    alices.wait_for(number).await.expect("reached");
    let heard: Vec<_> = hear(&alices, 2).await.iter().map(|message| message.text().into_owned()).collect();
    assert_eq!(heard, ["as I was", "as I am"]);
    assert_eq!(alices.members().len(), 2, "never two leaves");
    assert_eq!(alices.epoch_authenticator(), bobs.epoch_authenticator());
}

#[tokio::test]
async fn a_forked_agent_is_let_in_again_where_no_external_commits_are_taken() {
    let relay = LocalRelay::start();
    let directory = tempfile::tempdir().expect("a directory");
    let alice = relay.agent(ALICE).start().await.expect("starts");
    let start = || relay.agent(BOB).with_state(StateStore::directory(directory.path())).start();
    let bob = start().await.expect("starts");
    let [alices, bobs] = gather(&[alice, bob.clone()]).await.try_into().expect("two");
    bob.close().await;
    drop(bobs);
    let missed = alices.rotate().await.expect("rotated");
    let fork = alices.rotate().await.expect("rotated");
    relay.store().trim(alices.name(), skytale_core::SequenceNumber(missed)).await.expect("trimmed");

    let bob = start().await.expect("starts");
    let bobs = bob.open_channel(ROOM).await.expect("opened");
    let forked = expect(&bobs, |event| matches!(event, Event::Forked { .. })).await;
    assert!(matches!(forked, Event::Forked { sequence, .. } if sequence == fork));
    let lost = tokio::time::timeout(edge::SOON, bobs.send("to nobody")).await.expect("it is told");
    assert!(matches!(lost, Err(Error::NotAMember { .. })), "{lost:?}");
    let same = bob.join_channel(ROOM).await.expect("nobody has added it");
    assert!(matches!(same.send("to nobody").await, Err(Error::NotAMember { .. })));

    alices.remove(BOB).await.expect("removed");
    let addition = alices.add(BOB).await.expect("added");
    bobs.wait_for(addition).await.expect("it reads on");
    let bobs = bob.join_channel(ROOM).await.expect("joined again");
    alices.send("welcome back").await.expect("sent");
    expect(&bobs, |event| matches!(event, Event::Message(message) if message.text() == "welcome back")).await;
    bobs.send("here again").await.expect("sent");
    assert_eq!(hear(&alices, 1).await[0].text(), "here again");
    assert!(bob.invitations().await.expect("listed").is_empty());
}

#[tokio::test]
async fn what_the_archive_has_dropped_is_a_gap() {
    let edge = Edge::start().await;
    let alice = edge.kept(ALICE, By::Quic).start().await.expect("starts");
    let bob = edge.kept(BOB, By::Quic).start().await.expect("starts");
    let [alices, bobs] = gather(&[alice, bob.clone()]).await.try_into().expect("two");
    let read = bobs.last_applied();
    bob.close().await;
    for number in 0..5 {
        alices.send(format!("{number}")).await.expect("sent");
    }
    let through = skytale_core::SequenceNumber(read + 3);
    edge.store().trim(alices.name(), through).await.expect("trimmed");
    let bob = edge.kept(BOB, By::Quic).start().await.expect("starts");
    let bobs = bob.open_channel(ROOM).await.expect("opened");
    let gap = expect(&bobs, |event| matches!(event, Event::Gap { .. })).await;
    assert_eq!(gap, Event::Gap { from: read + 1, to: read + 3 });
    let heard: Vec<_> = hear(&bobs, 2).await.iter().map(|message| message.text().into_owned()).collect();
    assert_eq!(heard, ["3", "4"]);
}

#[tokio::test]
async fn the_post_quantum_suite_works_the_same() {
    let relay = LocalRelay::start();
    let agent = |name| relay.agent(name).with_cipher_suite(CipherSuite::PostQuantum).with_key_packages(2);
    let (alice, bob) =
        (agent(ALICE).start().await.expect("starts"), agent(BOB).start().await.expect("starts"));
    let [alices, bobs] = gather(&[alice, bob]).await.try_into().expect("two");
    alices.send("for a long time").await.expect("sent");
    assert_eq!(hear(&bobs, 1).await[0].text(), "for a long time");
}

#[tokio::test]
async fn an_agent_of_another_suite_cannot_be_added() {
    let relay = LocalRelay::start();
    let alice = relay.agent(ALICE).start().await.expect("starts");
    let bob = relay
        .agent(BOB)
        .with_cipher_suite(CipherSuite::PostQuantum)
        .with_key_packages(1)
        .start()
        .await
        .expect("starts");
    let room = alice.create_channel(ROOM).await.expect("created");
    bob.wait_until_addable().await.expect("left");
    assert!(room.add(BOB).await.is_err());
    room.send("the channel goes on").await.expect("sent");
    assert!(matches!(room.add("no/such/agent").await, Err(Error::NoKeyPackage { .. })));
}

#[tokio::test]
async fn too_long_a_message_is_refused_and_nothing_is_lost() {
    let relay = LocalRelay::start();
    let alice = relay.agent(ALICE).start().await.expect("starts");
    let room = alice.create_channel(ROOM).await.expect("created");
    let long = room.send(vec![0; 1024 * 1024 + 1]).await;
    assert!(matches!(long, Err(Error::TooLarge { found: 1_048_577, allowed: 1_048_576 })));
    room.send(vec![0; 1024 * 1024]).await.expect("sent");
}

#[tokio::test]
async fn an_agent_that_says_much_gives_itself_new_keys() {
    let relay = LocalRelay::start();
    let alice = relay.agent(ALICE).with_rekey_after(10).start().await.expect("starts");
    let bob = relay.agent(BOB).start().await.expect("starts");
    let [alices, bobs] = gather(&[alice, bob]).await.try_into().expect("two");
    let before = alices.epoch();
    for number in 0..35 {
        alices.send(format!("{number}")).await.expect("sent");
    }
    let heard = hear(&bobs, 35).await;
    for epoch in heard.chunk_by(|one, next| one.epoch == next.epoch) {
        assert!(epoch.len() <= 20, "{} messages in epoch {}", epoch.len(), epoch[0].epoch);
    }
    assert!(heard[34].epoch >= before + 2, "from epoch {before} to {}", heard[34].epoch);
}

#[tokio::test]
async fn cover_is_nobody_s_message() {
    let relay = LocalRelay::start();
    let alice =
        relay.agent(ALICE).with_cover_traffic(Duration::from_millis(5)).start().await.expect("starts");
    let bob = relay.agent(BOB).start().await.expect("starts");
    let [alices, bobs] = gather(&[alice, bob]).await.try_into().expect("two");
    let before = bobs.last_applied();
    bobs.wait_for(before + 5).await.expect("cover arrives");
    alices.send("meant").await.expect("sent");
    assert_eq!(hear(&bobs, 1).await[0].text(), "meant");
}

fn contains(bytes: &[u8], secret: &[u8]) -> bool {
    bytes.windows(secret.len()).any(|window| window == secret)
}
