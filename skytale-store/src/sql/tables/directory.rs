//! Key packages and attachments in a SQL database.

use std::collections::HashSet;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use sea_orm::{ConnectionTrait, DbErr, QueryResult, TransactionTrait, Value};
use skytale_core::{ChannelName, SequenceNumber};

use crate::contract::directory::{
    Attachment, ClaimedKeyPackage, CommitAttachments, KeyPackageDirectory, MAX_GROUP_INFOS,
};
use crate::contract::record::MessageId;
use crate::error::{Result, StoreError};
use crate::sql::SqlStore;
use crate::sql::rows::column;
use crate::sql::statements::{components, key, millis};

/// In place of an agent's key, where a deposit is a GroupInfo.
const NO_AGENT: Vec<u8> = Vec::new();

impl SqlStore {
    async fn attachments(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<Attachment>> {
        self.query_all(sql, values).await?.iter().map(read_attachment).collect()
    }
}

fn read_attachment(row: &QueryResult) -> Result<Attachment> {
    let read = || -> Result<_, DbErr> {
        let (channel, name): (Vec<u8>, Option<String>) =
            (row.try_get("", "channel")?, row.try_get("", "name")?);
        let (commit, body): (Vec<u8>, Vec<u8>) = (row.try_get("", "commit_id")?, row.try_get("", "body")?);
        Ok((channel, name, commit, row.try_get::<Option<i64>>("", "accepted")?, body))
    };
    let (channel, name, commit, accepted, body) = read().map_err(StoreError::unavailable)?;
    let damaged = StoreError::Corrupt { what: "a deposit's keys" };
    let (Some(channel), Ok(commit)) = (components(&channel), commit.try_into()) else { return Err(damaged) };
    Ok(Attachment {
        channel: ChannelName::from_parts(channel, name.as_deref()),
        commit: MessageId(commit),
        accepted: accepted.map(|number| SequenceNumber(number as u64)),
        body: body.into(),
    })
}

#[async_trait]
impl KeyPackageDirectory for SqlStore {
    async fn add_key_packages(
        &self,
        agent: &ChannelName,
        key_packages: Vec<Bytes>,
        last_resort: Option<Bytes>,
    ) -> Result<u32> {
        let mut statements = Vec::new();
        if self.statements.is_postgres() {
            // Whoever leaves the same at the same time has to see it; SQLite has one writer.
            let lock = "SELECT pg_advisory_xact_lock(hashtextextended(encode($1, 'hex'), 0))";
            statements.push(self.statements.make(lock, [key(agent).into()]));
        }
        if last_resort.is_some() {
            let delete = "DELETE FROM key_packages WHERE agent = $1 AND last_resort = 1";
            statements.push(self.statements.make(delete, [key(agent).into()]));
        }
        let insert = "INSERT INTO key_packages (agent, last_resort, body) SELECT $1, $2, $3 WHERE NOT EXISTS \
                      (SELECT 1 FROM key_packages WHERE agent = $1 AND last_resort = $2 AND body = $3)";
        let all = key_packages.into_iter().map(|body| (0, body)).chain(last_resort.map(|body| (1, body)));
        statements.extend(all.map(|(last_resort, body)| {
            self.statements.make(insert, [key(agent).into(), last_resort.into(), body.to_vec().into()])
        }));
        self.change_all(statements).await?;
        self.count_key_packages(agent).await
    }

    async fn unheld_key_packages(&self, agent: &ChannelName, key_packages: Vec<Bytes>) -> Result<Vec<Bytes>> {
        if key_packages.is_empty() {
            return Ok(key_packages);
        }
        let sql = "SELECT body FROM key_packages WHERE agent = $1 AND last_resort = 0";
        let held = self.query_all(sql, [key(agent).into()]).await?;
        let held = held.iter().map(|row| column::<Vec<u8>>(row, "body").map(Bytes::from));
        let mut known = held.collect::<Result<HashSet<_>>>()?;
        Ok(key_packages.into_iter().filter(|one| known.insert(one.clone())).collect())
    }

    async fn count_key_packages(&self, agent: &ChannelName) -> Result<u32> {
        let sql = "SELECT COUNT(*) AS many FROM key_packages WHERE agent = $1 AND last_resort = 0";
        let row = self.query_one(sql, [key(agent).into()]).await?;
        let count: i64 = row.map_or(Ok(0), |row| row.try_get("", "many")).map_err(StoreError::unavailable)?;
        Ok(count as u32)
    }

    async fn drop_key_packages(&self, agent: &ChannelName) -> Result<()> {
        self.change("DELETE FROM key_packages WHERE agent = $1", [key(agent).into()]).await.map(drop)
    }

    async fn claim_key_package(&self, agent: &ChannelName) -> Result<Option<ClaimedKeyPackage>> {
        let lock = if self.statements.is_postgres() { " FOR UPDATE SKIP LOCKED" } else { "" };
        let take = format!(
            "DELETE FROM key_packages WHERE id = (SELECT id FROM key_packages WHERE agent = $1 AND \
             last_resort = 0 ORDER BY id LIMIT 1{lock}) RETURNING body"
        );
        let single_use = self.query_one(&take, [key(agent).into()]).await?;
        let is_last_resort = single_use.is_none();
        let key_package = match single_use {
            Some(row) => Some(column::<Vec<u8>>(&row, "body")?.into()),
            None => self.last_resort(agent).await?,
        };
        let Some(key_package) = key_package else { return Ok(None) };
        let left = self.count_key_packages(agent).await?;
        Ok(Some(ClaimedKeyPackage { key_package, is_last_resort, left }))
    }

    async fn last_resort(&self, agent: &ChannelName) -> Result<Option<Bytes>> {
        let sql = "SELECT body FROM key_packages WHERE agent = $1 AND last_resort = 1";
        let row = self.query_one(sql, [key(agent).into()]).await?;
        row.map(|row| column::<Vec<u8>>(&row, "body").map(Bytes::from)).transpose()
    }

    async fn deposit(&self, attachments: CommitAttachments) -> Result<()> {
        let CommitAttachments { channel, commit, welcomes, group_info } = attachments;
        let infos = group_info.map(|body| (NO_AGENT, body));
        let transaction = self.db.begin().await.map_err(StoreError::unavailable)?;
        for (agent, body) in welcomes.into_iter().map(|(agent, body)| (key(&agent), body)).chain(infos) {
            let sql = "INSERT INTO deposits (channel, name, commit_id, agent, deposited_at, body) \
                       VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (channel, commit_id, agent) DO NOTHING";
            let values: [Value; 6] = [
                key(&channel).into(),
                channel.text().map(str::to_owned).into(),
                commit.0.to_vec().into(),
                agent.into(),
                millis(SystemTime::now()).into(),
                body.to_vec().into(),
            ];
            let insert = self.statements.make(sql, values);
            transaction.execute_raw(insert).await.map_err(StoreError::unavailable)?;
        }
        transaction.commit().await.map_err(StoreError::unavailable)
    }

    async fn resolve(
        &self,
        channel: &ChannelName,
        commit: MessageId,
        accepted: Option<SequenceNumber>,
    ) -> Result<()> {
        let (channel, commit): (Value, Value) = (key(channel).into(), commit.0.to_vec().into());
        match accepted {
            Some(number) => {
                let sql = "UPDATE deposits SET accepted = $3 WHERE channel = $1 AND commit_id = $2";
                self.change(sql, [channel.clone(), commit, (number.0 as i64).into()]).await?;
                let prune = "DELETE FROM deposits WHERE channel = $1 AND agent = $2 AND id < (SELECT id FROM deposits \
                             WHERE channel = $1 AND agent = $2 AND accepted IS NOT NULL ORDER BY id DESC LIMIT 1 OFFSET $3)";
                self.change(prune, [channel, NO_AGENT.into(), (MAX_GROUP_INFOS as i64 - 1).into()]).await
            }
            None => {
                let sql = "DELETE FROM deposits WHERE channel = $1 AND commit_id = $2";
                self.change(sql, [channel, commit]).await
            }
        }
        .map(drop)
    }

    async fn welcomes(&self, agent: &ChannelName, skip: u32, most: u32) -> Result<Vec<Attachment>> {
        let sql = "SELECT channel, name, commit_id, accepted, body FROM deposits WHERE agent = $1 \
                   ORDER BY id LIMIT $2 OFFSET $3";
        self.attachments(sql, [key(agent).into(), i64::from(most).into(), i64::from(skip).into()]).await
    }

    async fn drop_welcome(&self, agent: &ChannelName, commit: MessageId) -> Result<()> {
        let sql = "DELETE FROM deposits WHERE agent = $1 AND commit_id = $2";
        self.change(sql, [key(agent).into(), commit.0.to_vec().into()]).await.map(drop)
    }

    async fn group_infos(&self, channel: &ChannelName) -> Result<Vec<Attachment>> {
        let sql = "SELECT channel, name, commit_id, accepted, body FROM deposits \
                   WHERE channel = $1 AND agent = $2 ORDER BY id DESC";
        self.attachments(sql, [key(channel).into(), NO_AGENT.into()]).await
    }

    async fn expire_deposits(&self, before: SystemTime) -> Result<u64> {
        let sql = "DELETE FROM deposits WHERE deposited_at < $2 AND (agent <> $1 OR id < (SELECT MAX(id) FROM deposits AS \
                   newest WHERE newest.channel = deposits.channel AND newest.agent = $1 AND newest.accepted IS NOT NULL))";
        self.change(sql, [NO_AGENT.into(), millis(before).into()]).await
    }
}
