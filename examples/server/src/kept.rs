//! Files in the data directory that are made once.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// Makes the data directory, readable by its owner alone.
pub fn make_directory(directory: &Path) -> Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.with_context(|| format!("cannot make the data directory {}", directory.display()))
}

/// Returns the secret in a file that only its owner can read; made with `make` if there is none.
pub fn secret(path: &Path, make: impl FnOnce() -> Result<String>) -> Result<String> {
    let name = path.display();
    make_once(path, 0o600, make)?;
    let mode = fs::metadata(path)?.permissions().mode();
    ensure!(
        mode & 0o077 == 0,
        "others can read {name}: run `chmod 600 {name}`, or delete it to get a new secret"
    );
    let secret = fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
    Ok(secret.trim().to_owned())
}

/// Makes a file that anybody may read, unless it is there.
pub fn public(path: &Path, make: impl FnOnce() -> Result<String>) -> Result<()> {
    make_once(path, 0o644, make)
}

fn make_once(path: &Path, mode: u32, make: impl FnOnce() -> Result<String>) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    let (name, temporary) = (path.display(), temporary(path));
    let content = make()?;
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary);
    let mut file = opened.with_context(|| format!("cannot write beside {name}"))?;
    file.write_all(content.as_bytes()).and_then(|()| file.sync_all())?;
    // A link never replaces what another process has made meanwhile.
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("cannot write {name}"))
        }
        _ => Ok(()),
    }
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    path.with_file_name(name)
}
