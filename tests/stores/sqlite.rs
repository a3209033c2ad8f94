//! SQLite, a file for each test.

use std::sync::Arc;

use async_kafka::store::SqliteStore;
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteConnectOptions;

/// The directory goes with the test.
pub(crate) struct Database {
    pub(crate) pool: SqlitePool,
    _home: Arc<tempfile::TempDir>,
}

pub(crate) async fn database() -> Database {
    let home = tempfile::tempdir().expect("a directory");
    let options = SqliteConnectOptions::new().filename(home.path().join("orders.db")).create_if_missing(true);
    let pool = SqlitePool::connect_with(options).await.expect("SQLite is embedded");
    Database { pool, _home: Arc::new(home) }
}

cases!(SqliteStore, super::database);
