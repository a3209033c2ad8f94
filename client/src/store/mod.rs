//! Offsets in the program's own database, written in its own SQL transaction together with what the records did there: exactly
//! once for effects outside of Kafka.
//!
//! A store keeps one row for each group, topic id and partition: the next offset, and who may move it. When a member of the
//! group gets a partition it claims the row, which ends the claim of whoever had the partition before; a zombie that wakes
//! up and writes on finds the row of another, and its SQL transaction fails ([`StoreError::Fenced`]). A topic that is deleted
//! and created anew has another id, and so another row.
//!
//! Who is later is told by the generation of the group, so a store also refuses a group whose generations began anew because its
//! id was deleted (`kafka-consumer-groups --delete`): such a member cannot be told from a zombie. Delete its rows as well then.
//!
//! ```no_run
//! # #[cfg(feature = "sqlite")]
//! # async fn example(kafka: async_kafka::Kafka) -> Result<(), Box<dyn std::error::Error>> {
//! use async_kafka::store::{OffsetStore, SqliteStore};
//!
//! let pool = sqlx::SqlitePool::connect("sqlite:orders.db").await?;
//! let store = SqliteStore::new(pool.clone());
//! store.create_schema().await?;
//! let orders = kafka.consumer("billing").topics(["orders"]).auto_commit_interval(None);
//! let orders = orders.offset_store(store.clone()).build().await?;
//! while let Some(batch) = orders.next_batch().await? {
//!     let mut transaction = pool.begin().await?;
//!     for order in batch.records() {
//!         let insert = sqlx::query("INSERT INTO bills (total) VALUES ($1)").bind(order.value());
//!         insert.execute(&mut *transaction).await?;
//!     }
//!     store.save(&mut transaction, &batch, &orders.group_metadata()).await?;
//!     transaction.commit().await?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Without transactions in the database there is at-least-once and [`EffectKey`]: an effect that is recorded under its key is
//! not done twice. [`OffsetStore::first_time`] does so in a table.

#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod sql;

use std::{fmt, future::Future, sync::Arc};

use futures::future::BoxFuture;
use uuid::Uuid;

#[cfg(feature = "postgres")]
pub use self::sql::PostgresStore;
#[cfg(feature = "sqlite")]
pub use self::sql::SqliteStore;
use crate::{
    progress::{Consumed, GroupMetadata},
    record::TopicPartition,
};

/// Why a store could not do something. The SQL transaction that it was part of must be rolled back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another member has the partition now, or the topic is another one than the one that was claimed. What this member read
    /// of it must not be written.
    #[error("{0} is another member's now, or another topic")]
    Fenced(TopicPartition),
    /// The broker does not say topic ids (before Kafka 2.8), without which a store cannot tell a topic from a later one of the
    /// same name.
    #[error("the id of topic {0} is not known")]
    NoTopicId(Arc<str>),
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A partition of one incarnation of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct StoredPartition {
    /// Its name, for people.
    pub partition: TopicPartition,
    /// The id of the topic.
    pub topic_id: Uuid,
}

impl StoredPartition {
    /// A partition of the topic with this id.
    #[must_use]
    pub fn new(partition: TopicPartition, topic_id: Uuid) -> Self {
        Self { partition, topic_id }
    }
}

/// A place for offsets in a database. [`ConsumerBuilder::offset_store`](crate::ConsumerBuilder::offset_store) has a consumer
/// begin there.
pub trait OffsetStore: Send + Sync + 'static {
    /// The database's transaction, which the program begins and commits.
    type Transaction<'t>: Send;

    /// Takes partitions over for a member, and says where to begin: `None` where nothing was saved yet. From here on whoever had
    /// them cannot save any more. Called by the consumer at every assignment.
    fn claim(
        &self,
        member: &GroupMetadata,
        partitions: &[StoredPartition],
    ) -> impl Future<Output = Result<Vec<Option<i64>>, StoreError>> + Send;

    /// Saves where to go on, in the program's transaction. Take the member's metadata now, not before.
    fn save(
        &self,
        transaction: &mut Self::Transaction<'_>,
        read: impl Consumed + Send,
        member: &GroupMetadata,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Records the effect of a record in the program's transaction. `false` if that was done before: then the effect is not to
    /// be done again. For programs that keep their offsets in Kafka.
    fn first_time(
        &self,
        transaction: &mut Self::Transaction<'_>,
        group_id: &str,
        effect: EffectKey,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

/// What names the effect of one record: no two records of a cluster have the same, and a record keeps it however often it is
/// read. As text it is a key for any table, cache or API that takes an idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EffectKey {
    /// The id of the topic.
    pub topic_id: Uuid,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

impl fmt::Display for EffectKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic_id, partition, offset } = self;
        write!(formatter, "{topic_id}-{partition}-{offset}")
    }
}

/// What a consumer needs of a store, whatever its transactions are.
pub(crate) trait Starts: Send + Sync {
    fn claim<'a>(
        &'a self,
        member: &'a GroupMetadata,
        partitions: &'a [StoredPartition],
    ) -> BoxFuture<'a, Result<Vec<Option<i64>>, StoreError>>;
}

impl<S: OffsetStore> Starts for S {
    fn claim<'a>(
        &'a self,
        member: &'a GroupMetadata,
        partitions: &'a [StoredPartition],
    ) -> BoxFuture<'a, Result<Vec<Option<i64>>, StoreError>> {
        Box::pin(OffsetStore::claim(self, member, partitions))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_effect_has_a_name_that_no_other_has() {
        let key = EffectKey { topic_id: Uuid::from_u128(7), partition: 3, offset: 41 };
        assert_eq!(key.to_string(), "00000000-0000-0000-0000-000000000007-3-41");
    }
}
