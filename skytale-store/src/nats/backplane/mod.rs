//! A backplane on core NATS.

mod chunk;
mod peers;

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::client::{Request, RequestErrorKind};
use async_nats::{Client, Message, Subscriber};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::AbortHandle;

use super::stream::Log;
use crate::contract::backplane::{Backplane, BackplaneMessage, Delivery, Topic};
use crate::error::{Result, StoreError};
use crate::nats::stream::retry::{TRY, persist};
use crate::nats::stream::subjects::Subjects;
use chunk::{Assembly, Chunk, LARGEST, MessageKey, OVERHEAD};
use peers::Peers;

/// A [`Backplane`] on core NATS, on the connection of a [`NatsStore`](super::NatsStore).
///
/// Servers pass messages on to the relays that listen, and keep nothing. A message has at most 64 MiB; what is larger than
/// a message of the servers travels in parts.
#[derive(Debug)]
pub struct NatsBackplane {
    client: Client,
    subjects: Subjects,
    /// How long a call may take.
    timeout: Duration,
    id: u64,
    sent: AtomicU64,
    topics: Mutex<HashMap<Topic, Listening>>,
    messages: broadcast::Sender<BackplaneMessage>,
    peers: Peers,
}

/// The tasks that listen to a topic; they end with it.
#[derive(Debug)]
struct Listening([AbortHandle; 2]);

/// How many messages wait for a relay that does not read.
const WAITING: usize = 4_096;

/// The largest part, in bytes; smaller where the servers say so.
const PART: usize = 512 * 1024;

/// The group of which a message for any one reaches one member.
const GROUP: &str = "relays";

/// How long the next piece of an accepted message may take.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(2);

impl NatsBackplane {
    pub(super) async fn join(log: &Log) -> Result<Self> {
        let (client, subjects, timeout) = (log.client.clone(), log.subjects.clone(), log.timeout);
        let id = RandomState::new().build_hasher().finish();
        let peers = Peers::join(client.clone(), subjects.clone(), id).await?;
        let (topics, sent) = Default::default();
        let messages = broadcast::Sender::new(WAITING);
        Ok(Self { client, subjects, timeout, id, sent, topics, messages, peers })
    }

    async fn start(&self, topic: Topic) -> Result<Listening> {
        let to_all = self.subjects.messages(topic, Delivery::All);
        let to_one = self.subjects.messages(topic, Delivery::AnyOne);
        let to_all = self.client.subscribe(to_all).await.map_err(StoreError::unavailable)?;
        let to_one =
            self.client.queue_subscribe(to_one, GROUP.to_owned()).await.map_err(StoreError::unavailable)?;
        let receiving = |subscriber| {
            let receiving = Receiving { client: self.client.clone(), topic, messages: self.messages.clone() };
            tokio::spawn(receiving.run(subscriber)).abort_handle()
        };
        Ok(Listening([receiving(to_all), receiving(to_one)]))
    }

    async fn publish(&self, subject: String, part: &Chunk) -> Result<()> {
        self.client.publish(subject, part.encode()).await.map_err(StoreError::unavailable)
    }

    /// Has one listener ask for the pieces, and sends them to it: a group would scatter them.
    async fn offer(&self, subject: String, message: MessageKey, pieces: Vec<Chunk>) -> Result<()> {
        let body = Chunk::Offer { message }.encode();
        let ask = || async {
            let offer = Request::new().payload(body.clone()).timeout(Some(TRY));
            match self.client.send_request(subject.clone(), offer).await {
                Ok(answer) => Ok(Some(answer.payload)),
                Err(error) if error.kind() == RequestErrorKind::NoResponders => Ok(None),
                Err(error) => Err(error.into()),
            }
        };
        // Another listener takes it where one is silent.
        let Some(taker) = persist(self.timeout, ask).await? else { return Ok(()) };
        let taker = String::from_utf8(taker.into()).map_err(StoreError::unavailable)?;
        for piece in &pieces {
            self.publish(taker.clone(), piece).await?;
        }
        Ok(())
    }

    fn topics(&self) -> MutexGuard<'_, HashMap<Topic, Listening>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Backplane for NatsBackplane {
    async fn listen(&self, topic: Topic) -> Result<()> {
        let is_new = !self.topics().contains_key(&topic);
        if is_new {
            let listening = self.start(topic).await?;
            // Of two that begin at once one stays.
            self.topics().insert(topic, listening);
        }
        persist(self.timeout, || self.peers.await_subscription()).await
    }

    async fn leave(&self, topic: Topic) -> Result<()> {
        self.topics().remove(&topic);
        Ok(())
    }

    async fn send(&self, topic: Topic, delivery: Delivery, body: Bytes) -> Result<()> {
        if body.len() > LARGEST {
            return Err(StoreError::Invalid { what: "a message has at most 64 MiB" });
        }
        let most = PART.min(self.client.max_payload()).saturating_sub(OVERHEAD);
        let message = (self.id, self.sent.fetch_add(1, Ordering::Relaxed));
        let too_many =
            StoreError::Invalid { what: "the message needs more than 65,535 messages of the NATS servers" };
        let pieces = Chunk::pieces(message, body, most).ok_or(too_many)?;
        let subject = self.subjects.messages(topic, delivery);
        if delivery == Delivery::AnyOne && pieces.len() > 1 {
            return self.offer(subject, message, pieces).await;
        }
        for piece in &pieces {
            self.publish(subject.clone(), piece).await?;
        }
        Ok(())
    }

    async fn flush(&self) -> Result<()> {
        self.client.flush().await.map_err(StoreError::unavailable)
    }

    fn received(&self) -> BoxStream<'static, BackplaneMessage> {
        let messages = self.messages.subscribe();
        let next = |mut messages: broadcast::Receiver<BackplaneMessage>| async move {
            loop {
                match messages.recv().await {
                    Ok(message) => return Some((message, messages)),
                    Err(RecvError::Lagged(lost)) => {
                        tracing::warn!(lost, "messages of other relays were lost")
                    }
                    Err(RecvError::Closed) => return None,
                }
            }
        };
        stream::unfold(messages, next).boxed()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

/// What receives one topic's messages of one delivery.
struct Receiving {
    client: Client,
    topic: Topic,
    messages: broadcast::Sender<BackplaneMessage>,
}

impl Receiving {
    async fn run(self, mut subscriber: Subscriber) {
        let mut assembly = Assembly::default();
        while let Some(received) = subscriber.next().await {
            let body = match Chunk::decode(received.payload.clone()) {
                Some(Chunk::Offer { message }) => self.accept(received, message).await,
                Some(piece) => assembly.add(piece),
                None => None,
            };
            if let Some(body) = body {
                let _ = self.messages.send(BackplaneMessage { topic: self.topic, body });
            }
        }
    }

    /// Asks for the pieces of a message and waits for them, so that it arrives in its place.
    async fn accept(&self, offer: Message, message: MessageKey) -> Option<Bytes> {
        let inbox = self.client.new_inbox();
        let mut pieces = self.client.subscribe(inbox.clone()).await.ok()?;
        self.client.publish(offer.reply?, inbox.into()).await.ok()?;
        let mut assembly = Assembly::default();
        loop {
            let piece = tokio::time::timeout(CHUNK_TIMEOUT, pieces.next()).await.ok()??;
            let piece = Chunk::decode(piece.payload)?;
            let is_last = matches!(&piece, Chunk::Piece { message: of, index, count, .. } if *of != message || index + 1 == *count);
            let body = assembly.add(piece);
            if is_last || body.is_some() {
                return body;
            }
        }
    }
}
