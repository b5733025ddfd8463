//! The assembly: a store, a relay over it, the gRPC and QUIC edges over that, health beside it.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::ExposeSecret;
use skytale_api::Api;
use skytale_core::ChannelName;
use skytale_relay::grpc::{Listener, Server};
use skytale_relay::quic;
use skytale_relay::{
    AccountAuthorizer, AllowAnonymous, AuthenticateLayer, Authenticator, JwtAuthenticator, LegacySdkExpiry,
    PlanLimits, Relay,
};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tower::Layer;

use crate::certificate::Certificates;
use crate::config::{self, Config, ServerConfig};
use crate::ready::Probe;
use crate::stop::StopSignals;
use crate::storage::{self, Parts};
use crate::summary::Summary;
use crate::{api, http, logging, quic as quic_listener, secret};

/// How often messages are checked for their age.
const RETENTION_INTERVAL: Duration = Duration::from_secs(600);

/// How long it may take to tell other relays of the sessions that ended, and to hand over what was counted.
const FLUSH: Duration = Duration::from_secs(2);

/// Serves until it is told to stop, then drains.
pub async fn run(config: Config) -> Result<()> {
    logging::start(&config.server);
    for variable in config::unknown_variables() {
        tracing::warn!("{variable}");
    }
    let metrics = http::install_metrics()?;
    let storage = storage::open(&config.server).await?;
    let api = match config.server.api {
        true => Some(api::make(&config, storage.api)?),
        false => None,
    };
    let relay = relay(&config, &storage.parts, api.as_ref())?;
    let drain = relay.drain();
    let tokens = authenticator(&config.server)?;

    let http_listener = bind(config.server.health_listen_addr, "health_listen_addr").await?;
    let grpc_listener = bind(config.server.grpc_listen_addr, "grpc_listen_addr").await?;
    let certificates = Certificates::read(&config.server)?;
    let edges = Edges::open(&config, grpc_listener, &certificates)?;
    let summary = Summary {
        grpc: edges.grpc_address,
        quic: edges.quic.local_addr()?,
        http: http_listener.local_addr()?,
        archive: storage.place.clone(),
        durability: storage.parts.store.durability(),
    };

    let probe = Probe { store: storage.parts.store.clone(), directory: storage.parts.directory.clone() };
    let ready = probe.clone().watch();
    let mut router = http::router(drain, probe, metrics);
    if let Some(api) = api {
        router = router.merge(api.into_router());
    }
    tokio::spawn(maintain(storage.parts.clone(), config.server.retention()));
    let encrypted = certificates.http.clone();
    tokio::spawn(async move { http::serve(http_listener, encrypted.as_ref(), router).await });
    let stop = StopSignals::listen()?;
    summary.print(&config.server);
    if config.server.allow_anonymous {
        edges.serve(&config, relay, AllowAnonymous::beside(tokens), ready, stop).await;
    } else {
        edges.serve(&config, relay, tokens, ready, stop).await;
    }
    if let Some(counted) = storage.parts.counted {
        let _ = tokio::time::timeout(FLUSH, counted.flush()).await;
    }
    Ok(())
}

/// Where agents connect.
struct Edges {
    grpc: Listener,
    grpc_address: SocketAddr,
    quic: quinn::Endpoint,
}

impl Edges {
    fn open(config: &Config, grpc: TcpListener, certificates: &Certificates) -> Result<Self> {
        let grpc_address = grpc.local_addr()?;
        let mut grpc = Listener::new(grpc).with_limits(config.limits.connections());
        if let Some(certificate) = &certificates.grpc {
            grpc = grpc.with_tls(certificate.clone());
        }
        let quic = quic_listener::bind(&config.server, &certificates.quic, &config.limits.quic())?;
        Ok(Self { grpc, grpc_address, quic })
    }

    /// Serves both until the process is told to stop; then both drain.
    async fn serve<A: Authenticator>(
        self,
        config: &Config,
        relay: Relay,
        authenticator: A,
        ready: watch::Receiver<bool>,
        stop: StopSignals,
    ) {
        let drain = relay.drain();
        let frame_bytes = relay.limits().frame.frame_bytes;
        let service = AuthenticateLayer::new(authenticator).layer(relay.clone());
        let grace = Duration::from_secs(config.server.drain_seconds);
        let server = Server::new(service.clone(), drain.clone())
            .with_frame_bytes(frame_bytes)
            .with_grace(grace)
            .with_readiness(ready);
        let mut limits = config.limits.quic();
        limits.grace = grace;
        let quic = quic::serve(self.quic, service, limits, drain.started());
        tokio::join!(server.serve(self.grpc, stop.received()), quic);
        let _ = tokio::time::timeout(FLUSH, relay.flush()).await;
        tracing::info!("drained");
    }
}

fn relay(config: &Config, parts: &Parts, api: Option<&Api>) -> Result<Relay> {
    let expiry = match config.server.published_sdk_outlives_token {
        true => LegacySdkExpiry::GoOn,
        false => LegacySdkExpiry::End,
    };
    let mut plans = PlanLimits::new(parts.usage.clone());
    for (plan, messages) in api.into_iter().flat_map(Api::plans) {
        if let Some(messages) = messages {
            plans = plans.with_plan(plan, messages);
        }
    }
    let relay = Relay::new(parts.store.clone())
        .with_directory(parts.directory.clone())
        .with_key_package_validator(|key_package: &[u8], agent: &ChannelName| {
            skytale_api::check_key_package(key_package, &agent.to_string()).map_err(|why| why.to_string())
        })
        .with_authorizer(AccountAuthorizer::new(parts.channels.clone()))
        .with_revocations(api::follow(parts.accounts.clone()))
        .with_plan_limits(plans)
        .with_external_commits(config.server.external_commits())
        .with_epochs(config.server.epochs())
        .with_limits(config.limits.relay())
        .with_replay(config.server.replay()?)
        .with_published_sdk_expiry(expiry);
    Ok(match &parts.backplane {
        Some(backplane) => relay.with_backplane(backplane.clone()),
        None => relay,
    })
}

fn authenticator(config: &ServerConfig) -> Result<JwtAuthenticator> {
    let secret = secret::signing(config)?;
    let mut authenticator = JwtAuthenticator::new(secret.expose_secret().as_bytes())?;
    for key in &config.jwt_keys {
        let kid = key.kid.as_str();
        let added = match (&key.secret, &key.public) {
            (Some(secret), None) => authenticator.with_key(kid, secret.expose_secret().as_bytes()),
            (None, Some(public)) => {
                let public = URL_SAFE_NO_PAD.decode(public);
                authenticator
                    .with_ed25519_key(kid, &public.context("public is the x of a JWK, in base64url")?)
            }
            _ => anyhow::bail!(
                "the JWT key {kid:?} has a secret (HS256), or a public half (EdDSA): one of both"
            ),
        };
        authenticator = added.with_context(|| format!("the JWT key {kid:?}"))?;
    }
    api::trust(authenticator, config)
}

async fn bind(address: SocketAddr, key: &str) -> Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound.with_context(|| format!("cannot listen on {address}: choose another {key}"))
}

/// Drops what is older than it may be, again and again.
async fn maintain(parts: Parts, retention: Option<Duration>) {
    loop {
        api::forget(&*parts.accounts, &*parts.channels).await;
        if let Some(retention) = retention {
            expire(&parts, SystemTime::now() - retention).await;
        }
        tokio::time::sleep(RETENTION_INTERVAL).await;
    }
}

/// Trims messages, and drops the Welcomes that nobody fetched and the GroupInfos that newer ones followed.
async fn expire(parts: &Parts, before: SystemTime) {
    if let Err(error) = parts.directory.expire_deposits(before).await {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "old Welcomes and GroupInfos could not be dropped"
        );
    }
    match parts.store.expire(before).await {
        Ok(0) => {}
        Ok(expired) => tracing::info!(expired, "dropped messages that were older than message_ttl_days"),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "old messages could not be dropped")
        }
    }
}
