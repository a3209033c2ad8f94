//! In which order Kafka goes through members, topics and partitions: that of Java's hash tables. It decides who gets one
//! partition more and which partition goes where, which tests against a Kafka do see.
//!
//! The order of two things in one bucket is that in which they were put in, of which not all is known here: two members of
//! one bucket go by their place in Kafka's own table of members, and two of one place there by their id.

use crate::types::{PartitionId, TopicId};

/// Sorts members as Kafka's map of them is walked along. The `newest` one is not in Kafka's table of members yet and is put
/// into the map last.
pub(super) fn sort_members(members: &mut [&str], newest: Option<&str>) {
    let capacity = table_size(members.len());
    let known = members.len() - usize::from(newest.is_some_and(|newest| members.contains(&newest)));
    members.sort_by_key(|member_id| {
        let hash = string_hash(member_id);
        (bucket(hash, capacity), Some(*member_id) == newest, timeline_slot(hash, known), *member_id)
    });
}

/// Sorts topics as a `HashMap` of them is walked along.
pub(super) fn sort_topics(topics: &mut [TopicId], capacity: usize) {
    topics.sort_by_key(|topic_id| (bucket(uuid_hash(*topic_id), capacity), *topic_id));
}

/// Sorts partitions as a `HashSet` made of a list of them is walked along.
pub(super) fn sort_partitions(partitions: &mut [PartitionId]) {
    let capacity = copied_table_size(partitions.len());
    partitions.sort_by_key(|partition| (bucket(partition.0, capacity), *partition));
}

/// The size of a `HashMap` into which `entries` were put one by one.
pub(super) fn table_size(entries: usize) -> usize {
    let mut capacity = 16;
    while entries > capacity / 4 * 3 {
        capacity *= 2;
    }
    capacity
}

/// The size of a `HashSet` that was made of a collection (JDK 17).
pub(super) fn copied_table_size(entries: usize) -> usize {
    (entries * 4 / 3 + 1).max(16).next_power_of_two()
}

fn bucket(hash: i32, capacity: usize) -> usize {
    let hash = hash.cast_unsigned();
    (hash ^ (hash >> 16)) as usize & (capacity - 1)
}

/// `BaseHashTable.findSlot` in a table of `entries` that has only grown.
fn timeline_slot(hash: i32, entries: usize) -> u64 {
    let mut capacity = 2_usize;
    while entries * 3 > capacity * 4 {
        capacity *= 2;
    }
    let product = i64::from(hash).wrapping_mul(-7_046_029_254_386_353_131).cast_unsigned();
    product >> (64 - capacity.trailing_zeros())
}

/// `String.hashCode`.
fn string_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0, |hash: i32, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// `Uuid.hashCode`.
fn uuid_hash(id: TopicId) -> i32 {
    let (most, least) = id.0.as_u64_pair();
    let both = most ^ least;
    ((both >> 32) as u32 ^ both as u32).cast_signed()
}
