//! The other relays at the same servers: their answers show that a subscription is known everywhere.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::{Client, Subscriber};
use bytes::Bytes;
use futures::StreamExt;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::error::{BoxError, Result, StoreError};
use crate::nats::stream::retry::TRY;
use crate::nats::stream::subjects::Subjects;

/// The relays at the same servers.
///
/// Servers tell each other what is listened to, which takes a moment. A server passes on what was listened to before an
/// answer of its relay, so the answers of all relays show that the moment is over.
#[derive(Debug)]
pub(super) struct Peers {
    client: Client,
    subjects: Subjects,
    id: u64,
    known: KnownPeers,
    answering: AbortHandle,
}

type KnownPeers = Arc<Mutex<HashSet<u64>>>;

/// How long a known relay may take to answer before it is believed to be gone.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);

/// How long unknown relays may take.
const FIRST_ANSWER_TIMEOUT: Duration = Duration::from_millis(200);

impl Peers {
    pub async fn join(client: Client, subjects: Subjects, id: u64) -> Result<Self> {
        let questions = client.subscribe(subjects.relays()).await.map_err(StoreError::unavailable)?;
        let known = KnownPeers::default();
        let answering = tokio::spawn(answer(client.clone(), questions, id, known.clone())).abort_handle();
        let peers = Self { client, subjects, id, known, answering };
        peers.ask(FIRST_ANSWER_TIMEOUT).await?;
        Ok(peers)
    }

    /// Waits until what was subscribed to is known to all servers that relays are at.
    pub async fn await_subscription(&self) -> Result<(), BoxError> {
        self.reach_server().await?;
        if self.client.server_info().cluster.is_some() {
            self.ask(ANSWER_TIMEOUT).await?;
        }
        Ok(())
    }

    /// Waits until the server has done what it was told.
    async fn reach_server(&self) -> Result<(), BoxError> {
        let request = async_nats::Request::new().payload(Bytes::new()).timeout(Some(TRY));
        match self.client.send_request(self.subjects.nobody(), request).await {
            Err(error) if error.kind() == async_nats::client::RequestErrorKind::NoResponders => Ok(()),
            Err(error) => Err(error.into()),
            Ok(_) => Ok(()),
        }
    }

    async fn ask(&self, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        let mut missing = lock(&self.known).clone();
        let waits_for_all = missing.is_empty();
        let inbox = self.client.new_inbox();
        let mut answers = self.client.subscribe(inbox.clone()).await.map_err(StoreError::unavailable)?;
        let id = Bytes::copy_from_slice(&self.id.to_be_bytes());
        let asked = self.client.publish_with_reply(self.subjects.relays(), inbox, id).await;
        asked.map_err(StoreError::unavailable)?;
        while waits_for_all || !missing.is_empty() {
            match tokio::time::timeout_at(deadline, answers.next()).await {
                // Nobody is there.
                Ok(Some(answer)) if answer.status.is_some() => return Ok(()),
                Ok(Some(answer)) => {
                    if let Some(id) = id_of(&answer.payload) {
                        missing.remove(&id);
                        lock(&self.known).insert(id);
                    }
                }
                Ok(None) => return Err(StoreError::unavailable("the connection to NATS is closed")),
                Err(_) => break,
            }
        }
        lock(&self.known).retain(|id| !missing.contains(id));
        Ok(())
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        self.answering.abort();
    }
}

async fn answer(client: Client, mut questions: Subscriber, id: u64, known: KnownPeers) {
    while let Some(question) = questions.next().await {
        if let Some(peer) = id_of(&question.payload) {
            lock(&known).insert(peer);
        }
        if let Some(reply) = question.reply {
            let _ = client.publish(reply, Bytes::copy_from_slice(&id.to_be_bytes())).await;
        }
    }
}

fn id_of(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

fn lock(known: &Mutex<HashSet<u64>>) -> MutexGuard<'_, HashSet<u64>> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}
