//! Channels: their subscriptions, the order of their appends, and fan-out.

pub(crate) mod append;
pub(crate) mod append_condition;
mod commit_queue;
mod fanout;
mod proposals;
mod recovery;
pub(crate) mod registry;
mod replication;
mod send_fence;
mod sequencer;
pub(crate) mod subscription;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use skytale_core::{ChannelName, SequenceNumber};
use tokio::sync::{Notify, OnceCell};

use crate::cluster::Cluster;
pub(crate) use subscription::Subscription;

/// A channel that has subscribers, or messages on their way to the archive.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) name: ChannelName,
    /// Ordered by session, so that a session's subscriptions stand side by side.
    subscriptions: ArcSwap<Vec<Arc<Subscription>>>,
    /// The last number whose fan-out has begun.
    delivered: AtomicU64,
    /// Set once it is known where the archive ended when the first one subscribed.
    begun: OnceCell<()>,
    /// Whose turn it is among those of whom one is enough.
    next_receiver: AtomicUsize,
    /// Whose turn it is to commit.
    commit_queue: Mutex<commit_queue::CommitQueue>,
    /// What the epoch has of proposals.
    proposals: Mutex<proposals::Proposals>,
    append_queue: Mutex<sequencer::AppendQueue>,
    /// Who has a message to send again first.
    send_fences: send_fence::SendFences,
    /// Told when so many wait that another append is worth its while.
    many_wait: Notify,
    appends: sequencer::AppendCounter,
    /// Set where other relays share the channel.
    log_follower: Option<replication::LogFollower>,
}

impl Channel {
    pub fn name(&self) -> &ChannelName {
        &self.name
    }

    pub(crate) fn new(name: ChannelName, cluster: Option<Cluster>) -> Self {
        Self {
            name,
            subscriptions: ArcSwap::default(),
            delivered: AtomicU64::new(0),
            begun: OnceCell::new(),
            next_receiver: AtomicUsize::new(0),
            commit_queue: Mutex::default(),
            proposals: Mutex::default(),
            append_queue: Mutex::default(),
            send_fences: send_fence::SendFences::default(),
            many_wait: Notify::new(),
            appends: sequencer::AppendCounter::default(),
            log_follower: cluster.map(replication::LogFollower::new),
        }
    }

    /// Returns the last number whose fan-out has begun.
    fn delivered(&self) -> SequenceNumber {
        SequenceNumber(self.delivered.load(Ordering::SeqCst))
    }

    /// Notes that a number's fan-out begins, or that nobody is to be given it.
    fn reach(&self, number: SequenceNumber) {
        self.delivered.fetch_max(number.0, Ordering::SeqCst);
    }
}
