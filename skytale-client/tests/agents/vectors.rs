//! The working group's test vectors of RFC 9420, as far as openmls's public interface lets one run them, on the suite that
//! channels have.
//!
//! The passive clients go through everything that the others take apart: the key schedule, secret tree, TreeKEM, transcript
//! hashes, pre-shared keys, Welcomes and message protection, with the confirmation tag and the epoch authenticator as proof.
//! Not to be run from here, because they start from values that only openmls's own tests can set: `crypto-basics`,
//! `key-schedule`, `message-protection`, `psk_secret`, `secret-tree`, `transcript-hashes`, `tree-math`, `tree-operations`,
//! `tree-validation`, `treekem` and `welcome`, and of `messages` the `GroupSecrets` and `Commit`s without a frame. There are
//! none of the post-quantum suite.

use openmls::prelude::tls_codec::{self, Deserialize as _, VLBytes};
use openmls::prelude::*;
use openmls::schedule::psk::PreSharedKeyId;
use openmls_rust_crypto::OpenMlsRustCrypto;
use openmls_traits::storage::StorageProvider as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use skytale_core::mls::{ContentType as Content, MlsHeader};

/// Bytes in hexadecimal.
struct Hex(Vec<u8>);

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).map_err(serde::de::Error::custom);
        (0..text.len()).step_by(2).map(byte).collect::<Result<_, _>>().map(Self)
    }
}

#[derive(Deserialize)]
struct Length {
    vlbytes_header: Hex,
    length: usize,
}

#[derive(Deserialize)]
struct Messages {
    mls_welcome: Hex,
    mls_group_info: Hex,
    mls_key_package: Hex,
    ratchet_tree: Hex,
    add_proposal: Hex,
    update_proposal: Hex,
    remove_proposal: Hex,
    pre_shared_key_proposal: Hex,
    external_init_proposal: Hex,
    group_context_extensions_proposal: Hex,
    public_message_application: Hex,
    public_message_proposal: Hex,
    public_message_commit: Hex,
    private_message: Hex,
}

#[derive(Deserialize)]
struct PassiveClient {
    external_psks: Vec<ExternalPsk>,
    key_package: Hex,
    encryption_priv: Hex,
    init_priv: Hex,
    welcome: Hex,
    ratchet_tree: Option<Hex>,
    initial_epoch_authenticator: Hex,
    epochs: Vec<Epoch>,
}

#[derive(Deserialize)]
struct ExternalPsk {
    psk_id: Hex,
    psk: Hex,
}

#[derive(Deserialize)]
struct Epoch {
    proposals: Vec<Hex>,
    commit: Hex,
    epoch_authenticator: Hex,
}

fn vectors<T: DeserializeOwned>(json: &str) -> Vec<T> {
    serde_json::from_str(json).expect("vectors")
}

#[test]
fn lengths_are_read() {
    for Length { vlbytes_header, length } in vectors::<Length>(include_str!("vectors/deserialization.json")) {
        let mut bytes = vlbytes_header.0;
        bytes.resize(bytes.len() + length, 0);
        let read = VLBytes::tls_deserialize_exact(&bytes[..]).expect("a vector");
        assert_eq!(read.as_slice().len(), length);
    }
}

#[test]
fn messages_are_read_and_written_back() {
    for messages in vectors::<Messages>(include_str!("vectors/messages.json")) {
        for message in [
            &messages.mls_welcome,
            &messages.mls_group_info,
            &messages.mls_key_package,
            &messages.public_message_application,
            &messages.public_message_proposal,
            &messages.public_message_commit,
            &messages.private_message,
        ] {
            same::<MlsMessageIn>(message);
        }
        same::<RatchetTreeIn>(&messages.ratchet_tree);
        for (kind, proposal) in [
            (1, &messages.add_proposal),
            (2, &messages.update_proposal),
            (3, &messages.remove_proposal),
            (4, &messages.pre_shared_key_proposal),
            (6, &messages.external_init_proposal),
            (7, &messages.group_context_extensions_proposal),
        ] {
            same::<ProposalIn>(&Hex([&[0, kind][..], &proposal.0].concat()));
        }
    }
}

/// The relay's own parser sees the same as openmls.
#[test]
fn relays_read_the_same_headers() {
    for messages in vectors::<Messages>(include_str!("vectors/messages.json")) {
        for (message, content) in [
            (&messages.public_message_application, Some(Content::Application)),
            (&messages.public_message_proposal, Some(Content::Proposal)),
            (&messages.public_message_commit, Some(Content::Commit)),
            (&messages.private_message, None),
        ] {
            let parsed = MlsMessageIn::tls_deserialize_exact(&message.0[..]).expect("parses");
            let parsed = parsed.try_into_protocol_message().expect("a message of a group");
            let Some(MlsHeader::Framed { group, epoch, content: found, .. }) = MlsHeader::read(&message.0)
            else {
                panic!("the relay cannot read it")
            };
            assert_eq!((group, epoch.0), (parsed.group_id().as_slice(), parsed.epoch().as_u64()));
            assert!(content.is_none_or(|content| content == found), "{found:?}");
        }
    }
}

#[test]
fn a_passive_client_joins_by_welcome() {
    passive_clients(include_str!("vectors/passive-client-welcome.json"));
}

#[test]
fn a_passive_client_follows_commits() {
    passive_clients(include_str!("vectors/passive-client-handling-commit.json"));
}

#[test]
fn a_passive_client_follows_whatever_comes() {
    passive_clients(include_str!("vectors/passive-client-random.json"));
}

fn same<T: tls_codec::Deserialize + tls_codec::Serialize>(bytes: &Hex) {
    let read = T::tls_deserialize_exact(&bytes.0[..]).expect("parses");
    assert_eq!(read.tls_serialize_detached().expect("serialises"), bytes.0);
}

fn passive_clients(json: &str) {
    for vector in vectors::<PassiveClient>(json) {
        let provider = OpenMlsRustCrypto::default();
        for ExternalPsk { psk_id, psk } in &vector.external_psks {
            PreSharedKeyId::external(psk_id.0.clone(), Vec::new()).store(&provider, &psk.0).expect("kept");
        }
        keep_key_package(&provider, &vector);
        let mut group = join(&provider, &vector);
        assert_eq!(group.epoch_authenticator().as_slice(), vector.initial_epoch_authenticator.0);
        for Epoch { proposals, commit, epoch_authenticator } in &vector.epochs {
            for message in proposals.iter().chain([commit]) {
                process(&provider, &mut group, message);
            }
            assert_eq!(group.epoch_authenticator().as_slice(), epoch_authenticator.0);
        }
    }
}

/// Puts the vector's key package, with its private keys, where openmls looks for it.
///
/// Nothing public makes such a bundle of given keys, or of a key package that has expired, but it can be deserialised.
fn keep_key_package(provider: &OpenMlsRustCrypto, vector: &PassiveClient) {
    let message = MlsMessageIn::tls_deserialize_exact(&vector.key_package.0[..]).expect("parses");
    let MlsMessageBodyIn::KeyPackage(key_package) = message.extract() else { panic!("no key package") };
    let bundle = serde_json::json!({
        "key_package": key_package,
        "private_init_key": HpkePrivateKey::from(vector.init_priv.0.clone()),
        "private_encryption_key": { "key": HpkePrivateKey::from(vector.encryption_priv.0.clone()) },
    });
    let bundle: KeyPackageBundle = serde_json::from_value(bundle).expect("a bundle");
    let reference = bundle.key_package().hash_ref(provider.crypto()).expect("hashed");
    provider.storage().write_key_package(&reference, &bundle).expect("kept");
}

fn join(provider: &OpenMlsRustCrypto, vector: &PassiveClient) -> MlsGroup {
    let config = MlsGroupJoinConfig::builder()
        .use_ratchet_tree_extension(true)
        .wire_format_policy(MIXED_PLAINTEXT_WIRE_FORMAT_POLICY)
        .number_of_resumption_psks(16)
        .build();
    let message = MlsMessageIn::tls_deserialize_exact(&vector.welcome.0[..]).expect("parses");
    let MlsMessageBodyIn::Welcome(welcome) = message.extract() else { panic!("no Welcome") };
    let tree = vector.ratchet_tree.as_ref();
    let tree = tree.map(|tree| RatchetTreeIn::tls_deserialize_exact(&tree.0[..]).expect("parses"));
    let builder = StagedWelcome::build_from_welcome(provider, &config, welcome).expect("for this client");
    let builder = match tree {
        Some(tree) => builder.with_ratchet_tree(tree),
        None => builder,
    };
    let staged = builder.skip_lifetime_validation().build().expect("valid");
    staged.into_group(provider).expect("joined")
}

fn process(provider: &OpenMlsRustCrypto, group: &mut MlsGroup, message: &Hex) {
    let message = MlsMessageIn::tls_deserialize_exact(&message.0[..]).expect("parses");
    let message = message.try_into_protocol_message().expect("a message of a group");
    match group.process_message(provider, message).expect("processed").into_content() {
        ProcessedMessageContent::ProposalMessage(proposal) => {
            group.store_pending_proposal(provider.storage(), *proposal).expect("kept");
        }
        ProcessedMessageContent::StagedCommitMessage(commit) => {
            group.merge_staged_commit(provider, *commit).expect("merged");
        }
        other => panic!("{other:?}"),
    }
}
