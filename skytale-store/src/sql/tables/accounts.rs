//! Accounts and keys in a SQL database.

use std::time::SystemTime;

use async_trait::async_trait;
use sea_orm::{QueryResult, Statement, Value};

use crate::contract::accounts::{Account, Accounts, ApiKey, Revocation, Revoked};
use crate::error::{Result, StoreError};
use crate::sql::SqlStore;
use crate::sql::rows::{column, optional_time, time_column};
use crate::sql::statements::{Statements, millis};

fn read_account(row: &QueryResult) -> Result<Account> {
    Ok(Account {
        id: column(row, "id")?,
        email: column(row, "email")?,
        name: column(row, "name")?,
        plan: column(row, "plan")?,
        created_at: time_column(row, "created_at")?,
    })
}

fn read_key(row: &QueryResult) -> Result<ApiKey> {
    let digest: Vec<u8> = column(row, "digest")?;
    let damaged = StoreError::Corrupt { what: "a key's digest" };
    Ok(ApiKey {
        id: column(row, "id")?,
        account: column(row, "account")?,
        prefix: column(row, "prefix")?,
        name: column(row, "name")?,
        digest: digest.try_into().map_err(|_| damaged)?,
        scopes: column(row, "scopes")?,
        created_at: time_column(row, "created_at")?,
        expires_at: optional_time(row, "expires_at")?,
        last_used_at: optional_time(row, "last_used_at")?,
    })
}

fn read_revocation(row: &QueryResult) -> Result<Revocation> {
    let (kind, id): (String, String) = (column(row, "kind")?, column(row, "subject")?);
    let subject = Revoked::from_word(&kind, id).ok_or(StoreError::Corrupt { what: "a revocation's kind" })?;
    Ok(Revocation { subject, at: time_column(row, "at")? })
}

impl Statements {
    fn insert_account(&self, account: Account) -> Statement {
        let sql =
            "INSERT INTO accounts (id, email, name, plan, created_at, closed) VALUES ($1, $2, $3, $4, $5, 0)";
        let created_at = millis(account.created_at).into();
        let texts = [account.id, account.email, account.name, account.plan].map(Value::from);
        self.make(sql, texts.into_iter().chain([created_at]))
    }

    /// Inserts a key, where its account is open.
    fn insert_key(&self, key: ApiKey) -> Statement {
        let sql = "INSERT INTO api_keys (id, account, prefix, name, digest, scopes, created_at, expires_at, \
                   last_used_at, revoked) SELECT $1, id, $3, $4, $5, $6, $7, $8, $9, 0 FROM accounts \
                   WHERE id = $2 AND closed = 0";
        let values: [Value; 9] = [
            key.id.into(),
            key.account.into(),
            key.prefix.into(),
            key.name.into(),
            key.digest.to_vec().into(),
            key.scopes.into(),
            millis(key.created_at).into(),
            key.expires_at.map(millis).into(),
            key.last_used_at.map(millis).into(),
        ];
        self.make(sql, values)
    }
}

#[async_trait]
impl Accounts for SqlStore {
    async fn create_account(&self, account: Account, key: ApiKey) -> Result<()> {
        let statements = &self.statements;
        self.change_all([statements.insert_account(account), statements.insert_key(key)]).await
    }

    async fn account(&self, id: &str) -> Result<Option<Account>> {
        let sql = "SELECT * FROM accounts WHERE id = $1 AND closed = 0";
        self.query_one(sql, [id.into()]).await?.as_ref().map(read_account).transpose()
    }

    async fn rename_account(&self, id: &str, name: &str) -> Result<bool> {
        let sql = "UPDATE accounts SET name = $2 WHERE id = $1 AND closed = 0";
        Ok(self.change(sql, [id.into(), name.into()]).await? > 0)
    }

    async fn set_plan(&self, id: &str, plan: &str) -> Result<bool> {
        let sql = "UPDATE accounts SET plan = $2 WHERE id = $1 AND closed = 0";
        Ok(self.change(sql, [id.into(), plan.into()]).await? > 0)
    }

    async fn close_account(&self, id: &str) -> Result<bool> {
        // Keys are only taken of accounts that are open.
        let sql = "UPDATE accounts SET closed = 1 WHERE id = $1 AND closed = 0";
        Ok(self.change(sql, [id.into()]).await? > 0)
    }

    async fn add_key(&self, key: ApiKey) -> Result<bool> {
        Ok(self.execute(self.statements.insert_key(key)).await? > 0)
    }

    async fn key(&self, id: &str) -> Result<Option<ApiKey>> {
        let sql = "SELECT api_keys.* FROM api_keys JOIN accounts ON accounts.id = api_keys.account \
                   WHERE api_keys.id = $1 AND api_keys.revoked = 0 AND accounts.closed = 0";
        self.query_one(sql, [id.into()]).await?.as_ref().map(read_key).transpose()
    }

    async fn keys(&self, account: &str) -> Result<Vec<ApiKey>> {
        let sql = "SELECT api_keys.* FROM api_keys JOIN accounts ON accounts.id = api_keys.account \
                   WHERE api_keys.account = $1 AND api_keys.revoked = 0 AND accounts.closed = 0 \
                   ORDER BY api_keys.number DESC";
        self.query_all(sql, [account.into()]).await?.iter().map(read_key).collect()
    }

    async fn use_key(&self, id: &str, at: SystemTime) -> Result<()> {
        let sql = "UPDATE api_keys SET last_used_at = $2 WHERE id = $1";
        self.change(sql, [id.into(), millis(at).into()]).await.map(drop)
    }

    async fn expire_key(&self, account: &str, id: &str, at: SystemTime) -> Result<bool> {
        let sql = "UPDATE api_keys SET expires_at = $3 WHERE id = $2 AND account = $1 AND revoked = 0";
        Ok(self.change(sql, [account.into(), id.into(), millis(at).into()]).await? > 0)
    }

    async fn revoke_key(&self, account: &str, id: &str) -> Result<bool> {
        let sql = "UPDATE api_keys SET revoked = 1 WHERE id = $2 AND account = $1 AND revoked = 0";
        Ok(self.change(sql, [account.into(), id.into()]).await? > 0)
    }

    async fn revoke(&self, revocation: Revocation) -> Result<()> {
        let sql = "INSERT INTO revocations (kind, subject, at) VALUES ($1, $2, $3) \
                   ON CONFLICT (kind, subject) DO UPDATE SET at = $3 WHERE revocations.at < $3";
        let Revocation { subject, at } = revocation;
        self.change(sql, [subject.word().into(), subject.id().into(), millis(at).into()]).await.map(drop)
    }

    async fn revocation(&self, subject: &Revoked) -> Result<Option<SystemTime>> {
        let sql = "SELECT at FROM revocations WHERE kind = $1 AND subject = $2";
        let row = self.query_one(sql, [subject.word().into(), subject.id().into()]).await?;
        row.as_ref().map(|row| time_column(row, "at")).transpose()
    }

    async fn revocations(&self, since: SystemTime) -> Result<Vec<Revocation>> {
        let sql = "SELECT kind, subject, at FROM revocations WHERE at >= $1";
        self.query_all(sql, [millis(since).into()]).await?.iter().map(read_revocation).collect()
    }

    async fn forget_revocations(&self, before: SystemTime) -> Result<u64> {
        self.change("DELETE FROM revocations WHERE at < $1", [millis(before).into()]).await
    }
}
