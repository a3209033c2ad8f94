//! A Fetch response (key 1, v4-v18) that passes record batches on as they lie in the log.
//!
//! The codec crate copies the records of a partition into its buffer. This encoder writes the same bytes, checked against
//! the codec at every version in the tests below, but hands the batches to [`Outgoing`] by reference.
//!
//! Source: FetchResponse.json.

use bytes::BufMut;
use kafka_protocol::messages::FetchResponse;
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::protocol::StrBytes;

use super::outgoing::Outgoing;

/// The records of one partition, somewhere in memory.
pub(crate) trait RecordBytes {
    /// How many bytes they are.
    fn size_bytes(&self) -> usize;
    /// Puts exactly that many bytes.
    fn put(&self, out: &mut Outgoing);
}

/// Writes `response`; the records of its partitions, in its order, are `records` (the fields in `response` are empty).
pub(crate) fn encode<R: RecordBytes>(response: &FetchResponse, records: &[R], version: i16, out: &mut Outgoing) {
    let flexible = version >= 12;
    let mut records = records.iter();
    out.put(|tail| {
        tail.put_i32(response.throttle_time_ms);
        if version >= 7 {
            tail.put_i16(response.error_code);
            tail.put_i32(response.session_id);
        }
        put_count(tail, response.responses.len(), flexible);
    });
    for topic in &response.responses {
        put_topic(topic, &mut records, version, out);
    }
    if flexible {
        out.put(|tail| put_node_endpoints(tail, response, version));
    }
}

fn put_topic<'a, R: RecordBytes + 'a>(
    topic: &FetchableTopicResponse,
    records: &mut impl Iterator<Item = &'a R>,
    version: i16,
    out: &mut Outgoing,
) {
    let flexible = version >= 12;
    out.put(|tail| {
        match version {
            13.. => tail.put_slice(topic.topic_id.as_bytes()),
            12 => put_compact_string(tail, &topic.topic),
            _ => {
                tail.put_u16(u16::try_from(topic.topic.len()).expect("a topic name is at most 32767 bytes"));
                tail.put_slice(topic.topic.as_bytes());
            }
        }
        put_count(tail, topic.partitions.len(), flexible);
    });
    for partition in &topic.partitions {
        let records = records.next().expect("records for every partition");
        out.put(|tail| {
            put_partition(tail, partition, version);
            let size_bytes = records.size_bytes();
            if flexible {
                put_unsigned_varint(tail, u32::try_from(size_bytes + 1).expect("a read is bounded by fetch.max.bytes"));
            } else {
                tail.put_i32(i32::try_from(size_bytes).expect("a read is bounded by fetch.max.bytes"));
            }
        });
        records.put(out);
        if flexible {
            out.put(|tail| put_partition_tags(tail, partition));
        }
    }
    if flexible {
        out.put(|tail| tail.put_u8(0));
    }
}

/// The fields of a partition that come before its records.
fn put_partition(tail: &mut impl BufMut, partition: &PartitionData, version: i16) {
    let flexible = version >= 12;
    tail.put_i32(partition.partition_index);
    tail.put_i16(partition.error_code);
    tail.put_i64(partition.high_watermark);
    tail.put_i64(partition.last_stable_offset);
    if version >= 5 {
        tail.put_i64(partition.log_start_offset);
    }
    match &partition.aborted_transactions {
        None if flexible => tail.put_u8(0),
        None => tail.put_i32(-1),
        Some(aborted) => {
            put_count(tail, aborted.len(), flexible);
            for transaction in aborted {
                tail.put_i64(transaction.producer_id.0);
                tail.put_i64(transaction.first_offset);
                if flexible {
                    tail.put_u8(0);
                }
            }
        }
    }
    if version >= 11 {
        tail.put_i32(partition.preferred_read_replica.0);
    }
}

/// The tagged fields of a partition (v12+): what it diverged from, and who leads it. Written if they are not the defaults.
fn put_partition_tags(tail: &mut impl BufMut, partition: &PartitionData) {
    let diverging = (partition.diverging_epoch.epoch, partition.diverging_epoch.end_offset);
    let leader = (partition.current_leader.leader_id.0, partition.current_leader.leader_epoch);
    let (has_diverging, has_leader) = (diverging != (-1, -1), leader != (-1, -1));
    tail.put_u8(u8::from(has_diverging) + u8::from(has_leader));
    if has_diverging {
        tail.put_slice(&[0, 13]);
        tail.put_i32(diverging.0);
        tail.put_i64(diverging.1);
        tail.put_u8(0);
    }
    if has_leader {
        tail.put_slice(&[1, 9]);
        tail.put_i32(leader.0);
        tail.put_i32(leader.1);
        tail.put_u8(0);
    }
}

/// The tagged fields of the response: where the named leaders are (v16+, KIP-951).
fn put_node_endpoints(tail: &mut impl BufMut, response: &FetchResponse, version: i16) {
    if version < 16 || response.node_endpoints.is_empty() {
        tail.put_u8(0);
        return;
    }
    let mut field = Vec::new();
    put_count(&mut field, response.node_endpoints.len(), true);
    for node in &response.node_endpoints {
        field.put_i32(node.node_id.0);
        put_compact_string(&mut field, &node.host);
        field.put_i32(node.port);
        match &node.rack {
            None => field.put_u8(0),
            Some(rack) => put_compact_string(&mut field, rack),
        }
        field.put_u8(0);
    }
    tail.put_slice(&[1, 0]);
    put_unsigned_varint(tail, u32::try_from(field.len()).expect("a cluster of few nodes"));
    tail.put_slice(&field);
}

fn put_count(tail: &mut impl BufMut, count: usize, flexible: bool) {
    let count = i32::try_from(count).expect("no more elements than the request had");
    if flexible {
        put_unsigned_varint(tail, count.unsigned_abs() + 1);
    } else {
        tail.put_i32(count);
    }
}

fn put_compact_string(tail: &mut impl BufMut, text: &StrBytes) {
    put_unsigned_varint(tail, u32::try_from(text.len() + 1).expect("a string of the wire"));
    tail.put_slice(text.as_bytes());
}

fn put_unsigned_varint(tail: &mut impl BufMut, mut value: u32) {
    while value >= 0x80 {
        tail.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    tail.put_u8(value as u8);
}

#[cfg(test)]
mod tests {
    use bytes::{Buf, Bytes, BytesMut};
    use kafka_protocol::messages::fetch_response::{
        AbortedTransaction, EpochEndOffset, LeaderIdAndEpoch, NodeEndpoint,
    };
    use kafka_protocol::messages::{BrokerId, ProducerId, TopicName};
    use kafka_protocol::protocol::Encodable;
    use uuid::Uuid;

    use super::*;

    impl RecordBytes for Bytes {
        fn size_bytes(&self) -> usize {
            self.len()
        }

        fn put(&self, out: &mut Outgoing) {
            out.put_shared(self.clone());
        }
    }

    fn partition(index: i32, version: i16, records: &Bytes) -> PartitionData {
        let partition = PartitionData::default()
            .with_partition_index(index)
            .with_error_code(index as i16)
            .with_high_watermark(10)
            .with_last_stable_offset(9)
            .with_log_start_offset(8)
            .with_records(Some(records.clone()));
        let partition = if index % 2 == 0 {
            partition.with_aborted_transactions(None)
        } else {
            let aborted = AbortedTransaction::default().with_producer_id(ProducerId(4)).with_first_offset(5);
            partition.with_aborted_transactions(Some(vec![aborted; index as usize]))
        };
        if version < 12 || index % 3 == 0 {
            return partition;
        }
        partition
            .with_preferred_read_replica(BrokerId(3))
            .with_diverging_epoch(EpochEndOffset::default().with_epoch(2).with_end_offset(300))
            .with_current_leader(LeaderIdAndEpoch::default().with_leader_id(BrokerId(1)).with_leader_epoch(7))
    }

    fn topic(number: u128, version: i16, records: &[Bytes]) -> FetchableTopicResponse {
        let topic = FetchableTopicResponse::default()
            .with_partitions(records.iter().enumerate().map(|(i, r)| partition(i as i32, version, r)).collect());
        if version >= 13 {
            topic.with_topic_id(Uuid::from_u128(number))
        } else {
            topic.with_topic(TopicName(StrBytes::from_string(format!("topic-{number}"))))
        }
    }

    fn response(version: i16, records: &[Bytes]) -> FetchResponse {
        let mut response =
            FetchResponse::default().with_throttle_time_ms(3).with_responses(vec![topic(1, version, records); 2]);
        if version >= 7 {
            response = response.with_error_code(71).with_session_id(5);
        }
        if version >= 16 {
            let node = NodeEndpoint::default().with_node_id(BrokerId(1)).with_host(StrBytes::from_static_str("h"));
            let racked = node.clone().with_rack(Some(StrBytes::from_static_str("r"))).with_port(9092);
            response = response.with_node_endpoints(vec![node, racked]);
        }
        response
    }

    #[test]
    fn the_bytes_are_those_of_the_codec_at_every_version() {
        let sizes = [0, 1, 126, 127, 128, 20_000, 3];
        let records: Vec<Bytes> = sizes.iter().map(|size| Bytes::from(vec![0xab; *size])).collect();
        for version in 4..=18 {
            for records in [&records[..], &[]] {
                let response = response(version, records);
                let mut expected = BytesMut::new();
                response.encode(&mut expected, version).expect("the codec encodes it");
                let mut out = Outgoing::default();
                encode(&response, &[records, records].concat(), version, &mut out);
                assert_eq!(out.copy_to_bytes(out.remaining()), expected.freeze(), "version {version}");
            }
        }
    }
}
