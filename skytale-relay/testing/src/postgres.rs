//! A PostgreSQL database for one test.

use skytale_store::{PgBackplane, SqlOptions, SqlStore};
use sqlx::{Connection, Executor, PgConnection};

/// A fresh database; dropped with [`Database::drop`].
pub struct Database {
    /// Its URL.
    pub url: String,
    server: String,
    name: String,
}

impl Database {
    /// Creates a database on the server that `SKYTALE_TEST_POSTGRES` names, by default the one on this machine.
    ///
    /// Without a server the test is skipped, which is printed, and is a failure under `CI=true`.
    pub async fn create() -> Option<Self> {
        let given = std::env::var("SKYTALE_TEST_POSTGRES").ok();
        let server = given.unwrap_or_else(|| "postgres://postgres@127.0.0.1:5432/postgres".to_owned());
        let mut connection = match PgConnection::connect(&server).await {
            Ok(connection) => connection,
            Err(error) => {
                assert!(std::env::var("CI").as_deref() != Ok("true"), "no PostgreSQL at {server}: {error}");
                eprintln!("SKIPPED: no PostgreSQL at {server}: {error}");
                return None;
            }
        };
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        let name = format!("skytale_test_{}_{}", std::process::id(), now.as_nanos());
        connection.execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.expect("create");
        let (base, _) = server.rsplit_once('/').expect("a URL with a database");
        Some(Self { url: format!("{base}/{name}"), server, name })
    }

    /// Opens the database as another process would, for its backplane.
    pub async fn backplane(&self) -> PgBackplane {
        let store = SqlStore::connect_postgres(&self.url, SqlOptions::default().with_connections(2)).await;
        let backplane = store.expect("connect").backplane().await;
        backplane.expect("connect").expect("on PostgreSQL")
    }

    /// Drops the database, whoever is still connected.
    pub async fn drop(self) {
        let mut connection = PgConnection::connect(&self.server).await.expect("connect");
        let sql = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        connection.execute(sqlx::AssertSqlSafe(sql)).await.expect("drop");
    }
}
