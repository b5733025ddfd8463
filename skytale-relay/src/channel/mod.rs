//! Channels: who is subscribed, what is appended in which order, and what waits for whom.

mod fanout;
mod frame;
mod outbound;
mod outbox;
mod proposals;
mod registry;
mod sequencer;
mod subscription;
mod turns;

use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use skytale_core::ChannelName;
use tokio::sync::Notify;

pub use frame::Frame;
pub use outbound::Outbound;
pub(crate) use outbox::{Outbox, SessionId};
pub(crate) use proposals::ProposalLimits;
pub(crate) use registry::Registry;
pub(crate) use sequencer::{Appending, Item};
pub(crate) use subscription::{Start, Subscription};

/// A channel that has subscribers, or messages on their way to the archive.
#[derive(Debug)]
pub(crate) struct Channel {
    name: ChannelName,
    /// Ordered by session, so that a session's subscriptions stand side by side.
    subscriptions: ArcSwap<Vec<Arc<Subscription>>>,
    /// The last number whose fan-out has begun.
    delivered: AtomicU64,
    /// Whose turn it is among those of whom one is enough.
    turn: AtomicUsize,
    /// Whose turn it is to commit.
    turns: Mutex<turns::Turns>,
    /// What the epoch has of proposals.
    proposals: Mutex<proposals::Proposals>,
    waiting: Mutex<sequencer::Waiting>,
    /// Told when so many wait that another append is worth its while.
    many_wait: Notify,
}

impl Channel {
    pub fn name(&self) -> &ChannelName {
        &self.name
    }

    fn new(name: ChannelName) -> Self {
        Self {
            name,
            subscriptions: ArcSwap::default(),
            delivered: AtomicU64::new(0),
            turn: AtomicUsize::new(0),
            turns: Mutex::default(),
            proposals: Mutex::default(),
            waiting: Mutex::default(),
            many_wait: Notify::new(),
        }
    }
}
