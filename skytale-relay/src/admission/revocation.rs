//! Revocation of tokens before they expire.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use skytale_core::{Clock, Principal, SystemClock, clock};
use skytale_store::{Accounts, Revocation, Revoked};
use tokio::sync::watch;

/// What was revoked. Clones share it; a relay that is given one ends the sessions that it covers, and admits no others.
#[derive(Clone, Debug)]
pub struct Revocations {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct Shared {
    known: Mutex<HashMap<Revoked, SystemTime>>,
    changed: watch::Sender<()>,
    /// When the store was last asked; `None` while nobody follows one.
    asked: Mutex<Option<Instant>>,
}

/// How far back the store is asked again, for what another clock, or a slow transaction, has let through late.
const OVERLAP: Duration = Duration::from_secs(60);

/// How long what is known may be old before new sessions are refused.
const STALE: Duration = Duration::from_secs(60);

/// How long a revocation is remembered: no token lives longer.
const REMEMBERED: Duration = Duration::from_secs(2 * 86_400);

impl Default for Revocations {
    fn default() -> Self {
        Self::new()
    }
}

impl Revocations {
    /// Makes it, with nothing revoked.
    pub fn new() -> Self {
        let changed = watch::Sender::new(());
        let shared = Arc::new(Shared { known: Mutex::default(), changed, asked: Mutex::default() });
        Self { shared, clock: Arc::new(SystemClock) }
    }

    /// Sets the clock by which revocations, and the store's last answer, grow old. Default: the system's.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Adds a revocation.
    pub fn add(&self, revocation: Revocation) {
        let mut known = self.shared.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Revocation { subject, at } = revocation;
        if known.get(&subject).is_none_or(|before| *before < at) {
            known.insert(subject, at);
            drop(known);
            self.shared.changed.send_replace(());
        }
    }

    /// Takes over what is revoked in a store, asking it again and again; never ends.
    ///
    /// While the store has not answered for a minute, no sessions are admitted.
    pub async fn follow(self, accounts: Arc<dyn Accounts>, every: Duration) {
        let mut since = self.clock.now() - REMEMBERED;
        *self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.clock.instant());
        loop {
            let asked = (self.clock.instant(), self.clock.now());
            match accounts.revocations(since).await {
                Ok(revocations) => {
                    revocations.into_iter().for_each(|revocation| self.add(revocation));
                    *self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(asked.0);
                    since = asked.1 - OVERLAP;
                    self.forget(asked.1 - REMEMBERED);
                }
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "revocations could not be read"
                    );
                }
            }
            clock::sleep(&*self.clock, every, tokio::time::sleep).await;
        }
    }

    /// Tells whether a principal's token is void.
    pub fn cover(&self, principal: &Principal) -> bool {
        let known = self.shared.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_void = |subject: Revoked| {
            let until = known.get(&subject);
            until.is_some_and(|until| principal.issued.is_none_or(|issued| issued <= *until))
        };
        !known.is_empty()
            && (is_void(Revoked::Account(principal.account.to_string()))
                || principal.key.as_ref().is_some_and(|key| is_void(Revoked::Key(key.to_string())))
                || principal.token.as_ref().is_some_and(|token| is_void(Revoked::Token(token.to_string()))))
    }

    /// Tells whether what is known is too old to admit anybody.
    pub(crate) fn are_stale(&self) -> bool {
        let asked = self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.is_some_and(|asked| self.clock.instant().saturating_duration_since(asked) > STALE)
    }

    /// Watches for what is added.
    pub(crate) fn watch(&self) -> watch::Receiver<()> {
        self.shared.changed.subscribe()
    }

    fn forget(&self, before: SystemTime) {
        let mut known = self.shared.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, at| *at >= before);
    }
}

#[cfg(test)]
mod tests {
    use skytale_core::Permissions;

    use super::*;

    #[test]
    fn tokens_of_before_are_void_and_later_ones_are_not() {
        let revocations = Revocations::new();
        let at = SystemTime::now();
        let principal = |issued| {
            let principal = Principal::new("acme", Permissions::All).with_key("k1").with_token("t1");
            principal.with_issue(issued)
        };
        let (before, after) = (principal(at), principal(at + Duration::from_secs(1)));
        assert!(!revocations.cover(&before));
        for subject in
            [Revoked::Account("acme".into()), Revoked::Key("k1".into()), Revoked::Token("t1".into())]
        {
            let revocations = Revocations::new();
            revocations.add(Revocation { subject, at });
            assert!(revocations.cover(&before));
            assert!(!revocations.cover(&after));
        }
        revocations.add(Revocation { subject: Revoked::Key("k2".into()), at });
        assert!(!revocations.cover(&before));
    }
}
