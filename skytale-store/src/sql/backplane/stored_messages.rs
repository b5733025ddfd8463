//! The table of messages that do not fit in a notification, or are for one relay only.

use std::collections::HashMap;

use bytes::Bytes;
use futures::FutureExt;
use sqlx::Row;

use super::connection::ReconnectingConnection;
use super::notification::MessageKey;
use crate::contract::backplane::Delivery;
use crate::error::{Result, StoreError};

/// Keeps messages and sends notifications, in their order, in one transaction.
const SEND: &str = "WITH kept AS (INSERT INTO parcels (sender, number, body) \
    SELECT $1, number, body FROM unnest($2::bigint[], $3::bytea[]) AS given (number, body)) \
    SELECT pg_notify(bucket, notice) FROM unnest($4::text[], $5::text[]) AS given (bucket, notice)";

const READ: &str = "SELECT parcels.sender, parcels.number, parcels.body FROM parcels \
    JOIN unnest($1::bigint[], $2::bigint[]) AS wanted (sender, number) USING (sender, number)";

/// Takes what nobody else is taking.
const TAKE: &str = "WITH free AS MATERIALIZED (SELECT sender, number FROM parcels \
    JOIN unnest($1::bigint[], $2::bigint[]) AS wanted (sender, number) USING (sender, number) \
    FOR UPDATE OF parcels SKIP LOCKED) \
    DELETE FROM parcels USING free WHERE parcels.sender = free.sender AND parcels.number = free.number \
    RETURNING parcels.sender, parcels.number, parcels.body";

/// For how long a message can be fetched.
const SWEEP: &str = "DELETE FROM parcels WHERE sent_at < now() - interval '1 minute'";

/// Messages and notifications of one transaction.
#[derive(Default)]
pub(super) struct MessageBatch {
    pub numbers: Vec<i64>,
    pub bodies: Vec<Bytes>,
    pub buckets: Vec<String>,
    pub notices: Vec<String>,
}

impl ReconnectingConnection {
    pub async fn send_messages(&mut self, sender: i64, batch: MessageBatch) -> Result<()> {
        let MessageBatch { numbers, bodies, buckets, notices } = batch;
        let done = self.work(|connection| {
            let send = async move {
                let bodies: Vec<&[u8]> = bodies.iter().map(|body| &body[..]).collect();
                let send =
                    sqlx::query(SEND).bind(sender).bind(numbers).bind(bodies).bind(buckets).bind(notices);
                send.execute(connection).await
            };
            send.boxed()
        });
        done.await.map(drop)
    }

    /// Reads messages for all, or takes those for one; those that are gone or another's are left out.
    pub async fn fetch_messages(
        &mut self,
        delivery: Delivery,
        ids: Vec<MessageKey>,
    ) -> Result<HashMap<MessageKey, Bytes>> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let sql = if delivery == Delivery::All { READ } else { TAKE };
        let (senders, numbers): (Vec<_>, Vec<_>) = ids.iter().map(|id| (id.sender, id.number)).unzip();
        let fetch = sqlx::query(sql).bind(senders).bind(numbers);
        let rows = self.work(|connection| fetch.fetch_all(connection).boxed()).await?;
        let read = |row: &sqlx::postgres::PgRow| {
            let id = MessageKey { sender: row.try_get(0)?, number: row.try_get(1)? };
            Ok((id, Bytes::from(row.try_get::<Vec<u8>, _>(2)?)))
        };
        rows.iter().map(read).collect::<sqlx::Result<_>>().map_err(StoreError::unavailable)
    }

    /// Deletes messages that are too old to be fetched, whoever sent them.
    pub async fn delete_old_messages(&mut self) -> Result<()> {
        let sweep = self.work(|connection| sqlx::query(SWEEP).execute(connection).boxed());
        sweep.await.map(drop)
    }
}
