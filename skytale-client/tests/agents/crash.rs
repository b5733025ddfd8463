//! The process is killed (SIGKILL) at every place where a crash could tear something, and comes back.
//!
//! `SKYTALE_KILLS=100` kills so often at each place.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::StreamExt;
use skytale_client::{Channel, Client, Credentials, Event, StateStore};
use skytale_testing::AccountPerToken;
use skytale_testing::edge::{self, By, Edge, ROOM, hear};
use skytale_testing::token_api::{KEY, TokenApi};
use skytale_testing::tokens;
use tokio::process::Command;

/// How many processes were started; each has this as its token.
static RUNS: AtomicU32 = AtomicU32::new(0);

const WITNESS: &str = "acme/agents/witness";
const VICTIM: &str = "globex/agents/victim";

/// How many messages the victim says in all, for each time it is killed, and how long one may take.
const MESSAGES_A_KILL: u64 = 6;
const A_MESSAGE: Duration = Duration::from_millis(250);

/// How long a token lives that is to be renewed, in seconds.
const LIFE: u64 = 4;

/// Relays let an account in by an external commit once a minute: with each token the agent is another one.
const PER_TOKEN: AccountPerToken = AccountPerToken { otherwise: Some("witness") };

fn kills() -> u32 {
    std::env::var("SKYTALE_KILLS").map_or(4, |kills| kills.parse().expect("a number"))
}

/// Kills the victim again and again at one place while it talks and commits; at last it finishes.
async fn killed_while_talking(place: &str, passings: &[u32]) {
    let edge = Edge::start().await;
    let (_witness, room) = with_victim(&edge).await;

    let total = u64::from(kills()) * MESSAGES_A_KILL;
    let talking = async {
        let mut interval = tokio::time::interval(Duration::from_millis(20));
        for number in 0.. {
            interval.tick().await;
            if number % 7 == 3 {
                room.rotate().await.expect("rotated");
            }
            room.send(format!("{number}")).await.expect("sent");
        }
    };
    let killing = async {
        let mut killed = 0;
        for round in 0..kills() {
            let passing = passings[round as usize % passings.len()] + round / passings.len() as u32 % 5;
            let ended = victim(&edge, total, Some(&format!("{place}:{passing}"))).await;
            killed += u32::from(!ended.success());
        }
        let ended = victim(&edge, total, None).await;
        assert!(ended.success(), "it does not finish: {ended}");
        killed
    };
    let hearing = async {
        let mut heard = Vec::new();
        for _ in 0..total {
            heard.extend(hear(&room, 1).await);
        }
        heard
    };
    let killed = tokio::select! {
        () = talking => unreachable!("it goes on for ever"),
        (killed, heard) = async { tokio::join!(killing, hearing) } => {
            let said: Vec<u64> = heard.iter().map(|message| message.text().parse().expect("a number")).collect();
            let expected: Vec<u64> = (1..=total).collect();
            assert_eq!(said, expected, "each message once, in order");
            killed
        }
    };
    assert!(killed > kills() / 2, "killed {killed} of {} times", kills());
    agrees(&edge, &room).await;
    println!("{place}: killed {killed} times");
}

/// Makes a channel of the witness, in which the victim is a member that is away.
async fn with_victim(edge: &Edge) -> (Client, Channel) {
    let witness = edge.agent(WITNESS, By::Quic).start().await.expect("starts");
    let room = witness.create_channel(ROOM).await.expect("created");
    let visit = edge.kept(VICTIM, By::Quic).start().await.expect("starts");
    edge::add(&room, &visit).await;
    visit.join_channel(ROOM).await.expect("joined");
    visit.close().await;
    (witness, room)
}

/// The victim is in the same group as the witness, and has read everything.
async fn agrees(edge: &Edge, room: &Channel) {
    let client = edge.kept(VICTIM, By::Quic).start().await.expect("starts");
    let channel = client.open_channel(ROOM).await.expect("opened");
    channel.wait_for(room.last_applied()).await.expect("reached");
    room.wait_for(channel.last_applied()).await.expect("reached");
    assert_eq!(channel.epoch_authenticator(), room.epoch_authenticator(), "the group has forked");
    assert_eq!(room.members().len(), 2, "never two leaves");
    client.close().await;
}

async fn victim(edge: &Edge, total: u64, crash_at: Option<&str>) -> ExitStatus {
    run("talk", edge, &edge.place(VICTIM), total, crash_at).await
}

async fn run(what: &str, edge: &Edge, state: &Path, total: u64, crash_at: Option<&str>) -> ExitStatus {
    let mut command = command(what, edge, state, total);
    if let Some(at) = crash_at {
        command.env("SKYTALE_CRASH_AT", at);
    }
    let patience = edge::SOON + A_MESSAGE * u32::try_from(total).expect("few");
    let ended = tokio::time::timeout(patience, command.status()).await;
    ended.unwrap_or_else(|_| panic!("{what} in time, to be killed at {crash_at:?}")).expect("runs")
}

fn command(what: &str, edge: &Edge, state: &Path, total: u64) -> Command {
    let certificate = edge.directory.join("certificate.pem");
    std::fs::write(&certificate, &edge.identity.certificate_pem).expect("written");
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command
        .args(["--exact", "crash::the_victim", "--nocapture"])
        .env("SKYTALE_VICTIM", what)
        .env("SKYTALE_RELAY", edge.address(By::Quic))
        .env("SKYTALE_CERTIFICATE", certificate)
        .env("SKYTALE_STATE", state)
        .env("SKYTALE_TOTAL", total.to_string())
        .env("SKYTALE_TOKEN", RUNS.fetch_add(1, Ordering::SeqCst).to_string())
        .stdout(Stdio::null())
        .kill_on_drop(true);
    command
}

/// What the killed process does; a test of its own only by name.
#[tokio::test]
async fn the_victim() {
    let Ok(what) = std::env::var("SKYTALE_VICTIM") else { return };
    let variable = |name: &str| std::env::var(name).expect("set");
    let certificate = std::fs::read(variable("SKYTALE_CERTIFICATE")).expect("read");
    let credentials = match std::env::var("SKYTALE_API") {
        Ok(api) => Credentials::api_key(api, KEY),
        Err(_) => Credentials::token(variable("SKYTALE_TOKEN")),
    };
    let client = Client::builder(VICTIM, variable("SKYTALE_RELAY"))
        .with_trusted_certificates(&certificate)
        .with_key_packages(3)
        .with_credentials(credentials)
        .with_state(StateStore::directory(PathBuf::from(variable("SKYTALE_STATE"))))
        .start()
        .await
        .expect("starts");
    match what.as_str() {
        "talk" => talk(&client, variable("SKYTALE_TOTAL").parse().expect("a number")).await,
        "visit" => client.wait_until_addable().await.expect("left"),
        "return" => come_back(&client, &variable("SKYTALE_TOTAL")).await,
        "count" => count(&client).await,
        "finish" => finish(&client).await,
        _ => drop(client.join_channel(ROOM).await.expect("joined")),
    }
    client.close().await;
}

/// Says what is left to say, some of it with new keys, and reads meanwhile.
async fn talk(client: &Client, total: u64) {
    let channel = client.open_channel(ROOM).await.expect("opened");
    let reader = channel.clone();
    let reading = tokio::spawn(async move {
        let mut events = reader.events();
        while let Some(Ok(event)) = events.next().await {
            assert!(!edge::is_loss(&event), "{event:?}");
        }
    });
    let first = channel.sent_count() + 1;
    let says = (first..=total).map(|number| {
        let channel = channel.clone();
        async move {
            if number % 4 == 0 {
                channel.rotate().await.expect("rotated");
            }
            channel.send(format!("{number}")).await.expect("sent")
        }
    });
    futures::stream::iter(says).buffered(1).for_each(|_| async {}).await;
    assert!(!reading.is_finished(), "what it read was not fine");
    // What waited from before is sent, too, once the channel has caught up.
    channel.rotate().await.expect("rotated");
}

/// Comes back into a group that it cannot follow, and says so.
async fn come_back(client: &Client, token: &str) {
    let channel = client.open_channel(ROOM).await.expect("opened");
    edge::expect(&channel, |event| matches!(event, Event::Rejoined { .. })).await;
    channel.send(token).await.expect("sent");
}

/// Counts aloud until it is killed.
async fn count(client: &Client) {
    let channel = client.open_channel(ROOM).await.expect("opened");
    for number in channel.sent_count() + 1.. {
        channel.send(number.to_string()).await.expect("sent");
    }
}

async fn finish(client: &Client) {
    let channel = client.open_channel(ROOM).await.expect("opened");
    channel.send("finished").await.expect("sent");
}

/// An agent dies with a token that nobody has seen yet, its first one or one that was to follow in the open stream: it
/// exchanges its key again.
#[tokio::test]
async fn killed_with_a_new_token_that_was_not_used() {
    let edge = Edge::with(tokens::authenticator()).await;
    let api = TokenApi::start(&edge.clock, LIFE).await;
    let token = Credentials::provider(|| async { Ok(tokens::token("acme", 600)) });
    let witness = edge.agent(WITNESS, By::Quic).with_credentials(token).start().await.expect("starts");
    let room = witness.create_channel(ROOM).await.expect("created");
    let credentials = Credentials::api_key(&api.address, KEY);
    let visit = edge.kept(VICTIM, By::Quic).with_credentials(credentials).start().await.expect("starts");
    edge::add(&room, &visit).await;
    visit.join_channel(ROOM).await.expect("joined");
    visit.close().await;

    let victim = |what: &str| {
        let mut command = command(what, &edge, &edge.place(VICTIM), 0);
        command.env("SKYTALE_API", &api.address);
        command
    };
    let listening = async {
        let mut counted = 0;
        loop {
            let message = hear(&room, 1).await.remove(0);
            if message.text() == "finished" {
                return counted;
            }
            counted += 1;
            assert_eq!(message.text(), counted.to_string(), "each message once, in order");
        }
    };
    let killing = async {
        for round in 0..kills() {
            let before = api.exchanges();
            let passing = 1 + round % 2;
            let mut command = victim("count");
            command.env("SKYTALE_CRASH_AT", format!("after-exchange:{passing}"));
            let ended = tokio::time::timeout(edge::SOON, command.status()).await;
            assert!(!ended.expect("in time").expect("runs").success(), "it was not killed");
            assert_eq!(api.exchanges(), before + passing, "exchanged again");
        }
        let ended = tokio::time::timeout(edge::SOON, victim("finish").status()).await;
        assert!(ended.expect("in time").expect("runs").success(), "locked out");
    };
    let ((), counted) = tokio::join!(killing, listening);
    assert!(counted >= kills() / 2, "it counted to {counted}");
    println!("after-exchange: killed {} times", kills());
}

/// The victim's state is again and again one from before its last commit, and it dies on its way back.
#[tokio::test]
async fn killed_while_coming_back() {
    let edge = Edge::with(PER_TOKEN).await;
    let (_witness, room) = with_victim(&edge).await;
    let (place, backup) = (edge.place(VICTIM), edge.place("backup"));
    edge::copy(&place, &backup);
    assert!(victim(&edge, 4, None).await.success());
    hear(&room, 4).await;

    let mut killed = 0;
    for round in 0..kills() {
        std::fs::remove_dir_all(&place).expect("removed");
        edge::copy(&backup, &place);
        let at = format!("after-send:{}", 2 + round % 4);
        let number = u64::from(round) + 1;
        killed += u32::from(!run("return", &edge, &place, 0, Some(&at)).await.success());
        assert!(run("return", &edge, &place, number, None).await.success(), "round {round}");
        // The one that was killed may have said so, too.
        while hear(&room, 1).await[0].text() != number.to_string() {}
        assert_eq!(room.members().len(), 2, "never two leaves");
    }
    assert!(killed > kills() / 2, "killed {killed} of {} times", kills());
    agrees(&edge, &room).await;
    println!("coming back: killed {killed} times");
}

#[tokio::test]
async fn killed_with_a_step_done_and_not_stored() {
    killed_while_talking("before-store", &[3, 5, 8, 13]).await;
}

#[tokio::test]
async fn killed_within_the_transaction() {
    killed_while_talking("within-transaction", &[4, 11, 23, 38, 57, 81]).await;
}

#[tokio::test]
async fn killed_with_a_step_stored_and_not_sent() {
    killed_while_talking("after-store", &[2, 5, 9, 14]).await;
}

#[tokio::test]
async fn killed_after_sending_and_before_the_answer() {
    killed_while_talking("after-send", &[2, 3, 5, 7]).await;
}

#[tokio::test]
async fn killed_with_a_message_stored_that_the_agent_has_not_seen() {
    killed_while_talking("before-telling", &[1, 2, 4, 6]).await;
}

/// An agent that dies while it leaves key packages or joins gets in all the same.
#[tokio::test]
async fn killed_while_joining() {
    let mut killed = BTreeMap::new();
    for (what, place) in [("visit", "before-upload"), ("join", "before-join"), ("join", "after-join")] {
        for round in 0..kills() {
            let edge = Edge::start().await;
            let witness = edge.agent(WITNESS, By::Quic).start().await.expect("starts");
            let room = witness.create_channel(ROOM).await.expect("created");
            let state = edge.place(VICTIM);
            let at = format!("{place}:1");
            if what == "visit" {
                let ended = run(what, &edge, &state, 0, Some(&at)).await;
                *killed.entry(place).or_insert(0) += u32::from(!ended.success());
            }
            assert!(run("visit", &edge, &state, 0, None).await.success());
            room.add(VICTIM).await.expect("added");
            if what == "join" {
                let ended = run(what, &edge, &state, 0, Some(&at)).await;
                *killed.entry(place).or_insert(0) += u32::from(!ended.success());
            }
            assert!(run("join", &edge, &state, 0, None).await.success(), "round {round} of {place}");
            agrees(&edge, &room).await;
        }
        assert_eq!(killed.get(place), Some(&kills()), "killed at {place}");
    }
}
