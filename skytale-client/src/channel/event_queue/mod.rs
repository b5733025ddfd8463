//! Events on their way to the agent: the newest in memory, all that are not acknowledged in the state.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::error::Result;
use crate::event::Event;
use crate::machine::effects::EventKey;
use crate::machine::stored::read;
use crate::state::{Page, Records};

/// A queue between a channel's task and whoever reads its events. It never grows beyond a bound: what does not fit waits
/// in the state.
#[derive(Debug)]
pub(crate) struct EventQueue {
    scope: String,
    records: Records,
    queue: Mutex<Queue>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<(Option<EventKey>, Event)>,
    /// The bytes of the messages that wait.
    bytes: usize,
    /// Whether the state holds events that are not in the queue.
    overflowed: bool,
    /// The last event that was handed out.
    last: EventKey,
    /// The last event that is or was in the queue: a task may add what was found in the state before.
    newest: EventKey,
    /// How many events came while the queue was full.
    behind: u64,
    closed: bool,
}

/// How many events wait in memory, and of how many bytes.
const WAITING: usize = 1024;
const WAITING_BYTES: usize = 8 * 1024 * 1024;

/// How many are taken from the state at once.
const TAKEN: Page = Page { events: 256, bytes: 4 * 1024 * 1024 };

impl EventQueue {
    /// Makes an inbox that begins with what the state holds.
    pub fn new(scope: String, records: Records) -> Self {
        let queue = Queue { overflowed: true, ..Queue::default() };
        Self { scope, records, queue: Mutex::new(queue), changed: Notify::new() }
    }

    /// Adds events that are stored, and some that need not be.
    pub fn add(&self, events: Vec<(Option<EventKey>, Event)>) {
        if events.is_empty() {
            return;
        }
        {
            let mut queue = self.lock();
            for (key, event) in events {
                if key.is_some_and(|key| key <= queue.newest) {
                    continue;
                }
                if key.is_some() && (queue.overflowed || queue.is_full()) {
                    queue.overflowed = true;
                    queue.behind += 1;
                } else if queue.waiting.len() < 2 * WAITING {
                    queue.newest = key.unwrap_or(queue.newest);
                    queue.bytes += length(&event);
                    queue.waiting.push_back((key, event));
                }
            }
        }
        self.changed.notify_one();
    }

    /// Ends the queue after what is in it.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
        self.changed.notify_waiters();
    }

    /// Waits for the next event; `None` once the channel is closed.
    pub async fn next(&self) -> Result<Option<(Option<EventKey>, Event)>> {
        loop {
            let changed = self.changed.notified();
            let (taken, overflowed, closed) = {
                let mut queue = self.lock();
                let taken = queue.take();
                (taken, queue.overflowed, queue.closed)
            };
            if taken.is_some() {
                return Ok(taken);
            }
            if overflowed {
                self.refill().await?;
                continue;
            }
            if closed {
                self.changed.notify_one();
                return Ok(None);
            }
            changed.await;
        }
    }

    /// Tells whether nothing waits in memory.
    pub fn is_drained(&self) -> bool {
        self.lock().waiting.is_empty()
    }

    /// Takes what the state holds after the last event that was handed out.
    async fn refill(&self) -> Result<()> {
        let last = {
            let mut queue = self.lock();
            queue.overflowed = false;
            queue.last
        };
        let refilling = Refilling(self);
        let found = self.records.events(&self.scope, last, TAKEN).await?;
        let more = found.more;
        let mut events = VecDeque::with_capacity(found.events.len() + 1);
        for (key, event) in found.events {
            events.push_back((EventKey::from_bytes(&key), read(&event)?));
        }
        refilling.succeeded();
        let mut queue = self.lock();
        // What came meanwhile is stored, too: it is in what was found, or comes with the next refill.
        let beyond = events.back().and_then(|(key, _)| *key).unwrap_or(last);
        let came = std::mem::take(&mut queue.waiting);
        events.extend(came.into_iter().filter(|(key, _)| key.is_none_or(|key| key > beyond && !more)));
        queue.newest = events.iter().filter_map(|(key, _)| *key).max().unwrap_or(beyond);
        queue.overflowed |= more;
        let behind = std::mem::take(&mut queue.behind);
        if more && behind > 0 {
            events.push_front((None, Event::Lagging { waiting: behind }));
        }
        queue.bytes = events.iter().map(|(_, event)| length(event)).sum();
        queue.waiting = events;
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A read of the state that has not come to its end. Where it never does, because it failed or the caller turned away, the
/// events are still in the state.
struct Refilling<'a>(&'a EventQueue);

impl Refilling<'_> {
    fn succeeded(self) {
        std::mem::forget(self);
    }
}

impl Drop for Refilling<'_> {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.overflowed = true;
        // Handed out now, what came meanwhile would be acknowledged together with all that was not read before it.
        queue.waiting.retain(|(key, _)| key.is_none());
        queue.bytes = 0;
    }
}

fn length(event: &Event) -> usize {
    match event {
        Event::Message(message) => message.body.len(),
        Event::NotSent(unsent) => unsent.body.len(),
        _ => 0,
    }
}

impl Queue {
    fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING || self.bytes >= WAITING_BYTES
    }

    fn take(&mut self) -> Option<(Option<EventKey>, Event)> {
        let (key, event) = self.waiting.pop_front()?;
        self.bytes -= length(&event);
        self.last = key.unwrap_or(self.last);
        Some((key, event))
    }
}
