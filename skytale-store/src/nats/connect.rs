//! Connecting, and the stream as the store needs it.

use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::stream::{Config, DiscardPolicy, Republish, RetentionPolicy, StorageType};
use async_nats::{Client, ConnectOptions, Event};
use tokio::sync::watch;

use super::endpoints::Servers;
use super::options::NatsOptions;
use super::stream::Log;
use crate::contract::store::Durability;
use crate::error::{Result, StoreError};
use crate::nats::stream::retry::TRY;
use crate::nats::stream::subjects::Subjects;
use crate::nats::stream::sync_policy;

/// A connection to servers that have the stream.
#[derive(Debug)]
pub(super) struct Connected {
    pub log: Log,
    pub durability: Durability,
    /// Changes when messages may have been missed.
    pub reconnected: watch::Receiver<()>,
}

/// How often a server shows that it is there; after two missed times the connection is made anew.
const PING_INTERVAL: Duration = Duration::from_secs(2);

impl Connected {
    pub async fn to(servers: &str, options: &NatsOptions) -> Result<Self> {
        let subjects = Subjects::new(&options.prefix)?;
        let (changed, reconnected) = watch::channel(());
        let client = connect(servers, options, changed).await?;
        check_version(&client, options)?;
        if client.max_payload() < LARGEST_FRAME {
            let largest = client.max_payload();
            tracing::warn!(
                largest,
                "the NATS servers' max_payload is smaller than the largest frames, which will be refused"
            );
        }
        let jetstream = ContextBuilder::new().timeout(options.timeout).build(client.clone());
        find_or_make_stream(&jetstream, &subjects, options).await?;
        let stream =
            jetstream.get_stream_no_info(subjects.stream()).await.map_err(StoreError::unavailable)?;
        let durability = durability(&client, options).await?;
        let log = Log { client, stream, subjects, timeout: options.timeout };
        Ok(Self { log, durability, reconnected })
    }
}

/// The largest frames of relays, and what a block adds to one.
const LARGEST_FRAME: usize = 4 * 1024 * 1024 + 64 * 1024;

async fn connect(servers: &str, options: &NatsOptions, changed: watch::Sender<()>) -> Result<Client> {
    let servers = Servers::parse(servers)?;
    let mut connect = servers
        .sign_in(ConnectOptions::new())
        .name("skytale")
        // What a relay tells the others it does not hear itself.
        .no_echo()
        .ping_interval(PING_INTERVAL)
        .request_timeout(Some(TRY))
        .event_callback(move |event| {
            match &event {
                Event::Connected | Event::SlowConsumer(_) => drop(changed.send(())),
                _ => {}
            }
            async move { tracing::debug!(%event, "NATS") }
        });
    if let Some(file) = &options.credentials {
        connect = connect.credentials_file(file).await.map_err(StoreError::unavailable)?;
    }
    if let Some(file) = &options.root_certificates {
        connect = connect.add_root_certificates(file.clone()).require_tls(true);
    }
    if let Some((certificate, key)) = &options.client_certificate {
        connect = connect.add_client_certificate(certificate.clone(), key.clone());
    }
    connect.connect(servers.addresses).await.map_err(StoreError::unavailable)
}

fn check_version(client: &Client, options: &NatsOptions) -> Result<()> {
    if !client.is_server_compatible(2, 9, 0) {
        return Err(StoreError::Invalid { what: "NATS servers before 2.9 cannot hold the log" });
    }
    if options.replicas > 1 && !client.is_server_compatible(2, 11, 0) {
        // They compare a channel's last block before the servers agree, so two blocks could follow one.
        return Err(StoreError::Invalid {
            what: "more than one replica needs NATS servers of 2.11 or later",
        });
    }
    if !matches!(options.replicas, 1 | 3 | 5) {
        return Err(StoreError::Invalid { what: "replicas are 1, 3 or 5" });
    }
    Ok(())
}

async fn find_or_make_stream(jetstream: &Context, subjects: &Subjects, options: &NatsOptions) -> Result<()> {
    let wanted = config(subjects, options);
    let making = async {
        loop {
            match jetstream.get_or_create_stream(wanted.clone()).await {
                Ok(stream) => return check(&stream.cached_info().config, &wanted),
                // Servers that have just started are not ready, or another relay makes it now.
                Err(error) => tracing::info!(%error, "the stream is not there yet"),
            }
            tokio::time::sleep(TRY / 4).await;
        }
    };
    match tokio::time::timeout(options.timeout, making).await {
        Ok(made) => made,
        Err(_) => Err(StoreError::unavailable(
            "the stream could not be made: is JetStream switched on, and has it room?",
        )),
    }
}

fn config(subjects: &Subjects, options: &NatsOptions) -> Config {
    Config {
        name: subjects.stream(),
        subjects: vec![subjects.logs()],
        description: Some("Skytale's channel log".to_owned()),
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        num_replicas: options.replicas,
        max_bytes: options.max_bytes.map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
        max_messages: -1,
        max_messages_per_subject: -1,
        max_consumers: -1,
        // A full stream refuses; it never drops what was promised to be kept.
        discard: DiscardPolicy::New,
        deny_delete: true,
        allow_direct: true,
        republish: Some(Republish {
            source: subjects.logs(),
            destination: subjects.all_kept(),
            headers_only: false,
        }),
        ..Default::default()
    }
}

/// Checks that a stream that is there does what the store relies on; its sizes are its operator's affair.
fn check(found: &Config, wanted: &Config) -> Result<()> {
    let refuse = |what| Err(StoreError::Invalid { what });
    if found.discard != DiscardPolicy::New || !found.max_age.is_zero() || found.max_messages_per_subject > 0 {
        return refuse(
            "the NATS stream drops old messages by itself: it needs `discard: new` and no limits of age",
        );
    }
    if found.retention != RetentionPolicy::Limits || found.storage != StorageType::File || found.no_ack {
        return refuse("the NATS stream does not keep messages in files, or does not acknowledge them");
    }
    if found.subjects != wanted.subjects || found.republish != wanted.republish || !found.allow_direct {
        return refuse(
            "the NATS stream has other subjects, or does not republish or answer as the store needs it",
        );
    }
    if found.num_replicas < wanted.num_replicas {
        return refuse("the NATS stream has fewer replicas than were asked for");
    }
    if found.deny_purge || found.sealed {
        return refuse("the NATS stream can not be trimmed or is sealed");
    }
    Ok(())
}

/// Returns what the servers really do.
async fn durability(client: &Client, options: &NatsOptions) -> Result<Durability> {
    if options.durability <= Durability::Process {
        return Ok(Durability::Process);
    }
    match sync_policy::is_always(client, options.replicas).await {
        Ok(true) => return Ok(Durability::Disk),
        _ if options.accepts_relaxed_sync => return Ok(Durability::Process),
        told => told?,
    };
    let what = "the NATS servers acknowledge before the disk has it (`sync_interval: always` is not set), or do not tell \
                this account; a power failure could undo what was acknowledged: set it, or accept a relaxed sync by name";
    Err(StoreError::Invalid { what })
}
