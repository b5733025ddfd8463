//! The task that sends parcels, in the order in which it is given them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

use super::line::Line;
use super::notice::{Bucket, Content, MAX_INLINE, Notice, ParcelId};
use super::parcels::Shipment;
use crate::backplane::{Reach, Topic};
use crate::error::{Result, StoreError};

/// The most parcels that are sent at once, and that wait for it. Commits that notify wait for each other in the whole
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
    letters: Mutex<mpsc::Sender<Letter>>,
    room: Arc<Semaphore>,
}

#[derive(Debug)]
struct Letter {
    topic: Topic,
    reach: Reach,
    body: Bytes,
    sent: oneshot::Sender<Result<()>>,
    _room: OwnedSemaphorePermit,
}

struct Sending {
    line: Line,
    sender: i64,
    next: i64,
}

impl Outgoing {
    /// Starts the task; `sender` is what receivers know this backplane by.
    pub fn start(options: PgConnectOptions, sender: i64) -> Self {
        let (letters, receiver) = mpsc::channel(AT_ONCE);
        tokio::spawn(Sending { line: Line::new(options), sender, next: 0 }.run(receiver));
        Self { letters: Mutex::new(letters), room: Arc::new(Semaphore::new(BYTES)) }
    }

    /// Sends a parcel when those before it are sent.
    pub async fn send(&self, topic: Topic, reach: Reach, body: Bytes) -> Result<()> {
        let size = body.len().min(BYTES) as u32;
        let stopped = || StoreError::unavailable("the backplane's sender has stopped");
        let (sent, done) = oneshot::channel();
        let letters = self.letters.lock().await;
        let room = self.room.clone().acquire_many_owned(size).await.map_err(|_| stopped())?;
        letters.send(Letter { topic, reach, body, sent, _room: room }).await.map_err(|_| stopped())?;
        drop(letters);
        done.await.map_err(|_| stopped())?
    }
}

impl Sending {
    async fn run(mut self, mut receiver: mpsc::Receiver<Letter>) {
        let mut letters = Vec::with_capacity(AT_ONCE);
        let mut sweeping = interval(SWEEPING);
        sweeping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                received = receiver.recv_many(&mut letters, AT_ONCE) => match received {
                    0 => return,
                    _ => self.send(std::mem::take(&mut letters)).await,
                },
                _ = sweeping.tick() => self.sweep().await,
            }
        }
    }

    async fn send(&mut self, letters: Vec<Letter>) {
        let mut shipment = Shipment::default();
        for letter in &letters {
            self.next += 1;
            load(&mut shipment, ParcelId { sender: self.sender, number: self.next }, letter);
        }
        let outcome = self.line.send_parcels(self.sender, shipment).await.map_err(Arc::new);
        for letter in letters {
            let outcome = outcome.as_ref().copied().map_err(|error| StoreError::unavailable(error.clone()));
            let _ = letter.sent.send(outcome);
        }
    }

    async fn sweep(&mut self) {
        if let Err(error) = self.line.sweep_parcels().await {
            tracing::warn!(%error, "old parcels were not deleted");
        }
    }
}

fn load(shipment: &mut Shipment, id: ParcelId, letter: &Letter) {
    let content = if letter.reach == Reach::All && letter.body.len() <= MAX_INLINE {
        Content::Inline(letter.body.clone())
    } else {
        shipment.numbers.push(id.number);
        shipment.bodies.push(letter.body.clone());
        Content::Kept { reach: letter.reach, size: u32::try_from(letter.body.len()).unwrap_or(u32::MAX) }
    };
    shipment.buckets.push(Bucket::of(&letter.topic).name());
    shipment.notices.push(Notice { id, topic: letter.topic, content }.encode());
}
