//! Commits: built, kept pending, and merged once the relay has ordered them.

use openmls::prelude::*;
use skytale_core::extension::MAX_GROUP_INFO;

use super::Group;
use super::key_package::verify as verify_key_package;
use super::records::Records;
use super::slot::SlotKey;
use crate::error::{Error, Result};

/// What a commit is to change. Every commit also gives its sender's leaf new keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// Agents with their key packages.
    pub adds: Vec<(String, Vec<u8>)>,
    /// Leaves.
    pub removes: Vec<u32>,
}

/// A commit that is pending, and what it brings.
#[derive(Debug)]
pub(crate) struct Built {
    pub commit: Vec<u8>,
    /// The Welcome, for all who are added.
    pub welcome: Option<Vec<u8>>,
    /// The encrypted GroupInfo of the epoch that the commit begins; empty where no relay would keep it.
    pub group_info: Vec<u8>,
}

impl Built {
    /// Returns how many bytes go to the relay where so many agents are added, each with the whole Welcome.
    pub fn bytes(&self, added: usize) -> usize {
        self.commit.len() + self.group_info.len() + added * self.welcome.as_ref().map_or(0, Vec::len)
    }

    /// Encrypts a commit's GroupInfo, and leaves it out where the group is too large for it: its members cannot come back
    /// by themselves then, but commit.
    pub(super) fn sealed(
        group_info: Option<MlsMessageOut>,
        key: &SlotKey,
        records: &Records,
    ) -> Result<Vec<u8>> {
        let group_info = group_info.ok_or_else(|| Error::not_mls("openmls made no GroupInfo"))?;
        let sealed = key.seal(records.provider(), &group_info.to_bytes().map_err(Error::mls)?)?;
        Ok(if sealed.len() > MAX_GROUP_INFO { Vec::new() } else { sealed })
    }
}

impl Group {
    /// Builds a commit and keeps it pending.
    pub fn commit(&mut self, plan: &Plan) -> Result<Built> {
        let key_packages = plan.adds.iter();
        let key_packages: Vec<_> = key_packages
            .map(|(agent, key_package)| verify_key_package(&self.records, key_package, agent))
            .collect::<Result<_>>()?;
        let slot_key = self.slot_key().ok_or_else(|| Error::corrupt("the channel's group"))?;
        let (provider, signer) = (self.records.provider(), self.identity.signer());
        let bundle = self
            .mls
            .commit_builder()
            .force_self_update(true)
            .propose_adds(key_packages)
            .propose_removals(plan.removes.iter().map(|leaf| LeafNodeIndex::new(*leaf)))
            .load_psks(provider.storage())
            .map_err(Error::mls)?
            .create_group_info(true)
            .build(provider.rand(), provider.crypto(), signer, |_| true)
            .map_err(Error::mls)?
            .stage_commit(provider)
            .map_err(Error::mls)?;
        let (commit, welcome, group_info) = bundle.into_messages();
        let group_info = Built::sealed(group_info, &slot_key, &self.records)?;
        Ok(Built {
            commit: commit.to_bytes().map_err(Error::mls)?,
            welcome: welcome.map(|welcome| welcome.to_bytes()).transpose().map_err(Error::mls)?,
            group_info,
        })
    }

    /// Applies the pending commit, which the relay has accepted.
    pub fn merge_pending(&mut self) -> Result<()> {
        self.mls.merge_pending_commit(self.records.provider()).map_err(Error::mls)
    }

    /// Gives the pending commit up.
    pub fn clear_pending(&mut self) -> Result<()> {
        self.mls.clear_pending_commit(self.records.provider().storage()).map_err(Error::mls)
    }

    pub fn has_pending(&self) -> bool {
        self.mls.pending_commit().is_some()
    }
}
