//! A store whose calls can be observed, delayed and made to fail.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, stream};
use skytale_core::{ChannelName, SequenceNumber};
use skytale_store::{Appended, Durability, Head, MessageId, NewRecord, Precondition, Record, Result, Store};

type AppendHook = dyn Fn(Append, Next) -> BoxFuture<'static, Result<Appended>> + Send + Sync;
type ChannelHook = dyn Fn(&ChannelName) -> Result<()> + Send + Sync;

/// A store that forwards every call to another one, some of them through hooks.
///
/// It keeps the order of calls where the inner store does. Over such a store a hook has to pass appends on in the order in
/// which it was called.
pub struct HookedStore<S> {
    inner: Arc<S>,
    append: Option<Box<AppendHook>>,
    head: Option<Box<ChannelHook>>,
    read: Option<Box<ChannelHook>>,
}

/// An append on its way.
#[derive(Clone, Debug)]
pub struct Append {
    /// The channel.
    pub channel: ChannelName,
    /// The records.
    pub records: Vec<NewRecord>,
    /// The condition under which they are appended.
    pub precondition: Precondition,
}

/// The store behind a hook.
#[derive(Clone, Debug)]
pub struct Next(Arc<dyn Store>);

impl Next {
    /// Appends.
    ///
    /// # Errors
    ///
    /// Those of the inner store.
    pub async fn append(&self, append: Append) -> Result<Appended> {
        self.0.append(&append.channel, append.records, append.precondition).await
    }
}

impl<S: Store> HookedStore<S> {
    /// Makes a store without hooks.
    pub fn new(inner: impl Into<Arc<S>>) -> Self {
        Self { inner: inner.into(), append: None, head: None, read: None }
    }

    /// Passes each append to a hook, which may wait, change it, refuse it, or answer otherwise than the store did.
    pub fn on_append<F>(mut self, hook: impl Fn(Append, Next) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Appended>> + Send + 'static,
    {
        self.append = Some(Box::new(move |append, next| hook(append, next).boxed()));
        self
    }

    /// Asks a hook whether the head of a channel can be read.
    pub fn on_head(mut self, hook: impl Fn(&ChannelName) -> Result<()> + Send + Sync + 'static) -> Self {
        self.head = Some(Box::new(hook));
        self
    }

    /// Asks a hook whether the records of a channel can be read.
    pub fn on_read(mut self, hook: impl Fn(&ChannelName) -> Result<()> + Send + Sync + 'static) -> Self {
        self.read = Some(Box::new(hook));
        self
    }

    fn may_read(&self, channel: &ChannelName) -> Result<()> {
        self.read.as_ref().map_or(Ok(()), |hook| hook(channel))
    }
}

impl<S: fmt::Debug> fmt::Debug for HookedStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookedStore").field("inner", &self.inner).finish_non_exhaustive()
    }
}

#[async_trait]
impl<S: Store> Store for HookedStore<S> {
    async fn append(
        &self,
        channel: &ChannelName,
        records: Vec<NewRecord>,
        precondition: Precondition,
    ) -> Result<Appended> {
        match &self.append {
            Some(hook) => {
                let append = Append { channel: channel.clone(), records, precondition };
                hook(append, Next(self.inner.clone())).await
            }
            None => self.inner.append(channel, records, precondition).await,
        }
    }

    async fn find(&self, channel: &ChannelName, id: MessageId) -> Result<Option<SequenceNumber>> {
        self.inner.find(channel, id).await
    }

    async fn head(&self, channel: &ChannelName) -> Result<Head> {
        self.head.as_ref().map_or(Ok(()), |hook| hook(channel))?;
        self.inner.head(channel).await
    }

    fn read(&self, channel: &ChannelName, after: SequenceNumber) -> BoxStream<'static, Result<Record>> {
        match self.may_read(channel) {
            Ok(()) => self.inner.read(channel, after),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        }
    }

    fn follow(&self, channel: &ChannelName, after: SequenceNumber) -> BoxStream<'static, Result<Record>> {
        match self.may_read(channel) {
            Ok(()) => self.inner.follow(channel, after),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        }
    }

    async fn trim(&self, channel: &ChannelName, through: SequenceNumber) -> Result<()> {
        self.inner.trim(channel, through).await
    }

    async fn expire(&self, before: SystemTime) -> Result<u64> {
        self.inner.expire(before).await
    }

    fn channels(&self) -> BoxStream<'static, Result<(ChannelName, Head)>> {
        self.inner.channels()
    }

    fn durability(&self) -> Durability {
        self.inner.durability()
    }

    fn preserves_append_order(&self) -> bool {
        self.inner.preserves_append_order()
    }
}

#[cfg(test)]
mod tests {
    use skytale_store::{MemoryStore, SqlOptions, SqlStore, StoreError, conformance};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_store_without_hooks_keeps_the_contract() {
        let store: Arc<dyn Store> = Arc::new(HookedStore::new(MemoryStore::new()));
        conformance::all(&store).await;
    }

    #[tokio::test]
    async fn the_order_of_calls_is_kept_where_the_inner_store_keeps_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log.db");
        let store = SqlStore::open_sqlite(path, SqlOptions::default()).await.expect("open");
        assert!(HookedStore::new(store).preserves_append_order());
        assert!(!HookedStore::new(MemoryStore::new()).preserves_append_order());
    }

    #[tokio::test]
    async fn hooks_decide_what_is_appended_and_read() {
        let room = ChannelName::from_strings(["org", "ns", "room"]);
        let failed = || StoreError::Unavailable { source: "it fails over".into() };
        let store = HookedStore::new(MemoryStore::new())
            .on_append(move |append, next| async move {
                if append.records.len() > 1 { Err(failed()) } else { next.append(append).await }
            })
            .on_head(move |_| Err(failed()))
            .on_read(move |_| Err(failed()));
        let record = || NewRecord::new(skytale_core::Dialect::Slim3, "hello".into());
        store.append(&room, vec![record()], Precondition::Any).await.expect("passed on");
        store.append(&room, vec![record(), record()], Precondition::Any).await.expect_err("refused");
        store.head(&room).await.expect_err("refused");
        for mut records in
            [store.read(&room, SequenceNumber::START), store.follow(&room, SequenceNumber::START)]
        {
            assert!(matches!(records.next().await, Some(Err(StoreError::Unavailable { .. }))));
            assert!(records.next().await.is_none());
        }
        assert_eq!(store.inner.head(&room).await.expect("head").last, SequenceNumber(1));
    }
}
