//! What a log makes of one batch: what it checks, in which order, and what it rewrites.

use bytes::Bytes;
use system_tests::batch::{self, Batch, Record};
use system_tests::{Value, value};

use crate::ask::{self, append, batches, now_ms, start, topic, write};
use crate::code;

/// The error of a record on a compacted topic that has no key.
const NO_KEY: &str = "Compacted topic cannot accept message without key in topic partition";

#[tokio::test]
async fn a_header_that_contradicts_itself_is_an_invalid_record() {
    // Spec C.3 rows 4, 7, 8, 9; LogValidator.validateBatch. The answer has the real log start, unlike earlier refusals.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let one = Batch::of(["a"]);
    let two = Batch::of(["a", "b"]);
    let none = Batch::of([""; 0]);
    for wrong in [
        Batch { base_offset: 1, ..one.clone() },
        Batch { last_offset_delta: 1, ..one.clone() },
        Batch { last_offset_delta: -1, ..one.clone() },
        Batch { last_offset_delta: i32::MAX, ..one.clone() },
        Batch { record_count: 0, ..one.clone() },
        Batch { record_count: -1, ..one.clone() },
        none.clone(),
        Batch { last_offset_delta: 0, ..none },
        Batch { record_count: 2, last_offset_delta: 1, ..one.clone() },
        Batch { record_count: 1, last_offset_delta: 0, ..two },
        Batch { attributes: batch::CONTROL, ..one.clone() },
        one.from_producer(5, 0, -1),
    ] {
        let refused = write(&mut connection, &topic, 0, &wrong).await;
        invalid(&refused, &wrong);
    }
    assert_eq!(append(&mut connection, &topic, 0, &Batch::of(["a"])).await, 0);
}

#[tokio::test]
async fn records_that_cannot_be_read_are_invalid() {
    // Spec C.3 row 7; DefaultRecord.readFrom.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let right = Batch::of(["abc"]);
    let size = right.payload.len();
    let record = |body: &[i64]| {
        let mut inner = vec![0];
        body.iter().for_each(|number| batch::put_varlong(&mut inner, *number));
        let mut out = Vec::new();
        batch::put_varlong(&mut out, inner.len() as i64);
        out.extend(inner);
        Bytes::from(out)
    };
    for payload in [
        Bytes::from_static(&[0xff; 3]),
        right.payload.slice(..size - 1),
        [&right.payload[..], &[0, 0]].concat().into(),
        record(&[0, 0, -1, -1, -1]),        // fewer headers than none
        record(&[0, 0, -1, -1, 1, -1, -1]), // a header without a key
        record(&[0, 0, 1_000, -1, 0]),      // a key longer than the record
    ] {
        let wrong = Batch { payload, ..right.clone() };
        let refused = write(&mut connection, &topic, 0, &wrong).await;
        invalid(&refused, &wrong);
    }
}

#[tokio::test]
async fn the_largest_batch_is_as_large_as_the_topic_says() {
    // Spec C.3 row 5: the whole batch counts, with the twelve bytes in front; row 4 is before it, row 6 behind.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[("max.message.bytes", "200")]).await;
    let fits = (0..200).map(|size| Batch::of(["x".repeat(size)])).rfind(|batch| batch.encode().len() == 200).unwrap();
    append(&mut connection, &topic, 0, &fits).await;
    let larger = Batch::of(["x".repeat(131)]);
    assert_eq!(larger.encode().len(), 201, "one byte more");
    let corrupt = Batch { crc: Some(1), ..larger.clone() };
    for batch in [&larger, &corrupt] {
        let refused = write(&mut connection, &topic, 0, batch).await;
        assert_eq!(refused["error_code"], code::MESSAGE_TOO_LARGE);
        assert_eq!((refused["base_offset"].int(), refused["log_start_offset"].int()), (-1, -1));
        assert!(refused["error_message"].is_null());
    }
    let shifted = Batch { base_offset: 1, ..larger };
    assert_eq!(write(&mut connection, &topic, 0, &shifted).await["error_code"], code::INVALID_RECORD);
}

#[tokio::test]
async fn a_batch_larger_than_a_segment_does_not_fit() {
    // Spec C.3 row 12: RECORD_LIST_TOO_LARGE.
    let (_broker, mut connection) = start().await;
    let configs = [("segment.bytes", "1048576"), ("max.message.bytes", "5000000")];
    let topic = topic(&mut connection, 1, &configs).await;
    let refused = write(&mut connection, &topic, 0, &Batch::of(["x".repeat(1_048_576)])).await;
    assert_eq!((refused["error_code"].int(), refused["log_start_offset"].int()), (18, -1));
    for offset in 0..3 {
        assert_eq!(append(&mut connection, &topic, 0, &Batch::of(["x".repeat(1_000_000)])).await, offset);
    }
}

#[tokio::test]
async fn a_producer_that_is_none_may_have_any_sequence() {
    // Seen on 4.3.1: DefaultRecordBatch.hasProducerId is "above -1", and nothing else is looked at.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    for (offset, (producer_id, producer_epoch, base_sequence)) in
        [(-1, -1, 3), (-5, 0, 0), (-1, 7, -9)].into_iter().enumerate()
    {
        let batch = Batch::of(["a"]).from_producer(producer_id, producer_epoch, base_sequence);
        assert_eq!(append(&mut connection, &topic, 0, &batch).await, offset as i64);
    }
}

#[tokio::test]
async fn the_leader_epoch_and_the_offset_are_the_brokers() {
    // Spec C.3: what the producer says of the epoch is overwritten; neither needs a new CRC.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    append(&mut connection, &topic, 0, &Batch::of(["a"])).await;
    let written = Batch { partition_leader_epoch: 77, ..Batch::of(["b", "c"]) };
    assert_eq!(append(&mut connection, &topic, 0, &written).await, 1);
    let read = batches(&mut connection, &topic, 0, 1).await;
    assert_eq!((read[0].base_offset, read[0].partition_leader_epoch), (1, 0));
    let restored = Batch { base_offset: 0, partition_leader_epoch: 77, ..read[0].clone() };
    assert_eq!(restored.encode(), written.encode(), "everything else is as it was sent");
}

#[tokio::test]
async fn keys_values_and_headers_come_back_as_they_were() {
    // Spec C.9; DefaultRecord.java.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let header = |key: &str, value: Option<&'static str>| (key.to_owned(), value.map(Bytes::from));
    let records = [
        Record::default(),
        Record { key: Some("k".into()), value: Some("v".into()), ..Record::default() },
        Record { key: Some(Bytes::new()), value: Some(Bytes::new()), ..Record::default() },
        Record { value: Some(vec![0xff; 3_000].into()), timestamp_delta: 5, ..Record::default() },
        Record {
            headers: vec![header("a", None), header("a", Some("2")), header("", Some("")), header("ä", Some("ö"))],
            timestamp_delta: 3,
            ..Record::default()
        },
    ];
    let written = Batch::of_records(records);
    append(&mut connection, &topic, 0, &written).await;
    let read = batches(&mut connection, &topic, 0, 0).await;
    assert_eq!(read[0].records(), written.records());
    assert_eq!(read[0].max_timestamp, written.base_timestamp + 5);
}

#[tokio::test]
async fn offsets_within_a_batch_that_is_not_compressed_are_kept_as_they_came() {
    // Seen on 4.3.1: LogValidator.assignOffsetsNonCompressed counts the records and does not look at their offsets.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let mut payload = Vec::new();
    for offset_delta in [5, 9] {
        batch::put_record(&mut payload, &Record { offset_delta, value: Some("v".into()), ..Record::default() });
    }
    let odd = Batch { payload: payload.into(), ..Batch::of(["v", "v"]) };
    append(&mut connection, &topic, 0, &odd).await;
    let read = batches(&mut connection, &topic, 0, 0).await;
    assert_eq!(read[0].records().iter().map(|record| record.offset_delta).collect::<Vec<_>>(), [5, 9]);
    assert_eq!(append(&mut connection, &topic, 0, &Batch::of(["next"])).await, 2);
}

#[tokio::test]
async fn the_greatest_timestamp_is_the_brokers_to_find() {
    // Spec C.4: max_timestamp is recomputed on a CreateTime topic.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let later = Record { timestamp_delta: 500, value: Some("v".into()), ..Record::default() };
    let right = Batch::of_records([Record { value: Some("v".into()), ..Record::default() }, later]);
    for (offset, max_timestamp) in [(0, right.base_timestamp + 9_999), (2, -1), (4, 0)] {
        append(&mut connection, &topic, 0, &Batch { max_timestamp, ..right.clone() }).await;
        let read = batches(&mut connection, &topic, 0, offset).await;
        assert_eq!(read[0].max_timestamp, right.base_timestamp + 500);
        assert_eq!(read[0].attributes, 0);
    }
}

#[tokio::test]
async fn a_record_without_a_timestamp_is_taken() {
    // Spec C.4: -1 is exempt from the limits.
    let (_broker, mut connection) = start().await;
    let limits = [("message.timestamp.before.max.ms", "1000"), ("message.timestamp.after.max.ms", "1000")];
    let topic = topic(&mut connection, 1, &limits).await;
    let batch = Batch { base_timestamp: -1, max_timestamp: -1, ..Batch::of(["a"]) };
    append(&mut connection, &topic, 0, &batch).await;
    let read = batches(&mut connection, &topic, 0, 0).await;
    assert_eq!((read[0].base_timestamp, read[0].max_timestamp), (-1, -1));
}

#[tokio::test]
async fn a_timestamp_out_of_the_topics_range_is_refused_record_by_record() {
    // Spec C.4; KIP-467, KIP-937.
    let (_broker, mut connection) = start().await;
    let limits = [("message.timestamp.before.max.ms", "60000"), ("message.timestamp.after.max.ms", "60000")];
    let topic = topic(&mut connection, 1, &limits).await;
    let now = now_ms();
    let at = |deltas: &[i64]| {
        let records = deltas.iter().map(|delta| Record { timestamp_delta: *delta, ..Record::default() });
        Batch { base_timestamp: now, max_timestamp: now, ..Batch::of_records(records) }
    };
    append(&mut connection, &topic, 0, &at(&[0, -1_000, 1_000])).await;
    for (batch, wrong) in
        [(at(&[-100_000]), vec![0]), (at(&[100_000]), vec![0]), (at(&[0, -100_000, 0, 100_000]), vec![1, 3])]
    {
        let refused = write(&mut connection, &topic, 0, &batch).await;
        assert_eq!(refused["error_code"], code::INVALID_TIMESTAMP);
        assert_eq!((refused["base_offset"].int(), refused["log_start_offset"].int()), (-1, 0));
        assert_eq!(refused["error_message"], "One or more records have been rejected due to invalid timestamp");
        assert_eq!(indexes(&refused), wrong);
        let first = refused["record_errors"][0]["batch_index_error_message"].str();
        let start = format!(
            "Timestamp {} of message with offset {} is out of range. The timestamp should be within [",
            now + batch.records()[wrong[0] as usize].timestamp_delta,
            wrong[0]
        );
        assert!(first.starts_with(&start), "{first}");
    }
}

#[tokio::test]
async fn by_default_the_past_is_open_and_the_future_an_hour() {
    // KIP-1030.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let at = |timestamp: i64| Batch { base_timestamp: timestamp, max_timestamp: timestamp, ..Batch::of(["a"]) };
    for timestamp in [0, 1, now_ms(), now_ms() + 3_500_000] {
        append(&mut connection, &topic, 0, &at(timestamp)).await;
    }
    let refused = write(&mut connection, &topic, 0, &at(now_ms() + 3_700_000)).await;
    assert_eq!(refused["error_code"], code::INVALID_TIMESTAMP);
}

#[tokio::test]
async fn the_broker_sets_the_time_where_the_topic_says_so() {
    // Spec C.4: LogAppendTime sets the attribute and max_timestamp, leaves the records alone, and tells the producer.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[("message.timestamp.type", "LogAppendTime")]).await;
    let before = now_ms();
    for (offset, timestamp) in [(0, 5), (2, before * 10), (4, -1)] {
        let batch = Batch { base_timestamp: timestamp, max_timestamp: timestamp, ..Batch::of(["a", "b"]) };
        let written = write(&mut connection, &topic, 0, &batch).await;
        assert_eq!((written["error_code"].int(), written["base_offset"].int()), (0, offset));
        let time = written["log_append_time_ms"].int();
        assert!((before..=now_ms()).contains(&time), "{time} is not now");
        let read = batches(&mut connection, &topic, 0, offset).await;
        assert_eq!((read[0].attributes, read[0].base_timestamp), (batch::LOG_APPEND_TIME, timestamp));
        assert_eq!(read[0].max_timestamp, time);
        assert_eq!(read[0].payload, batch.payload);
    }
}

#[tokio::test]
async fn a_producer_must_not_claim_the_brokers_time() {
    // Spec C.4; LogValidator.validateTimestamp looks at it only where the range does not matter: at -1, or LogAppendTime.
    let (_broker, mut connection) = start().await;
    let create_time = topic(&mut connection, 1, &[]).await;
    let append_time = topic(&mut connection, 1, &[("message.timestamp.type", "LogAppendTime")]).await;
    let claiming = Batch { attributes: batch::LOG_APPEND_TIME, ..Batch::of(["a"]) };
    let timeless = Batch { base_timestamp: -1, max_timestamp: -1, ..claiming.clone() };
    for (topic, batch, timestamp) in [(&append_time, &claiming, claiming.max_timestamp), (&create_time, &timeless, -1)]
    {
        let refused = write(&mut connection, topic, 0, batch).await;
        assert_eq!(
            (refused["error_code"].int(), refused["log_start_offset"].int()),
            (code::INVALID_TIMESTAMP.into(), 0)
        );
        let message = format!(
            "Invalid timestamp type in message DefaultRecord(offset=0, timestamp={timestamp}, key=0 bytes, \
             value=1 bytes). Producer should not set timestamp type to LogAppendTime."
        );
        assert_eq!(refused["record_errors"], value!([{ batch_index: 0, batch_index_error_message: message }]));
    }
    append(&mut connection, &create_time, 0, &claiming).await;
    let read = batches(&mut connection, &create_time, 0, 0).await;
    assert_eq!(read[0].attributes, 0, "taken, and the claim is taken off");
}

#[tokio::test]
async fn a_compacted_topic_wants_keys() {
    // Spec C.4; KIP-467: every bad record is listed, and three of them are told again in the message.
    let (_broker, mut connection) = start().await;
    for policy in ["compact", "compact,delete"] {
        let topic = topic(&mut connection, 1, &[("cleanup.policy", policy)]).await;
        let keyed = |key: Option<&'static str>| Record { key: key.map(Bytes::from), ..Record::default() };
        let error = format!("{NO_KEY} {}-0", topic.name);
        for (keys, wrong) in
            [(vec![None], vec![0]), (vec![Some("k"), None], vec![1]), (vec![None; 5], vec![0, 1, 2, 3, 4])]
        {
            let refused = write(&mut connection, &topic, 0, &Batch::of_records(keys.into_iter().map(keyed))).await;
            assert_eq!(refused["error_code"], code::INVALID_RECORD);
            assert_eq!((refused["base_offset"].int(), refused["log_start_offset"].int()), (-1, 0));
            assert_eq!(indexes(&refused), wrong);
            assert!(refused["record_errors"].array().iter().all(|one| one["batch_index_error_message"] == error));
            let told: Vec<_> = wrong
                .iter()
                .take(3)
                .map(|index| format!("RecordError(batchIndex={index}, message='{error}')"))
                .collect();
            let message = format!(
                "One or more records have been rejected due to {} record errors in total, and only showing the first \
                 three errors at most: [{}]",
                wrong.len(),
                told.join(", ")
            );
            assert_eq!(refused["error_message"], message);
        }
        append(&mut connection, &topic, 0, &Batch::of_records([keyed(Some("k")), keyed(Some(""))])).await;
    }
}

#[tokio::test]
async fn a_refused_batch_leaves_nothing_behind() {
    // Spec C.4: one bad record rejects the batch.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    append(&mut connection, &topic, 0, &Batch::of(["a"])).await;
    write(&mut connection, &topic, 0, &Batch { crc: Some(1), ..Batch::of(["b"]) }).await;
    write(&mut connection, &topic, 0, &Batch { record_count: 7, ..Batch::of(["c"]) }).await;
    assert_eq!(append(&mut connection, &topic, 0, &Batch::of(["d"])).await, 1);
    assert_eq!(ask::values(&mut connection, &topic, 0, 0).await, ["a", "d"]);
}

fn indexes(refused: &Value) -> Vec<i64> {
    refused["record_errors"].array().iter().map(|error| error["batch_index"].int()).collect()
}

fn invalid(refused: &Value, batch: &Batch) {
    assert_eq!(refused["error_code"], code::INVALID_RECORD, "{batch:?}");
    assert_eq!((refused["base_offset"].int(), refused["log_start_offset"].int()), (-1, 0), "{batch:?}");
    assert_eq!(refused["record_errors"].array().len(), 0);
    assert!(refused["error_message"].is_null());
}
