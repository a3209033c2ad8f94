//! Where records go that no partitioner places: to one partition until it has its share, then to another.
//!
//! Pure: the random choices come in as a generator.

use crate::cluster::metadata::Leader;

/// The partition that a topic's records without key go to, until it has its share (KIP-794, Java `BuiltInPartitioner`).
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
        queued: Option<&dyn Fn(usize) -> Option<usize>>,
        random: &mut fastrand::Rng,
    ) -> usize {
        if let Some(partition) = self.partition.filter(|partition| *partition < leaders.len()) {
            let full = self.produced_bytes >= batch_size && begins_batch(partition);
            if !full && self.produced_bytes < 2 * batch_size.max(1) {
                return partition;
            }
        }
        self.produced_bytes = 0;
        let next = choose(leaders, queued, random);
        self.partition = Some(next);
        next
    }

    /// Counts what went to the partition.
    pub(crate) fn produced(&mut self, bytes: usize) {
        self.produced_bytes += bytes;
    }
}

/// Any partition that has a leader; any at all if none has. With the lengths of their queues, one with a shorter queue more
/// often, and none that has `None`, unless all have.
fn choose(leaders: &[Leader], queued: Option<&dyn Fn(usize) -> Option<usize>>, random: &mut fastrand::Rng) -> usize {
    let mut available: Vec<usize> =
        leaders.iter().enumerate().filter(|(_, leader)| leader.node_id.is_some()).map(|(index, _)| index).collect();
    if available.is_empty() {
        return random.usize(..leaders.len());
    }
    let queues = queued.map_or_else(Vec::new, |queued| {
        available.iter().filter_map(|index| Some((*index, queued(*index)?))).collect::<Vec<_>>()
    });
    let (taken, lengths): (Vec<usize>, Vec<usize>) = queues.into_iter().unzip();
    if !taken.is_empty() {
        available = taken;
    }
    match frequencies(&lengths) {
        Some(frequencies) => {
            let drawn = random.usize(..frequencies[frequencies.len() - 1]);
            available[frequencies.partition_point(|upper| *upper <= drawn)]
        }
        None => available[random.usize(..available.len())],
    }
}

/// The cumulative frequencies of partitions by the lengths of their queues: the longest queue has 1, one that is shorter by
/// two has 3. `None` where all are equally long (`BuiltInPartitioner.updatePartitionLoadStats`).
fn frequencies(queues: &[usize]) -> Option<Vec<usize>> {
    let longest = *queues.iter().max()?;
    if queues.iter().all(|length| *length == longest) {
        return None;
    }
    let mut sum = 0;
    let add = |length: &usize| {
        sum += longest + 1 - length;
        sum
    };
    Some(queues.iter().map(add).collect())
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
        let first = sticky.partition(&leaders, 100, |_| true, None, &mut random);
        sticky.produced(100);
        assert_eq!(sticky.partition(&leaders, 100, |_| false, None, &mut random), first);
        let seen: std::collections::BTreeSet<_> = (0..100)
            .map(|_| {
                sticky.produced(100);
                sticky.partition(&leaders, 100, |_| true, None, &mut random)
            })
            .collect();
        assert_eq!(seen.len(), 8, "every partition gets records");
    }

    #[test]
    fn partitions_without_a_leader_are_passed_over_while_there_are_others() {
        let mut random = fastrand::Rng::with_seed(1);
        let some = leaders(&[None, Some(1), None]);
        assert!((0..50).all(|_| Sticky::default().partition(&some, 1, |_| true, None, &mut random) == 1));
        let none = leaders(&[None, None]);
        assert!((0..50).all(|_| Sticky::default().partition(&none, 1, |_| true, None, &mut random) < 2));
    }

    #[test]
    fn shorter_queues_get_more_as_in_java() {
        // The example in BuiltInPartitioner.updatePartitionLoadStats: queues of 0, 3 and 1 have the sums 4, 5 and 8.
        assert_eq!(frequencies(&[0, 3, 1]), Some(vec![4, 5, 8]));
        assert_eq!((frequencies(&[2, 2, 2]), frequencies(&[])), (None, None));
        let (leaders, lengths) = (leaders(&[Some(1), None, Some(1), Some(1)]), [0, 99, 3, 1]);
        let mut random = fastrand::Rng::with_seed(1);
        let mut chosen = [0; 4];
        for _ in 0..8000 {
            chosen[choose(&leaders, Some(&|index| Some(lengths[index])), &mut random)] += 1;
        }
        let expected = [4000, 0, 1000, 3000];
        for (chosen, expected) in chosen.iter().zip(expected) {
            assert!(i32::abs(chosen - expected) < 300, "{chosen} is not about {expected}");
        }
    }
}
