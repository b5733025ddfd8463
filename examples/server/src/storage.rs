//! Opening what the settings call the store.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use secrecy::ExposeSecret;
use skytale_api::Api;
use skytale_store::{
    Accounts, AgentRegistry, Backplane, ChannelRegistry, Durability, KeyPackageDirectory, MemoryStore,
    MeteredLog, NatsOptions, NatsStore, SqlOptions, SqlStore, Store, Usage,
};

use crate::config::ServerConfig;
use crate::metered::Metered;
use crate::{api, kept};

/// How long NATS may take to be ready, and how often it is tried.
const PATIENCE: Duration = Duration::from_secs(30);
const RETRY: Duration = Duration::from_millis(500);

/// The storage, and the API that is made over it.
pub struct Opened {
    pub parts: Parts,
    pub api: api::Make,
    pub place: String,
}

/// What is stored, and how other relays are told what is not.
#[derive(Clone)]
pub struct Parts {
    pub store: Arc<dyn Store>,
    pub directory: Arc<dyn KeyPackageDirectory>,
    pub accounts: Arc<dyn Accounts>,
    pub channels: Arc<dyn ChannelRegistry>,
    pub usage: Arc<dyn Usage>,
    /// What counts messages of a log that does not count them itself.
    pub counted: Option<MeteredLog>,
    /// `None` where this relay is the only one.
    pub backplane: Option<Arc<dyn Backplane>>,
}

impl Opened {
    fn new<S>(storage: S, place: impl Into<String>) -> Self
    where
        S: Store + KeyPackageDirectory + Accounts + AgentRegistry + ChannelRegistry + Usage,
    {
        let storage = Arc::new(storage);
        let parts = Parts {
            store: storage.clone(),
            directory: storage.clone(),
            accounts: storage.clone(),
            channels: storage.clone(),
            usage: storage.clone(),
            counted: None,
            backplane: None,
        };
        let api: api::Make = Box::new(|issuer, pepper| Api::new(storage, issuer, pepper));
        Self { parts, api, place: place.into() }
    }

    /// Keeps messages in NATS instead.
    async fn with_nats(mut self, config: &ServerConfig, servers: &str) -> Result<Self> {
        let store = connect_nats(config, servers).await?;
        if config.has_peers() {
            self.parts.backplane = Some(Arc::new(store.backplane().await?));
        }
        let counted = MeteredLog::new(Arc::new(store), self.parts.usage);
        self.parts.usage = Arc::new(counted.clone());
        self.parts.store = Arc::new(Metered::new(Arc::new(counted.clone())));
        self.parts.counted = Some(counted);
        self.place = format!("NATS JetStream, and {}", self.place);
        Ok(self)
    }
}

/// Opens the store that messages are kept in.
pub async fn connect_nats(config: &ServerConfig, servers: &str) -> Result<NatsStore> {
    let mut options = NatsOptions::default()
        .with_durability(durability(config))
        .with_replicas(config.nats_replicas.unwrap_or(1));
    if config.accept_relaxed_sync == Some(true) {
        options = options.accept_relaxed_sync();
    }
    if let Some(file) = &config.nats_credentials {
        options = options.with_credentials(file);
    }
    if let Some(file) = &config.nats_root_certificates {
        options = options.with_root_certificates(file);
    }
    patiently(async || NatsStore::connect(servers, options.clone()).await)
        .await
        .context("cannot open the archive in NATS")
}

/// Tries again for a while: servers that are started together need some time to agree on who leads.
async fn patiently<T>(connect: impl AsyncFn() -> skytale_store::Result<T>) -> skytale_store::Result<T> {
    let since = Instant::now();
    loop {
        match connect().await {
            Err(error) if error.is_retryable() && since.elapsed() < PATIENCE => {
                tracing::warn!(error = &error as &dyn std::error::Error, "NATS is not ready; trying again");
                tokio::time::sleep(RETRY).await;
            }
            outcome => return outcome,
        }
    }
}

/// Opens the storage.
pub async fn open(config: &ServerConfig) -> Result<Opened> {
    let opened = open_rest(config).await?;
    match &config.nats_url {
        Some(servers) => opened.with_nats(config, servers.expose_secret()).await,
        None => Ok(opened),
    }
}

/// Opens what everything is kept in, unless messages are in NATS.
async fn open_rest(config: &ServerConfig) -> Result<Opened> {
    let options = SqlOptions::default().with_durability(durability(config));
    match config.store.expose_secret() {
        "memory" => Ok(Opened::new(MemoryStore::new(), "memory")),
        "sqlite" => {
            kept::make_directory(&config.data_dir)?;
            let path = config.data_dir.join("skytale.db");
            let store = SqlStore::open_sqlite(&path, options).await;
            let store = store.with_context(|| format!("cannot open the archive {}", path.display()))?;
            Ok(Opened::new(store, format!("SQLite in {}", path.display())))
        }
        url if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
            let store = SqlStore::connect_postgres(url, options)
                .await
                .context("cannot open the archive in PostgreSQL")?;
            in_postgres(store, config).await
        }
        _ => bail!("store may be sqlite, memory, or a URL like postgres://user:password@host/database"),
    }
}

async fn in_postgres(store: SqlStore, config: &ServerConfig) -> Result<Opened> {
    let needs_backplane = config.has_peers() && config.nats_url.is_none();
    let backplane = match needs_backplane {
        true => store.backplane().await.context("cannot reach the other relays through PostgreSQL")?,
        false => None,
    };
    let mut opened = Opened::new(store, "PostgreSQL");
    opened.parts.store = Arc::new(Metered::new(opened.parts.store));
    opened.parts.backplane = backplane.map(|backplane| Arc::new(backplane) as Arc<dyn Backplane>);
    Ok(opened)
}

fn durability(config: &ServerConfig) -> Durability {
    match config.durability.as_str() {
        "process" => Durability::Process,
        _ => Durability::Disk,
    }
}
