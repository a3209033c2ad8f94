//! The Produce request, written by hand so that record batches are sent from where they lie.
//!
//! kafka-protocol's encoder copies every batch into the request. Here the request is a list of parts: heads that we write,
//! and the batches themselves. A test holds the bytes against kafka-protocol's.
//!
//! Versions: v9 flexible; v12 adds partitions to the transaction by itself (KIP-890); v13 topic ids in place of names. Source: ProduceRequest.json.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::ProduceRequest;
use uuid::Uuid;

use crate::wire::message::{EncodedRequest, begin};

/// The first flexible version.
const FLEXIBLE: i16 = 9;
/// The first version that brokers take as implying AddPartitionsToTxn.
pub(crate) const IMPLICIT_ADD: i16 = 12;
/// The first version with topic ids.
pub(crate) const TOPIC_IDS: i16 = 13;

/// The batches of one topic.
#[derive(Debug)]
pub(crate) struct TopicData {
    pub(crate) name: Arc<str>,
    pub(crate) topic_id: Uuid,
    /// Partition and record batch.
    pub(crate) partitions: Vec<(i32, Bytes)>,
}

/// What every partition of a request shares.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms<'a> {
    pub(crate) acks: i16,
    pub(crate) timeout_ms: i32,
    pub(crate) transactional_id: Option<&'a str>,
}

/// Encodes a Produce request.
pub(crate) fn encode(terms: Terms<'_>, topics: &[TopicData], version: i16, client_id: &str) -> EncodedRequest {
    let flexible = version >= FLEXIBLE;
    let mut head = begin::<ProduceRequest>(version, client_id, 64);
    match terms.transactional_id {
        Some(id) => put_text(&mut head, id, flexible),
        None if flexible => head.put_u8(0),
        None => head.put_i16(-1),
    }
    head.put_i16(terms.acks);
    head.put_i32(terms.timeout_ms);
    put_count(&mut head, topics.len(), flexible);

    // `gap` collects what stands between two batches; the first one continues the head.
    let mut parts = Vec::with_capacity(2 * topics.iter().map(|topic| topic.partitions.len()).sum::<usize>() + 1);
    let mut gap = head.split_off(head.len());
    for topic in topics {
        put_topic(&mut gap, topic, version);
        for (partition, batch) in &topic.partitions {
            gap.put_i32(*partition);
            put_count(&mut gap, batch.len(), flexible);
            parts.push(gap.split().freeze());
            parts.push(batch.clone());
            put_tags(&mut gap, flexible);
        }
        put_tags(&mut gap, flexible);
    }
    put_tags(&mut gap, flexible);
    parts.push(gap.freeze());
    EncodedRequest::finish(head, parts)
}

fn put_topic(buffer: &mut BytesMut, topic: &TopicData, version: i16) {
    if version >= TOPIC_IDS {
        buffer.put_slice(topic.topic_id.as_bytes());
    } else {
        put_text(buffer, &topic.name, version >= FLEXIBLE);
    }
    put_count(buffer, topic.partitions.len(), version >= FLEXIBLE);
}

fn put_text(buffer: &mut BytesMut, text: &str, flexible: bool) {
    if flexible {
        put_count(buffer, text.len(), true);
    } else {
        buffer.put_i16(i16::try_from(text.len()).expect("names are checked to be short where they come in"));
    }
    buffer.put_slice(text.as_bytes());
}

/// A length or count: `i32`, or `count + 1` as an unsigned varint.
fn put_count(buffer: &mut BytesMut, count: usize, flexible: bool) {
    let count = u32::try_from(count).expect("max_request_size keeps lengths below 2 GiB");
    if !flexible {
        buffer.put_u32(count);
        return;
    }
    let mut rest = count + 1;
    while rest >= 0x80 {
        buffer.put_u8(rest as u8 | 0x80);
        rest >>= 7;
    }
    buffer.put_u8(rest as u8);
}

fn put_tags(buffer: &mut BytesMut, flexible: bool) {
    if flexible {
        buffer.put_u8(0);
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::{
        messages::produce_request::{PartitionProduceData, TopicProduceData},
        protocol::StrBytes,
    };

    use super::*;
    use crate::wire::versions::Api;

    fn topics() -> Vec<TopicData> {
        let batch = |size: usize, fill: u8| Bytes::from(vec![fill; size]);
        let first = vec![(0, batch(61, 1)), (7, batch(200, 2))];
        let second = vec![(3, batch(20_000, 3))];
        vec![
            TopicData { name: "orders".into(), topic_id: Uuid::from_u128(1), partitions: first },
            TopicData { name: "n".repeat(249).into(), topic_id: Uuid::from_u128(2), partitions: second },
        ]
    }

    #[test]
    fn the_bytes_are_those_of_the_codec() {
        for (version, id) in
            (ProduceRequest::MIN..=ProduceRequest::MAX).flat_map(|v| [(v, None), (v, Some("orders-1"))])
        {
            let terms = Terms { acks: -1, timeout_ms: 30_000, transactional_id: id };
            let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000);
            let request = request.with_transactional_id(id.map(|id| StrBytes::from_static_str(id).into()));
            let request = request.with_topic_data(
                topics()
                    .iter()
                    .map(|topic| {
                        let partitions = topic.partitions.iter().map(|(index, batch)| {
                            PartitionProduceData::default().with_index(*index).with_records(Some(batch.clone()))
                        });
                        let data = TopicProduceData::default().with_partition_data(partitions.collect());
                        match version >= TOPIC_IDS {
                            true => data.with_topic_id(topic.topic_id),
                            false => data.with_name(StrBytes::from_string(topic.name.to_string()).into()),
                        }
                    })
                    .collect(),
            );
            let expected = EncodedRequest::new(&request, version, "c").unwrap().into_frame(9);
            let ours = encode(terms, &topics(), version, "c").into_frame(9);
            assert_eq!(ours.parts.concat(), expected.parts.concat(), "v{version}");
            assert_eq!(ours.length, expected.length);
        }
    }

    #[test]
    fn a_batch_is_sent_from_where_it_lies() {
        let topics = topics();
        let frame = encode(Terms { acks: 1, timeout_ms: 1, transactional_id: None }, &topics, 13, "c").into_frame(1);
        let batch = &topics[1].partitions[0].1;
        assert!(frame.parts.iter().any(|part| part.as_ptr() == batch.as_ptr() && part.len() == batch.len()));
    }
}
