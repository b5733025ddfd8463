//! The tables, as a list of migrations. Forward only: a later version appends to the list.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, TransactionTrait};
use sea_orm_migration::prelude::*;

/// Brings the database to the newest version. Safe to be run by two processes at once.
pub(super) async fn migrate(db: &DatabaseConnection) -> Result<(), DbErr> {
    let transaction = db.begin().await?;
    if db.get_database_backend() == DbBackend::Postgres {
        transaction.execute_unprepared(ONE_AFTER_THE_OTHER).await?;
    }
    Migrator::up(&transaction, None).await?;
    transaction.commit().await
}

/// Waits for another process that migrates, however long that takes.
const ONE_AFTER_THE_OTHER: &str =
    "SET LOCAL lock_timeout = 0; SELECT pg_advisory_xact_lock(7235420131418170229)";

/// Brings a database to what it was before [`OwnIndices`].
#[cfg(test)]
pub(super) async fn migrate_before_own_indices(db: &DatabaseConnection) -> Result<(), DbErr> {
    Migrator::up(db, Some(3)).await
}

struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(ChannelLog),
            Box::new(DirectoryTables),
            Box::new(AccountTables),
            Box::new(OwnIndices),
            Box::new(MessageTable),
            Box::new(Checksums),
        ]
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
        crate::sql::read::append_notifier::PG_CHANNEL
    )
}

struct DirectoryTables;

impl MigrationName for DirectoryTables {
    fn name(&self) -> &str {
        "m0002_directory"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for DirectoryTables {
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

struct AccountTables;

impl MigrationName for AccountTables {
    fn name(&self) -> &str {
        "m0003_ledger"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for AccountTables {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [
            accounts(),
            api_keys(),
            revocations(),
            usage_days(),
            registered_channels(),
            channel_members(),
            invites(),
            join_requests(),
            agents(),
        ] {
            manager.create_table(table).await?;
        }
        let index = |name, table, column| Index::create().name(name).table(table).col(column).to_owned();
        manager.create_index(index("api_keys_by_account", "api_keys", "account")).await?;
        manager.create_index(index("revocations_by_time", "revocations", "at")).await?;
        manager.create_index(index("channel_members_by_account", "channel_members", "account")).await?;
        manager.create_index(index("join_requests_by_channel", "join_requests", "channel")).await
    }
}

struct OwnIndices;

impl MigrationName for OwnIndices {
    fn name(&self) -> &str {
        "m0004_own_indices"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for OwnIndices {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() == DbBackend::Postgres {
            return Ok(());
        }
        manager
            .get_connection()
            .execute_unprepared(&crate::sql::append::block_statements::lay_out_sqlite())
            .await
            .map(drop)
    }
}

struct MessageTable;

impl MigrationName for MessageTable {
    fn name(&self) -> &str {
        "m0005_parcels"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for MessageTable {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() != DbBackend::Postgres {
            return Ok(());
        }
        manager.get_connection().execute_unprepared(CREATE_PARCELS).await.map(drop)
    }
}

/// Makes the table of messages between relays. What a crash of the server empties was lost anyway; ciphertext does not shrink.
const CREATE_PARCELS: &str = "CREATE UNLOGGED TABLE parcels (sender bigint NOT NULL, number bigint NOT NULL, \
    sent_at timestamptz NOT NULL DEFAULT now(), body bytea NOT NULL, PRIMARY KEY (sender, number)); \
    ALTER TABLE parcels ALTER COLUMN body SET STORAGE EXTERNAL";

struct Checksums;

impl MigrationName for Checksums {
    fn name(&self) -> &str {
        "m0006_checksums"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Checksums {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let checksum = ColumnDef::new("checksum").big_integer().to_owned();
        manager.alter_table(Table::alter().table("blocks").add_column(checksum).to_owned()).await
    }
}

/// Begins a table whose rows are numbered in the order they come.
fn numbered(name: &'static str) -> TableCreateStatement {
    let number = ColumnDef::new("number").big_integer().not_null().auto_increment().primary_key().to_owned();
    Table::create().table(name).col(number).to_owned()
}

fn text(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).text().not_null().to_owned()
}

fn optional_text(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).text().to_owned()
}

fn number(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().to_owned()
}

fn flag(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).integer().not_null().to_owned()
}

fn bytes(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).blob().not_null().to_owned()
}

fn unique(columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = Index::create().unique().to_owned();
    columns.iter().for_each(|column| {
        index.col(*column);
    });
    index
}

fn table(
    mut table: TableCreateStatement,
    columns: impl IntoIterator<Item = ColumnDef>,
    key: &[&'static str],
) -> TableCreateStatement {
    columns.into_iter().for_each(|column| {
        table.col(column);
    });
    table.index(&mut unique(key));
    table
}

fn accounts() -> TableCreateStatement {
    let texts = ["id", "email", "name", "plan"].map(text);
    table(numbered("accounts"), texts.into_iter().chain([number("created_at"), flag("closed")]), &["id"])
}

fn api_keys() -> TableCreateStatement {
    let texts = ["id", "account", "prefix", "name"].map(text);
    let times = ["expires_at", "last_used_at"].map(|name| ColumnDef::new(name).big_integer().to_owned());
    let rest = [bytes("digest"), optional_text("scopes"), number("created_at"), flag("revoked")];
    table(numbered("api_keys"), texts.into_iter().chain(rest).chain(times), &["id"])
}

fn revocations() -> TableCreateStatement {
    table(numbered("revocations"), [text("kind"), text("subject"), number("at")], &["kind", "subject"])
}

fn usage_days() -> TableCreateStatement {
    let columns = ["day", "meter", "messages", "bytes", "tokens"].map(number);
    let all = std::iter::once(text("account")).chain(columns);
    table(numbered("usage_days"), all, &["account", "day", "meter"])
}

fn registered_channels() -> TableCreateStatement {
    let columns = [bytes("channel"), optional_text("name"), text("id"), text("owner"), number("created_at")];
    table(numbered("registered_channels"), columns, &["channel"])
}

fn channel_members() -> TableCreateStatement {
    let columns = [bytes("channel"), text("account"), flag("is_owner"), number("since")];
    table(numbered("channel_members"), columns, &["channel", "account"])
}

fn invites() -> TableCreateStatement {
    let columns = [bytes("digest"), bytes("channel"), number("uses"), number("expires_at")];
    table(numbered("invites"), columns, &["digest"])
}

fn join_requests() -> TableCreateStatement {
    let columns = [
        text("id"),
        bytes("channel"),
        optional_text("name"),
        text("account"),
        text("identity"),
        bytes("key_package"),
        number("created_at"),
        number("leased_until"),
        ColumnDef::new("welcome").blob().to_owned(),
    ];
    table(numbered("join_requests"), columns, &["id"])
}

fn agents() -> TableCreateStatement {
    let texts = ["did", "account", "capabilities"].map(text);
    let optional = ["display_name", "endpoint", "metadata"].map(optional_text);
    let rest = [number("created_at"), number("updated_at"), flag("active")];
    table(numbered("agents"), texts.into_iter().chain(optional).chain(rest), &["did"])
}
