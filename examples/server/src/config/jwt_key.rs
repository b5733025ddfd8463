//! A key that tokens may be signed with, beside the server's own.

use secrecy::SecretString;
use toml::Spanned;
use toml::de::DeValue;

use super::fault::Fault;
use super::file::entries;
use super::value::{Kind, Value};

const KEYS: [&str; 3] = ["kid", "secret", "public"];

/// An entry of `[[server.jwt_keys]]`.
#[derive(Clone, Debug)]
pub struct JwtKey {
    /// The name that tokens have in their header.
    pub kid: String,
    /// The secret of HS256.
    pub secret: Option<SecretString>,
    /// The Ed25519 key, in base64url.
    pub public: Option<String>,
}

impl JwtKey {
    fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, Fault> {
        let (mut kid, mut secret, mut public) = (None, None, None);
        for (name, value) in entries(value)? {
            let key = name.get_ref().as_ref();
            match key {
                "kid" => read(&mut kid, key, value)?,
                "secret" => read(&mut secret, key, value)?,
                "public" => read(&mut public, key, value)?,
                _ => return Err(Fault::unknown_key(name.span(), key, KEYS)),
            }
        }
        let kid = kid.ok_or_else(|| Fault::new(value.span(), "a JWT key needs a kid"))?;
        Ok(Self { kid, secret, public })
    }
}

fn read<T: Value>(into: &mut Option<T>, key: &str, value: &Spanned<DeValue<'_>>) -> Result<(), Fault> {
    *into = Some(T::from_toml(value).map_err(|fault| fault.of_key(key))?);
    Ok(())
}

impl Value for Vec<JwtKey> {
    const KIND: Kind = Kind::Tables;

    fn expected() -> String {
        "tables [[server.jwt_keys]] in a file".to_owned()
    }

    fn from_text(_text: &str) -> Option<Self> {
        None
    }

    fn text(&self) -> Option<String> {
        None
    }

    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<Self, Fault> {
        let DeValue::Array(tables) = value.get_ref() else {
            return Err(Fault::new(value.span(), format!("expected {}", Self::expected())));
        };
        tables.iter().map(JwtKey::read).collect()
    }
}
