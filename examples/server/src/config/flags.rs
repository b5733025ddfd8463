//! Settings as flags.

use anyhow::{Result, anyhow};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use secrecy::{ExposeSecret, SecretString};

use super::Config;
use super::setting::Setting;
use super::value::{Kind, NONE};

/// The settings that the command line has. Any of them may be a secret.
#[derive(Default)]
pub struct Flags {
    given: Vec<(&'static Setting, SecretString)>,
}

impl Flags {
    /// Sets what the command line has.
    pub fn apply(&self, config: &mut Config) -> Result<()> {
        for (setting, text) in &self.given {
            (setting.set)(config, text.expose_secret()).map_err(|why| anyhow!("{}: {why}", setting.key))?;
        }
        Ok(())
    }
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        command.args(Setting::all().filter_map(argument))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for setting in Setting::all().filter(|setting| setting.flag.is_some()) {
            let text = match setting.kind {
                Kind::Switch => matches.get_flag(setting.key).then(|| SecretString::from("true")),
                _ => matches.get_one(setting.key).cloned(),
            };
            self.given.extend(text.map(|text| (setting, text)));
        }
        Ok(())
    }
}

/// Returns the flag of a setting.
fn argument(setting: &'static Setting) -> Option<Arg> {
    // The command keeps its names as long as the process lives.
    let name: &'static str = setting.flag_name()?.leak();
    let argument = Arg::new(setting.key).long(name).global(true);
    let argument = argument.help(help(setting, 1)).long_help(help(setting, usize::MAX));
    Some(match setting.kind {
        Kind::Switch => argument.action(ArgAction::SetTrue),
        _ => argument.value_name(setting.flag?).value_parser(|text: &str| accepted(setting, text)),
    })
}

fn accepted(setting: &Setting, text: &str) -> Result<SecretString, String> {
    (setting.set)(&mut Config::default(), text).map(|()| text.into())
}

/// Returns the first paragraphs of the meaning, and the default.
fn help(setting: &Setting, paragraphs: usize) -> String {
    let mut help = setting.paragraphs().take(paragraphs).collect::<Vec<_>>().join("\n\n");
    if help.ends_with('.') {
        help.pop();
    }
    let default = (setting.default)();
    if setting.kind != Kind::Switch && default != NONE {
        help = format!("{help} [default: {default}]");
    }
    help.replace('`', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Config, String> {
        let command = Flags::augment_args(Command::new("server").no_binary_name(true));
        let matches = command.try_get_matches_from(arguments).map_err(|error| error.to_string())?;
        let mut config = Config::default();
        let flags = Flags::from_arg_matches(&matches).map_err(|error| error.to_string())?;
        flags.apply(&mut config).map_err(|error| error.to_string())?;
        Ok(config)
    }

    #[test]
    fn flags_set_what_they_name_and_nothing_else() {
        let config = parse(&["--nats-replicas", "3", "--allow-anonymous"]).expect("flags");
        assert_eq!((config.server.nats_replicas, config.server.allow_anonymous), (Some(3), true));
        assert!(!config.server.insecure_listen);
    }

    #[test]
    fn a_wrong_value_is_refused_with_what_is_expected() {
        let said = parse(&["--grpc-listen-addr", "here"]).map(|_| ()).expect_err("no address");
        assert!(said.contains("--grpc-listen-addr <ADDR>") && said.contains("127.0.0.1:5000"), "{said}");
    }

    #[test]
    fn help_ends_with_the_default_if_there_is_one() {
        let setting = Setting::all().find(|setting| setting.key == "durability").expect("a setting");
        assert!(help(setting, 1).ends_with(" [default: disk]"), "{}", help(setting, 1));
        let setting = Setting::all().find(|setting| setting.key == "nats_url").expect("a setting");
        assert!(!help(setting, 1).contains("default"), "{}", help(setting, 1));
    }
}
