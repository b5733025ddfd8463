//! When messages are sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use futures::task::AtomicWaker;
use skytale_bench::clock::now;
use tokio::sync::mpsc;

use crate::connection::Put;
use crate::message::{Stamp, Template};

/// How fast.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// So many messages on the way.
    Window(u64),
    /// So many per second.
    Rate(f64),
}

/// How many messages were sent, and how many deliveries may be on the way beyond those that are.
#[derive(Debug, Default)]
pub struct Progress {
    pub sent: AtomicU64,
    pub delivered: AtomicU64,
    credit: AtomicU64,
    publisher: AtomicWaker,
}

impl Progress {
    pub fn with_credit(deliveries: u64) -> Self {
        Self { credit: deliveries.into(), ..Self::default() }
    }

    /// Notes a delivery, for which another may be on the way.
    pub fn deliver(&self) {
        self.delivered.fetch_add(1, Ordering::Relaxed);
        self.credit.fetch_add(1, Ordering::Release);
        self.publisher.wake();
    }

    /// Takes the credit for one message; where there is none, the publisher is woken when there may be.
    pub fn take(&self, deliveries: u64, context: &mut Context<'_>) -> bool {
        let taken = || {
            let enough = |credit: u64| credit.checked_sub(deliveries);
            self.credit.fetch_update(Ordering::Acquire, Ordering::Relaxed, enough).is_ok()
        };
        if taken() {
            return true;
        }
        self.publisher.register(context.waker());
        taken()
    }
}

/// What is sent, to how many, and until when.
pub struct Sending {
    /// One for each channel.
    pub templates: Vec<Template>,
    pub copies: u64,
    pub until: u64,
    pub progress: Arc<Progress>,
}

impl Sending {
    /// Begins, at a pace.
    pub fn begin(self, pace: Pace, outgoing: mpsc::UnboundedSender<Put>) {
        match pace {
            Pace::Window(_) => {
                let _ = outgoing.send(Put::Load(self.windowed()));
            }
            // A thread of its own sleeps more exactly than a runtime does.
            Pace::Rate(rate) => drop(std::thread::spawn(move || self.paced(rate, &outgoing))),
        }
    }

    fn windowed(self) -> BoxStream<'static, Bytes> {
        let frames = stream::poll_fn(move |context| {
            if now() >= self.until {
                return Poll::Ready(None);
            }
            match self.progress.take(self.copies, context) {
                true => Poll::Ready(Some(self.next(now()))),
                false => Poll::Pending,
            }
        });
        frames.boxed()
    }

    fn paced(self, rate: f64, outgoing: &mpsc::UnboundedSender<Put>) {
        let start = now();
        for number in 0u64.. {
            let due = start + (number as f64 * 1e9 / rate) as u64;
            if due >= self.until {
                return;
            }
            std::thread::sleep(Duration::from_nanos(due.saturating_sub(now())));
            if outgoing.send(Put::Frame(self.next(due))).is_err() {
                return;
            }
        }
    }

    fn next(&self, at: u64) -> Bytes {
        let number = self.progress.sent.fetch_add(1, Ordering::Relaxed) + 1;
        self.templates[number as usize % self.templates.len()].stamped(Stamp { number, at })
    }
}
