//! API keys in the form in which they are shown once: `sk_live_`, the id, the secret, a checksum.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use rand::distr::{Alphanumeric, SampleString};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// How keys begin that are meant for production, and for tests.
const LIVE: &str = "sk_live_";
const TEST: &str = "sk_test_";

/// The lengths of a key's parts, in characters of 5.95 bits: 28 of them are 166 random bits.
const ID: usize = 12;
const SECRET: usize = 28;
const CHECKSUM: usize = 6;

/// How much of a key is kept to recognise it by: what it begins with and four characters of its id.
const SHOWN: usize = LIVE.len() + 4;

/// A key, complete. Neither shown nor logged.
#[derive(Clone)]
pub(crate) struct Key(Zeroizing<String>);

/// What keys are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Live,
    Test,
}

impl Key {
    pub fn generate(purpose: Purpose) -> Self {
        let begin = match purpose {
            Purpose::Live => LIVE,
            Purpose::Test => TEST,
        };
        let random = Zeroizing::new(Alphanumeric.sample_string(&mut rand::rng(), ID + SECRET));
        let mut text = Zeroizing::new(format!("{begin}{}", *random));
        let checksum = checksum(&text);
        text.push_str(&checksum);
        Self(text)
    }

    /// Reads a key; `None` where it was mistyped, or is none at all.
    pub fn parse(text: &str) -> Option<Self> {
        let body = text.strip_prefix(LIVE).or_else(|| text.strip_prefix(TEST))?;
        let fits = body.len() == ID + SECRET + CHECKSUM && body.bytes().all(|b| b.is_ascii_alphanumeric());
        let (content, sum) = text.split_at_checked(text.len().checked_sub(CHECKSUM)?)?;
        (fits && checksum(content) == sum).then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// Tells a text that is meant as a key from a token.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with("sk_")
    }

    /// Returns the id under which the key is kept.
    pub fn id(&self) -> &str {
        &self.0[LIVE.len()..LIVE.len() + ID]
    }

    /// Returns what the key is recognised by.
    pub fn prefix(&self) -> &str {
        &self.0[..SHOWN]
    }

    /// Returns the key itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns the digest under a secret of the server's, by which the key is recognised.
    pub fn digest(&self, pepper: &[u8]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(pepper).expect("HMAC takes keys of any length");
        mac.update(self.0.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

/// Compares digests in a time that does not depend on them.
pub(crate) fn same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    one.ct_eq(other).into()
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.prefix()).finish()
    }
}

/// Returns the CRC-32 of a text in base 62, so that a mistyped key is told from an unknown one without a look-up.
fn checksum(text: &str) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut rest = crc32(text.as_bytes());
    let mut digits = [b'0'; CHECKSUM];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(rest % 62) as usize];
        rest /= 62;
    }
    digits.iter().map(|digit| char::from(*digit)).collect()
}

/// The checksum of IEEE 802.3.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    };
    !bytes.iter().fold(u32::MAX, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_and_a_mistyped_one_does_not() {
        let key = Key::generate(Purpose::Live);
        let again = Key::parse(key.expose()).expect("a key");
        assert_eq!((again.id(), again.prefix()), (key.id(), key.prefix()));
        assert_eq!(again.digest(b"pepper"), key.digest(b"pepper"));
        assert_ne!(again.digest(b"pepper"), key.digest(b"other"));
        for at in 0..key.expose().len() {
            let mut wrong = key.expose().to_owned().into_bytes();
            wrong[at] = if wrong[at] == b'x' { b'y' } else { b'x' };
            let wrong = String::from_utf8(wrong).expect("ASCII");
            assert!(Key::parse(&wrong).is_none(), "{at}");
        }
        assert!(Key::parse(&key.expose()[1..]).is_none());
        assert!(Key::parse("sk_live_***REDACTED***").is_none());
        assert!(Key::parse("sk_live_é").is_none());
    }

    #[test]
    fn keys_are_not_shown() {
        let key = Key::generate(Purpose::Test);
        assert!(key.prefix().starts_with(TEST));
        assert!(!format!("{key:?}").contains(&key.expose()[SHOWN..]));
    }

    #[test]
    fn the_checksum_is_the_usual_one() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }
}
