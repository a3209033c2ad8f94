//! ListOffsets and OffsetForLeaderEpoch: where a partition begins and ends, and what was written when.

use system_tests::batch::{Batch, Record};
use system_tests::{Raw, Value, api, value};

use crate::ask::{self, Topic, append, call, offset_at, start, topic, versions, with};
use crate::code;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;

/// Error, timestamp, offset and, from v4 on, epoch.
type Answer = (i16, i64, i64, Option<i64>);

#[tokio::test]
async fn every_version_has_the_special_timestamps_it_knows() {
    // Spec D.7; KIP-734, KIP-405, KIP-1005, KIP-1023. What a version does not know is UNSUPPORTED_VERSION.
    let (_broker, mut connection) = start().await;
    let topic = four_batches(&mut connection).await;
    for version in versions(&mut connection, api::LIST_OFFSETS).await {
        for (timestamp, since, right) in [
            (LATEST, 1, (code::NONE, -1, 8, 0)),
            (EARLIEST, 1, (code::NONE, -1, 0, 0)),
            (MAX_TIMESTAMP, 7, (code::NONE, 3_000, 2, 0)),
            (EARLIEST_LOCAL, 8, (code::NONE, -1, 0, 0)),
            (LATEST_TIERED, 9, (code::NONE, -1, -1, -1)),
            (EARLIEST_PENDING_UPLOAD, 11, (code::NONE, -1, -1, -1)),
            (-7, i16::MAX, (code::NONE, -1, -1, -1)),
            (i64::MIN, i16::MAX, (code::NONE, -1, -1, -1)),
        ] {
            let right = if version >= since { right } else { (code::UNSUPPORTED_VERSION, -1, -1, -1) };
            let right: Answer = (right.0, right.1, right.2, (version >= 4).then_some(right.3));
            assert_eq!(list(&mut connection, version, &topic, 0, timestamp).await, right, "v{version}: {timestamp}");
        }
    }
}

#[tokio::test]
async fn a_timestamp_finds_the_first_record_that_is_not_older() {
    // Spec D.7: by offset, not by time; with the epoch of its batch.
    let (_broker, mut connection) = start().await;
    let topic = four_batches(&mut connection).await;
    for version in versions(&mut connection, api::LIST_OFFSETS).await {
        let epoch = (version >= 4).then_some(0);
        for (timestamp, found, offset) in
            [(0, 1_000, 0), (1_000, 1_000, 0), (1_001, 3_000, 2), (2_000, 3_000, 2), (3_000, 3_000, 2)]
        {
            let right = (code::NONE, found, offset, epoch);
            assert_eq!(list(&mut connection, version, &topic, 0, timestamp).await, right, "v{version}: {timestamp}");
        }
        let none = (code::NONE, -1, -1, (version >= 4).then_some(-1));
        assert_eq!(list(&mut connection, version, &topic, 0, 3_001).await, none);
        assert_eq!(list(&mut connection, version, &topic, 0, i64::MAX).await, none);
    }
}

#[tokio::test]
async fn a_timestamp_is_searched_for_within_a_batch() {
    // Spec D.7: records of a batch may be in any order of time.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let records = [0, 500, 200, 900].map(|timestamp_delta| Record { timestamp_delta, ..Record::default() });
    let batch = Batch { base_timestamp: 1_000, ..Batch::of_records(records) };
    append(&mut connection, &topic, 0, &batch).await;
    for (timestamp, found, offset) in [(1_000, 1_000, 0), (1_001, 1_500, 1), (1_200, 1_500, 1), (1_501, 1_900, 3)] {
        let right = (code::NONE, found, offset, Some(0));
        assert_eq!(list(&mut connection, 10, &topic, 0, timestamp).await, right, "{timestamp}");
    }
    assert_eq!(list(&mut connection, 10, &topic, 0, MAX_TIMESTAMP).await, (code::NONE, 1_900, 3, Some(0)));
}

#[tokio::test]
async fn an_empty_partition_begins_and_ends_at_zero_and_has_no_timestamps() {
    // Spec D.7.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    for timestamp in [LATEST, EARLIEST, EARLIEST_LOCAL] {
        assert_eq!(list(&mut connection, 10, &topic, 0, timestamp).await, (code::NONE, -1, 0, Some(0)), "{timestamp}");
    }
    for timestamp in [MAX_TIMESTAMP, LATEST_TIERED, 0, 1_000] {
        assert_eq!(
            list(&mut connection, 10, &topic, 0, timestamp).await,
            (code::NONE, -1, -1, Some(-1)),
            "{timestamp}"
        );
    }
}

#[tokio::test]
async fn what_was_deleted_is_not_found_by_its_time_but_may_still_be_the_newest() {
    // Spec D.7: searching begins at the log start. Seen on 4.3.1: MAX_TIMESTAMP does not look at it, and names an offset
    // that cannot be read any more.
    let (_broker, mut connection) = start().await;
    let topic = four_batches(&mut connection).await;
    ask::delete_records(&mut connection, &topic, 0, 3).await;
    for (timestamp, right) in [
        (LATEST, (code::NONE, -1, 8, Some(0))),
        (EARLIEST, (code::NONE, -1, 3, Some(0))),
        (EARLIEST_LOCAL, (code::NONE, -1, 3, Some(0))),
        (0, (code::NONE, 3_000, 3, Some(0))),
        (MAX_TIMESTAMP, (code::NONE, 3_000, 2, Some(0))),
    ] {
        assert_eq!(list(&mut connection, 10, &topic, 0, timestamp).await, right, "{timestamp}");
    }
    ask::delete_records(&mut connection, &topic, 0, -1).await;
    assert_eq!(list(&mut connection, 10, &topic, 0, EARLIEST).await, (code::NONE, -1, 8, Some(0)));
    assert_eq!(list(&mut connection, 10, &topic, 0, 0).await, (code::NONE, -1, -1, Some(-1)));
}

#[tokio::test]
async fn all_records_of_a_batch_have_the_brokers_time_where_the_topic_says_so() {
    // Spec D.7: LogAppendTime.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[("message.timestamp.type", "LogAppendTime")]).await;
    let written = ask::write(&mut connection, &topic, 0, &Batch::of(["a", "b"])).await;
    let time = written["log_append_time_ms"].int();
    for timestamp in [6, time, MAX_TIMESTAMP] {
        assert_eq!(list(&mut connection, 10, &topic, 0, timestamp).await, (code::NONE, time, 0, Some(0)));
    }
    assert_eq!(list(&mut connection, 10, &topic, 0, time + 1).await, (code::NONE, -1, -1, Some(-1)));
}

#[tokio::test]
async fn an_isolation_level_moves_the_end_only_where_there_are_transactions() {
    // Spec D.7: without them the last stable offset is the high watermark.
    let (_broker, mut connection) = start().await;
    let topic = four_batches(&mut connection).await;
    for version in versions(&mut connection, api::LIST_OFFSETS).await.filter(|version| *version >= 2) {
        for (timestamp, offset) in [(LATEST, 8), (0, 0), (2_500, 2)] {
            let body = with(&offset_at(&topic, 0, timestamp), "isolation_level", 1);
            let answer = call(&mut connection, api::LIST_OFFSETS, version, body).await;
            assert_eq!(answer["topics"][0]["partitions"][0]["offset"], offset, "v{version}: {timestamp}");
        }
    }
}

#[tokio::test]
async fn an_epoch_that_is_not_the_leaders_is_refused() {
    // KIP-320; -1 is "nobody asked". Seen on 4.3.1: any other negative number is an old epoch here, but not in Fetch.
    let (_broker, mut connection) = start().await;
    let topic = four_batches(&mut connection).await;
    for version in versions(&mut connection, api::LIST_OFFSETS).await.filter(|version| *version >= 4) {
        for (epoch, error_code) in EPOCHS {
            let partition = value!({ partition_index: 0, timestamp: LATEST, current_leader_epoch: epoch });
            let body =
                with(&offset_at(&topic, 0, 0), "topics", value!([{ name: &topic.name, partitions: [partition] }]));
            let answer = call(&mut connection, api::LIST_OFFSETS, version, body).await;
            assert_eq!(answer["topics"][0]["partitions"][0]["error_code"], error_code, "v{version}: {epoch}");
        }
    }
    for version in versions(&mut connection, api::OFFSET_FOR_LEADER_EPOCH).await {
        for (epoch, error_code) in EPOCHS {
            let told = end_of(&mut connection, version, &topic, (0, 0), epoch).await;
            assert_eq!(told.0, error_code, "v{version}: {epoch}");
        }
    }
}

/// Epochs that a client may believe in, and what a leader of epoch 0 says to them.
const EPOCHS: [(i32, i16); 5] = [
    (0, code::NONE),
    (-1, code::NONE),
    (1, code::UNKNOWN_LEADER_EPOCH),
    (i32::MAX, code::UNKNOWN_LEADER_EPOCH),
    (-9, code::FENCED_LEADER_EPOCH),
];

#[tokio::test]
async fn offsets_of_what_does_not_exist_are_unknown() {
    // Spec D.7.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let nowhere = |name: &str| Topic { name: name.to_owned(), ..topic.clone() };
    for version in versions(&mut connection, api::LIST_OFFSETS).await {
        for (topic, partition) in
            [(topic.clone(), 1), (topic.clone(), -1), (nowhere("fidelity-nowhere"), 0), (nowhere("a b"), 0)]
        {
            let right = (code::UNKNOWN_TOPIC_OR_PARTITION, -1, -1, (version >= 4).then_some(-1));
            assert_eq!(list(&mut connection, version, &topic, partition, LATEST).await, right);
        }
    }
}

#[tokio::test]
async fn a_partition_asked_for_twice_is_refused_once() {
    // Spec D.7; ListOffsetsRequest.duplicatePartitions.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 2, &[]).await;
    let entry = |index: i32, timestamp: i64| value!({ partition_index: index, timestamp: timestamp });
    let one = value!({ name: &topic.name, partitions: [entry(0, LATEST), entry(0, EARLIEST), entry(1, LATEST)] });
    let body = value!({ replica_id: -1, topics: [one] });
    let answer = call(&mut connection, api::LIST_OFFSETS, 7, body).await;
    let told = &answer["topics"][0]["partitions"];
    assert_eq!(told.array().len(), 2, "{told:?}");
    assert_eq!(told.find("partition_index", 0)["error_code"], code::INVALID_REQUEST);
    assert_eq!(told.find("partition_index", 0)["offset"], -1);
    assert_eq!(told.find("partition_index", 1)["error_code"], code::NONE);
}

#[tokio::test]
async fn the_end_of_an_epoch_is_where_the_next_one_begins_or_the_end_of_the_log() {
    // Spec D.8, J.4; every version of OffsetForLeaderEpoch.
    let (_broker, mut connection) = start().await;
    let topic = four_batches(&mut connection).await;
    for version in versions(&mut connection, api::OFFSET_FOR_LEADER_EPOCH).await {
        for (epoch, right) in [
            (0, (code::NONE, 0, 8)),
            (1, (code::NONE, -1, -1)),
            (5, (code::NONE, -1, -1)),
            (-1, (code::NONE, -1, -1)),
            // Older than all that are known: what was asked, and where the first one begins.
            (-2, (code::NONE, -2, 0)),
        ] {
            assert_eq!(end_of(&mut connection, version, &topic, (0, epoch), -1).await, right, "v{version}: {epoch}");
        }
    }
}

#[tokio::test]
async fn an_epoch_in_which_nothing_was_written_ends_where_it_began() {
    // Spec J.4 rule 1: a leader that starts an epoch enters it.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    assert_eq!(end_of(&mut connection, 4, &topic, (0, 0), -1).await, (code::NONE, 0, 0));
    assert_eq!(end_of(&mut connection, 4, &topic, (0, 1), -1).await, (code::NONE, -1, -1));
}

#[tokio::test]
async fn the_epochs_of_what_does_not_exist_are_unknown() {
    // Spec D.8.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let unknown = (code::UNKNOWN_TOPIC_OR_PARTITION, -1, -1);
    for version in versions(&mut connection, api::OFFSET_FOR_LEADER_EPOCH).await {
        for partition in [1, -1] {
            assert_eq!(end_of(&mut connection, version, &topic, (partition, 0), -1).await, unknown);
        }
        for name in ["fidelity-nowhere", "a b"] {
            let nowhere = Topic { name: name.to_owned(), ..topic.clone() };
            assert_eq!(end_of(&mut connection, version, &nowhere, (0, 0), -1).await, unknown);
        }
    }
}

/// Batches of two records at 1000, 3000, 2000 and 3000.
async fn four_batches(connection: &mut Raw) -> Topic {
    let topic = topic(connection, 1, &[]).await;
    for timestamp in [1_000, 3_000, 2_000, 3_000] {
        let batch = Batch { base_timestamp: timestamp, max_timestamp: timestamp, ..Batch::of(["a", "b"]) };
        append(connection, &topic, 0, &batch).await;
    }
    topic
}

async fn list(connection: &mut Raw, version: i16, topic: &Topic, partition: i32, timestamp: i64) -> Answer {
    let answer = call(connection, api::LIST_OFFSETS, version, offset_at(topic, partition, timestamp)).await;
    let told = &answer["topics"][0]["partitions"][0];
    assert_eq!(told["partition_index"], partition);
    let error_code = told["error_code"].int().try_into().expect("a code has 16 bits");
    (error_code, told["timestamp"].int(), told["offset"].int(), told.field("leader_epoch").map(Value::int))
}

/// Asks where an epoch ends: error, epoch, end offset.
async fn end_of(
    connection: &mut Raw,
    version: i16,
    topic: &Topic,
    (partition, epoch): (i32, i32),
    current_leader_epoch: i32,
) -> (i16, i64, i64) {
    let partition = value!({ partition: partition, current_leader_epoch: current_leader_epoch, leader_epoch: epoch });
    let body = value!({ replica_id: -1, topics: [{ topic: &topic.name, partitions: [partition] }] });
    let answer = call(connection, api::OFFSET_FOR_LEADER_EPOCH, version, body).await;
    let told = &answer["topics"][0]["partitions"][0];
    (
        told["error_code"].int().try_into().expect("a code has 16 bits"),
        told["leader_epoch"].int(),
        told["end_offset"].int(),
    )
}
