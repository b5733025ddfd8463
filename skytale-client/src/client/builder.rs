//! Setting an agent up.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use skytale_core::{ChannelName, Clock, SystemClock};
use tokio::sync::{Mutex, watch};

use super::{Client, Inner, identity};
use crate::cipher_suite::CipherSuite;
use crate::connection::Dialer;
use crate::connection::trust_roots::Roots;
use crate::content::Padding;
use crate::credentials::{Credentials, Tokens};
use crate::directory::DirectoryClient;
use crate::error::{Error, Result};
use crate::machine::{Options, RejoinPolicy};
use crate::state::location::StateStore;

/// Sets an agent up. Made by [`Client::builder`].
#[derive(Debug)]
pub struct ClientBuilder {
    name: String,
    relay: Relay,
    credentials: Credentials,
    state: StateStore,
    suite: CipherSuite,
    roots: Result<Roots>,
    options: Options,
    cover: Option<Duration>,
    key_packages: u32,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
enum Relay {
    Addresses(Vec<String>),
    #[cfg(feature = "local")]
    Local(crate::connection::local::LocalRelay),
}

impl ClientBuilder {
    pub(crate) fn new(name: String, relay: String) -> Self {
        Self::over(name, Relay::Addresses(vec![relay]))
    }

    fn over(name: String, relay: Relay) -> Self {
        Self {
            name,
            relay,
            credentials: Credentials::none(),
            state: StateStore::memory(),
            suite: CipherSuite::default(),
            roots: Ok(Roots::System),
            options: Options::default(),
            cover: None,
            key_packages: 50,
            clock: Arc::new(SystemClock),
        }
    }

    /// Adds the address of another relay that acts as one with the first. Default: none.
    ///
    /// The agent is at any one of them; when that one cannot be reached, or is silent for three seconds, at another.
    pub fn with_another_relay(mut self, address: impl Into<String>) -> Self {
        match &mut self.relay {
            Relay::Addresses(addresses) => addresses.push(address.into()),
            #[cfg(feature = "local")]
            Relay::Local(_) => {}
        }
        self
    }

    /// Sets what the agent shows the relay. Default: nothing.
    pub fn with_credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self
    }

    /// Sets where the agent's keys and groups are kept. Default: in memory, lost with the process.
    pub fn with_state(mut self, state: StateStore) -> Self {
        self.state = state;
        self
    }

    /// Sets how channels of this agent are encrypted. Default: [`CipherSuite::Classic`].
    pub fn with_cipher_suite(mut self, suite: CipherSuite) -> Self {
        self.suite = suite;
        self
    }

    /// Trusts the certificates of a PEM file, and no others, to sign the relay's. Default: the system's.
    pub fn with_trusted_certificates(mut self, pem: &[u8]) -> Self {
        self.roots = Roots::from_pem(pem);
        self
    }

    /// Sets how messages are padded. Default: [`Padding::Buckets`].
    pub fn with_padding(mut self, padding: Padding) -> Self {
        self.options.padding = padding;
        self
    }

    /// Sends something to hide behind on each quiet channel, on average this often. Default: never.
    pub fn with_cover_traffic(mut self, average: Duration) -> Self {
        self.cover = Some(average);
        self
    }

    /// Sets how often a change of a group is tried before [`Error::Conflict`]. Default: 16.
    pub fn with_max_commit_attempts(mut self, attempts: u32) -> Self {
        self.options.attempts = attempts.max(1);
        self
    }

    /// Sets after how many messages in one epoch the agent gives itself new keys; it does so after a day of one epoch, too. Default: 5,000.
    pub fn with_rekey_after(mut self, messages: u64) -> Self {
        self.options.rotate_after = messages.max(1);
        self
    }

    /// Sets what the agent does that cannot follow its group. Default: [`RejoinPolicy::ExternalCommit`].
    pub fn with_rejoin_policy(mut self, policy: RejoinPolicy) -> Self {
        self.options.rejoin_policy = policy;
        self
    }

    /// Sets how many key packages the agent leaves at the relay, beside one of last resort. Default: 50; at most 100.
    ///
    /// An agent whose state is new, or a copy, has the relay forget all that were left under its name before, and every
    /// agent does so after 28 days: a key package can be used for 84.
    pub fn with_key_packages(mut self, count: u32) -> Self {
        self.key_packages = count.min(100);
        self
    }

    /// Sets the clock by which tokens are renewed and key packages made and replaced. Default: the system's.
    ///
    /// The lifetimes of other agents' key packages are checked by the system's clock.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Opens the agent's state and starts its work. The relay need not be reachable: agents connect by themselves, again
    /// and again.
    ///
    /// # Errors
    ///
    /// [`Error::Configuration`], [`Error::StateInUse`] and [`Error::State`].
    pub async fn start(self) -> Result<Client> {
        let name = ChannelName::parse(&self.name)
            .map_err(|error| Error::configuration(format!("{:?} is no agent's name: {error}", self.name)))?;
        let roots = self.roots?;
        let dialer = match self.relay {
            Relay::Addresses(addresses) => Dialer::new(&addresses, &roots)?,
            #[cfg(feature = "local")]
            Relay::Local(relay) => Dialer::Local(relay),
        };
        let tokens = Tokens::new(self.credentials, &name, self.clock.clone())?;
        let records = self.state.open().await?;
        let (identity, stock, stocked_since) = match identity(&records, &name).await {
            Ok(known) => known,
            Err(error) => {
                // The next one to open it finds it free.
                records.close().await;
                return Err(error);
            }
        };
        let directory = DirectoryClient::start(&name, dialer.clone(), tokens.clone());
        let inner = Arc::new(Inner {
            identity,
            suite: self.suite,
            options: self.options,
            cover: self.cover,
            key_packages: self.key_packages,
            clock: self.clock,
            records,
            dialer,
            tokens,
            directory,
            channels: Mutex::new(HashMap::new()),
            stocked_since: stocked_since.into(),
            stock: Mutex::new(stock),
            stocked: watch::Sender::new(false),
            tasks: std::sync::Mutex::default(),
        });
        let keeping = tokio::spawn(Inner::keep_filled(Arc::downgrade(&inner), inner.directory.hints.clone()));
        inner.tasks.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(keeping);
        Ok(Client(inner))
    }
}

#[cfg(feature = "local")]
impl crate::connection::local::LocalRelay {
    /// Begins to set up an agent of this relay.
    pub fn agent(&self, name: impl Into<String>) -> ClientBuilder {
        ClientBuilder::over(name.into(), Relay::Local(self.clone()))
    }
}
