//! Waiting for a condition instead of a time.

use std::time::Duration;

/// How long between two looks.
const INTERVAL: Duration = Duration::from_millis(5);

/// Waits until a condition holds.
///
/// # Panics
///
/// If it does not hold in time; `what` names it then.
pub async fn eventually(within: Duration, what: &str, mut condition: impl AsyncFnMut() -> bool) {
    obtain(within, what, async || condition().await.then_some(())).await;
}

/// Waits until something is there, and returns it.
///
/// # Panics
///
/// If it is not there in time; `what` names it then.
pub async fn obtain<T>(within: Duration, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            match look().await {
                Some(found) => return found,
                None => tokio::time::sleep(INTERVAL).await,
            }
        }
    };
    tokio::time::timeout(within, looking).await.unwrap_or_else(|_| panic!("not within {within:?}: {what}"))
}
