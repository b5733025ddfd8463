//! The channels that are in use.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use dashmap::DashMap;
use skytale_core::ChannelName;

use super::{Channel, Subscription};
use crate::connect::ConnectError;

/// Finds channels by name. A channel exists while somebody is subscribed or publishes to it.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    channels: DashMap<[u64; 3], Arc<Channel>>,
}

impl Registry {
    /// Returns the channel, for publishing.
    pub fn open(&self, name: &ChannelName) -> Arc<Channel> {
        let make = || Arc::new(Channel::new(name.clone()));
        self.channels.entry(name.components()).or_insert_with(make).clone()
    }

    /// Adds the subscription that `make` makes for the channel.
    pub fn subscribe(
        &self,
        name: &ChannelName,
        allowed: usize,
        make: impl FnOnce(Weak<Channel>) -> Subscription,
    ) -> Result<(Arc<Channel>, Arc<Subscription>), ConnectError> {
        if self.channels.len() >= allowed && !self.channels.contains_key(&name.components()) {
            return Err(ConnectError::Limit { what: "channels", allowed });
        }
        let channel = self.open(name);
        let subscription = Arc::new(make(Arc::downgrade(&channel)));
        channel.add(subscription.clone());
        Ok((channel, subscription))
    }

    /// Queues a frame of the relay's own for every native session that is subscribed to a name.
    pub fn tell(&self, name: &ChannelName, frame: &Bytes) {
        let Some(channel) = self.channels.get(&name.components()).map(|channel| channel.clone()) else {
            return;
        };
        for subscription in channel.subscriptions.load().iter() {
            if subscription.outbox().native.get().is_some() {
                subscription.outbox().send(frame.clone());
            }
        }
    }

    /// Removes a subscription, and its channel when that was its last use.
    pub fn unsubscribe(&self, channel: Arc<Channel>, subscription: &Arc<Subscription>) {
        subscription.end();
        channel.remove(subscription);
        self.close(channel);
    }

    /// Gives a channel back; it is forgotten when nobody else uses it.
    pub fn close(&self, channel: Arc<Channel>) {
        let key = channel.name.components();
        drop(channel);
        self.channels
            .remove_if(&key, |_, channel| Arc::strong_count(channel) == 1 && channel.is_unsubscribed());
    }
}

impl Channel {
    fn add(&self, subscription: Arc<Subscription>) {
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
