//! The key packages that an agent keeps at the relay, so that others can add it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use skytale_core::clock::{self, seconds};

use super::Hints;
use crate::backoff::Backoff;
use crate::client::Inner;
use crate::crash;
use crate::error::{Error, Result};
use crate::group::key_package::{KeyPackages, Uses};
use crate::machine::effects::{Change, Kind};
use crate::machine::stored::{ONLY, Stored};
use crate::state::AGENT;

/// How long a key package of last resort, which others may use again and again, is left at the relay.
const LAST_RESORT_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// How long key packages are left at the relay; a third of the time for which they can be used, so that nobody is given one
/// that has hardly any of it left.
const STOCK_LIFE: Duration = Duration::from_secs(28 * 24 * 60 * 60);

/// How many key packages are made and left at once.
const BATCH: u32 = 25;

/// By which refusals a relay says that it keeps none of an upload; after others it may.
const KEPT_NOTHING: [&str; 3] = ["INVALID", "NOT_MLS", "TOO_LARGE"];

impl Inner {
    /// Keeps enough key packages at the relay, as long as the client lives.
    pub async fn keep_filled(client: Weak<Self>, hints: Arc<Hints>) {
        let mut renewed: Option<Instant> = None;
        let mut backoff = Backoff::default();
        while let Some(client) = client.upgrade() {
            let clock = client.clock.clone();
            let is_old = |renewed| clock.instant().saturating_duration_since(renewed) >= LAST_RESORT_LIFE;
            let last_resort = renewed.is_none_or(is_old);
            let filled = client.fill_stock(last_resort).await;
            if filled.is_ok() {
                client.stocked.send_replace(true);
            }
            drop(client);
            match filled {
                Ok(()) => {
                    backoff.reset();
                    renewed = renewed.filter(|_| !last_resort).or_else(|| Some(clock.instant()));
                    let life = clock::sleep(&*clock, LAST_RESORT_LIFE, tokio::time::sleep);
                    tokio::select! {
                        () = hints.stock.notified() => {}
                        () = life => {}
                    }
                }
                Err(error) => {
                    log(&error);
                    tokio::time::sleep(backoff.next()).await;
                }
            }
        }
    }

    /// Leaves key packages until the relay has as many as it keeps, or as this agent wants to leave. Their private halves
    /// are stored before anybody can use them.
    async fn fill_stock(&self, last_resort: bool) -> Result<()> {
        let (now, since) = (self.clock.now(), self.stocked_since.load(Ordering::Relaxed));
        // From 0 it is always long enough.
        let replace = seconds(now).saturating_sub(since) >= STOCK_LIFE.as_secs();
        let there = self.directory.stock(replace).await?;
        if replace {
            self.note_stocked(now).await?;
        }
        let mut left = there.wanted.min(self.key_packages.saturating_sub(there.left));
        let mut reserve = last_resort.then_some(());
        while left > 0 || reserve.is_some() {
            let mut stock = self.stock.lock().await;
            let count = left.min(BATCH);
            let mut made = Vec::new();
            for _ in 0..count {
                made.push(Bytes::from(stock.generate(&self.identity, self.suite, Uses::Once, now)?));
            }
            let reserve =
                reserve.take().map(|()| stock.generate(&self.identity, self.suite, Uses::LastResort, now));
            let reserve = reserve.transpose()?.map(Bytes::from);
            let changes = key_package_changes(&mut stock);
            self.records.commit(vec![(AGENT.to_owned(), changes)]).await?;
            drop(stock);
            crash::point("before-upload");
            let uploaded = self.directory.upload(made.clone(), reserve.clone()).await;
            if matches!(uploaded, Err(Error::Refused { code, .. }) if KEPT_NOTHING.contains(&code)) {
                // Without this, each try would leave some in the state for good.
                made.extend(reserve);
                self.forget(&made).await?;
            }
            uploaded?;
            left -= count;
        }
        Ok(())
    }

    async fn forget(&self, unkept: &[Bytes]) -> Result<()> {
        let mut stock = self.stock.lock().await;
        stock.forget(unkept)?;
        let changes = key_package_changes(&mut stock);
        self.records.commit(vec![(AGENT.to_owned(), changes)]).await
    }

    /// Notes that what is left at the relay from now on is all that it has, and forgets what nobody can use any more.
    async fn note_stocked(&self, now: SystemTime) -> Result<()> {
        let mut stock = self.stock.lock().await;
        stock.forget_expired(now)?;
        let mut changes = key_package_changes(&mut stock);
        changes.push(Change::Delete { kind: Kind::Doubt, key: ONLY.to_vec() });
        let value = seconds(now).to_be_bytes().to_vec();
        changes.push(Change::Put { kind: Kind::Stocked, key: ONLY.to_vec(), value });
        self.records.commit(vec![(AGENT.to_owned(), changes)]).await?;
        self.stocked_since.store(seconds(now), Ordering::Relaxed);
        Ok(())
    }
}

/// Only what the relay refuses needs somebody to act.
fn log(error: &Error) {
    let cause = error as &dyn std::error::Error;
    match error {
        Error::Refused { .. } => tracing::warn!(error = cause, "nobody can add this agent"),
        _ => tracing::debug!(error = cause, "no key packages were left"),
    }
}

/// Returns since when all key packages at the relay are of a state, in seconds since 1970; 0 where that is not certain.
pub(crate) fn since(stored: &Stored) -> u64 {
    let noted = stored.get(&Kind::Stocked).and_then(|records| records.get(ONLY)?.as_slice().try_into().ok());
    noted.filter(|_| !stored.contains_key(&Kind::Doubt)).map_or(0, u64::from_be_bytes)
}

/// Returns what has changed of the key packages, to be stored.
pub(crate) fn key_package_changes(stock: &mut KeyPackages) -> Vec<Change> {
    let change = |(key, value)| match value {
        Some(value) => Change::Put { kind: Kind::KeyPackage, key, value },
        None => Change::Delete { kind: Kind::KeyPackage, key },
    };
    stock.take_changes().into_iter().map(change).collect()
}

#[cfg(all(test, feature = "local"))]
mod tests {
    use std::sync::atomic::AtomicU32;

    use skytale_core::ChannelName;
    use skytale_store::KeyPackageDirectory;

    use super::*;
    use crate::client::Client;
    use crate::connection::local::LocalRelay;
    use crate::state::location::StateStore;

    const BOB: &str = "globex/agents/bob";

    /// Runs Bob until he has left key packages, and returns how many the relay has.
    async fn leave(relay: &LocalRelay, state: &std::path::Path, count: u32) -> (Client, u32) {
        let bob = relay.agent(BOB).with_state(StateStore::directory(state)).with_key_packages(count);
        let bob = bob.start().await.expect("starts");
        bob.wait_until_addable().await.expect("left");
        let held = relay.store().count_key_packages(bob.name()).await.expect("counted");
        (bob, held)
    }

    #[tokio::test]
    async fn key_packages_that_the_relay_refuses_leave_nothing() {
        let tries = Arc::new(AtomicU32::new(0));
        let seen = tries.clone();
        let relay = LocalRelay::with(|relay| {
            relay.with_key_package_validator(move |_: &[u8], _: &ChannelName| {
                match seen.fetch_add(1, Ordering::SeqCst) {
                    0..3 => Err("the clock is wrong".to_owned()),
                    _ => Ok(()),
                }
            })
        });
        let state = tempfile::tempdir().expect("a directory");
        let (bob, held) = leave(&relay, state.path(), 5).await;
        assert_eq!((tries.load(Ordering::SeqCst), held), (3 + 6, 5), "five, and one of last resort");
        assert_eq!(bob.0.stock.lock().await.records().all().len(), 6);
        let stored = bob.0.records.load(AGENT).await.expect("read");
        assert_eq!(stored[&Kind::KeyPackage].len(), 6);
    }

    #[tokio::test]
    async fn key_packages_that_nobody_used_are_replaced_before_they_expire() {
        let (relay, directory) = (LocalRelay::start(), tempfile::tempdir().expect("a directory"));
        let (bob, held) = leave(&relay, directory.path(), 3).await;
        assert_eq!(held, 3);
        bob.close().await;
        let (bob, held) = leave(&relay, directory.path(), 1).await;
        assert_eq!(held, 3, "they are new enough");
        let then = seconds(SystemTime::now()) - STOCK_LIFE.as_secs();
        let value = then.to_be_bytes().to_vec();
        let aged = vec![Change::Put { kind: Kind::Stocked, key: ONLY.to_vec(), value }];
        bob.0.records.commit(vec![(AGENT.to_owned(), aged)]).await.expect("stored");
        bob.close().await;
        let (bob, held) = leave(&relay, directory.path(), 1).await;
        assert_eq!(held, 1, "all were replaced");
        bob.close().await;
        let (_, held) = leave(&relay, directory.path(), 2).await;
        assert_eq!(held, 2, "that was noted");
    }
}
