use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use skytale_core::{ChannelName, Verb};

use super::*;

fn now() -> u64 {
    clock::seconds(SystemClock.now())
}

const SECRET: &[u8] = b"a secret of at least 32 bytes ....";

fn authenticator() -> JwtAuthenticator {
    JwtAuthenticator::new(SECRET).expect("long enough")
}

fn claims() -> Value {
    let now = now();
    json!({"sub": "account", "iss": "static-api", "iat": now, "exp": now + 60})
}

fn sign(header: Header, claims: &Value, secret: &[u8]) -> String {
    encode(&header, claims, &EncodingKey::from_secret(secret)).expect("a token")
}

fn with(key: &str, value: Value) -> String {
    let mut claims = claims();
    claims[key] = value;
    sign(Header::default(), &claims, SECRET)
}

#[test]
fn a_token_of_the_contract_is_accepted() {
    let principal = authenticator().verify(&with("plan", json!("free"))).expect("valid");
    assert_eq!(&*principal.account, "account");
    assert!(principal.expires.is_some());
    assert_eq!(principal.permissions, Permissions::All);
}

#[test]
fn each_required_claim_is_required() {
    for claim in ["sub", "iss", "iat", "exp"] {
        let mut claims = claims();
        claims.as_object_mut().expect("an object").remove(claim);
        let token = sign(Header::default(), &claims, SECRET);
        assert!(matches!(authenticator().verify(&token), Err(AuthError::Invalid(_))), "{claim}");
    }
}

#[test]
fn wrong_values_are_refused() {
    let now = now();
    for (claim, value) in [
        ("iss", json!("another")),
        ("sub", json!(7)),
        ("exp", json!("soon")),
        ("iat", json!(now + 120)),
        ("nbf", json!(now + 120)),
        ("aud", json!("elsewhere")),
        ("grants", json!("all")),
        ("grants", json!([{"channels": "not a pattern", "verbs": []}])),
        ("grants", json!([{"channels": "**", "verbs": ["conquer"]}])),
    ] {
        assert!(authenticator().verify(&with(claim, value.clone())).is_err(), "{claim} = {value}");
    }
}

#[test]
fn expiry_has_a_small_leeway() {
    let now = now();
    assert!(authenticator().verify(&with("exp", json!(now - 5))).is_ok());
    assert_eq!(authenticator().verify(&with("exp", json!(now - 20))), Err(AuthError::Expired));
}

#[test]
fn a_token_is_not_valid_before_its_time() {
    let now = now();
    for early in [json!(now + 10), json!(now as f64 + 10.5)] {
        assert!(authenticator().verify(&with("nbf", early)).is_ok(), "within the leeway");
    }
    let refused = AuthError::Invalid("it is not valid yet");
    assert_eq!(authenticator().verify(&with("nbf", json!(now + 20))), Err(refused));
    for nonsense in [json!(-1), json!("soon"), json!(null)] {
        let refused = AuthError::Invalid("its content cannot be read");
        assert_eq!(authenticator().verify(&with("nbf", nonsense)), Err(refused));
    }
}

#[test]
fn no_other_algorithm_is_accepted() {
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        assert!(authenticator().verify(&sign(Header::new(algorithm), &claims(), SECRET)).is_err());
    }
    let token = sign(Header::default(), &claims(), SECRET);
    let (_, rest) = token.split_once('.').expect("a dot");
    // {"alg":"none"} and {"alg":"RS256"}, signed or not
    for header in ["eyJhbGciOiJub25lIn0", "eyJhbGciOiJSUzI1NiJ9"] {
        assert!(authenticator().verify(&format!("{header}.{rest}")).is_err());
        let (payload, _) = rest.split_once('.').expect("a dot");
        assert!(authenticator().verify(&format!("{header}.{payload}.")).is_err());
    }
}

#[test]
fn tampering_and_nonsense_are_refused() {
    let token = sign(Header::default(), &claims(), SECRET);
    assert!(
        authenticator()
            .verify(&sign(Header::default(), &claims(), b"another secret of 32 bytes......"))
            .is_err()
    );
    for nonsense in ["", ".", "..", "a.b.c", &token[1..], &token[..token.len() - 2], &"x".repeat(9000)] {
        assert!(authenticator().verify(nonsense).is_err());
    }
}

#[test]
fn keys_rotate_by_their_id() {
    let (old, new) = (b"the old secret of 32 bytes .....", b"the new secret of 32 bytes .....");
    let both =
        authenticator().with_key("old", old).and_then(|keys| keys.with_key("new", new)).expect("long enough");
    let named = |kid: &str| Header { kid: Some(kid.to_owned()), ..Header::default() };
    assert!(both.verify(&sign(named("old"), &claims(), old)).is_ok());
    assert!(both.verify(&sign(named("new"), &claims(), new)).is_ok());
    assert!(both.verify(&sign(named("new"), &claims(), old)).is_err(), "a key is not tried for another's id");
    assert!(both.verify(&sign(Header::default(), &claims(), old)).is_err());
    assert!(both.verify(&sign(named("unknown"), &claims(), SECRET)).is_err());
}

#[test]
fn grants_permit_what_they_say() {
    let token = with("grants", json!([{"channels": "org/ns/*", "verbs": ["subscribe"]}]));
    let principal = authenticator().verify(&token).expect("valid");
    assert!(principal.may(Verb::Subscribe, &ChannelName::from_strings(["org", "ns", "a"])));
    assert!(!principal.may(Verb::Publish, &ChannelName::from_strings(["org", "ns", "a"])));
    let none = authenticator().with_default_permissions(Permissions::none());
    let principal = none.verify(&sign(Header::default(), &claims(), SECRET)).expect("valid");
    assert!(!principal.may(Verb::Subscribe, &ChannelName::from_strings(["org", "ns", "a"])));
}

#[test]
fn short_secrets_are_refused_and_none_is_shown() {
    assert_eq!(JwtAuthenticator::new(&[1; 31]).expect_err("short"), JwtError::ShortSecret { bytes: 31 });
    assert!(!format!("{:?}", authenticator()).contains("secret of"));
}
