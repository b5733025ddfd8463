//! Delivers a channel's new blocks to its followers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::Subscriber;
use futures::StreamExt;
use tokio::sync::{broadcast, watch};

use crate::nats::stream::retry::PAUSE;
use crate::nats::stream::{Log, Placed};

/// The channels that are listened to; listeners of one channel share a subscription.
#[derive(Clone, Debug)]
pub(crate) struct Feeds {
    senders: Arc<Mutex<HashMap<String, broadcast::Sender<Heard>>>>,
    reconnected: watch::Receiver<()>,
}

/// What a listener hears.
#[derive(Clone, Debug)]
pub(crate) enum Heard {
    /// A new block.
    Block(Arc<Placed>),
    /// Blocks may have been missed.
    Missed,
}

/// A listener to one channel.
#[derive(Debug)]
pub(crate) struct Feed(broadcast::Receiver<Heard>);

/// How many blocks wait for a slow listener.
const WAITING: usize = 64;

/// How long a silent channel is believed to be silent.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

impl Feeds {
    pub fn new(reconnected: watch::Receiver<()>) -> Self {
        Self { senders: Arc::default(), reconnected }
    }

    /// Listens to a channel. Once blocks are sure to be heard the listener hears [`Heard::Missed`].
    pub fn join(&self, log: &Log, subject: &str) -> Feed {
        let mut senders = self.lock();
        if let Some(sender) = senders.get(subject) {
            return Feed(sender.subscribe());
        }
        let (sender, receiver) = broadcast::channel(WAITING);
        senders.insert(subject.to_owned(), sender.clone());
        tokio::spawn(self.clone().tell(log.clone(), subject.to_owned(), sender));
        Feed(receiver)
    }

    /// Tells what the servers tell until nobody listens.
    async fn tell(self, log: Log, subject: String, sender: broadcast::Sender<Heard>) {
        let mut telling = Telling { log, subject, sender, last: 0 };
        let mut reconnected = self.reconnected.clone();
        reconnected.mark_unchanged();
        while self.is_wanted(&telling) {
            match telling.log.client.subscribe(telling.log.subjects.kept(&telling.subject)).await {
                Ok(subscriber) => telling.hear(subscriber, &mut reconnected).await,
                Err(error) => {
                    tracing::warn!(%error, "not listening for appends of other processes");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Tells whether anybody listens, and if not makes the next listener begin anew.
    fn is_wanted(&self, telling: &Telling) -> bool {
        let mut senders = self.lock();
        let is_wanted = telling.sender.receiver_count() > 0;
        if !is_wanted {
            senders.remove(&telling.subject);
        }
        is_wanted
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, broadcast::Sender<Heard>>> {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Feed {
    /// Returns what is heard next.
    pub async fn heard(&mut self) -> Heard {
        match self.0.recv().await {
            Ok(heard) => heard,
            Err(broadcast::error::RecvError::Lagged(_)) => Heard::Missed,
            Err(broadcast::error::RecvError::Closed) => {
                tokio::time::sleep(POLL_INTERVAL).await;
                Heard::Missed
            }
        }
    }

    /// Returns what was heard already.
    pub fn heard_already(&mut self) -> Option<Heard> {
        match self.0.try_recv() {
            Ok(heard) => Some(heard),
            Err(broadcast::error::TryRecvError::Lagged(_)) => Some(Heard::Missed),
            Err(_) => None,
        }
    }
}

/// What tells listeners.
struct Telling {
    log: Log,
    subject: String,
    sender: broadcast::Sender<Heard>,
    /// The place of the last block that was heard.
    last: u64,
}

impl Telling {
    /// Tells what a subscription brings, until it ends or nobody listens.
    async fn hear(&mut self, mut subscriber: Subscriber, reconnected: &mut watch::Receiver<()>) {
        // Requests that follow are answered after the subscription has begun.
        self.tell(Heard::Missed);
        while self.sender.receiver_count() > 0 {
            tokio::select! {
                message = subscriber.next() => match message {
                    Some(message) => self.hear_one(message),
                    None => return,
                },
                changed = reconnected.changed() => match changed {
                    Ok(()) => self.tell(Heard::Missed),
                    Err(_) => tokio::time::sleep(POLL_INTERVAL).await,
                },
                () = tokio::time::sleep(POLL_INTERVAL) => self.poll().await,
            }
        }
    }

    fn hear_one(&mut self, message: async_nats::Message) {
        let at =
            message.headers.as_ref().and_then(|headers| headers.get("Nats-Sequence")?.as_str().parse().ok());
        let placed = at.map(|at| Placed::decode(at, message.headers.as_ref(), message.payload));
        match placed {
            Some(Ok(placed)) => {
                self.last = placed.at;
                self.tell(Heard::Block(Arc::new(placed)));
            }
            // Readers find out what it is.
            _ => self.tell(Heard::Missed),
        }
    }

    /// Looks whether the channel was silent indeed.
    async fn poll(&mut self) {
        let next = match self.last {
            0 => self.log.tail(&self.subject).await,
            last => self.log.next(&self.subject, last + 1).await,
        };
        match next {
            Ok(Some(placed)) => {
                self.last = placed.at;
                self.tell(Heard::Missed);
            }
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "not known whether a channel has grown"),
        }
    }

    fn tell(&self, heard: Heard) {
        let _ = self.sender.send(heard);
    }
}
