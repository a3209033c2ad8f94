//! Where records go that no partitioner places: to one partition until it has its share, then to another.
//!
//! Pure: the random choices come in as a generator.

use crate::cluster::metadata::Leader;

/// The partition that a topic's records without key go to, until it has its share (KIP-794, Java `BuiltInPartitioner`).
///
/// Not modelled: the weighting by queue lengths (`partitioner.adaptive.partitioning.enable`).
#[derive(Debug, Default)]
pub(crate) struct Sticky {
    partition: Option<usize>,
    produced_bytes: usize,
}

impl Sticky {
    /// The partition for the next record. Changes only where a batch begins, so that a switch never cuts a batch short,
    /// unless a partition got twice its share.
    pub(crate) fn partition(
        &mut self,
        leaders: &[Leader],
        batch_size: usize,
        begins_batch: impl Fn(usize) -> bool,
        random: &mut fastrand::Rng,
    ) -> usize {
        if let Some(partition) = self.partition.filter(|partition| *partition < leaders.len()) {
            let full = self.produced_bytes >= batch_size && begins_batch(partition);
            if !full && self.produced_bytes < 2 * batch_size.max(1) {
                return partition;
            }
        }
        self.produced_bytes = 0;
        let next = choose(leaders, random);
        self.partition = Some(next);
        next
    }

    /// Counts what went to the partition.
    pub(crate) fn produced(&mut self, bytes: usize) {
        self.produced_bytes += bytes;
    }
}

/// Any partition that has a leader; any at all if none has.
fn choose(leaders: &[Leader], random: &mut fastrand::Rng) -> usize {
    let available = leaders.iter().filter(|leader| leader.node_id.is_some()).count();
    if available == 0 {
        return random.usize(..leaders.len());
    }
    let chosen = random.usize(..available);
    let mut with_leader = leaders.iter().enumerate().filter(|(_, leader)| leader.node_id.is_some());
    with_leader.nth(chosen).map_or(0, |(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaders(nodes: &[Option<i32>]) -> Vec<Leader> {
        nodes.iter().map(|node_id| Leader { node_id: *node_id, leader_epoch: 0 }).collect()
    }

    #[test]
    fn a_sticky_partition_changes_when_it_has_its_share_and_a_batch_begins() {
        let leaders = leaders(&[Some(1); 8]);
        let mut random = fastrand::Rng::with_seed(1);
        let mut sticky = Sticky::default();
        let first = sticky.partition(&leaders, 100, |_| true, &mut random);
        sticky.produced(100);
        assert_eq!(sticky.partition(&leaders, 100, |_| false, &mut random), first);
        let seen: std::collections::BTreeSet<_> = (0..100)
            .map(|_| {
                sticky.produced(100);
                sticky.partition(&leaders, 100, |_| true, &mut random)
            })
            .collect();
        assert_eq!(seen.len(), 8, "every partition gets records");
    }

    #[test]
    fn partitions_without_a_leader_are_passed_over_while_there_are_others() {
        let mut random = fastrand::Rng::with_seed(1);
        let some = leaders(&[None, Some(1), None]);
        assert!((0..50).all(|_| Sticky::default().partition(&some, 1, |_| true, &mut random) == 1));
        let none = leaders(&[None, None]);
        assert!((0..50).all(|_| Sticky::default().partition(&none, 1, |_| true, &mut random) < 2));
    }
}
