//! The task that sends messages, in the order in which it is given them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

use super::connection::ReconnectingConnection;
use super::notification::{Bucket, Content, MAX_INLINE, MessageKey, Notice};
use super::stored_messages::MessageBatch;
use crate::contract::backplane::{Delivery, Topic};
use crate::error::{Result, StoreError};

/// The most messages that are sent at once, and as many wait for it. Commits that notify wait for each other in the whole
/// database, so few are better.
const AT_ONCE: usize = 256;

/// The most bytes that wait or are being sent.
const BYTES: usize = 16 * 1024 * 1024;

/// How often messages that nobody will fetch are deleted.
const SWEEPING: Duration = Duration::from_secs(30);

/// The senders' end of the task, which ends with it.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// Locked by one caller after the other, in the order in which they came.
    jobs: tokio::sync::Mutex<mpsc::Sender<Job>>,
    room: Arc<Semaphore>,
    failure: Failure,
}

#[derive(Debug)]
enum Job {
    Send(QueuedMessage),
    /// What came before is sent, or has failed.
    Reached(oneshot::Sender<()>),
}

#[derive(Debug)]
struct QueuedMessage {
    topic: Topic,
    delivery: Delivery,
    body: Bytes,
    _room: OwnedSemaphorePermit,
}

/// Why messages were not sent, until somebody is told.
#[derive(Clone, Debug, Default)]
struct Failure(Arc<Mutex<Option<StoreError>>>);

struct Sending {
    connection: ReconnectingConnection,
    sender: i64,
    next: i64,
    failure: Failure,
}

impl Outgoing {
    /// Starts the task; `sender` is what receivers know this backplane by.
    pub fn start(options: PgConnectOptions, sender: i64) -> Self {
        let (jobs, receiver) = mpsc::channel(AT_ONCE);
        let failure = Failure::default();
        let sending = Sending {
            connection: ReconnectingConnection::new(options),
            sender,
            next: 0,
            failure: failure.clone(),
        };
        tokio::spawn(sending.run(receiver));
        Self { jobs: jobs.into(), room: Arc::new(Semaphore::new(BYTES)), failure }
    }

    /// Has a message sent when those before it are sent, and tells whether one of these could not be.
    pub async fn send(&self, topic: Topic, delivery: Delivery, body: Bytes) -> Result<()> {
        let size = body.len().min(BYTES) as u32;
        let jobs = self.jobs.lock().await;
        let room = self.room.clone().acquire_many_owned(size).await.map_err(|_| stopped())?;
        let message = QueuedMessage { topic, delivery, body, _room: room };
        jobs.send(Job::Send(message)).await.map_err(|_| stopped())?;
        self.failure.tell()
    }

    /// Waits until what was given to it before is sent, and tells whether some of it could not be.
    pub async fn flush(&self) -> Result<()> {
        let (reached, wait) = oneshot::channel();
        self.jobs.lock().await.send(Job::Reached(reached)).await.map_err(|_| stopped())?;
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
    async fn run(mut self, mut receiver: mpsc::Receiver<Job>) {
        let mut jobs = Vec::with_capacity(AT_ONCE);
        let mut sweeping = interval(SWEEPING);
        sweeping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                received = receiver.recv_many(&mut jobs, AT_ONCE) => match received {
                    0 => return,
                    _ => self.take(&mut jobs).await,
                },
                _ = sweeping.tick() => self.sweep().await,
            }
        }
    }

    async fn take(&mut self, jobs: &mut Vec<Job>) {
        let (mut messages, mut waiting) = (Vec::with_capacity(jobs.len()), Vec::new());
        for job in jobs.drain(..) {
            match job {
                Job::Send(message) => messages.push(message),
                Job::Reached(reached) => waiting.push(reached),
            }
        }
        if !messages.is_empty()
            && let Err(error) = self.send(&messages).await
        {
            self.failure.set(error);
        }
        for reached in waiting {
            let _ = reached.send(());
        }
    }

    async fn send(&mut self, messages: &[QueuedMessage]) -> Result<()> {
        let mut batch = MessageBatch::default();
        for message in messages {
            self.next += 1;
            load(&mut batch, MessageKey { sender: self.sender, number: self.next }, message);
        }
        self.connection.send_messages(self.sender, batch).await
    }

    async fn sweep(&mut self) {
        if let Err(error) = self.connection.delete_old_messages().await {
            tracing::warn!(%error, "old messages were not deleted");
        }
    }
}

fn load(batch: &mut MessageBatch, id: MessageKey, message: &QueuedMessage) {
    let content = if message.delivery == Delivery::All && message.body.len() <= MAX_INLINE {
        Content::Inline(message.body.clone())
    } else {
        batch.numbers.push(id.number);
        batch.bodies.push(message.body.clone());
        Content::Kept {
            delivery: message.delivery,
            size: u32::try_from(message.body.len()).unwrap_or(u32::MAX),
        }
    };
    batch.buckets.push(Bucket::of(&message.topic).name());
    batch.notices.push(Notice { id, topic: message.topic, content }.encode());
}
