//! What a program is told when partitions come and go.

use std::{fmt, future::Future, sync::Arc};

use futures::future::BoxFuture;

use super::{
    Offset,
    commits::Offsets,
    group::{CommittedOffset, Group},
};
use crate::{
    error::{Error, Result},
    record::TopicPartition,
};

/// What happens to partitions in a rebalance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RebalanceKind {
    /// They are ours now. Nothing of them was given out yet: the program can still [`Rebalance::seek`].
    Assigned,
    /// Another member is to have them. Nothing more of them is given out, and until the program returns they are still ours:
    /// the last chance to commit.
    Revoked,
    /// The group took them without asking, because it had not heard of us for too long. Another member may have them
    /// already, so nothing can be committed for them.
    Lost,
}

/// A change of the partitions that a [`Consumer`](crate::Consumer) has.
#[derive(Clone)]
pub struct Rebalance {
    kind: RebalanceKind,
    partitions: Vec<TopicPartition>,
    group: Arc<Group>,
}

impl Rebalance {
    pub(crate) fn new(kind: RebalanceKind, partitions: Vec<TopicPartition>, group: Arc<Group>) -> Self {
        Self { kind, partitions, group }
    }

    pub(crate) fn group(&self) -> &Arc<Group> {
        &self.group
    }

    /// What happens.
    #[must_use]
    pub fn kind(&self) -> RebalanceKind {
        self.kind
    }

    /// To which partitions.
    #[must_use]
    pub fn partitions(&self) -> &[TopicPartition] {
        &self.partitions
    }

    /// Commits the next offset to be read of one of the partitions. Fails with [`Error::PartitionLost`] if it is not ours.
    ///
    /// Dropping the future leaves open whether it is committed.
    pub async fn commit(&self, partition: &TopicPartition, offset: i64) -> Result<()> {
        self.group.commit(Offsets::from([(partition.clone(), CommittedOffset::new(offset))])).await
    }

    /// Chooses where reading begins, instead of the committed offset.
    pub fn seek(&self, partition: &TopicPartition, offset: Offset) -> Result<()> {
        let TopicPartition { topic, partition } = partition;
        if matches!(offset, Offset::At(..0)) {
            return Err(Error::config("seek", "goes to a negative offset"));
        }
        self.group.shared.change(topic, *partition, |positions, slot| positions.seek(slot, offset))
    }
}

impl fmt::Debug for Rebalance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, partitions, .. } = self;
        formatter.debug_struct("Rebalance").field("kind", kind).field("partitions", partitions).finish_non_exhaustive()
    }
}

/// The program's function that is told.
pub(crate) struct Listener(Box<dyn Fn(Rebalance) -> BoxFuture<'static, ()> + Send + Sync>);

impl Listener {
    pub(crate) fn new<F, Fut>(listener: F) -> Self
    where
        F: Fn(Rebalance) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Self(Box::new(move |event| Box::pin(listener(event))))
    }

    pub(crate) fn tell(&self, event: Rebalance) -> BoxFuture<'static, ()> {
        (self.0)(event)
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Listener")
    }
}
