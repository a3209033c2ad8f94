//! What replicas lack, and what follows for the logs: how far high watermarks go, who is in sync, what is cut off when a replica
//! leads that lacks something.

use super::State;
use crate::cluster::{HeldBack, PlannedPartition};
use crate::time::Timestamp;
use crate::types::{NodeId, PartitionId, TopicId};

/// Partitions.
pub(crate) type Partitions = Vec<(TopicId, PartitionId)>;

/// What became of partitions.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    /// Led by another node now, or by the same one anew, or by none.
    pub(crate) leaders: Partitions,
    /// Only those in sync are others: the high watermark may have moved.
    pub(crate) in_sync: Partitions,
}

impl State {
    /// Holds back the replica of a partition on `node`.
    ///
    /// # Errors
    /// There is no such replica.
    pub(crate) fn hold_replica(
        &mut self,
        (topic, partition): (&str, PartitionId),
        node: NodeId,
        held: HeldBack,
        now: Timestamp,
    ) -> Result<TopicId, String> {
        let found = self.cluster.topics().by_name(topic);
        let found = found.and_then(|found| found.partition(partition).map(|it| (found.id(), it)));
        let Some((topic_id, _)) = found.filter(|(_, found)| found.replicas().contains(&node)) else {
            return Err(format!("node {node} has no replica of {topic}-{partition}"));
        };
        let log_end_offset = self.log_end_offset(topic_id, partition);
        self.cluster.replicas_mut().hold((topic_id, partition), node, Some(held), log_end_offset, now);
        self.replicate(topic_id, partition, now);
        Ok(topic_id)
    }

    /// Lets the replica of a partition on `node` have everything again.
    pub(crate) fn release_replica(
        &mut self,
        topic_id: TopicId,
        id: PartitionId,
        node: NodeId,
        now: Timestamp,
    ) -> Changed {
        let topic = self.cluster.topics().by_id(topic_id);
        let has_leader = topic.and_then(|topic| topic.partition(id)).is_some_and(|it| it.leader().is_some());
        let is_free = has_leader && self.cluster.alive(node).is_some();
        self.cluster.replicas_mut().release((topic_id, id), node, is_free);
        let mut changed = Changed::default();
        if let Some(planned) = self.cluster.expand_in_sync_of(topic_id, id) {
            self.change(planned, &mut changed, now);
        }
        self.replicate(topic_id, id, now);
        changed.in_sync.push((topic_id, id));
        changed
    }

    /// Leaders look for replicas that are too far behind.
    pub(crate) fn shrink_in_sync(&mut self, now: Timestamp) -> Changed {
        let mut planned = self.cluster.shrink_in_sync(now, |topic_id, id| self.log_end_offset(topic_id, id));
        // Whoever the controllers do not hear of asks them in vain.
        planned.retain(|planned| planned.leader().is_none_or(|leader| !self.is_isolated(leader)));
        let mut changed = Changed::default();
        for planned in planned {
            self.change(planned, &mut changed, now);
        }
        changed
    }

    /// Lets replicas fetch what they may, and the high watermark go as far as they have. Returns whether it moved.
    pub(crate) fn replicate(&mut self, topic_id: TopicId, id: PartitionId, now: Timestamp) -> bool {
        let Some(log) = self.logs.partition_mut(topic_id, id) else { return false };
        let boundary = |offset: i64| log.batch_boundary(offset.max(log.log_start_offset()));
        self.cluster.replicas_mut().advance((topic_id, id), log.log_end_offset(), now, boundary);
        let bound = self.cluster.high_watermark_bound(topic_id, id, log.high_watermark());
        log.bound_high_watermark(bound)
    }

    /// Makes a partition what was planned, in the metadata and in its log.
    pub(crate) fn change(&mut self, planned: PlannedPartition, changed: &mut Changed, now: Timestamp) {
        let at = (planned.topic_id, planned.partition);
        if self.move_leader(planned, now) {
            changed.leaders.push(at);
        } else {
            changed.in_sync.push(at);
        }
    }

    /// Whoever leads a partition now may lack what the one before had: it is cut off.
    pub(super) fn cut_off(&mut self, topic_id: TopicId, id: PartitionId) {
        let Some(topic) = self.cluster.topics().by_id(topic_id) else { return };
        let Some(leader) = topic.partition(id).and_then(|partition| partition.leader()) else { return };
        let Some(end_offset) = self.cluster.replicas().end_offset(topic_id, id, leader) else { return };
        if let Some(log) = self.logs.partition_mut(topic_id, id) {
            log.truncate_to(end_offset, topic.config());
            let log_end_offset = log.log_end_offset();
            self.cluster.replicas_mut().truncate((topic_id, id), leader, log_end_offset);
        }
    }

    pub(super) fn log_end_offset(&self, topic_id: TopicId, id: PartitionId) -> i64 {
        self.logs.partition(topic_id, id).map_or(0, crate::log::PartitionLog::log_end_offset)
    }
}
