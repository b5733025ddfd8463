//! What can go wrong, by what the caller can do about it.

use std::error::Error as StdError;
use std::time::Duration;

use skytale_core::extension::Code;
use thiserror::Error;

type Cause = Box<dyn StdError + Send + Sync>;

/// What can go wrong.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// Something that the caller gave cannot be used.
    #[error("{what}")]
    Configuration {
        /// What is wrong, and what would be right.
        what: String,
    },
    /// Another process has the state open.
    #[error("{path} is in use by {holder}: give each agent a directory of its own, or end that process")]
    StateInUse {
        /// The directory.
        path: String,
        /// Who has it.
        holder: String,
    },
    /// The state could not be read or written.
    #[error("the agent's state cannot be used: {source}")]
    State {
        /// Why.
        source: Cause,
    },
    /// The relay cannot be reached.
    #[error("the relay at {relay} cannot be reached: {source}")]
    Unreachable {
        /// Its address.
        relay: String,
        /// Why.
        source: Cause,
    },
    /// The credentials were not accepted, or do not permit what was asked.
    #[error("not authorized: {reason}")]
    NotAuthorized {
        /// What the relay or the API said.
        reason: String,
    },
    /// The API server refused a request.
    #[error("{reason}")]
    ApiRefused {
        /// The HTTP status.
        status: u16,
        /// What the API server said.
        reason: String,
    },
    /// The relay refused a request.
    #[error("the relay refused ({code}): {reason}")]
    Refused {
        /// The relay's code, as in `skytale.native.v1.Code`.
        code: &'static str,
        /// What the relay said.
        reason: String,
        /// When it is worth trying again.
        retry_after: Option<Duration>,
    },
    /// The channel has a group already.
    #[error("{channel} exists already: join it, or choose another name")]
    ChannelExists {
        /// The channel.
        channel: String,
    },
    /// The agent is not, or no longer, a member of the channel.
    #[error("this agent is not a member of {channel}: ask a member to add it, then join")]
    NotAMember {
        /// The channel.
        channel: String,
    },
    /// An agent that is to be added has left no usable key package.
    #[error("{agent} has left no usable key package: it has to connect once ({reason})")]
    NoKeyPackage {
        /// The agent.
        agent: String,
        /// What is missing or wrong.
        reason: String,
    },
    /// A message is too long.
    #[error("a message has at most {allowed} bytes; this one has {found}")]
    TooLarge {
        /// Its length.
        found: usize,
        /// What is allowed.
        allowed: usize,
    },
    /// A change of the group lost against others' changes too often.
    #[error(
        "the change lost against {attempts} other commits in a row, the last one at {winner}: try again later"
    )]
    Conflict {
        /// How often it was tried.
        attempts: u32,
        /// The sequence number of the commit that won last.
        winner: u64,
    },
    /// MLS failed: a key package, Welcome or group cannot be used.
    #[error("MLS: {source}")]
    Mls {
        /// Why.
        source: Cause,
    },
    /// The client or channel was closed.
    #[error("the client was closed")]
    Closed,
}

/// What a fallible call of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Tells whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Conflict { .. } => true,
            Self::Refused { retry_after, code, .. } => retry_after.is_some() || *code == "UNAVAILABLE",
            _ => false,
        }
    }

    /// Returns a word for the kind of the error, which never changes.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Configuration { .. } => "configuration",
            Self::StateInUse { .. } => "state_in_use",
            Self::State { .. } => "state",
            Self::Unreachable { .. } => "unreachable",
            Self::NotAuthorized { .. } => "not_authorized",
            Self::ApiRefused { .. } => "api_refused",
            Self::Refused { .. } => "refused",
            Self::ChannelExists { .. } => "channel_exists",
            Self::NotAMember { .. } => "not_a_member",
            Self::NoKeyPackage { .. } => "no_key_package",
            Self::TooLarge { .. } => "too_large",
            Self::Conflict { .. } => "conflict",
            Self::Mls { .. } => "mls",
            Self::Closed => "closed",
        }
    }

    pub(crate) fn configuration(what: impl Into<String>) -> Self {
        Self::Configuration { what: what.into() }
    }

    pub(crate) fn no_token(source: impl Into<Cause>) -> Self {
        Self::Unreachable { relay: "whoever issues tokens".to_owned(), source: source.into() }
    }

    pub(crate) fn needs_api_key() -> Self {
        Self::configuration("this needs an API key: give the client `Credentials::api_key`")
    }

    pub(crate) fn state(source: impl Into<Cause>) -> Self {
        Self::State { source: source.into() }
    }

    pub(crate) fn corrupt(what: &str) -> Self {
        Self::state(format!("{what} is damaged, or was written with another key"))
    }

    pub(crate) fn mls(source: impl StdError + Send + Sync + 'static) -> Self {
        Self::Mls { source: Box::new(source) }
    }

    pub(crate) fn not_mls(what: &str) -> Self {
        Self::Mls { source: what.into() }
    }

    pub(crate) fn not_a_member(channel: &skytale_core::ChannelName) -> Self {
        Self::NotAMember { channel: channel.to_string() }
    }

    /// Makes the error of a relay's refusal.
    pub(crate) fn refused(refused: skytale_core::extension::Refused) -> Self {
        let code = Code::try_from(refused.code).unwrap_or(Code::Unspecified);
        if code == Code::NotAuthorized {
            return Self::NotAuthorized { reason: refused.text };
        }
        let code = code.as_str_name();
        let retry_after = Some(refused.retry_after_ms).filter(|ms| *ms > 0).map(Duration::from_millis);
        Self::Refused { code: code.strip_prefix("CODE_").unwrap_or(code), reason: refused.text, retry_after }
    }
}
