//! Who may become the leader of a partition, and where its replicas may go: what is asked of the cluster, and refused.
//!
//! Source: `ReplicationControlManager.electLeader`, `alterPartitionReassignment`; KIP-455, KIP-460, KIP-860.

use kafka_protocol::error::ResponseError;

use super::{Cluster, Partition, Refusal, Topic};
use crate::types::{NodeId, PartitionId, TopicId};

/// How a leader is looked for (`PartitionChangeBuilder.Election`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Election {
    /// The first replica, if it is in sync.
    Preferred,
    /// The one that leads, or any that is in sync.
    Online,
    /// Any that is in sync, else any that is up.
    Unclean,
}

/// A partition as it is going to be.
#[derive(Debug)]
pub(crate) struct PlannedPartition {
    pub(crate) topic_id: TopicId,
    pub(crate) partition: PartitionId,
    pub(super) next: Partition,
}

impl PlannedPartition {
    /// Who is to lead it.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        self.next.leader()
    }
}

impl Cluster {
    /// What electing a leader of a partition makes of it.
    ///
    /// # Errors
    /// UNKNOWN_TOPIC_OR_PARTITION, ELECTION_NOT_NEEDED, or that there is nobody to elect.
    pub(crate) fn plan_election(
        &self,
        topic: &str,
        partition: PartitionId,
        election: Election,
    ) -> Result<PlannedPartition, Refusal> {
        let unknown = |text: String| Refusal::new(ResponseError::UnknownTopicOrPartition, text);
        let found = self.topics.by_name(topic).ok_or_else(|| unknown(format!("No such topic as {topic}")))?;
        let before =
            found.partition(partition).ok_or_else(|| unknown(format!("No such partition as {topic}-{partition}")))?;
        let is_needed = match election {
            Election::Preferred => !before.has_preferred_leader(),
            Election::Online | Election::Unclean => before.leader().is_none(),
        };
        if !is_needed {
            let text = "Leader election not needed for topic partition.";
            return Err(Refusal::new(ResponseError::ElectionNotNeeded, text));
        }
        let next = self.with_rules(found, partition, |rules| before.elected(election, rules));
        if next == *before {
            return Err(match election {
                Election::Preferred => {
                    Refusal::new(ResponseError::PreferredLeaderNotAvailable, "The preferred leader was not available.")
                }
                Election::Online | Election::Unclean => Refusal::new(
                    ResponseError::EligibleLeadersNotAvailable,
                    "Eligible topic partition leaders are not available.",
                ),
            });
        }
        Ok(PlannedPartition { topic_id: found.id(), partition, next })
    }

    /// What moving a partition to `replicas` makes of it; without `replicas`, what taking back a reassignment does.
    ///
    /// # Errors
    /// UNKNOWN_TOPIC_OR_PARTITION, NO_REASSIGNMENT_IN_PROGRESS, INVALID_REPLICA_ASSIGNMENT, INVALID_REPLICATION_FACTOR.
    pub(crate) fn plan_reassignment(
        &self,
        topic: &str,
        partition: PartitionId,
        replicas: Option<&[i32]>,
        may_change_replication_factor: bool,
    ) -> Result<PlannedPartition, Refusal> {
        let unknown = |text: String| Refusal::new(ResponseError::UnknownTopicOrPartition, text);
        let found =
            self.topics.by_name(topic).ok_or_else(|| unknown(format!("Unable to find a topic named {topic}.")))?;
        let before = found
            .partition(partition)
            .ok_or_else(|| unknown(format!("Unable to find partition {topic}:{partition}.")))?;
        let next = match replicas {
            None if !before.is_reassigning() => return Err(Refusal::code(ResponseError::NoReassignmentInProgress)),
            None => self.revert(found, partition, before).ok_or_else(|| {
                let text = format!(
                    "Unable to revert partition assignment for {topic}:{partition} because it would require an unclean \
                     leader election."
                );
                Refusal::new(ResponseError::InvalidReplicaAssignment, text)
            })?,
            Some(replicas) => {
                let target = self.checked_replicas(replicas, None)?;
                let current = before.target_replication_factor();
                if !may_change_replication_factor && current != target.len() {
                    let text = format!("The replication factor is changed from {current} to {}", target.len());
                    return Err(Refusal::new(ResponseError::InvalidReplicationFactor, text));
                }
                self.with_rules(found, partition, |rules| before.reassigned(&target, rules))
            }
        };
        Ok(PlannedPartition { topic_id: found.id(), partition, next })
    }

    /// What letting `node` lead a partition makes of it, step by step.
    ///
    /// # Errors
    /// Why it cannot.
    pub(crate) fn plan_leader(
        &self,
        topic: &str,
        partition: PartitionId,
        node: NodeId,
    ) -> Result<Vec<PlannedPartition>, String> {
        let found = self.topics.by_name(topic);
        let before = found.and_then(|found| found.partition(partition).map(|before| (found, before)));
        let (found, before) = before.ok_or_else(|| format!("there is no partition {topic}-{partition}"))?;
        self.alive(node).ok_or_else(|| format!("node {node} is down, or not there"))?;
        let mut next = before.clone();
        let mut steps = Vec::new();
        if !before.replicas().contains(&node) {
            let left = before.leader().or(before.replicas().first().copied());
            let in_place = |replica: &NodeId| if Some(*replica) == left { node } else { *replica };
            let target: Vec<_> = before.replicas().iter().map(in_place).collect();
            next = self.with_rules(found, partition, |rules| before.reassigned(&target, rules));
            steps.push(next.clone());
        }
        if !next.isr().contains(&node) {
            return Err(format!("node {node} is not in sync with {topic}-{partition}"));
        }
        if next.leader() != Some(node) {
            steps.push(next.led_by(node));
        }
        let topic_id = found.id();
        Ok(steps.into_iter().map(|next| PlannedPartition { topic_id, partition, next }).collect())
    }

    fn revert(&self, topic: &Topic, partition: PartitionId, before: &Partition) -> Option<Partition> {
        let allow_unclean = topic.config().unclean_leader_election_enable;
        self.with_rules(topic, partition, |rules| before.reverted(allow_unclean, rules))
    }

    /// Who leads a partition, if it is planned that another does, or nobody.
    pub(crate) fn leader_before(&self, planned: &PlannedPartition) -> Option<NodeId> {
        let before = self.topics.by_id(planned.topic_id)?.partition(planned.partition)?;
        before.leader().filter(|leader| planned.leader() != Some(*leader))
    }

    /// Makes a partition what was planned. Returns its leader epoch if that has risen.
    pub(crate) fn change_partition(&mut self, planned: PlannedPartition) -> Option<i32> {
        let PlannedPartition { topic_id, partition, next } = planned;
        let before = self.topics.by_id(topic_id)?.partition(partition)?;
        if *before == next {
            return None;
        }
        let leader_epoch = next.leader_epoch();
        let has_risen = leader_epoch > before.leader_epoch();
        self.topics.set_partition(topic_id, partition, next);
        self.metadata_offset += 1;
        has_risen.then_some(leader_epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::NewTopic;
    use crate::cluster::tests::cluster;
    use crate::ids::IdSource;

    fn with_topic(replicas: &[i32]) -> Cluster {
        let mut cluster = cluster(3, &[]);
        let new = NewTopic {
            num_partitions: -1,
            replication_factor: -1,
            assignments: vec![(0, replicas.to_vec())],
            ..NewTopic::named("t")
        };
        let planned = cluster.plan_topic(&new, &mut IdSource::new(1)).unwrap();
        cluster.add_topic(planned);
        cluster
    }

    fn of(cluster: &Cluster) -> &Partition {
        &cluster.topics().by_name("t").unwrap().partitions()[0]
    }

    #[test]
    fn a_reassignment_that_moves_the_leader_says_so() {
        let mut cluster = with_topic(&[1]);
        let planned = cluster.plan_reassignment("t", PartitionId(0), Some(&[2, 3]), true).unwrap();
        assert_eq!(cluster.change_partition(planned), Some(1));
        assert_eq!(of(&cluster).leader(), Some(NodeId(2)));
        let back = cluster.plan_reassignment("t", PartitionId(0), Some(&[3, 2]), true).unwrap();
        assert_eq!(cluster.change_partition(back), None, "only the order has changed");
        let elected = cluster.plan_election("t", PartitionId(0), Election::Preferred).unwrap();
        assert_eq!(cluster.change_partition(elected), Some(2));
        assert_eq!(of(&cluster).leader(), Some(NodeId(3)));
    }

    #[test]
    fn what_cannot_be_done_is_refused_with_the_text_of_kafka() {
        // Seen on 4.3.1 (tests/kit/scenarios/leaders.rs, tests/leaders).
        let mut cluster = with_topic(&[1, 2]);
        let election = |cluster: &Cluster, partition: i32, election: Election| {
            let refusal = cluster.plan_election("t", PartitionId(partition), election).unwrap_err();
            (refusal.error.code(), refusal.message.unwrap_or_default())
        };
        assert_eq!(election(&cluster, 7, Election::Preferred), (3, "No such partition as t-7".to_owned()));
        assert_eq!(election(&cluster, 0, Election::Unclean).0, 84);
        let replicas = |replicas: Option<&[i32]>| {
            let refusal = cluster.plan_reassignment("t", PartitionId(0), replicas, false).unwrap_err();
            (refusal.error.code(), refusal.message)
        };
        assert_eq!(replicas(None), (85, None));
        assert_eq!(replicas(Some(&[1, 9])).0, 39);
        assert_eq!(replicas(Some(&[3])), (38, Some("The replication factor is changed from 2 to 1".to_owned())));
        let planned = cluster.plan_reassignment("t", PartitionId(0), Some(&[2, 1]), false).unwrap();
        cluster.change_partition(planned);
        cluster.set_alive(NodeId(2), false);
        assert_eq!(election(&cluster, 0, Election::Preferred).0, 80);
    }
}
