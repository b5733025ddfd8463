//! The secret that tokens are signed with.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use secrecy::{ExposeSecret, SecretString};

use crate::config::ServerConfig;

/// Returns the configured secret, or the generated one in the data directory, which is made if there is none.
pub fn signing(config: &ServerConfig) -> Result<SecretString> {
    if let Some(secret) = &config.jwt_secret {
        ensure!(
            !secret.expose_secret().contains("REDACTED"),
            "jwt_secret holds a placeholder; write a secret of at least 32 random bytes"
        );
        return Ok(secret.clone());
    }
    let directory = config.data_dir();
    make_directory(&directory)?;
    generated(&directory.join("jwt_secret"))
}

/// Makes the data directory, readable by its owner alone.
pub fn make_directory(directory: &Path) -> Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.with_context(|| format!("cannot make the data directory {}", directory.display()))
}

fn generated(path: &Path) -> Result<SecretString> {
    let name = path.display();
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary(path)) {
        Ok(mut file) => {
            let secret = rand::random::<[u8; 32]>().map(|byte| format!("{byte:02x}")).concat();
            file.write_all(secret.as_bytes()).and_then(|()| file.sync_all())?;
            // A link never replaces a secret that another process has made meanwhile.
            let linked = fs::hard_link(temporary(path), path);
            fs::remove_file(temporary(path))?;
            if let Err(error) = linked
                && error.kind() != ErrorKind::AlreadyExists
            {
                return Err(error).with_context(|| format!("cannot write {name}"));
            }
        }
        Err(error) => return Err(error).with_context(|| format!("cannot write beside {name}")),
    }
    let mode = fs::metadata(path)?.permissions().mode();
    ensure!(
        mode & 0o077 == 0,
        "others can read {name}: run `chmod 600 {name}`, or delete it to get a new secret"
    );
    let secret = fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
    Ok(secret.trim().to_owned().into())
}

fn temporary(path: &Path) -> std::path::PathBuf {
    path.with_extension(format!("{}.new", std::process::id()))
}
