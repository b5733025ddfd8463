//! The secret that tokens are signed with.

use anyhow::{Result, ensure};
use secrecy::{ExposeSecret, SecretString};

use crate::config::ServerConfig;
use crate::kept;

/// Returns the configured secret, or the generated one in the data directory, which is made if there is none.
pub fn signing(config: &ServerConfig) -> Result<SecretString> {
    if let Some(secret) = &config.jwt_secret {
        ensure!(
            !secret.expose_secret().contains("REDACTED"),
            "jwt_secret holds a placeholder; write a secret of at least 32 random bytes"
        );
        return Ok(secret.clone());
    }
    kept::make_directory(&config.data_dir)?;
    Ok(kept::secret(&config.data_dir.join("jwt_secret"), random)?.into())
}

/// Makes 32 random bytes, in hexadecimal digits.
pub fn random() -> Result<String> {
    Ok(rand::random::<[u8; 32]>().map(|byte| format!("{byte:02x}")).concat())
}
