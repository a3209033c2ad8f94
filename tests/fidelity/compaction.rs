//! Compaction: what a cleaner leaves of a log, and how what it left is read.
//!
//! Every batch of these tests is a segment of its own: `segment.ms` is 1 and each is an hour later than the one before.
//! The last one is active, so it is never cleaned.

use bytes::Bytes;
use system_tests::batch::{Batch, Record};
use system_tests::{Raw, api, value};

use crate::ask::{self, Topic, append, batches, call, list_offsets, start, topic};
use crate::code;

const START: i64 = 1_700_000_000_000;
const HOUR: i64 = 3_600_000;
/// The attribute bit of a batch that bears a delete horizon (KIP-534).
const DELETE_HORIZON: i16 = 1 << 6;

#[tokio::test]
async fn the_last_record_of_each_key_stays_at_its_offset() {
    // Spec J.3: a batch that loses records keeps its offsets; one that loses none is not touched.
    let (_broker, mut connection, topic) = compacted(&[]).await;
    write(&mut connection, &topic, 0, &["a=1", "b=1", "c=1"]).await;
    write(&mut connection, &topic, 1, &["a=2", "a=3"]).await;
    write(&mut connection, &topic, 2, &["b=2"]).await;
    write(&mut connection, &topic, 3, &["c=2"]).await;
    let cleaned = cleaned(&mut connection, &topic, &["0-2: 2 c=1", "3-4: 4 a=3", "5-5: 5 b=2", "6-6: 6 c=2"]).await;
    let first = &cleaned[0];
    assert_eq!((first.record_count, first.attributes, first.partition_leader_epoch), (1, 0, 0));
    // The timestamps are made relative to the first record that is left.
    assert_eq!((first.base_timestamp, first.max_timestamp), (START + 2, START + 2));
    assert_eq!(list_offsets(&mut connection, &topic, 0, -2).await["offset"], 0);
    assert_eq!(list_offsets(&mut connection, &topic, 0, -1).await["offset"], 7);
}

#[tokio::test]
async fn the_segment_that_is_written_is_not_cleaned() {
    // Spec J.3: so a reader may still see several values of a key.
    let (_broker, mut connection, topic) = compacted(&[]).await;
    write(&mut connection, &topic, 0, &["a=1"]).await;
    write(&mut connection, &topic, 1, &["b=1"]).await;
    write(&mut connection, &topic, 2, &["a=2", "a=3"]).await;
    write(&mut connection, &topic, 2, &["b=2"]).await;
    write(&mut connection, &topic, 2, &["a=4"]).await;
    write(&mut connection, &topic, 2, &["b=3"]).await;
    // The first two are not the last of their keys, but what supersedes them is in the active segment.
    let all = told(&read_all(&mut connection, &topic).await);
    assert_eq!(all, ["0-0: 0 a=1", "1-1: 1 b=1", "2-3: 2 a=2 3 a=3", "4-4: 4 b=2", "5-5: 5 a=4", "6-6: 6 b=3"]);
    write(&mut connection, &topic, 3, &["c=1"]).await;
    cleaned(&mut connection, &topic, &["5-5: 5 a=4", "6-6: 6 b=3", "7-7: 7 c=1"]).await;
}

#[tokio::test]
async fn an_offset_that_is_gone_is_read_from_the_next_batch_that_is_left() {
    // Spec J.3, D.3.
    let (_broker, mut connection, topic) = compacted(&[]).await;
    write(&mut connection, &topic, 0, &["a=1"]).await;
    write(&mut connection, &topic, 1, &["b=1", "a=2"]).await;
    write(&mut connection, &topic, 2, &["b=2"]).await;
    write(&mut connection, &topic, 3, &["a=3", "b=3"]).await;
    write(&mut connection, &topic, 4, &["c=1"]).await;
    cleaned(&mut connection, &topic, &["4-5: 4 a=3 5 b=3", "6-6: 6 c=1"]).await;
    for offset in 0..4 {
        let read = batches(&mut connection, &topic, 0, offset).await;
        assert_eq!(read[0].base_offset, 4, "from {offset}");
    }
    for (hours, offset, timestamp) in [(0, 4, START + 3 * HOUR), (2, 4, START + 3 * HOUR), (4, 6, START + 4 * HOUR)] {
        let found = list_offsets(&mut connection, &topic, 0, START + hours * HOUR).await;
        assert_eq!((found["offset"].int(), found["timestamp"].int()), (offset, timestamp), "{hours} h");
    }
    let earliest = list_offsets(&mut connection, &topic, 0, -2).await;
    assert_eq!(earliest["offset"], 0, "compaction does not move the log start");
    let asked = value!({ partition: 0, current_leader_epoch: -1, leader_epoch: 0 });
    let body = value!({ replica_id: -1, topics: [{ topic: &topic.name, partitions: [asked] }] });
    let epoch = call(&mut connection, api::OFFSET_FOR_LEADER_EPOCH, 4, body).await;
    assert_eq!(epoch["topics"][0]["partitions"][0]["end_offset"], 7);
}

#[tokio::test]
async fn the_last_batch_that_was_cleaned_stays_even_if_it_is_empty() {
    // Cleaner.cleanInto: else the offset that the cleaner got to would be lost.
    let (_broker, mut connection, topic) = compacted(&[("delete.retention.ms", "0")]).await;
    write(&mut connection, &topic, 0, &["a=1"]).await;
    write(&mut connection, &topic, 1, &["a"]).await;
    write(&mut connection, &topic, 2, &["b=1"]).await;
    // A tombstone stays for one round at least.
    let first = cleaned(&mut connection, &topic, &["1-1: 1 a", "2-2: 2 b=1"]).await;
    assert_eq!(first[0].attributes, DELETE_HORIZON);
    let horizon = first[0].base_timestamp;
    assert!((ask::now_ms() - 60_000..=ask::now_ms()).contains(&horizon), "the horizon is {horizon}");
    assert_eq!((first[0].max_timestamp, first[0].records()[0].timestamp_delta), (START + HOUR, START + HOUR - horizon));
    write(&mut connection, &topic, 3, &["b=2"]).await;
    write(&mut connection, &topic, 4, &["c=1"]).await;
    // Its horizon is over, and so is its use.
    cleaned(&mut connection, &topic, &["3-3: 3 b=2", "4-4: 4 c=1"]).await;
}

#[tokio::test]
async fn a_tombstone_stays_until_its_horizon() {
    // KIP-534: `delete.retention.ms` counts from the first cleaning that met it.
    let (_broker, mut connection, topic) = compacted(&[("delete.retention.ms", "86400000")]).await;
    write(&mut connection, &topic, 0, &["a=1", "b=1"]).await;
    write(&mut connection, &topic, 1, &["a", "c=1"]).await;
    write(&mut connection, &topic, 2, &["b=2"]).await;
    let first = cleaned(&mut connection, &topic, &["0-1: 1 b=1", "2-3: 2 a 3 c=1", "4-4: 4 b=2"]).await;
    let horizon = first[1].base_timestamp;
    assert!(horizon > ask::now_ms() + 86_000_000, "the horizon is {horizon}");
    write(&mut connection, &topic, 3, &["d=1"]).await;
    write(&mut connection, &topic, 4, &["e=1"]).await;
    let second = cleaned(&mut connection, &topic, &["2-3: 2 a 3 c=1", "4-4: 4 b=2", "5-5: 5 d=1", "6-6: 6 e=1"]).await;
    assert_eq!(second[0], first[1], "it was met before: nothing of it changes");
}

#[tokio::test]
async fn a_producers_last_batch_stays_for_its_sequence() {
    // Spec J.3: empty, but with its producer and offsets, so that the sequence survives a restart.
    let (_broker, mut connection, topic) = compacted(&[]).await;
    let producer = ask::producer_id(&mut connection).await;
    for (hour, sequence) in [(0, 0), (1, 2)] {
        let batch = batch(hour, &["a=1", "b=1"]).from_producer(producer, 0, sequence);
        append(&mut connection, &topic, 0, &batch).await;
    }
    write(&mut connection, &topic, 2, &["a=2", "b=2"]).await;
    write(&mut connection, &topic, 3, &["c=1"]).await;
    let cleaned = cleaned(&mut connection, &topic, &["2-3:", "4-5: 4 a=2 5 b=2", "6-6: 6 c=1"]).await;
    let empty = Batch { batch_length: Some(49), crc: cleaned[0].crc, ..Batch::of([""; 0]) };
    let of_producer = Batch { base_sequence: 2, base_offset: 2, last_offset_delta: 1, ..empty };
    let of_producer = Batch { producer_id: producer, producer_epoch: 0, partition_leader_epoch: 0, ..of_producer };
    assert_eq!(cleaned[0], Batch { base_timestamp: -1, max_timestamp: START + HOUR + 1, ..of_producer });
    let next = batch(4, &["a=3"]).from_producer(producer, 0, 4);
    assert_eq!(append(&mut connection, &topic, 0, &next).await, 7);
    let again = ask::write(&mut connection, &topic, 0, &batch(1, &["a=1", "b=1"]).from_producer(producer, 0, 2)).await;
    assert_eq!((again["error_code"].int(), again["base_offset"].int()), (0, 2), "a duplicate of what is gone");
}

#[tokio::test]
async fn a_batch_is_written_anew_with_its_codec() {
    // MemoryRecords.buildRetainedRecordsInto: the codec is the batch's, at its default level.
    let (_broker, mut connection, topic) = compacted(&[("compression.type", "gzip")]).await;
    write(&mut connection, &topic, 0, &["a=1", "b=1"]).await;
    write(&mut connection, &topic, 1, &["a=2"]).await;
    write(&mut connection, &topic, 2, &["c=1"]).await;
    let counts = |batches: &[Batch]| batches.iter().map(|batch| batch.record_count).collect::<Vec<_>>();
    let cleaned = cleaned_as(&mut connection, &topic, counts, vec![1, 1, 1]).await;
    let first = &cleaned[0];
    assert_eq!((first.attributes, first.base_offset, first.last_offset_delta), (1, 0, 1));
    assert_eq!((first.base_timestamp, first.max_timestamp), (START + 1, START + 1));
}

#[tokio::test]
async fn a_topic_that_compacts_and_deletes_does_both() {
    // Spec J.2, J.3: DeleteRecords is allowed, and the cleaner drops the segments below the log start.
    let (_broker, mut connection, topic) = compacted(&[("cleanup.policy", "compact,delete")]).await;
    write(&mut connection, &topic, 0, &["a=1", "b=1"]).await;
    write(&mut connection, &topic, 1, &["a=2"]).await;
    write(&mut connection, &topic, 2, &["b=2"]).await;
    write(&mut connection, &topic, 3, &["c=1"]).await;
    cleaned(&mut connection, &topic, &["2-2: 2 a=2", "3-3: 3 b=2", "4-4: 4 c=1"]).await;
    assert_eq!(ask::delete_records(&mut connection, &topic, 0, 3).await["low_watermark"], 3);
    assert_eq!(ask::read(&mut connection, &topic, 0, 2).await["error_code"], code::OFFSET_OUT_OF_RANGE);
    assert_eq!(told(&batches(&mut connection, &topic, 0, 3).await), ["3-3: 3 b=2"]);
}

/// A compacted topic on a broker whose cleaner looks twenty times a second.
async fn compacted(configs: &[(&str, &str)]) -> (system_tests::world::Broker, Raw, Topic) {
    let (broker, mut connection) = start().await;
    let change = value!({ name: "log.cleaner.backoff.ms", config_operation: 0, value: "50" });
    let resource = value!({ resource_type: 4, resource_name: "", configs: [change] });
    let answer = call(&mut connection, api::INCREMENTAL_ALTER_CONFIGS, 1, value!({ resources: [resource] })).await;
    assert_eq!(answer["responses"][0]["error_code"], code::NONE, "{answer:?}");
    let mut all = vec![("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0.01"), ("segment.ms", "1")];
    all.retain(|(name, _)| configs.iter().all(|(other, _)| other != name));
    all.extend(configs);
    let topic = topic(&mut connection, 1, &all).await;
    (broker, connection, topic)
}

/// A batch of records `key=value`, or `key` for a tombstone, a millisecond apart, at this hour.
fn batch(hour: i64, records: &[&str]) -> Batch {
    let record = |(index, text): (usize, &&str)| {
        let (key, value) = text.split_once('=').map_or((*text, None), |(key, value)| (key, Some(value)));
        let value = value.map(|value| Bytes::copy_from_slice(value.as_bytes()));
        let key = Some(Bytes::copy_from_slice(key.as_bytes()));
        Record { timestamp_delta: index as i64, key, value, ..Record::default() }
    };
    let batch = Batch::of_records(records.iter().enumerate().map(record));
    let base_timestamp = START + hour * HOUR;
    Batch { max_timestamp: batch.max_timestamp - batch.base_timestamp + base_timestamp, base_timestamp, ..batch }
}

async fn write(connection: &mut Raw, topic: &Topic, hour: i64, records: &[&str]) {
    append(connection, topic, 0, &batch(hour, records)).await;
}

/// All batches, once the cleaner has left these.
async fn cleaned(connection: &mut Raw, topic: &Topic, left: &[&str]) -> Vec<Batch> {
    let left = left.iter().map(|text| (*text).to_owned()).collect();
    cleaned_as(connection, topic, told, left).await
}

/// All batches, once what `told` tells of them is `left`.
async fn cleaned_as<T: PartialEq + std::fmt::Debug>(
    connection: &mut Raw,
    topic: &Topic,
    told: impl Fn(&[Batch]) -> T,
    left: T,
) -> Vec<Batch> {
    let mut batches = Vec::new();
    for _ in 0..500 {
        batches = read_all(connection, topic).await;
        if told(&batches) == left {
            return batches;
        }
    }
    assert_eq!(told(&batches), left, "after ten seconds");
    batches
}

/// All batches of the log. A read stays in one segment, so it takes several; the last one finds nothing and waits for
/// 20 ms, which is what paces whoever calls this again and again.
async fn read_all(connection: &mut Raw, topic: &Topic) -> Vec<Batch> {
    let mut all = Vec::new();
    let mut offset = 0;
    loop {
        let body = ask::with(&ask::fetch(topic, 0, offset), "max_wait_ms", 20);
        let answer = call(connection, api::FETCH, 17, body).await;
        let read = Batch::decode_all(answer["responses"][0]["partitions"][0]["records"].bytes().clone());
        let Some(last) = read.last() else { return all };
        offset = last.base_offset + i64::from(last.last_offset_delta) + 1;
        all.extend(read);
    }
}

/// Each batch with its offsets and those of its records.
fn told(batches: &[Batch]) -> Vec<String> {
    let batch = |batch: &Batch| {
        let last = batch.base_offset + i64::from(batch.last_offset_delta);
        let mut text = format!("{}-{last}:", batch.base_offset);
        for record in batch.records() {
            let offset = batch.base_offset + i64::from(record.offset_delta);
            let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned();
            let value = record.value.map_or(String::new(), |value| format!("={}", String::from_utf8_lossy(&value)));
            text.push_str(&format!(" {offset} {key}{value}"));
        }
        text
    };
    batches.iter().map(batch).collect()
}
