//! Who may do what: every endpoint, by its owner, by somebody who was invited, by others, and with credentials that are
//! void.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use skytale_api::Api;
use skytale_testing::TestClock;

use crate::served::{self, Account, Served, TOKEN_LIFE, key_package};

const ROOM: &str = "acme/team/room";
const AGENT: &str = "acme/agents/ada";
const DID: &str = "did:web:example.org:ada";

/// Who asks.
const CALLERS: [&str; 6] = ["none", "expired", "revoked", "other", "invited", "owner"];

/// A request, made anew for each caller, so that none meets what another one has changed.
type Request = (Method, String, Option<Value>);

struct World {
    api: Served,
    owner: Account,
    invited: Account,
    other: Account,
    credentials: BTreeMap<&'static str, String>,
}

impl World {
    async fn make() -> Self {
        let clock = TestClock::default();
        let configure = |api: Api| api.with_rate_limits(served::generous()).with_clock(clock.shared());
        let api = Served::with(configure).await;
        let owner = api.sign_up("owner@example.org").await;
        let invited = api.sign_up("invited@example.com").await;
        let other = api.sign_up("other@example.net").await;
        api.room(ROOM, &owner, &[&invited]).await;
        for name in [AGENT, "acme/agents/unused"] {
            api.room(name, &owner, &[]).await;
        }
        let revoked = api.post("/v1/keys", &owner.key, json!({})).await;
        api.delete(&format!("/v1/keys/{}", revoked.text("/id")), &owner.key).await;
        let expired = api.token(&owner.key).await;
        assert_eq!(api.get("/v1/accounts/me", &expired).await.status, 200);
        clock.advance(TOKEN_LIFE + Duration::from_secs(1));
        let credentials = BTreeMap::from([
            ("owner", owner.key.clone()),
            ("invited", invited.key.clone()),
            ("other", other.key.clone()),
            ("revoked", revoked.text("/key")),
            ("expired", expired),
        ]);
        Self { api, owner, invited, other, credentials }
    }

    async fn status(&self, caller: &str, (method, path, body): Request) -> u16 {
        match self.credentials.get(caller) {
            Some(credential) => self.api.ask(method, &path, credential, body).await.status.as_u16(),
            None => {
                let request = self.api.request(method, &path);
                let request = if let Some(body) = body { request.json(&body) } else { request };
                self.api.send(request).await.status.as_u16()
            }
        }
    }

    /// A key of the owner's.
    async fn key(&self) -> String {
        self.api.post("/v1/keys", &self.owner.key, json!({})).await.text("/id")
    }

    /// A request of the invited account, which nobody has answered.
    async fn request(&self) -> String {
        let agent = format!("globex/agents/{}", uuid::Uuid::new_v4());
        self.api.asks_to_join(ROOM, &self.owner, &self.invited, &agent).await
    }

    async fn join(&self, token: Option<&str>) -> Request {
        let agent = "any/agents/one";
        let fresh = self.api.post("/v1/channels/invites", &self.owner.key, json!({ "channel": ROOM })).await;
        let token = token.map_or_else(|| fresh.text("/token"), str::to_owned);
        let body =
            json!({ "channel": ROOM, "token": token, "identity": agent, "key_package": key_package(agent) });
        (Method::POST, "/v1/channels/join".to_owned(), Some(body))
    }

    /// Makes what a row of the matrix asks.
    async fn make_request(&self, row: &str) -> Request {
        let post = |path: &str, body: Value| (Method::POST, path.to_owned(), Some(body));
        let get = |path: &str| (Method::GET, path.to_owned(), None);
        let delete = |path: String| (Method::DELETE, path, None);
        match row {
            "sign up" => post("/v1/accounts", json!({ "email": "new@example.org" })),
            "public keys" => get("/.well-known/jwks.json"),
            "description" => get("/openapi.json"),
            "show account" => get("/v1/accounts/me"),
            "rename account" => (Method::PATCH, "/v1/accounts/me".into(), Some(json!({ "name": "x" }))),
            "create key" => post("/v1/keys", json!({})),
            "list keys" => get("/v1/keys"),
            "revoke the owner's key" => delete(format!("/v1/keys/{}", self.key().await)),
            "rotate the owner's key" => post(&format!("/v1/keys/{}/rotate", self.key().await), json!({})),
            "get token" => (Method::POST, "/v1/tokens".into(), None),
            "revoke the owner's token" => {
                let made = self.api.ask(Method::POST, "/v1/tokens", &self.owner.key, None).await;
                delete(format!("/v1/tokens/{}", made.text("/id")))
            }
            "usage" => get("/v1/usage"),
            "register the owner's channel" => post("/v1/channels", json!({ "name": ROOM })),
            "list channels" => get("/v1/channels"),
            "list members" => get(&format!("/v1/channels/members?channel={ROOM}")),
            "remove a member" => {
                self.request().await;
                let account = self.api.sign_up("member@example.org").await;
                self.api.asks_to_join(ROOM, &self.owner, &account, "m/agents/m").await;
                delete(format!("/v1/channels/members?channel={ROOM}&account_id={}", account.id))
            }
            "invite" => post("/v1/channels/invites", json!({ "channel": ROOM })),
            "join with an invite" => self.join(None).await,
            "join without one" => self.join(Some("skt_inv_00000000000000000000000000000000")).await,
            "pending" => get(&format!("/v1/channels/pending?channel={ROOM}")),
            "answer" => {
                post("/v1/channels/welcome", json!({ "request_id": self.request().await, "welcome": "AA==" }))
            }
            "fetch the invited one's answer" => {
                get(&format!("/v1/channels/welcome/{}", self.request().await))
            }
            "refuse a request" => delete(format!("/v1/channels/requests/{}", self.request().await)),
            "leave key packages of the owner's agent" => {
                post("/v1/key-packages", json!({ "agent": AGENT, "key_packages": [key_package(AGENT)] }))
            }
            "count the owner's key packages" => get(&format!("/v1/key-packages?agent={AGENT}")),
            "claim a key package" => {
                let body = json!({ "agent": AGENT, "key_packages": [key_package(AGENT)] });
                self.api.post("/v1/key-packages", &self.owner.key, body).await;
                post("/v1/key-packages/claim", json!({ "agent": AGENT, "channel": ROOM }))
            }
            "register an agent" => {
                post("/v1/agents", json!({ "did": format!("did:web:{}", uuid::Uuid::new_v4()) }))
            }
            "list agents" => get("/v1/agents"),
            "show the owner's agent" => get(&format!("/v1/agents/{}", self.agent().await)),
            "change the owner's agent" => {
                (Method::PUT, format!("/v1/agents/{}", self.agent().await), Some(json!({})))
            }
            "take the owner's DID" => post("/v1/agents", json!({ "did": self.agent().await })),
            "deactivate the owner's agent" => delete(format!("/v1/agents/{}", self.agent().await)),
            other => panic!("no such row: {other}"),
        }
    }

    async fn agent(&self) -> &'static str {
        self.api.post("/v1/agents", &self.owner.key, json!({ "did": DID })).await;
        DID
    }
}

/// What other, invited and owner are answered; void credentials are answered 401 except where it says so.
const MATRIX: [(&str, [u16; 3]); 31] = [
    ("show account", [200, 200, 200]),
    ("rename account", [200, 200, 200]),
    ("create key", [200, 200, 200]),
    ("list keys", [200, 200, 200]),
    ("revoke the owner's key", [404, 404, 204]),
    ("rotate the owner's key", [404, 404, 200]),
    ("get token", [200, 200, 200]),
    ("revoke the owner's token", [404, 404, 204]),
    ("usage", [200, 200, 200]),
    ("register the owner's channel", [409, 200, 200]),
    ("list channels", [200, 200, 200]),
    ("list members", [404, 200, 200]),
    ("remove a member", [404, 404, 204]),
    ("invite", [404, 403, 200]),
    ("join without one", [404, 404, 404]),
    ("pending", [404, 200, 200]),
    ("answer", [404, 200, 200]),
    ("fetch the invited one's answer", [404, 200, 404]),
    ("refuse a request", [404, 204, 204]),
    ("leave key packages of the owner's agent", [404, 404, 200]),
    ("count the owner's key packages", [404, 404, 200]),
    ("claim a key package", [404, 403, 200]),
    ("register an agent", [200, 200, 200]),
    ("list agents", [200, 200, 200]),
    ("show the owner's agent", [200, 200, 200]),
    ("change the owner's agent", [404, 404, 200]),
    ("take the owner's DID", [409, 409, 200]),
    ("deactivate the owner's agent", [404, 404, 200]),
    ("sign up", [200, 200, 200]),
    ("public keys", [200, 200, 200]),
    ("description", [200, 200, 200]),
];

/// What needs no credentials, and so does not look at them.
const PUBLIC: [&str; 3] = ["sign up", "public keys", "description"];

#[tokio::test]
async fn exactly_the_allowed_cells_pass() {
    let world = World::make().await;
    let mut wrong = Vec::new();
    for (row, allowed) in MATRIX {
        let void = if PUBLIC.contains(&row) { 200 } else { 401 };
        let expected = [void, void, void, allowed[0], allowed[1], allowed[2]];
        for (caller, expected) in CALLERS.into_iter().zip(expected) {
            let request = world.make_request(row).await;
            let found = world.status(caller, request).await;
            if found != expected {
                wrong.push(format!("{row}, {caller}: {found} instead of {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Last, because it makes everybody a member.
    for (caller, expected) in CALLERS.into_iter().zip([401, 401, 401, 200, 200, 200]) {
        let request = world.make_request("join with an invite").await;
        assert_eq!(world.status(caller, request).await, expected, "join with an invite, {caller}");
    }
}

#[tokio::test]
async fn every_path_is_in_the_matrix() {
    let described = serde_json::to_value(skytale_api::openapi()).expect("JSON");
    let methods = described["paths"].as_object().expect("paths").values();
    let count: usize = methods.map(|path| path.as_object().map_or(0, serde_json::Map::len)).sum();
    // All rows but the description, which is no operation, and the two ways to join and to register an agent; closing
    // the account has a test of its own.
    assert_eq!(count, MATRIX.len() - 1 - 1 + 1);
}

#[tokio::test]
async fn what_belongs_to_others_looks_as_if_it_were_not_there() {
    let world = World::make().await;
    let ask = async |path: &str| world.api.get(path, &world.other.key).await;
    let foreign = ask(&format!("/v1/channels/members?channel={ROOM}")).await;
    let unknown = ask("/v1/channels/members?channel=acme/team/none").await;
    assert_eq!(foreign.status, unknown.status);
    assert_eq!(
        foreign.text("/detail").replace(ROOM, ""),
        unknown.text("/detail").replace("acme/team/none", "")
    );
    let foreign = ask(&format!("/v1/channels/welcome/{}", world.request().await)).await;
    let unknown = ask(&format!("/v1/channels/welcome/{}", uuid::Uuid::new_v4())).await;
    assert_eq!((foreign.status, foreign.body), (unknown.status, unknown.body));
}

#[tokio::test]
async fn an_agents_name_cannot_be_borrowed() {
    let world = World::make().await;
    let invite = world.api.post("/v1/channels/invites", &world.owner.key, json!({ "channel": ROOM })).await;
    let body = json!({
        "channel": ROOM, "token": invite.text("/token"), "identity": AGENT, "key_package": key_package(AGENT),
    });
    world.api.post("/v1/channels/join", &world.other.key, body).await.is_problem(403, "forbidden");
}
