//! Produce: what is appended, what is refused, by whom and in which words.

use bytes::Bytes;
use uuid::Uuid;

use crate::batch::{Batch, CONTROL, LOG_APPEND_TIME, Record};
use crate::judge::{Run, Topic};
use crate::{Value, value};

/// A moment that is a century away.
const FAR_AWAY: i64 = 5_000_000_000_000;

fn one(topic: &Topic, acks: i16, index: i32, records: impl Into<Value>) -> Value {
    several(acks, vec![data(topic, vec![(index, records.into())])])
}

fn several(acks: i16, topics: Vec<Value>) -> Value {
    value!({ acks: acks, timeout_ms: 10_000, topic_data: topics })
}

fn data(topic: &Topic, partitions: Vec<(i32, Value)>) -> Value {
    let partitions = partitions.into_iter().map(|(index, records)| value!({ index: index, records: records }));
    value!({ name: &topic.name, topic_id: topic.id, partition_data: partitions.collect::<Vec<_>>() })
}

pub(super) async fn usual(run: &mut Run) {
    let topic = run.topic("a", 2, &[]).await;
    let batch = Batch::of(["a", "b"]).encode();
    run.step("acks=1", one(&topic, 1, 0, batch.clone())).await;
    run.step("acks=all", one(&topic, -1, 0, batch.clone())).await;
    run.step_unanswered("acks=0", one(&topic, 0, 0, batch.clone())).await;
    run.step("after acks=0", one(&topic, 1, 0, batch.clone())).await;
    let both = data(&topic, vec![(0, batch.clone().into()), (1, batch.clone().into())]);
    run.step("two partitions", several(-1, vec![both])).await;
    let mixed = data(&topic, vec![(0, batch.clone().into()), (7, batch.clone().into())]);
    run.step("one partition of two", several(-1, vec![mixed])).await;
    let stamped = run.topic("stamped", 1, &[("message.timestamp.type", "LogAppendTime")]).await;
    run.step("LogAppendTime", one(&stamped, -1, 0, batch.clone())).await;
    run.step("nothing", several(-1, vec![])).await;
    run.step("a topic without partitions", several(-1, vec![data(&topic, vec![])])).await;
    let odd = Batch { partition_leader_epoch: 77, ..Batch::of(["a"]) };
    run.step("a leader epoch of the producer", one(&topic, 1, 0, odd.encode())).await;
    let tail = [&batch[..], &batch[..20]].concat();
    run.step("a batch and a piece", one(&topic, 1, 0, tail)).await;
    let headers = vec![("h".to_owned(), None), ("h".to_owned(), Some(Bytes::from_static(b"1")))];
    let full = Batch::of_records([Record { key: Some("k".into()), headers, timestamp_delta: 5, ..Record::default() }]);
    run.step("a key, headers, no value", one(&topic, 1, 0, full.encode())).await;
}

pub(super) async fn request_refusals(run: &mut Run) {
    let topic = run.topic("a", 1, &[]).await;
    let batch = Batch::of(["a"]).encode();
    let nowhere = Topic { name: run.name("nowhere"), id: Uuid::from_u128(77) };
    run.step("an unknown topic", one(&nowhere, 1, 0, batch.clone())).await;
    run.step("an unknown topic, acks=all", one(&nowhere, -1, 0, batch.clone())).await;
    run.step_unanswered("an unknown topic, acks=0", one(&nowhere, 0, 0, batch.clone())).await;
    let zero = Topic { name: String::new(), id: Uuid::nil() };
    run.step("no topic", one(&zero, 1, 0, batch.clone())).await;
    run.step("an unknown partition", one(&topic, 1, 1, batch.clone())).await;
    run.step("partition -1", one(&topic, 1, -1, batch.clone())).await;
    for acks in [2, -2, i16::MAX] {
        run.step(&format!("acks={acks}"), one(&topic, acks, 0, batch.clone())).await;
    }
    run.step("acks=2, an unknown topic", one(&nowhere, 2, 0, batch.clone())).await;
    run.step("acks=2 and nothing", several(2, vec![])).await;
    let twice = data(&topic, vec![(0, batch.clone().into()), (0, batch.clone().into())]);
    run.step("a partition twice", several(1, vec![twice])).await;
    let once = data(&topic, vec![(0, batch.clone().into())]);
    run.step("a topic twice", several(1, vec![once.clone(), once])).await;
    if run.version == 3 {
        // Kafka takes its time not to answer this.
        run.step("null records", one(&topic, 1, 0, Value::Null)).await;
    }
    run.step("no records", one(&topic, 1, 0, Bytes::new())).await;
    run.step_unanswered("no records, acks=0", one(&topic, 0, 0, Bytes::new())).await;
    run.step(
        "a transactional batch",
        one(&topic, 1, 0, Batch::of(["a"]).from_producer(7, 0, 0).transactional().encode()),
    )
    .await;
}

pub(super) async fn batch_refusals(run: &mut Run) {
    let topic = run.topic("a", 1, &[]).await;
    let small = run.topic("small", 1, &[("max.message.bytes", "80")]).await;
    let right = Batch::of(["a", "b"]);
    let whole = right.encode();
    let length = i32::try_from(whole.len() - 12).expect("a small batch");
    let wrong: Vec<(&str, Bytes)> = vec![
        ("a base offset", Batch { base_offset: 5, ..right.clone() }.encode()),
        ("a wrong CRC", Batch { crc: Some(1), ..right.clone() }.encode()),
        ("magic 0", Batch { magic: 0, ..right.clone() }.encode()),
        ("magic 1", Batch { magic: 1, ..right.clone() }.encode()),
        ("magic 3", Batch { magic: 3, ..right.clone() }.encode()),
        ("magic -1", Batch { magic: -1, ..right.clone() }.encode()),
        ("two batches", [&whole[..], &whole[..]].concat().into()),
        ("five bytes", whole.slice(..5)),
        ("seventeen bytes", whole.slice(..17)),
        ("a byte less", whole.slice(..whole.len() - 1)),
        ("a length of 13", Batch { batch_length: Some(13), ..right.clone() }.encode()),
        ("a length of 40", Batch { batch_length: Some(40), ..right.clone() }.encode()),
        ("a length of 0", Batch { batch_length: Some(0), ..right.clone() }.encode()),
        ("a length of -1", Batch { batch_length: Some(-1), ..right.clone() }.encode()),
        ("a length one more", Batch { batch_length: Some(length + 1), ..right.clone() }.encode()),
        ("a count of 1", Batch { record_count: 1, ..right.clone() }.encode()),
        ("a count of 0", Batch { record_count: 0, ..right.clone() }.encode()),
        ("a count of -1", Batch { record_count: -1, ..right.clone() }.encode()),
        ("an offset delta of 0", Batch { last_offset_delta: 0, ..right.clone() }.encode()),
        ("an offset delta of -1", Batch { last_offset_delta: -1, ..right.clone() }.encode()),
        ("no record at all", Batch::of([""; 0]).encode()),
        ("a control batch", Batch { attributes: CONTROL, ..right.clone() }.encode()),
        ("a sequence of -1", right.clone().from_producer(7, 0, -1).encode()),
        ("a count and a delta of 3", Batch { record_count: 3, last_offset_delta: 2, ..right.clone() }.encode()),
        (
            "one record, two bytes behind",
            Batch { payload: [&right.payload[..], &[0, 0]].concat().into(), ..right.clone() }.encode(),
        ),
        ("records of noise", Batch { payload: Bytes::from_static(&[0xff; 30]), ..right.clone() }.encode()),
        ("codec 5", Batch { attributes: 5, ..right.clone() }.encode()),
        ("codec 7", Batch { attributes: 7, ..right.clone() }.encode()),
        ("gzip of noise", Batch { attributes: 1, ..right.clone() }.encode()),
        ("snappy of noise", Batch { attributes: 2, ..right.clone() }.encode()),
        ("lz4 of noise", Batch { attributes: 3, ..right.clone() }.encode()),
        ("zstd of noise", Batch { attributes: 4, ..right.clone() }.encode()),
    ];
    for (label, bytes) in wrong {
        run.step(label, one(&topic, 1, 0, bytes)).await;
    }
    run.step("too large", one(&small, 1, 0, Batch::of(["0123456789", "0123456789"]).encode())).await;
    run.step_unanswered("too large, acks=0", one(&small, 0, 0, Batch::of(["0123456789", "0123456789"]).encode())).await;
    run.step("nothing was written", one(&topic, 1, 0, whole)).await;
}

pub(super) async fn record_refusals(run: &mut Run) {
    let compact = run.topic("compact", 1, &[("cleanup.policy", "compact")]).await;
    let topic = run.topic("a", 1, &[("message.timestamp.before.max.ms", "1000")]).await;
    let stamped = run.topic("stamped", 1, &[("message.timestamp.type", "LogAppendTime")]).await;
    let open = run.topic("open", 1, &[]).await;
    let key = || Some(Bytes::from_static(b"k"));
    run.step("no key on a compacted topic", one(&compact, 1, 0, Batch::of(["a", "b"]).encode())).await;
    let mixed = Batch::of_records([Record { key: key(), ..Record::default() }, Record::default()]);
    run.step("one key of two", one(&compact, 1, 0, mixed.encode())).await;
    let keyed = Batch::of_records([Record { key: key(), ..Record::default() }]);
    run.step("a key on a compacted topic", one(&compact, 1, 0, keyed.encode())).await;
    let far = Batch { base_timestamp: FAR_AWAY, max_timestamp: FAR_AWAY, ..Batch::of(["a"]) };
    let fault = run.step(
        "no timestamp",
        one(&topic, 1, 0, Batch { base_timestamp: -1, max_timestamp: -1, ..Batch::of(["a"]) }.encode()),
    );
    fault.await;
    run.step("a late timestamp on a topic of times of append", one(&stamped, 1, 0, far.encode())).await;
    let claimed = Batch { attributes: LOG_APPEND_TIME, ..Batch::of(["a"]) };
    run.step("the bit of LogAppendTime", one(&stamped, 1, 0, claimed.encode())).await;
    run.step("the bit of LogAppendTime, CreateTime", one(&open, 1, 0, claimed.encode())).await;
    let spread = Batch::of_records([
        Record { timestamp_delta: 9, ..Record::default() },
        Record { timestamp_delta: -3, ..Record::default() },
    ]);
    let lying = Batch { max_timestamp: 5, ..spread };
    run.step("a wrong greatest timestamp", one(&open, 1, 0, lying.encode())).await;
    let gap = Batch { payload: gap(), ..Batch::of(["a", "b"]) };
    run.step("offset deltas with a gap", one(&open, 1, 0, gap.encode())).await;
}

/// Two records at the deltas 0 and 7.
fn gap() -> Bytes {
    let mut payload = Vec::new();
    for offset_delta in [0, 7] {
        crate::batch::put_record(&mut payload, &Record { offset_delta, ..Record::default() });
    }
    payload.into()
}

pub(super) async fn idempotence(run: &mut Run) {
    let topic = run.topic("a", 1, &[]).await;
    let id = run.producer_id().await;
    let batches: &[(&str, i16, i32, usize)] = &[
        ("the first", 0, 0, 2),
        ("the second", 0, 2, 2),
        ("the second again", 0, 2, 2),
        ("the first again", 0, 0, 2),
        ("part of the second", 0, 3, 1),
        ("a gap", 0, 7, 1),
        ("the third", 0, 4, 1),
        ("the fourth", 0, 5, 1),
        ("the fifth", 0, 6, 1),
        ("the sixth", 0, 7, 1),
        ("the first, forgotten", 0, 0, 2),
        ("the second, remembered", 0, 2, 2),
        ("an epoch more, not from 0", 1, 8, 1),
        ("an epoch more", 1, 0, 1),
        ("the epoch before", 0, 8, 1),
        ("an epoch of -1", -1, 1, 1),
        ("an epoch more, again", 1, 0, 1),
    ];
    for (label, epoch, sequence, count) in batches {
        let batch = Batch::of(vec!["x"; *count]).from_producer(id, *epoch, *sequence);
        run.step(label, one(&topic, -1, 0, batch.encode())).await;
    }
    let stranger = run.producer_id().await;
    let late = Batch::of(["x"]).from_producer(stranger, 3, 2_147_483_647);
    run.step("a stranger anywhere", one(&topic, -1, 0, late.encode())).await;
    let wrapped = Batch::of(["x"]).from_producer(stranger, 3, 0);
    run.step("after the greatest sequence", one(&topic, -1, 0, wrapped.encode())).await;
    let never = Batch::of(["x"]).from_producer(i64::MAX, 0, 0);
    run.step("an id that nobody gave", one(&topic, -1, 0, never.encode())).await;
}
