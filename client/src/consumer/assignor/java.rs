//! The order in which Java's hash tables are walked, on which some results of its assignors depend.
//!
//! A `HashMap` is walked bucket by bucket, and within a bucket in the order of insertion (as long as a bucket is short enough
//! to be a list, which it is for anything but chosen keys). Source: `java.util.HashMap`, `String.hashCode`,
//! `TopicPartition.hashCode`.

use crate::record::TopicPartition;

/// `HashMap.DEFAULT_INITIAL_CAPACITY`.
const INITIAL_CAPACITY: usize = 16;

fn string_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

fn partition_hash(partition: &TopicPartition) -> i32 {
    (31_i32.wrapping_add(partition.partition)).wrapping_mul(31).wrapping_add(string_hash(&partition.topic))
}

/// The bucket of a hash in a table that came to hold `count` entries (load factor 0.75).
fn bucket(hash: i32, count: usize) -> usize {
    let mut capacity = INITIAL_CAPACITY;
    while count * 4 > capacity * 3 {
        capacity *= 2;
    }
    let hash = hash as u32;
    (hash ^ (hash >> 16)) as usize & (capacity - 1)
}

/// Puts keys that are in the order of their insertion into the order in which a `HashMap` has them.
pub(super) fn sort_by_string<T>(entries: &mut [T], key: impl Fn(&T) -> &str) {
    let count = entries.len();
    entries.sort_by_key(|entry| bucket(string_hash(key(entry)), count));
}

/// The first partition of a `HashSet` with these, in the order of their insertion, that held `most` of them at once.
pub(super) fn first_partition(partitions: &[TopicPartition], most: usize) -> Option<&TopicPartition> {
    partitions.iter().min_by_key(|partition| bucket(partition_hash(partition), most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_javas() {
        // "foo".hashCode(), and Objects.hash of a partition as TopicPartition computes it.
        assert_eq!(string_hash("foo"), 101_574);
        assert_eq!(
            string_hash("consumer-1-ffffffff"),
            "consumer-1-ffffffff"
                .bytes()
                .fold(0_i32, |hash, byte| { hash.wrapping_mul(31).wrapping_add(i32::from(byte)) })
        );
        assert_eq!(partition_hash(&TopicPartition::new("foo", 3)), 34 * 31 + 101_574);
    }
}
