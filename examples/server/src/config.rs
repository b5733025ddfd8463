//! The settings, and what they mean together.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use secrecy::SecretString;
use serde::Deserialize;
use skytale_relay::grpc::ConnectionLimits;
use skytale_relay::{Limits, Replay};

/// Everything a TOML file may say. Every key is optional.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where and how to serve.
    pub server: ServerConfig,
    /// What to allow.
    pub limits: LimitsConfig,
}

/// The table `[server]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    pub data_dir: Option<PathBuf>,
    pub grpc_listen_addr: Option<SocketAddr>,
    pub health_listen_addr: Option<SocketAddr>,
    pub jwt_secret: Option<SecretString>,
    pub jwt_keys: Vec<JwtKey>,
    pub grpc_tls_cert: Option<PathBuf>,
    pub grpc_tls_key: Option<PathBuf>,
    pub message_ttl_days: Option<u32>,
    pub store: Option<SecretString>,
    pub durability: Option<String>,
    pub replay_on_subscribe: Option<String>,
    pub allow_anonymous: Option<bool>,
    pub insecure_listen: Option<bool>,
    pub published_sdk_outlives_token: Option<bool>,
    pub log_format: Option<String>,
    pub drain_seconds: Option<u64>,
}

/// One entry of `[[server.jwt_keys]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwtKey {
    pub kid: String,
    pub secret: SecretString,
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
    pub max_unauthenticated_connections: Option<usize>,
    pub authentication_seconds: Option<u64>,
    pub max_streams_per_connection: Option<u32>,
    pub max_pending_resets: Option<usize>,
}

/// Every key of `[server]`.
pub const SERVER_KEYS: [&str; 16] = [
    "data_dir",
    "grpc_listen_addr",
    "health_listen_addr",
    "jwt_secret",
    "jwt_keys",
    "grpc_tls_cert",
    "grpc_tls_key",
    "message_ttl_days",
    "store",
    "durability",
    "replay_on_subscribe",
    "allow_anonymous",
    "insecure_listen",
    "published_sdk_outlives_token",
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
        self.replay()?;
        let durability = self.durability.as_deref().unwrap_or("disk");
        ensure!(
            matches!(durability, "disk" | "process"),
            "durability is {durability:?}; it may be disk or process"
        );
        let format = self.log_format.as_deref().unwrap_or("text");
        ensure!(matches!(format, "text" | "json"), "log_format is {format:?}; it may be text or json");
        let exposed = !self.grpc_address().ip().is_loopback();
        if exposed && !self.insecure_listen.unwrap_or(false) {
            let insist = "or insist with insecure_listen = true (--insecure-listen)";
            ensure!(
                self.grpc_tls_cert.is_some(),
                "grpc_listen_addr {} is not a loopback address and TLS is off: set grpc_tls_cert and grpc_tls_key, {insist}",
                self.grpc_address()
            );
            ensure!(
                !self.anonymous(),
                "grpc_listen_addr {} is not a loopback address and allow_anonymous is on: switch it off, {insist}",
                self.grpc_address()
            );
        }
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
        Ok(())
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
        limits.publish_rate = self.max_publish_rate.unwrap_or(limits.publish_rate);
        limits
    }

    /// Returns the listener's limits: its defaults, where nothing is set.
    pub fn connections(&self) -> ConnectionLimits {
        let mut limits = ConnectionLimits::default();
        limits.connections = self.max_connections.unwrap_or(limits.connections);
        limits.unauthenticated = self.max_unauthenticated_connections.unwrap_or(limits.unauthenticated);
        limits.authentication_time =
            self.authentication_seconds.map_or(limits.authentication_time, Duration::from_secs);
        limits.streams = self.max_streams_per_connection.unwrap_or(limits.streams);
        limits.pending_resets = self.max_pending_resets.unwrap_or(limits.pending_resets);
        limits
    }
}
