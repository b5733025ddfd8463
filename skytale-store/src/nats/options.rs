//! Options of a store in NATS.

use std::path::PathBuf;
use std::time::Duration;

use crate::contract::store::Durability;

/// Options of a [`NatsStore`](super::NatsStore).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NatsOptions {
    /// The beginning of the names of stream and subjects. Default: `skytale`.
    pub prefix: String,
    /// How many servers keep each record, where the stream is made; 1, 3 or 5. Default: 1.
    pub replicas: usize,
    /// The most bytes of the stream, where it is made; what does not fit is refused. Default: as much as the servers have.
    pub max_bytes: Option<u64>,
    /// What a returned append has to survive. Default: [`Durability::Disk`].
    pub durability: Durability,
    /// How long a call may take, whatever happens to servers and connections. Default: 15 seconds, because servers take up to
    /// nine to elect another leader. An append that waits for others may take twice as long.
    pub timeout: Duration,
    /// The size at which a block is closed, in bytes; only the records of a single append make a larger one. Default: 256 KiB.
    pub block_bytes: usize,
    /// How many channels are remembered between calls. Default: 10,000.
    pub channels: usize,
    /// How many message ids are remembered between calls, of all channels together; those of one channel always are while
    /// it is written to. Default: 4,000,000, which take about 200 MB.
    pub message_ids: usize,
    pub(super) accepts_relaxed_sync: bool,
    pub(super) credentials: Option<PathBuf>,
    pub(super) root_certificates: Option<PathBuf>,
    pub(super) client_certificate: Option<(PathBuf, PathBuf)>,
}

impl Default for NatsOptions {
    fn default() -> Self {
        Self {
            prefix: "skytale".to_owned(),
            replicas: 1,
            max_bytes: None,
            durability: Durability::Disk,
            timeout: Duration::from_secs(15),
            block_bytes: 256 * 1024,
            channels: 10_000,
            message_ids: 4_000_000,
            accepts_relaxed_sync: false,
            credentials: None,
            root_certificates: None,
            client_certificate: None,
        }
    }
}

impl NatsOptions {
    /// Sets the beginning of the names of stream and subjects: ASCII letters, digits, `-` and `_`.
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets how many servers keep each record, where the stream is made.
    pub fn with_replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// Sets the most bytes of the stream, where it is made.
    pub fn with_max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// Sets what a returned append has to survive.
    pub fn with_durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Accepts servers that acknowledge before the disk has it, or that do not tell, where [`Durability::Disk`] is asked for. The
    /// store then says [`Durability::Process`].
    pub fn accept_relaxed_sync(mut self) -> Self {
        self.accepts_relaxed_sync = true;
        self
    }

    /// Sets how long a call may take.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the size at which a block is closed, in bytes.
    pub fn with_block_bytes(mut self, bytes: usize) -> Self {
        self.block_bytes = bytes;
        self
    }

    /// Sets the file with the JWT and the key by which the store signs in (`.creds`).
    pub fn with_credentials(mut self, file: impl Into<PathBuf>) -> Self {
        self.credentials = Some(file.into());
        self
    }

    /// Sets the file with the certificates that vouch for the servers (PEM). Default: those of the system.
    pub fn with_root_certificates(mut self, file: impl Into<PathBuf>) -> Self {
        self.root_certificates = Some(file.into());
        self
    }

    /// Sets the files with the certificate and the key by which the store shows who it is (PEM).
    pub fn with_client_certificate(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.client_certificate = Some((certificate.into(), key.into()));
        self
    }
}
