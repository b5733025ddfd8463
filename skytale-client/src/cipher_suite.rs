//! The cipher suites.

use openmls::prelude::Ciphersuite;

/// How a channel is encrypted. Every member has to support it; it is chosen where the channel is created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CipherSuite {
    /// X25519, AES-128-GCM, SHA-256, Ed25519 (RFC 9420's suite 1).
    #[default]
    Classic,
    /// The same with the hybrid key exchange of ML-KEM-768 and X25519 (suite 0x004F of the post-quantum draft, whose
    /// number may still change); messages are as small, commits and Welcomes several times larger.
    PostQuantum,
}

impl CipherSuite {
    /// Every suite, in the order of preference of the agents that offer them.
    pub const ALL: [Self; 2] = [Self::Classic, Self::PostQuantum];

    pub(crate) const fn ciphersuite(self) -> Ciphersuite {
        match self {
            Self::Classic => Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519,
            Self::PostQuantum => Ciphersuite::MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519,
        }
    }
}
