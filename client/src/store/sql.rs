//! The stores on sqlx. Both databases understand the same statements; only their types differ.
//!
//! The row of a partition is the fence. A claim updates it, which waits for a transaction of the last owner that has saved and
//! not yet committed, and then reads what that one left. A save updates it where it is still the member's own.

use std::sync::Arc;

use super::{EffectKey, OffsetStore, StoreError, StoredPartition};
use crate::{
    error::{Error, Result},
    progress::{Consumed, GroupMetadata, NextOffset},
};

/// The statements of a store, with its tables' names in them.
#[derive(Debug)]
struct Statements {
    schema: [String; 2],
    claim: String,
    read: String,
    save: String,
    effect: String,
}

impl Statements {
    fn new(offsets: &str, effects: &str) -> Self {
        Self {
            schema: [
                format!(
                    "CREATE TABLE IF NOT EXISTS {offsets} (group_id TEXT NOT NULL, topic_id TEXT NOT NULL, \
                     partition_index BIGINT NOT NULL, topic TEXT NOT NULL, next_offset BIGINT, \
                     generation BIGINT NOT NULL, member_id TEXT NOT NULL, \
                     PRIMARY KEY (group_id, topic_id, partition_index))"
                ),
                format!(
                    "CREATE TABLE IF NOT EXISTS {effects} (group_id TEXT NOT NULL, topic_id TEXT NOT NULL, \
                     partition_index BIGINT NOT NULL, record_offset BIGINT NOT NULL, \
                     PRIMARY KEY (group_id, topic_id, partition_index, record_offset))"
                ),
            ],
            claim: format!(
                "INSERT INTO {offsets} AS mine (group_id, topic_id, partition_index, topic, generation, member_id) \
                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (group_id, topic_id, partition_index) \
                 DO UPDATE SET topic = excluded.topic, generation = excluded.generation, member_id = excluded.member_id \
                 WHERE mine.generation <= excluded.generation"
            ),
            read: format!(
                "SELECT next_offset FROM {offsets} WHERE group_id = $1 AND topic_id = $2 AND partition_index = $3"
            ),
            save: format!(
                "UPDATE {offsets} SET next_offset = $4, generation = $5 WHERE group_id = $1 AND topic_id = $2 \
                 AND partition_index = $3 AND member_id = $6 AND generation <= $5"
            ),
            effect: format!(
                "INSERT INTO {effects} (group_id, topic_id, partition_index, record_offset) \
                 VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"
            ),
        }
    }
}

/// Names stand in statements as they are, so they are held to what needs no quoting.
fn check_name(name: &str) -> Result<()> {
    let part = |part: &str| {
        let mut bytes = part.bytes();
        bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    if name.split('.').count() <= 2 && name.split('.').all(part) {
        return Ok(());
    }
    Err(Error::config("tables", format!("{name:?} is not a table's name of letters, digits and underscores")))
}

fn database(error: sqlx::Error) -> StoreError {
    StoreError::Database(Box::new(error))
}

/// The offsets to be saved, if the member may save them.
fn to_save(read: impl Consumed, member: &GroupMetadata) -> Result<Vec<NextOffset>, StoreError> {
    let offsets = read.next_offsets();
    for next in &offsets {
        if !member.covers(next) {
            return Err(StoreError::Fenced(next.partition.clone()));
        }
        if next.topic_id.is_nil() {
            return Err(StoreError::NoTopicId(Arc::clone(&next.partition.topic)));
        }
    }
    Ok(offsets)
}

macro_rules! store {
    ($(#[$documentation:meta])* $name:ident, $database:ty) => {
        $(#[$documentation])*
        ///
        /// Clones share the pool. The tables are `kafka_offsets` and `kafka_effects`, unless told otherwise.
        #[derive(Clone, Debug)]
        pub struct $name {
            pool: sqlx::Pool<$database>,
            statements: Arc<Statements>,
        }

        impl $name {
            /// A store in the database of a pool.
            #[must_use]
            pub fn new(pool: sqlx::Pool<$database>) -> Self {
                Self { pool, statements: Arc::new(Statements::new("kafka_offsets", "kafka_effects")) }
            }

            /// Uses other tables: one for offsets, one for the effects of
            /// [`OffsetStore::first_time`]. A schema may stand before a name.
            pub fn tables(mut self, offsets: &str, effects: &str) -> Result<Self> {
                check_name(offsets)?;
                check_name(effects)?;
                self.statements = Arc::new(Statements::new(offsets, effects));
                Ok(self)
            }

            /// Creates the tables if they are not there.
            ///
            /// Dropping the future may leave one of them created.
            pub async fn create_schema(&self) -> Result<(), StoreError> {
                for statement in &self.statements.schema {
                    let query = sqlx::query(sqlx::AssertSqlSafe(statement.clone()));
                    query.execute(&self.pool).await.map_err(database)?;
                }
                Ok(())
            }
        }

        impl OffsetStore for $name {
            type Transaction<'t> = sqlx::Transaction<'t, $database>;

            async fn claim(
                &self,
                member: &GroupMetadata,
                partitions: &[StoredPartition],
            ) -> Result<Vec<Option<i64>>, StoreError> {
                // In one order everywhere, so that two claims do not wait for each other.
                let mut order: Vec<usize> = (0..partitions.len()).collect();
                order.sort_by_key(|index| &partitions[*index]);
                let mut starts = vec![None; partitions.len()];
                let mut transaction = self.pool.begin().await.map_err(database)?;
                for index in order {
                    let StoredPartition { partition, topic_id } = &partitions[index];
                    if topic_id.is_nil() {
                        return Err(StoreError::NoTopicId(Arc::clone(&partition.topic)));
                    }
                    let claim = sqlx::query(sqlx::AssertSqlSafe(self.statements.claim.clone()))
                        .bind(&*member.group_id)
                        .bind(topic_id.to_string())
                        .bind(i64::from(partition.partition))
                        .bind(&*partition.topic)
                        .bind(i64::from(member.generation_id))
                        .bind(&member.member_id);
                    let claimed = claim.execute(&mut *transaction).await.map_err(database)?;
                    if claimed.rows_affected() == 0 {
                        return Err(StoreError::Fenced(partition.clone()));
                    }
                    let read = sqlx::query_scalar(sqlx::AssertSqlSafe(self.statements.read.clone()))
                        .bind(&*member.group_id)
                        .bind(topic_id.to_string())
                        .bind(i64::from(partition.partition));
                    starts[index] = read.fetch_one(&mut *transaction).await.map_err(database)?;
                }
                transaction.commit().await.map_err(database)?;
                Ok(starts)
            }

            async fn save(
                &self,
                transaction: &mut Self::Transaction<'_>,
                read: impl Consumed + Send,
                member: &GroupMetadata,
            ) -> Result<(), StoreError> {
                for next in to_save(read, member)? {
                    let save = sqlx::query(sqlx::AssertSqlSafe(self.statements.save.clone()))
                        .bind(&*member.group_id)
                        .bind(next.topic_id.to_string())
                        .bind(i64::from(next.partition.partition))
                        .bind(next.offset)
                        .bind(i64::from(member.generation_id))
                        .bind(&member.member_id);
                    let saved = save.execute(&mut **transaction).await.map_err(database)?;
                    if saved.rows_affected() == 0 {
                        return Err(StoreError::Fenced(next.partition));
                    }
                }
                Ok(())
            }

            async fn first_time(
                &self,
                transaction: &mut Self::Transaction<'_>,
                group_id: &str,
                effect: EffectKey,
            ) -> Result<bool, StoreError> {
                let record = sqlx::query(sqlx::AssertSqlSafe(self.statements.effect.clone()))
                    .bind(group_id)
                    .bind(effect.topic_id.to_string())
                    .bind(i64::from(effect.partition))
                    .bind(effect.offset);
                Ok(record.execute(&mut **transaction).await.map_err(database)?.rows_affected() == 1)
            }
        }
    };
}

#[cfg(feature = "sqlite")]
store! {
    /// Offsets in SQLite.
    SqliteStore, sqlx::Sqlite
}

#[cfg(feature = "postgres")]
store! {
    /// Offsets in PostgreSQL.
    PostgresStore, sqlx::Postgres
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_get_into_statements() {
        for name in ["offsets", "my_schema.offsets2", "_x"] {
            check_name(name).unwrap();
        }
        for name in ["", "a b", "a;drop table b", "1a", "a.b.c", "a.", "\"a\""] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
