//! A member that runs mls-rs.

use std::time::Duration;

use mls_rs::client_builder::{MlsConfig, PaddingMode};
use mls_rs::extension::ExtensionType;
use mls_rs::group::{CommitEffect, Member, ReceivedMessage, proposal};
use mls_rs::identity::SigningIdentity;
use mls_rs::identity::basic::{BasicCredential, BasicIdentityProvider};
use mls_rs::mls_rules::{CommitOptions, DefaultMlsRules, EncryptionOptions};
use mls_rs::storage_provider::in_memory::InMemoryGroupStateStorage;
use mls_rs::{
    CipherSuite, CipherSuiteProvider, Client, CryptoProvider, Extension, ExtensionList, Group, MlsMessage,
};
use mls_rs_crypto_rustcrypto::RustCryptoProvider;

use super::party::{Made, Party, Proposal, Standing, View};
use crate::group::commit::Plan;
use crate::group::slot::SLOT_KEY;

const SUITE: CipherSuite = CipherSuite::CURVE25519_AES128;

const LIFETIME: Duration = Duration::from_secs(84 * 24 * 60 * 60);

struct Theirs<C: MlsConfig> {
    name: String,
    client: Client<C>,
    storage: InMemoryGroupStateStorage,
    group: Option<Group<C>>,
}

/// Returns somebody who runs mls-rs, in the way that channels require.
pub(super) fn party(name: &str) -> Box<dyn Party> {
    party_for(name, LIFETIME)
}

/// Returns somebody whose key packages may be used for a time.
pub(super) fn party_for(name: &str, lifetime: Duration) -> Box<dyn Party> {
    let crypto = RustCryptoProvider::new();
    let suite = crypto.cipher_suite_provider(SUITE).expect("offered");
    let (secret, public) = suite.signature_key_generate().expect("a key");
    let credential = BasicCredential::new(name.as_bytes().to_vec()).into_credential();
    let rules = DefaultMlsRules::new()
        .with_encryption_options(EncryptionOptions::new(true, PaddingMode::StepFunction))
        .with_commit_options(CommitOptions::new().with_path_required(true).with_allow_external_commit(true));
    let storage = InMemoryGroupStateStorage::new();
    let client = Client::builder()
        .group_state_storage(storage.clone())
        .crypto_provider(crypto)
        .identity_provider(BasicIdentityProvider)
        .mls_rules(rules)
        .extension_type(ExtensionType::new(SLOT_KEY))
        .key_package_lifetime(lifetime)
        .signing_identity(SigningIdentity::new(credential, public), secret, SUITE)
        .build();
    Box::new(Theirs { name: name.to_owned(), client, storage, group: None })
}

impl<C: MlsConfig> Theirs<C> {
    fn group(&mut self) -> &mut Group<C> {
        self.group.as_mut().expect("a member")
    }

    fn process(&mut self, message: &[u8]) -> Option<ReceivedMessage> {
        let message = MlsMessage::from_bytes(message).expect("parses");
        self.group().process_incoming_message(message).ok()
    }

    /// Drops what is stored of a past membership: it is of another history.
    fn forget(&mut self) {
        if let Some(group) = self.group.take() {
            self.storage.delete_group(group.group_id());
        }
    }

    fn group_info(&mut self) -> Vec<u8> {
        bytes(&self.group().group_info_message_allowing_ext_commit(true).expect("a GroupInfo"))
    }
}

impl<C: MlsConfig> Party for Theirs<C> {
    fn name(&self) -> &str {
        &self.name
    }

    fn key_package(&mut self) -> Vec<u8> {
        let none = ExtensionList::new;
        bytes(&self.client.generate_key_package_message(none(), none(), None).expect("a key package"))
    }

    fn create(&mut self) -> Vec<u8> {
        let mut extensions = ExtensionList::new();
        extensions.set(Extension::new(ExtensionType::new(SLOT_KEY), vec![7; 32]));
        let group = self.client.create_group(extensions, ExtensionList::new(), None).expect("created");
        self.group = Some(group);
        self.group_info()
    }

    fn join(&mut self, welcome: &[u8]) {
        self.forget();
        let welcome = MlsMessage::from_bytes(welcome).expect("parses");
        self.group = Some(self.client.join_group(None, &welcome, None).expect("joined").0);
    }

    fn enter(&mut self, group_info: &[u8], replaced: Option<u32>) -> Made {
        let group_info = MlsMessage::from_bytes(group_info).expect("parses");
        self.forget();
        let mut builder = self.client.external_commit_builder().expect("an identity");
        if let Some(leaf) = replaced {
            builder = builder.with_removal(leaf);
        }
        let (group, commit) = builder.build(group_info).expect("built");
        self.group = Some(group);
        Made { commit: bytes(&commit), welcome: None, group_info: self.group_info() }
    }

    fn view(&self) -> View {
        let group = self.group.as_ref().expect("a member");
        View {
            epoch: group.current_epoch(),
            authenticator: group.epoch_authenticator().expect("known").as_bytes().to_vec(),
            members: group.roster().members_iter().map(|member| (member.index, name(&member))).collect(),
        }
    }

    fn leaf(&self) -> u32 {
        self.group.as_ref().expect("a member").current_member_index()
    }

    fn commit(&mut self, plan: &Plan) -> Made {
        let mut builder = self.group().commit_builder();
        for (_, key_package) in &plan.adds {
            builder =
                builder.add_member(MlsMessage::from_bytes(key_package).expect("parses")).expect("added");
        }
        for leaf in &plan.removes {
            builder = builder.remove_member(*leaf).expect("a member");
        }
        let output = builder.build().expect("built");
        let group_info = output.external_commit_group_info.as_ref().expect("asked for");
        Made {
            commit: bytes(&output.commit_message),
            welcome: output.welcome_messages.first().map(bytes),
            group_info: bytes(group_info),
        }
    }

    fn accepted(&mut self) {
        self.group().apply_pending_commit().expect("applied");
    }

    fn follow(&mut self, commit: &[u8]) -> Standing {
        self.group().clear_pending_commit();
        let commit = MlsMessage::from_bytes(commit).expect("parses");
        match self.group().process_incoming_message(commit).expect("processed") {
            ReceivedMessage::Commit(commit) => match commit.effect {
                CommitEffect::Removed { .. } => Standing::Removed,
                _ => Standing::Member,
            },
            other => panic!("{other:?}"),
        }
    }

    fn refuses(&mut self, commit: &[u8]) -> bool {
        self.process(commit).is_none()
    }

    fn say(&mut self, body: &[u8]) -> Vec<u8> {
        bytes(&self.group().encrypt_application_message(body, Vec::new()).expect("encrypted"))
    }

    fn hear(&mut self, message: &[u8]) -> Option<(String, Vec<u8>)> {
        match self.process(message)? {
            ReceivedMessage::ApplicationMessage(message) => {
                let sender = self.group().member_at_index(message.sender_index).expect("a member");
                Some((name(&sender), message.data().to_vec()))
            }
            other => panic!("{other:?}"),
        }
    }

    fn propose(&mut self, proposal: &Proposal) -> Vec<u8> {
        let group = self.group();
        let message = match proposal {
            Proposal::Add(key_package) => {
                let key_package = MlsMessage::from_bytes(key_package).expect("parses");
                group.propose_add(key_package, Vec::new())
            }
            Proposal::Remove(leaf) => group.propose_remove(*leaf, Vec::new()),
            Proposal::Update => group.propose_update(Vec::new()),
        };
        bytes(&message.expect("proposed"))
    }

    fn consider(&mut self, proposal: &[u8]) {
        assert!(matches!(self.process(proposal), Some(ReceivedMessage::Proposal(_))));
    }

    fn overhears(&mut self, proposal: &[u8]) {
        self.consider(proposal);
    }

    fn ask_to_leave(&mut self) -> Vec<u8> {
        let leaf = self.leaf();
        let asking = self.propose(&Proposal::Remove(leaf));
        self.group().clear_proposal_cache();
        asking
    }

    fn who_leaves(&mut self, asking: &[u8]) -> u32 {
        let Some(ReceivedMessage::Proposal(asking)) = self.process(asking) else { panic!("no proposal") };
        self.group().clear_proposal_cache();
        match asking.proposal {
            proposal::Proposal::Remove(remove) => remove.to_remove(),
            other => panic!("{other:?}"),
        }
    }

    fn restart(&mut self) {
        self.group().write_to_storage().expect("stored");
        let id = self.group().group_id().to_vec();
        self.group = Some(self.client.load_group(&id).expect("loaded"));
    }
}

fn bytes(message: &MlsMessage) -> Vec<u8> {
    message.to_bytes().expect("bytes")
}

fn name(member: &Member) -> String {
    let credential = member.signing_identity.credential.as_basic().expect("a basic credential");
    String::from_utf8(credential.identifier.clone()).expect("text")
}
