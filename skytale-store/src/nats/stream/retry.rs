//! Requests that are sent again until they are answered.

use std::future::Future;
use std::time::Duration;

use crate::error::{BoxError, Result, StoreError};

/// How long one request may take before it is sent again.
pub(crate) const TRY: Duration = Duration::from_secs(1);

/// How long to wait after a failed request.
pub(crate) const PAUSE: Duration = Duration::from_millis(50);

/// Asks until there is an answer, for at most so long.
///
/// # Errors
///
/// [`StoreError::Unavailable`] with why the last try failed.
pub(crate) async fn persist<T, F>(limit: Duration, ask: impl Fn() -> F) -> Result<T>
where
    F: Future<Output = Result<T, BoxError>>,
{
    let mut why = BoxError::from("NATS did not answer in time");
    let asking = async {
        loop {
            match tokio::time::timeout(TRY, ask()).await {
                Ok(Ok(answer)) => return answer,
                Ok(Err(error)) => why = error,
                Err(_) => {}
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    let answer = tokio::time::timeout(limit, asking).await;
    answer.map_err(|_| StoreError::unavailable(why))
}
