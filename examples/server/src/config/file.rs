//! A TOML file of settings.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::fault::Fault;
use super::setting::Setting;
use super::value::Value;
use super::{Config, PLANS};

/// Reads a file over the defaults.
pub fn read(path: &Path) -> Result<Config> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).map_err(|fault| anyhow!("{}:{}", path.display(), fault.in_text(&text)))
}

fn parse(text: &str) -> Result<Config, Fault> {
    let document = DeTable::parse(text)
        .map_err(|error| Fault::new(error.span().unwrap_or_default(), error.message()))?;
    let mut config = Config::default();
    for (name, value) in in_order(document.get_ref()) {
        let section = name.get_ref().as_ref();
        if section == PLANS {
            read_plans(&mut config, value)?;
        } else if Setting::all().any(|setting| setting.section == section) {
            read_section(&mut config, section, value)?;
        } else {
            let known = Setting::all().map(|setting| setting.section).chain([PLANS]);
            return Err(Fault::unknown_key(name.span(), section, known));
        }
    }
    Ok(config)
}

fn read_section(config: &mut Config, section: &str, value: &Spanned<DeValue<'_>>) -> Result<(), Fault> {
    let settings = || Setting::all().filter(|setting| setting.section == section);
    for (name, value) in entries(value).map_err(|fault| fault.of_key(section))? {
        let key = name.get_ref().as_ref();
        let setting = settings()
            .find(|setting| setting.key == key)
            .ok_or_else(|| Fault::unknown_key(name.span(), key, settings().map(|setting| setting.key)))?;
        (setting.read)(config, value).map_err(|fault| fault.of_key(key))?;
    }
    Ok(())
}

fn read_plans(config: &mut Config, value: &Spanned<DeValue<'_>>) -> Result<(), Fault> {
    for (name, value) in entries(value).map_err(|fault| fault.of_key(PLANS))? {
        let plan = name.get_ref().as_ref();
        let messages = u64::from_toml(value).map_err(|fault| fault.of_key(plan))?;
        config.plans.insert(plan.to_owned(), messages);
    }
    Ok(())
}

/// An entry of a table.
type Entry<'a, 'text> = (&'a Spanned<DeString<'text>>, &'a Spanned<DeValue<'text>>);

/// Returns the entries of a table in the order of the file.
pub fn entries<'a, 'text>(value: &'a Spanned<DeValue<'text>>) -> Result<Vec<Entry<'a, 'text>>, Fault> {
    match value.get_ref() {
        DeValue::Table(table) => Ok(in_order(table)),
        _ => Err(Fault::new(value.span(), "expected a table")),
    }
}

fn in_order<'a, 'text>(table: &'a DeTable<'text>) -> Vec<Entry<'a, 'text>> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        parse(text).map(|_| ()).expect_err("a fault").in_text(text)
    }

    #[test]
    fn every_table_is_read() {
        let config = parse(
            "[server]\ndrain_seconds = 3\n[[server.jwt_keys]]\nkid = \"a\"\nsecret = \"s\"\n\
             [limits]\nmax_channels = 5\n[plans]\nfree = 0\n",
        )
        .expect("it is right");
        assert_eq!((config.server.drain_seconds, config.limits.max_channels), (3, 5));
        assert_eq!((config.server.jwt_keys[0].kid.as_str(), config.plans["free"]), ("a", 0));
    }

    #[test]
    fn unknown_keys_are_told_with_the_nearest_of_their_table() {
        assert_eq!(fault("[sever]"), "1: unknown key \"sever\"; did you mean \"server\"?");
        let said = fault("[limits]\nmax_chanels = 1");
        assert_eq!(said, "2: unknown key \"max_chanels\"; did you mean \"max_channels\"?");
        let said = fault("[server]\n[[server.jwt_keys]]\nkid = \"a\"\nsecrt = \"hush\"");
        assert_eq!(said, "4: jwt_keys: unknown key \"secrt\"; did you mean \"secret\"?");
    }

    #[test]
    fn the_first_fault_of_the_file_is_told_and_never_a_value() {
        let said = fault("[server]\nstore = 42\napi = \"hush\"\n");
        assert_eq!(said, "2: store: expected a string");
        assert_eq!(fault("[server]\napi = \"hush\"\n"), "2: api: expected true or false");
        assert_eq!(
            fault("[server]\njwt_keys = \"hush\"\n"),
            "2: jwt_keys: expected tables [[server.jwt_keys]] in a file"
        );
        assert_eq!(fault("limits = 1"), "1: limits: expected a table");
        assert!(!fault("[server]\njwt_secret = \"hush\n").contains("hush"));
    }
}
