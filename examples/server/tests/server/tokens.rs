//! Tokens that nobody should accept, shown to relay and API.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use skytale_core::Dialect;
use skytale_testing::slim::Agent;
use skytale_testing::tokens::{SECRET, now};

use crate::service::Service;

struct Corpus {
    /// A token that is valid, of a key that is.
    valid: String,
    claims: Value,
    tokens: Vec<(String, String)>,
}

impl Corpus {
    fn of(valid: &str) -> Self {
        let claims = valid.split('.').nth(1).expect("claims");
        let claims = URL_SAFE_NO_PAD.decode(claims).expect("base64");
        let claims = serde_json::from_slice(&claims).expect("JSON");
        let mut corpus = Self { valid: valid.to_owned(), claims, tokens: Vec::new() };
        corpus.algorithms();
        corpus.headers();
        corpus.claims_left_out_or_wrong();
        corpus.signatures();
        corpus.shapes();
        corpus
    }

    fn add(&mut self, what: impl Into<String>, token: String) {
        self.tokens.push((what.into(), token));
    }

    fn signed(&self, header: &Header, claims: &Value, secret: &[u8]) -> String {
        encode(header, claims, &EncodingKey::from_secret(secret)).expect("a token")
    }

    /// A token with a header as it stands, signed with HS256 whatever it says.
    fn with_header(&self, header: &Value) -> String {
        use hmac::{Hmac, KeyInit, Mac};
        let content = format!("{}.{}", part(header), part(&self.claims));
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET).expect("any length");
        mac.update(content.as_bytes());
        format!("{content}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    }

    fn algorithms(&mut self) {
        for name in ["none", "None", "NONE", "nOnE", ""] {
            let header = part(&json!({ "alg": name, "typ": "JWT" }));
            self.add(format!("alg {name:?} unsigned"), format!("{header}.{}.", part(&self.claims)));
            let signed = self.with_header(&json!({ "alg": name }));
            self.add(format!("alg {name:?} signed"), signed);
        }
        for name in ["RS256", "ES256", "PS256", "EdDSA", "HS1", "hs256", "HS256 ", "A256GCM", "dir"] {
            let signed = self.with_header(&json!({ "alg": name }));
            self.add(format!("alg {name:?}"), signed);
        }
        for algorithm in [Algorithm::HS384, Algorithm::HS512] {
            let token = self.signed(&Header::new(algorithm), &self.claims, SECRET);
            self.add(format!("alg {algorithm:?} with the right secret"), token);
        }
        for header in
            [json!({}), json!({ "alg": null }), json!({ "alg": 7 }), json!({ "alg": ["HS256"] }), json!([])]
        {
            let token = self.with_header(&header);
            self.add(format!("header {header}"), token);
        }
    }

    fn headers(&mut self) {
        for (name, value) in [
            ("kid", json!("unknown")),
            ("kid", json!("../../../../dev/null")),
            ("kid", json!("' OR 1=1 --")),
            ("kid", json!("eddsa-1")),
            ("kid", json!("")),
            ("kid", json!(7)),
        ] {
            let token = self.with_header(&json!({ "alg": "HS256", name: value }));
            self.add(format!("header {name} = {value}"), token);
        }
        // A key that the token brings along is no reason to trust it.
        let jwk =
            json!({ "kty": "oct", "k": URL_SAFE_NO_PAD.encode("the attacker's own secret of 32 bytes") });
        for (name, value) in [
            ("jwk", jwk),
            ("jku", json!("http://127.0.0.1:1/keys")),
            ("x5u", json!("http://127.0.0.1:1/chain")),
            ("x5c", json!(["MIIB"])),
        ] {
            let header: Header =
                serde_json::from_value(json!({ "alg": "HS256", name: value })).unwrap_or_default();
            let token = self.signed(&header, &self.claims, b"the attacker's own secret of 32 bytes");
            self.add(format!("header {name} with another secret"), token);
        }
    }

    fn claims_left_out_or_wrong(&mut self) {
        for name in ["sub", "iss", "iat", "exp"] {
            let mut claims = self.claims.clone();
            claims.as_object_mut().expect("an object").remove(name);
            let token = self.signed(&Header::default(), &claims, SECRET);
            self.add(format!("without {name}"), token);
        }
        let now = now();
        for (name, value) in [
            ("iss", json!("static-ap1")),
            ("iss", json!("")),
            ("iss", json!(null)),
            ("sub", json!(7)),
            ("sub", json!(null)),
            ("exp", json!(now - 3600)),
            ("exp", json!(0)),
            ("exp", json!(-1)),
            ("exp", json!("9999999999")),
            ("iat", json!(now + 86_400)),
            ("iat", json!("now")),
            ("nbf", json!(now + 86_400)),
            ("aud", json!("another relay")),
            ("grants", json!("**")),
            ("grants", json!([{ "channels": "**", "verbs": ["everything"] }])),
            ("grants", json!([{ "channels": "../..", "verbs": ["publish"] }])),
        ] {
            let mut claims = self.claims.clone();
            claims[name] = value.clone();
            let token = self.signed(&Header::default(), &claims, SECRET);
            self.add(format!("{name} = {value}"), token);
        }
    }

    fn signatures(&mut self) {
        for secret in
            ["", "secret", "a secret of at least 32 bytes, for tests ", "another secret of 32 bytes......"]
        {
            let token = self.signed(&Header::default(), &self.claims, secret.as_bytes());
            self.add(format!("signed with {secret:?}"), token);
        }
        let (content, signature) = self.valid.rsplit_once('.').expect("a signature");
        let (content, signature) = (content.to_owned(), signature.to_owned());
        self.add("no signature", format!("{content}."));
        self.add("half a signature", format!("{content}.{}", &signature[..20]));
        self.add("a longer signature", format!("{content}.{signature}AAAA"));
        let mut other = self.claims.clone();
        other["sub"] = json!("another-account");
        let header = content.split('.').next().expect("a header").to_owned();
        self.add("other claims under the same signature", format!("{header}.{}.{signature}", part(&other)));
    }

    fn shapes(&mut self) {
        let valid = self.valid.clone();
        for (what, token) in [
            ("nothing", String::new()),
            ("dots", "..".to_owned()),
            ("two parts", valid.rsplit_once('.').expect("parts").0.to_owned()),
            ("four parts", format!("{valid}.AAAA")),
            ("five parts, as encrypted", format!("{valid}.AAAA.AAAA")),
            (
                "nested",
                format!(
                    "{}.{}.AAAA",
                    part(&json!({ "alg": "HS256", "cty": "JWT" })),
                    valid.replace('.', "-")
                ),
            ),
            ("padded", format!("{valid}==")),
            ("very long", format!("{valid}{}", "A".repeat(10_000))),
            ("a key that looks like one", "sk_live_a1b2c3d4e5f6".to_owned()),
        ] {
            self.add(what, token);
        }
    }
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_tokens_are_refused_by_relay_and_api() {
    let directory = tempfile::tempdir().expect("a directory");
    let secret = std::str::from_utf8(SECRET).expect("UTF-8");
    let settings = format!("[server]\njwt_secret = \"{secret}\"\n");
    std::fs::write(directory.path().join("skytale.toml"), settings).expect("written");
    let service = Service::start(directory.path(), &[]);
    let valid = service.token(&service.sign_up("ada").await.key).await;
    assert!(Agent::open(service.grpc, Dialect::Slim3, "ada", 1, Some(&valid)).await.is_ok());
    let corpus = Corpus::of(&valid);
    assert!(corpus.tokens.len() >= 50, "{}", corpus.tokens.len());
    let mut accepted = Vec::new();
    for (what, token) in &corpus.tokens {
        if Agent::open(service.grpc, Dialect::Slim3, "eve", 2, Some(token)).await.is_ok() {
            accepted.push(format!("relay: {what}"));
        }
        let (status, _) = service.ask("GET", "/v1/accounts/me", token, None).await;
        if status != 401 && status != 429 {
            accepted.push(format!("API: {what}: {status}"));
        }
    }
    assert!(accepted.is_empty(), "accepted:\n{}", accepted.join("\n"));
}
