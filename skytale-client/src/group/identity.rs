//! Who an agent is within groups: its name and its signature key.

use std::fmt;
use std::sync::Arc;

use openmls::prelude::{
    BasicCredential, Capabilities, Ciphersuite, CredentialWithKey, ExtensionType, SignatureScheme,
};
use openmls_basic_credential::SignatureKeyPair;
use serde::{Deserialize, Serialize};
use skytale_core::ChannelName;

use super::slot::SLOT_KEY;
use crate::cipher_suite::CipherSuite;
use crate::error::{Error, Result};

/// An agent's name and signature key. Clones are the same identity.
#[derive(Clone)]
pub(crate) struct Identity(Arc<Inner>);

struct Inner {
    name: ChannelName,
    text: String,
    signer: SignatureKeyPair,
}

/// An identity as it is stored.
#[derive(Serialize, Deserialize)]
struct StoredIdentity {
    name: String,
    signer: SignatureKeyPair,
}

#[derive(Serialize)]
struct StoredIdentityRef<'a> {
    name: &'a str,
    signer: &'a SignatureKeyPair,
}

impl Identity {
    /// Makes an identity with a new key.
    pub fn generate(name: &ChannelName) -> Result<Self> {
        let signer = SignatureKeyPair::new(SignatureScheme::ED25519).map_err(Error::mls)?;
        Self::new(name, signer)
    }

    fn new(name: &ChannelName, signer: SignatureKeyPair) -> Result<Self> {
        let text = name.text().ok_or_else(|| Error::configuration("an agent's name needs its text"))?;
        Ok(Self(Arc::new(Inner { name: name.clone(), text: text.to_owned(), signer })))
    }

    pub fn restore(stored: &[u8]) -> Result<Self> {
        let stored: StoredIdentity = rmp_serde::from_slice(stored).map_err(Error::state)?;
        let name = ChannelName::parse(&stored.name).map_err(|_| Error::corrupt("the identity's name"))?;
        Self::new(&name, stored.signer)
    }

    pub fn to_stored(&self) -> Result<Vec<u8>> {
        rmp_serde::to_vec(&StoredIdentityRef { name: &self.0.text, signer: &self.0.signer })
            .map_err(Error::state)
    }

    pub fn name(&self) -> &ChannelName {
        &self.0.name
    }

    pub fn text(&self) -> &str {
        &self.0.text
    }

    pub fn signer(&self) -> &SignatureKeyPair {
        &self.0.signer
    }

    pub fn credential(&self) -> CredentialWithKey {
        CredentialWithKey {
            credential: BasicCredential::new(self.0.text.as_bytes().to_vec()).into(),
            signature_key: self.0.signer.public().into(),
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.0.text).finish()
    }
}

/// What every agent's leaf says it can do.
pub(crate) fn capabilities() -> Capabilities {
    let suites: Vec<Ciphersuite> = CipherSuite::ALL.iter().map(|suite| suite.ciphersuite()).collect();
    let extensions = [ExtensionType::LastResort, ExtensionType::Unknown(SLOT_KEY)];
    Capabilities::new(None, Some(&suites), Some(&extensions), None, None)
}
