//! Notifies followers of new records: of appends by this process, and of those by others through LISTEN.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::watch;

/// PostgreSQL's name for our notifications.
pub(crate) const PG_CHANNEL: &str = "skytale_appended";

/// How long a follower trusts that it would have been woken.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// How long to wait before listening again after the connection broke.
const RETRY: Duration = Duration::from_secs(1);

/// Wakes the followers of channels that have grown. A wake-up is a hint, never data.
#[derive(Clone, Debug, Default)]
pub(crate) struct AppendNotifier(Arc<Mutex<Followed>>);

/// The channels that somebody follows.
type Followed = HashMap<[u64; 3], Followers>;

#[derive(Debug, Default)]
struct Followers {
    count: usize,
    wakes: watch::Sender<()>,
}

/// One follower's wake-ups.
#[derive(Debug)]
pub(crate) struct AppendListener {
    notifier: AppendNotifier,
    components: [u64; 3],
    wakes: watch::Receiver<()>,
}

impl AppendNotifier {
    pub fn subscribe(&self, components: [u64; 3]) -> AppendListener {
        let mut followed = self.followed();
        let followers = followed.entry(components).or_default();
        followers.count += 1;
        AppendListener { notifier: self.clone(), components, wakes: followers.wakes.subscribe() }
    }

    pub fn wake(&self, components: [u64; 3]) {
        if let Some(followers) = self.followed().get(&components) {
            followers.wakes.send_replace(());
        }
    }

    fn wake_all(&self) {
        for followers in self.followed().values() {
            followers.wakes.send_replace(());
        }
    }

    fn followed(&self) -> MutexGuard<'_, Followed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AppendListener {
    /// Waits until the channel has grown since the last time, or long enough that it may have grown unnoticed.
    pub async fn wait(&mut self) {
        let _ = tokio::time::timeout(POLL_INTERVAL, self.wakes.changed()).await;
    }
}

impl Drop for AppendListener {
    fn drop(&mut self) {
        let mut followed = self.notifier.followed();
        let Some(followers) = followed.get_mut(&self.components) else { return };
        followers.count -= 1;
        if followers.count == 0 {
            followed.remove(&self.components);
        }
    }
}

/// Listens until the pool closes.
pub(crate) fn start(pool: PgPool) -> AppendNotifier {
    let notifier = AppendNotifier::default();
    let wakes = notifier.clone();
    tokio::spawn(async move {
        while !pool.is_closed() {
            if let Err(error) = listen(&pool, &wakes).await {
                tracing::warn!(%error, "not listening for appends of other processes; followers poll");
                tokio::time::sleep(RETRY).await;
            }
        }
    });
    notifier
}

async fn listen(pool: &PgPool, notifier: &AppendNotifier) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(PG_CHANNEL).await?;
    // What was appended while nobody listened woke nobody.
    notifier.wake_all();
    loop {
        match listener.try_recv().await? {
            Some(notification) => {
                parse(notification.payload()).into_iter().for_each(|channel| notifier.wake(channel))
            }
            // The connection was lost, and there is another one.
            None => notifier.wake_all(),
        }
    }
}

fn parse(payload: &str) -> Option<[u64; 3]> {
    let component = |index: usize| u64::from_str_radix(payload.get(index * 16..index * 16 + 16)?, 16).ok();
    Some([component(0)?, component(1)?, component(2)?])
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_follower_is_woken_by_its_own_channel_and_no_wake_is_lost() {
        let notifier = AppendNotifier::default();
        let (mut first, mut second) = (notifier.subscribe([1; 3]), notifier.subscribe([2; 3]));
        notifier.wake([1; 3]);
        notifier.wake([1; 3]);
        assert!(first.wait().now_or_never().is_some(), "woken before it waited");
        assert!(first.wait().now_or_never().is_none(), "two wakes are one");
        assert!(second.wait().now_or_never().is_none(), "another one's channel");
        notifier.wake_all();
        assert!(first.wait().now_or_never().is_some() && second.wait().now_or_never().is_some());
    }

    #[test]
    fn what_nobody_follows_is_forgotten() {
        let notifier = AppendNotifier::default();
        let (first, other) = (notifier.subscribe([1; 3]), notifier.subscribe([1; 3]));
        drop(first);
        assert_eq!(notifier.followed().len(), 1);
        drop(other);
        assert!(notifier.followed().is_empty());
    }
}
