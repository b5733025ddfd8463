//! Key packages that the relay has while the agent does not know it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use skytale_client::Client;
use skytale_core::ChannelName;
use skytale_store::{CommitAttachments, KeyPackageDirectory, MessageId, SqlStore};
use skytale_testing::edge::{self, By, Edge, hear};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const ALICE: &str = "acme/agents/alice";
const BOB: &str = "globex/agents/bob";

/// How many key packages Bob leaves at a time.
const STOCK: u32 = 3;

/// How a key package begins as an `MLSMessage`: MLS 1.0, `mls_key_package`, and MLS 1.0 again.
const KEY_PACKAGE: [u8; 6] = [0, 1, 0, 5, 0, 1];

/// A way to the relay on which the answer to the first upload is lost: from the upload on nothing comes back, until the
/// connection is cut.
struct Way {
    address: SocketAddr,
    state: Arc<watch::Sender<State>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// The relay gets the upload, and the agent no answer.
    Swallowing,
    /// Later connections are left alone.
    Cut,
}

impl Way {
    async fn to(relay: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(watch::Sender::new(State::Open));
        let states = state.clone();
        tokio::spawn(async move {
            while let Ok((agent, _)) = listener.accept().await {
                let Ok(relay) = TcpStream::connect(relay).await else { continue };
                let ((from_agent, to_agent), (from_relay, to_relay)) =
                    (agent.into_split(), relay.into_split());
                let troubled = *states.borrow() == State::Open;
                tokio::spawn(there(from_agent, to_relay, states.clone()));
                tokio::spawn(back(from_relay, to_agent, states.subscribe(), troubled));
            }
        });
        Self { address, state }
    }

    async fn reached(&self, wanted: State) {
        let mut states = self.state.subscribe();
        let reached = states.wait_for(|state| *state == wanted);
        tokio::time::timeout(edge::SOON, reached).await.expect("in time").expect("open");
    }
}

/// Carries what the agent says; before an upload goes on, the way back is closed.
async fn there(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: Arc<watch::Sender<State>>) {
    let (mut buffer, mut tail) = (vec![0; 64 * 1024], Vec::new());
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        tail.extend_from_slice(&buffer[..count]);
        if tail.windows(KEY_PACKAGE.len()).any(|bytes| bytes == KEY_PACKAGE) {
            state.send_if_modified(|state| {
                let is_first = *state == State::Open;
                *state = if is_first { State::Swallowing } else { *state };
                is_first
            });
        }
        tail.drain(..tail.len().saturating_sub(KEY_PACKAGE.len() - 1));
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

/// Carries what the relay says, on the first connection only while the way is open; then it is cut.
async fn back(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<State>,
    troubled: bool,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if troubled && *state.borrow() != State::Open {
            break;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
    let _ = state.wait_for(|state| *state == State::Cut).await;
}

async fn held(store: &SqlStore, agent: &ChannelName) -> u32 {
    store.count_key_packages(agent).await.expect("counted")
}

async fn claim(store: &SqlStore, agent: &ChannelName) -> Option<bytes::Bytes> {
    let claimed = store.claim_key_package(agent).await.expect("claimed")?;
    (!claimed.is_last_resort).then_some(claimed.key_package)
}

/// What an agent left in an earlier life is of no use: nobody has its private keys any more.
#[tokio::test]
async fn an_agent_whose_state_is_gone_is_added_by_a_key_package_of_its_new_one() {
    let edge = Edge::start().await;
    let alice = edge.agent(ALICE, By::Quic).start().await.expect("starts");
    let room = alice.create_channel(edge::ROOM).await.expect("created");
    for _ in 0..2 {
        let lost = edge.agent(BOB, By::Grpc).start().await.expect("starts");
        lost.wait_until_addable().await.expect("left");
        lost.close().await;
    }
    let bob = edge.agent(BOB, By::Grpc).start().await.expect("starts");
    edge::add(&room, &bob).await;
    let bobs = bob.join_channel(edge::ROOM).await.expect("joined by the first Welcome");
    room.send("welcome").await.expect("sent");
    assert_eq!(hear(&bobs, 1).await[0].text(), "welcome");
    assert!(held(edge.store(), bob.name()).await <= STOCK, "none of an earlier life");
}

/// Commits that are not decided, as of a relay that died, hide no Welcome behind theirs.
#[tokio::test]
async fn a_welcome_is_found_behind_any_number_of_others() {
    let edge = Edge::start().await;
    let alice = edge.agent(ALICE, By::Quic).start().await.expect("starts");
    let bob = edge.agent(BOB, By::Grpc).start().await.expect("starts");
    for number in 0..150 {
        let bundle = CommitAttachments {
            channel: ChannelName::parse("acme/research/other").expect("a name"),
            commit: MessageId([number; 16]),
            welcomes: vec![(bob.name().clone(), vec![number; 9].into())],
            group_info: None,
        };
        edge.store().deposit(bundle).await.expect("deposited");
    }
    let [_, _] = edge::gather(&[alice, bob]).await.try_into().expect("two");
}

#[tokio::test]
async fn an_upload_whose_answer_is_lost_is_not_repeated() {
    let edge = Edge::start().await;
    let way = Way::to(edge.socket(By::Grpc)).await;
    let alice = edge.agent(ALICE, By::Quic).start().await.expect("starts");
    let address = format!("grpc://{}", way.address);
    let bob = Client::builder(BOB, address).with_key_packages(STOCK).start().await.expect("starts");
    let (store, bobs_name) = (edge.store().clone(), bob.name().clone());

    // The relay has them, and Bob does not know.
    way.reached(State::Swallowing).await;
    while held(&store, &bobs_name).await < STOCK {
        tokio::task::yield_now().await;
    }
    // Meanwhile some are used: left again, others would use them a second time.
    let mut rooms = Vec::new();
    for number in 0..2 {
        let room = alice.create_channel(&format!("acme/research/room{number}")).await.expect("created");
        room.add(BOB).await.expect("added");
        rooms.push(room);
    }
    let mut given = BTreeSet::from([claim(&store, &bobs_name).await.expect("there is one more")]);
    assert_eq!(claim(&store, &bobs_name).await, None);
    way.state.send_replace(State::Cut);

    bob.wait_until_addable().await.expect("left");
    assert!(held(&store, &bobs_name).await >= STOCK, "he has left others");
    for number in 2..4 {
        let room = alice.create_channel(&format!("acme/research/room{number}")).await.expect("created");
        room.add(BOB).await.expect("added");
        rooms.push(room);
    }
    for room in &rooms {
        let bobs = bob.join_channel(&room.name().to_string()).await.expect("a key package of his own");
        room.send("welcome").await.expect("sent");
        assert_eq!(hear(&bobs, 1).await[0].text(), "welcome");
        assert_eq!(bobs.epoch_authenticator(), room.epoch_authenticator());
    }
    while let Some(key_package) = claim(&store, &bobs_name).await {
        assert!(given.insert(key_package), "it was given before");
    }
    assert!(given.len() > 1, "those that are left were looked at");
}
