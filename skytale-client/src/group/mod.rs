//! One channel's MLS group: RFC 9420 by openmls, without input or output.
//!
//! Everything that a group remembers is in [`Records`]; what an operation has changed is taken from there and stored
//! together with whatever else belongs to the same step.

pub(crate) mod commit;
pub(crate) mod identity;
pub(crate) mod key_package;
pub(crate) mod process;
mod records;
mod rejoin;
mod slot;

#[cfg(test)]
mod agreement;

use std::collections::BTreeMap;

use openmls::prelude::tls_codec::Deserialize as _;
use openmls::prelude::*;

pub(crate) use key_package::KeyPackages;
pub(crate) use records::Records;

use crate::cipher_suite::CipherSuite;
use crate::error::{Error, Result};
use identity::{Identity, capabilities};
use slot::SlotKey;

/// A member of a channel: one leaf of its group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Member {
    /// The agent's name.
    pub agent: String,
    /// Its leaf's index; an agent that runs several times has several.
    pub leaf: u32,
    /// The leaf's signature key, by which two agents of one name are told apart.
    pub signature_key: Vec<u8>,
}

/// The group of a channel.
#[derive(Debug)]
pub(crate) struct Group {
    mls: MlsGroup,
    records: Records,
    identity: Identity,
}

/// How far a sender's messages may be out of order or missing. The archive's order makes both rare.
const OUT_OF_ORDER: u32 = 64;
const FORWARD: u32 = 10_000;

impl Group {
    /// Creates a group of which the agent is the only member.
    pub fn create(identity: &Identity, suite: CipherSuite) -> Result<Self> {
        let records = Records::default();
        let slot_key = SlotKey::generate(records.provider())?;
        let extensions = Extensions::single(slot_key.into_extension()).map_err(Error::mls)?;
        let config = MlsGroupCreateConfig::builder()
            .ciphersuite(suite.ciphersuite())
            .wire_format_policy(PURE_CIPHERTEXT_WIRE_FORMAT_POLICY)
            .use_ratchet_tree_extension(true)
            .max_past_epochs(PAST_EPOCHS)
            .sender_ratchet_configuration(SenderRatchetConfiguration::new(OUT_OF_ORDER, FORWARD))
            .capabilities(capabilities())
            .with_group_context_extensions(extensions)
            .build();
        let mls = MlsGroup::new(records.provider(), identity.signer(), &config, identity.credential());
        Ok(Self { mls: mls.map_err(Error::mls)?, records, identity: identity.clone() })
    }

    /// Joins a group by a Welcome. The key package's private keys are in `key_packages`, and gone from there when it was
    /// not one of last resort.
    pub fn join(identity: &Identity, welcome: &[u8], key_packages: &mut KeyPackages) -> Result<Self> {
        let message = MlsMessageIn::tls_deserialize_exact(welcome).map_err(Error::mls)?;
        let MlsMessageBodyIn::Welcome(welcome) = message.extract() else {
            return Err(Error::not_mls("these bytes are no Welcome"));
        };
        let records = Records::restore(key_packages.records().all());
        let config = join_config();
        let staged = StagedWelcome::build_from_welcome(records.provider(), &config, welcome);
        // A member that has made no commit yet still has the leaf of its key package, however old that is.
        let builder = staged.map_err(Error::mls)?.skip_lifetime_validation().replace_old_group();
        let staged = builder.build().map_err(Error::mls)?;
        let mls = staged.into_group(records.provider()).map_err(Error::mls)?;
        let records = key_packages.give_back(records);
        let group = Self { mls, records, identity: identity.clone() };
        group.slot_key().ok_or_else(|| Error::not_mls("the group is none of a Skytale channel"))?;
        Ok(group)
    }

    /// Loads a group from what was stored of it.
    pub fn load(identity: &Identity, id: &[u8], records: BTreeMap<Vec<u8>, Vec<u8>>) -> Result<Self> {
        let records = Records::restore(records);
        let mls = MlsGroup::load(records.provider().storage(), &GroupId::from_slice(id));
        let mls = mls.map_err(Error::mls)?.ok_or_else(|| Error::corrupt("the channel's group"))?;
        Ok(Self { mls, records, identity: identity.clone() })
    }

    pub fn id(&self) -> &[u8] {
        self.mls.group_id().as_slice()
    }

    pub fn epoch(&self) -> u64 {
        self.mls.epoch().as_u64()
    }

    /// Returns what is equal for all members that are in the same epoch of the same history.
    pub fn epoch_authenticator(&self) -> &[u8] {
        self.mls.epoch_authenticator().as_slice()
    }

    /// Tells whether the agent is still a member.
    pub fn is_active(&self) -> bool {
        self.mls.is_active()
    }

    pub fn own_leaf(&self) -> u32 {
        self.mls.own_leaf_index().u32()
    }

    /// Returns the members, by leaf.
    pub fn members(&self) -> Vec<Member> {
        self.mls.members().map(|member| of(&member)).collect()
    }

    /// Encrypts an application message.
    pub fn encrypt(&mut self, content: &[u8]) -> Result<Vec<u8>> {
        let message = self.mls.create_message(self.records.provider(), self.identity.signer(), content);
        message.map_err(Error::mls)?.to_bytes().map_err(Error::mls)
    }

    /// Asks the other members to remove this agent.
    pub fn propose_leaving(&mut self) -> Result<Vec<u8>> {
        let message = self.mls.leave_group(self.records.provider(), self.identity.signer());
        let message = message.map_err(Error::mls)?.to_bytes().map_err(Error::mls)?;
        // A proposal that waits would keep the agent from sending.
        let storage = self.records.provider().storage();
        self.mls.clear_pending_proposals(storage).map_err(Error::mls)?;
        Ok(message)
    }

    /// Takes what has changed since the last time, to be stored.
    pub fn take_changes(&mut self) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        self.records.take_changes()
    }

    fn slot_key(&self) -> Option<SlotKey> {
        SlotKey::of(self.mls.extensions())
    }
}

/// How many past epochs' messages can still be read: relays may be set to let stragglers in.
const PAST_EPOCHS: usize = 3;

fn join_config() -> MlsGroupJoinConfig {
    MlsGroupJoinConfig::builder()
        .wire_format_policy(PURE_CIPHERTEXT_WIRE_FORMAT_POLICY)
        .use_ratchet_tree_extension(true)
        .max_past_epochs(PAST_EPOCHS)
        .sender_ratchet_configuration(SenderRatchetConfiguration::new(OUT_OF_ORDER, FORWARD))
        .build()
}

fn of(member: &openmls::prelude::Member) -> Member {
    Member {
        agent: name(&member.credential),
        leaf: member.index.u32(),
        signature_key: member.signature_key.clone(),
    }
}

fn name(credential: &Credential) -> String {
    String::from_utf8_lossy(credential.serialized_content()).into_owned()
}
