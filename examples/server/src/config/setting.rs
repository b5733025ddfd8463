//! One setting: a field of [`Config`] with its names, its default, its limits and its meaning.

use anyhow::{Result, ensure};
use toml::Spanned;
use toml::de::DeValue;

use super::allowed::Allowed;
use super::fault::Fault;
use super::value::{Kind, Value};
use super::{Config, LimitsConfig, ServerConfig};

/// The beginning of every environment variable that is a setting.
pub const PREFIX: &str = "SKYTALE_";

/// A setting. [`settings!`] defines all of them.
pub struct Setting {
    /// The table of the file.
    pub section: &'static str,
    /// The key in its table.
    pub key: &'static str,
    /// The name of the flag's value, where the setting has a flag; empty for a switch.
    pub flag: Option<&'static str>,
    /// The kind of the value.
    pub kind: Kind,
    /// The paragraphs of the definition's doc comment.
    pub meaning: &'static str,
    /// Returns the default, as Markdown.
    pub default: fn() -> String,
    /// Sets the value of a file.
    pub read: fn(&mut Config, &Spanned<DeValue<'_>>) -> Result<(), Fault>,
    /// Sets the text of an environment variable or a flag. Errors say what was expected, and never the text.
    pub set: fn(&mut Config, &str) -> Result<(), String>,
    /// Refuses a value beyond the limits.
    pub check: Option<fn(&Config) -> Result<()>>,
}

impl Setting {
    /// Returns every setting, in the order of the definitions.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        ServerConfig::SETTINGS.iter().chain(LimitsConfig::SETTINGS)
    }

    /// Returns the name of its environment variable.
    pub fn variable(&self) -> String {
        let section = if self.section == "server" { String::new() } else { format!("{}_", self.section) };
        format!("{PREFIX}{section}{}", self.key).to_uppercase()
    }

    /// Returns the name of its flag.
    pub fn flag_name(&self) -> Option<String> {
        self.flag.map(|_| self.key.replace('_', "-"))
    }

    /// Returns the paragraphs of its meaning, each in one line.
    pub fn paragraphs(&self) -> impl Iterator<Item = String> {
        let lines = |paragraph: &str| paragraph.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        self.meaning.split("\n\n").map(move |paragraph| lines(paragraph.trim()))
    }
}

/// Refuses a value that is not allowed.
pub fn check<T: Value>(key: &str, value: &T, allowed: &Allowed<T>) -> Result<()> {
    let (shown, what) = (value.text().unwrap_or_default(), &allowed.what);
    let shown = if T::KIND == Kind::Text { format!("{shown:?}") } else { shown };
    ensure!(allowed.includes(value), "{key} is {shown}; it may be {what}");
    Ok(())
}

/// Defines a table of settings: its struct, the defaults, and for each key a [`Setting`].
///
/// A setting is `/// Meaning.`, a line break, and `key: Type = default;`. Before the semicolon may follow, in this order:
/// - `shown("…")`: words for the default in the documentation, where its value does not tell;
/// - `flag("VALUE")`, or `flag()` for a switch: a flag of the same name;
/// - `check(…)`: the [`Allowed`] values.
macro_rules! settings {
    (
        $(#[doc = $table_meaning:literal])+
        pub struct $table:ident in $section:ident {$(
            $(#[doc = $meaning:literal])+
            $key:ident: $type:ty = $default:expr
            $(, shown($shown:literal))? $(, flag($($value_name:literal)?))? $(, check($allowed:expr))?;
        )+}
    ) => {
        $(#[doc = $table_meaning])+
        #[derive(Clone, Debug)]
        pub struct $table {$(
            $(#[doc = $meaning])+
            pub $key: $type,
        )+}

        impl Default for $table {
            fn default() -> Self {
                Self { $($key: $default,)+ }
            }
        }

        impl $table {
            /// Every setting of the table, in the order of the definition.
            pub const SETTINGS: &'static [$crate::config::setting::Setting] = &[$(
                $crate::config::setting::Setting {
                    section: stringify!($section),
                    key: stringify!($key),
                    flag: $crate::config::setting::optional!($(concat!("", $($value_name)?))?),
                    kind: <$type as $crate::config::value::Value>::KIND,
                    meaning: concat!($($meaning, "\n",)+),
                    default: || {
                        let shown: Option<&str> = $crate::config::setting::optional!($($shown)?);
                        let default: fn() -> $type = || $default;
                        shown.map_or_else(|| $crate::config::value::Value::markdown(&default()), str::to_owned)
                    },
                    // Not by an assignment, which would count as a use of the field: the compiler is to tell of unused settings.
                    read: |config, value| {
                        let $key = $crate::config::value::Value::from_toml(value)?;
                        config.$section = $table { $key, ..std::mem::take(&mut config.$section) };
                        Ok(())
                    },
                    set: |config, text| {
                        let $key = $crate::config::value::parse(text)?;
                        config.$section = $table { $key, ..std::mem::take(&mut config.$section) };
                        Ok(())
                    },
                    check: $crate::config::setting::optional!($(
                        |config| $crate::config::setting::check(
                            stringify!($key), &config.$section.$key, &$allowed
                        )
                    )?),
                },
            )+];
        }
    };
}

/// `Some` of what is given, or `None`.
macro_rules! optional {
    () => {
        None
    };
    ($given:expr) => {
        Some($given)
    };
}

pub(crate) use {optional, settings};

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(key: &str) -> &'static Setting {
        Setting::all().find(|setting| setting.key == key).expect("a setting")
    }

    #[test]
    fn names_follow_from_the_key() {
        assert_eq!(setting("data_dir").variable(), "SKYTALE_DATA_DIR");
        assert_eq!(setting("max_channels").variable(), "SKYTALE_LIMITS_MAX_CHANNELS");
        assert_eq!(setting("grpc_listen_addr").flag_name().as_deref(), Some("grpc-listen-addr"));
        assert_eq!(setting("key_pepper").flag_name(), None);
    }

    #[test]
    fn a_key_names_one_setting() {
        let mut keys: Vec<_> = Setting::all().map(|setting| setting.key).collect();
        keys.sort_unstable();
        assert!(keys.windows(2).all(|pair| pair[0] != pair[1]), "flags have the keys alone as names");
    }

    #[test]
    fn the_defaults_are_allowed() {
        for setting in Setting::all() {
            setting.check.map_or(Ok(()), |check| check(&Config::default())).expect(setting.key);
        }
    }
}
