//! A backplane over PostgreSQL's LISTEN and NOTIFY.

mod connection;
mod mailboxes;
mod notification;
mod receiver;
mod sender;
mod stored_messages;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use super::SqlStore;
use crate::contract::backplane::{Backplane, BackplaneMessage, Delivery, Topic};
use crate::error::Result;
use mailboxes::Mailboxes;
use receiver::Incoming;
use sender::Outgoing;

/// A [`Backplane`] between the relays of one PostgreSQL database, made by [`SqlStore::backplane`].
///
/// It has three connections of its own, beside [`SqlOptions::connections`](super::options::SqlOptions::connections), and makes
/// them again when they break; what others send meanwhile is lost. Messages of up to 5,900 bytes for all travel in
/// notifications, others by a table, where they can be fetched for a minute. At most 512 messages or 16 MiB wait to be sent, further
/// senders wait; at most 4,096 messages or 64 MiB wait for a reader of [`received`](Backplane::received), further messages
/// are lost to it. Through a pooler of connections, LISTEN needs its session mode.
#[derive(Debug)]
pub struct PgBackplane {
    outgoing: Outgoing,
    incoming: Incoming,
    mailboxes: Arc<Mailboxes>,
}

impl SqlStore {
    /// Connects this process to the others that share the PostgreSQL database; `None` for SQLite, whose file one process
    /// has to itself.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`](crate::error::StoreError::Unavailable) where the server cannot be reached.
    pub async fn backplane(&self) -> Result<Option<PgBackplane>> {
        if !self.statements.is_postgres() {
            return Ok(None);
        }
        // What is lost with the server would have been lost without it, so no commit waits for the disk.
        let pool = self.db.get_postgres_connection_pool();
        let options = (*pool.connect_options()).clone().options([("synchronous_commit", "off")]);
        let me = RandomState::new().build_hasher().finish() as i64;
        let mailboxes = Arc::new(Mailboxes::default());
        let incoming = Incoming::start(options.clone(), me, mailboxes.clone()).await?;
        Ok(Some(PgBackplane { outgoing: Outgoing::start(options, me), incoming, mailboxes }))
    }
}

#[async_trait]
impl Backplane for PgBackplane {
    async fn listen(&self, topic: Topic) -> Result<()> {
        self.incoming.listen(topic).await
    }

    async fn leave(&self, topic: Topic) -> Result<()> {
        self.incoming.leave(topic).await
    }

    async fn send(&self, topic: Topic, delivery: Delivery, body: Bytes) -> Result<()> {
        self.outgoing.send(topic, delivery, body).await
    }

    async fn flush(&self) -> Result<()> {
        self.outgoing.flush().await
    }

    fn received(&self) -> BoxStream<'static, BackplaneMessage> {
        self.mailboxes.open()
    }
}
