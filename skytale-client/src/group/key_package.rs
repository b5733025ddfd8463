//! The agent's key packages, by which others add it while it is away.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use openmls::prelude::tls_codec::Deserialize as _;
use openmls::prelude::*;
use openmls_traits::storage::StorageProvider as _;

use super::identity::{Identity, capabilities};
use super::name;
use super::records::Records;
use crate::cipher_suite::CipherSuite;
use crate::error::{Error, Result};

/// The private halves of the key packages that others may use.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyPackages {
    records: Records,
}

/// How long a key package may be used: RFC 9420 §10 leaves it to the application.
const LIFETIME: Duration = Duration::from_secs(84 * 24 * 60 * 60);

/// How openmls's storage begins the name of a key package with its private halves.
const BUNDLE: &[u8] = b"KeyPackage";

/// How far another agent's clock may be behind this one's.
const MARGIN: Duration = Duration::from_secs(2 * 24 * 60 * 60);

impl KeyPackages {
    pub fn restore(stored: BTreeMap<Vec<u8>, Vec<u8>>) -> Self {
        Self { records: Records::restore(stored) }
    }

    /// Makes a key package, and returns its `MLSMessage`.
    pub fn generate(
        &mut self,
        identity: &Identity,
        suite: CipherSuite,
        use_once: Uses,
        now: SystemTime,
    ) -> Result<Vec<u8>> {
        let builder =
            KeyPackage::builder().leaf_node_capabilities(capabilities()).key_package_lifetime(lifetime(now));
        let builder = match use_once {
            Uses::Once => builder,
            Uses::LastResort => builder.mark_as_last_resort(),
        };
        let (provider, credential) = (self.records.provider(), identity.credential());
        let bundle = builder.build(suite.ciphersuite(), provider, identity.signer(), credential);
        let message = MlsMessageOut::from(bundle.map_err(Error::mls)?.into_key_package());
        message.to_bytes().map_err(Error::mls)
    }

    pub fn records(&self) -> &Records {
        &self.records
    }

    /// Takes back what a Welcome left of the key packages, and returns the rest: the group's records.
    pub fn give_back(&mut self, records: Records) -> Records {
        let mine: BTreeSet<_> = self.records.all().into_keys().collect();
        let (left, group) = records.split(|key| mine.contains(key));
        self.records.values(|values| {
            values.clear();
            values.extend(left);
        });
        group
    }

    /// Forgets the private halves of key packages that nobody may use any more.
    pub fn forget_expired(&mut self, now: SystemTime) -> Result<()> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(MARGIN).as_secs();
        self.forget_if(|key_package| Ok(key_package.life_time().not_after() < now))
    }

    /// Forgets the private halves of key packages that nobody was given, by their `MLSMessage`s.
    pub fn forget(&mut self, unkept: &[Bytes]) -> Result<()> {
        self.forget_if(|key_package| {
            let message = MlsMessageOut::from(key_package.clone()).to_bytes().map_err(Error::mls)?;
            Ok(unkept.iter().any(|unkept| *unkept == message))
        })
    }

    fn forget_if(&mut self, is_over: impl Fn(&KeyPackage) -> Result<bool>) -> Result<()> {
        let (storage, crypto) = (self.records.provider().storage(), self.records.provider().crypto());
        for (_, value) in self.records.all().into_iter().filter(|(key, _)| key.starts_with(BUNDLE)) {
            let bundle: KeyPackageBundle = serde_json::from_slice(&value).map_err(Error::mls)?;
            let key_package = bundle.key_package();
            if is_over(key_package)? {
                let reference = key_package.hash_ref(crypto).map_err(Error::mls)?;
                storage.delete_key_package(&reference).map_err(Error::mls)?;
            }
        }
        Ok(())
    }

    pub fn take_changes(&mut self) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        self.records.take_changes()
    }
}

fn lifetime(now: SystemTime) -> Lifetime {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    Lifetime::init(now.saturating_sub(MARGIN).as_secs(), (now + LIFETIME).as_secs())
}

/// How often a key package may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Uses {
    Once,
    LastResort,
}

/// Returns the signature key that a key package is of, without checking it.
pub(crate) fn signature_key(bytes: &[u8]) -> Option<Vec<u8>> {
    let message = MlsMessageIn::tls_deserialize_exact(bytes).ok()?;
    let MlsMessageBodyIn::KeyPackage(key_package) = message.extract() else { return None };
    Some(key_package.unverified_credential().signature_key.as_slice().to_vec())
}

/// Checks another agent's key package: its signatures, its lifetime, its suite, and whose it is.
pub(crate) fn verify(provider: &Records, bytes: &[u8], agent: &str) -> Result<KeyPackage> {
    let unusable = |reason: String| Error::NoKeyPackage { agent: agent.to_owned(), reason };
    let message = MlsMessageIn::tls_deserialize_exact(bytes).map_err(|error| unusable(error.to_string()))?;
    let MlsMessageBodyIn::KeyPackage(key_package) = message.extract() else {
        return Err(unusable("what was left is no key package".to_owned()));
    };
    let key_package = key_package
        .validate(openmls_traits::OpenMlsProvider::crypto(provider.provider()), ProtocolVersion::Mls10)
        .map_err(|error| unusable(error.to_string()))?;
    let owner = name(key_package.leaf_node().credential());
    if owner != agent {
        return Err(unusable(format!("what was left is of {owner}")));
    }
    Ok(key_package)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::Group;
    use crate::group::commit::Plan;

    /// Founds a group and adds an agent; returns the Welcome.
    fn welcome(agent: &Identity, key_package: &[u8]) -> Vec<u8> {
        let founder = identity("acme/agents/founder");
        let mut group = Group::create(&founder, CipherSuite::Classic).expect("created");
        let adds = vec![(agent.text().to_owned(), key_package.to_vec())];
        let built = group.commit(&Plan { adds, ..Plan::default() }).expect("built");
        group.merge_pending().expect("merged");
        built.welcome.expect("somebody was added")
    }

    fn identity(name: &str) -> Identity {
        Identity::generate(&skytale_core::ChannelName::parse(name).expect("a name")).expect("an identity")
    }

    #[test]
    fn a_welcome_and_its_key_package_work_once() {
        let (agent, mut stock) = (identity("acme/agents/agent"), KeyPackages::default());
        let key_package =
            stock.generate(&agent, CipherSuite::Classic, Uses::Once, SystemTime::now()).expect("made");
        let (first, second) = (welcome(&agent, &key_package), welcome(&agent, &key_package));
        Group::join(&agent, &first, &mut stock).expect("joined");
        for used in [first, second] {
            let again = Group::join(&agent, &used, &mut stock).expect_err("its keys are gone");
            assert!(matches!(again, Error::Mls { .. }), "{again}");
        }
        let (_, unstored): (Vec<_>, Vec<_>) =
            stock.take_changes().into_iter().partition(|(_, v)| v.is_none());
        assert!(unstored.is_empty(), "its private keys are in no state");
    }

    #[test]
    fn a_key_package_is_kept_until_nobody_may_use_it() {
        let (agent, mut stock) = (identity("acme/agents/agent"), KeyPackages::default());
        for uses in [Uses::Once, Uses::LastResort] {
            stock.generate(&agent, CipherSuite::Classic, uses, SystemTime::now()).expect("a key package");
        }
        let after = |age: Duration| SystemTime::now() + LIFETIME + age;
        stock.forget_expired(after(Duration::ZERO)).expect("read");
        assert_eq!(stock.records().all().len(), 2, "another's clock may be behind");
        stock.forget_expired(after(MARGIN + Duration::from_secs(2))).expect("read");
        assert_eq!(stock.records().all().len(), 0);
    }

    #[test]
    fn a_key_package_of_last_resort_works_again() {
        let (agent, mut stock) = (identity("acme/agents/agent"), KeyPackages::default());
        let key_package =
            stock.generate(&agent, CipherSuite::Classic, Uses::LastResort, SystemTime::now()).expect("made");
        for _ in 0..3 {
            let welcome = welcome(&agent, &key_package);
            let mut restarted = KeyPackages::restore(stock.records().all());
            Group::join(&agent, &welcome, &mut restarted).expect("joined after a restart");
            Group::join(&agent, &welcome, &mut stock).expect("joined");
        }
    }

    /// A commit that adds an agent has to be readable to members whose clocks are not the agent's.
    #[test]
    fn a_key_package_is_valid_for_clocks_that_are_a_day_apart() {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        let now = SystemTime::now();
        for made in [now - DAY, now, now + DAY] {
            let lifetime = lifetime(made);
            assert!(lifetime.validate_with_time(now).is_ok(), "{lifetime:?}");
        }
        assert!(lifetime(now - LIFETIME - DAY).validate_with_time(now).is_err());
        assert!(lifetime(UNIX_EPOCH).validate_with_time(UNIX_EPOCH).is_ok());
    }
}
