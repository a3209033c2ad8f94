//! PostgreSQL, a schema of its own for each test.

use async_kafka::store::PostgresStore;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use system_tests::world::unique;

pub(crate) struct Database {
    pub(crate) pool: PgPool,
}

pub(crate) async fn database() -> Database {
    let url = std::env::var("DATABASE_URL").expect("DATABASE_URL names a PostgreSQL server: just stores");
    let schema = unique("stores").replace('-', "_");
    let path = format!("SET search_path TO {schema}");
    let options = PgPoolOptions::new().max_connections(5).after_connect(move |connection, _| {
        let path = path.clone();
        Box::pin(async move { sqlx::query(sqlx::AssertSqlSafe(path)).execute(connection).await.map(|_| ()) })
    });
    let pool = options.connect(&url).await.expect("the server answers");
    let create = sqlx::query(sqlx::AssertSqlSafe(format!("CREATE SCHEMA {schema}")));
    create.execute(&pool).await.expect("a schema of its own");
    Database { pool }
}

cases!(PostgresStore, super::database);
