//! Settings in environment variables.

use std::env;
use std::fmt::{self, Display};

use anyhow::{Context, Result, anyhow};

use super::Config;
use super::nearest::nearest;
use super::setting::{PREFIX, Setting};

/// Variables of the clients and of the tests, which share the prefix.
const OTHERS: [&str; 14] = [
    "SKYTALE_API_KEY",
    "SKYTALE_API_URL",
    "SKYTALE_CACHE",
    "SKYTALE_CRASH_AT",
    "SKYTALE_HOME",
    "SKYTALE_HOSTILE_SECONDS",
    "SKYTALE_KILLS",
    "SKYTALE_MCP_TOKEN",
    "SKYTALE_RELAY",
    "SKYTALE_SCALE",
    "SKYTALE_SEED",
    "SKYTALE_SEEDS",
    "SKYTALE_SEQUENCES",
    "SKYTALE_STORM",
];

/// The beginning of variables that tests give each other.
const TESTS: &str = "SKYTALE_TEST_";

/// Sets what the environment has.
pub fn apply(config: &mut Config) -> Result<()> {
    for setting in Setting::all() {
        let name = setting.variable();
        if let Some(value) = env::var_os(&name) {
            let text =
                value.to_str().with_context(|| format!("environment variable {name}: expected UTF-8"))?;
            (setting.set)(config, text).map_err(|why| anyhow!("environment variable {name}: {why}"))?;
        }
    }
    Ok(())
}

/// A variable with the server's prefix that is no setting. Its value may be a secret, and is never looked at.
#[derive(Debug, PartialEq, Eq)]
pub struct UnknownVariable {
    name: String,
    nearest: Option<String>,
}

impl Display for UnknownVariable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "unknown environment variable {}", self.name.escape_debug())?;
        match &self.nearest {
            Some(nearest) => write!(formatter, "; did you mean {nearest}?"),
            None => Ok(()),
        }
    }
}

/// Returns the variables that look like settings and are none.
pub fn unknown_variables() -> Vec<UnknownVariable> {
    let names: Vec<_> = env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()).collect();
    unknown_among(&names)
}

fn unknown_among(names: &[String]) -> Vec<UnknownVariable> {
    let services: Vec<_> = names.iter().filter_map(|name| name.strip_suffix("_SERVICE_HOST")).collect();
    let is_known = |name: &str| {
        OTHERS.contains(&name)
            || name.starts_with(TESTS)
            || services.iter().any(|service| is_service_link(name, service))
            || Setting::all().any(|setting| setting.variable() == name)
    };
    let unknown = names.iter().filter(|name| name.starts_with(PREFIX) && !is_known(name));
    let mut unknown: Vec<_> =
        unknown.map(|name| UnknownVariable { name: name.clone(), nearest: nearest_variable(name) }).collect();
    unknown.sort_by(|one, other| one.name.cmp(&other.name));
    unknown
}

/// Tells whether Kubernetes has set a variable to say where a Service is, as it does for each of a namespace.
fn is_service_link(name: &str, service: &str) -> bool {
    name.strip_prefix(service).is_some_and(|rest| {
        let begins = ["_SERVICE_HOST", "_SERVICE_PORT", "_PORT_"];
        rest == "_PORT" || begins.iter().any(|begin| rest.starts_with(begin))
    })
}

/// Returns the variable that was probably meant, also where the table is missing, or has been named although it has not
/// to be.
fn nearest_variable(unknown: &str) -> Option<String> {
    let unknown = unknown[PREFIX.len()..].replace("__", "_").to_lowercase();
    let names = |setting: &'static Setting| {
        let whole = format!("{}_{}", setting.section, setting.key);
        [(whole, setting), (setting.key.to_owned(), setting)]
    };
    nearest(&unknown, Setting::all().flat_map(names)).map(Setting::variable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown(names: &[&str]) -> Vec<String> {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        unknown_among(&names).iter().map(UnknownVariable::to_string).collect()
    }

    #[test]
    fn typos_are_told_with_the_nearest_name() {
        for (typo, meant) in [
            ("SKYTALE_DATADIR", "SKYTALE_DATA_DIR"),
            ("SKYTALE_MAX_CHANNELS", "SKYTALE_LIMITS_MAX_CHANNELS"),
            ("SKYTALE_LIMITS_MAX_CHANELS", "SKYTALE_LIMITS_MAX_CHANNELS"),
            ("SKYTALE_LIMITS__MAX_CHANNELS", "SKYTALE_LIMITS_MAX_CHANNELS"),
            ("SKYTALE_SERVER__DATA_DIR", "SKYTALE_DATA_DIR"),
            ("SKYTALE_data_dir", "SKYTALE_DATA_DIR"),
        ] {
            assert_eq!(
                unknown(&[typo]),
                [format!("unknown environment variable {typo}; did you mean {meant}?")]
            );
        }
    }

    #[test]
    fn a_name_that_is_like_none_has_no_hint() {
        assert_eq!(unknown(&["SKYTALE_VERSION"]), ["unknown environment variable SKYTALE_VERSION"]);
        assert_eq!(unknown(&["SKYTALE_"]), ["unknown environment variable SKYTALE_"]);
    }

    #[test]
    fn settings_and_variables_of_other_programs_are_known() {
        assert!(unknown(&["SKYTALE_DATA_DIR", "SKYTALE_LIMITS_MAX_CHANNELS", "SKYTALE_JWT_KEYS"]).is_empty());
        assert!(unknown(&["SKYTALE_API_KEY", "SKYTALE_TEST_POSTGRES", "PATH", "SKYTALE"]).is_empty());
    }

    #[test]
    fn links_of_a_kubernetes_service_are_known_and_the_same_names_alone_are_not() {
        let links = [
            "SKYTALE_SERVICE_HOST",
            "SKYTALE_SERVICE_PORT",
            "SKYTALE_SERVICE_PORT_GRPC",
            "SKYTALE_PORT",
            "SKYTALE_PORT_5000_TCP_ADDR",
        ];
        assert!(unknown(&links).is_empty());
        assert!(unknown(&["SKYTALE_HTTP_SERVICE_HOST", "SKYTALE_HTTP_PORT_8443_TCP"]).is_empty());
        assert_eq!(unknown(&["SKYTALE_PORT"]).len(), 1);
    }
}
