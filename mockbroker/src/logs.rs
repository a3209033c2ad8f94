//! The logs of all partitions, by topic id. `coordinator`: those that the broker writes itself.

mod coordinator;

use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) use self::coordinator::{CoordinatorRecord, Marker, Replayed, Transaction, batch_of_transaction};
use crate::cluster::{Topic, TopicConfig};
use crate::log::{Cleaned, Cleaning, Garbage, Malformed, PartitionLog};
use crate::time::Timestamp;
use crate::types::{PartitionId, TopicId};

/// What the partitions of the cluster hold. There is one log for each partition, whatever its replicas: replication is
/// logical.
#[derive(Clone, Debug, Default)]
pub(crate) struct Logs {
    topics: BTreeMap<TopicId, Vec<PartitionLog>>,
}

/// Which logs a pass of retention is for: the cleaner sees to those that it may compact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retained {
    NotCompacted,
    Compacted,
}

/// One round of compaction of one log. It runs without the lock.
#[derive(Debug)]
pub(crate) struct CleaningRound {
    topic_id: TopicId,
    partition: PartitionId,
    cleaning: Cleaning,
}

/// A round that has run.
#[derive(Debug)]
pub(crate) struct CleanedRound {
    topic_id: TopicId,
    partition: PartitionId,
    cleaned: Result<Cleaned, Malformed>,
}

impl CleaningRound {
    /// Reads and rewrites: as long as there is data.
    pub(crate) fn run(self) -> CleanedRound {
        CleanedRound { topic_id: self.topic_id, partition: self.partition, cleaned: self.cleaning.run() }
    }
}

impl Retained {
    fn means(self, config: &TopicConfig) -> bool {
        config.cleanup_compact == (self == Self::Compacted)
    }
}

impl Logs {
    /// Adds empty logs until the topic has `partitions` of them.
    pub(crate) fn create(&mut self, topic_id: TopicId, partitions: usize) {
        let logs = self.topics.entry(topic_id).or_default();
        assert!(logs.len() <= partitions, "a topic never loses a partition");
        logs.resize_with(partitions, || PartitionLog::new(0));
    }

    /// Drops all that the topic holds. Returns how many partitions it had.
    pub(crate) fn delete(&mut self, topic_id: TopicId) -> usize {
        self.topics.remove(&topic_id).map_or(0, |logs| logs.len())
    }

    /// The log of one partition.
    pub(crate) fn partition(&self, topic_id: TopicId, partition: PartitionId) -> Option<&PartitionLog> {
        self.topics.get(&topic_id)?.get(partition.index()?)
    }

    /// The log of one partition, to change it.
    pub(crate) fn partition_mut(&mut self, topic_id: TopicId, partition: PartitionId) -> Option<&mut PartitionLog> {
        self.topics.get_mut(&topic_id)?.get_mut(partition.index()?)
    }

    /// Applies retention to the logs that `kind` means. Returns the partitions whose log start moved.
    pub(crate) fn retain(
        &mut self,
        now: Timestamp,
        kind: Retained,
        config: impl Fn(TopicId) -> Option<Arc<TopicConfig>>,
    ) -> Vec<(TopicId, PartitionId)> {
        let mut moved = Vec::new();
        for (topic_id, logs) in &mut self.topics {
            let Some(config) = config(*topic_id).filter(|config| kind.means(config)) else { continue };
            for (id, log) in (0..).zip(logs) {
                if log.retain(&config, now) {
                    moved.push((*topic_id, PartitionId(id)));
                }
            }
        }
        moved
    }

    /// The dirtiest of the compacted logs, if one is dirty enough to be cleaned
    /// (`LogCleanerManager.grabFilthiestCompactedLog`), with what its cleaning needs.
    pub(crate) fn begin_cleaning(
        &self,
        now: Timestamp,
        config: impl Fn(TopicId) -> Option<Arc<TopicConfig>>,
    ) -> Option<CleaningRound> {
        let mut dirtiest: Option<(f64, TopicId, PartitionId, Arc<TopicConfig>)> = None;
        for (topic_id, logs) in &self.topics {
            let Some(config) = config(*topic_id).filter(|config| config.cleanup_compact) else { continue };
            for (id, log) in (0..).zip(logs) {
                if let Some(ratio) = log.cleanable(&config, now)
                    && dirtiest.as_ref().is_none_or(|(dirtier, ..)| ratio > *dirtier)
                {
                    dirtiest = Some((ratio, *topic_id, PartitionId(id), Arc::clone(&config)));
                }
            }
        }
        let (_, topic_id, partition, config) = dirtiest?;
        let log = self.partition(topic_id, partition)?;
        Some(CleaningRound { topic_id, partition, cleaning: log.begin_cleaning(config, now) })
    }

    /// A round for every partition of a topic that has a closed segment.
    pub(crate) fn begin_compaction(&self, topic: &Topic, now: Timestamp) -> Vec<CleaningRound> {
        let logs = (0..).map(PartitionId).zip(self.topics.get(&topic.id()).into_iter().flatten());
        let round = |(partition, log): (PartitionId, &PartitionLog)| {
            let cleaning = log.begin_compaction(Arc::clone(topic.config()), now)?;
            Some(CleaningRound { topic_id: topic.id(), partition, cleaning })
        };
        logs.filter_map(round).collect()
    }

    /// Puts what a round has left in its place, if the log is still there. What comes back is to be dropped without the
    /// lock.
    pub(crate) fn swap_cleaned(&mut self, round: CleanedRound) -> Option<Garbage> {
        let log = self.partition_mut(round.topic_id, round.partition)?;
        Some(log.swap_cleaned(round.cleaned))
    }

    /// Forgets idle producers everywhere.
    pub(crate) fn expire_producers(&mut self, now: Timestamp, expiration_ms: i64) {
        for log in self.topics.values_mut().flatten() {
            log.expire_producers(now, expiration_ms);
        }
    }
}
