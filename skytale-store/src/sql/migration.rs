//! The tables, and how they came to be. Forward only: a later version appends to the list.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, TransactionTrait};
use sea_orm_migration::prelude::*;

/// Brings the database to the newest version. Safe to be run by two processes at once.
pub(super) async fn migrate(db: &DatabaseConnection) -> Result<(), DbErr> {
    let transaction = db.begin().await?;
    if db.get_database_backend() == DbBackend::Postgres {
        transaction.execute_unprepared("SELECT pg_advisory_xact_lock(7235420131418170229)").await?;
    }
    Migrator::up(&transaction, None).await?;
    transaction.commit().await
}

struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(ChannelLog), Box::new(Shelves)]
    }

    fn migration_table_name() -> DynIden {
        "skytale_store_migrations".into_iden()
    }
}

struct ChannelLog;

impl MigrationName for ChannelLog {
    fn name(&self) -> &str {
        "m0001_channel_log"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for ChannelLog {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(channels()).await?;
        manager.create_table(messages()).await?;
        manager.create_table(epochs()).await?;
        manager.create_table(blocks()).await?;
        let advance = match manager.get_database_backend() {
            DbBackend::Postgres => advance_on_postgres(),
            _ => ADVANCE_ON_SQLITE.to_owned(),
        };
        manager.get_connection().execute_unprepared(&advance).await?;
        Ok(())
    }
}

/// Moves a channel's head with its blocks, so that an append is one statement.
const ADVANCE_ON_SQLITE: &str = "CREATE TRIGGER blocks_advance AFTER INSERT ON blocks BEGIN \
    UPDATE channels SET last_sequence = NEW.last, last_appended_at = NEW.appended_at WHERE id = NEW.channel_id; END";

/// The same, and wakes the followers in other processes.
fn advance_on_postgres() -> String {
    format!(
        "CREATE FUNCTION blocks_advance() RETURNS trigger LANGUAGE plpgsql AS $$ \
         DECLARE grown bytea; BEGIN \
         UPDATE channels SET last_sequence = NEW.last, last_appended_at = NEW.appended_at \
         WHERE id = NEW.channel_id RETURNING components INTO grown; \
         PERFORM pg_notify('{}', encode(grown, 'hex')); RETURN NULL; END $$; \
         CREATE TRIGGER blocks_advance AFTER INSERT ON blocks FOR EACH ROW EXECUTE FUNCTION blocks_advance()",
        super::listen::PG_CHANNEL
    )
}

struct Shelves;

impl MigrationName for Shelves {
    fn name(&self) -> &str {
        "m0002_directory"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Shelves {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(key_packages()).await?;
        manager.create_table(deposits()).await?;
        let by_agent = |name, table| Index::create().name(name).table(table).col("agent").to_owned();
        manager.create_index(by_agent("key_packages_by_agent", "key_packages")).await?;
        manager.create_index(by_agent("deposits_by_agent", "deposits")).await
    }
}

fn key_packages() -> TableCreateStatement {
    Table::create()
        .table("key_packages")
        .col(ColumnDef::new("id").big_integer().not_null().auto_increment().primary_key())
        .col(ColumnDef::new("agent").blob().not_null())
        .col(ColumnDef::new("last_resort").integer().not_null())
        .col(ColumnDef::new("body").blob().not_null())
        .to_owned()
}

fn deposits() -> TableCreateStatement {
    let of_one_commit = Index::create().unique().col("channel").col("commit_id").col("agent").to_owned();
    Table::create()
        .table("deposits")
        .col(ColumnDef::new("id").big_integer().not_null().auto_increment().primary_key())
        .col(ColumnDef::new("channel").blob().not_null())
        .col(ColumnDef::new("name").text())
        .col(ColumnDef::new("commit_id").blob().not_null())
        .col(ColumnDef::new("agent").blob().not_null())
        .col(ColumnDef::new("accepted").big_integer())
        .col(ColumnDef::new("deposited_at").big_integer().not_null())
        .col(ColumnDef::new("body").blob().not_null())
        .index(&mut of_one_commit.clone())
        .to_owned()
}

fn channels() -> TableCreateStatement {
    Table::create()
        .table("channels")
        .col(ColumnDef::new("id").big_integer().not_null().auto_increment().primary_key())
        .col(ColumnDef::new("components").binary_len(24).not_null().unique_key())
        .col(ColumnDef::new("name").text())
        .col(ColumnDef::new("last_sequence").big_integer().not_null())
        .col(ColumnDef::new("floor").big_integer().not_null())
        .col(ColumnDef::new("last_appended_at").big_integer().not_null())
        .to_owned()
}

fn blocks() -> TableCreateStatement {
    Table::create()
        .table("blocks")
        .col(ColumnDef::new("channel_id").big_integer().not_null())
        .col(ColumnDef::new("last").big_integer().not_null())
        .col(ColumnDef::new("first").big_integer().not_null())
        .col(ColumnDef::new("appended_at").big_integer().not_null())
        .col(ColumnDef::new("body").blob().not_null())
        .primary_key(Index::create().col("channel_id").col("last"))
        .to_owned()
}

fn messages() -> TableCreateStatement {
    Table::create()
        .table("messages")
        .col(ColumnDef::new("channel_id").big_integer().not_null())
        .col(ColumnDef::new("message_id").blob().not_null())
        .col(ColumnDef::new("sequence").big_integer().not_null())
        .primary_key(Index::create().col("channel_id").col("message_id"))
        .to_owned()
}

fn epochs() -> TableCreateStatement {
    Table::create()
        .table("epochs")
        .col(ColumnDef::new("channel_id").big_integer().not_null())
        .col(ColumnDef::new("group_id").blob().not_null())
        .col(ColumnDef::new("epoch").big_integer().not_null())
        .col(ColumnDef::new("winner").big_integer().not_null())
        .primary_key(Index::create().col("channel_id").col("group_id"))
        .to_owned()
}
