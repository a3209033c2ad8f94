//! What a consumer group must know of topics, and the hash by which it notices that they changed.

use std::collections::BTreeSet;

use xxhash_rust::xxh3::xxh3_64;

use crate::types::{PartitionId, TopicId};

/// The topics of the cluster, as a consumer group sees them.
pub(crate) trait TopicCatalog {
    /// The id and the number of partitions of the topic called `name`.
    fn topic(&self, name: &str) -> Option<(TopicId, i32)>;
    /// The name of the topic with this id.
    fn name(&self, id: TopicId) -> Option<&str>;
    /// The names of all topics.
    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_>;
    /// The racks of the replicas of a partition, where they are known.
    fn racks(&self, id: TopicId, partition: PartitionId) -> Vec<String>;
    /// Rises with every change of a topic: created, deleted, more partitions, other replicas.
    fn version(&self) -> i64;
    /// The version at which a topic was last created.
    fn version_of_last_creation(&self) -> i64;
}

/// The ids of those of `names` that exist.
pub(super) fn topic_ids<'a>(topics: &dyn TopicCatalog, names: impl Iterator<Item = &'a str>) -> BTreeSet<TopicId> {
    names.filter_map(|name| topics.topic(name)).map(|(id, _)| id).collect()
}

/// The hash of the topics called `names`; those that do not exist do not count. Zero if none does.
///
/// Kafka's, bit for bit: XXH3 over the topics' hashes in the order of their names (`Utils.computeGroupHash`).
pub(super) fn metadata_hash(topics: &dyn TopicCatalog, names: &BTreeSet<&str>) -> i64 {
    let mut bytes = Vec::new();
    for name in names {
        if let Some((id, partitions)) = topics.topic(name) {
            bytes.extend(topic_hash(topics, name, id, partitions).to_le_bytes());
        }
    }
    if bytes.is_empty() { 0 } else { xxh3_64(&bytes).cast_signed() }
}

/// `Utils.computeTopicHash`: a zero byte, the id, the name, the number of partitions, and for each its number and racks.
fn topic_hash(topics: &dyn TopicCatalog, name: &str, id: TopicId, partitions: i32) -> u64 {
    let (most_significant_bits, least_significant_bits) = id.0.as_u64_pair();
    let mut bytes = vec![0];
    bytes.extend(most_significant_bits.to_le_bytes());
    bytes.extend(least_significant_bits.to_le_bytes());
    put_string(&mut bytes, name);
    put_int(&mut bytes, partitions);
    for partition in 0..partitions {
        put_int(&mut bytes, partition);
        let mut racks = topics.racks(id, PartitionId(partition));
        racks.sort_unstable();
        for rack in &racks {
            put_int(&mut bytes, length(rack));
            put_string(&mut bytes, rack);
        }
    }
    xxh3_64(&bytes)
}

/// A text as hash4j puts it: its UTF-16 units, then how many.
fn put_string(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
    put_int(bytes, length(text));
}

fn put_int(bytes: &mut Vec<u8>, number: i32) {
    bytes.extend(number.to_le_bytes());
}

/// As Java counts: in UTF-16 units.
fn length(text: &str) -> i32 {
    i32::try_from(text.encode_utf16().count()).unwrap_or(i32::MAX)
}
