//! The registry of channels that are in use.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use dashmap::DashMap;
use skytale_core::{ChannelName, SequenceNumber};
use skytale_store::Topic;

use super::Channel;
use super::subscription::Subscription;
use crate::admission::connect::ConnectError;
use crate::cluster::Cluster;
use crate::cluster::receiver::ClusterReceiver;
use crate::envelope::reread;

/// Finds channels by name. A channel exists while somebody is subscribed or publishes to it.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    channels: DashMap<[u64; 3], Arc<Channel>>,
    cluster: OnceLock<Cluster>,
}

impl Registry {
    /// Shares the channels that are opened from now on with other relays.
    pub fn share(&self, cluster: Cluster) {
        let _ = self.cluster.set(cluster);
    }

    /// Returns the other relays.
    pub fn cluster(&self) -> Option<&Cluster> {
        self.cluster.get()
    }

    /// Returns the channel, for publishing.
    pub fn open(&self, name: &ChannelName) -> Arc<Channel> {
        let make = || Arc::new(Channel::new(name.clone(), self.cluster.get().cloned()));
        self.channels.entry(name.components()).or_insert_with(make).clone()
    }

    /// Returns the channel, for subscribing, if no more than so many are then in use.
    pub fn open_within(&self, name: &ChannelName, allowed: usize) -> Result<Arc<Channel>, ConnectError> {
        if self.channels.len() >= allowed && !self.channels.contains_key(&name.components()) {
            return Err(ConnectError::Limit { what: "channels", allowed });
        }
        Ok(self.open(name))
    }

    /// Queues a frame of the relay's own for every native session that is subscribed to a name, on every relay.
    pub fn tell(&self, name: &ChannelName, frame: &Bytes) {
        self.tell_here(name.components(), frame);
        if let Some(cluster) = self.cluster.get() {
            cluster.tell(name, frame);
        }
    }

    fn get(&self, name: [u64; 3]) -> Option<Arc<Channel>> {
        self.channels.get(&name).map(|channel| channel.clone())
    }

    /// Removes a subscription, and its channel when that was its last use.
    pub fn unsubscribe(&self, channel: Arc<Channel>, subscription: &Arc<Subscription>) {
        subscription.cursor().end();
        channel.remove(subscription);
        self.close(channel);
    }

    /// Gives a channel back that was looked at in passing: whoever gave it back meanwhile found it in use.
    pub(super) fn close_if_unused(&self, channel: Arc<Channel>) {
        let name = channel.name.components();
        drop(channel);
        let is_unused = self.channels.get(&name).is_some_and(|channel| channel.is_unsubscribed());
        if is_unused && let Some(channel) = self.get(name) {
            self.close(channel);
        }
    }

    /// Gives a channel back; it is forgotten when nobody else uses it.
    pub fn close(&self, channel: Arc<Channel>) {
        let key = channel.name.components();
        drop(channel);
        self.channels
            .remove_if(&key, |_, channel| Arc::strong_count(channel) == 1 && channel.is_unsubscribed());
    }
}

impl ClusterReceiver for Registry {
    fn tell_here(&self, name: [u64; 3], frame: &Bytes) {
        let Some(channel) = self.get(name) else { return };
        for subscription in channel.subscriptions.load().iter() {
            if subscription.outbox().native.get().is_some() {
                subscription.outbox().send(frame.clone());
            }
        }
        self.close_if_unused(channel);
    }

    fn arrive(&self, topic: Topic, after: SequenceNumber, number: Option<SequenceNumber>, frame: Bytes) {
        let Some(channel) = self.get(topic.channel) else { return };
        match reread(frame, topic.dialect, None) {
            Some(envelope) => channel.arrive(after, number, Arc::new(envelope)),
            None => tracing::warn!(%topic, "another relay forwards what is no message"),
        }
        self.close_if_unused(channel);
    }
}

impl Channel {
    pub fn add(&self, subscription: Arc<Subscription>) {
        self.subscriptions.rcu(|all| {
            let mut all = Vec::clone(all);
            let place = all.partition_point(|other| other.session() <= subscription.session());
            all.insert(place, subscription.clone());
            all
        });
    }

    fn remove(&self, subscription: &Arc<Subscription>) {
        self.subscriptions.rcu(|all| {
            let mut all = Vec::clone(all);
            all.retain(|other| !Arc::ptr_eq(other, subscription));
            all
        });
    }

    fn is_unsubscribed(&self) -> bool {
        self.subscriptions.load().is_empty()
    }
}
