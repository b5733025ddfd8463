//! The task that listens to other relays' notifications.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use sqlx::Executor;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{interval, timeout};

use super::connection::ReconnectingConnection;
use super::mailboxes::Mailboxes;
use super::notification::{Bucket, Content, MessageKey, Notice};
use crate::contract::backplane::{BackplaneMessage, Delivery, Topic};
use crate::error::{Result, StoreError};

/// The most notifications that are worked on at once, and the bytes of messages that they may name.
const AT_ONCE: usize = 256;
const BYTES: usize = 16 * 1024 * 1024;

/// How many calls of [`Incoming`] wait; further callers wait for room.
const CALLS: usize = 64;

/// How long to wait before connecting again.
const RETRY: Duration = Duration::from_secs(1);

/// How often a connection on which nothing needs to come is tried, and how long whatever is asked on it may take.
const PULSE: Duration = Duration::from_secs(20);
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// The callers' end of the task, which ends with it.
#[derive(Debug)]
pub(super) struct Incoming(mpsc::Sender<Call>);

#[derive(Debug)]
struct Call {
    change: TopicChange,
    topic: Topic,
    done: oneshot::Sender<Result<()>>,
}

#[derive(Clone, Copy, Debug)]
enum TopicChange {
    Listen,
    Leave,
}

struct Receiving {
    options: PgConnectOptions,
    me: i64,
    topics: Topics,
    connection: ReconnectingConnection,
    mailboxes: Arc<Mailboxes>,
    calls: mpsc::Receiver<Call>,
}

/// Why the task does not go on with a connection.
enum End {
    Lost(StoreError),
    Closed,
}

impl Incoming {
    /// Connects, and starts the task; `me` is what the messages of this backplane say that they are from.
    pub async fn start(options: PgConnectOptions, me: i64, mailboxes: Arc<Mailboxes>) -> Result<Self> {
        let listener = connect(&options, &Topics::default()).await?;
        let (sender, calls) = mpsc::channel(CALLS);
        let connection = ReconnectingConnection::new(options.clone());
        let receiving = Receiving { options, me, topics: Topics::default(), connection, mailboxes, calls };
        tokio::spawn(receiving.run(listener));
        Ok(Self(sender))
    }

    /// Listens to a topic, and returns when what others send is heard.
    pub async fn listen(&self, topic: Topic) -> Result<()> {
        self.call(TopicChange::Listen, topic).await
    }

    /// Listens to a topic no more.
    pub async fn leave(&self, topic: Topic) -> Result<()> {
        self.call(TopicChange::Leave, topic).await
    }

    async fn call(&self, change: TopicChange, topic: Topic) -> Result<()> {
        let stopped = || StoreError::unavailable("the backplane's receiver has stopped");
        let (done, wait) = oneshot::channel();
        self.0.send(Call { change, topic, done }).await.map_err(|_| stopped())?;
        wait.await.map_err(|_| stopped())?
    }
}

impl Receiving {
    async fn run(mut self, mut listener: PgListener) {
        loop {
            match self.hear(listener).await {
                End::Closed => return,
                End::Lost(error) => tracing::warn!(%error, "not listening to other relays"),
            }
            listener = match self.connected_again().await {
                Some(listener) => listener,
                None => return,
            };
            tracing::info!("listening to other relays again");
        }
    }

    /// Works until the connection breaks or the backplane is dropped.
    async fn hear(&mut self, mut listener: PgListener) -> End {
        let mut pulse = interval(PULSE);
        loop {
            let heard = tokio::select! {
                call = self.calls.recv() => match call {
                    Some(call) => self.answer(&mut listener, call).await,
                    None => return End::Closed,
                },
                notification = listener.try_recv() => match notification {
                    Ok(Some(notification)) => self.receive(&mut listener, notification.payload()).await,
                    Ok(None) => Err(StoreError::unavailable("the connection is closed")),
                    Err(error) => Err(StoreError::unavailable(error)),
                },
                _ = pulse.tick() => answers(&mut listener).await,
            };
            if let Err(error) = heard {
                return End::Lost(error);
            }
        }
    }

    /// Connects until it succeeds; `None` when the backplane is dropped.
    async fn connected_again(&mut self) -> Option<PgListener> {
        loop {
            match connect(&self.options, &self.topics).await {
                Ok(listener) => return Some(listener),
                Err(error) => tracing::debug!(%error, "the database cannot be reached"),
            }
            let retry = tokio::time::sleep(RETRY);
            tokio::pin!(retry);
            loop {
                tokio::select! {
                    () = &mut retry => break,
                    call = self.calls.recv() => self.answer_unconnected(call?),
                }
            }
        }
    }

    /// Answers a call; the error is the connection's.
    async fn answer(&mut self, listener: &mut PgListener, call: Call) -> Result<()> {
        if let Err(lost) = self.change(listener, &call).await {
            self.answer_unconnected(call);
            return Err(lost);
        }
        let _ = call.done.send(Ok(()));
        Ok(())
    }

    async fn change(&mut self, listener: &mut PgListener, call: &Call) -> Result<()> {
        let bucket = match call.change {
            TopicChange::Listen => self.topics.add(call.topic),
            TopicChange::Leave => self.topics.remove(&call.topic),
        };
        let Some(bucket) = bucket.map(Bucket::name) else { return Ok(()) };
        let changing = async {
            match call.change {
                TopicChange::Listen => listener.listen(&bucket).await,
                TopicChange::Leave => listener.unlisten(&bucket).await,
            }
        };
        let changed = timeout(CONNECTION_TIMEOUT, changing).await;
        changed.map_err(StoreError::unavailable)?.map_err(StoreError::unavailable)
    }

    fn answer_unconnected(&mut self, call: Call) {
        self.topics.remove(&call.topic);
        let _ = call.done.send(match call.change {
            TopicChange::Listen => Err(StoreError::unavailable("the database cannot be reached")),
            TopicChange::Leave => Ok(()),
        });
    }

    /// Delivers what a notification tells, and those that are here already; the error is the connection's.
    async fn receive(&mut self, listener: &mut PgListener, payload: &str) -> Result<()> {
        let mut batch = NoticeBatch::default();
        batch.add(self.wanted(payload));
        let mut lost = Ok(());
        while !batch.is_full() {
            match listener.try_recv().now_or_never() {
                None => break,
                Some(Ok(Some(notification))) => batch.add(self.wanted(notification.payload())),
                Some(Ok(None)) => {
                    lost = Err(StoreError::unavailable("the connection is closed"));
                    break;
                }
                Some(Err(error)) => {
                    lost = Err(StoreError::unavailable(error));
                    break;
                }
            }
        }
        self.deliver(batch).await;
        lost
    }

    /// Reads a notification of another relay on something that is listened to.
    fn wanted(&self, payload: &str) -> Option<Notice> {
        let notice = Notice::decode(payload)?;
        (notice.id.sender != self.me && self.topics.contains(&notice.topic)).then_some(notice)
    }

    async fn deliver(&mut self, batch: NoticeBatch) {
        let mut kept = self.fetch(&batch, Delivery::All).await;
        kept.extend(self.fetch(&batch, Delivery::AnyOne).await);
        for Notice { id, topic, content } in batch.notices {
            let body = match content {
                Content::Inline(body) => Some(body),
                Content::Kept { .. } => kept.remove(&id),
            };
            if let Some(body) = body {
                self.mailboxes.deliver(&BackplaneMessage { topic, body });
            }
        }
    }

    async fn fetch(&mut self, batch: &NoticeBatch, delivery: Delivery) -> HashMap<MessageKey, Bytes> {
        let ids = batch.kept(delivery);
        let many = ids.len();
        let fetched = self.connection.fetch_messages(delivery, ids).await.unwrap_or_else(|error| {
            tracing::warn!(%error, many, "messages of other relays were lost");
            HashMap::new()
        });
        if delivery == Delivery::All && fetched.len() < many {
            tracing::debug!(lost = many - fetched.len(), "messages of other relays are gone");
        }
        fetched
    }
}

/// Connects by a pool of one connection, whose tidying up keeps nobody waiting.
async fn connect(options: &PgConnectOptions, topics: &Topics) -> Result<PgListener> {
    let connect = async {
        let pool = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
        let mut listener = PgListener::connect_with(&pool.connect_with(options.clone()).await?).await?;
        listener.ignore_pool_close_event(true);
        // What was listened to is listened to by another connection, on which the task decides.
        listener.eager_reconnect(false);
        let names: Vec<_> = topics.buckets().map(Bucket::name).collect();
        if !names.is_empty() {
            listener.listen_all(names.iter().map(String::as_str)).await?;
        }
        Ok::<_, sqlx::Error>(listener)
    };
    let connected = timeout(CONNECTION_TIMEOUT, connect).await;
    connected.map_err(StoreError::unavailable)?.map_err(StoreError::unavailable)
}

/// Makes sure that a connection is alive.
async fn answers(listener: &mut PgListener) -> Result<()> {
    let answered = timeout(CONNECTION_TIMEOUT, listener.execute("SELECT 1")).await;
    answered.map_err(StoreError::unavailable)?.map_err(StoreError::unavailable).map(drop)
}

/// Notices that are handled together.
#[derive(Default)]
struct NoticeBatch {
    notices: Vec<Notice>,
    seen: usize,
    bytes: usize,
}

impl NoticeBatch {
    fn add(&mut self, notice: Option<Notice>) {
        self.seen += 1;
        if let Some(Notice { content: Content::Kept { size, .. }, .. }) = &notice {
            self.bytes = self.bytes.saturating_add(*size as usize);
        }
        self.notices.extend(notice);
    }

    fn is_full(&self) -> bool {
        self.seen >= AT_ONCE || self.bytes >= BYTES
    }

    fn kept(&self, wanted: Delivery) -> Vec<MessageKey> {
        let is_wanted =
            |notice: &&Notice| matches!(notice.content, Content::Kept { delivery, .. } if delivery == wanted);
        self.notices.iter().filter(is_wanted).map(|notice| notice.id).collect()
    }
}

/// The topics that this process listens to.
#[derive(Default)]
struct Topics {
    all: HashSet<Topic>,
    buckets: HashMap<Bucket, usize>,
}

impl Topics {
    fn contains(&self, topic: &Topic) -> bool {
        self.all.contains(topic)
    }

    fn buckets(&self) -> impl Iterator<Item = Bucket> {
        self.buckets.keys().copied()
    }

    /// Returns the topic's bucket if it is the bucket's first.
    fn add(&mut self, topic: Topic) -> Option<Bucket> {
        if !self.all.insert(topic) {
            return None;
        }
        let bucket = Bucket::of(&topic);
        let topics = self.buckets.entry(bucket).or_default();
        *topics += 1;
        (*topics == 1).then_some(bucket)
    }

    /// Returns the topic's bucket if it was the bucket's last.
    fn remove(&mut self, topic: &Topic) -> Option<Bucket> {
        if !self.all.remove(topic) {
            return None;
        }
        let bucket = Bucket::of(topic);
        let topics = self.buckets.get_mut(&bucket)?;
        *topics -= 1;
        (*topics == 0).then(|| self.buckets.remove(&bucket)).flatten().map(|_| bucket)
    }
}

#[cfg(test)]
mod tests {
    use skytale_core::Dialect;

    use super::*;

    #[test]
    fn a_bucket_is_listened_to_while_one_of_its_topics_is() {
        let topic = |dialect| Topic { channel: [1, 2, 3], dialect, instance: None };
        let (one, other) = (topic(Dialect::Slim1), topic(Dialect::Slim3));
        let bucket = Some(Bucket::of(&one));
        let mut topics = Topics::default();
        assert_eq!((topics.add(one), topics.add(one), topics.add(other)), (bucket, None, None));
        assert_eq!((topics.remove(&one), topics.remove(&one)), (None, None));
        assert!(topics.contains(&other) && !topics.contains(&one));
        assert_eq!((topics.remove(&other), topics.buckets().count()), (bucket, 0));
    }
}
