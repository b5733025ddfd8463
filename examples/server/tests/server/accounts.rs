//! Relay and API together: what is decided at one holds at the other.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::TryStreamExt;
use serde_json::json;
use skytale_core::{ChannelName, Dialect, SequenceNumber};
use skytale_store::{SqlStore, Store};
use skytale_testing::slim::{Agent, Attempt, Say, room};
use skytale_testing::{key_package, postgres};
use tonic::Code;

use crate::service::{Account, Service, text};

const ROOM: &str = "org/ns/room";

async fn open(service: &Service, who: &str, id: u64, token: &str) -> Result<Agent, tonic::Status> {
    let mut agent = Agent::open(service.grpc, Dialect::Slim3, who, id, Some(token)).await?;
    agent.try_negotiate().await?;
    Ok(agent)
}

/// Registers the room for one account, and lets another one in.
async fn room_of(service: &Service, owner: &Account, invited: Option<&Account>) {
    service.post("/v1/channels", &owner.key, json!({ "name": ROOM })).await;
    let Some(invited) = invited else { return };
    let invite = service.post("/v1/channels/invites", &owner.key, json!({ "channel": ROOM })).await;
    let body = json!({
        "channel": ROOM, "token": text(&invite["token"]), "identity": "x/y/z", "key_package": STANDARD.encode(key_package("x/y/z")),
    });
    service.post("/v1/channels/join", &invited.key, body).await;
}

async fn is_allowed(service: &Service, token: Option<&str>, attempt: Attempt, id: u64) -> bool {
    let Ok(mut agent) = Agent::open(service.grpc, Dialect::Slim3, "someone", id, token).await else {
        return false;
    };
    agent.may(attempt, id).await
}

#[tokio::test(flavor = "multi_thread")]
async fn relay_verbs_are_kept_to_owner_and_invited() {
    let directory = tempfile::tempdir().expect("a directory");
    let service = Service::start(directory.path(), &[]);
    let (owner, invited, other) =
        (service.sign_up("owner").await, service.sign_up("invited").await, service.sign_up("other").await);
    room_of(&service, &owner, Some(&invited)).await;
    let mut id = 0;
    for what in [Attempt::Subscribe, Attempt::Publish, Attempt::Commit] {
        for (caller, account) in [("owner", &owner), ("invited", &invited), ("other", &other)] {
            id += 1;
            let token = service.token(&account.key).await;
            let allowed = is_allowed(&service, Some(&token), what, id).await;
            assert_eq!(allowed, caller != "other", "{caller}, {what:?}");
        }
        id += 1;
        assert!(!is_allowed(&service, None, what, id).await, "without a token, {what:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_revoked_is_cut_off_everywhere() {
    let Some(database) = postgres::Database::create().await else { return };
    let (one, two) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    for directory in [&one, &two] {
        let settings = "[server]\njwt_secret = \"the same secret at both of the servers\"\n\
                        key_pepper = \"the same pepper at both of the servers\"\n";
        fs::write(directory.path().join("skytale.toml"), settings).expect("written");
    }
    let first = Service::start(one.path(), &["--store", &database.url]);
    let second = Service::start(two.path(), &["--store", &database.url]);
    let owner = first.sign_up("owner").await;
    room_of(&first, &owner, None).await;
    // Key, token, and account, each with a stream on the other server.
    let key = first.post("/v1/keys", &owner.key, json!({})).await;
    let token = first.post("/v1/tokens", &owner.key, json!({})).await;
    let credentials =
        [first.token(&text(&key["key"])).await, text(&token["token"]), first.token(&owner.key).await];
    let mut agents = Vec::new();
    for (id, credential) in credentials.iter().enumerate() {
        let mut agent = open(&second, "agent", id as u64 + 1, credential).await.expect("admitted");
        agent.subscribe(&room()).await;
        agents.push(agent);
    }
    let paths = [
        format!("/v1/keys/{}", text(&key["id"])),
        format!("/v1/tokens/{}", text(&token["id"])),
        "/v1/accounts/me".to_owned(),
    ];
    for (path, mut agent) in paths.iter().zip(agents) {
        assert_eq!(first.ask("DELETE", path, &owner.key, None).await.0, 204, "{path}");
        let status = agent.ended().await;
        assert_eq!(status.code(), Code::Unauthenticated, "{path}: {status:?}");
    }
    for credential in &credentials {
        let refused = open(&second, "agent", 9, credential).await.err().expect("refused");
        assert_eq!(refused.code(), Code::Unauthenticated);
    }
    drop((first, second));
    database.drop().await;
}

/// How often the server is killed: `SKYTALE_KILLS`, five times where nothing is said.
fn kills() -> u64 {
    std::env::var("SKYTALE_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(5)
}

async fn archived(directory: &Path) -> u64 {
    let store = SqlStore::open_sqlite_read_only(directory.join("data/skytale.db")).await.expect("open");
    let channel = ChannelName::parse(ROOM).expect("a name");
    let records: Vec<_> = store.read(&channel, SequenceNumber::START).try_collect().await.expect("read");
    records.len() as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_counts_once_however_often_the_server_is_killed() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("skytale.toml"), "[plans]\nfree = 0\n").expect("written");
    let service = Service::start(directory.path(), &[]);
    let owner = service.sign_up("owner").await;
    room_of(&service, &owner, None).await;
    service.kill();
    for round in 0..kills() {
        let service = Service::start(directory.path(), &[]);
        let token = service.token(&owner.key).await;
        let sender = open(&service, "sender", 1, &token).await.expect("admitted");
        let mut member = open(&service, "member", 2, &token).await.expect("admitted");
        member.subscribe(&room()).await;
        let sending = tokio::spawn(async move {
            for number in 0..1_000_000 {
                sender.say(Say::msg(room(), &format!("{round} {number}"))).await;
            }
        });
        for _ in 0..=round * 97 % 500 {
            member.hear().await;
        }
        service.kill();
        sending.abort();
        let _ = sending.await;
    }
    let service = Service::start(directory.path(), &[]);
    let archived = archived(directory.path()).await;
    assert!(archived > 0);
    assert_eq!(service.messages_of(&owner).await, archived);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_ends_with_what_it_allows() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("skytale.toml"), "[plans]\nfree = 5\n").expect("written");
    let service = Service::start(directory.path(), &[]);
    let owner = service.sign_up("owner").await;
    room_of(&service, &owner, None).await;
    let token = service.token(&owner.key).await;
    let mut sender = open(&service, "sender", 1, &token).await.expect("admitted");
    let mut member = open(&service, "member", 2, &token).await.expect("admitted");
    member.subscribe(&room()).await;
    for number in 0..6 {
        sender.say(Say::msg(room(), &number.to_string())).await;
    }
    for number in 0..5 {
        assert_eq!(member.hear().await.text(), number.to_string());
    }
    let status = sender.ended().await;
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("allows 5 messages a month"), "{status:?}");
    assert_eq!(service.messages_of(&owner).await, 5);
    // A commit is taken, so that a group is not left halfway.
    assert!(is_allowed(&service, Some(&token), Attempt::Commit, 3).await);
    assert!(!is_allowed(&service, Some(&token), Attempt::Publish, 4).await);
}
