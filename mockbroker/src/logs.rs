//! The logs of all partitions, by topic id.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cluster::TopicConfig;
use crate::log::PartitionLog;
use crate::time::Timestamp;
use crate::types::{PartitionId, TopicId};

/// What the partitions of the cluster hold. There is one log for each partition, whatever its replicas (replication is
/// logical).
#[derive(Debug, Default)]
pub(crate) struct Logs {
    topics: BTreeMap<TopicId, Vec<PartitionLog>>,
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

    /// Applies retention everywhere. Returns the partitions whose log start moved.
    pub(crate) fn retain(
        &mut self,
        now: Timestamp,
        config: impl Fn(TopicId) -> Option<Arc<TopicConfig>>,
    ) -> Vec<(TopicId, PartitionId)> {
        let mut moved = Vec::new();
        for (topic_id, logs) in &mut self.topics {
            let Some(config) = config(*topic_id) else { continue };
            for (id, log) in (0..).zip(logs) {
                if log.retain(&config, now) {
                    moved.push((*topic_id, PartitionId(id)));
                }
            }
        }
        moved
    }

    /// Forgets idle producers everywhere.
    pub(crate) fn expire_producers(&mut self, now: Timestamp, expiration_ms: i64) {
        for log in self.topics.values_mut().flatten() {
            log.expire_producers(now, expiration_ms);
        }
    }
}
