//! The relay: admits principals and gives them sessions.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use skytale_core::{Clock, Principal, SystemClock};
use skytale_store::{Backplane, KeyPackageDirectory, MemoryStore, Store};
use tower::Service;

use crate::admission::authorizer::Authorizer;
use crate::admission::connect::{Connect, ConnectError};
use crate::admission::revocation::Revocations;
use crate::channel::append::Appending;
use crate::cluster::Cluster;
use crate::drain::Drain;
use crate::key_package_validator::KeyPackageValidator;
use crate::limits::Limits;
use crate::limits::external_joins::ExternalJoins;
use crate::limits::key_package_claims::KeyPackageClaims;
use crate::limits::per_account::SessionQuotas;
use crate::limits::plan_quota::PlanLimits;
use crate::policy::{EpochPolicy, ExternalCommits, LegacySdkExpiry, ReplayPolicy};
use crate::session::Session;
use crate::shared::Shared;
use crate::telemetry::Meter;

/// Routes, orders and archives what its sessions send. Clones are the same relay.
///
/// It takes [`Connect<Principal>`], while transports give [`Connect<Credentials>`](crate::admission::credentials::Credentials): a relay without
/// an [`AuthenticateLayer`](crate::admission::layer::AuthenticateLayer) in front does not compile.
#[derive(Clone, Debug)]
pub struct Relay {
    shared: Arc<Shared>,
}

impl Relay {
    /// Makes a relay over a store, with default limits and no replay.
    pub fn new(store: Arc<dyn Store>) -> Self {
        let limits = Limits::default();
        let appending = Appending { store, meter: Meter::new(), proposals: limits.proposals() };
        Self {
            shared: Arc::new(Shared {
                claims: KeyPackageClaims::new(&limits),
                limits,
                replay: ReplayPolicy::Off,
                published_sdk_expiry: LegacySdkExpiry::default(),
                external_commits: ExternalCommits::default(),
                epochs: EpochPolicy::default(),
                joins: ExternalJoins::default(),
                registry: Arc::default(),
                appending,
                directory: Arc::new(MemoryStore::new()),
                key_package_validator: None,
                cursors: Arc::default(),
                quotas: SessionQuotas::default(),
                authorizer: None,
                revocations: Revocations::new(),
                plans: None,
                drain: Drain::default(),
                clock: Arc::new(SystemClock),
            }),
        }
    }

    /// Sets where native agents' key packages and Welcomes are kept. Default: in memory, lost with the relay.
    ///
    /// # Panics
    ///
    /// If the relay was cloned already, as for every `with_*`.
    pub fn with_directory(mut self, directory: Arc<dyn KeyPackageDirectory>) -> Self {
        self.configure().directory = directory;
        self
    }

    /// Sets who says whether a native agent's key package can be used. Default: nobody, all are kept.
    pub fn with_key_package_validator(mut self, check: impl KeyPackageValidator) -> Self {
        self.configure().key_package_validator = Some(Arc::new(check));
        self
    }

    /// Sets the limits. Default: [`Limits::default`].
    ///
    /// # Panics
    ///
    /// If the relay was cloned already, as for every `with_*`.
    pub fn with_limits(mut self, limits: Limits) -> Self {
        let shared = self.configure();
        shared.appending.proposals = limits.proposals();
        shared.claims = KeyPackageClaims::new(&limits);
        shared.limits = limits;
        self
    }

    /// Sets what SLIM agents that subscribe are given of the archive. Default: [`ReplayPolicy::Off`].
    pub fn with_replay(mut self, replay: ReplayPolicy) -> Self {
        self.configure().replay = replay;
        self
    }

    /// Sets whether sessions of the published SDK end with their token. Default: they go on.
    pub fn with_published_sdk_expiry(mut self, expiry: LegacySdkExpiry) -> Self {
        self.configure().published_sdk_expiry = expiry;
        self
    }

    /// Sets whether native channels take external commits. Default: [`ExternalCommits::Refuse`].
    pub fn with_external_commits(mut self, external_commits: ExternalCommits) -> Self {
        self.configure().external_commits = external_commits;
        self
    }

    /// Sets which epochs native agents may send application messages in. Default: [`EpochPolicy::Strict`].
    pub fn with_epochs(mut self, epochs: EpochPolicy) -> Self {
        self.configure().epochs = epochs;
        self
    }

    /// Sets who decides which channels a principal may touch, beside its permissions. Default: nobody.
    pub fn with_authorizer(mut self, access: impl Authorizer) -> Self {
        self.configure().authorizer = Some(Arc::new(access));
        self
    }

    /// Sets what is revoked. Default: nothing.
    pub fn with_revocations(mut self, revocations: Revocations) -> Self {
        self.configure().revocations = revocations;
        self
    }

    /// Sets how much accounts may send in a month. Default: whatever they like.
    pub fn with_plan_limits(mut self, plans: PlanLimits) -> Self {
        self.configure().plans = Some(plans);
        self
    }

    /// Sets the clock by which sessions expire and months end. Default: the system's.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.configure().clock = clock;
        self
    }

    /// Lets other relays over the same store share every channel. Default: this relay is the only one.
    ///
    /// Messages that are archived reach the others through the store, which every one of them follows, the rest through
    /// the backplane. Agents cannot tell such relays from one. Their directory has to be a shared one, too.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, and if the relay was cloned or given a backplane already.
    pub fn with_backplane(mut self, backplane: Arc<dyn Backplane>) -> Self {
        let shared = self.configure();
        let meter = shared.appending.meter.clone();
        assert!(shared.registry.cluster().is_none(), "a relay has one backplane");
        let receiver = Arc::downgrade(&shared.registry);
        shared.registry.share(Cluster::join(backplane, receiver, &shared.cursors, meter));
        self
    }

    /// Returns the handle by which the host ends all sessions.
    pub fn drain(&self) -> Drain {
        self.shared.drain.clone()
    }

    /// Waits until other relays were sent what they are to know of sessions that ended here. Without a
    /// [backplane](Self::with_backplane) there is nothing to wait for.
    ///
    /// A host awaits it after its servers have drained, before its runtime ends; where the engine does not answer it may
    /// take for ever.
    pub async fn flush(&self) {
        if let Some(cluster) = self.shared.registry.cluster() {
            cluster.flush().await;
        }
    }

    /// Returns the limits.
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    fn configure(&mut self) -> &mut Shared {
        Arc::get_mut(&mut self.shared).expect("a relay is configured before it is cloned")
    }
}

impl Service<Connect<Principal>> for Relay {
    type Response = Session;
    type Error = ConnectError;
    type Future = Ready<Result<Session, ConnectError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, connect: Connect<Principal>) -> Self::Future {
        ready(Session::admit(&self.shared, connect))
    }
}
