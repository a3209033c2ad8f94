//! DeleteRecords: where a log begins afterwards, and what is refused.

use system_tests::batch::Batch;
use system_tests::{api, value};

use crate::ask::{self, Topic, call, delete_records, start, topic, versions};
use crate::code;

#[tokio::test]
async fn every_version_moves_the_log_start_and_answers_with_it() {
    // Spec B.7; KIP-107.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    ask::append(&mut connection, &topic, 0, &Batch::of(["v"; 10])).await;
    for (version, offset) in versions(&mut connection, api::DELETE_RECORDS).await.zip(2_i64..) {
        let partition = value!({ partition_index: 0, offset: offset });
        let body = value!({ topics: [{ name: &topic.name, partitions: [partition] }], timeout_ms: 10_000 });
        let answer = call(&mut connection, api::DELETE_RECORDS, version, body).await;
        assert_eq!(answer["topics"][0]["name"], topic.name.as_str());
        let partition = &answer["topics"][0]["partitions"][0];
        assert_eq!((partition["error_code"].int(), partition["low_watermark"].int()), (0, offset), "v{version}");
    }
    assert_eq!(ask::list_offsets(&mut connection, &topic, 0, -2).await["offset"], 4);
}

#[tokio::test]
async fn minus_one_deletes_up_to_the_high_watermark() {
    // DeleteRecordsRequest.json.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    for count in [3, 7] {
        ask::append(&mut connection, &topic, 0, &Batch::of(vec!["v"; count as usize])).await;
        let answer = delete_records(&mut connection, &topic, 0, -1).await;
        let end = ask::list_offsets(&mut connection, &topic, 0, -1).await["offset"].int();
        assert_eq!((answer["error_code"].int(), answer["low_watermark"].int()), (0, end));
    }
    assert!(ask::values(&mut connection, &topic, 0, 10).await.is_empty());
    assert_eq!(ask::append(&mut connection, &topic, 0, &Batch::of(["next"])).await, 10);
}

#[tokio::test]
async fn below_the_log_start_nothing_changes() {
    // Spec B.7.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    ask::append(&mut connection, &topic, 0, &Batch::of(["v"; 10])).await;
    for (offset, low_watermark) in [(0, 0), (5, 5), (3, 5), (0, 5), (5, 5)] {
        let answer = delete_records(&mut connection, &topic, 0, offset).await;
        assert_eq!((answer["error_code"].int(), answer["low_watermark"].int()), (0, low_watermark));
    }
}

#[tokio::test]
async fn an_offset_that_is_negative_or_beyond_the_end_is_out_of_range() {
    // Spec B.7; Partition.deleteRecordsOnLeader.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    ask::append(&mut connection, &topic, 0, &Batch::of(["v"; 10])).await;
    for offset in [11, -2, i64::MAX, i64::MIN] {
        refused(&mut connection, &topic, 0, offset, code::OFFSET_OUT_OF_RANGE).await;
    }
}

#[tokio::test]
async fn a_partition_that_does_not_exist_is_unknown() {
    // Spec B.7.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    for partition in [1, -1, i32::MAX] {
        refused(&mut connection, &topic, partition, 0, code::UNKNOWN_TOPIC_OR_PARTITION).await;
    }
    for name in ["fidelity-nowhere", "a b", ""] {
        let nowhere = Topic { name: name.to_owned(), ..topic.clone() };
        refused(&mut connection, &nowhere, 0, 0, code::UNKNOWN_TOPIC_OR_PARTITION).await;
    }
}

#[tokio::test]
async fn a_topic_that_is_only_compacted_keeps_its_records() {
    // Spec B.7: the policy must have delete, or nothing at all (since 4.2).
    let (_broker, mut connection) = start().await;
    for (policy, error_code) in
        [("compact", code::POLICY_VIOLATION), ("compact,delete", code::NONE), ("", code::NONE), ("delete", code::NONE)]
    {
        let topic = topic(&mut connection, 1, &[("cleanup.policy", policy)]).await;
        let answer = delete_records(&mut connection, &topic, 0, 0).await;
        assert_eq!(answer["error_code"], error_code, "{policy:?}");
        assert_eq!(answer["low_watermark"], if error_code == code::NONE { 0 } else { -1 });
    }
}

#[tokio::test]
async fn each_partition_has_an_answer_of_its_own() {
    // DeleteRecordsResponse.json; a partition asked for twice is deleted up to its last offset and told once.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 2, &[]).await;
    for partition in 0..2 {
        ask::append(&mut connection, &topic, partition, &Batch::of(["v"; 5])).await;
    }
    let entry = |index: i32, offset: i64| value!({ partition_index: index, offset: offset });
    let partitions = value!([entry(0, 1), entry(1, 9), entry(5, 0), entry(0, 2)]);
    let body = value!({ topics: [{ name: &topic.name, partitions: partitions }], timeout_ms: 10_000 });
    let answer = call(&mut connection, api::DELETE_RECORDS, 2, body).await["topics"][0]["partitions"].clone();
    assert_eq!(answer.array().len(), 3, "{answer:?}");
    assert_eq!(answer.find("partition_index", 0)["low_watermark"], 2);
    assert_eq!(answer.find("partition_index", 1)["error_code"], code::OFFSET_OUT_OF_RANGE);
    assert_eq!(answer.find("partition_index", 5)["error_code"], code::UNKNOWN_TOPIC_OR_PARTITION);
}

#[tokio::test]
async fn what_was_deleted_cannot_be_read_and_what_is_left_of_a_batch_comes_whole() {
    // Spec B.7, D.5: the log start may lie within a batch; the batch stays as it was.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    ask::append(&mut connection, &topic, 0, &Batch::of(["v"; 10])).await;
    delete_records(&mut connection, &topic, 0, 4).await;
    let below = ask::read(&mut connection, &topic, 0, 3).await;
    assert_eq!(below["error_code"], code::OFFSET_OUT_OF_RANGE);
    let left = ask::read(&mut connection, &topic, 0, 4).await;
    assert_eq!((left["error_code"].int(), left["log_start_offset"].int()), (0, 4));
    let batches = Batch::decode_all(left["records"].bytes().clone());
    assert_eq!((batches.len(), batches[0].base_offset, batches[0].record_count), (1, 0, 10));
    let written = ask::write(&mut connection, &topic, 0, &Batch::of(["w"])).await;
    assert_eq!(written["log_start_offset"], 4);
}

async fn refused(connection: &mut system_tests::Raw, topic: &Topic, partition: i32, offset: i64, error_code: i16) {
    let answer = delete_records(connection, topic, partition, offset).await;
    assert_eq!(answer["error_code"], error_code, "partition {partition}, offset {offset}");
    assert_eq!(answer["low_watermark"], -1);
    assert_eq!(answer["partition_index"], partition);
}
