//! The names that the store uses in NATS.

use std::sync::Arc;

use crate::contract::backplane::{Delivery, Topic};
use crate::error::{Result, StoreError};

/// Names of stream and subjects that begin with the same prefix.
#[derive(Clone, Debug)]
pub(crate) struct Subjects(Arc<str>);

/// The longest prefix, in bytes.
const LONGEST: usize = 64;

impl Subjects {
    pub fn new(prefix: &str) -> Result<Self> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if prefix.is_empty() || prefix.len() > LONGEST || !prefix.chars().all(is_plain) {
            let what = "the prefix of names in NATS is 1 to 64 ASCII letters, digits, `-` and `_`";
            return Err(StoreError::Invalid { what });
        }
        Ok(Self(prefix.into()))
    }

    pub fn stream(&self) -> String {
        format!("{}-log", self.0)
    }

    /// Returns the subject of a channel's blocks.
    pub fn log(&self, [first, second, third]: [u64; 3]) -> String {
        format!("{}.log.{first:016x}{second:016x}{third:016x}", self.0)
    }

    /// Returns the subjects of all channels' blocks.
    pub fn logs(&self) -> String {
        format!("{}.log.*", self.0)
    }

    /// Returns the subject where a channel's blocks are told once they are kept.
    pub fn kept(&self, log: &str) -> String {
        let channel = log.rsplit('.').next().unwrap_or_default();
        format!("{}.kept.{channel}", self.0)
    }

    /// Returns where all channels' blocks are told, as a transform of [`logs`](Self::logs).
    pub fn all_kept(&self) -> String {
        format!("{}.kept.{{{{wildcard(1)}}}}", self.0)
    }

    /// Returns the components of a channel from the subject of its blocks.
    pub fn channel(&self, log: &str) -> Option<[u64; 3]> {
        let channel = log.strip_prefix(&*self.0)?.strip_prefix(".log.")?;
        let component =
            |index: usize| u64::from_str_radix(channel.get(index * 16..index * 16 + 16)?, 16).ok();
        (channel.len() == 48).then_some([component(0)?, component(1)?, component(2)?])
    }

    /// Returns the subject of messages.
    pub fn messages(&self, topic: Topic, delivery: Delivery) -> String {
        match delivery {
            Delivery::All => format!("{}.all.{topic}", self.0),
            Delivery::AnyOne => format!("{}.one.{topic}", self.0),
        }
    }

    /// Returns the subject by which relays find each other.
    pub fn relays(&self) -> String {
        format!("{}.relays", self.0)
    }

    /// Returns a subject that nobody listens to.
    pub fn nobody(&self) -> String {
        format!("{}.nobody", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_told_by_its_subject() {
        let subjects = Subjects::new("skytale").expect("plain");
        let log = subjects.log([1, u64::MAX, 3]);
        assert_eq!(subjects.channel(&log), Some([1, u64::MAX, 3]));
        assert_eq!(subjects.channel("skytale.log.short"), None);
        assert!(subjects.kept(&log).ends_with("ffff0000000000000003"));
        for prefix in ["", "a.b", "a b", "a*", ">"] {
            assert!(Subjects::new(prefix).is_err(), "{prefix}");
        }
    }
}
