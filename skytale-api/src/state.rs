//! The state that all requests share.

use std::collections::BTreeMap;
use std::sync::Arc;

use skytale_core::Clock;
use skytale_store::{Accounts, AgentRegistry, ChannelRegistry, KeyPackageDirectory, Usage};
use tokio::sync::Notify;
use zeroize::Zeroizing;

use crate::rate_limits::Limiters;
use crate::token_issuer::TokenIssuer;

/// The state that all requests share.
#[derive(Clone)]
pub(crate) struct State(pub Arc<Inner>);

pub(crate) struct Inner {
    pub accounts: Arc<dyn Accounts>,
    pub agents: Arc<dyn AgentRegistry>,
    pub channels: Arc<dyn ChannelRegistry>,
    pub directory: Arc<dyn KeyPackageDirectory>,
    pub usage: Arc<dyn Usage>,
    pub issuer: TokenIssuer,
    pub pepper: Zeroizing<Vec<u8>>,
    pub plans: BTreeMap<String, Option<u64>>,
    pub limits: Limiters,
    pub clock: Arc<dyn Clock>,
    /// Told when somebody asks to join, or is answered.
    pub joins: Notify,
}
