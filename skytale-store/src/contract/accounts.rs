//! Accounts, their API keys, and revocations.

use std::fmt;
use std::time::SystemTime;

use async_trait::async_trait;

use crate::error::Result;

/// Keeps accounts and API keys, and what relays must no longer accept.
///
/// Ids are chosen by the caller, unique, and never used again. A key is kept as a digest, never as itself. Every change
/// is as durable as the store's appends.
#[async_trait]
pub trait Accounts: fmt::Debug + Send + Sync + 'static {
    /// Creates an account together with its first key: both, or none.
    async fn create_account(&self, account: Account, key: ApiKey) -> Result<()>;

    /// Returns an account that is open.
    async fn account(&self, id: &str) -> Result<Option<Account>>;

    /// Renames an account; `false` where there is none that is open.
    async fn rename_account(&self, id: &str, name: &str) -> Result<bool>;

    /// Moves an account to another plan; `false` where there is none that is open.
    async fn set_plan(&self, id: &str, plan: &str) -> Result<bool>;

    /// Closes an account, and with it every key it has; `false` where there is none that is open.
    async fn close_account(&self, id: &str) -> Result<bool>;

    /// Adds a key to an account; `false` where the account is not open.
    async fn add_key(&self, key: ApiKey) -> Result<bool>;

    /// Returns a key that was not revoked and whose account is open; it may have expired.
    async fn key(&self, id: &str) -> Result<Option<ApiKey>>;

    /// Returns the keys of an account that were not revoked, newest first.
    async fn keys(&self, account: &str) -> Result<Vec<ApiKey>>;

    /// Notes when a key was last used.
    async fn use_key(&self, id: &str, at: SystemTime) -> Result<()>;

    /// Sets when a key of an account expires; `false` where the account has no such key, or it was revoked.
    async fn expire_key(&self, account: &str, id: &str, at: SystemTime) -> Result<bool>;

    /// Revokes a key of an account; `false` where the account has no such key, or it was revoked.
    async fn revoke_key(&self, account: &str, id: &str) -> Result<bool>;

    /// Notes a revocation, for every relay over this store. A repetition moves its time forward.
    async fn revoke(&self, revocation: Revocation) -> Result<()>;

    /// Returns until when a subject was revoked.
    async fn revocation(&self, subject: &Revoked) -> Result<Option<SystemTime>>;

    /// Returns what was revoked at `since` or later.
    async fn revocations(&self, since: SystemTime) -> Result<Vec<Revocation>>;

    /// Forgets what was revoked before a time, when every token it was meant for has expired; returns how many.
    async fn forget_revocations(&self, before: SystemTime) -> Result<u64>;
}

/// An account, which owns API keys and channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub id: String,
    /// Where its owner is reached; not verified, not unique, and nobody else is told.
    pub email: String,
    /// What it is called.
    pub name: String,
    /// The word of its plan.
    pub plan: String,
    /// When it was created, to the millisecond.
    pub created_at: SystemTime,
}

/// An API key, without the key itself.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id, which is part of the key.
    pub id: String,
    /// Whose it is.
    pub account: String,
    /// How it begins, to be recognised by.
    pub prefix: String,
    /// What it is called.
    pub name: String,
    /// The keyed digest by which the key is recognised.
    pub digest: [u8; 32],
    /// What its tokens may do, in the words of the API; `None` is all that its account may.
    pub scopes: Option<String>,
    /// When it was created, to the millisecond.
    pub created_at: SystemTime,
    /// When it expires; `None` is never.
    pub expires_at: Option<SystemTime>,
    /// When it was last used.
    pub last_used_at: Option<SystemTime>,
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey").field("id", &self.id).field("account", &self.account).finish_non_exhaustive()
    }
}

/// Makes void every token of a subject that was issued until a time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Revocation {
    /// What the tokens have in common.
    pub subject: Revoked,
    /// Tokens issued until then are void, and sessions that were opened with them.
    pub at: SystemTime,
}

/// The subject of a revocation: tokens of one account, one key or one id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Revoked {
    /// The account, by its id.
    Account(String),
    /// The API key they were made with, by its id.
    Key(String),
    /// The token's own id.
    Token(String),
}

impl Revoked {
    /// Returns the word by which the kind is stored.
    #[cfg(feature = "sql")]
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Account(_) => "account",
            Self::Key(_) => "key",
            Self::Token(_) => "token",
        }
    }

    /// Returns the id.
    pub fn id(&self) -> &str {
        match self {
            Self::Account(id) | Self::Key(id) | Self::Token(id) => id,
        }
    }

    /// Restores what was stored.
    #[cfg(feature = "sql")]
    pub(crate) fn from_word(word: &str, id: String) -> Option<Self> {
        Some(match word {
            "account" => Self::Account(id),
            "key" => Self::Key(id),
            "token" => Self::Token(id),
            _ => return None,
        })
    }
}
