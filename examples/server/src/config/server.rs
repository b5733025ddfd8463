//! The table `[server]`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use secrecy::SecretString;
use skytale_relay::{EpochPolicy, ExternalCommits, ReplayPolicy};

use super::allowed::{one_of, where_true, within};
use super::jwt_key::JwtKey;
use super::setting::settings;

settings! {
    /// The server's listeners, storage and keys.
    pub struct ServerConfig in server {
        /// Directory of the archive and of generated secrets.
        data_dir: PathBuf = "data".into(), flag("DIR");

        /// Address of the gRPC listener, for SLIM agents.
        grpc_listen_addr: SocketAddr = ([127, 0, 0, 1], 5000).into(), flag("ADDR");

        /// UDP port of the QUIC listener on this machine, for native agents.
        listen_port: u16 = 4433, shown("`4433`");

        /// Address of the QUIC listener, for native agents; overrides `listen_port`.
        quic_listen_addr: Option<SocketAddr> = None, shown("`127.0.0.1:4433`"), flag("ADDR");

        /// PEM file of certificate authorities. QUIC clients then need a certificate of one of them.
        quic_client_ca: Option<PathBuf> = None;

        /// Address of the HTTP listener: the API at `/v1` with its description at `/docs`, `/health`, `/ready`, `/metrics`.
        health_listen_addr: SocketAddr = ([127, 0, 0, 1], 8443).into(), flag("ADDR");

        /// PEM file with the certificate chain for HTTPS; needs `http_tls_key`.
        http_tls_cert: Option<PathBuf> = None;

        /// PEM file with the key of `http_tls_cert`.
        http_tls_key: Option<PathBuf> = None;

        /// Serves the API: accounts, keys, tokens, usage, channels.
        api: bool = true;

        /// Secret that API keys are hashed with, at least 32 bytes. Servers over one store need the same, for ever.
        key_pepper: Option<SecretString> = None, shown("generated in `data_dir/key_pepper`");

        /// Algorithm of the API's tokens: `hs256` with `jwt_secret`, or `eddsa` with `data_dir/jwt_ed25519`, whose public
        /// half is at `/.well-known/jwks.json`.
        token_signing: String = "hs256".into(), check(one_of(&["hs256", "eddsa"]));

        /// Lifetime of the API's tokens in seconds, at most a day.
        token_ttl_seconds: u64 = 900, check(within(1..=86_400));

        /// Secret of HS256 tokens, at least 32 bytes.
        jwt_secret: Option<SecretString> = None, shown("generated in `data_dir/jwt_secret`");

        /// More keys of tokens, for rotation, in a file only. Each is a table `[[server.jwt_keys]]` with `kid`, the name
        /// in the token's header, and either `secret` (HS256) or `public` (Ed25519, in base64url, as `x` in a key set).
        jwt_keys: Vec<JwtKey> = Vec::new();

        /// PEM file with the certificate chain for gRPC and QUIC; needs `grpc_tls_key`.
        ///
        /// Read again every minute and on SIGHUP.
        grpc_tls_cert: Option<PathBuf> = None, flag("PEM");

        /// PEM file with the key of `grpc_tls_cert`.
        grpc_tls_key: Option<PathBuf> = None, flag("PEM");

        /// Days that messages are kept; 0 is for ever.
        message_ttl_days: u32 = 7;

        /// Archive: `sqlite`, `memory`, or `postgres://user:password@host/database`.
        store: SecretString = "sqlite".into(), shown("`sqlite`"), flag("STORE");

        /// Failure that an archived message survives: `disk` (a power failure), `process` (a crash).
        durability: String = "disk".into(), flag("HOW"), check(one_of(&["disk", "process"]));

        /// Servers over the store, which act as one: `one`, `several`.
        relays: Option<String> = None, shown("`one`; with NATS `several`"), flag("COUNT"),
            check(one_of(&["one", "several"]));

        /// Keeps messages in NATS JetStream, `nats://host:4222`, several separated by commas; the rest stays in `store`.
        nats_url: Option<SecretString> = None, flag("URL");

        /// Copies of each message in NATS: 1, 3 or 5.
        nats_replicas: Option<usize> = None, shown("1"), flag("COUNT"), check(one_of(&["1", "3", "5"]));

        /// Credentials file for NATS.
        nats_credentials: Option<PathBuf> = None;

        /// PEM file of the certificate authorities that NATS servers need a certificate of.
        nats_root_certificates: Option<PathBuf> = None;

        /// Accepts a NATS that confirms messages before they are on its disks, although `durability` is `disk`.
        accept_relaxed_sync: Option<bool> = None, shown("`false`"), flag();

        /// Archived messages that a SLIM agent gets first when it subscribes: `off`, `last:N` (messages), or
        /// `since-last-delivery`.
        ///
        /// A delivery counts once it is handed to the connection, positions are kept in memory, and a silent cut is
        /// noticed when the keepalive fails. Native agents resume exactly.
        replay_on_subscribe: String = "off".into(), flag("WHAT"),
            check(where_true("off, since-last-delivery, or last:N", |text: &String| replay(text).is_some()));

        /// Admits agents without a token.
        allow_anonymous: bool = false, flag();

        /// Listens beyond this machine although TLS or authentication is off.
        insecure_listen: bool = false, flag();

        /// Lets sessions of the published SDK go on after their token has expired.
        published_sdk_outlives_token: bool = true;

        /// Accepts external commits to native channels, of agents whose token grants `join`.
        external_commits: bool = false;

        /// Epochs of native messages that are accepted: `strict` (the current), `lenient` (also the three before).
        epochs: String = "strict".into(), check(one_of(&["strict", "lenient"]));

        /// Format of the log: `text` or `json`.
        log_format: String = "text".into(), flag("FORMAT"), check(one_of(&["text", "json"]));

        /// Seconds that sessions have to end on SIGTERM.
        drain_seconds: u64 = 10;
    }
}

impl ServerConfig {
    /// Returns the address of the QUIC listener.
    pub fn quic_address(&self) -> SocketAddr {
        self.quic_listen_addr.unwrap_or_else(|| ([127, 0, 0, 1], self.listen_port).into())
    }

    /// Returns how long messages are kept; `None` is for ever.
    pub fn retention(&self) -> Option<Duration> {
        let days = self.message_ttl_days;
        (days > 0).then(|| Duration::from_secs(u64::from(days) * 86_400))
    }

    /// Returns the replay that a SLIM agent gets when it subscribes.
    pub fn replay(&self) -> Result<ReplayPolicy> {
        replay(&self.replay_on_subscribe).context("replay_on_subscribe is none of the allowed values")
    }

    /// Returns the policy for external commits.
    pub fn external_commits(&self) -> ExternalCommits {
        if self.external_commits { ExternalCommits::Accept } else { ExternalCommits::Refuse }
    }

    /// Returns the policy for epochs of native messages.
    pub fn epochs(&self) -> EpochPolicy {
        if self.epochs == "lenient" { EpochPolicy::Lenient } else { EpochPolicy::Strict }
    }

    /// Tells whether the API signs tokens with EdDSA instead of HS256.
    pub fn signs_with_eddsa(&self) -> bool {
        self.token_signing == "eddsa"
    }

    /// Tells whether other relays share the store.
    pub fn has_peers(&self) -> bool {
        self.relays.as_ref().map_or(self.nats_url.is_some(), |relays| relays == "several")
    }
}

fn replay(text: &str) -> Option<ReplayPolicy> {
    match text.split_once(':') {
        None if text == "off" => Some(ReplayPolicy::Off),
        None if text == "since-last-delivery" => Some(ReplayPolicy::SinceLastDelivery),
        Some(("last", count)) => count.parse().ok().map(ReplayPolicy::Last),
        _ => None,
    }
}
