//! Where settings come from: a file, the environment, flags.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::cli::{Cli, Flags};
use crate::config::{Config, SERVER_KEYS};

/// The file that is read if it is there and no other is named.
const DEFAULT_FILE: &str = "skytale.toml";

const PREFIX: &str = "SKYTALE_";

/// Variables with our prefix that are not settings.
const OTHERS: [&str; 5] = [
    "SKYTALE_CACHE",
    "SKYTALE_HOME",
    "SKYTALE_TEST_NATS_SERVER",
    "SKYTALE_TEST_POSTGRES",
    "SKYTALE_TEST_RELAYS",
];

/// Reads the file, then the environment, then the flags.
pub fn load(cli: &Cli) -> Result<Config> {
    let mut config = match file(&cli.flags) {
        Some(path) => read(&path)?,
        None => Config::default(),
    };
    for (name, value) in std::env::vars().filter(|(name, _)| name.starts_with(PREFIX)) {
        if !OTHERS.contains(&name.as_str()) {
            set(&mut config, &name, &value)?;
        }
    }
    override_with(&mut config, &cli.flags);
    config.server.check()?;
    config.limits.check()?;
    Ok(config)
}

fn file(flags: &Flags) -> Option<PathBuf> {
    flags.config.clone().or_else(|| Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists()))
}

fn read(path: &Path) -> Result<Config> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    toml::from_str(&text).map_err(|error| anyhow::anyhow!(explain(path, &text, &error)))
}

/// Says where in the file what is wrong, and what was probably meant.
fn explain(path: &Path, text: &str, error: &toml::de::Error) -> String {
    let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
    let message = error.message();
    let place = format!("{}:{line}: ", path.display());
    let Some(unknown) = message.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next())
    else {
        return format!("{place}{message}");
    };
    let known = message.split('`').skip(3).step_by(2);
    match nearest(unknown, known) {
        Some(nearest) => format!("{place}unknown key {unknown:?}; did you mean {nearest:?}?"),
        None => format!("{place}unknown key {unknown:?}"),
    }
}

fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.map(|known| (strsim::jaro_winkler(unknown, known), known));
    scored
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .filter(|(score, _)| *score > 0.7)
        .map(|(_, known)| known)
}

/// Sets a key of `[server]`, or one of `[limits]` as SKYTALE_LIMITS_..., by its environment variable.
fn set(config: &mut Config, name: &str, value: &str) -> Result<()> {
    let key = name[PREFIX.len()..].to_lowercase();
    let toml = |key: &str| {
        let is_bare = value == "true" || value == "false" || value.parse::<u64>().is_ok();
        if is_bare { format!("{key} = {value}") } else { format!("{key} = {}", toml::Value::from(value)) }
    };
    if let Some(limit) = key.strip_prefix("limits_") {
        merge(&mut config.limits, &toml(limit), name)
    } else if SERVER_KEYS.contains(&key.as_str()) && key != "jwt_keys" {
        merge(&mut config.server, &toml(&key), name)
    } else {
        let hint = nearest(&key, SERVER_KEYS.into_iter());
        let hint =
            hint.map(|known| format!("; did you mean {PREFIX}{}?", known.to_uppercase())).unwrap_or_default();
        bail!("unknown environment variable {name}{hint}")
    }
}

/// Reads one line of TOML into a table, keeping what the table has.
fn merge<T: Merge>(table: &mut T, line: &str, name: &str) -> Result<()> {
    let read = toml::from_str(line).map_err(|error: toml::de::Error| {
        anyhow::anyhow!("environment variable {name}: {}", error.message())
    })?;
    table.merge(read);
    Ok(())
}

/// A table whose set keys override another's.
trait Merge: serde::de::DeserializeOwned {
    fn merge(&mut self, other: Self);
}

macro_rules! merge {
    ($table:ty { $($key:ident),* $(,)? }) => {
        impl Merge for $table {
            fn merge(&mut self, other: Self) {
                $(if other.$key.is_some() { self.$key = other.$key; })*
            }
        }
    };
}

merge!(crate::config::ServerConfig {
    data_dir,
    grpc_listen_addr,
    listen_port,
    quic_listen_addr,
    quic_client_ca,
    health_listen_addr,
    jwt_secret,
    api,
    key_pepper,
    token_signing,
    token_ttl_seconds,
    http_tls_cert,
    http_tls_key,
    grpc_tls_cert,
    grpc_tls_key,
    message_ttl_days,
    store,
    durability,
    nats_url,
    nats_replicas,
    nats_credentials,
    nats_root_certificates,
    accept_relaxed_sync,
    relays,
    replay_on_subscribe,
    allow_anonymous,
    insecure_listen,
    published_sdk_outlives_token,
    external_commits,
    epochs,
    log_format,
    drain_seconds,
});

merge!(crate::config::server::LimitsConfig {
    max_connections,
    max_channels,
    max_message_size,
    max_name_bytes,
    max_repeated_elements,
    max_sessions,
    max_sessions_per_principal,
    max_subscriptions_per_session,
    max_subscriptions_per_principal,
    max_publish_rate,
    max_queued_messages,
    max_queued_bytes,
    max_queued_unarchived,
    max_queued_answers,
    stalled_seconds,
    max_unarchived_in_flight,
    max_unarchived_bytes_in_flight,
    max_unauthenticated_connections,
    max_handshakes_per_second,
    authentication_seconds,
    max_streams_per_connection,
    max_pending_resets,
    max_quic_connections,
    max_quic_unvalidated_connections,
    max_quic_streams_per_connection,
    max_proposals_per_epoch,
    max_proposals_per_principal,
    max_claims_per_minute,
    max_claims_per_hour,
    max_api_rate,
    max_unauthenticated_api_rate,
    max_sign_ups_per_minute,
});

fn override_with(config: &mut Config, flags: &Flags) {
    let flags = flags.clone();
    config.server.merge(crate::config::ServerConfig {
        data_dir: flags.data_dir,
        grpc_listen_addr: flags.grpc_listen_addr,
        quic_listen_addr: flags.quic_listen_addr,
        health_listen_addr: flags.health_listen_addr,
        store: flags.store.map(Into::into),
        durability: flags.durability,
        nats_url: flags.nats_url.map(Into::into),
        nats_replicas: flags.nats_replicas,
        accept_relaxed_sync: flags.accept_relaxed_sync.then_some(true),
        relays: flags.relays,
        grpc_tls_cert: flags.grpc_tls_cert,
        grpc_tls_key: flags.grpc_tls_key,
        replay_on_subscribe: flags.replay_on_subscribe,
        allow_anonymous: flags.allow_anonymous.then_some(true),
        insecure_listen: flags.insecure_listen.then_some(true),
        log_format: flags.log_format,
        ..Default::default()
    });
}
