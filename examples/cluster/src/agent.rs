//! One agent: it talks, and notes what it hears.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use skytale_client::{Channel, Client, Event, StateStore};

use crate::Load;
use crate::history::History;

/// Where all of them talk.
pub const ROOM: &str = "cluster/demo/room";

pub struct Agent {
    number: usize,
    pub channel: Channel,
    history: Arc<History>,
    reading: tokio::task::JoinHandle<()>,
    _client: Client,
}

/// Starts an agent that may be at any of the relays.
pub async fn start(load: &Load, number: usize, directory: &Path) -> Result<Client> {
    let mut relays = load.relays.iter().cycle().skip(number % load.relays.len()).take(load.relays.len());
    let first = relays.next().expect("a relay at least");
    let mut builder = Client::builder(format!("cluster/agents/agent-{number}"), first);
    for other in relays {
        builder = builder.with_another_relay(other);
    }
    if let Some(pem) = &load.trust {
        builder = builder.with_trusted_certificates(&std::fs::read(pem)?);
    }
    let state = StateStore::directory(directory.join(format!("agent-{number}")));
    Ok(builder.with_state(state).with_key_packages(5).with_max_commit_attempts(1_000).start().await?)
}

impl Agent {
    pub fn new(number: usize, client: Client, channel: Channel, history: Arc<History>) -> Self {
        let reading = tokio::spawn(read(number, channel.clone(), history.clone()));
        Self { number, channel, history, reading, _client: client }
    }

    /// Says something again and again.
    pub async fn talk(&self, load: &Load, until: Instant) {
        let pause = Duration::from_secs_f64(1.0 / load.rate);
        let mut said = 0;
        let mut next = Instant::now() + pause.mul_f64(self.number as f64 / load.agents as f64);
        while next < until {
            tokio::time::sleep_until(next.into()).await;
            // Who had to wait does not make up for it: it goes on from here.
            next = next.max(Instant::now()) + pause;
            let since = self.history.begin(self.number);
            match self.channel.send(format!("{} {said}", self.number)).await {
                Ok(sequence) => self.history.acknowledged(self.number, sequence, since),
                Err(error) => {
                    eprintln!("agent {} could not say {said}: {error}", self.number);
                    self.history.failed_to_send(self.number);
                }
            }
            said += 1;
        }
    }

    /// Waits until the agent has noted everything up to a number.
    pub async fn has_read(&self, last: u64) {
        let _ = self.channel.wait_for(last).await;
        while !self.reading.is_finished() && self.history.lacks(self.number) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn read(number: usize, channel: Channel, history: Arc<History>) {
    let mut events = channel.events();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Message(message)) => history.hear(number, message.sequence, &message.text()),
            Ok(Event::Epoch { sequence, .. }) => history.committed(sequence),
            Ok(Event::Gap { from, to }) => {
                history.fault(format!("agent {number}: {from} to {to} are missing"))
            }
            Ok(
                event @ (Event::Undecryptable { .. }
                | Event::Forked { .. }
                | Event::Evicted { .. }
                | Event::HistoryDiffers { .. }),
            ) => {
                history.fault(format!("agent {number}: {event:?}"));
            }
            Ok(_) => {}
            Err(error) => return history.fault(format!("agent {number}: {error}")),
        }
    }
}
