//! State that all sessions of a relay share.

use std::sync::Arc;

use skytale_core::Clock;
use skytale_store::KeyPackageDirectory;

use crate::admission::authorizer::Authorizer;
use crate::admission::revocation::Revocations;
use crate::channel::append::Appending;
use crate::channel::registry::Registry;
use crate::drain::Drain;
use crate::key_package_validator::KeyPackageValidator;
use crate::limits::Limits;
use crate::limits::external_joins::ExternalJoins;
use crate::limits::key_package_claims::KeyPackageClaims;
use crate::limits::per_account::SessionQuotas;
use crate::limits::plan_quota::PlanLimits;
use crate::policy::{EpochPolicy, ExternalCommits, LegacySdkExpiry, ReplayPolicy};
use crate::replay_cursors::ReplayCursors;

/// What all sessions of a relay share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub limits: Limits,
    pub replay: ReplayPolicy,
    pub published_sdk_expiry: LegacySdkExpiry,
    pub external_commits: ExternalCommits,
    pub epochs: EpochPolicy,
    pub joins: ExternalJoins,
    pub registry: Arc<Registry>,
    pub appending: Appending,
    pub directory: Arc<dyn KeyPackageDirectory>,
    pub key_package_validator: Option<Arc<dyn KeyPackageValidator>>,
    pub cursors: Arc<ReplayCursors>,
    pub quotas: SessionQuotas,
    pub claims: KeyPackageClaims,
    pub authorizer: Option<Arc<dyn Authorizer>>,
    pub revocations: Revocations,
    pub plans: Option<PlanLimits>,
    pub drain: Drain,
    pub clock: Arc<dyn Clock>,
}
