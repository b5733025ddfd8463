//! The subscriptions of a session.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use skytale_core::Subscription as Request;
use skytale_core::{ChannelName, Envelope, Header, Name, Principal, SequenceNumber, Verb, compose};

use skytale_store::StoreError;

use super::context::Context;
use crate::channel::Channel;
use crate::channel::subscription::{Start, Subscription};
use crate::close_reason::CloseReason;
use crate::limits::per_account::SessionPermit;
use crate::policy::ReplayPolicy;
use crate::replay_cursors::CursorOwner;

/// What a session is subscribed to, each name with the requests that hold it.
///
/// Several agents may share a session and subscribe the same name, so a name is given up with its last request.
#[derive(Debug)]
pub(crate) struct Subscriber {
    context: Arc<Context>,
    permit: SessionPermit,
    names: HashMap<Name, HeldSubscription>,
    requests: usize,
}

#[derive(Debug)]
struct HeldSubscription {
    channel: Arc<Channel>,
    subscription: Arc<Subscription>,
    requests: HashSet<(Name, u64)>,
}

impl Subscriber {
    pub fn new(context: Arc<Context>, permit: SessionPermit) -> Self {
        Self { context, permit, names: HashMap::new(), requests: 0 }
    }

    /// Subscribes a name, and acknowledges or refuses.
    pub async fn subscribe(&mut self, envelope: &Envelope, request: &Request) -> Result<(), CloseReason> {
        let outcome = self.add(envelope, &request.header, request.id).await;
        if let Err(refusal) = &outcome {
            tracing::debug!(session = ?self.context.outbox.session(), refusal, "subscription refused");
        }
        self.acknowledge(request.id, outcome.as_ref().err().map(String::as_str));
        Ok(())
    }

    /// Gives a subscription back, and acknowledges; whatever the session does not hold is given back already.
    pub fn unsubscribe(&mut self, request: &Request) {
        let name = request.header.destination.name;
        let source = request.header.source.name;
        if let Some(held) = self.names.get_mut(&name)
            && held.release(source, request.id)
        {
            self.requests -= 1;
            if held.requests.is_empty() {
                self.give_up(name);
            }
        }
        self.acknowledge(request.id, None);
    }

    async fn add(&mut self, envelope: &Envelope, header: &Header, id: u64) -> Result<(), String> {
        let channel = envelope.channel(&header.destination);
        if !self.context.may(Verb::Subscribe, &channel).await {
            return Err(CloseReason::Forbidden { verb: Verb::Subscribe, channel }.to_string());
        }
        self.context.recognize(envelope, header);
        let (name, source) = (header.destination.name, header.source.name);
        let known = self.names.get(&name).is_some_and(|held| held.requests.contains(&(source, id)));
        let allowed = self.context.relay.limits.subscriptions_per_session;
        if !known && self.requests >= allowed {
            return Err(format!(
                "too many subscriptions: {allowed} are allowed in one session; unsubscribe one first"
            ));
        }
        if !header.source.is_absent() {
            self.context.outbox.add_source(source);
        }
        if !self.names.contains_key(&name) {
            let start = self.start(&channel, header).await?;
            self.open(envelope, &channel, header, start).await?;
        }
        let held = self.names.get_mut(&name).expect("opened above");
        self.requests += usize::from(held.requests.insert((source, id)));
        Ok(())
    }

    /// Subscribes a name from a position on; again if it was subscribed already.
    pub async fn start_at(
        &mut self,
        envelope: &Envelope,
        request: &Request,
        start: Start,
    ) -> Result<(), String> {
        let header = &request.header;
        let (name, source) = (header.destination.name, header.source.name);
        if let Some(held) = self.names.get(&name) {
            self.requests -= held.requests.len();
            self.give_up(name);
        }
        let allowed = self.context.relay.limits.subscriptions_per_session;
        if self.requests >= allowed {
            return Err(format!("too many subscriptions: {allowed} are allowed in one session"));
        }
        self.open(envelope, &envelope.channel(&header.destination), header, start).await?;
        let held = self.names.get_mut(&name).expect("opened above");
        self.requests += usize::from(held.requests.insert((source, request.id)));
        Ok(())
    }

    async fn open(
        &mut self,
        envelope: &Envelope,
        name: &ChannelName,
        header: &Header,
        start: Start,
    ) -> Result<(), String> {
        self.permit.subscribe().map_err(|limit| limit.to_string())?;
        let instance = header.destination.name.id;
        let (channel, head) = match self.attend(envelope, name, instance).await {
            Ok(attended) => attended,
            Err(refusal) => {
                self.permit.unsubscribe();
                return Err(refusal);
            }
        };
        let outbox = self.context.outbox.clone();
        let subscription = Subscription::new(outbox, &channel, envelope.dialect(), instance, start, head);
        let subscription = Arc::new(subscription);
        channel.add(subscription.clone());
        if start != Start::Live {
            self.context.outbox.catch_up(subscription.cursor().clone());
        }
        self.context.relay.appending.meter.subscriptions.increment(1);
        let held = HeldSubscription { channel, subscription, requests: HashSet::new() };
        self.names.insert(header.destination.name, held);
        Ok(())
    }

    /// Opens a channel, and sees to it that what other relays take for it comes here; returns the last number that was
    /// appended before.
    async fn attend(
        &self,
        envelope: &Envelope,
        name: &ChannelName,
        instance: Option<u128>,
    ) -> Result<(Arc<Channel>, SequenceNumber), String> {
        let relay = &self.context.relay;
        let opened = relay.registry.open_within(name, relay.limits.channels);
        let channel = opened.map_err(|limit| limit.to_string())?;
        let attended = async {
            let head = channel.attend(&relay.registry, &relay.appending.store).await?;
            if let Some(cluster) = relay.registry.cluster() {
                cluster.listen(name, envelope.dialect(), instance).await?;
            }
            Ok::<_, StoreError>(head)
        };
        match attended.await {
            Ok(head) => Ok((channel, head)),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a channel cannot be subscribed");
                relay.registry.close(channel);
                Err(CloseReason::ArchiveUnavailable.to_string())
            }
        }
    }

    async fn start(&self, channel: &ChannelName, header: &Header) -> Result<Start, String> {
        let relay = &self.context.relay;
        Ok(match relay.replay {
            ReplayPolicy::Off => Start::Live,
            // Agents without a name of their own cannot be told apart.
            ReplayPolicy::SinceLastDelivery if header.source.is_absent() => Start::Live,
            ReplayPolicy::SinceLastDelivery => {
                let subscriber = self.subscriber(header.source.name, header.destination.name);
                let position = relay.cursors.take(&subscriber);
                if let Some(cluster) = relay.registry.cluster() {
                    cluster.has_returned(subscriber);
                }
                position.map_or(Start::Live, Start::After)
            }
            ReplayPolicy::Last(count) => {
                let head = relay.appending.store.head(channel).await;
                let head = head.map_err(|_| CloseReason::ArchiveUnavailable.to_string())?;
                let first = head.last.0.saturating_sub(count).max(head.floor.0);
                Start::After(SequenceNumber(first))
            }
        })
    }

    /// Tells whether a principal may have every subscription that the session holds.
    pub async fn are_permitted(&self, principal: &Principal) -> bool {
        for held in self.names.values() {
            if !self.context.permits(principal, Verb::Subscribe, held.channel.name()).await {
                return false;
            }
        }
        true
    }

    fn give_up(&mut self, name: Name) {
        if let Some(held) = self.names.remove(&name) {
            self.permit.unsubscribe();
            self.context.relay.appending.meter.subscriptions.decrement(1);
            let registry = &self.context.relay.registry;
            if let Some(cluster) = registry.cluster() {
                cluster.leave(held.channel.name(), held.subscription.cursor().dialect(), name.id);
            }
            registry.unsubscribe(held.channel, &held.subscription);
        }
    }

    /// Keeps how far each subscription has got, for when the agent comes back, here or at another relay.
    pub fn keep_cursors(&self) {
        if self.context.relay.replay != ReplayPolicy::SinceLastDelivery {
            return;
        }
        for (name, held) in &self.names {
            let cursor = held.subscription.cursor();
            let waiting = self.context.outbox.first_waiting(cursor);
            let position = waiting.map_or(cursor.last(), |first| SequenceNumber(first.0.saturating_sub(1)));
            for (source, _) in &held.requests {
                let subscriber = self.subscriber(*source, *name);
                if let Some(cluster) = self.context.relay.registry.cluster() {
                    cluster.hand_over(subscriber.clone(), position);
                }
                self.context.relay.cursors.keep(subscriber, position);
            }
        }
    }

    fn subscriber(&self, source: Name, destination: Name) -> CursorOwner {
        CursorOwner { account: self.context.principal.account(), source, destination }
    }

    fn acknowledge(&self, id: u64, refusal: Option<&str>) {
        if id != 0 {
            self.context.outbox.send(compose::subscription_ack(id, refusal));
        }
    }
}

impl HeldSubscription {
    /// Takes a request back: the one with this number, else any of the same agent, whose numbers change when it
    /// subscribes again after a cut.
    fn release(&mut self, source: Name, id: u64) -> bool {
        if self.requests.remove(&(source, id)) {
            return true;
        }
        let other = self.requests.iter().find(|(name, _)| *name == source).copied();
        other.is_some_and(|other| self.requests.remove(&other))
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.keep_cursors();
        for name in self.names.keys().copied().collect::<Vec<_>>() {
            self.give_up(name);
        }
    }
}
