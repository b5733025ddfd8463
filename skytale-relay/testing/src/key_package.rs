//! Key packages of agents that are no clients.

use openmls::prelude::{
    BasicCredential, Ciphersuite, CredentialWithKey, KeyPackage, Lifetime, MlsMessageOut, SignatureScheme,
};
use openmls_basic_credential::SignatureKeyPair;
use openmls_rust_crypto::OpenMlsRustCrypto;

/// A day, in seconds.
const DAY: u64 = 86_400;

/// Makes a key package of an agent that lives for 84 days, as an `MLSMessage`.
pub fn key_package(agent: &str) -> Vec<u8> {
    key_package_for(agent, Lifetime::new(84 * DAY))
}

/// Makes a key package of an agent for a lifetime, as an `MLSMessage`.
pub fn key_package_for(agent: &str, lifetime: Lifetime) -> Vec<u8> {
    let provider = OpenMlsRustCrypto::default();
    let signer = SignatureKeyPair::new(SignatureScheme::ED25519).expect("a key");
    let credential = CredentialWithKey {
        credential: BasicCredential::new(agent.as_bytes().to_vec()).into(),
        signature_key: signer.public().into(),
    };
    let suite = Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519;
    let builder = KeyPackage::builder().key_package_lifetime(lifetime);
    let bundle = builder.build(suite, &provider, &signer, credential).expect("a key package");
    MlsMessageOut::from(bundle.into_key_package()).to_bytes().expect("bytes")
}
