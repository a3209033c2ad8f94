//! Who has a partition, who of them is in sync, who leads, and how that changes: elections and reassignments.
//!
//! There is one log for each partition, whatever its replicas; how much of it a replica has is in `replicas`. Here it counts
//! only who may join those in sync.
//! Source: `PartitionRegistration`, `PartitionChangeBuilder`, `PartitionReassignmentReplicas`, `PartitionReassignmentRevert`;
//! KIP-966.

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
    /// Replicas that have all that was ever acknowledged to acks=all, although they left the ISR when it fell below
    /// `min.insync.replicas`. One of them may lead when the ISR is empty.
    eligible: Vec<NodeId>,
    /// Who led when the ISR became empty, until somebody leads again.
    last_known_leader: Option<NodeId>,
}

/// What the controller goes by when it changes a partition.
#[derive(Clone, Copy)]
pub(super) struct Rules<'a> {
    pub(super) is_up: &'a dyn Fn(NodeId) -> bool,
    /// Whether a replica has what it takes to be in sync: it is up and has fetched enough.
    pub(super) has_caught_up: &'a dyn Fn(NodeId) -> bool,
    /// `min.insync.replicas`, at most as many as there are replicas (`getTopicEffectiveMinIsr`).
    pub(super) min_insync_replicas: usize,
    /// Whether `eligible.leader.replicas.version` is 1 (KIP-966). Without it the last replica in sync stays in the ISR.
    pub(super) keeps_eligible: bool,
}

impl Partition {
    /// A partition that has just been created on `replicas`. Those of them that are up are in sync, and the first of these
    /// leads.
    pub(super) fn new(replicas: Vec<NodeId>, is_up: impl Fn(NodeId) -> bool) -> Self {
        let isr: Vec<NodeId> = replicas.iter().copied().filter(|node| is_up(*node)).collect();
        let leader = isr.first().copied();
        Self {
            leader,
            leader_epoch: 0,
            replicas,
            isr,
            adding: Vec::new(),
            removing: Vec::new(),
            eligible: Vec::new(),
            last_known_leader: None,
        }
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

    /// The replicas that may lead if the ISR is empty (KIP-966).
    pub(crate) fn eligible(&self) -> &[NodeId] {
        &self.eligible
    }

    /// Who led when the ISR became empty, if nobody leads since.
    pub(crate) fn last_known_leader(&self) -> Option<NodeId> {
        self.last_known_leader
    }

    /// Whether `node` has all that anybody knows of: while nobody leads, it is one of those that will.
    pub(crate) fn awaits(&self, node: NodeId) -> bool {
        self.isr.contains(&node) || self.eligible.contains(&node) || self.last_known_leader == Some(node)
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
    pub(super) fn elected(&self, election: Election, rules: Rules<'_>) -> Self {
        Change::of(self).build(self, election, rules)
    }

    /// The partition led by `node`, which is in sync.
    pub(super) fn led_by(&self, node: NodeId) -> Self {
        Self { leader: Some(node), leader_epoch: self.leader_epoch + 1, ..self.clone() }
    }

    /// The partition without `gone` among those in sync: they are down, or too far behind.
    pub(super) fn without_in_sync(&self, gone: &[NodeId], election: Election, rules: Rules<'_>) -> Self {
        let mut change = Change::of(self);
        change.isr = without(&self.isr, gone);
        change.build(self, election, rules)
    }

    /// The partition after `node` has come back from a crash: what it had not written to disk may be lost, so it is no
    /// longer among those that may lead (`handleBrokerUncleanShutdown`).
    pub(super) fn after_unclean_shutdown(&self, node: NodeId, election: Election, rules: Rules<'_>) -> Self {
        let mut change = Change::of(self);
        change.isr = without(&self.isr, &[node]);
        change.lost = Some(node);
        change.build(self, election, rules)
    }

    /// The partition on its way to `target`, or there already, if all of `target` that is new is up.
    pub(super) fn reassigned(&self, target: &[NodeId], rules: Rules<'_>) -> Self {
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
        change.build(self, Election::Online, rules).caught_up(rules)
    }

    /// The partition as it was before its reassignment; `None` if that has not lasted long enough to be taken back without
    /// losing what only its new replicas have.
    pub(super) fn reverted(&self, allow_unclean: bool, rules: Rules<'_>) -> Option<Self> {
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
        Some(change.build(self, election, rules))
    }

    /// The partition with every replica that has caught up in sync, which may end a reassignment. It takes a leader to see
    /// that they have.
    pub(super) fn caught_up(self, rules: Rules<'_>) -> Self {
        if self.leader.is_none() {
            return self;
        }
        let mut change = Change::of(&self);
        let late = self.replicas.iter().filter(|node| !self.isr.contains(node) && (rules.has_caught_up)(**node));
        change.isr.extend(late);
        change.build(&self, Election::Online, rules)
    }
}

/// What a partition is to become, before reassignment and election have their say.
struct Change {
    replicas: Vec<NodeId>,
    isr: Vec<NodeId>,
    adding: Vec<NodeId>,
    removing: Vec<NodeId>,
    eligible: Vec<NodeId>,
    /// A replica that is not to be eligible.
    lost: Option<NodeId>,
}

/// Who is elected.
struct Elected {
    leader: Option<NodeId>,
    /// It may lack records that were acknowledged.
    is_unclean: bool,
}

impl Change {
    fn of(partition: &Partition) -> Self {
        Self {
            replicas: partition.replicas.clone(),
            isr: partition.isr.clone(),
            adding: partition.adding.clone(),
            removing: partition.removing.clone(),
            eligible: partition.eligible.clone(),
            lost: None,
        }
    }

    /// `PartitionChangeBuilder.build`.
    fn build(mut self, before: &Partition, election: Election, rules: Rules<'_>) -> Partition {
        self.complete_reassignment();
        self.keep_eligible(before, rules);
        let Elected { leader, is_unclean } = self.elect(before, election, rules);
        let is_new = leader != before.leader;
        if let Some(leader) = leader.filter(|leader| is_new && (is_unclean || self.eligible.contains(leader))) {
            self.isr = vec![leader];
            self.eligible.retain(|node| !is_unclean && *node != leader);
        }
        if self.isr.is_empty() && !rules.keeps_eligible {
            self.isr.clone_from(&before.isr);
        }
        // A leader has to know that a replica is gone, so that it no longer waits for it.
        let lost_a_replica = before.replicas.iter().any(|node| !self.replicas.contains(node));
        let last_known_leader = if leader.is_some() || !rules.keeps_eligible {
            None
        } else if self.isr.is_empty() && !before.isr.is_empty() {
            before.leader
        } else {
            before.last_known_leader
        };
        Partition {
            leader,
            leader_epoch: before.leader_epoch + i32::from(is_new || lost_a_replica),
            replicas: self.replicas,
            isr: self.isr,
            adding: self.adding,
            removing: self.removing,
            eligible: self.eligible,
            last_known_leader,
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
            (self.replicas, self.isr) = (replicas, isr);
            (self.adding, self.removing) = (Vec::new(), Vec::new());
        }
    }

    /// Who leaves an ISR that is too small stays eligible (`maybePopulateTargetElr`).
    fn keep_eligible(&mut self, before: &Partition, rules: Rules<'_>) {
        if !rules.keeps_eligible || self.isr.len() >= rules.min_insync_replicas {
            self.eligible.clear();
            return;
        }
        let left = before.isr.iter().copied().filter(|node| !self.eligible.contains(node)).collect::<Vec<_>>();
        self.eligible.extend(left);
        self.eligible.retain(|node| !self.isr.contains(node) && Some(*node) != self.lost);
        // Kafka keeps them in a set of Java's, whose order is that of small numbers.
        self.eligible.sort_unstable();
    }

    fn elect(&self, before: &Partition, election: Election, rules: Rules<'_>) -> Elected {
        let is_up = |node: NodeId| (rules.is_up)(node) && Some(node) != self.lost;
        let is_safe = |node: &NodeId| self.isr.contains(node) || (self.isr.is_empty() && self.eligible.contains(node));
        let can_lead = |node: &NodeId| is_safe(node) && is_up(*node);
        let preferred = self.replicas.first().filter(|_| election == Election::Preferred).copied();
        let clean = preferred
            .filter(can_lead)
            .or_else(|| before.leader.filter(can_lead))
            .or_else(|| self.replicas.iter().copied().find(can_lead));
        if clean.is_some() {
            return Elected { leader: clean, is_unclean: false };
        }
        // Whoever led last has more than any other (`canElectLastKnownLeader`).
        let nobody_is_safe = rules.keeps_eligible && self.isr.is_empty() && self.eligible.is_empty();
        let last = before.last_known_leader.filter(|node| nobody_is_safe && is_up(*node));
        let any = || self.replicas.iter().copied().find(|node| is_up(*node));
        let leader = last.or_else(|| if election == Election::Unclean { any() } else { None });
        Elected { leader, is_unclean: leader.is_some() }
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

    fn rules(is_up: &dyn Fn(NodeId) -> bool) -> Rules<'_> {
        Rules { is_up, has_caught_up: is_up, min_insync_replicas: 1, keeps_eligible: false }
    }

    const ALL_UP: &dyn Fn(NodeId) -> bool = &|_| true;

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
            let after = partition(from).reassigned(&nodes(to), rules(ALL_UP));
            assert_eq!(told(&after), expected, "{from:?} to {to:?}");
            assert!(!after.is_reassigning());
        }
    }

    #[test]
    fn a_reassignment_to_a_node_that_is_down_goes_on_until_it_is_taken_back() {
        // Source: PartitionReassignmentReplicas, PartitionReassignmentRevert.
        let is_up = |node: NodeId| node != NodeId(3);
        let before = partition(&[1, 2]);
        let on_its_way = before.reassigned(&nodes(&[3, 2]), rules(&is_up));
        assert_eq!(told(&on_its_way), (1, 0, vec![3, 2, 1], vec![1, 2]));
        assert_eq!((on_its_way.adding(), on_its_way.removing()), (&nodes(&[3])[..], &nodes(&[1])[..]));
        assert_eq!(on_its_way.target_replication_factor(), 2);
        let there = on_its_way.clone().caught_up(rules(ALL_UP));
        assert_eq!(told(&there), (3, 1, vec![3, 2], vec![2, 3]));
        let back = on_its_way.reverted(false, rules(&is_up)).unwrap();
        assert_eq!(told(&back), (1, 1, vec![2, 1], vec![1, 2]));
        assert!(!back.is_reassigning());
    }

    #[test]
    fn the_preferred_leader_is_the_first_replica_and_only_a_preferred_election_prefers_it() {
        // Source: PartitionChangeBuilder.electPreferredLeader, electAnyLeader.
        let moved = partition(&[1, 2]).reassigned(&nodes(&[2, 1]), rules(ALL_UP));
        assert!(!moved.has_preferred_leader());
        assert_eq!(moved.elected(Election::Online, rules(ALL_UP)), moved);
        let elected = moved.elected(Election::Preferred, rules(ALL_UP));
        assert_eq!(told(&elected), (2, 1, vec![2, 1], vec![1, 2]));
        assert!(elected.has_preferred_leader());
        assert_eq!(moved.elected(Election::Preferred, rules(&|node| node != NodeId(2))), moved);
    }

    #[test]
    fn an_unclean_election_takes_whoever_is_up_and_leaves_it_alone_in_sync() {
        // Source: PartitionChangeBuilder.electAnyLeader.
        let down = Partition { leader: None, leader_epoch: 4, isr: nodes(&[1]), ..partition(&[1, 2, 3]) };
        let is_up = |node: NodeId| node != NodeId(1);
        assert_eq!(down.elected(Election::Preferred, rules(&is_up)), down);
        assert_eq!(told(&down.elected(Election::Unclean, rules(&is_up))), (2, 5, vec![1, 2, 3], vec![2]));
    }

    #[test]
    fn a_reassignment_that_only_new_replicas_have_kept_is_taken_back_only_uncleanly() {
        // Source: PartitionReassignmentRevert.
        let before = partition(&[1]).reassigned(&nodes(&[2, 3]), rules(&|node| node != NodeId(3)));
        let only_new = Partition { leader: Some(NodeId(2)), isr: nodes(&[2]), ..before };
        assert_eq!(only_new.reverted(false, rules(ALL_UP)), None);
        let back = only_new.reverted(true, rules(ALL_UP)).unwrap();
        assert_eq!(told(&back), (1, 1, vec![1], vec![1]));
    }

    #[test]
    fn who_leaves_a_small_isr_may_lead_when_nobody_else_can() {
        // Source: PartitionChangeBuilder.maybePopulateTargetElr, tryElection; KIP-966. Three replicas, two of them needed.
        fn rules(is_up: &dyn Fn(NodeId) -> bool) -> Rules<'_> {
            Rules { min_insync_replicas: 2, keeps_eligible: true, ..self::rules(is_up) }
        }
        let only = |ids: &'static [i32]| move |node: NodeId| ids.contains(&node.0);
        let two = partition(&[1, 2, 3]).without_in_sync(&nodes(&[3]), Election::Online, rules(&only(&[1, 2])));
        assert_eq!((told(&two).3, two.eligible()), (vec![1, 2], &[][..]), "two are enough");
        let one = two.without_in_sync(&nodes(&[1]), Election::Online, rules(&only(&[2])));
        assert_eq!(told(&one), (2, 1, vec![1, 2, 3], vec![2]));
        assert_eq!(one.eligible(), nodes(&[1]));
        let none = one.without_in_sync(&nodes(&[2]), Election::Online, rules(&only(&[])));
        assert_eq!(told(&none), (-1, 2, vec![1, 2, 3], vec![]));
        assert_eq!((none.eligible(), none.last_known_leader()), (&nodes(&[1, 2])[..], Some(NodeId(2))));
        assert_eq!(none.elected(Election::Online, rules(&only(&[3]))), none, "3 may lack records");
        let back = none.elected(Election::Online, rules(&only(&[1])));
        assert_eq!((told(&back), back.eligible()), ((1, 3, vec![1, 2, 3], vec![1]), &nodes(&[2])[..]));
        assert_eq!(back.last_known_leader(), None);
    }

    #[test]
    fn after_a_crash_of_all_only_the_last_leader_may_lead() {
        // Source: handleBrokerUncleanShutdown, PartitionChangeBuilder.canElectLastKnownLeader.
        fn rules(is_up: &dyn Fn(NodeId) -> bool) -> Rules<'_> {
            Rules { keeps_eligible: true, ..self::rules(is_up) }
        }
        let only = |ids: &'static [i32]| move |node: NodeId| ids.contains(&node.0);
        let one = partition(&[1, 2]).without_in_sync(&nodes(&[1]), Election::Online, rules(&only(&[2])));
        let none = one.without_in_sync(&nodes(&[2]), Election::Online, rules(&only(&[])));
        assert_eq!((told(&none).0, none.eligible()), (-1, &nodes(&[2])[..]));
        let first = none.after_unclean_shutdown(NodeId(1), Election::Online, rules(&only(&[1])));
        assert_eq!((told(&first).0, first.eligible()), (-1, &nodes(&[2])[..]));
        let last = first.after_unclean_shutdown(NodeId(2), Election::Online, rules(&only(&[1, 2])));
        assert_eq!(told(&last).0, -1, "not before it is unfenced");
        let led = last.elected(Election::Online, rules(&only(&[1, 2])));
        assert_eq!(told(&led), (2, 3, vec![1, 2], vec![2]));
        assert_eq!(told(&led.caught_up(rules(&only(&[1, 2])))).3, [2, 1]);
    }
}
