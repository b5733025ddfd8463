//! Several relays over one store that act as one.
//!
//! What is archived reaches other relays through the log: each follows the channels that it has subscribers of. What is
//! not goes over the backplane, to those that have subscribers of it, and is only ever handed to these: a relay sends
//! nothing on that another one sent, so that nothing goes round.

mod message;
pub(crate) mod receiver;
mod sender;
mod topic_interest;

use std::sync::{Arc, Weak};

use bytes::Bytes;
use futures::StreamExt;
use skytale_core::{ChannelName, Dialect, Envelope, SequenceNumber};
use skytale_store::{Backplane, BackplaneMessage, Delivery, StoreError, Topic};

use crate::replay_cursors::{CursorOwner, ReplayCursors};
use crate::telemetry::Meter;
use message::ClusterMessage;
use receiver::ClusterReceiver;
use sender::ClusterSender;
use topic_interest::TopicInterest;

/// A relay's way to the others.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    outgoing: ClusterSender,
    interest: TopicInterest,
}

/// What a relay that hears from others does it to.
#[derive(Debug)]
struct Here {
    receiver: Weak<dyn ClusterReceiver>,
    cursors: Weak<ReplayCursors>,
    meter: Meter,
}

/// What every relay listens to: no channel's name hashes to it.
const EVERY_RELAY: Topic = Topic { channel: [0; 3], dialect: Dialect::Slim3, instance: None };

impl Cluster {
    /// Joins the other relays, and hears them until the receiver is gone.
    pub fn join(
        backplane: Arc<dyn Backplane>,
        receiver: Weak<dyn ClusterReceiver>,
        cursors: &Arc<ReplayCursors>,
        meter: Meter,
    ) -> Self {
        let here = Here { receiver, cursors: Arc::downgrade(cursors), meter: meter.clone() };
        tokio::spawn(here.hear(backplane.received()));
        let interest = TopicInterest::start(backplane.clone());
        tokio::spawn(interest.clone().keep(EVERY_RELAY));
        Self { outgoing: ClusterSender::start(backplane, meter), interest }
    }

    /// Hears what others send to a subscriber, from when it returns on.
    pub async fn listen(
        &self,
        channel: &ChannelName,
        dialect: Dialect,
        instance: Option<u128>,
    ) -> Result<(), StoreError> {
        let of_all = Topic { channel: channel.components(), dialect, instance: None };
        self.interest.add(of_all).await?;
        let Some(instance) = instance else { return Ok(()) };
        let listening = self.interest.add(Topic { instance: Some(instance), ..of_all }).await;
        if listening.is_err() {
            self.interest.remove(of_all);
        }
        listening
    }

    /// Takes [`listen`](Self::listen) back.
    pub fn leave(&self, channel: &ChannelName, dialect: Dialect, instance: Option<u128>) {
        let of_all = Topic { channel: channel.components(), dialect, instance: None };
        self.interest.remove(of_all);
        if instance.is_some() {
            self.interest.remove(Topic { instance, ..of_all });
        }
    }

    /// Sends a message that is not archived (or was, under `number`) to the subscribers of other relays.
    pub fn forward(
        &self,
        delivery: Delivery,
        envelope: &Envelope,
        number: Option<SequenceNumber>,
        after: SequenceNumber,
    ) {
        let Some(publish) = envelope.publish() else { return };
        let name = publish.header.destination.name;
        let topic = Topic { channel: name.components, dialect: envelope.dialect(), instance: name.id };
        let frame = Bytes::clone(envelope.frame());
        self.outgoing.send(topic, delivery, ClusterMessage::Forward { after, number, frame }.encode());
    }

    /// Sends a frame of the relay's own to the native agents that other relays have under a name.
    pub fn tell(&self, name: &ChannelName, frame: &Bytes) {
        for dialect in [Dialect::Slim1, Dialect::Slim3] {
            let topic = Topic { channel: name.components(), dialect, instance: None };
            self.outgoing.send(topic, Delivery::All, ClusterMessage::Tell(frame.clone()).encode());
        }
    }

    /// Waits until what other relays are to know is sent.
    pub async fn flush(&self) {
        self.outgoing.flush().await;
    }

    /// Lets the other relays know how far an agent that went away had got.
    pub fn hand_over(&self, subscriber: CursorOwner, position: SequenceNumber) {
        self.outgoing.send(
            EVERY_RELAY,
            Delivery::All,
            ClusterMessage::Position(subscriber, position).encode(),
        );
    }

    /// Lets the other relays forget how far an agent had got, which is here now.
    pub fn has_returned(&self, subscriber: CursorOwner) {
        self.outgoing.send(EVERY_RELAY, Delivery::All, ClusterMessage::Returned(subscriber).encode());
    }
}

impl Here {
    async fn hear(self, mut messages: futures::stream::BoxStream<'static, BackplaneMessage>) {
        while let Some(message) = messages.next().await {
            let (Some(receiver), Some(cursors)) = (self.receiver.upgrade(), self.cursors.upgrade()) else {
                return;
            };
            self.meter.parcels_received.increment(1);
            match ClusterMessage::decode(message.body) {
                Some(ClusterMessage::Forward { after, number, frame }) => {
                    receiver.arrive(message.topic, after, number, frame);
                }
                Some(ClusterMessage::Tell(frame)) => receiver.tell_here(message.topic.channel, &frame),
                Some(ClusterMessage::Position(subscriber, position)) => cursors.keep(subscriber, position),
                Some(ClusterMessage::Returned(subscriber)) => drop(cursors.take(&subscriber)),
                None => tracing::warn!(topic = %message.topic, "another relay sent what cannot be read"),
            }
        }
    }
}
