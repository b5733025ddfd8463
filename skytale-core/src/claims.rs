//! Who a peer is and what it may do.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::SystemTime;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

use crate::name::{ChannelName, hash_component};

/// The issuer of every token that a relay accepts.
pub const ISSUER: &str = "static-api";

/// The content of a token (a JWT).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Claims {
    /// The account.
    pub sub: String,
    /// The issuer, always [`ISSUER`].
    pub iss: String,
    /// When the token was issued, in seconds since 1970.
    pub iat: u64,
    /// When the token expires, in seconds since 1970.
    pub exp: u64,
    /// From when on the token is valid, in seconds since 1970. Default: always.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "whole_seconds")]
    pub nbf: Option<u64>,
    /// The account's plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// The token's own id, by which it can be revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// The id of the API key that the token was made with, by which it can be revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What the token permits. A token without grants permits what its verifier's default permits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grants: Option<Vec<Grant>>,
}

impl Claims {
    /// Makes claims for an account; times are seconds since 1970.
    pub fn new(account: impl Into<String>, issued: u64, expires: u64) -> Self {
        Self {
            sub: account.into(),
            iss: ISSUER.to_owned(),
            iat: issued,
            exp: expires,
            nbf: None,
            plan: None,
            jti: None,
            key: None,
            grants: None,
        }
    }

    /// Sets the account's plan.
    pub fn with_plan(mut self, plan: impl Into<String>) -> Self {
        self.plan = Some(plan.into());
        self
    }

    /// Sets the token's id.
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.jti = Some(id.into());
        self
    }

    /// Sets the API key that the token is made with.
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Sets what the token permits.
    pub fn with_grants(mut self, grants: Vec<Grant>) -> Self {
        self.grants = Some(grants);
        self
    }

    /// Checks that the token is valid at a moment; times are seconds (since 1970), and clocks may be `leeway` apart.
    ///
    /// # Errors
    ///
    /// [`OutOfTime`], where the token has expired or is not valid yet.
    pub fn check_time(&self, now: u64, leeway: u64) -> Result<(), OutOfTime> {
        if self.exp < now.saturating_sub(leeway) {
            return Err(OutOfTime::Expired);
        }
        match self.nbf {
            Some(from) if from > now.saturating_add(leeway) => Err(OutOfTime::NotYetValid),
            _ => Ok(()),
        }
    }
}

/// A token is used at a moment for which it is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OutOfTime {
    /// The token has expired.
    #[error("the token has expired")]
    Expired,
    /// The token becomes valid later.
    #[error("the token is not valid yet")]
    NotYetValid,
}

/// Reads a `NumericDate` of RFC 7519, which may have a fraction.
fn whole_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let seconds = f64::deserialize(deserializer)?.round();
    match (0.0..u64::MAX as f64).contains(&seconds) {
        true => Ok(Some(seconds as u64)),
        false => Err(D::Error::custom("a time is seconds since 1970")),
    }
}

/// Verbs on the channels that a pattern covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The channels.
    pub channels: ChannelPattern,
    /// What may be done there.
    pub verbs: Vec<Verb>,
}

impl Grant {
    /// Grants every verb on the channels of a pattern.
    pub fn everything_on(channels: ChannelPattern) -> Self {
        Self { channels, verbs: Verb::ALL.to_vec() }
    }
}

/// What a principal may do on a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Verb {
    /// Send messages.
    Publish,
    /// Receive messages, and read what was missed.
    Subscribe,
    /// Send messages that change a group: commits and proposals.
    Commit,
    /// Become a member without an invitation, by an external commit, where the relay takes these.
    Join,
}

impl Verb {
    /// Every verb.
    pub const ALL: [Self; 4] = [Self::Publish, Self::Subscribe, Self::Commit, Self::Join];
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Publish => "publish",
            Self::Subscribe => "subscribe",
            Self::Commit => "commit",
            Self::Join => "join",
        })
    }
}

/// A set of channels: `org/ns/app`, where a part may be `*`, and `**` stands for all parts that follow.
///
/// There are no prefixes: SLIM routes by XXH64 hashes, for which anybody finds a text that begins as he likes and has the
/// hash of a channel that he may not use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ChannelPattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Exactly { text: String, hash: u64 },
    Anything,
}

/// Why a text is no channel pattern.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{text:?} is no channel pattern: write three parts like org/ns/app, each a text or `*`, or end in `**`"
)]
pub struct PatternError {
    text: String,
}

impl ChannelPattern {
    /// Tells whether the pattern covers a channel, which may be known by its hashes alone.
    pub fn covers(&self, channel: &ChannelName) -> bool {
        let mut texts = channel.text().map(|text| text.splitn(3, '/'));
        let hashes = channel.components();
        hashes
            .into_iter()
            .zip(&self.parts)
            .all(|(hash, part)| part.covers(hash, texts.as_mut().and_then(Iterator::next)))
    }
}

impl Part {
    fn covers(&self, component: u64, component_text: Option<&str>) -> bool {
        match (self, component_text) {
            (Self::Anything, _) => true,
            (Self::Exactly { text, .. }, Some(found)) => text == found,
            (Self::Exactly { hash, .. }, None) => *hash == component,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text {
            "*" => Some(Self::Anything),
            _ if text.is_empty() || text.contains('*') => None,
            _ => Some(Self::Exactly { text: text.to_owned(), hash: hash_component(text) }),
        }
    }
}

impl FromStr for ChannelPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let wrong = || PatternError { text: text.to_owned() };
        let (head, open) = match text.strip_suffix("**") {
            Some(head) if head.is_empty() || head.ends_with('/') => (head.trim_end_matches('/'), true),
            _ => (text, false),
        };
        let mut parts: Vec<Part> = if head.is_empty() {
            Vec::new()
        } else {
            head.splitn(3, '/').map(|part| Part::parse(part).ok_or_else(wrong)).collect::<Result<_, _>>()?
        };
        if open {
            parts.resize(3, Part::Anything);
        }
        if parts.len() == 3 { Ok(Self { text: text.to_owned(), parts }) } else { Err(wrong()) }
    }
}

impl TryFrom<String> for ChannelPattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, PatternError> {
        text.parse()
    }
}

impl From<ChannelPattern> for String {
    fn from(pattern: ChannelPattern) -> Self {
        pattern.text
    }
}

impl fmt::Display for ChannelPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What a principal may do on which channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permissions {
    /// Everything everywhere.
    All,
    /// What one of the grants gives, and nothing else.
    Only(Arc<[Grant]>),
}

impl Permissions {
    /// Permits nothing.
    pub fn none() -> Self {
        Self::Only(Arc::new([]))
    }

    /// Tells whether `verb` is permitted on `channel`.
    pub fn allow(&self, verb: Verb, channel: &ChannelName) -> bool {
        match self {
            Self::All => true,
            Self::Only(grants) => {
                grants.iter().any(|grant| grant.verbs.contains(&verb) && grant.channels.covers(channel))
            }
        }
    }
}

/// A verified peer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Principal {
    /// The account that the peer acts for.
    pub account: Arc<str>,
    /// What the peer may do.
    pub permissions: Permissions,
    /// When the peer's credentials expire; `None` is never.
    pub expires: Option<SystemTime>,
    /// When the peer's credentials were issued; `None` is always.
    pub issued: Option<SystemTime>,
    /// The id of the peer's token, by which it can be revoked.
    pub token: Option<Arc<str>>,
    /// The id of the API key that the peer's token was made with, by which it can be revoked.
    pub key: Option<Arc<str>>,
    /// The account's plan. What the account sends is metered if it has one.
    pub plan: Option<Arc<str>>,
}

impl Principal {
    /// Makes a principal that never expires.
    pub fn new(account: impl Into<Arc<str>>, permissions: Permissions) -> Self {
        let (expires, issued, token, key, plan) = Default::default();
        Self { account: account.into(), permissions, expires, issued, token, key, plan }
    }

    /// Sets when the credentials expire.
    pub fn with_expiry(mut self, expires: SystemTime) -> Self {
        self.expires = Some(expires);
        self
    }

    /// Sets when the credentials were issued.
    pub fn with_issue(mut self, issued: SystemTime) -> Self {
        self.issued = Some(issued);
        self
    }

    /// Sets the id of the API key.
    pub fn with_key(mut self, key: impl Into<Arc<str>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Sets the account's plan.
    pub fn with_plan(mut self, plan: impl Into<Arc<str>>) -> Self {
        self.plan = Some(plan.into());
        self
    }

    /// Sets the id of the token.
    pub fn with_token(mut self, token: impl Into<Arc<str>>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Tells whether the principal may do `verb` on `channel`.
    pub fn may(&self, verb: Verb, channel: &ChannelName) -> bool {
        self.permissions.allow(verb, channel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(pattern: &str, channel: [&str; 3]) -> bool {
        pattern.parse::<ChannelPattern>().expect(pattern).covers(&ChannelName::from_strings(channel))
    }

    #[test]
    fn patterns_cover_whole_parts_and_rests() {
        let channel = ["org", "ns", "room-1"];
        for pattern in ["**", "org/**", "org/ns/**", "*/*/*", "org/*/room-1", "org/ns/room-1"] {
            assert!(covers(pattern, channel), "{pattern}");
        }
        for pattern in ["other/**", "org/ns/room", "org/ns/room-12", "o/**", "*/*/x"] {
            assert!(!covers(pattern, channel), "{pattern}");
        }
    }

    #[test]
    fn a_slash_inside_a_component_does_not_leave_its_part() {
        assert!(!covers("org/ns/**", ["org/ns", "x", "y"]));
        assert!(covers("org/ns/*", ["org", "ns", "a/b"]));
    }

    #[test]
    fn channels_known_by_hash_match_exact_parts() {
        let channel =
            ChannelName::from_components(ChannelName::from_strings(["org", "ns", "app"]).components());
        for (pattern, covered) in
            [("**", true), ("org/ns/app", true), ("org/*/app", true), ("org/ns/other", false)]
        {
            assert_eq!(
                pattern.parse::<ChannelPattern>().expect(pattern).covers(&channel),
                covered,
                "{pattern}"
            );
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "a", "a/b", "a//c", "a/**/c", "a/b*c/d", "org/ns/room-*", "***"] {
            assert!(text.parse::<ChannelPattern>().is_err(), "{text}");
        }
    }

    #[test]
    fn permissions_are_denied_unless_granted() {
        let channel = ChannelName::from_strings(["org", "ns", "app"]);
        let grant = Grant { channels: "org/ns/*".parse().expect("valid"), verbs: vec![Verb::Subscribe] };
        let permissions = Permissions::Only([grant].into());
        assert!(permissions.allow(Verb::Subscribe, &channel));
        assert!(!permissions.allow(Verb::Publish, &channel));
        assert!(!Permissions::none().allow(Verb::Subscribe, &channel));
    }
}
