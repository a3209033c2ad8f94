//! One refused body per rule, each with the line it is logged as. The generated bodies are in `tests/hostile`.

use super::*;
use crate::wire::schema;

const METADATA: i16 = 3;
const FETCH: i16 = 1;
const PRODUCE: i16 = 0;
const DESCRIBE_TOPIC_PARTITIONS: i16 = 75;

fn walk(api_key: i16, version: i16, body: &[u8]) -> Result<usize, String> {
    let message = schema::request(api_key).unwrap();
    check(message, version, body, &Limits::DEFAULT).map_err(|malformed| malformed.to_string())
}

fn refusal(api_key: i16, version: i16, body: &[u8]) -> String {
    walk(api_key, version, body).unwrap_err()
}

/// Fetch v13 up to the count of topics: six numbers of 4, 4, 4, 1, 4 and 4 bytes (`max_wait_ms` and on; v15 dropped
/// `replica_id` from its place, v13 still has it).
fn fetch_v13(after: &[u8]) -> Vec<u8> {
    [&[0; 4 + 4 + 4 + 4 + 1 + 4 + 4], after].concat()
}

#[test]
fn a_body_is_measured_and_what_follows_it_is_ignored() {
    // MetadataRequest.json v1: an array of names, four bytes of count and two of length.
    assert_eq!(walk(METADATA, 1, b"\0\0\0\x01\0\x01a"), Ok(7));
    assert_eq!(walk(METADATA, 1, b"\0\0\0\x01\0\x01a and more"), Ok(7));
    assert_eq!(walk(METADATA, 1, &[0xff; 4]), Ok(4), "null is every topic");
}

#[test]
fn a_lying_count_is_refused_with_the_place_it_stands_at() {
    // topics: one, with an id, partitions: u32::MAX - 1 of them.
    let mut body = fetch_v13(&[2]);
    body.extend([7; 16]);
    body.extend([0xff, 0xff, 0xff, 0xff, 0x0f]);
    body.extend([0; 12]);
    assert_eq!(
        refusal(FETCH, 13, &body),
        "Fetch v13 request: topics[0].partitions: array of 4294967294 elements in 12 bytes"
    );
    assert_eq!(
        refusal(METADATA, 1, &[0x7f, 0xff, 0xff, 0xff, 0, 0]),
        "Metadata v1 request: topics: array of 2147483647 elements in 2 bytes"
    );
    assert_eq!(refusal(METADATA, 1, &[0xff, 0xff, 0xff, 0xfe]), "Metadata v1 request: topics: length -2");
}

#[test]
fn a_count_is_held_against_the_least_size_of_an_element() {
    // Two names of at least two bytes do not fit in three.
    assert_eq!(
        refusal(METADATA, 1, &[0, 0, 0, 2, 0, 0, 0]),
        "Metadata v1 request: topics: array of 2 elements in 3 bytes"
    );
}

#[test]
fn null_is_refused_where_kafka_refuses_it() {
    // MetadataRequest.json: topics is nullable from v1.
    assert_eq!(refusal(METADATA, 0, &[0xff; 4]), "Metadata v0 request: topics: array is null");
    assert_eq!(refusal(METADATA, 1, &[0, 0, 0, 1, 0xff, 0xff]), "Metadata v1 request: topics[0].name: string is null");
}

#[test]
fn a_string_is_no_longer_than_a_short_can_say() {
    // MessageDataGenerator.generateVariableLengthReader: 0x7fff, compact or not.
    let string = |length: usize| {
        let mut body = vec![(length + 1) as u8 | 0x80, ((length + 1) >> 7) as u8 | 0x80, ((length + 1) >> 14) as u8];
        body.resize(3 + length, b'a');
        body.extend([0, 0, 0, 0, 0, 0, 1, 0]); // acks, timeout_ms, no topics, no tags
        body
    };
    assert!(walk(PRODUCE, 9, &string(0x7fff)).is_ok());
    assert_eq!(refusal(PRODUCE, 9, &string(0x8000)), "Produce v9 request: transactional_id: string of 32768 bytes");
}

#[test]
fn a_varint_has_at_most_32_bits() {
    assert_eq!(
        refusal(PRODUCE, 9, &[0x80, 0x80, 0x80, 0x80, 0x10]),
        "Produce v9 request: transactional_id: varint of more than 32 bits"
    );
    // Kafka takes a varint that is longer than it need be (ByteUtils.readUnsignedVarint).
    assert_eq!(walk(PRODUCE, 9, &[0x80, 0x00, 0, 0, 0, 0, 0, 0, 1, 0]), Ok(10));
}

#[test]
fn a_known_tag_is_refused_where_its_version_lacks_it_and_an_unknown_one_is_skipped() {
    // FetchRequest.json: ClusterId is tag 0 from v12, ReplicaState tag 1 from v15. "Tag 1 is not valid for version 13".
    let tail = |tags: &[u8]| fetch_v13(&[&[1, 1, 1], tags].concat());
    let used = tail(&[1, 0, 2, 2, b'c']).len();
    assert_eq!(walk(FETCH, 13, &tail(&[1, 0, 2, 2, b'c'])), Ok(used));
    assert_eq!(
        refusal(FETCH, 13, &tail(&[1, 1, 1, 0])),
        "Fetch v13 request: replica_state: tag 1 is not valid at this version"
    );
    assert_eq!(walk(FETCH, 13, &tail(&[1, 9, 2, 0xde, 0xad])), Ok(used));
    assert_eq!(refusal(FETCH, 13, &tail(&[1, 9, 3, 0xde, 0xad])), "Fetch v13 request: tag 9 of 3 bytes in 2");
    assert_eq!(refusal(FETCH, 13, &tail(&[3, 9, 0, 9, 0])), "Fetch v13 request: 3 tagged fields in 4 bytes");
}

#[test]
fn unknown_tags_are_counted_over_the_whole_body() {
    let limits = Limits { unknown_tagged_fields: 2, ..Limits::DEFAULT };
    let body = fetch_v13(&[1, 1, 1, 3, 7, 0, 8, 0, 9, 0]);
    let refused = check(schema::request(FETCH).unwrap(), 13, &body, &limits).unwrap_err();
    assert_eq!(refused.to_string(), "Fetch v13 request: more than 2 unknown tagged fields");
}

#[test]
fn a_nullable_struct_is_there_or_null() {
    // MessageDataGenerator.generateStructReader: negative is null; the codec takes 1 alone for present.
    let request = |marker: &[u8]| [&[1, 0, 0, 0, 0][..], marker, &[0]].concat();
    assert_eq!(walk(DESCRIBE_TOPIC_PARTITIONS, 0, &request(&[0xff])), Ok(7));
    assert_eq!(walk(DESCRIBE_TOPIC_PARTITIONS, 0, &request(&[1, 2, b'a', 0, 0, 0, 0, 0])), Ok(14));
    assert_eq!(
        refusal(DESCRIBE_TOPIC_PARTITIONS, 0, &request(&[0])),
        "DescribeTopicPartitions v0 request: cursor: struct marked 0, neither 1 nor null"
    );
}

#[test]
fn every_prefix_of_a_body_is_refused() {
    let body = fetch_v13(&[1, 1, 1, 1, 9, 2, 0xde, 0xad]);
    assert_eq!(walk(FETCH, 13, &body), Ok(body.len()));
    for length in 0..body.len() {
        assert!(walk(FETCH, 13, &body[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn the_header_is_a_message_like_any_other() {
    // RequestHeader.json: client_id keeps its two bytes of length in the flexible v2.
    let header = schema::request_header();
    let bytes = [0, 18, 0, 4, 0, 0, 0, 1, 0, 1, b'c', 0, b'b'];
    assert_eq!(check(header, 2, &bytes, &Limits::DEFAULT), Ok(12));
    let bomb = [&bytes[..11], &[0x80, 0x80, 0x80, 0x08]].concat();
    let refused = check(header, 2, &bomb, &Limits::DEFAULT).unwrap_err();
    assert_eq!(refused.to_string(), "RequestHeader v2: 16777216 tagged fields in 0 bytes");
}

#[test]
fn a_version_that_does_not_exist_is_refused() {
    assert_eq!(refusal(FETCH, 3, &[]), "Fetch v3 request: there is no such version");
}
