//! Usage in a SQL database.

use async_trait::async_trait;

use crate::contract::usage::{Day, DayUsage, Usage, Used};
use crate::error::Result;
use crate::sql::SqlStore;
use crate::sql::rows::column;

#[async_trait]
impl Usage for SqlStore {
    async fn count(&self, account: &str, day: Day, used: Used) -> Result<()> {
        self.execute(self.statements.add_usage(self.meter, account, day, used)).await.map(drop)
    }

    async fn usage(&self, account: &str, first: Day, last: Day) -> Result<Vec<DayUsage>> {
        let sql = "SELECT day, CAST(SUM(messages) AS BIGINT) AS messages, CAST(SUM(bytes) AS BIGINT) AS bytes, \
                   CAST(SUM(tokens) AS BIGINT) AS tokens \
                   FROM usage_days WHERE account = $1 AND day >= $2 AND day <= $3 GROUP BY day ORDER BY day";
        let days = [i64::from(first.0).into(), i64::from(last.0).into()];
        let rows = self.query_all(sql, std::iter::once(account.into()).chain(days)).await?;
        let read = |row: &_| {
            let number = |name| column::<i64>(row, name).map(|number| number as u64);
            let used =
                Used { messages: number("messages")?, bytes: number("bytes")?, tokens: number("tokens")? };
            Ok(DayUsage { day: Day(number("day")? as u32), used })
        };
        rows.iter().map(read).collect()
    }
}
