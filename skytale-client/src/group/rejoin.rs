//! External commits: coming back from the encrypted GroupInfo that the last commit left.

use openmls::prelude::tls_codec::Deserialize as _;
use openmls::prelude::*;

use super::commit::Built;
use super::identity::capabilities;
use super::records::Records;
use super::{Group, join_config};
use crate::error::{Error, Result};

impl Group {
    /// Builds the group as it is after this agent's external commit, and the commit. The agent's old leaf, known by its
    /// signature key, is removed by it.
    ///
    /// # Errors
    ///
    /// Where the GroupInfo is not of this group, not newer than what the agent knows, or without the agent's leaf.
    pub fn return_by(&self, sealed: &[u8]) -> Result<(Self, Built)> {
        let slot_key = self.slot_key().ok_or_else(|| Error::corrupt("the channel's group"))?;
        let opened =
            slot_key.open(sealed).ok_or_else(|| Error::not_mls("the GroupInfo is of another channel"))?;
        let message = MlsMessageIn::tls_deserialize_exact(opened).map_err(Error::mls)?;
        let MlsMessageBodyIn::GroupInfo(group_info) = message.extract() else {
            return Err(Error::not_mls("these bytes are no GroupInfo"));
        };
        if group_info.group_id() != self.mls.group_id() || group_info.epoch() < self.mls.epoch() {
            return Err(Error::not_mls("the GroupInfo is of another group, or older than what is known"));
        }
        let (records, identity) = (Records::default(), self.identity.clone());
        let (provider, signer) = (records.provider(), identity.signer());
        let leaf = LeafNodeParameters::builder().with_capabilities(capabilities()).build();
        let builder =
            MlsGroup::external_commit_builder().with_config(join_config()).skip_lifetime_validation();
        let builder = builder.build_group(provider, group_info, identity.credential()).map_err(Error::mls)?;
        let (mls, bundle) = builder
            .leaf_node_parameters(leaf)
            .load_psks(provider.storage())
            .map_err(Error::mls)?
            .create_group_info(true)
            .build(provider.rand(), provider.crypto(), signer, |_| true)
            .map_err(Error::mls)?
            .finalize(provider)
            .map_err(Error::mls)?;
        let (commit, _, group_info) = bundle.into_messages();
        let group_info = Built::sealed(group_info, &slot_key, &records)?;
        let commit = commit.to_bytes().map_err(Error::mls)?;
        Ok((Self { mls, records, identity }, Built { commit, welcome: None, group_info }))
    }

    /// Goes on as another state of the same group.
    pub fn replace(&mut self, other: Self) {
        let old = std::mem::take(&mut self.records);
        *self = Self { records: other.records.replacing(old), ..other };
    }
}
