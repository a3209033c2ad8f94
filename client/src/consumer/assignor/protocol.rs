//! What members of a group tell each other through the broker, which does not look at it: subscriptions and assignments.
//!
//! Read by hand, because another member may send anything: no length is believed beyond the bytes that are there.
//!
//! ```text
//! subscription  version i16, topics [string], user_data bytes?, owned [topic string, partitions [i32]] (v1),
//!               generation_id i32 (v2), rack_id string? (v3)
//! assignment    version i16, assigned [topic string, partitions [i32]], user_data bytes?
//! ```
//!
//! Source: ConsumerProtocolSubscription.json, ConsumerProtocolAssignment.json, `ConsumerProtocol.java`.

use std::{collections::BTreeMap, sync::Arc};

use bytes::{BufMut, Bytes, BytesMut};

use crate::record::TopicPartition;

/// What we write; readers skip what they do not know.
const VERSION: i16 = 3;

/// What a member subscribes to, and what it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) topics: Vec<Arc<str>>,
    /// What an assignor told itself.
    pub(crate) user_data: Option<Bytes>,
    pub(crate) owned: Vec<TopicPartition>,
    /// The generation in which the partitions were assigned (KIP-792), -1 for none.
    pub(crate) generation_id: Option<i32>,
    pub(crate) rack_id: Option<String>,
}

impl Subscription {
    pub(crate) fn encode(&self) -> Bytes {
        let mut buffer = BytesMut::new();
        buffer.put_i16(VERSION);
        buffer.put_i32(self.topics.len() as i32);
        self.topics.iter().for_each(|topic| put_string(&mut buffer, topic));
        put_bytes(&mut buffer, self.user_data.as_ref());
        put_partitions(&mut buffer, &self.owned);
        buffer.put_i32(self.generation_id.unwrap_or(-1));
        match &self.rack_id {
            Some(rack_id) => put_string(&mut buffer, rack_id),
            None => buffer.put_i16(-1),
        }
        buffer.freeze()
    }

    /// `None` if the bytes are not a subscription. What a version lacks is as if it had not been said.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let version = reader.int16()?;
        if version < 0 {
            return None;
        }
        let mut subscription = Self { topics: reader.topics()?, user_data: reader.bytes()?, ..Self::default() };
        if version >= 1 {
            subscription.owned = reader.partitions()?;
        }
        if version >= 2 {
            subscription.generation_id = Some(reader.int32()?).filter(|generation_id| *generation_id >= 0);
        }
        if version >= 3 {
            subscription.rack_id = reader.string()?;
        }
        Some(subscription)
    }
}

/// The bytes of an assignment.
pub(crate) fn encode_assignment(partitions: &[TopicPartition]) -> Bytes {
    let mut buffer = BytesMut::new();
    buffer.put_i16(VERSION);
    put_partitions(&mut buffer, partitions);
    put_bytes(&mut buffer, None);
    buffer.freeze()
}

/// The partitions of an assignment; none in an empty one, which a member gets whom nobody assigned anything. `None` if the
/// bytes are not an assignment.
pub(crate) fn decode_assignment(bytes: &[u8]) -> Option<Vec<TopicPartition>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let mut reader = Reader(bytes);
    (reader.int16()? >= 0).then_some(())?;
    reader.partitions()
}

/// `topic string, partitions [i32]` for each topic, in order.
pub(super) fn put_partitions(buffer: &mut BytesMut, partitions: &[TopicPartition]) {
    let mut topics: BTreeMap<&Arc<str>, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        topics.entry(&partition.topic).or_default().push(partition.partition);
    }
    buffer.put_i32(topics.len() as i32);
    for (topic, mut partitions) in topics {
        put_string(buffer, topic);
        partitions.sort_unstable();
        buffer.put_i32(partitions.len() as i32);
        partitions.into_iter().for_each(|partition| buffer.put_i32(partition));
    }
}

fn put_string(buffer: &mut BytesMut, text: &str) {
    // Topics have 249 bytes at most, and racks are what brokers are configured with.
    let text = &text.as_bytes()[..text.len().min(i16::MAX as usize)];
    buffer.put_i16(text.len() as i16);
    buffer.put_slice(text);
}

fn put_bytes(buffer: &mut BytesMut, bytes: Option<&Bytes>) {
    buffer.put_i32(bytes.map_or(-1, |bytes| bytes.len() as i32));
    buffer.put_slice(bytes.map_or(&[], |bytes| &bytes[..]));
}

/// Takes values off the front; `None` where the bytes end.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn int16(&mut self) -> Option<i16> {
        Some(i16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    pub(super) fn int32(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    /// A count of elements of at least `least` bytes each, as far as there can be so many.
    fn count(&mut self, least: usize) -> Option<usize> {
        let count = usize::try_from(self.int32()?).ok()?;
        (count <= self.0.len() / least).then_some(count)
    }

    fn string(&mut self) -> Option<Option<String>> {
        let length = self.int16()?;
        if length < 0 {
            return Some(None);
        }
        Some(Some(std::str::from_utf8(self.take(length as usize)?).ok()?.to_owned()))
    }

    fn bytes(&mut self) -> Option<Option<Bytes>> {
        let length = self.int32()?;
        if length < 0 {
            return Some(None);
        }
        Some(Some(Bytes::copy_from_slice(self.take(length as usize)?)))
    }

    fn topics(&mut self) -> Option<Vec<Arc<str>>> {
        (0..self.count(2)?).map(|_| Some(self.string()??.into())).collect()
    }

    pub(super) fn partitions(&mut self) -> Option<Vec<TopicPartition>> {
        let mut partitions = Vec::new();
        for _ in 0..self.count(6)? {
            let topic: Arc<str> = self.string()??.into();
            for _ in 0..self.count(4)? {
                partitions.push(TopicPartition { topic: Arc::clone(&topic), partition: self.int32()? });
            }
        }
        Some(partitions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription() -> Subscription {
        Subscription {
            topics: vec!["a".into(), "b".into()],
            user_data: Some(Bytes::from_static(b"own")),
            owned: vec![TopicPartition::new("a", 1), TopicPartition::new("a", 2), TopicPartition::new("b", 0)],
            generation_id: Some(7),
            rack_id: Some("r".to_owned()),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(Subscription::decode(&subscription().encode()), Some(subscription()));
        let partitions = subscription().owned;
        assert_eq!(decode_assignment(&encode_assignment(&partitions)), Some(partitions));
        assert_eq!(decode_assignment(b""), Some(Vec::new()), "a member may be assigned nothing at all");
    }

    #[test]
    fn an_old_subscription_says_less() {
        let mut bytes = subscription().encode().to_vec();
        bytes[1] = 0;
        let old = Subscription::decode(&bytes).unwrap();
        assert_eq!((old.topics.len(), old.owned.len(), old.generation_id), (2, 0, None));
    }

    #[test]
    fn no_prefix_and_no_lie_costs_more_than_its_bytes() {
        let bytes = subscription().encode();
        for end in 0..bytes.len() {
            assert_eq!(Subscription::decode(&bytes[..end]), None, "{end}");
        }
        assert_eq!(Subscription::decode(b"\0\x03\x7f\xff\xff\xff"), None);
        assert_eq!(decode_assignment(b"\0\0\x7f\xff\xff\xff\0\0"), None);
    }
}
