//! Which partition a record goes to: murmur2 of its key as in Java, or the sticky partition of its topic.
//!
//! Pure: the random choices come in as a generator.

use std::fmt;

use crate::cluster::metadata::Leader;

/// Chooses the partition of a record that has a key. Records without a key are spread evenly by the producer.
pub trait Partitioner: Send + Sync + fmt::Debug + 'static {
    /// A partition from 0 to `partition_count - 1`. Called in the order of the sends; it must not block.
    fn partition(&self, topic: &str, key: &[u8], partition_count: usize) -> usize;
}

/// Java's default: the murmur2 hash of the key, without its sign, modulo the number of partitions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Murmur2;

impl Partitioner for Murmur2 {
    fn partition(&self, _topic: &str, key: &[u8], partition_count: usize) -> usize {
        // Java masks the sign bit (`Utils.toPositive`); an absolute value would differ.
        (murmur2(key) & 0x7fff_ffff) as usize % partition_count
    }
}

/// Kafka's `Utils.murmur2`: MurmurHash2, 32 bits, with Kafka's seed.
fn murmur2(key: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let mut hash = SEED ^ key.len() as u32;
    let (words, tail) = key.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    if !tail.is_empty() {
        for (index, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

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

    #[test]
    fn murmur2_is_kafkas() {
        // UtilsTest.testMurmur2 of Apache Kafka.
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
    }

    #[test]
    fn the_sign_is_masked_and_not_negated() {
        assert_eq!(Murmur2.partition("t", b"21", 10), (-973_932_308_i32 & i32::MAX) as usize % 10);
    }

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
