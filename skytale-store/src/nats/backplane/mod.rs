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
use chunk::{Assembly, LARGEST, OVERHEAD, ParcelId, Part};
use peers::Peers;

/// A [`Backplane`] on core NATS, on the connection of a [`NatsStore`](super::NatsStore).
///
/// Servers pass parcels on to the relays that listen, and keep nothing. A parcel has at most 64 MiB; what is larger than
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
    parcels: broadcast::Sender<BackplaneMessage>,
    peers: Peers,
}

/// The tasks that listen to a topic; they end with it.
#[derive(Debug)]
struct Listening([AbortHandle; 2]);

/// How many parcels wait for a relay that does not read.
const WAITING: usize = 4_096;

/// The largest part, in bytes; smaller where the servers say so.
const PART: usize = 512 * 1024;

/// The group of which a parcel for any one reaches one member.
const GROUP: &str = "relays";

/// How long the next piece of an accepted parcel may take.
const PIECE_PATIENCE: Duration = Duration::from_secs(2);

impl NatsBackplane {
    pub(super) async fn join(log: &Log) -> Result<Self> {
        let (client, subjects, timeout) = (log.client.clone(), log.subjects.clone(), log.timeout);
        let id = RandomState::new().build_hasher().finish();
        let peers = Peers::join(client.clone(), subjects.clone(), id).await?;
        let (topics, sent) = Default::default();
        let parcels = broadcast::Sender::new(WAITING);
        Ok(Self { client, subjects, timeout, id, sent, topics, parcels, peers })
    }

    async fn start(&self, topic: Topic) -> Result<Listening> {
        let to_all = self.subjects.parcels(topic, Delivery::All);
        let to_one = self.subjects.parcels(topic, Delivery::AnyOne);
        let to_all = self.client.subscribe(to_all).await.map_err(StoreError::unavailable)?;
        let to_one =
            self.client.queue_subscribe(to_one, GROUP.to_owned()).await.map_err(StoreError::unavailable)?;
        let receiving = |messages| {
            let receiving = Receiving { client: self.client.clone(), topic, parcels: self.parcels.clone() };
            tokio::spawn(receiving.run(messages)).abort_handle()
        };
        Ok(Listening([receiving(to_all), receiving(to_one)]))
    }

    async fn publish(&self, subject: String, part: &Part) -> Result<()> {
        self.client.publish(subject, part.encode()).await.map_err(StoreError::unavailable)
    }

    /// Has one listener ask for the pieces, and sends them to it: a group would scatter them.
    async fn offer(&self, subject: String, parcel: ParcelId, pieces: Vec<Part>) -> Result<()> {
        let body = Part::Offer { parcel }.encode();
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
        persist(self.timeout, || self.peers.settle()).await
    }

    async fn leave(&self, topic: Topic) -> Result<()> {
        self.topics().remove(&topic);
        Ok(())
    }

    async fn send(&self, topic: Topic, reach: Delivery, body: Bytes) -> Result<()> {
        if body.len() > LARGEST {
            return Err(StoreError::Invalid { what: "a parcel has at most 64 MiB" });
        }
        let most = PART.min(self.client.max_payload()).saturating_sub(OVERHEAD);
        let parcel = (self.id, self.sent.fetch_add(1, Ordering::Relaxed));
        let too_many =
            StoreError::Invalid { what: "the parcel needs more than 65,535 messages of the NATS servers" };
        let pieces = Part::pieces(parcel, body, most).ok_or(too_many)?;
        let subject = self.subjects.parcels(topic, reach);
        if reach == Delivery::AnyOne && pieces.len() > 1 {
            return self.offer(subject, parcel, pieces).await;
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
        let parcels = self.parcels.subscribe();
        let next = |mut parcels: broadcast::Receiver<BackplaneMessage>| async move {
            loop {
                match parcels.recv().await {
                    Ok(parcel) => return Some((parcel, parcels)),
                    Err(RecvError::Lagged(lost)) => tracing::warn!(lost, "parcels of other relays were lost"),
                    Err(RecvError::Closed) => return None,
                }
            }
        };
        stream::unfold(parcels, next).boxed()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

/// What receives one topic's parcels of one reach.
struct Receiving {
    client: Client,
    topic: Topic,
    parcels: broadcast::Sender<BackplaneMessage>,
}

impl Receiving {
    async fn run(self, mut messages: Subscriber) {
        let mut assembly = Assembly::default();
        while let Some(message) = messages.next().await {
            let body = match Part::decode(message.payload.clone()) {
                Some(Part::Offer { parcel }) => self.accept(message, parcel).await,
                Some(piece) => assembly.add(piece),
                None => None,
            };
            if let Some(body) = body {
                let _ = self.parcels.send(BackplaneMessage { topic: self.topic, body });
            }
        }
    }

    /// Asks for the pieces of a parcel and waits for them, so that it arrives in its place.
    async fn accept(&self, offer: Message, parcel: ParcelId) -> Option<Bytes> {
        let inbox = self.client.new_inbox();
        let mut pieces = self.client.subscribe(inbox.clone()).await.ok()?;
        self.client.publish(offer.reply?, inbox.into()).await.ok()?;
        let mut assembly = Assembly::default();
        loop {
            let piece = tokio::time::timeout(PIECE_PATIENCE, pieces.next()).await.ok()??;
            let piece = Part::decode(piece.payload)?;
            let is_last = matches!(&piece, Part::Piece { parcel: of, index, count, .. } if *of != parcel || index + 1 == *count);
            let body = assembly.add(piece);
            if is_last || body.is_some() {
                return body;
            }
        }
    }
}
