//! A backplane between relays of one process.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::contract::backplane::{Backplane, BackplaneMessage, Delivery, Topic};
use crate::error::Result;

/// A [`Backplane`] between relays of one process, for tests and for hosts that mount several relays.
///
/// Each relay has one of its own: [`MemoryBackplane::default`] for the first, [`join`](MemoryBackplane::join) for others.
#[derive(Debug)]
pub struct MemoryBackplane {
    line: Arc<Line>,
    hub: Arc<Hub>,
}

#[derive(Debug, Default)]
struct Hub {
    lines: Mutex<Vec<Arc<Line>>>,
    turn: AtomicUsize,
}

/// One relay's end.
#[derive(Debug)]
struct Line {
    topics: Mutex<HashSet<Topic>>,
    messages: broadcast::Sender<BackplaneMessage>,
}

/// How many messages wait for a relay that does not read.
const WAITING: usize = 4_096;

impl Default for MemoryBackplane {
    fn default() -> Self {
        Self::over(Arc::default())
    }
}

impl MemoryBackplane {
    /// Makes the backplane of another relay.
    pub fn join(&self) -> Self {
        Self::over(self.hub.clone())
    }

    fn over(hub: Arc<Hub>) -> Self {
        let line = Arc::new(Line { topics: Mutex::default(), messages: broadcast::Sender::new(WAITING) });
        lock(&hub.lines).push(line.clone());
        Self { line, hub }
    }
}

impl Drop for MemoryBackplane {
    fn drop(&mut self) {
        lock(&self.hub.lines).retain(|line| !Arc::ptr_eq(line, &self.line));
    }
}

#[async_trait]
impl Backplane for MemoryBackplane {
    async fn listen(&self, topic: Topic) -> Result<()> {
        lock(&self.line.topics).insert(topic);
        Ok(())
    }

    async fn leave(&self, topic: Topic) -> Result<()> {
        lock(&self.line.topics).remove(&topic);
        Ok(())
    }

    async fn send(&self, topic: Topic, delivery: Delivery, body: Bytes) -> Result<()> {
        let lines = lock(&self.hub.lines);
        let listening: Vec<_> = lines
            .iter()
            .filter(|line| !Arc::ptr_eq(line, &self.line) && lock(&line.topics).contains(&topic))
            .collect();
        let turn = self.hub.turn.fetch_add(1, Ordering::Relaxed);
        let chosen = match delivery {
            Delivery::All => &listening[..],
            Delivery::AnyOne if listening.is_empty() => &[],
            Delivery::AnyOne => &listening[turn % listening.len()..][..1],
        };
        for line in chosen {
            let _ = line.messages.send(BackplaneMessage { topic, body: body.clone() });
        }
        Ok(())
    }

    fn received(&self) -> BoxStream<'static, BackplaneMessage> {
        let messages = self.line.messages.subscribe();
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
