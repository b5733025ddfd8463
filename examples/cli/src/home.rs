//! What is kept between calls: where to connect, the API key, and the agent's own state.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// The directory.
pub struct Home(PathBuf);

/// The file `credentials.toml`.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    pub api: String,
    pub api_key: String,
    pub relay: String,
    pub agent: String,
    pub trust: Option<PathBuf>,
}

impl Home {
    pub fn open(given: Option<PathBuf>) -> Result<Self> {
        let user = || std::env::home_dir().map(|home| home.join(".skytale"));
        let path = given.or_else(user).context("there is no home directory: say --home DIR")?;
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    /// Where the agent's keys and groups are.
    pub fn state(&self) -> PathBuf {
        self.0.join("agent")
    }

    pub fn load(&self) -> Result<Credentials> {
        let path = self.file();
        let read = fs::read_to_string(&path);
        let text = read.context(
            "there are no credentials: `skytale signup` makes an account, `skytale login` uses one",
        )?;
        toml::from_str(&text).with_context(|| format!("{} cannot be read", path.display()))
    }

    /// Keeps credentials, where only their owner can read them.
    pub fn save(&self, credentials: &Credentials) -> Result<()> {
        let (path, new) = (self.file(), self.0.join("credentials.toml.new"));
        let text = toml::to_string(credentials)?;
        let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new);
        let mut file = opened.with_context(|| format!("cannot write {}", new.display()))?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all())?;
        fs::rename(&new, &path).with_context(|| format!("cannot write {}", path.display()))
    }

    pub fn file(&self) -> PathBuf {
        self.0.join("credentials.toml")
    }
}
