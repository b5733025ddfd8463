//! The registry of channels, their members and join requests in a SQL database.

use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use sea_orm::{ConnectionTrait, DatabaseTransaction, QueryResult, TransactionTrait, Value};
use skytale_core::ChannelName;

use crate::contract::channels::{
    ChannelEntry, ChannelRegistry, Invite, JoinRequest, Member, NewJoinRequest, Role,
};
use crate::error::{Result, StoreError};
use crate::sql::SqlStore;
use crate::sql::rows::{column, time_column};
use crate::sql::statements::{components, key, millis};

/// What a row says of a role.
const OWNER: i32 = 1;
const MEMBER: i32 = 0;

fn read_name(row: &QueryResult) -> Result<ChannelName> {
    let (channel, name): (Vec<u8>, Option<String>) = (column(row, "channel")?, column(row, "name")?);
    let channel = components(&channel).ok_or(StoreError::Corrupt { what: "a channel's key" })?;
    Ok(ChannelName::from_parts(channel, name.as_deref()))
}

fn read_entry(row: &QueryResult) -> Result<ChannelEntry> {
    Ok(ChannelEntry {
        id: column(row, "id")?,
        name: read_name(row)?,
        owner: column(row, "owner")?,
        created_at: time_column(row, "created_at")?,
    })
}

fn read_role(row: &QueryResult) -> Result<Role> {
    Ok(if column::<i32>(row, "is_owner")? == OWNER { Role::Owner } else { Role::Member })
}

fn read_member(row: &QueryResult) -> Result<Member> {
    Ok(Member { account: column(row, "account")?, role: read_role(row)?, since: time_column(row, "since")? })
}

fn read_request(row: &QueryResult) -> Result<JoinRequest> {
    Ok(JoinRequest {
        id: column(row, "id")?,
        channel: read_name(row)?,
        account: column(row, "account")?,
        identity: column(row, "identity")?,
        key_package: column::<Vec<u8>>(row, "key_package")?.into(),
        created_at: time_column(row, "created_at")?,
        welcome: column::<Option<Vec<u8>>>(row, "welcome")?.map(Bytes::from),
    })
}

const REQUEST: &str =
    "SELECT id, channel, name, account, identity, key_package, created_at, welcome FROM join_requests";

impl SqlStore {
    /// Keeps a request; `false` where it was kept before.
    async fn keep_request(&self, on: &DatabaseTransaction, request: &NewJoinRequest) -> Result<bool> {
        let sql = "INSERT INTO join_requests (id, channel, name, account, identity, key_package, created_at, \
                   leased_until) VALUES ($1, $2, $3, $4, $5, $6, $7, 0) ON CONFLICT (id) DO NOTHING";
        let values: [Value; 7] = [
            request.id.clone().into(),
            key(&request.channel).into(),
            request.channel.text().map(str::to_owned).into(),
            request.account.clone().into(),
            request.identity.clone().into(),
            request.key_package.to_vec().into(),
            millis(request.at).into(),
        ];
        let kept =
            on.execute_raw(self.statements.make(sql, values)).await.map_err(StoreError::unavailable)?;
        Ok(kept.rows_affected() > 0)
    }

    /// Uses an invite once, and makes the account a member; `false` where it cannot be used.
    async fn use_invite(&self, on: &DatabaseTransaction, request: &NewJoinRequest) -> Result<bool> {
        let sql = "UPDATE invites SET uses = uses - 1 \
                   WHERE digest = $1 AND channel = $2 AND uses > 0 AND expires_at > $3";
        let values: [Value; 3] =
            [request.invite.to_vec().into(), key(&request.channel).into(), millis(request.at).into()];
        let used =
            on.execute_raw(self.statements.make(sql, values)).await.map_err(StoreError::unavailable)?;
        if used.rows_affected() == 0 {
            return Ok(false);
        }
        let sql = "INSERT INTO channel_members (channel, account, is_owner, since) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (channel, account) DO NOTHING";
        let values: [Value; 4] = [
            key(&request.channel).into(),
            request.account.clone().into(),
            MEMBER.into(),
            millis(request.at).into(),
        ];
        let insert = self.statements.make(sql, values);
        on.execute_raw(insert).await.map_err(StoreError::unavailable)?;
        Ok(true)
    }
}

#[async_trait]
impl ChannelRegistry for SqlStore {
    async fn register_channel(&self, channel: ChannelEntry) -> Result<ChannelEntry> {
        let insert = "INSERT INTO registered_channels (channel, name, id, owner, created_at) \
                      VALUES ($1, $2, $3, $4, $5) ON CONFLICT (channel) DO NOTHING";
        let values: [Value; 5] = [
            key(&channel.name).into(),
            channel.name.text().map(str::to_owned).into(),
            channel.id.clone().into(),
            channel.owner.clone().into(),
            millis(channel.created_at).into(),
        ];
        // Of what stands, so that a repetition restores what a crash between two statements would have left out.
        let member = "INSERT INTO channel_members (channel, account, is_owner, since) \
                      SELECT channel, owner, $2, created_at FROM registered_channels WHERE channel = $1 \
                      ON CONFLICT (channel, account) DO NOTHING";
        let make = &self.statements;
        let member = make.make(member, [key(&channel.name).into(), OWNER.into()]);
        self.change_all([make.make(insert, values), member]).await?;
        let entry = self.channel(&channel.name).await?;
        entry.ok_or(StoreError::Corrupt { what: "a channel that was registered is not" })
    }

    async fn channel(&self, name: &ChannelName) -> Result<Option<ChannelEntry>> {
        let sql = "SELECT channel, name, id, owner, created_at FROM registered_channels WHERE channel = $1";
        self.query_one(sql, [key(name).into()]).await?.as_ref().map(read_entry).transpose()
    }

    async fn role(&self, channel: &ChannelName, account: &str) -> Result<Option<Role>> {
        let sql = "SELECT is_owner FROM channel_members WHERE channel = $1 AND account = $2";
        let row = self.query_one(sql, [key(channel).into(), account.into()]).await?;
        row.as_ref().map(read_role).transpose()
    }

    async fn channels_of(&self, account: &str, after: &str, most: u32) -> Result<Vec<(ChannelEntry, Role)>> {
        // Compared byte by byte, whatever the database's language.
        let collate = if self.statements.is_postgres() { " COLLATE \"C\"" } else { "" };
        let sql = format!(
            "SELECT c.channel, c.name, c.id, c.owner, c.created_at, m.is_owner FROM channel_members m \
             JOIN registered_channels c ON c.channel = m.channel \
             WHERE m.account = $1 AND c.name{collate} > $2 ORDER BY c.name{collate} LIMIT $3"
        );
        let rows = self.query_all(&sql, [account.into(), after.into(), i64::from(most).into()]).await?;
        rows.iter().map(|row| Ok((read_entry(row)?, read_role(row)?))).collect()
    }

    async fn members(&self, channel: &ChannelName) -> Result<Vec<Member>> {
        let sql = "SELECT account, is_owner, since FROM channel_members WHERE channel = $1 \
                   ORDER BY is_owner DESC, number";
        self.query_all(sql, [key(channel).into()]).await?.iter().map(read_member).collect()
    }

    async fn remove_member(&self, channel: &ChannelName, account: &str) -> Result<bool> {
        let sql = "DELETE FROM channel_members WHERE channel = $1 AND account = $2 AND is_owner = $3";
        Ok(self.change(sql, [key(channel).into(), account.into(), MEMBER.into()]).await? > 0)
    }

    async fn add_invite(&self, invite: Invite) -> Result<()> {
        let sql = "INSERT INTO invites (digest, channel, uses, expires_at) VALUES ($1, $2, $3, $4)";
        let values: [Value; 4] = [
            invite.digest.to_vec().into(),
            key(&invite.channel).into(),
            i64::from(invite.uses).into(),
            millis(invite.expires_at).into(),
        ];
        self.change(sql, values).await.map(drop)
    }

    async fn join(&self, request: NewJoinRequest) -> Result<bool> {
        // Begins with a write, so that the transaction never has to give way to another one.
        let transaction = self.db.begin().await.map_err(StoreError::unavailable)?;
        if !self.keep_request(&transaction, &request).await? {
            return Ok(true);
        }
        if !self.use_invite(&transaction, &request).await? {
            transaction.rollback().await.map_err(StoreError::unavailable)?;
            return Ok(false);
        }
        transaction.commit().await.map_err(StoreError::unavailable)?;
        Ok(true)
    }

    async fn lease_requests(
        &self,
        channel: &ChannelName,
        now: SystemTime,
        until: SystemTime,
        most: u32,
    ) -> Result<Vec<JoinRequest>> {
        let lock = if self.statements.is_postgres() { " FOR UPDATE SKIP LOCKED" } else { "" };
        let sql = format!(
            "UPDATE join_requests SET leased_until = $3 WHERE number IN (SELECT number FROM join_requests \
             WHERE channel = $1 AND welcome IS NULL AND leased_until <= $2 ORDER BY number LIMIT $4{lock}) \
             RETURNING number, id, channel, name, account, identity, key_package, created_at, welcome"
        );
        let values: [Value; 4] =
            [key(channel).into(), millis(now).into(), millis(until).into(), i64::from(most).into()];
        let rows = self.query_all(&sql, values).await?;
        let mut requests = rows
            .iter()
            .map(|row| Ok((column::<i64>(row, "number")?, read_request(row)?)))
            .collect::<Result<Vec<_>>>()?;
        requests.sort_by_key(|(number, _)| *number);
        Ok(requests.into_iter().map(|(_, request)| request).collect())
    }

    async fn request(&self, id: &str) -> Result<Option<JoinRequest>> {
        let sql = format!("{REQUEST} WHERE id = $1");
        self.query_one(&sql, [id.into()]).await?.as_ref().map(read_request).transpose()
    }

    async fn answer_request(&self, id: &str, welcome: Bytes) -> Result<Option<Bytes>> {
        let sql = "UPDATE join_requests SET welcome = $2 WHERE id = $1 AND welcome IS NULL";
        self.change(sql, [id.into(), welcome.to_vec().into()]).await?;
        Ok(self.request(id).await?.and_then(|request| request.welcome))
    }

    async fn drop_request(&self, id: &str) -> Result<bool> {
        Ok(self.change("DELETE FROM join_requests WHERE id = $1", [id.into()]).await? > 0)
    }

    async fn expire_requests(&self, before: SystemTime) -> Result<u64> {
        let before = Value::from(millis(before));
        let requests =
            self.change("DELETE FROM join_requests WHERE created_at < $1", [before.clone()]).await?;
        let invites = self.change("DELETE FROM invites WHERE expires_at < $1", [before]).await?;
        Ok(requests + invites)
    }
}
