//! The topics of the backplane that a relay listens to, each while it has subscribers there.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use skytale_store::{Backplane, StoreError, Topic};
use tokio::sync::{mpsc, oneshot};

/// Counts who wants a topic. One task tells the backplane, so that a topic's changes keep their order.
#[derive(Clone, Debug)]
pub(super) struct TopicInterest {
    changes: mpsc::UnboundedSender<Change>,
}

/// How long to wait before a topic that is to be kept is tried again.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Debug)]
enum Change {
    Add(Topic, oneshot::Sender<Result<(), StoreError>>),
    Remove(Topic),
}

impl TopicInterest {
    pub fn start(backplane: Arc<dyn Backplane>) -> Self {
        let (changes, mut queue) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut wanted = HashMap::new();
            while let Some(change) = queue.recv().await {
                apply(change, &mut wanted, &*backplane).await;
            }
        });
        Self { changes }
    }

    /// Listens to a topic; nothing is missed that others send once this has returned.
    pub async fn add(&self, topic: Topic) -> Result<(), StoreError> {
        let (told, done) = oneshot::channel();
        let _ = self.changes.send(Change::Add(topic, told));
        done.await.unwrap_or_else(|_| Err(StoreError::unavailable("the relay is shutting down")))
    }

    /// Listens to a topic for good, as soon as that is possible.
    pub async fn keep(self, topic: Topic) {
        while self.add(topic).await.is_err() && !self.changes.is_closed() {
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Takes one [`add`](Self::add) back.
    pub fn remove(&self, topic: Topic) {
        let _ = self.changes.send(Change::Remove(topic));
    }
}

async fn apply(change: Change, wanted: &mut HashMap<Topic, usize>, backplane: &dyn Backplane) {
    match change {
        Change::Add(topic, told) => {
            let count = wanted.entry(topic).or_default();
            let listening = if *count > 0 { Ok(()) } else { backplane.listen(topic).await };
            match &listening {
                Ok(()) => *count += 1,
                // What is half listened to would be chosen for messages that nobody here takes.
                Err(_) => {
                    wanted.remove(&topic);
                    let _ = backplane.leave(topic).await;
                }
            }
            if let Err(Err(error)) = told.send(listening) {
                tracing::warn!(error = &error as &dyn std::error::Error, "other relays are not heard");
            }
        }
        Change::Remove(topic) => {
            let Some(count) = wanted.get_mut(&topic) else { return };
            *count = count.saturating_sub(1);
            if *count == 0 {
                wanted.remove(&topic);
                if let Err(error) = backplane.leave(topic).await {
                    tracing::debug!(error = &error as &dyn std::error::Error, "a topic was not left");
                }
            }
        }
    }
}
