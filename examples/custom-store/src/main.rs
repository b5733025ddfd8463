//! A store of one's own: it seals every frame before another store keeps it.
//!
//! `cargo run -p custom-store` runs the suite that every store has to pass.

use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Result;
use async_trait::async_trait;
use chacha20poly1305::XChaCha20Poly1305;
use chacha20poly1305::aead::{Aead, AeadCore, KeyInit, OsRng};
use futures::StreamExt;
use futures::stream::BoxStream;
use skytale_core::{ChannelName, SequenceNumber};
use skytale_store::{
    Appended, Durability, Head, MemoryStore, MessageId, NewRecord, Precondition, Record, Store, StoreError,
    conformance,
};

type StoreResult<T> = Result<T, StoreError>;
type Records = BoxStream<'static, StoreResult<Record>>;

/// The bytes of a nonce, which stands before what it was used for.
const NONCE: usize = 24;

/// Seals what another store keeps.
struct SealedStore {
    inner: Arc<dyn Store>,
    cipher: XChaCha20Poly1305,
}

/// Seals and opens.
fn seal(cipher: &XChaCha20Poly1305, body: &[u8]) -> StoreResult<Vec<u8>> {
    let nonce = XChaCha20Poly1305::generate_nonce(&mut OsRng);
    let sealed =
        cipher.encrypt(&nonce, body).map_err(|_| StoreError::Invalid { what: "too long to be sealed" })?;
    Ok([&nonce[..], &sealed].concat())
}

fn open(cipher: &XChaCha20Poly1305, record: Record) -> StoreResult<Record> {
    let damaged = StoreError::Corrupt { what: "a record was sealed with another key, or changed" };
    let Some((nonce, sealed)) = record.body.split_first_chunk::<NONCE>() else { return Err(damaged) };
    let body = cipher.decrypt(nonce.into(), sealed).map_err(|_| damaged)?;
    Ok(Record { body: body.into(), ..record })
}

impl SealedStore {
    fn new(inner: Arc<dyn Store>, key: &[u8; 32]) -> Self {
        Self { inner, cipher: XChaCha20Poly1305::new(key.into()) }
    }

    fn opened(&self, records: Records) -> Records {
        let cipher = self.cipher.clone();
        records.map(move |record| record.and_then(|record| open(&cipher, record))).boxed()
    }
}

#[async_trait]
impl Store for SealedStore {
    async fn append(
        &self,
        channel: &ChannelName,
        mut records: Vec<NewRecord>,
        precondition: Precondition,
    ) -> StoreResult<Appended> {
        for record in &mut records {
            record.body = seal(&self.cipher, &record.body)?.into();
        }
        self.inner.append(channel, records, precondition).await
    }

    async fn find(&self, channel: &ChannelName, id: MessageId) -> StoreResult<Option<SequenceNumber>> {
        self.inner.find(channel, id).await
    }

    async fn head(&self, channel: &ChannelName) -> StoreResult<Head> {
        self.inner.head(channel).await
    }

    fn read(&self, channel: &ChannelName, after: SequenceNumber) -> Records {
        self.opened(self.inner.read(channel, after))
    }

    fn follow(&self, channel: &ChannelName, after: SequenceNumber) -> Records {
        self.opened(self.inner.follow(channel, after))
    }

    async fn trim(&self, channel: &ChannelName, through: SequenceNumber) -> StoreResult<()> {
        self.inner.trim(channel, through).await
    }

    async fn expire(&self, before: SystemTime) -> StoreResult<u64> {
        self.inner.expire(before).await
    }

    fn channels(&self) -> BoxStream<'static, StoreResult<(ChannelName, Head)>> {
        self.inner.channels()
    }

    fn durability(&self) -> Durability {
        self.inner.durability()
    }
}

impl std::fmt::Debug for SealedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SealedStore").field(&self.inner).finish()
    }
}

#[tokio::main]
async fn main() {
    run().await;
}

async fn run() {
    let (disk, key) = (Arc::new(MemoryStore::new()), rand::random::<[u8; 32]>());
    let store: Arc<dyn Store> = Arc::new(SealedStore::new(disk, &key));
    conformance::all(&store).await;
    println!("the sealed store passes every check; give it to `Relay::new`");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn the_sealed_store_passes_the_suite() {
        run().await;
    }

    #[tokio::test]
    async fn what_is_kept_is_sealed() {
        let (disk, key) = (Arc::new(MemoryStore::new()), [7; 32]);
        let (sealed, channel) =
            (SealedStore::new(disk.clone(), &key), ChannelName::from_strings(["a", "b", "c"]));
        let record = NewRecord::new(skytale_core::Dialect::Slim3, "who sends what".into());
        sealed.append(&channel, vec![record], Precondition::Any).await.expect("append");
        let kept = disk.read(&channel, SequenceNumber::START).next().await.expect("one").expect("read");
        assert!(!kept.body.windows(3).any(|bytes| bytes == b"who"));
        let other = SealedStore::new(disk, &[8; 32]);
        assert!(other.read(&channel, SequenceNumber::START).next().await.expect("one").is_err());
    }
}
