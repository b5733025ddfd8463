//! One agent of the simulation: a machine, what is stored of it, and its stream to the relay.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use skytale_core::{ChannelName, Permissions, Principal};
use skytale_relay::{Connect, Outbound, Relay, Session, Transport};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tower::ServiceExt;

use crate::cipher_suite::CipherSuite;
use crate::event::{Event, Message};
use crate::group::Group;
use crate::group::identity::Identity;
use crate::group::key_package::{KeyPackages, Uses};
use crate::machine::effects::{Effects, Kind};
use crate::machine::stored::{Intent, Stored, read};
use crate::machine::{Input, Machine, Options};
use crate::state::apply;

pub(super) struct Agent {
    pub identity: Identity,
    pub machine: Machine,
    /// What is on disk.
    pub stored: Stored,
    /// What has been sent and is still on its way to the relay.
    pub on_its_way: VecDeque<Bytes>,
    stream: Option<(mpsc::UnboundedSender<Bytes>, Outbound)>,
    /// Frames that were sent once, to be sent again.
    pub past: Vec<Bytes>,
    pub numbered: BTreeMap<u64, u64>,
    pub failed: Vec<String>,
    /// The private halves of the key packages by which others let it in.
    pub stock: KeyPackages,
}

impl Agent {
    pub fn new(identity: Identity, machine: Machine) -> Self {
        Self {
            identity,
            machine,
            stored: Stored::new(),
            on_its_way: VecDeque::new(),
            stream: None,
            past: Vec::new(),
            numbered: BTreeMap::new(),
            failed: Vec::new(),
            stock: KeyPackages::default(),
        }
    }

    pub fn is_connected(&self) -> bool {
        self.stream.is_some()
    }

    pub async fn connect(&mut self, relay: &Relay, now: u64) {
        let session = session(relay).await;
        let outbound = session.outbound();
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::task::spawn_local(session.run(UnboundedReceiverStream::new(receiver).map(Ok)));
        self.stream = Some((sender, outbound));
        self.take(Input::Connected, now);
    }

    /// Loses the stream, and whatever was on its way on it.
    pub fn cut(&mut self, now: u64) {
        if self.stream.take().is_some() {
            self.on_its_way.clear();
            self.take(Input::Disconnected, now);
        }
    }

    /// Dies, and starts again with what is on disk.
    pub fn crash(&mut self, channel: &ChannelName, options: Options) {
        self.stream = None;
        self.on_its_way.clear();
        let stored = self.stored.clone();
        self.machine = Machine::load(channel, &self.identity, stored, options).expect("loads");
    }

    /// Makes the intent to add this agent.
    pub fn addition(&mut self) -> Intent {
        let key_package = self
            .stock
            .generate(&self.identity, CipherSuite::Classic, Uses::Once, std::time::SystemTime::now())
            .expect("made");
        Intent::Add { agent: self.identity.text().to_owned(), key_package }
    }

    /// Joins again, by the Welcome of the commit with a number.
    pub fn join(&mut self, channel: &ChannelName, welcome: &[u8], commit: u64, options: Options) {
        let group = Group::join(&self.identity, welcome, &mut self.stock).expect("a Welcome works");
        let mut past = self.stored.clone();
        past.remove(&Kind::Event);
        self.stream = None;
        self.on_its_way.clear();
        self.machine = Machine::joined(channel, group, commit, options).after(&past).expect("goes on");
        self.settle(true);
    }

    /// Hands the machine what happened; what it asks for is stored, then sent.
    pub fn take(&mut self, input: Input, now: u64) {
        self.machine.handle(input, now).expect("handles");
        self.settle(true);
    }

    /// Does what the machine asks for, unless it dies before it is stored.
    pub fn settle(&mut self, lives: bool) {
        let Effects { changes, frames, done, .. } = self.machine.take_effects().expect("effects");
        if !lives {
            return;
        }
        apply(&mut self.stored, changes);
        if self.stream.is_some() {
            self.on_its_way.extend(frames);
        }
        for (ticket, outcome) in done {
            match outcome {
                Ok(number) => drop(self.numbered.insert(ticket, number)),
                Err(error) => self.failed.push(error.to_string()),
            }
        }
    }

    /// Lets the relay have the next frame.
    pub fn send_next(&mut self) {
        if let (Some((sender, _)), Some(frame)) = (&self.stream, self.on_its_way.pop_front()) {
            self.past.push(frame.clone());
            let _ = sender.send(frame);
        }
    }

    /// Lets the relay have a frame that it had before, on a stream of which nobody reads the answers.
    pub async fn send_again(&self, relay: &Relay, which: usize) {
        let session = session(relay).await;
        let frames = futures::stream::iter(self.past.get(which).cloned().map(Ok));
        session.run(frames).await;
    }

    /// Takes the next frame of the relay, if there is one.
    pub fn receive_next(&mut self, now: u64) -> bool {
        let Some((_, outbound)) = &mut self.stream else { return false };
        match outbound.next().now_or_never() {
            Some(Some(Ok(frame))) => {
                self.take(Input::Frame(frame.to_bytes()), now);
                true
            }
            Some(_) => {
                self.cut(now);
                true
            }
            None => false,
        }
    }

    /// Returns every event that the agent was ever told.
    pub fn events(&self) -> Vec<Event> {
        let events = self.stored.get(&Kind::Event).into_iter().flatten();
        events.map(|(_, value)| read(value).expect("an event")).collect()
    }

    /// Returns all messages that the agent was told, in order.
    pub fn heard(&self) -> Vec<Message> {
        let messages = self.events().into_iter().filter_map(|event| match event {
            Event::Message(message) => Some(message),
            _ => None,
        });
        messages.collect()
    }
}

async fn session(relay: &Relay) -> Session {
    let connect = Connect::new(Principal::new("sim", Permissions::All), Transport::Quic, None);
    relay.clone().oneshot(connect).await.expect("admitted")
}
