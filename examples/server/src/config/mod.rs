//! The settings: one definition of each, and the places that they are read from.

mod allowed;
mod consistency;
mod environment;
mod fault;
mod file;
mod flags;
mod jwt_key;
mod limits;
pub mod markdown;
mod nearest;
mod server;
mod setting;
mod value;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;

pub use environment::unknown_variables;
pub use flags::Flags;
pub use limits::LimitsConfig;
pub use server::ServerConfig;

use setting::Setting;

/// The file that is read if it is there and no other is named.
const DEFAULT_FILE: &str = "skytale.toml";

/// The table of the file that has the names of plans as keys.
const PLANS: &str = "plans";

/// All settings.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The server's listeners, storage and keys.
    pub server: ServerConfig,
    /// The limits of what clients may ask for.
    pub limits: LimitsConfig,
    /// How many messages each plan allows in a month; 0 is no limit.
    pub plans: BTreeMap<String, u64>,
}

impl Config {
    /// Reads the file, then the environment, then the flags. Each overrides the one before.
    pub fn load(path: Option<&Path>, flags: &Flags) -> Result<Self> {
        let default = || Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists());
        let mut config = match path.map(Path::to_owned).or_else(default) {
            Some(path) => file::read(&path)?,
            None => Self::default(),
        };
        environment::apply(&mut config)?;
        flags.apply(&mut config)?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<()> {
        for check in Setting::all().filter_map(|setting| setting.check) {
            check(self)?;
        }
        self.server.check_consistency()
    }
}
