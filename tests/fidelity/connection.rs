//! Frames and headers: what is answered, in which order, and what ends the connection.

use std::time::Duration;

use bytes::BufMut;
use mockbroker::schema;
use system_tests::raw::header;
use system_tests::{Raw, api, codec, value};

use crate::ask::{self, call, start, topic};
use crate::code;

/// Long enough to see that a broker does not answer yet, short enough to wait for.
const A_MOMENT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    // Spec A.5; SocketServer.scala mutes a channel until its response is written.
    let (_broker, mut connection) = start().await;
    let mut sent = Vec::new();
    for _ in 0..20 {
        sent.push(connection.send(api::METADATA, 4, value!({ topics: null })).await);
        sent.push(connection.send(api::API_VERSIONS, 0, value!({})).await);
        sent.push(connection.send(api::LIST_OFFSETS, 5, value!({ replica_id: -1 })).await);
    }
    for sent in sent {
        connection.receive(sent).await;
    }
}

#[tokio::test]
async fn a_waiting_fetch_holds_back_what_was_sent_behind_it() {
    // Spec A.5 rule 2: one request at a time on a connection.
    let (broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let mut waiting = broker.connect().await;
    let patient = ask::with(&ask::fetch(&topic, 0, 0), "max_wait_ms", 30_000);
    let fetch = ask::send(&mut waiting, api::FETCH, 17, patient).await;
    let behind = waiting.send(api::API_VERSIONS, 0, value!({})).await;
    assert!(waiting.is_silent_for(A_MOMENT).await, "something was answered before the fetch");

    ask::append(&mut connection, &topic, 0, &system_tests::batch::Batch::of(["woken"])).await;
    let fetched = waiting.receive(fetch).await;
    assert_eq!(fetched["responses"][0]["partitions"][0]["high_watermark"], 1);
    assert_eq!(waiting.receive(behind).await["error_code"], code::NONE);
}

#[tokio::test]
async fn a_waiting_connection_holds_back_no_other() {
    // Spec A.5: muting is per connection.
    let (broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let mut waiting = broker.connect().await;
    let patient = ask::with(&ask::fetch(&topic, 0, 0), "max_wait_ms", 30_000);
    let _fetch = ask::send(&mut waiting, api::FETCH, 17, patient).await;
    connection.call(api::API_VERSIONS, 0, value!({})).await;
    assert!(waiting.is_silent_for(A_MOMENT).await);
}

#[tokio::test]
async fn the_correlation_id_comes_back_whatever_it_is() {
    // Spec A.2: it is copied, and in no order.
    let (_broker, mut connection) = start().await;
    let request = schema::request(api::METADATA).unwrap();
    for correlation_id in [0, 7, 7, -1, i32::MIN, i32::MAX] {
        let mut frame = header(request, 9, correlation_id, None);
        frame.extend(codec::encode(request, 9, &value!({})));
        connection.send_frame(&frame).await;
        let answer = connection.read_frame().await;
        assert_eq!(&answer[..4], correlation_id.to_be_bytes());
    }
}

#[tokio::test]
async fn a_client_may_have_no_name() {
    // Spec A.2: a null client id is "".
    let (_broker, mut connection) = start().await;
    for client_id in [None, Some(String::new()), Some("ä ".repeat(1_000))] {
        connection.client_id = client_id;
        let answer = connection.call(api::METADATA, 9, value!({ topics: [] })).await;
        assert_eq!(answer["topics"].array().len(), 0);
    }
}

#[tokio::test]
async fn a_request_may_come_in_pieces_and_two_in_one() {
    // Spec A.1: only the length tells where a request ends.
    let (_broker, mut connection) = start().await;
    let request = schema::request(api::METADATA).unwrap();
    let mut bytes = Vec::new();
    for correlation_id in [1, 2] {
        let mut frame = header(request, 1, correlation_id, Some("pieces"));
        frame.extend(codec::encode(request, 1, &value!({ topics: [] })));
        bytes.put_i32(frame.len().try_into().unwrap());
        bytes.extend(frame);
    }
    for byte in &bytes {
        connection.send_bytes(&[*byte]).await;
    }
    connection.send_bytes(&bytes).await;
    for correlation_id in [1_i32, 2, 1, 2] {
        assert_eq!(&connection.read_frame().await[..4], correlation_id.to_be_bytes());
    }
}

#[tokio::test]
async fn an_impossible_length_closes_the_connection() {
    // Spec A.1 rules 2 and 4; NetworkReceive.java, `socket.request.max.bytes`.
    let (broker, _) = start().await;
    for length in [-1, i32::MIN, 0, 104_857_601, i32::MAX] {
        let mut connection = broker.connect().await;
        connection.send_bytes(&length.to_be_bytes()).await;
        connection.closed().await;
    }
}

#[tokio::test]
async fn a_frame_too_short_for_a_header_closes_the_connection() {
    // Spec A.3; RequestHeader.parse.
    let (broker, _) = start().await;
    for size in 1..10 {
        let mut connection = broker.connect().await;
        connection.send_frame(&[0, 3, 0, 1, 0, 0, 0, 1, 0, 9][..size]).await;
        connection.closed().await;
    }
}

#[tokio::test]
async fn an_api_that_does_not_exist_closes_the_connection() {
    // Spec A.3: unknown keys, the removed 4 to 7, and those of controllers.
    let (broker, _) = start().await;
    for api_key in [-1, 4, 5, 6, 7, 52, 53, 54, 56, 58, 59, 62, 63, 67, 70, 73, 82, 93, 9_999, i16::MAX, i16::MIN] {
        let mut connection = broker.connect().await;
        let mut frame = api_key.to_be_bytes().to_vec();
        frame.extend([0, 0, 0, 0, 0, 1, 0xff, 0xff]);
        connection.send_frame(&frame).await;
        connection.closed().await;
    }
}

#[tokio::test]
async fn a_version_nobody_speaks_closes_the_connection() {
    // Spec A.3, for every API but ApiVersions; Produce 0 to 2 are advertised and closed all the same (KAFKA-18659).
    let (broker, mut connection) = start().await;
    let advertised = connection.call(api::API_VERSIONS, 0, value!({})).await;
    for range in advertised["api_keys"].array().iter().filter(|range| range["api_key"] != api::API_VERSIONS) {
        let api_key = i16::try_from(range["api_key"].int()).unwrap();
        let request = schema::request(api_key).unwrap();
        let max = i16::try_from(range["max_version"].int()).unwrap();
        let below = request.versions.min.max(i16::try_from(range["min_version"].int()).unwrap()) - 1;
        for version in [below, max + 1, i16::MAX] {
            let mut connection = broker.connect().await;
            let mut frame = header(request, version, 1, Some("raw"));
            frame.extend([0; 64]);
            connection.send_frame(&frame).await;
            connection.closed().await;
        }
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_read_closes_the_connection() {
    // Spec A.3; AbstractRequest.parseRequest throws InvalidRequestException.
    let (broker, _) = start().await;
    let bodies: [(i16, i16, &[u8]); 10] = [
        (api::METADATA, 1, &[]),
        (api::METADATA, 1, &[0, 0, 0]),
        (api::METADATA, 1, &[0, 0, 0, 1]),
        // A million topics in no bytes, and more than fit in memory.
        (api::METADATA, 1, &[0, 15, 0x42, 0x40]),
        (api::METADATA, 1, &[0x7f, 0xff, 0xff, 0xff]),
        // A name that is longer than the body, and one that is null.
        (api::METADATA, 1, &[0, 0, 0, 1, 0, 9, b'a']),
        (api::METADATA, 1, &[0, 0, 0, 1, 0xff, 0xff]),
        // An array that is null and may not be: topics of CreateTopics v2, its timeout, validate_only.
        (api::CREATE_TOPICS, 2, &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0]),
        // A varint without end.
        (api::METADATA, 9, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        // A flexible body whose tagged fields are missing.
        (api::METADATA, 12, &[1, 1, 0]),
    ];
    for (api_key, version, body) in bodies {
        let mut connection = broker.connect().await;
        send_body(&mut connection, api_key, version, body).await;
        connection.closed().await;
    }
}

#[tokio::test]
async fn a_string_longer_than_32767_bytes_closes_the_connection() {
    // Generated `read` methods: "had invalid length"; a compact length could say more than a short.
    let (broker, mut connection) = start().await;
    let ask_for = |size: usize| value!({ topics: [{ name: "x".repeat(size) }], allow_auto_topic_creation: false });
    let answer = connection.call(api::METADATA, 9, ask_for(32_767)).await;
    assert_eq!(answer["topics"][0]["error_code"], code::INVALID_TOPIC_EXCEPTION);
    let mut connection = broker.connect().await;
    let _never = connection.send(api::METADATA, 9, ask_for(32_768)).await;
    connection.closed().await;
}

#[tokio::test]
async fn bytes_after_the_body_are_ignored() {
    // Spec A.3.
    let (_broker, mut connection) = start().await;
    for version in [1, 12] {
        let request = schema::request(api::METADATA).unwrap();
        let mut body = codec::encode(request, version, &value!({ topics: [] }));
        body.extend([1, 2, 3, 4, 5]);
        send_body(&mut connection, api::METADATA, version, &body).await;
        connection.read_frame().await;
    }
    connection.call(api::API_VERSIONS, 0, value!({})).await;
}

#[tokio::test]
async fn tagged_fields_nobody_knows_are_skipped() {
    // KIP-482: in the header, at the top and within.
    let (_broker, mut connection) = start().await;
    let unknown = value!([{ tag: 77, data: &[1, 2, 3] }, { tag: 5_000, data: &[] }]);
    let topic = value!({ name: "fidelity-no-such-topic", unknown_tags: unknown.clone() });
    let body = value!({ topics: [topic], allow_auto_topic_creation: false, unknown_tags: unknown });
    let answer = connection.call(api::METADATA, 12, body).await;
    assert_eq!(answer["topics"][0]["error_code"], code::UNKNOWN_TOPIC_OR_PARTITION);

    // The header's own: one tag, 9, of two bytes.
    let mut frame = vec![0, 3, 0, 9, 0, 0, 0, 1, 0xff, 0xff, 1, 9, 2, 0xab, 0xcd];
    frame.extend(codec::encode(schema::request(api::METADATA).unwrap(), 9, &value!({ topics: [] })));
    connection.send_frame(&frame).await;
    assert_eq!(&connection.read_frame().await[..4], [0, 0, 0, 1]);
}

#[tokio::test]
async fn a_tag_that_belongs_to_another_version_closes_the_connection() {
    // Seen on 4.3.1: the generated reader throws "Tag 1 is not valid for version 13" (ReplicaState is of v15).
    let (broker, _) = start().await;
    let mut connection = broker.connect().await;
    let body = value!({ max_wait_ms: 0, unknown_tags: [{ tag: 1, data: &[0; 13] }] });
    let _never = connection.send(api::FETCH, 13, body).await;
    connection.closed().await;
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_disturbs_nobody() {
    // Spec A.5 rule 4: a response for a connection that is gone is discarded.
    let (broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    for _ in 0..5 {
        let mut leaving = broker.connect().await;
        leaving.send_bytes(&[0, 0, 1, 0, 0, 3]).await;
        drop(leaving);
        let mut waiting = broker.connect().await;
        let _never =
            ask::send(&mut waiting, api::FETCH, 17, ask::with(&ask::fetch(&topic, 0, 0), "max_wait_ms", 500)).await;
        drop(waiting);
    }
    ask::append(&mut connection, &topic, 0, &system_tests::batch::Batch::of(["still here"])).await;
    assert_eq!(call(&mut connection, api::API_VERSIONS, 0, value!({})).await["error_code"], code::NONE);
}

/// Sends a request of which only the header is right.
async fn send_body(connection: &mut Raw, api_key: i16, version: i16, body: &[u8]) {
    let mut frame = header(schema::request(api_key).expect("it exists"), version, 1, Some("raw"));
    frame.extend(body);
    connection.send_frame(&frame).await;
}
