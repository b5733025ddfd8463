//! Tokens: shown, refused, exchanged for a key, and renewed while streams are open.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{DecodingKey, Validation, decode};
use skytale_client::{Credentials, Error, Event};
use skytale_core::{Claims, Clock, Permissions, Principal};
use skytale_relay::{AuthError, Authenticator};
use skytale_store::{Revocation, Revoked};
use skytale_testing::edge::{By, Edge, ROOM, SOON, expect, gather, hear};
use skytale_testing::token_api::{KEY, TokenApi};
use skytale_testing::tokens::{SECRET, authenticator, claims, now, signed, token};
use skytale_testing::{TestClock, eventually};

const ALICE: &str = "acme/agents/alice";
const BOB: &str = "globex/agents/bob";

#[tokio::test]
async fn streams_outlive_the_tokens_they_began_with() {
    let clock = TestClock::default();
    let edge = Edge::by_clock(&clock, authenticator().with_clock(clock.shared())).await;
    let api = TokenApi::start(&clock, 600).await;
    let key = || Credentials::api_key(&api.address, KEY);
    let alice = edge.agent(ALICE, By::Quic).with_credentials(key()).start().await.expect("starts");
    let bob = edge.agent(BOB, By::Grpc).with_credentials(key()).start().await.expect("starts");
    let [alices, bobs] = gather(&[alice, bob]).await.try_into().expect("two");
    // Until each of them has had a third token, and the first two have expired.
    for exchanges in [4, 6] {
        clock.advance(Duration::from_secs(490));
        let renewed = async || api.exchanges() >= exchanges;
        eventually(SOON, "tokens are renewed", renewed).await;
        for channel in [&alices, &bobs, &alices, &bobs] {
            channel.send(format!("{exchanges}")).await.expect("sent");
        }
    }
    for channel in [&alices, &bobs] {
        for _ in 0..4 {
            let ended = |event: &Event| matches!(event, Event::TokenRefused { .. } | Event::Disconnected);
            let event = expect(channel, |event| ended(event) || matches!(event, Event::Message(_))).await;
            assert!(!ended(&event), "{event:?}");
        }
    }
}

#[tokio::test]
async fn a_refused_token_is_told_and_no_message_is_lost() {
    let clock = TestClock::default();
    let edge = Edge::by_clock(&clock, authenticator().with_clock(clock.shared())).await;
    let good = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let (provided, issuer) = (good.clone(), clock.clone());
    let credentials = Credentials::provider(move || {
        let good = provided.load(Ordering::SeqCst);
        let token = if good { issuer.token("acme", 600) } else { "no.token.atall".to_owned() };
        async move { Ok(token) }
    });
    let alice = edge.agent(ALICE, By::Quic).with_credentials(credentials).start().await.expect("starts");
    let issuer = clock.clone();
    let always = Credentials::provider(move || std::future::ready(Ok(issuer.token("acme", 600))));
    let bob = edge.agent(BOB, By::Quic).with_credentials(always).start().await.expect("starts");
    let [alices, bobs] = gather(&[alice, bob]).await.try_into().expect("two");
    good.store(false, Ordering::SeqCst);
    // Beyond the end of the token: while it serves, a renewal that fails is only tried again.
    clock.advance(Duration::from_secs(700));
    expect(&alices, |event| matches!(event, Event::TokenRefused { .. })).await;
    let late = alices.clone();
    let waiting = tokio::spawn(async move { late.send("said without a token").await });
    good.store(true, Ordering::SeqCst);
    waiting.await.expect("runs").expect("sent");
    assert_eq!(hear(&bobs, 1).await[0].text(), "said without a token");
}

#[tokio::test]
async fn a_token_that_is_revoked_ends_the_stream_and_no_message_is_lost() {
    let edge = Edge::with(authenticator()).await;
    let key = Arc::new(std::sync::Mutex::new("k1"));
    let current = key.clone();
    let credentials = Credentials::provider(move || {
        let key = *current.lock().expect("unpoisoned");
        async move { Ok(signed(&claims("acme", now(), 600).with_key(key))) }
    });
    let alice = edge.agent(ALICE, By::Quic).with_credentials(credentials).start().await.expect("starts");
    let always = Credentials::provider(|| async { Ok(token("acme", 600)) });
    let bob = edge.agent(BOB, By::Grpc).with_credentials(always).start().await.expect("starts");
    let [alices, bobs] = gather(&[alice, bob]).await.try_into().expect("two");
    alices.send("with a token").await.expect("sent");
    // An API server signs nothing with a revoked key, this provider does: a token of the next second is to be void, too.
    let at = SystemTime::now() + Duration::from_secs(60);
    edge.revocations.add(Revocation { subject: Revoked::Key("k1".to_owned()), at });
    let Event::TokenRefused { reason } =
        expect(&alices, |event| matches!(event, Event::TokenRefused { .. })).await
    else {
        unreachable!()
    };
    assert!(reason.contains("revoked"), "{reason}");
    let late = alices.clone();
    let waiting = tokio::spawn(async move { late.send("with another").await });
    bobs.send("meanwhile").await.expect("sent");
    *key.lock().expect("unpoisoned") = "k2";
    waiting.await.expect("runs").expect("sent");
    let heard: Vec<_> = hear(&bobs, 2).await.iter().map(|message| message.text().into_owned()).collect();
    assert_eq!(heard, ["with a token", "with another"]);
    assert_eq!(hear(&alices, 1).await[0].text(), "meanwhile");
}

/// A relay whose clock is another than its agents'.
struct Elsewhen {
    clock: TestClock,
    ahead: i64,
}

impl Authenticator for Elsewhen {
    async fn authenticate(&self, credentials: &skytale_relay::Credentials) -> Result<Principal, AuthError> {
        let bearer = credentials.bearer.as_ref().ok_or(AuthError::Missing)?;
        let validation = Validation { validate_exp: false, ..Validation::default() };
        let claims = decode::<Claims>(bearer.expose(), &DecodingKey::from_secret(SECRET), &validation);
        let claims = claims.map_err(|_| AuthError::Invalid("it is no token"))?.claims;
        let expires = UNIX_EPOCH + Duration::from_secs(claims.exp.saturating_add_signed(-self.ahead));
        if expires <= self.clock.now() {
            return Err(AuthError::Expired);
        }
        Ok(Principal::new("acme", Permissions::All).with_expiry(expires))
    }
}

/// Relay and API agree on the time; the agents' clocks are a day behind it, or a day ahead.
#[tokio::test]
async fn agents_whose_clocks_are_wrong_renew_their_tokens_in_time_and_not_all_the_time() {
    const DAY: i64 = 86_400;
    for ahead in [DAY, -DAY] {
        let clock = TestClock::default();
        let edge = Edge::by_clock(&clock, Elsewhen { clock: clock.clone(), ahead }).await;
        let exchanges = Arc::new(AtomicU32::new(0));
        let credentials = || {
            let (count, issuer) = (exchanges.clone(), clock.clone());
            Credentials::provider(move || {
                count.fetch_add(1, Ordering::SeqCst);
                let issued = issuer.seconds().saturating_add_signed(ahead);
                std::future::ready(Ok(signed(&claims("acme", issued, 400))))
            })
        };
        let alice =
            edge.agent(ALICE, By::Quic).with_credentials(credentials()).start().await.expect("starts");
        let bob = edge.agent(BOB, By::Grpc).with_credentials(credentials()).start().await.expect("starts");
        let [alices, bobs] = gather(&[alice, bob]).await.try_into().expect("two");
        // Two lives of a token.
        for number in 0..80 {
            alices.send(format!("{number}")).await.expect("sent");
            clock.advance(Duration::from_secs(10));
        }
        let heard = hear(&bobs, 80).await;
        assert!(heard.iter().enumerate().all(|(number, message)| message.text() == number.to_string()));
        let exchanges = exchanges.load(Ordering::SeqCst);
        assert!((4..=8).contains(&exchanges), "{exchanges} tokens");
    }
}

/// A machine that sleeps does not see that its token expires.
#[tokio::test]
async fn a_token_that_has_expired_unnoticed_is_renewed_before_anybody_is_told() {
    for by in [By::Quic, By::Grpc] {
        let clock = TestClock::default();
        let relay = |ahead| Elsewhen { clock: clock.clone(), ahead };
        let mut edge = Edge::by_clock(&clock, relay(0)).await;
        let life = Arc::new(AtomicU64::new(600));
        let of_now = life.clone();
        let credentials = Credentials::provider(move || {
            let life = of_now.load(Ordering::SeqCst);
            async move { Ok(token("acme", life)) }
        });
        let alice = edge.agent(ALICE, by).with_credentials(credentials).start().await.expect("starts");
        alice.invitations().await.expect("admitted");
        edge.stop().await;
        life.store(7_200, Ordering::SeqCst);
        edge.run(relay(3_600)).await;
        let (room, invitations) = tokio::join!(alice.create_channel(ROOM), alice.invitations());
        room.expect("created");
        invitations.expect("told");
    }
}

#[tokio::test]
async fn a_wrong_key_is_an_error_that_says_so() {
    let edge = Edge::with(authenticator()).await;
    let api = TokenApi::start(&edge.clock, 60).await;
    let wrong = Credentials::api_key(&api.address, "sk_live_wrong");
    let alice = edge.agent(ALICE, By::Quic).with_credentials(wrong).start().await.expect("starts");
    let Err(error @ Error::NotAuthorized { .. }) = alice.invitations().await else { panic!("let in") };
    assert!(error.to_string().contains("check the API key"), "{error}");
    assert!(!format!("{error:?} {alice:?}").contains("sk_live_wrong"));
}
