//! The servers' addresses and the credentials in their URLs.

use async_nats::{ConnectOptions, ServerAddr};

use crate::error::{Result, StoreError};

/// The servers that a text names, and the name and secret in it.
pub(super) struct Servers {
    pub addresses: Vec<ServerAddr>,
    user: Option<String>,
    password: Option<String>,
}

impl Servers {
    /// Reads URLs that are separated by commas.
    pub fn parse(text: &str) -> Result<Self> {
        let invalid = || StoreError::Invalid {
            what: "servers are `nats://[user:password@]host[:port]`, separated by commas",
        };
        let texts = text.split(',').map(str::trim).filter(|text| !text.is_empty());
        let addresses: Vec<ServerAddr> =
            texts.map(|text| text.parse().map_err(|_| invalid())).collect::<Result<_>>()?;
        let first = addresses.iter().find(|address| address.has_user_pass()).or(addresses.first());
        let first = first.ok_or_else(invalid)?;
        let decoded = |text: Option<&str>| text.map(|text| decode(text).ok_or_else(invalid)).transpose();
        let (user, password) = (decoded(first.username())?, decoded(first.password())?);
        Ok(Self { addresses, user, password })
    }

    /// Signs in as the URLs say: a name alone is a token.
    pub fn sign_in(&self, options: ConnectOptions) -> ConnectOptions {
        match (&self.user, &self.password) {
            (Some(user), Some(password)) => options.user_and_password(user.clone(), password.clone()),
            (Some(token), None) => options.token(token.clone()),
            (None, _) => options,
        }
    }
}

/// Decodes the `%xx` of a URL.
fn decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_with_their_secrets() {
        let servers = Servers::parse("nats://one:4222, nats://me:p%40ss@two:4223").expect("URLs");
        assert_eq!(servers.addresses.len(), 2);
        assert_eq!((servers.user.as_deref(), servers.password.as_deref()), (Some("me"), Some("p@ss")));
        for wrong in ["", "http://x", "nats://me:%zz@x", "nats://a:4222,nats://b:port"] {
            assert!(Servers::parse(wrong).is_err(), "{wrong}");
        }
    }
}
