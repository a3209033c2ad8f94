//! Produce: acks, what is refused before a log sees it, and what the answer says. `batches` has the rest.

use bytes::Bytes;
use system_tests::batch::Batch;
use system_tests::{Raw, Value, api, value};
use uuid::Uuid;

use crate::ask::{self, Topic, call, produce, start, topic, versions, with, write, write_bytes};
use crate::code;

#[tokio::test]
async fn every_version_writes_and_is_told_where() {
    // Spec C.8; ProduceResponse.json: times from v2, the log start from v5, errors of records from v8.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    for (version, offset) in versions(&mut connection, api::PRODUCE).await.zip((0_i64..).step_by(2)) {
        let body = produce(&topic, 0, Batch::of(["a", "b"]).encode());
        let answer = call(&mut connection, api::PRODUCE, version, body).await;
        assert_eq!(answer["responses"].array().len(), 1);
        let written = &answer["responses"][0]["partition_responses"][0];
        assert_eq!((written["error_code"].int(), written["base_offset"].int()), (0, offset), "v{version}");
        assert_eq!(written["log_append_time_ms"], -1);
        assert_eq!(written.field("log_start_offset"), (version >= 5).then(|| 0.into()).as_ref());
        assert_eq!(written.field("record_errors"), (version >= 8).then(|| value!([])).as_ref());
        assert_eq!(written.field("error_message"), (version >= 8).then_some(Value::Null).as_ref());
        if version >= 10 {
            assert_eq!(written["current_leader"]["leader_id"], -1, "only an error names the leader");
            assert_eq!(answer["node_endpoints"].array().len(), 0);
        }
        let named = if version >= 13 { topic.id.into() } else { Value::from(&topic.name) };
        assert_eq!(answer["responses"][0][if version >= 13 { "topic_id" } else { "name" }], named);
    }
    assert_eq!(ask::values(&mut connection, &topic, 0, 0).await[..2], ["a", "b"]);
}

#[tokio::test]
async fn acks_are_one_zero_or_all() {
    // Spec C.1 rule 6.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    for (acks, error_code) in [
        (1, code::NONE),
        (-1, code::NONE),
        (2, code::INVALID_REQUIRED_ACKS),
        (-2, code::INVALID_REQUIRED_ACKS),
        (i16::MAX, code::INVALID_REQUIRED_ACKS),
    ] {
        let body = with(&produce(&topic, 0, Batch::of(["a"]).encode()), "acks", acks);
        let answer = call(&mut connection, api::PRODUCE, 13, body).await;
        let written = &answer["responses"][0]["partition_responses"][0];
        assert_eq!(written["error_code"], error_code, "acks={acks}");
        if error_code != code::NONE {
            assert_eq!((written["base_offset"].int(), written["log_start_offset"].int()), (-1, -1));
        }
    }
    assert_eq!(ask::list_offsets(&mut connection, &topic, 0, -1).await["offset"], 2);
}

#[tokio::test]
async fn a_write_without_acks_is_not_answered_and_is_there_for_the_next_request() {
    // Spec C.1 rule 10, A.5 rule 3.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    for version in versions(&mut connection, api::PRODUCE).await {
        let body = with(&produce(&topic, 0, Batch::of(["a"]).encode()), "acks", 0);
        let _unanswered = ask::send(&mut connection, api::PRODUCE, version, body).await;
    }
    assert_eq!(ask::list_offsets(&mut connection, &topic, 0, -1).await["offset"], 11);
}

#[tokio::test]
async fn a_write_without_acks_that_fails_closes_the_connection() {
    // Spec C.1 rule 10; KafkaApis.handleProduceRequest: how else would the producer learn of it.
    let (broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let corrupt = Batch { crc: Some(1), ..Batch::of(["a"]) };
    for (partition, batch) in [(0, corrupt), (7, Batch::of(["a"]))] {
        let mut connection = broker.connect().await;
        let body = with(&produce(&topic, partition, batch.encode()), "acks", 0);
        let _unanswered = ask::send(&mut connection, api::PRODUCE, 13, body).await;
        connection.closed().await;
    }
}

#[tokio::test]
async fn a_partition_that_does_not_exist_is_unknown_and_is_not_created() {
    // Spec C.1 rules 2 and 3.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    for partition in [1, -1, i32::MAX] {
        let refused = write(&mut connection, &topic, partition, &Batch::of(["a"])).await;
        refused_unseen(&refused, code::UNKNOWN_TOPIC_OR_PARTITION);
        assert_eq!(refused["index"], partition);
    }
    for id in [Uuid::nil(), Uuid::from_u128(fastrand::u128(..))] {
        let nowhere = Topic { id, ..topic.clone() };
        refused_unseen(&write(&mut connection, &nowhere, 0, &Batch::of(["a"])).await, code::UNKNOWN_TOPIC_ID);
    }
    for name in ["fidelity-nowhere", "a b"] {
        let nowhere = Topic { name: name.to_owned(), ..topic.clone() };
        for version in [3, 12] {
            let body = produce(&nowhere, 0, Batch::of(["a"]).encode());
            let answer = call(&mut connection, api::PRODUCE, version, body).await;
            assert_eq!(answer["responses"][0]["name"], name);
            let refused = &answer["responses"][0]["partition_responses"][0];
            assert_eq!(refused["error_code"], code::UNKNOWN_TOPIC_OR_PARTITION);
        }
    }
    let body = value!({ topics: [{ name: "fidelity-nowhere" }], allow_auto_topic_creation: false });
    let told = call(&mut connection, api::METADATA, 12, body).await;
    assert_eq!(told["topics"][0]["error_code"], code::UNKNOWN_TOPIC_OR_PARTITION);
}

#[tokio::test]
async fn what_is_no_batch_is_an_invalid_record() {
    // Spec C.2; ProduceRequest.validateRecords: none, half a one, two, or one of an old format.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let whole = Batch::of(["a"]).encode();
    let old = |magic: i8| Batch { magic, ..Batch::of(["a"]) }.encode();
    for records in [
        Bytes::new(),
        Bytes::from_static(&[0; 11]),
        whole.slice(..whole.len() - 1),
        [&whole[..], &whole].concat().into(),
        old(0),
        old(1),
    ] {
        refused_unseen(&write_bytes(&mut connection, &topic, 0, records).await, code::INVALID_RECORD);
    }
}

#[tokio::test]
async fn what_cannot_be_a_batch_is_corrupt() {
    // Spec C.2; ByteBufferLogInputStream.nextBatchSize, DefaultRecordBatch.ensureValid.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let least = |size: i32| Some(format!("Record size {size} is less than the minimum record overhead (14)"));
    let magic = |magic: i8| Some(format!("Invalid magic found in record: {magic}"));
    let right = Batch::of(["a"]);
    for (batch, message) in [
        (Batch { batch_length: Some(13), ..right.clone() }, least(13)),
        (Batch { batch_length: Some(0), ..right.clone() }, least(0)),
        (Batch { batch_length: Some(-1), ..right.clone() }, least(-1)),
        (Batch { magic: 3, ..right.clone() }, magic(3)),
        (Batch { magic: -1, ..right.clone() }, magic(-1)),
        (Batch { batch_length: Some(14), ..right.clone() }, None),
        (Batch { batch_length: Some(48), ..right.clone() }, None),
        (Batch { crc: Some(1), ..right }, None),
    ] {
        let refused = write(&mut connection, &topic, 0, &batch).await;
        assert_eq!(refused["error_code"], code::CORRUPT_MESSAGE, "{batch:?}");
        assert_eq!((refused["base_offset"].int(), refused["log_start_offset"].int()), (-1, -1));
        assert_eq!(refused["error_message"], Value::from(message));
    }
    assert_eq!(ask::list_offsets(&mut connection, &topic, 0, -1).await["offset"], 0);
}

#[tokio::test]
async fn what_follows_the_batch_and_is_no_batch_is_ignored_while_it_is_short() {
    // Spec C.2; twelve bytes are enough to have a length that makes no sense.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let whole = Batch::of(["a"]).encode();
    let written = write_bytes(&mut connection, &topic, 0, [&whole[..], &[0; 11]].concat().into()).await;
    assert_eq!((written["error_code"].int(), written["base_offset"].int()), (0, 0));
    let read = ask::read(&mut connection, &topic, 0, 0).await;
    assert_eq!(read["records"].bytes().len(), whole.len());
    let refused = write_bytes(&mut connection, &topic, 0, [&whole[..], &[0; 12]].concat().into()).await;
    assert_eq!(refused["error_code"], code::CORRUPT_MESSAGE);
}

#[tokio::test]
async fn zstd_is_for_v7_and_later() {
    // KIP-110; ProduceRequest.validateRecords looks at the attributes alone.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let batch = Batch { attributes: 4, ..Batch::of(["a"]) };
    for version in 3..=6 {
        let answer = call(&mut connection, api::PRODUCE, version, produce(&topic, 0, batch.encode())).await;
        let refused = &answer["responses"][0]["partition_responses"][0];
        assert_eq!(refused["error_code"], code::UNSUPPORTED_COMPRESSION_TYPE, "v{version}");
    }
}

#[tokio::test]
async fn partitions_fail_one_by_one() {
    // Spec C.1 rule 9; the order of the answer is nobody's promise.
    let (_broker, mut connection) = start().await;
    let (first, second) = (topic(&mut connection, 2, &[]).await, topic(&mut connection, 1, &[]).await);
    let right = Batch::of(["a"]).encode();
    let corrupt = Batch { crc: Some(1), ..Batch::of(["a"]) }.encode();
    let body = value!({
        acks: -1, timeout_ms: 10_000,
        topic_data: [
            { topic_id: first.id, partition_data: [
                { index: 0, records: right.clone() }, { index: 1, records: corrupt }, { index: 5, records: right.clone() }
            ] },
            { topic_id: second.id, partition_data: [{ index: 0, records: right }] },
        ],
    });
    let answer = connection.call(api::PRODUCE, 13, body).await;
    let of_first = &answer["responses"].find("topic_id", first.id)["partition_responses"];
    for (index, error_code) in [(0, code::NONE), (1, code::CORRUPT_MESSAGE), (5, code::UNKNOWN_TOPIC_OR_PARTITION)] {
        assert_eq!(of_first.find("index", index)["error_code"], error_code);
    }
    let of_second = answer["responses"].find("topic_id", second.id);
    assert_eq!(of_second["partition_responses"][0]["error_code"], code::NONE);
}

#[tokio::test]
async fn of_a_partition_given_twice_the_last_batch_is_written() {
    // Seen on 4.3.1: KafkaApis.handleProduceRequest gathers the batches in a map.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let entry = |value: &str| value!({ index: 0, records: Batch::of([value]).encode() });
    let data = value!([{ topic_id: topic.id, partition_data: [entry("first"), entry("last")] }]);
    let answer = connection.call(api::PRODUCE, 13, value!({ acks: -1, timeout_ms: 1_000, topic_data: data })).await;
    assert_eq!(answer["responses"][0]["partition_responses"].array().len(), 1);
    assert_eq!(ask::values(&mut connection, &topic, 0, 0).await, ["last"]);
}

#[tokio::test]
async fn a_request_without_partitions_has_an_empty_answer_whatever_its_acks() {
    // Spec C.1 rule 5.
    let (_broker, mut connection) = start().await;
    for acks in [-1, 1, 7] {
        let answer = connection.call(api::PRODUCE, 13, value!({ acks: acks, timeout_ms: 1_000 })).await;
        assert_eq!(answer["responses"].array().len(), 0);
    }
}

#[tokio::test]
async fn the_timeout_is_no_hurry_while_one_replica_is_enough() {
    // Spec C.7: the high watermark moves with the append.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    for timeout in [0, -1, i32::MIN] {
        let body = with(&produce(&topic, 0, Batch::of(["a"]).encode()), "timeout_ms", timeout);
        let answer = call(&mut connection, api::PRODUCE, 13, body).await;
        assert_eq!(answer["responses"][0]["partition_responses"][0]["error_code"], code::NONE);
    }
}

#[tokio::test]
async fn records_of_a_transaction_need_its_id() {
    // Spec C.1 rule 1: every partition of the request is refused, control batches before they are seen to be such.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 2, &[]).await;
    let batch = Batch::of(["a"]).from_producer(5, 0, 0).transactional();
    let control = Batch { attributes: batch.attributes | system_tests::batch::CONTROL, ..batch.clone() };
    for transactional in [batch, control] {
        let partitions = value!([
            { index: 0, records: transactional.encode() }, { index: 1, records: Batch::of(["b"]).encode() }
        ]);
        let body =
            value!({ acks: -1, timeout_ms: 1_000, topic_data: [{ topic_id: topic.id, partition_data: partitions }] });
        let answer = connection.call(api::PRODUCE, 13, body).await;
        let refused = &answer["responses"][0]["partition_responses"];
        assert_eq!(refused.array().len(), 2);
        for refused in refused.array() {
            refused_unseen(refused, code::TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
        }
    }
}

#[tokio::test]
async fn the_topics_of_the_broker_itself_are_not_for_clients() {
    // Spec C.1: but for a client that calls itself __admin_client.
    let (_broker, mut connection) = start().await;
    let body = value!({ coordinator_keys: ["fidelity"], key_type: 0 });
    ask::until(&mut connection, (api::FIND_COORDINATOR, 4), body, |answer| {
        answer["coordinators"][0]["error_code"] == 0
    })
    .await;
    let internal = Topic { name: "__consumer_offsets".to_owned(), id: Uuid::nil() };
    let answer = call(&mut connection, api::PRODUCE, 12, produce(&internal, 0, Batch::of(["a"]).encode())).await;
    let refused = &answer["responses"][0]["partition_responses"][0];
    assert_eq!(refused["error_code"], code::INVALID_TOPIC_EXCEPTION);
    let deleted = ask::delete_records(&mut connection, &internal, 0, 0).await;
    assert_eq!(deleted["error_code"], code::INVALID_TOPIC_EXCEPTION);
    let told = connection.call(api::METADATA, 12, value!({ topics: [{ name: &internal.name }] })).await;
    assert_eq!(told["topics"][0]["is_internal"], true);
}

#[tokio::test]
async fn batches_sent_in_a_row_are_written_in_their_order() {
    // Spec A.5.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let mut sent = Vec::new();
    for number in 0..50 {
        let body = produce(&topic, 0, Batch::of([number.to_string()]).encode());
        sent.push(ask::send(&mut connection, api::PRODUCE, 13, body).await);
    }
    for (sent, offset) in sent.into_iter().zip(0..) {
        let written = connection.receive(sent).await;
        assert_eq!(written["responses"][0]["partition_responses"][0]["base_offset"], offset);
    }
    let values = ask::values(&mut connection, &topic, 0, 0).await;
    assert_eq!(values, (0..50).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn two_connections_share_a_partition_without_a_gap() {
    // Spec C.8: each batch has offsets of its own.
    let (broker, mut first) = start().await;
    let topic = topic(&mut first, 1, &[]).await;
    let mut second = broker.connect().await;
    let (from_first, from_second) = ask::both(many(&mut first, &topic), many(&mut second, &topic)).await;
    let mut offsets = [from_first, from_second].concat();
    offsets.sort_unstable();
    assert_eq!(offsets, (0..40).collect::<Vec<_>>());
}

async fn many(connection: &mut Raw, topic: &Topic) -> Vec<i64> {
    let mut offsets = Vec::new();
    for _ in 0..20 {
        offsets.push(ask::append(connection, topic, 0, &Batch::of(["a"])).await);
    }
    offsets
}

/// Refused before a log has seen it: nothing is known, not even where the log starts.
fn refused_unseen(refused: &Value, error_code: i16) {
    assert_eq!(refused["error_code"], error_code);
    assert_eq!((refused["base_offset"].int(), refused["log_append_time_ms"].int()), (-1, -1));
    assert_eq!(refused["log_start_offset"], -1);
    assert_eq!(refused["record_errors"].array().len(), 0);
    assert!(refused["error_message"].is_null());
}
