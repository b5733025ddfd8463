//! The task that sends parcels, in the order in which it is given them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

use super::connection::Line;
use super::notification::{Bucket, Content, MAX_INLINE, Notice, ParcelId};
use super::stored_messages::Shipment;
use crate::contract::backplane::{Delivery, Topic};
use crate::error::{Result, StoreError};

/// The most parcels that are sent at once, and as many wait for it. Commits that notify wait for each other in the whole
/// database, so few are better.
const AT_ONCE: usize = 256;

/// The most bytes that wait or are being sent.
const BYTES: usize = 16 * 1024 * 1024;

/// How often parcels that nobody will fetch are deleted.
const SWEEPING: Duration = Duration::from_secs(30);

/// The senders' end of the task, which ends with it.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// Locked by one caller after the other, in the order in which they came.
    turns: tokio::sync::Mutex<mpsc::Sender<Turn>>,
    room: Arc<Semaphore>,
    failure: Failure,
}

#[derive(Debug)]
enum Turn {
    Send(Letter),
    /// What came before is sent, or has failed.
    Reached(oneshot::Sender<()>),
}

#[derive(Debug)]
struct Letter {
    topic: Topic,
    reach: Delivery,
    body: Bytes,
    _room: OwnedSemaphorePermit,
}

/// Why parcels were not sent, until somebody is told.
#[derive(Clone, Debug, Default)]
struct Failure(Arc<Mutex<Option<StoreError>>>);

struct Sending {
    line: Line,
    sender: i64,
    next: i64,
    failure: Failure,
}

impl Outgoing {
    /// Starts the task; `sender` is what receivers know this backplane by.
    pub fn start(options: PgConnectOptions, sender: i64) -> Self {
        let (turns, receiver) = mpsc::channel(AT_ONCE);
        let failure = Failure::default();
        let sending = Sending { line: Line::new(options), sender, next: 0, failure: failure.clone() };
        tokio::spawn(sending.run(receiver));
        Self { turns: turns.into(), room: Arc::new(Semaphore::new(BYTES)), failure }
    }

    /// Has a parcel sent when those before it are sent, and tells whether one of these could not be.
    pub async fn send(&self, topic: Topic, reach: Delivery, body: Bytes) -> Result<()> {
        let size = body.len().min(BYTES) as u32;
        let turns = self.turns.lock().await;
        let room = self.room.clone().acquire_many_owned(size).await.map_err(|_| stopped())?;
        let letter = Letter { topic, reach, body, _room: room };
        turns.send(Turn::Send(letter)).await.map_err(|_| stopped())?;
        self.failure.tell()
    }

    /// Waits until what was given to it before is sent, and tells whether some of it could not be.
    pub async fn flush(&self) -> Result<()> {
        let (reached, wait) = oneshot::channel();
        self.turns.lock().await.send(Turn::Reached(reached)).await.map_err(|_| stopped())?;
        wait.await.map_err(|_| stopped())?;
        self.failure.tell()
    }
}

fn stopped() -> StoreError {
    StoreError::unavailable("the backplane's sender has stopped")
}

impl Failure {
    fn set(&self, error: StoreError) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    /// Tells it to one caller.
    fn tell(&self) -> Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }
}

impl Sending {
    async fn run(mut self, mut receiver: mpsc::Receiver<Turn>) {
        let mut turns = Vec::with_capacity(AT_ONCE);
        let mut sweeping = interval(SWEEPING);
        sweeping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                received = receiver.recv_many(&mut turns, AT_ONCE) => match received {
                    0 => return,
                    _ => self.take(&mut turns).await,
                },
                _ = sweeping.tick() => self.sweep().await,
            }
        }
    }

    async fn take(&mut self, turns: &mut Vec<Turn>) {
        let (mut letters, mut waiting) = (Vec::with_capacity(turns.len()), Vec::new());
        for turn in turns.drain(..) {
            match turn {
                Turn::Send(letter) => letters.push(letter),
                Turn::Reached(reached) => waiting.push(reached),
            }
        }
        if !letters.is_empty()
            && let Err(error) = self.send(&letters).await
        {
            self.failure.set(error);
        }
        for reached in waiting {
            let _ = reached.send(());
        }
    }

    async fn send(&mut self, letters: &[Letter]) -> Result<()> {
        let mut shipment = Shipment::default();
        for letter in letters {
            self.next += 1;
            load(&mut shipment, ParcelId { sender: self.sender, number: self.next }, letter);
        }
        self.line.send_parcels(self.sender, shipment).await
    }

    async fn sweep(&mut self) {
        if let Err(error) = self.line.sweep_parcels().await {
            tracing::warn!(%error, "old parcels were not deleted");
        }
    }
}

fn load(shipment: &mut Shipment, id: ParcelId, letter: &Letter) {
    let content = if letter.reach == Delivery::All && letter.body.len() <= MAX_INLINE {
        Content::Inline(letter.body.clone())
    } else {
        shipment.numbers.push(id.number);
        shipment.bodies.push(letter.body.clone());
        Content::Kept { reach: letter.reach, size: u32::try_from(letter.body.len()).unwrap_or(u32::MAX) }
    };
    shipment.buckets.push(Bucket::of(&letter.topic).name());
    shipment.notices.push(Notice { id, topic: letter.topic, content }.encode());
}
