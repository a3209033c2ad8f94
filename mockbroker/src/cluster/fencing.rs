//! Nodes that come and go: what becomes of the partitions that they lead or have in sync. The controller's side; what a node
//! forgets is in `state`.
//!
//! The controllers themselves are a quorum that is never lost, whichever nodes are down.
//! Source: `ReplicationControlManager.handleBrokerFenced`, `handleBrokerUnfenced`, `handleBrokerUncleanShutdown`,
//! `generateLeaderAndIsrUpdates`.

use super::partition::Rules;
use super::replicas::min_insync_replicas;
use super::{Cluster, Election, Partition, PlannedPartition, Topic, features};
use crate::types::{NodeId, PartitionId};

impl Cluster {
    /// Takes `node` down: no replica on it is in sync any longer, and what it led is led by another, or by nobody. Returns
    /// what that makes of the partitions; it is then up to [`Cluster::change_partition`].
    pub(crate) fn fence(&mut self, node: NodeId) -> Vec<PlannedPartition> {
        self.set_alive(node, false);
        self.metadata_offset += 1;
        let next = self.alive_nodes().next().map(|node| node.id);
        if let Some(next) = next.filter(|_| self.controller == node) {
            self.controller = next;
            self.controller_epoch += 1;
        }
        self.plan_all(|before, election, rules| {
            let concerns = before.isr().contains(&node) || before.leader() == Some(node);
            concerns.then(|| before.without_in_sync(&[node], election, rules))
        })
    }

    /// Registers `node` anew after a crash: it may have lost what it had not written to disk.
    pub(crate) fn register_after_crash(&mut self, node: NodeId) -> Vec<PlannedPartition> {
        self.metadata_offset += 1;
        self.plan_all(|before, election, rules| {
            let concerns = before.isr().contains(&node) || before.eligible().contains(&node);
            concerns.then(|| before.after_unclean_shutdown(node, election, rules))
        })
    }

    /// Brings `node` up: what nobody leads may be led now.
    pub(crate) fn unfence(&mut self, node: NodeId) -> Vec<PlannedPartition> {
        self.set_alive(node, true);
        self.metadata_offset += 1;
        self.plan_all(|before, election, rules| before.leader().is_none().then(|| before.elected(election, rules)))
    }

    /// Lets every replica that has caught up join those in sync. It takes a moment in Kafka, two fetches or so.
    pub(crate) fn expand_in_sync(&self) -> Vec<PlannedPartition> {
        self.plan_all(|before, _, rules| Some(before.clone().caught_up(rules)))
    }

    /// What `change` makes of the partitions that it concerns, if it is another.
    fn plan_all(&self, change: impl Fn(&Partition, Election, Rules<'_>) -> Option<Partition>) -> Vec<PlannedPartition> {
        let mut planned = Vec::new();
        for topic in self.topics.iter() {
            let allows_unclean = topic.config().unclean_leader_election_enable;
            let election = if allows_unclean { Election::Unclean } else { Election::Online };
            for (id, before) in (0..).map(PartitionId).zip(topic.partitions()) {
                let next = self.with_rules(topic, id, |rules| change(before, election, rules));
                if let Some(next) = next.filter(|next| next != before) {
                    planned.push(PlannedPartition { topic_id: topic.id(), partition: id, next });
                }
            }
        }
        planned
    }

    /// Calls `decide` with what the controller goes by for a partition.
    pub(super) fn with_rules<R>(
        &self,
        topic: &Topic,
        partition: PartitionId,
        decide: impl FnOnce(Rules<'_>) -> R,
    ) -> R {
        let is_up = |node: NodeId| self.alive(node).is_some();
        let lacks = |node| self.replicas.end_offset(topic.id(), partition, node).is_some();
        let has_caught_up = |node: NodeId| is_up(node) && !lacks(node);
        decide(Rules {
            is_up: &is_up,
            has_caught_up: &has_caught_up,
            min_insync_replicas: topic.partition(partition).map_or(0, |it| min_insync_replicas(topic, it)),
            keeps_eligible: self.features.level(features::ELIGIBLE_LEADER_REPLICAS) >= 1,
        })
    }
}
