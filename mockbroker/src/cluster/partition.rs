//! Who has a partition, who of them is in sync, who leads, and how that changes: elections and reassignments.
//!
//! There is one log for each partition, whatever its replicas, so a replica that is up is in sync as soon as it is one, and
//! no election loses records. Eligible leader replicas (KIP-966) are not modelled: nobody is in that list.
//! Source: `PartitionRegistration`, `PartitionChangeBuilder`, `PartitionReassignmentReplicas`, `PartitionReassignmentRevert`.

use super::Election;
use crate::types::NodeId;

/// Who has a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Partition {
    leader: Option<NodeId>,
    leader_epoch: i32,
    replicas: Vec<NodeId>,
    isr: Vec<NodeId>,
    /// Those of the replicas that a reassignment adds, while it lasts.
    adding: Vec<NodeId>,
    /// Those that it takes away.
    removing: Vec<NodeId>,
}

impl Partition {
    /// A partition that has just been created on `replicas`. Those of them that are up are in sync, and the first of these
    /// leads.
    pub(super) fn new(replicas: Vec<NodeId>, is_up: impl Fn(NodeId) -> bool) -> Self {
        let isr: Vec<NodeId> = replicas.iter().copied().filter(|node| is_up(*node)).collect();
        let leader = isr.first().copied();
        Self { leader, leader_epoch: 0, replicas, isr, adding: Vec::new(), removing: Vec::new() }
    }

    /// The node that leads; `None` when no replica can.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        self.leader
    }

    /// Rises with each election, and when a reassignment takes a replica away.
    pub(crate) fn leader_epoch(&self) -> i32 {
        self.leader_epoch
    }

    /// The nodes that have it. The first is the preferred leader.
    pub(crate) fn replicas(&self) -> &[NodeId] {
        &self.replicas
    }

    /// The replicas that are in sync.
    pub(crate) fn isr(&self) -> &[NodeId] {
        &self.isr
    }

    /// The replicas that a reassignment adds.
    pub(crate) fn adding(&self) -> &[NodeId] {
        &self.adding
    }

    /// The replicas that a reassignment takes away.
    pub(crate) fn removing(&self) -> &[NodeId] {
        &self.removing
    }

    /// Whether a reassignment has not ended yet.
    pub(crate) fn is_reassigning(&self) -> bool {
        !self.adding.is_empty() || !self.removing.is_empty()
    }

    /// Whether the first replica leads.
    pub(super) fn has_preferred_leader(&self) -> bool {
        self.leader.is_some() && self.leader == self.replicas.first().copied()
    }

    /// How many replicas there will be once a reassignment, if there is one, has ended.
    pub(super) fn target_replication_factor(&self) -> usize {
        self.replicas.len() - self.removing.len()
    }

    /// The partition after `election`; the same if that changes nothing.
    pub(super) fn elected(&self, election: Election, is_up: impl Fn(NodeId) -> bool) -> Self {
        Change::of(self).build(self, election, is_up)
    }

    /// The partition on its way to `target`, or there already, if all of `target` that is new is up.
    pub(super) fn reassigned(&self, target: &[NodeId], is_up: impl Fn(NodeId) -> bool) -> Self {
        // Both lists are sorted, and what is on its way out comes last (PartitionReassignmentReplicas).
        let sorted_without = |all: &[NodeId], those: &[NodeId]| {
            let mut rest = without(all, those);
            rest.sort_unstable();
            rest
        };
        let mut change = Change::of(self);
        let removing = sorted_without(&self.replicas, target);
        let adding = sorted_without(target, &self.replicas);
        change.replicas = [target, &removing].concat();
        if !removing.is_empty() {
            change.removing = removing;
        }
        if !adding.is_empty() {
            change.adding = adding;
        }
        change.build(self, Election::Online, &is_up).caught_up(is_up)
    }

    /// The partition as it was before its reassignment; `None` if that has not lasted long enough to be taken back without
    /// losing what only its new replicas have.
    pub(super) fn reverted(&self, allow_unclean: bool, is_up: impl Fn(NodeId) -> bool) -> Option<Self> {
        let mut change = Change::of(self);
        change.replicas = without(&self.replicas, &self.adding);
        change.isr = self.isr.iter().copied().filter(|node| change.replicas.contains(node)).collect();
        (change.adding, change.removing) = (Vec::new(), Vec::new());
        if change.isr.is_empty() {
            if !allow_unclean {
                return None;
            }
            change.isr.extend(change.replicas.first());
        }
        let election = if allow_unclean { Election::Unclean } else { Election::Online };
        Some(change.build(self, election, is_up))
    }

    /// The partition with every replica that is up in sync, which may end a reassignment.
    fn caught_up(self, is_up: impl Fn(NodeId) -> bool) -> Self {
        let mut change = Change::of(&self);
        let late = self.replicas.iter().filter(|node| !self.isr.contains(node) && is_up(**node));
        change.isr.extend(late);
        change.build(&self, Election::Online, is_up)
    }
}

/// What a partition is to become, before reassignment and election have their say.
struct Change {
    replicas: Vec<NodeId>,
    isr: Vec<NodeId>,
    adding: Vec<NodeId>,
    removing: Vec<NodeId>,
}

impl Change {
    fn of(partition: &Partition) -> Self {
        Self {
            replicas: partition.replicas.clone(),
            isr: partition.isr.clone(),
            adding: partition.adding.clone(),
            removing: partition.removing.clone(),
        }
    }

    /// `PartitionChangeBuilder.build`.
    fn build(mut self, before: &Partition, election: Election, is_up: impl Fn(NodeId) -> bool) -> Partition {
        self.complete_reassignment();
        let (leader, is_unclean) = self.elect(before.leader, election, is_up);
        if is_unclean {
            self.isr = leader.into_iter().collect();
        }
        // A leader has to know that a replica is gone, so that it no longer waits for it.
        let lost_a_replica = before.replicas.iter().any(|node| !self.replicas.contains(node));
        let bump = i32::from(leader != before.leader || lost_a_replica);
        Partition {
            leader,
            leader_epoch: before.leader_epoch + bump,
            replicas: self.replicas,
            isr: self.isr,
            adding: self.adding,
            removing: self.removing,
        }
    }

    /// Ends the reassignment if all replicas that stay are in sync.
    fn complete_reassignment(&mut self) {
        if self.adding.is_empty() && self.removing.is_empty() {
            return;
        }
        let isr = without(&self.isr, &self.removing);
        let replicas = without(&self.replicas, &self.removing);
        if !isr.is_empty() && !replicas.is_empty() && replicas.iter().all(|node| isr.contains(node)) {
            *self = Self { replicas, isr, adding: Vec::new(), removing: Vec::new() };
        }
    }

    /// Who leads, and whether that is a node that was not in sync.
    fn elect(
        &self,
        leader: Option<NodeId>,
        election: Election,
        is_up: impl Fn(NodeId) -> bool,
    ) -> (Option<NodeId>, bool) {
        let can_lead = |node: &NodeId| self.isr.contains(node) && is_up(*node);
        let preferred = self.replicas.first().filter(|_| election == Election::Preferred).copied();
        let clean = preferred
            .filter(can_lead)
            .or_else(|| leader.filter(can_lead))
            .or_else(|| self.replicas.iter().copied().find(can_lead));
        if clean.is_some() || election != Election::Unclean {
            return (clean, false);
        }
        let unclean = self.replicas.iter().copied().find(|node| is_up(*node));
        (unclean, unclean.is_some())
    }
}

fn without(all: &[NodeId], those: &[NodeId]) -> Vec<NodeId> {
    all.iter().copied().filter(|node| !those.contains(node)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(ids: &[i32]) -> Vec<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    fn partition(replicas: &[i32]) -> Partition {
        Partition::new(nodes(replicas), |_| true)
    }

    /// Leader, leader epoch, replicas, ISR.
    fn told(partition: &Partition) -> (i32, i32, Vec<i32>, Vec<i32>) {
        let ids = |nodes: &[NodeId]| nodes.iter().map(|node| node.0).collect();
        let leader = partition.leader().map_or(-1, |node| node.0);
        (leader, partition.leader_epoch(), ids(partition.replicas()), ids(partition.isr()))
    }

    #[test]
    fn a_reassignment_ends_at_once_when_all_new_replicas_are_up() {
        // Source: ReplicationControlManager.changePartitionReassignment; the epochs were seen on 4.3.1 (tests/leaders).
        for (from, to, expected) in [
            (&[1][..], &[2][..], (2, 1, vec![2], vec![2])),
            (&[1, 2], &[1, 3], (1, 1, vec![1, 3], vec![1, 3])),
            (&[1, 2], &[2, 1], (1, 0, vec![2, 1], vec![1, 2])),
            (&[1], &[1, 2], (1, 0, vec![1, 2], vec![1, 2])),
            (&[1, 2, 3], &[1, 2], (1, 1, vec![1, 2], vec![1, 2])),
            (&[1, 2, 3], &[3], (3, 1, vec![3], vec![3])),
        ] {
            let after = partition(from).reassigned(&nodes(to), |_| true);
            assert_eq!(told(&after), expected, "{from:?} to {to:?}");
            assert!(!after.is_reassigning());
        }
    }

    #[test]
    fn a_reassignment_to_a_node_that_is_down_goes_on_until_it_is_taken_back() {
        // Source: PartitionReassignmentReplicas, PartitionReassignmentRevert.
        let is_up = |node: NodeId| node != NodeId(3);
        let before = partition(&[1, 2]);
        let on_its_way = before.reassigned(&nodes(&[3, 2]), is_up);
        assert_eq!(told(&on_its_way), (1, 0, vec![3, 2, 1], vec![1, 2]));
        assert_eq!((on_its_way.adding(), on_its_way.removing()), (&nodes(&[3])[..], &nodes(&[1])[..]));
        assert_eq!(on_its_way.target_replication_factor(), 2);
        let there = on_its_way.clone().caught_up(|_| true);
        assert_eq!(told(&there), (3, 1, vec![3, 2], vec![2, 3]));
        let back = on_its_way.reverted(false, is_up).unwrap();
        assert_eq!(told(&back), (1, 1, vec![2, 1], vec![1, 2]));
        assert!(!back.is_reassigning());
    }

    #[test]
    fn the_preferred_leader_is_the_first_replica_and_only_a_preferred_election_prefers_it() {
        // Source: PartitionChangeBuilder.electPreferredLeader, electAnyLeader.
        let moved = partition(&[1, 2]).reassigned(&nodes(&[2, 1]), |_| true);
        assert!(!moved.has_preferred_leader());
        assert_eq!(moved.elected(Election::Online, |_| true), moved);
        let elected = moved.elected(Election::Preferred, |_| true);
        assert_eq!(told(&elected), (2, 1, vec![2, 1], vec![1, 2]));
        assert!(elected.has_preferred_leader());
        assert_eq!(moved.elected(Election::Preferred, |node| node != NodeId(2)), moved);
    }

    #[test]
    fn an_unclean_election_takes_whoever_is_up_and_leaves_it_alone_in_sync() {
        // Source: PartitionChangeBuilder.electAnyLeader.
        let down = Partition { leader: None, leader_epoch: 4, isr: nodes(&[1]), ..partition(&[1, 2, 3]) };
        let is_up = |node: NodeId| node != NodeId(1);
        assert_eq!(down.elected(Election::Preferred, is_up), down);
        assert_eq!(told(&down.elected(Election::Unclean, is_up)), (2, 5, vec![1, 2, 3], vec![2]));
    }

    #[test]
    fn a_reassignment_that_only_new_replicas_have_kept_is_taken_back_only_uncleanly() {
        // Source: PartitionReassignmentRevert.
        let before = partition(&[1]).reassigned(&nodes(&[2, 3]), |node| node != NodeId(3));
        let only_new = Partition { leader: Some(NodeId(2)), isr: nodes(&[2]), ..before };
        assert_eq!(only_new.reverted(false, |_| true), None);
        let back = only_new.reverted(true, |_| true).unwrap();
        assert_eq!(told(&back), (1, 1, vec![1], vec![1]));
    }
}
