//! The settings, and what they mean together.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use skytale_api::{Rate, Rates};
use skytale_relay::grpc::ConnectionLimits;
use skytale_relay::quic::QuicLimits;
use skytale_relay::{Epochs, ExternalCommits, Limits, Replay};

/// Everything a TOML file may say. Every key is optional.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where and how to serve.
    pub server: ServerConfig,
    /// What to allow.
    pub limits: LimitsConfig,
    /// How many messages each plan allows in a month; 0 is whatever one likes.
    pub plans: BTreeMap<String, u64>,
}

/// The table `[server]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    pub data_dir: Option<PathBuf>,
    pub grpc_listen_addr: Option<SocketAddr>,
    pub listen_port: Option<u16>,
    pub quic_listen_addr: Option<SocketAddr>,
    pub quic_client_ca: Option<PathBuf>,
    pub health_listen_addr: Option<SocketAddr>,
    pub jwt_secret: Option<SecretString>,
    pub jwt_keys: Vec<JwtKey>,
    pub api: Option<bool>,
    pub key_pepper: Option<SecretString>,
    pub token_signing: Option<String>,
    pub token_ttl_seconds: Option<u64>,
    pub http_tls_cert: Option<PathBuf>,
    pub http_tls_key: Option<PathBuf>,
    pub grpc_tls_cert: Option<PathBuf>,
    pub grpc_tls_key: Option<PathBuf>,
    pub message_ttl_days: Option<u32>,
    pub store: Option<SecretString>,
    pub durability: Option<String>,
    pub nats_url: Option<SecretString>,
    pub nats_replicas: Option<usize>,
    pub nats_credentials: Option<PathBuf>,
    pub nats_root_certificates: Option<PathBuf>,
    pub accept_relaxed_sync: Option<bool>,
    pub relays: Option<String>,
    pub replay_on_subscribe: Option<String>,
    pub allow_anonymous: Option<bool>,
    pub insecure_listen: Option<bool>,
    pub published_sdk_outlives_token: Option<bool>,
    pub external_commits: Option<bool>,
    pub epochs: Option<String>,
    pub log_format: Option<String>,
    pub drain_seconds: Option<u64>,
}

/// One entry of `[[server.jwt_keys]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwtKey {
    pub kid: String,
    pub secret: Option<SecretString>,
    pub public: Option<String>,
}

/// The table `[limits]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    pub max_connections: Option<usize>,
    pub max_channels: Option<usize>,
    pub max_message_size: Option<usize>,
    pub max_name_bytes: Option<usize>,
    pub max_repeated_elements: Option<usize>,
    pub max_sessions: Option<usize>,
    pub max_sessions_per_principal: Option<usize>,
    pub max_subscriptions_per_session: Option<usize>,
    pub max_subscriptions_per_principal: Option<usize>,
    pub max_publish_rate: Option<u32>,
    pub max_queued_messages: Option<usize>,
    pub max_queued_bytes: Option<usize>,
    pub max_queued_unarchived: Option<usize>,
    pub max_queued_answers: Option<usize>,
    pub stalled_seconds: Option<u64>,
    pub max_unarchived_in_flight: Option<usize>,
    pub max_unarchived_bytes_in_flight: Option<usize>,
    pub max_unauthenticated_connections: Option<usize>,
    pub max_handshakes_per_second: Option<u32>,
    pub authentication_seconds: Option<u64>,
    pub max_streams_per_connection: Option<u32>,
    pub max_pending_resets: Option<usize>,
    pub max_quic_connections: Option<usize>,
    pub max_quic_unvalidated_connections: Option<usize>,
    pub max_quic_streams_per_connection: Option<u32>,
    pub max_proposals_per_epoch: Option<usize>,
    pub max_proposals_per_principal: Option<usize>,
    pub max_claims_per_minute: Option<u32>,
    pub max_claims_per_hour: Option<u32>,
    pub max_api_rate: Option<u32>,
    pub max_unauthenticated_api_rate: Option<u32>,
    pub max_sign_ups_per_minute: Option<u32>,
}

/// Every key of `[server]`.
pub const SERVER_KEYS: [&str; 33] = [
    "data_dir",
    "grpc_listen_addr",
    "listen_port",
    "quic_listen_addr",
    "quic_client_ca",
    "health_listen_addr",
    "jwt_secret",
    "jwt_keys",
    "api",
    "key_pepper",
    "token_signing",
    "token_ttl_seconds",
    "http_tls_cert",
    "http_tls_key",
    "grpc_tls_cert",
    "grpc_tls_key",
    "message_ttl_days",
    "store",
    "durability",
    "nats_url",
    "nats_replicas",
    "nats_credentials",
    "nats_root_certificates",
    "accept_relaxed_sync",
    "relays",
    "replay_on_subscribe",
    "allow_anonymous",
    "insecure_listen",
    "published_sdk_outlives_token",
    "external_commits",
    "epochs",
    "log_format",
    "drain_seconds",
];

/// The longest message a SLIM client accepts, less what a hop may add.
const MAX_MESSAGE_SIZE: usize = 4 * 1024 * 1024 - 1024;

impl ServerConfig {
    /// Returns where the archive and the secret are kept.
    pub fn data_dir(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| "data".into())
    }

    /// Returns where SLIM agents connect.
    pub fn grpc_address(&self) -> SocketAddr {
        self.grpc_listen_addr.unwrap_or_else(|| ([127, 0, 0, 1], 5000).into())
    }

    /// Returns where native agents connect.
    pub fn quic_address(&self) -> SocketAddr {
        let port = self.listen_port.unwrap_or(4433);
        self.quic_listen_addr.unwrap_or_else(|| ([127, 0, 0, 1], port).into())
    }

    /// Returns where health is served.
    pub fn health_address(&self) -> SocketAddr {
        self.health_listen_addr.unwrap_or_else(|| ([127, 0, 0, 1], 8443).into())
    }

    /// Returns how long messages are kept; `None` is for ever.
    pub fn retention(&self) -> Option<Duration> {
        let days = self.message_ttl_days.unwrap_or(7);
        (days > 0).then(|| Duration::from_secs(u64::from(days) * 86_400))
    }

    /// Returns what an agent that subscribes is given.
    pub fn replay(&self) -> Result<Replay> {
        let text = self.replay_on_subscribe.as_deref().unwrap_or("off");
        Ok(match text.split_once(':') {
            None if text == "off" => Replay::Off,
            None if text == "since-last-delivery" => Replay::SinceLastDelivery,
            Some(("last", count)) if count.parse::<u64>().is_ok() => Replay::Last(count.parse()?),
            _ => bail!("replay_on_subscribe is {text:?}; it may be off, since-last-delivery, or last:N"),
        })
    }

    /// Returns whether native channels take external commits.
    pub fn external_commits(&self) -> ExternalCommits {
        match self.external_commits {
            Some(true) => ExternalCommits::Accept,
            _ => ExternalCommits::Refuse,
        }
    }

    /// Returns which epochs native agents may send messages in.
    pub fn epochs(&self) -> Result<Epochs> {
        Ok(match self.epochs.as_deref().unwrap_or("strict") {
            "strict" => Epochs::Strict,
            "lenient" => Epochs::Lenient,
            other => bail!("epochs is {other:?}; it may be strict or lenient"),
        })
    }

    /// Tells whether the HTTP API is served.
    pub fn serves_api(&self) -> bool {
        self.api.unwrap_or(true)
    }

    /// Tells whether the API signs tokens with EdDSA instead of HS256.
    pub fn signs_with_eddsa(&self) -> Result<bool> {
        Ok(match self.token_signing.as_deref().unwrap_or("hs256") {
            "hs256" => false,
            "eddsa" => true,
            other => bail!("token_signing is {other:?}; it may be hs256 or eddsa"),
        })
    }

    /// Tells whether other relays share the store.
    pub fn has_peers(&self) -> Result<bool> {
        let default = if self.nats_url.is_some() { "several" } else { "one" };
        Ok(match self.relays.as_deref().unwrap_or(default) {
            "one" => false,
            "several" => true,
            other => bail!("relays is {other:?}; it may be one or several"),
        })
    }

    /// Tells whether the store is a database server, which several relays can share.
    fn has_shared_store(&self) -> bool {
        self.store.as_ref().is_some_and(|store| store.expose_secret().starts_with("postgres"))
    }

    /// Refuses relays that could not act as one.
    fn check_peers(&self) -> Result<()> {
        ensure!(
            !self.has_peers()? || self.has_shared_store(),
            "several relays share accounts, key packages and Welcomes: set store to a postgres:// URL, or relays to \"one\""
        );
        ensure!(
            self.nats_url.is_some() || (self.nats_replicas, self.accept_relaxed_sync) == (None, None),
            "nats_replicas and accept_relaxed_sync are about NATS: set nats_url, too"
        );
        let replicas = self.nats_replicas.unwrap_or(1);
        ensure!(matches!(replicas, 1 | 3 | 5), "nats_replicas is {replicas}; it may be 1, 3 or 5");
        Ok(())
    }

    /// Tells whether agents without a token are let in.
    pub fn anonymous(&self) -> bool {
        self.allow_anonymous.unwrap_or(false)
    }

    /// Refuses settings that contradict each other, or that would expose the relay unawares.
    pub fn check(&self) -> Result<()> {
        ensure!(
            self.grpc_tls_cert.is_some() == self.grpc_tls_key.is_some(),
            "grpc_tls_cert and grpc_tls_key belong together: set both, or neither"
        );
        ensure!(
            self.http_tls_cert.is_some() == self.http_tls_key.is_some(),
            "http_tls_cert and http_tls_key belong together: set both, or neither"
        );
        let ttl = self.token_ttl_seconds.unwrap_or(900);
        ensure!((1..=86_400).contains(&ttl), "token_ttl_seconds is {ttl}; it may be 1 to 86400");
        self.signs_with_eddsa()?;
        self.check_http_exposure()?;
        self.replay()?;
        self.epochs()?;
        self.check_peers()?;
        let durability = self.durability.as_deref().unwrap_or("disk");
        ensure!(
            matches!(durability, "disk" | "process"),
            "durability is {durability:?}; it may be disk or process"
        );
        let format = self.log_format.as_deref().unwrap_or("text");
        ensure!(matches!(format, "text" | "json"), "log_format is {format:?}; it may be text or json");
        self.check_exposure("grpc_listen_addr", self.grpc_address(), "TLS is off")?;
        self.check_exposure("quic_listen_addr", self.quic_address(), "the certificate is self-signed")
    }

    /// Refuses to take API keys, or to tell metrics, in the clear beyond this machine.
    fn check_http_exposure(&self) -> Result<()> {
        let address = self.health_address();
        let is_safe = address.ip().is_loopback() || self.http_tls_cert.is_some();
        ensure!(
            is_safe || self.insecure_listen.unwrap_or(false),
            "health_listen_addr {address} is not a loopback address and HTTP is not encrypted: set http_tls_cert and \
             http_tls_key, or insist with insecure_listen = true \
             (--insecure-listen), as behind a proxy that encrypts"
        );
        Ok(())
    }

    /// Refuses a listener beyond this machine that lets anybody in, or that nobody can recognise.
    fn check_exposure(&self, key: &str, address: SocketAddr, without_certificate: &str) -> Result<()> {
        if address.ip().is_loopback() || self.insecure_listen.unwrap_or(false) {
            return Ok(());
        }
        let insist = "or insist with insecure_listen = true (--insecure-listen)";
        ensure!(
            self.grpc_tls_cert.is_some(),
            "{key} {address} is not a loopback address and {without_certificate}: set grpc_tls_cert and grpc_tls_key, {insist}"
        );
        ensure!(
            !self.anonymous(),
            "{key} {address} is not a loopback address and allow_anonymous is on: switch it off, {insist}"
        );
        Ok(())
    }
}

impl LimitsConfig {
    /// Refuses limits that cannot work.
    pub fn check(&self) -> Result<()> {
        let size = self.max_message_size.unwrap_or(MAX_MESSAGE_SIZE);
        ensure!(
            (1..=MAX_MESSAGE_SIZE).contains(&size),
            "max_message_size is {size}; it may be 1 to {MAX_MESSAGE_SIZE}, because SLIM clients take at most 4 MiB"
        );
        let rates = [self.max_api_rate, self.max_unauthenticated_api_rate, self.max_sign_ups_per_minute];
        ensure!(!rates.contains(&Some(0)), "a rate of the API is 0; to switch the API off, set api = false");
        Ok(())
    }

    /// Returns how often the API may be asked: its defaults, where nothing is set. Twice a rate is allowed at once.
    pub fn api(&self) -> Rates {
        const SECOND: Duration = Duration::from_secs(1);
        let rate = |count: u32, period| Rate::new(count.saturating_mul(2), count, period);
        let mut rates = Rates::default();
        if let Some(count) = self.max_api_rate {
            rates = rates.with_per_key(rate(count, SECOND));
        }
        if let Some(count) = self.max_unauthenticated_api_rate {
            rates = rates.with_per_stranger(rate(count, SECOND));
        }
        if let Some(count) = self.max_sign_ups_per_minute {
            rates = rates.with_sign_ups(rate(count, 60 * SECOND));
        }
        rates
    }

    /// Returns the relay's limits: its defaults, where nothing is set.
    pub fn relay(&self) -> Limits {
        let mut limits = Limits::default();
        let set = |to: &mut usize, from: Option<usize>| *to = from.unwrap_or(*to);
        set(&mut limits.frame.frame_bytes, self.max_message_size);
        set(&mut limits.frame.name_bytes, self.max_name_bytes);
        set(&mut limits.frame.elements, self.max_repeated_elements);
        set(&mut limits.channels, self.max_channels);
        set(&mut limits.sessions, self.max_sessions);
        set(&mut limits.sessions_per_principal, self.max_sessions_per_principal);
        set(&mut limits.subscriptions_per_session, self.max_subscriptions_per_session);
        set(&mut limits.subscriptions_per_principal, self.max_subscriptions_per_principal);
        set(&mut limits.queued_messages, self.max_queued_messages);
        set(&mut limits.queued_bytes, self.max_queued_bytes);
        set(&mut limits.queued_unarchived, self.max_queued_unarchived);
        set(&mut limits.queued_answers, self.max_queued_answers);
        set(&mut limits.unarchived_in_flight, self.max_unarchived_in_flight);
        set(&mut limits.unarchived_bytes_in_flight, self.max_unarchived_bytes_in_flight);
        set(&mut limits.proposals_per_epoch, self.max_proposals_per_epoch);
        set(&mut limits.proposals_per_principal, self.max_proposals_per_principal);
        limits.stalled = self.stalled_seconds.map_or(limits.stalled, Duration::from_secs);
        limits.publish_rate = self.max_publish_rate.unwrap_or(limits.publish_rate);
        limits.claims_per_minute = self.max_claims_per_minute.unwrap_or(limits.claims_per_minute);
        limits.claims_per_hour = self.max_claims_per_hour.unwrap_or(limits.claims_per_hour);
        limits
    }

    /// Returns the limits of the QUIC listener: its defaults, where nothing is set.
    pub fn quic(&self) -> QuicLimits {
        let mut limits = QuicLimits::default();
        let set = |to: &mut usize, from: Option<usize>| *to = from.unwrap_or(*to);
        set(&mut limits.connections, self.max_quic_connections);
        set(&mut limits.unauthenticated, self.max_unauthenticated_connections);
        set(&mut limits.unvalidated_connections, self.max_quic_unvalidated_connections);
        set(&mut limits.frame_bytes, self.max_message_size);
        limits.handshakes = self.max_handshakes_per_second.unwrap_or(limits.handshakes);
        limits.streams_per_connection =
            self.max_quic_streams_per_connection.unwrap_or(limits.streams_per_connection);
        limits.first_frame = self.authentication_seconds.map_or(limits.first_frame, Duration::from_secs);
        limits
    }

    /// Returns the listener's limits: its defaults, where nothing is set.
    pub fn connections(&self) -> ConnectionLimits {
        let mut limits = ConnectionLimits::default();
        limits.connections = self.max_connections.unwrap_or(limits.connections);
        limits.unauthenticated = self.max_unauthenticated_connections.unwrap_or(limits.unauthenticated);
        limits.authentication_time =
            self.authentication_seconds.map_or(limits.authentication_time, Duration::from_secs);
        limits.handshakes = self.max_handshakes_per_second.unwrap_or(limits.handshakes);
        limits.streams = self.max_streams_per_connection.unwrap_or(limits.streams);
        limits.pending_resets = self.max_pending_resets.unwrap_or(limits.pending_resets);
        limits
    }
}
