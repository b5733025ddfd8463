//! Noticing that a channel has grown: by our own appends, and by those of other processes through LISTEN.

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::broadcast;

/// PostgreSQL's name for our notifications.
pub(super) const PG_CHANNEL: &str = "skytale_appended";

/// How long a follower trusts that it would have been woken.
pub(super) const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// How long to wait before listening again after the connection broke.
const RETRY: Duration = Duration::from_secs(1);

/// Wakes followers with the components of channels that have grown. A wake-up is a hint, never data.
#[derive(Clone, Debug)]
pub(super) struct Grown(broadcast::Sender<[u64; 3]>);

impl Default for Grown {
    fn default() -> Self {
        Self(broadcast::Sender::new(1024))
    }
}

impl Grown {
    pub fn subscribe(&self) -> broadcast::Receiver<[u64; 3]> {
        self.0.subscribe()
    }

    pub fn wake(&self, components: [u64; 3]) {
        let _ = self.0.send(components);
    }
}

/// Listens until the pool closes.
pub(super) fn start(pool: PgPool) -> Grown {
    let grown = Grown::default();
    let wakes = grown.clone();
    tokio::spawn(async move {
        while !pool.is_closed() {
            if let Err(error) = listen(&pool, &wakes).await {
                tracing::warn!(%error, "not listening for appends of other processes; followers poll");
                tokio::time::sleep(RETRY).await;
            }
        }
    });
    grown
}

async fn listen(pool: &PgPool, grown: &Grown) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(PG_CHANNEL).await?;
    loop {
        if let Some(notification) = listener.try_recv().await?
            && let Some(components) = parse(notification.payload())
        {
            grown.wake(components);
        }
    }
}

fn parse(payload: &str) -> Option<[u64; 3]> {
    let component = |index: usize| u64::from_str_radix(payload.get(index * 16..index * 16 + 16)?, 16).ok();
    Some([component(0)?, component(1)?, component(2)?])
}
