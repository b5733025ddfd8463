//! API and relay over one store and by one clock: what is decided at one holds at the other.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use skytale_api::Api;
use skytale_core::Dialect;
use skytale_relay::{AccountAuthorizer, JwtAuthenticator, Relay, Revocations};
use skytale_testing::slim::Attempt;
use skytale_testing::tokens::SECRET;
use skytale_testing::{RunningRelay, SOON, TestClock, eventually};

use crate::served::{Served, TOKEN_LIFE, generous};

const ROOM: &str = "org/ns/room";

/// How far the relay lets clocks be apart by default.
const LEEWAY: Duration = Duration::from_secs(15);

/// An API and a relay whose clock is moved.
struct Both {
    api: Served,
    relay: RunningRelay,
    clock: TestClock,
}

impl Both {
    async fn start() -> Self {
        let clock = TestClock::default();
        let api = Served::with(|api: Api| api.with_rate_limits(generous()).with_clock(clock.shared())).await;
        let revocations = Revocations::new().with_clock(clock.shared());
        tokio::spawn(revocations.clone().follow(api.store.clone(), Duration::from_millis(5)));
        let authenticator = JwtAuthenticator::new(SECRET).expect("long enough").with_clock(clock.shared());
        let configure = |relay: Relay| {
            let access = AccountAuthorizer::new(api.store.clone());
            relay.with_clock(clock.shared()).with_authorizer(access).with_revocations(revocations)
        };
        let store = Arc::clone(&api.store);
        let relay = RunningRelay::assembled(store, authenticator, configure, |listener| listener).await;
        Self { api, relay, clock }
    }

    async fn allows(&self, token: Option<&str>, attempt: Attempt, id: u64) -> bool {
        let Ok(mut agent) = self.relay.silent_agent(Dialect::Slim3, "someone", id, token).await else {
            return false;
        };
        agent.may(attempt, id).await
    }
}

#[tokio::test]
async fn relay_verbs_are_kept_to_owner_and_invited() {
    let both = Both::start().await;
    let api = &both.api;
    let owner = api.sign_up("owner@example.org").await;
    let invited = api.sign_up("invited@example.com").await;
    let other = api.sign_up("other@example.net").await;
    api.room(ROOM, &owner, &[&invited]).await;
    let expired = api.token(&owner.key).await;
    both.clock.advance(TOKEN_LIFE);
    assert!(both.allows(Some(&expired), Attempt::Subscribe, 1).await, "the relay's leeway is not over");
    both.clock.advance(LEEWAY + Duration::from_secs(1));
    let second = api.post("/v1/keys", &owner.key, json!({})).await;
    let revoked = api.token(&second.text("/key")).await;
    assert!(both.allows(Some(&revoked), Attempt::Subscribe, 2).await, "nothing is revoked yet");
    let path = format!("/v1/keys/{}", second.text("/id"));
    assert_eq!(api.ask(Method::DELETE, &path, &owner.key, None).await.status, 204);
    let is_void = async || !both.allows(Some(&revoked), Attempt::Subscribe, 3).await;
    eventually(SOON, "the relay is told of the revocation", is_void).await;
    let mut id = 3;
    for what in [Attempt::Subscribe, Attempt::Publish, Attempt::Commit] {
        for (caller, account) in [("owner", &owner), ("invited", &invited), ("other", &other)] {
            id += 1;
            let token = api.token(&account.key).await;
            let allowed = both.allows(Some(&token), what, id).await;
            assert_eq!(allowed, caller != "other", "{caller}, {what:?}");
        }
        for (caller, token) in [("revoked", Some(&*revoked)), ("expired", Some(&*expired)), ("none", None)] {
            id += 1;
            assert!(!both.allows(token, what, id).await, "{caller}, {what:?}");
        }
    }
}
