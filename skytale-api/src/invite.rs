//! Invites in the form in which they are shown once: `skt_inv_` and a secret.

use rand::distr::{Alphanumeric, SampleString};
use sha2::{Digest, Sha256};

/// How invites begin.
const BEGIN: &str = "skt_inv_";

/// The length of the secret, in characters of 5.95 bits: 190 random bits.
const SECRET: usize = 32;

/// Makes an invite's token.
pub(crate) fn generate() -> String {
    format!("{BEGIN}{}", Alphanumeric.sample_string(&mut rand::rng(), SECRET))
}

/// Returns the digest by which a token is recognised; `None` where the text is none.
///
/// What is random in it cannot be guessed, so that the digest needs neither salt nor time.
pub(crate) fn digest(token: &str) -> Option<[u8; 32]> {
    let secret = token.strip_prefix(BEGIN)?;
    let fits = secret.len() == SECRET && secret.bytes().all(|byte| byte.is_ascii_alphanumeric());
    fits.then(|| Sha256::digest(token.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invite_is_recognised_and_others_are_not() {
        let token = generate();
        assert_eq!(digest(&token), digest(&token));
        assert_ne!(digest(&token), digest(&generate()));
        assert_eq!(digest("skt_inv_short"), None);
        assert_eq!(digest(&token[1..]), None);
    }
}
