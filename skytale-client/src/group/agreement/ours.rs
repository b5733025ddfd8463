//! A member that runs this crate's group.

use std::collections::BTreeMap;

use openmls::prelude::tls_codec::Deserialize as _;
use openmls::prelude::{
    LeafNodeIndex, LeafNodeParameters, MlsMessageIn, ProcessedMessageContent, QueuedProposal,
};
use openmls_traits::OpenMlsProvider as _;
use skytale_core::ChannelName;

use super::party::{Made, Party, Proposal, Standing, View};
use crate::cipher_suite::CipherSuite;
use crate::group::Group;
use crate::group::commit::{Built, Plan};
use crate::group::identity::{Identity, capabilities};
use crate::group::key_package::{KeyPackages, Uses, verify as verify_key_package};
use crate::group::process::Processed;

struct Ours {
    identity: Identity,
    key_packages: KeyPackages,
    group: Option<Group>,
    /// What is stored of the group.
    stored: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Returns somebody who runs this crate.
pub(super) fn party(name: &str) -> Box<dyn Party> {
    let name = ChannelName::parse(name).expect("a name");
    let identity = Identity::generate(&name).expect("an identity");
    Box::new(Ours { identity, key_packages: KeyPackages::default(), group: None, stored: BTreeMap::new() })
}

impl Ours {
    fn group(&mut self) -> &mut Group {
        self.group.as_mut().expect("a member")
    }

    fn open(&self, built: Built) -> Made {
        let slot_key = self.group.as_ref().and_then(Group::slot_key).expect("a channel's group");
        let group_info = slot_key.open(&built.group_info).expect("opens");
        Made { commit: built.commit, welcome: built.welcome, group_info }
    }

    /// Processes a proposal without the crate's rules, which keep none.
    fn proposal(&mut self, message: &[u8]) -> QueuedProposal {
        let group = self.group();
        let message = MlsMessageIn::tls_deserialize_exact(message).expect("parses");
        let message = message.try_into_protocol_message().expect("a message of a group");
        let processed = group.mls.process_message(group.records.provider(), message).expect("processed");
        match processed.into_content() {
            ProcessedMessageContent::ProposalMessage(proposal) => *proposal,
            other => panic!("{other:?}"),
        }
    }
}

impl Party for Ours {
    fn name(&self) -> &str {
        self.identity.text()
    }

    fn key_package(&mut self) -> Vec<u8> {
        self.key_packages
            .generate(&self.identity, CipherSuite::Classic, Uses::Once, std::time::SystemTime::now())
            .expect("a key package")
    }

    fn create(&mut self) -> Vec<u8> {
        self.group = Some(Group::create(&self.identity, CipherSuite::Classic).expect("created"));
        let made = self.commit(&Plan::default());
        self.accepted();
        made.group_info
    }

    fn join(&mut self, welcome: &[u8]) {
        self.stored.clear();
        self.group = Some(Group::join(&self.identity, welcome, &mut self.key_packages).expect("joined"));
    }

    fn enter(&mut self, group_info: &[u8], _: Option<u32>) -> Made {
        let slot_key = self.group().slot_key().expect("a channel's group");
        let sealed = slot_key.seal(self.group().records.provider(), group_info).expect("seals");
        let (candidate, built) = self.group().return_by(&sealed).expect("built");
        self.group().replace(candidate);
        self.open(built)
    }

    fn view(&self) -> View {
        let group = self.group.as_ref().expect("a member");
        View {
            epoch: group.epoch(),
            authenticator: group.epoch_authenticator().to_vec(),
            members: group.members().into_iter().map(|member| (member.leaf, member.agent)).collect(),
        }
    }

    fn leaf(&self) -> u32 {
        self.group.as_ref().expect("a member").own_leaf()
    }

    fn commit(&mut self, plan: &Plan) -> Made {
        let built = self.group().commit(plan).expect("built");
        self.open(built)
    }

    fn accepted(&mut self) {
        self.group().merge_pending().expect("merged");
    }

    fn follow(&mut self, commit: &[u8]) -> Standing {
        let processed = self.group().process(commit).expect("the state is fine").expect("readable");
        assert!(matches!(processed, Processed::Commit), "{processed:?}");
        if self.group().is_active() { Standing::Member } else { Standing::Removed }
    }

    fn refuses(&mut self, commit: &[u8]) -> bool {
        self.group().process(commit).expect("the state is fine").is_err()
    }

    fn say(&mut self, body: &[u8]) -> Vec<u8> {
        self.group().encrypt(body).expect("encrypted")
    }

    fn hear(&mut self, message: &[u8]) -> Option<(String, Vec<u8>)> {
        match self.group().process(message).expect("the state is fine").ok()? {
            Processed::Application { sender, content } => Some((sender, content)),
            other => panic!("{other:?}"),
        }
    }

    fn propose(&mut self, proposal: &Proposal) -> Vec<u8> {
        let signer = self.identity.clone();
        let (signer, group) = (signer.signer(), self.group());
        let (mls, provider) = (&mut group.mls, group.records.provider());
        let message = match proposal {
            Proposal::Add(key_package) => {
                let agent = super::world::owner(key_package);
                let key_package = verify_key_package(&group.records, key_package, &agent).expect("verified");
                mls.propose_add_member(provider, signer, &key_package).expect("proposed").0
            }
            Proposal::Remove(leaf) => {
                mls.propose_remove_member(provider, signer, LeafNodeIndex::new(*leaf)).expect("proposed").0
            }
            Proposal::Update => {
                let leaf = LeafNodeParameters::builder().with_capabilities(capabilities()).build();
                mls.propose_self_update(provider, signer, leaf).expect("proposed").0
            }
        };
        message.to_bytes().expect("bytes")
    }

    fn consider(&mut self, proposal: &[u8]) {
        let proposal = self.proposal(proposal);
        let group = self.group();
        group.mls.store_pending_proposal(group.records.provider().storage(), proposal).expect("kept");
    }

    fn overhears(&mut self, proposal: &[u8]) {
        let processed = self.group().process(proposal).expect("the state is fine").expect("readable");
        assert!(matches!(processed, Processed::Ignored), "{processed:?}");
    }

    fn ask_to_leave(&mut self) -> Vec<u8> {
        self.group().propose_leaving().expect("proposed")
    }

    fn who_leaves(&mut self, asking: &[u8]) -> u32 {
        match self.group().process(asking).expect("the state is fine").expect("readable") {
            Processed::Leaving { leaf } => leaf,
            other => panic!("{other:?}"),
        }
    }

    fn restart(&mut self) {
        let group = self.group.as_mut().expect("a member");
        for (key, value) in group.take_changes() {
            match value {
                Some(value) => self.stored.insert(key, value),
                None => self.stored.remove(&key),
            };
        }
        let loaded = Group::load(&self.identity, group.id(), self.stored.clone()).expect("loaded");
        self.group = Some(loaded);
    }
}
