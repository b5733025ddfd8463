//! The contract that clients rely on, row by row.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openmls::prelude::Lifetime;
use reqwest::Method;
use serde_json::{Value, json};
use skytale_api::{Rate, RateLimits, TokenIssuer};
use skytale_core::claims::{Claims, ISSUER};
use skytale_store::KeyPackageDirectory;
use skytale_testing::key_package_for;
use skytale_testing::tokens::SECRET;

use crate::served::{Served, key_package};

const ROOM: &str = "acme/team/room";
const BOB: &str = "globex/agents/bob";

#[tokio::test]
async fn post_accounts_returns_the_account_and_its_first_key() {
    let api = Served::start().await;
    let wanted = json!({ "email": "ada@example.org", "name": "Ada" });
    let created = api.send(api.request(Method::POST, "/v1/accounts").json(&wanted)).await;
    assert_eq!(created.status, 200);
    assert_eq!(created.body["account"]["email"], "ada@example.org");
    assert_eq!(
        (created.text("/account/name"), created.text("/account/plan_tier")),
        ("Ada".into(), "free".into())
    );
    assert!(uuid::Uuid::parse_str(&created.text("/account/id")).is_ok());
    assert!(created.text("/api_key").starts_with("sk_live_"));
    // Whether an address has an account is nobody's business.
    let again = api.send(api.request(Method::POST, "/v1/accounts").json(&wanted)).await;
    assert_eq!(again.status, 200);
    assert_ne!(again.text("/account/id"), created.text("/account/id"));
    for email in ["", "ada", "@x", "a@", "a b@c", "a@b@c"] {
        let wrong = api.request(Method::POST, "/v1/accounts").json(&json!({ "email": email }));
        api.send(wrong).await.is_problem(400, "bad_request");
    }
}

#[tokio::test]
async fn get_accounts_me_returns_the_account() {
    let api = Served::start().await;
    let ada = api.sign_up("ada@example.org").await;
    for credential in [ada.key.clone(), api.token(&ada.key).await] {
        let me = api.get("/v1/accounts/me", &credential).await;
        assert_eq!((me.status.as_u16(), me.text("/id")), (200, ada.id.clone()));
        assert_eq!((me.text("/name"), me.text("/plan_tier")), ("ada".into(), "free".into()));
    }
    let renamed =
        api.ask(Method::PATCH, "/v1/accounts/me", &ada.key, Some(json!({ "name": "Lovelace" }))).await;
    assert_eq!(renamed.text("/name"), "Lovelace");
}

#[tokio::test]
async fn post_keys_returns_a_key_once() {
    let api = Served::start().await;
    let ada = api.sign_up("ada@example.org").await;
    let named = api.post("/v1/keys", &ada.key, json!({ "name": "worker" })).await;
    assert_eq!((named.status.as_u16(), named.text("/name")), (200, "worker".into()));
    assert!(named.text("/key").starts_with(&named.text("/key_prefix")));
    assert_eq!(named.text("/key_prefix").len(), "sk_live_a1b2".len());
    assert_eq!(api.get("/v1/accounts/me", &named.text("/key")).await.status, 200);
    // Without a body, as the published client sends it.
    let unnamed = api.ask(Method::POST, "/v1/keys", &ada.key, None).await;
    assert_eq!(unnamed.text("/name"), "default");
    for (body, status) in [("\u{c}", 400), (" \r\n\t", 200)] {
        let request = api.request(Method::POST, "/v1/keys").bearer_auth(&ada.key).body(body);
        assert_eq!(
            api.send(request.header("content-type", "application/json")).await.status,
            status,
            "{body:?}"
        );
    }
    for array in [json!([]), json!(["name"]), json!({ "scopes": [["org/**", ["publish"]]] })] {
        api.post("/v1/keys", &ada.key, array).await.is_problem(400, "bad_request");
    }
    let test = api.post("/v1/keys", &ada.key, json!({ "test": true })).await;
    assert!(test.text("/key").starts_with("sk_test_"));
}

#[tokio::test]
async fn get_keys_lists_them_newest_first_without_the_revoked() {
    let api = Served::start().await;
    let ada = api.sign_up("ada@example.org").await;
    let mut ids = Vec::new();
    for name in ["one", "two", "three"] {
        ids.push(api.post("/v1/keys", &ada.key, json!({ "name": name })).await.text("/id"));
    }
    assert_eq!(api.delete(&format!("/v1/keys/{}", ids[1]), &ada.key).await.status, 204);
    let listed = api.get("/v1/keys", &ada.key).await;
    let names: Vec<_> =
        listed.body["keys"].as_array().expect("a list").iter().map(|key| &key["name"]).collect();
    assert_eq!(names, ["three", "one", "default"]);
    assert!(listed.body["keys"][0]["last_used_at"].is_null());
    assert!(listed.body["keys"][2]["last_used_at"].is_string());
    assert!(listed.body.to_string().find(&ada.key).is_none());
}

#[tokio::test]
async fn delete_keys_revokes_the_key_and_its_tokens() {
    let api = Served::start().await;
    let ada = api.sign_up("ada@example.org").await;
    let made = api.post("/v1/keys", &ada.key, json!({})).await;
    let (key, path) = (made.text("/key"), format!("/v1/keys/{}", made.text("/id")));
    let token = api.token(&key).await;
    assert_eq!(api.get("/v1/accounts/me", &token).await.status, 200);
    assert_eq!(api.delete(&path, &ada.key).await.status, 204);
    for credential in [&key, &token] {
        api.get("/v1/accounts/me", credential).await.is_problem(401, "unauthorized");
        api.ask(Method::POST, "/v1/tokens", credential, None).await.is_problem(401, "unauthorized");
    }
    api.delete(&path, &ada.key).await.is_problem(404, "not_found");
    api.delete("/v1/keys/unknown", &ada.key).await.is_problem(404, "not_found");
}

#[tokio::test]
async fn a_key_is_rotated_with_an_overlap() {
    let api = Served::start().await;
    let ada = api.sign_up("ada@example.org").await;
    let old = api.post("/v1/keys", &ada.key, json!({ "name": "worker" })).await;
    let path = format!("/v1/keys/{}/rotate", old.text("/id"));
    let new = api.post(&path, &ada.key, json!({ "overlap_seconds": 60 })).await;
    assert_eq!(new.text("/name"), "worker");
    for key in [old.text("/key"), new.text("/key")] {
        assert_eq!(api.get("/v1/accounts/me", &key).await.status, 200);
    }
    let newest = api.ask(Method::POST, &path, &ada.key, None).await;
    assert_eq!(newest.status, 200);
    api.get("/v1/accounts/me", &old.text("/key")).await.is_problem(401, "unauthorized");
}

#[tokio::test]
async fn post_tokens_takes_an_empty_body_and_returns_hs256_claims() {
    let api = Served::start().await;
    let ada = api.sign_up("ada@example.org").await;
    let request = api.request(Method::POST, "/v1/tokens").bearer_auth(&ada.key);
    let answer = api.send(request).await;
    assert_eq!(answer.status, 200);
    let token = answer.text("/token");
    let header = jsonwebtoken::decode_header(&token).expect("a JWT");
    assert_eq!(header.alg, jsonwebtoken::Algorithm::HS256);
    let mut validation = jsonwebtoken::Validation::new(header.alg);
    validation.set_issuer(&[ISSUER]);
    let key = jsonwebtoken::DecodingKey::from_secret(SECRET);
    let claims = jsonwebtoken::decode::<Value>(&token, &key, &validation).expect("valid").claims;
    assert_eq!((claims["sub"].as_str(), claims["plan"].as_str()), (Some(&*ada.id), Some("free")));
    let (issued, expires) =
        (claims["iat"].as_u64().expect("seconds"), claims["exp"].as_u64().expect("seconds"));
    assert_eq!(expires - issued, 15 * 60);
    // A token buys another one.
    assert_eq!(api.ask(Method::POST, "/v1/tokens", &token, None).await.status, 200);
}

#[tokio::test]
async fn a_token_is_revoked_by_its_id() {
    let api = Served::start().await;
    let (ada, eve) = (api.sign_up("ada@example.org").await, api.sign_up("eve@example.org").await);
    let answer = api.ask(Method::POST, "/v1/tokens", &ada.key, None).await;
    let (token, path) = (answer.text("/token"), format!("/v1/tokens/{}", answer.text("/id")));
    api.delete(&path, &eve.key).await.is_problem(404, "not_found");
    assert_eq!(api.get("/v1/accounts/me", &token).await.status, 200);
    assert_eq!(api.delete(&path, &ada.key).await.status, 204);
    api.get("/v1/accounts/me", &token).await.is_problem(401, "unauthorized");
    assert_eq!(api.get("/v1/accounts/me", &ada.key).await.status, 200);
}

#[tokio::test]
async fn tokens_are_signed_with_eddsa_where_the_host_wants_it() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
    let issuer = TokenIssuer::ed25519("k1", &key.serialize_der()).expect("a key with its public half");
    let api = Served::signed_by(issuer, |api| api).await;
    let ada = api.sign_up("ada@example.org").await;
    let token = api.token(&ada.key).await;
    assert_eq!(api.get("/v1/accounts/me", &token).await.status, 200);
    let set: jsonwebtoken::jwk::JwkSet =
        serde_json::from_value(api.send(api.request(Method::GET, "/.well-known/jwks.json")).await.body)
            .expect("a set");
    let jwk = set.find("k1").expect("the key");
    let key = jsonwebtoken::DecodingKey::from_jwk(jwk).expect("a key");
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::EdDSA);
    validation.set_issuer(&[ISSUER]);
    let claims = jsonwebtoken::decode::<Claims>(&token, &key, &validation).expect("valid").claims;
    assert_eq!(claims.sub, ada.id);
}

#[tokio::test]
async fn get_usage_returns_the_month_with_zeros() {
    let api = Served::start().await;
    let ada = api.sign_up("ada@example.org").await;
    let usage = api.get("/v1/usage?month=2026-02", &ada.key).await;
    assert_eq!((usage.text("/account_id"), usage.text("/period")), (ada.id, "2026-02-01".into()));
    assert_eq!((usage.text("/plan_tier"), usage.text("/resets_on")), ("free".into(), "2026-03-01".into()));
    for field in ["token_exchanges", "messages_relayed", "bytes_relayed"] {
        assert_eq!(usage.body[field], 0, "{field}");
    }
    assert_eq!(usage.body["limits"]["messages_per_month"], 100_000);
    assert_eq!(usage.body["daily"], json!([]));
    let token = api.token(&ada.key).await;
    let now = api.get("/v1/usage", &token).await;
    assert_eq!(
        (&now.body["token_exchanges"], &now.body["daily"][0]["token_exchanges"]),
        (&json!(1), &json!(1))
    );
    for month in ["2026", "2026-13", "26-02", "1969-12", "2026-02-01"] {
        api.get(&format!("/v1/usage?month={month}"), &ada.key).await.is_problem(400, "bad_request");
    }
}

#[tokio::test]
async fn post_channels_is_idempotent() {
    let api = Served::start().await;
    let (ada, eve) = (api.sign_up("ada@example.org").await, api.sign_up("eve@example.org").await);
    let first = api.post("/v1/channels", &ada.key, json!({ "name": ROOM })).await;
    let again = api.post("/v1/channels", &ada.key, json!({ "name": ROOM })).await;
    assert_eq!((first.status.as_u16(), &first.body), (200, &again.body));
    assert_eq!(first.text("/name"), ROOM);
    api.post("/v1/channels", &eve.key, json!({ "name": ROOM })).await.is_problem(409, "conflict");
    for name in ["", "a/b", "a//c", "a/b/ü", &format!("a/b/{}", "x".repeat(65))] {
        api.post("/v1/channels", &ada.key, json!({ "name": name })).await.is_problem(400, "bad_request");
    }
    let listed = api.get("/v1/channels", &ada.key).await;
    assert_eq!(listed.body["channels"][0]["role"], "owner");
    assert!(listed.body["next"].is_null());
}

#[tokio::test]
async fn an_invite_is_used_once_however_often_the_request_is_repeated() {
    let api = Served::start().await;
    let (ada, bob) = (api.sign_up("ada@example.org").await, api.sign_up("bob@example.com").await);
    api.room(ROOM, &ada, &[]).await;
    let invite = api.post("/v1/channels/invites", &ada.key, json!({ "channel": ROOM, "max_uses": 1 })).await;
    assert!(invite.text("/token").starts_with("skt_inv_"));
    let ask = |key_package: String, identity: &str| json!({ "channel": ROOM, "token": invite.text("/token"), "key_package": key_package, "identity": identity });
    let package = key_package(BOB);
    let first = api.post("/v1/channels/join", &bob.key, ask(package.clone(), BOB)).await;
    let again = api.post("/v1/channels/join", &bob.key, ask(package.clone(), BOB)).await;
    assert_eq!((first.status.as_u16(), first.text("/request_id")), (200, again.text("/request_id")));
    let other = api.post("/v1/channels/join", &bob.key, ask(key_package(BOB), BOB)).await;
    other.is_problem(404, "not_found");
    let eve = api.sign_up("eve@example.org").await;
    api.post("/v1/channels/join", &eve.key, ask(package, BOB)).await.is_problem(404, "not_found");
}

#[tokio::test]
async fn key_packages_that_are_left_again_are_kept_once() {
    let api = Served::start().await;
    let bob = api.sign_up("bob@example.org").await;
    for name in [BOB, ROOM] {
        api.room(name, &bob, &[]).await;
    }
    let packages: Vec<_> = (0..60).map(|_| key_package(BOB)).collect();
    let upload = json!({ "agent": BOB, "key_packages": packages, "last_resort": key_package(BOB) });
    for _ in 0..3 {
        let left = api.post("/v1/key-packages", &bob.key, upload.clone()).await;
        assert_eq!((left.status.as_u16(), &left.body["left"]), (200, &json!(60)), "{left:?}");
    }
    let twice = json!({ "agent": BOB, "key_packages": [packages[0], key_package(BOB)] });
    assert_eq!(api.post("/v1/key-packages", &bob.key, twice).await.body["left"], 61, "one is new");
    let claim = json!({ "agent": BOB, "channel": ROOM });
    let mut given = std::collections::BTreeSet::new();
    for _ in 0..5 {
        let claimed = api.post("/v1/key-packages/claim", &bob.key, claim.clone()).await;
        assert_eq!((claimed.status.as_u16(), &claimed.body["last_resort"]), (200, &json!(false)));
        assert!(given.insert(claimed.text("/key_package")), "it was given before");
    }
    // Accounts may not claim so often.
    let name = skytale_core::ChannelName::parse(BOB).expect("a name");
    let claim = || async { api.store.claim_key_package(&name).await.expect("claimed").expect("one") };
    for left in (0..61 - 5).rev() {
        let claimed = claim().await;
        assert_eq!((claimed.is_last_resort, claimed.left), (false, left));
        assert!(given.insert(STANDARD.encode(&claimed.key_package)), "it was given before");
    }
    assert!(claim().await.is_last_resort, "there are no others");
}

#[tokio::test]
async fn an_unusable_key_package_is_refused_when_it_comes() {
    let api = Served::start().await;
    let (ada, bob) = (api.sign_up("ada@example.org").await, api.sign_up("bob@example.com").await);
    api.room(ROOM, &ada, &[]).await;
    let invite = api.post("/v1/channels/invites", &ada.key, json!({ "channel": ROOM })).await.text("/token");
    let expired = STANDARD.encode(key_package_for(BOB, Lifetime::init(1, 2)));
    let endless = STANDARD.encode(key_package_for(BOB, Lifetime::new(400 * 86_400)));
    let someone_elses = key_package("globex/agents/carol");
    let mut broken = key_package(BOB).into_bytes();
    broken[200] ^= 1;
    let broken = String::from_utf8_lossy(&broken).into_owned();
    for package in ["", "AAAA", "not base64!", &broken, &expired, &endless, &someone_elses] {
        let body = json!({ "channel": ROOM, "token": invite, "key_package": package, "identity": BOB });
        api.post("/v1/channels/join", &bob.key, body).await.is_problem(400, "bad_request");
    }
    let body = json!({ "channel": ROOM, "token": invite, "key_package": key_package(BOB), "identity": BOB });
    assert_eq!(api.post("/v1/channels/join", &bob.key, body).await.status, 200);
}

#[tokio::test]
async fn a_pending_request_is_told_to_one_poller_and_answered_once() {
    let api = Served::start().await;
    let (ada, bob) = (api.sign_up("ada@example.org").await, api.sign_up("bob@example.com").await);
    api.room(ROOM, &ada, &[]).await;
    let id = api.asks_to_join(ROOM, &ada, &bob, BOB).await;
    let path = "/v1/channels/pending?channel=acme%2Fteam%2Froom";
    let pending = api.get(path, &ada.key).await;
    let request = &pending.body["requests"][0];
    assert_eq!((&request["id"], &request["identity"]), (&json!(id), &json!(BOB)));
    assert!(request["key_package"].is_string() && request["created_at"].is_string());
    assert_eq!(api.get(path, &ada.key).await.body["requests"], json!([]));
    let answer = format!("/v1/channels/welcome/{id}");
    assert_eq!(api.get(&answer, &bob.key).await.body, json!({ "status": "pending" }));
    let welcome = |text: &str| json!({ "request_id": id, "welcome": text });
    for _ in 0..2 {
        let answered = api.post("/v1/channels/welcome", &ada.key, welcome("V2VsY29tZQ==")).await;
        assert_eq!((answered.status.as_u16(), answered.body), (200, json!({ "status": "completed" })));
    }
    api.post("/v1/channels/welcome", &ada.key, welcome("T3RoZXI=")).await.is_problem(409, "conflict");
    let done = json!({ "status": "completed", "welcome": "V2VsY29tZQ==" });
    assert_eq!(api.get(&answer, &bob.key).await.body, done);
}

#[tokio::test]
async fn waiting_ends_when_there_is_something() {
    let api = Served::start().await;
    let (ada, bob) = (api.sign_up("ada@example.org").await, api.sign_up("bob@example.com").await);
    api.room(ROOM, &ada, &[]).await;
    let waiting = {
        let (api, key) = (api.clone(), ada.key.clone());
        tokio::spawn(
            async move { api.get("/v1/channels/pending?channel=acme/team/room&wait=60", &key).await },
        )
    };
    let id = api.asks_to_join(ROOM, &ada, &bob, BOB).await;
    let told =
        tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("soon").expect("an answer");
    assert_eq!(told.body["requests"][0]["id"], json!(id));
    api.get("/v1/channels/pending?channel=acme/team/room&wait=61", &ada.key)
        .await
        .is_problem(400, "bad_request");
}

#[tokio::test]
async fn agents_are_registered_found_changed_and_deactivated() {
    let api = Served::start().await;
    let ada = api.sign_up("ada@example.org").await;
    let agent = json!({
        "did": "did:web:example.org:ada", "display_name": "Ada's", "capabilities": ["search"],
        "endpoint": "acme/agents/ada", "metadata": { "version": 3 },
    });
    let registered = api.post("/v1/agents", &ada.key, agent.clone()).await;
    assert_eq!(registered.status, 200);
    for (field, value) in agent.as_object().expect("an object") {
        assert_eq!(&registered.body[field], value, "{field}");
    }
    assert_eq!(
        api.get("/v1/agents?capability=search", &ada.key).await.body["agents"],
        json!([registered.body])
    );
    assert_eq!(api.get("/v1/agents?capability=searc", &ada.key).await.body["agents"], json!([]));
    let path = "/v1/agents/did:web:example.org:ada";
    assert_eq!(api.get(path, &ada.key).await.body, registered.body);
    let changed = api.ask(Method::PUT, path, &ada.key, Some(json!({ "capabilities": ["plan"] }))).await;
    assert_eq!(
        (&changed.body["capabilities"], &changed.body["display_name"]),
        (&json!(["plan"]), &Value::Null)
    );
    assert_eq!(api.delete(path, &ada.key).await.body, json!({ "status": "deactivated" }));
    api.get(path, &ada.key).await.is_problem(404, "not_found");
    for did in ["", "web:x", "did:WEB:x", "did:web:", "did:web:a b"] {
        api.post("/v1/agents", &ada.key, json!({ "did": did })).await.is_problem(400, "bad_request");
    }
}

#[tokio::test]
async fn placeholders_and_mistyped_keys_are_told_from_unknown_ones() {
    let api = Served::start().await;
    for key in ["sk_live_***REDACTED***", "***REDACTED***", "sk_live_", "sk_live_a1b2", "Bearer", ""] {
        api.get("/v1/accounts/me", key).await.is_problem(401, "unauthorized");
    }
    let basic = api.request(Method::GET, "/v1/accounts/me").basic_auth("ada", Some("secret"));
    let answer = api.send(basic).await;
    answer.is_problem(401, "unauthorized");
    assert_eq!(answer.headers["www-authenticate"], "Bearer");
}

#[tokio::test]
async fn a_closed_account_is_gone_with_all_it_had() {
    let api = Served::start().await;
    let ada = api.sign_up("ada@example.org").await;
    let token = api.token(&ada.key).await;
    assert_eq!(api.delete("/v1/accounts/me", &ada.key).await.status, 204);
    for credential in [&ada.key, &token] {
        api.get("/v1/accounts/me", credential).await.is_problem(401, "unauthorized");
    }
}

#[tokio::test]
async fn a_key_with_scopes_is_kept_to_them() {
    let api = Served::start().await;
    let ada = api.sign_up("ada@example.org").await;
    let scopes = json!([{ "channels": "acme/team/*", "verbs": ["publish", "subscribe"] }]);
    let made = api.post("/v1/keys", &ada.key, json!({ "scopes": scopes })).await;
    let key = made.text("/key");
    for path in ["/v1/keys", "/v1/channels", "/v1/agents"] {
        let body = json!({ "name": "acme/other/room", "did": "did:web:x" });
        api.post(path, &key, body).await.is_problem(403, "forbidden");
    }
    api.delete("/v1/accounts/me", &key).await.is_problem(403, "forbidden");
    let token = api.token(&key).await;
    let payload = jsonwebtoken::dangerous::insecure_decode::<Claims>(&token).expect("a JWT").claims;
    let grants = serde_json::to_value(payload.grants).expect("JSON");
    assert_eq!(grants, scopes);
    for wrong in
        [json!([{ "channels": "a", "verbs": [] }]), json!([{ "channels": "a/b/c", "verbs": ["fly"] }])]
    {
        api.post("/v1/keys", &ada.key, json!({ "scopes": wrong })).await.is_problem(400, "bad_request");
    }
}

#[tokio::test]
async fn whoever_asks_too_often_is_told_when_to_ask_again() {
    let slow = Rate::new(3, 1, Duration::from_secs(60));
    let rates =
        RateLimits::default().with_per_key(slow).with_sign_ups(Rate::new(2, 1, Duration::from_secs(60)));
    let api = Served::with(|api| api.with_rate_limits(rates)).await;
    let ada = api.sign_up("ada@example.org").await;
    for left in (0..3).rev() {
        let answer = api.get("/v1/accounts/me", &ada.key).await;
        assert_eq!(answer.headers["ratelimit-limit"], "3");
        assert_eq!(answer.headers["ratelimit-remaining"], left.to_string().as_str());
    }
    let refused = api.get("/v1/accounts/me", &ada.key).await;
    refused.is_problem(429, "rate_limited");
    let wait: u64 = refused.headers["retry-after"].to_str().expect("text").parse().expect("seconds");
    assert!((1..=60).contains(&wait), "{wait}");
    // Another key of another account is not held up, until the address has made too many.
    let bob = api.sign_up("bob@example.com").await;
    assert_eq!(api.get("/v1/accounts/me", &bob.key).await.status, 200);
    let third = api.request(Method::POST, "/v1/accounts").json(&json!({ "email": "eve@example.org" }));
    api.send(third).await.is_problem(429, "rate_limited");
}

#[tokio::test]
async fn what_is_no_request_is_a_problem_too() {
    let api = Served::start().await;
    let ada = api.sign_up("ada@example.org").await;
    api.get("/v1/nothing", &ada.key).await.is_problem(404, "not_found");
    api.delete("/v1/usage", &ada.key).await.is_problem(405, "method_not_allowed");
    let text = api.request(Method::POST, "/v1/channels").bearer_auth(&ada.key).body("{}");
    api.send(text).await.is_problem(415, "unsupported_media_type");
    let json = |body: String| {
        let request = api.request(Method::POST, "/v1/channels").bearer_auth(&ada.key);
        api.send(request.header("content-type", "application/json").body(body))
    };
    json("{".into()).await.is_problem(400, "bad_request");
    json("{\"name\": 1}".into()).await.is_problem(400, "bad_request");
    json(format!("{{\"name\": \"{}\"}}", "x".repeat(3_000_000))).await.is_problem(413, "too_large");
    let answer = api.get("/v1/usage", &ada.key).await;
    assert!(answer.headers.contains_key("x-request-id"));
    assert!(!answer.headers.contains_key("access-control-allow-origin"));
}
