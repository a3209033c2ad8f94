//! What consumers of classic groups say to each other: ConsumerProtocolSubscription and ConsumerProtocolAssignment, v3.

use bytes::{BufMut, Bytes, BytesMut};

/// What a consumer says that reads `topic` and owns these partitions of it.
#[must_use]
pub fn subscription(topic: &str, owned: &[i32]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(3);
    bytes.put_i32(1);
    put_string(&mut bytes, topic);
    bytes.put_i32(-1);
    put_partitions(&mut bytes, topic, owned);
    bytes.put_i32(-1);
    bytes.put_i16(-1);
    bytes.freeze()
}

/// What a leader assigns: these partitions of `topic`.
#[must_use]
pub fn assignment(topic: &str, partitions: &[i32]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(3);
    put_partitions(&mut bytes, topic, partitions);
    bytes.put_i32(-1);
    bytes.freeze()
}

/// The partitions of an assignment of at most one topic, in order.
///
/// # Panics
///
/// If there are more topics, or bytes that say nothing.
#[must_use]
pub fn assigned(assignment: &[u8]) -> Vec<i32> {
    let number = |at: usize| {
        let bytes = assignment.get(at..at + 4).expect("a number");
        i32::from_be_bytes(bytes.try_into().expect("four bytes"))
    };
    let topics = number(2);
    if topics == 0 {
        return Vec::new();
    }
    assert_eq!(topics, 1, "{assignment:?}");
    let name = usize::from(u16::from_be_bytes([assignment[6], assignment[7]]));
    let count = usize::try_from(number(8 + name)).expect("a count");
    let mut partitions: Vec<_> = (0..count).map(|index| number(12 + name + 4 * index)).collect();
    partitions.sort_unstable();
    partitions
}

fn put_partitions(bytes: &mut BytesMut, topic: &str, partitions: &[i32]) {
    bytes.put_i32(1);
    put_string(bytes, topic);
    bytes.put_i32(partitions.len().try_into().expect("few partitions"));
    partitions.iter().for_each(|partition| bytes.put_i32(*partition));
}

fn put_string(bytes: &mut BytesMut, text: &str) {
    bytes.put_i16(text.len().try_into().expect("a short name"));
    bytes.put_slice(text.as_bytes());
}
