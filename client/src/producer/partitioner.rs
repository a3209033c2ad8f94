//! Which partition a record goes to, by its key: Java's rule, and those of librdkafka and kafka-go for teams that mix clients.
//!
//! Bit for bit the same partitions as the originals choose (`fixtures/partitioners`). Where an original chooses at random, the
//! producer spreads the records itself, batch by batch (KIP-794), which makes fewer requests.
//!
//! | here | Java | librdkafka | kafka-go |
//! | --- | --- | --- | --- |
//! | [`Murmur2`] | the default | `murmur2_random` | `Murmur2Balancer{}` |
//! | [`Murmur2Consistent`] | | `murmur2` | `Murmur2Balancer{Consistent: true}` |
//! | [`Crc32`] | | `consistent_random`, the default | `CRC32Balancer{}` |
//! | [`Crc32Consistent`] | | `consistent` | `CRC32Balancer{Consistent: true}` |
//! | [`Fnv1a`] | | `fnv1a_random` | |
//! | [`Fnv1aConsistent`] | | `fnv1a` | |
//! | [`Hash`] | | | `Hash{}` |
//! | [`ReferenceHash`] | | | `ReferenceHash{}` |
//! | [`RoundRobin`] | `RoundRobinPartitioner`, but for topics without a leader | | `RoundRobin{}`, the default |
//! | [`LeastBytes`] | | | `LeastBytes{}` |

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::record::Record;

/// Chooses partitions.
pub trait Partitioner: Send + Sync + fmt::Debug + 'static {
    /// A partition from 0 to `partition_count - 1`, which is not 0; or `None` to leave the record to the producer, which fills
    /// a batch of one partition and then goes on to another (KIP-794). Called in the order of the sends, unless several tasks
    /// send at once; it must not block. A record that names its partition is not asked about.
    fn partition(&self, record: &Record, partition_count: usize) -> Option<usize>;
}

impl<P: Partitioner + ?Sized> Partitioner for Arc<P> {
    fn partition(&self, record: &Record, partition_count: usize) -> Option<usize> {
        (**self).partition(record, partition_count)
    }
}

/// The murmur2 hash of the key; records without a key are spread. Java's rule, and the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Murmur2;

impl Partitioner for Murmur2 {
    fn partition(&self, record: &Record, partition_count: usize) -> Option<usize> {
        Some(by_murmur2(record.key.as_deref()?, partition_count))
    }
}

/// The murmur2 hash of the key; records without a key go where an empty key goes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Murmur2Consistent;

impl Partitioner for Murmur2Consistent {
    fn partition(&self, record: &Record, partition_count: usize) -> Option<usize> {
        Some(by_murmur2(record.key.as_deref().unwrap_or_default(), partition_count))
    }
}

/// The CRC-32 of the key; records without a key, or with an empty one, are spread.
#[derive(Clone, Copy, Debug, Default)]
pub struct Crc32;

impl Partitioner for Crc32 {
    fn partition(&self, record: &Record, partition_count: usize) -> Option<usize> {
        // librdkafka makes no difference between a null key and an empty one here.
        let key = record.key.as_deref().filter(|key| !key.is_empty())?;
        Some(by_crc32(key, partition_count))
    }
}

/// The CRC-32 of the key; records without a key go where an empty key goes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Crc32Consistent;

impl Partitioner for Crc32Consistent {
    fn partition(&self, record: &Record, partition_count: usize) -> Option<usize> {
        Some(by_crc32(record.key.as_deref().unwrap_or_default(), partition_count))
    }
}

/// The FNV-1a hash of the key, without its sign; records without a key are spread.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fnv1a;

impl Partitioner for Fnv1a {
    fn partition(&self, record: &Record, partition_count: usize) -> Option<usize> {
        Some(by_fnv1a(record.key.as_deref()?, partition_count))
    }
}

/// The FNV-1a hash of the key, without its sign; records without a key go where an empty key goes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fnv1aConsistent;

impl Partitioner for Fnv1aConsistent {
    fn partition(&self, record: &Record, partition_count: usize) -> Option<usize> {
        Some(by_fnv1a(record.key.as_deref().unwrap_or_default(), partition_count))
    }
}

/// kafka-go's `Hash`: the FNV-1a hash of the key, without its sign; records without a key go to the partitions in turn.
#[derive(Debug, Default)]
pub struct Hash {
    without_key: RoundRobin,
}

impl Partitioner for Hash {
    fn partition(&self, record: &Record, partition_count: usize) -> Option<usize> {
        match &record.key {
            Some(key) => Some(by_fnv1a(key, partition_count)),
            None => self.without_key.partition(record, partition_count),
        }
    }
}

/// kafka-go's `ReferenceHash`: the FNV-1a hash of the key with its sign bit masked, which is what Sarama's reference partitioner
/// does; records without a key go to the partitions in turn.
#[derive(Debug, Default)]
pub struct ReferenceHash {
    without_key: RoundRobin,
}

impl Partitioner for ReferenceHash {
    fn partition(&self, record: &Record, partition_count: usize) -> Option<usize> {
        match &record.key {
            Some(key) => Some((fnv1a(key) & 0x7fff_ffff) as usize % partition_count),
            None => self.without_key.partition(record, partition_count),
        }
    }
}

/// kafka-go's `RoundRobin`: the partitions in turn, whatever the key. It counts all records, not those of each topic.
#[derive(Debug)]
pub struct RoundRobin {
    chunk: u32,
    sent: AtomicU32,
}

impl RoundRobin {
    /// So many records go to a partition before the next one has its turn (`ChunkSize`); 0 counts as 1.
    #[must_use]
    pub fn with_chunk(records: u32) -> Self {
        Self { chunk: records.max(1), sent: AtomicU32::new(0) }
    }
}

impl Default for RoundRobin {
    fn default() -> Self {
        Self::with_chunk(1)
    }
}

impl Partitioner for RoundRobin {
    fn partition(&self, _record: &Record, partition_count: usize) -> Option<usize> {
        let turn = self.sent.fetch_add(1, Ordering::Relaxed) / self.chunk;
        Some(turn as usize % partition_count)
    }
}

/// kafka-go's `LeastBytes`: the partition that has got the fewest bytes of keys and values from this producer. It counts each
/// topic by itself, where kafka-go needs a writer for each.
#[derive(Debug, Default)]
pub struct LeastBytes {
    bytes: Mutex<HashMap<Arc<str>, Vec<u64>>>,
}

impl Partitioner for LeastBytes {
    fn partition(&self, record: &Record, partition_count: usize) -> Option<usize> {
        let mut topics = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = topics.entry(Arc::clone(&record.topic)).or_default();
        if bytes.len() != partition_count {
            *bytes = vec![0; partition_count];
        }
        let (least, sent) = bytes.iter_mut().enumerate().min_by_key(|(_, bytes)| **bytes)?;
        *sent += [&record.key, &record.value].into_iter().flatten().map(|part| part.len() as u64).sum::<u64>();
        Some(least)
    }
}

fn by_murmur2(key: &[u8], partition_count: usize) -> usize {
    // Java masks the sign bit (`Utils.toPositive`); an absolute value would differ.
    (murmur2(key) & 0x7fff_ffff) as usize % partition_count
}

fn by_crc32(key: &[u8], partition_count: usize) -> usize {
    crc32(key) as usize % partition_count
}

/// CRC-32 of IEEE 802.3. Bit by bit: keys are short, and a codec's crate may not be compiled in.
fn crc32(key: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ 0xedb8_8320 };
    !key.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

fn by_fnv1a(key: &[u8], partition_count: usize) -> usize {
    // The absolute value, as in Sarama, from which both librdkafka and kafka-go have it.
    (fnv1a(key) as i32).unsigned_abs() as usize % partition_count
}

/// FNV-1a, 32 bits.
fn fnv1a(key: &[u8]) -> u32 {
    key.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What the originals chose; remade with `partitions.sh`, which runs `DumpPartitions.java`, `partitions.py` and
    /// `partitions.go`.
    const CHOSEN: &str = include_str!("../../../fixtures/partitioners/partitions.txt");

    fn key(hex: &str) -> Vec<u8> {
        let hex = if hex == "-" { "" } else { hex };
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn every_key_goes_where_the_originals_send_it() {
        let mut compared = 0;
        for line in CHOSEN.lines() {
            let words: Vec<_> = line.split(' ').collect();
            let partitioners: Vec<Box<dyn Partitioner>> = match words[..2] {
                ["java" | "librdkafka" | "kafka-go", "murmur2"] => vec![Box::new(Murmur2), Box::new(Murmur2Consistent)],
                ["librdkafka", "consistent"] | ["kafka-go", "crc32"] => {
                    vec![Box::new(Crc32), Box::new(Crc32Consistent)]
                }
                ["librdkafka", "fnv1a"] => vec![Box::new(Fnv1a), Box::new(Fnv1aConsistent)],
                ["kafka-go", "hash"] => vec![Box::<Hash>::default()],
                ["kafka-go", "reference-hash"] => vec![Box::<ReferenceHash>::default()],
                _ => continue,
            };
            let (count, expected): (usize, usize) = (words[3].parse().unwrap(), words[4].parse().unwrap());
            let record = Record::to("t").key(key(words[2]));
            for partitioner in partitioners {
                let chosen = partitioner.partition(&record, count);
                let spread = words[2] == "-" && format!("{partitioner:?}") == "Crc32";
                assert_eq!(chosen, (!spread).then_some(expected), "{partitioner:?}: {line}");
                compared += 1;
            }
        }
        assert!(compared > 3000, "{compared}");
    }

    #[test]
    fn records_one_after_another_go_where_kafka_go_sends_them() {
        let mut series: HashMap<(String, String), Box<dyn Partitioner>> = HashMap::new();
        let lines = CHOSEN.lines().filter_map(|line| line.strip_prefix("kafka-go-series "));
        for line in lines {
            let words: Vec<_> = line.split(' ').collect();
            let entry = series.entry((words[0].to_owned(), words[2].to_owned()));
            let partitioner = entry.or_insert_with(|| match words[0] {
                "round-robin" => Box::<RoundRobin>::default(),
                "least-bytes" => Box::<LeastBytes>::default(),
                _ => Box::<Hash>::default(),
            });
            let record = Record::to("t").value(vec![0; words[1].parse().unwrap()]);
            let chosen = partitioner.partition(&record, words[2].parse().unwrap());
            assert_eq!(chosen, Some(words[3].parse().unwrap()), "{line}");
        }
        assert_eq!(series.len(), 9);
    }

    #[test]
    fn without_a_key_the_consistent_ones_take_the_empty_key_and_the_others_leave_it_to_the_producer() {
        let (none, empty) = (Record::to("t").value("v"), Record::to("t").key("").value("v"));
        for partitioner in [&Murmur2 as &dyn Partitioner, &Crc32, &Fnv1a] {
            assert_eq!(partitioner.partition(&none, 10), None, "{partitioner:?}");
        }
        for partitioner in [&Murmur2Consistent as &dyn Partitioner, &Crc32Consistent, &Fnv1aConsistent] {
            assert_eq!(partitioner.partition(&none, 10), partitioner.partition(&empty, 10), "{partitioner:?}");
        }
    }

    #[test]
    fn a_round_robin_in_chunks_stays_for_a_chunk() {
        let robin = RoundRobin::with_chunk(2);
        let chosen: Vec<_> = (0..6).filter_map(|_| robin.partition(&Record::to("t"), 3)).collect();
        assert_eq!(chosen, [0, 0, 1, 1, 2, 2]);
    }
}
