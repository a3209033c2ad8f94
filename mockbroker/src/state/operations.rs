//! What a test does to a cluster by one call: leaders and coordinators move, records go, logs roll and are compacted.

use kafka_protocol::protocol::StrBytes;

use super::{Changed, Outcome, State};
use crate::cluster::{CoordinatorType, Topic, partition_for};
use crate::group;
use crate::logs::CleaningRound;
use crate::time::Timestamp;
use crate::types::{NodeId, PartitionId, TopicId};

impl State {
    /// Lets `node` lead a partition. If it has no replica of it, it takes the place of the leader among the replicas.
    ///
    /// # Errors
    /// Why it cannot.
    pub(crate) fn lead(
        &mut self,
        topic: &str,
        partition: PartitionId,
        node: NodeId,
        now: Timestamp,
    ) -> Result<Changed, String> {
        let mut changed = Changed::default();
        for planned in self.cluster.plan_leader(topic, partition, node)? {
            self.change(planned, &mut changed, now);
        }
        changed.leaders.dedup();
        Ok(changed)
    }

    /// Lets `node` coordinate what `key` names, and everything else whose log is the same partition.
    ///
    /// # Errors
    /// Why it cannot.
    pub(crate) fn coordinate(
        &mut self,
        kind: CoordinatorType,
        key: &str,
        node: NodeId,
        now: Timestamp,
    ) -> Result<Changed, String> {
        if self.cluster.topics().by_name(kind.topic()).is_none() {
            self.auto_create(kind.topic());
        }
        let topic = self.cluster.topics().by_name(kind.topic());
        let partition = partition_for(key, topic.map_or(0, |topic| topic.partitions().len()));
        self.lead(kind.topic(), partition, node, now)
    }

    /// Deletes the records of a partition before an offset; without one all that consumers see. Returns where the log starts.
    ///
    /// # Errors
    /// Why it cannot.
    pub(crate) fn delete_records(
        &mut self,
        topic: &str,
        partition: PartitionId,
        before_offset: Option<i64>,
    ) -> Result<(TopicId, i64), String> {
        let (topic_id, _) = self.found(topic, partition)?;
        let log = self.logs.partition_mut(topic_id, partition).ok_or("a partition has a log")?;
        let before_offset = before_offset.unwrap_or(log.high_watermark());
        if !(0..=log.high_watermark()).contains(&before_offset) {
            let high_watermark = log.high_watermark();
            return Err(format!(
                "{topic}-{partition} has no offset {before_offset}: its high watermark is {high_watermark}"
            ));
        }
        log.delete_records(before_offset);
        Ok((topic_id, log.log_start_offset()))
    }

    /// Begins a new segment in every partition of a topic, where the last one has anything.
    ///
    /// # Errors
    /// There is no such topic.
    pub(crate) fn roll_segments(&mut self, topic: &str) -> Result<(), String> {
        for (topic_id, partition) in self.all_of(topic)? {
            if let Some(log) = self.logs.partition_mut(topic_id, partition) {
                log.roll_segment();
            }
        }
        Ok(())
    }

    /// What a cleaner has to do for every partition of a topic, however little is dirty.
    ///
    /// # Errors
    /// There is no such topic, or its `cleanup.policy` has no `compact`.
    pub(crate) fn begin_compaction(&self, topic: &str, now: Timestamp) -> Result<Vec<CleaningRound>, String> {
        let found = self.cluster.topics().by_name(topic).ok_or_else(|| no_topic(topic))?;
        if !found.config().cleanup_compact {
            return Err(format!("the cleanup.policy of {topic} has no \"compact\""));
        }
        Ok(self.logs.begin_compaction(found, now))
    }

    /// Lets every offset expire that would one day: what no member of its group is subscribed to.
    pub(crate) fn expire_all_offsets(&mut self, now: Timestamp) -> Outcome<group::Response> {
        self.with_groups(now, group::GroupCoordinator::expire_all_offsets)
    }

    /// As an operator with `removeMembersFromConsumerGroup` (KIP-345): the member is gone from its group, if `node` coordinates
    /// it. The operator's own answer is left out.
    pub(crate) fn remove_member(
        &mut self,
        node: NodeId,
        group_id: &StrBytes,
        member_id: &StrBytes,
        now: Timestamp,
    ) -> Outcome<group::Response> {
        if self.check_group_coordinator(node, group_id).is_err() {
            return Outcome::default();
        }
        let ticket = self.new_ticket();
        let leave = group::Leave { group_id: group_id.clone(), members: vec![(member_id.clone(), None)] };
        let mut outcome = self.step_groups(group::Event::Leave(ticket, leave), now);
        outcome.answers.retain(|(to, _)| *to != ticket);
        outcome
    }

    fn all_of(&self, topic: &str) -> Result<Vec<(TopicId, PartitionId)>, String> {
        let found = self.cluster.topics().by_name(topic).ok_or_else(|| no_topic(topic))?;
        Ok((0..).map(|id| (found.id(), PartitionId(id))).take(found.partitions().len()).collect())
    }

    fn found(&self, topic: &str, partition: PartitionId) -> Result<(TopicId, &Topic), String> {
        let found = self.cluster.topics().by_name(topic).ok_or_else(|| no_topic(topic))?;
        found.partition(partition).ok_or_else(|| format!("there is no partition {topic}-{partition}"))?;
        Ok((found.id(), found))
    }
}

fn no_topic(topic: &str) -> String {
    format!("there is no topic {topic:?}")
}
