//! Transactions: what their coordinator says, what joins them, what is written and read while they are open and after.
//!
//! What a moment decides is not compared: a program waits until no marker is missing before it goes on.

use bytes::Bytes;

use crate::batch::Batch;
use crate::judge::{Run, Topic};
use crate::{Value, api, value};

/// A producer with a transactional id.
#[derive(Clone, Debug)]
pub(super) struct Producer {
    pub(super) transactional_id: String,
    pub(super) id: i64,
    pub(super) epoch: i64,
}

/// Markers are of today and the kit's batches are not: all is to stay in one segment.
const ONE_SEGMENT: &[(&str, &str)] = &[("segment.ms", "9000000000000")];

pub(super) fn init_body(transactional_id: &str, timeout_ms: i32, expected: Option<(i64, i64)>) -> Value {
    let (id, epoch) = expected.unwrap_or((-1, -1));
    value!({
        transactional_id: transactional_id, transaction_timeout_ms: timeout_ms, producer_id: id, producer_epoch: epoch,
    })
}

/// The name of a transactional id that has a coordinator.
async fn named(run: &mut Run, what: &str) -> String {
    let name = run.name(what);
    let body = value!({ key: &name, key_type: 1 });
    run.until(api::FIND_COORDINATOR, 3, body, |answer| answer["error_code"] == 0).await;
    name
}

pub(super) async fn producer(run: &mut Run, what: &str) -> Producer {
    let transactional_id = named(run, what).await;
    let body = init_body(&transactional_id, 60_000, None);
    let answer = run.until(api::INIT_PRODUCER_ID, 5, body, |answer| answer["error_code"] == 0).await;
    Producer { transactional_id, id: answer["producer_id"].int(), epoch: answer["producer_epoch"].int() }
}

/// Waits until no marker is missing.
pub(super) async fn complete(run: &mut Run, transactional_id: &str) {
    let body = value!({ transactional_ids: [transactional_id] });
    run.until(api::DESCRIBE_TRANSACTIONS, 0, body, |answer| {
        !answer["transaction_states"][0]["transaction_state"].str().starts_with("Prepare")
    })
    .await;
}

fn batch(producer: &Producer, sequence: i32, values: &[&str]) -> Bytes {
    let epoch = i16::try_from(producer.epoch).expect("an epoch has 16 bits");
    Batch::of(values).from_producer(producer.id, epoch, sequence).transactional().encode()
}

fn produce(producer: &Producer, topic: &Topic, partition: i32, records: Bytes) -> Value {
    let partition = value!({ index: partition, records: records });
    let topic = value!({ name: &topic.name, topic_id: topic.id, partition_data: [partition] });
    value!({ transactional_id: &producer.transactional_id, acks: -1, timeout_ms: 10_000, topic_data: [topic] })
}

/// Writes in a transaction, which the partition joins in passing.
async fn write(run: &mut Run, producer: &Producer, topic: &Topic, sequence: i32, values: &[&str]) {
    let body = produce(producer, topic, 0, batch(producer, sequence, values));
    let answer = run.ask(api::PRODUCE, 13, body).await;
    assert_eq!(answer["responses"][0]["partition_responses"][0]["error_code"], 0, "{answer:?}");
}

pub(super) fn end_body(producer: &Producer, committed: bool) -> Value {
    value!({
        transactional_id: &producer.transactional_id, producer_id: producer.id, producer_epoch: producer.epoch,
        committed: committed,
    })
}

/// Ends a transaction, and waits until that is done.
async fn end(run: &mut Run, producer: &mut Producer, committed: bool) {
    let answer = run.ask(api::END_TXN, 5, end_body(producer, committed)).await;
    assert_eq!(answer["error_code"], 0, "{answer:?}");
    complete(run, &producer.transactional_id).await;
    (producer.id, producer.epoch) = (answer["producer_id"].int(), answer["producer_epoch"].int());
}

pub(super) async fn init(run: &mut Run) {
    let id = named(run, "a").await;
    let first = producer(run, "a").await;
    run.step("again", init_body(&id, 60_000, None)).await;
    run.step("with what it has", init_body(&id, 60_000, Some((first.id, 1)))).await;
    run.step("the same again", init_body(&id, 60_000, Some((first.id, 1)))).await;
    run.step("with what it had", init_body(&id, 60_000, Some((first.id, 0)))).await;
    run.step("with an epoch to come", init_body(&id, 60_000, Some((first.id, 9)))).await;
    run.step("with another id", init_body(&id, 60_000, Some((first.id + 1_000_000, 2)))).await;
    for timeout in [0, -1, 900_001] {
        run.step(&format!("a timeout of {timeout}"), init_body(&id, timeout, None)).await;
    }
    run.step("the longest timeout", init_body(&id, 900_000, None)).await;
    let topic = run.topic("t", 1, &[]).await;
    let open = producer(run, "b").await;
    write(run, &open, &topic, 0, &["a"]).await;
    if run.version >= 3 {
        let other = init_body(&open.transactional_id, 60_000, Some((open.id + 1_000_000, 0)));
        run.step("of another id, while a transaction is open", other).await;
    }
    run.step("while a transaction is open", init_body(&open.transactional_id, 60_000, None)).await;
    complete(run, &open.transactional_id).await;
    run.step("its producer, after it was aborted", init_body(&open.transactional_id, 60_000, Some((open.id, 0)))).await;
    run.step("another, after it was aborted", init_body(&open.transactional_id, 60_000, None)).await;
}

/// Both forms of the request.
pub(super) fn add_body(producer: &Producer, topics: &[(&str, &[i32])], verify_only: bool) -> Value {
    let topic = |(name, partitions): &(&str, &[i32])| {
        let partitions: Vec<Value> = partitions.iter().map(|partition| (*partition).into()).collect();
        value!({ name: *name, partitions: partitions })
    };
    let topics: Vec<_> = topics.iter().map(topic).collect();
    let transaction = value!({
        transactional_id: &producer.transactional_id, producer_id: producer.id, producer_epoch: producer.epoch,
        verify_only: verify_only, topics: topics.clone(),
    });
    value!({
        v3_and_below_transactional_id: &producer.transactional_id, v3_and_below_producer_id: producer.id,
        v3_and_below_producer_epoch: producer.epoch, v3_and_below_topics: topics, transactions: [transaction],
    })
}

pub(super) async fn adds(run: &mut Run) {
    let topic = run.topic("t", 3, &[]).await;
    let producer = producer(run, "a").await;
    let name = &*topic.name;
    let other = Producer { id: producer.id + 1_000_000, ..producer.clone() };
    let ahead = Producer { epoch: 1, ..producer.clone() };
    let nobody = Producer { transactional_id: named(run, "nobody").await, ..producer.clone() };
    let unnamed = Producer { transactional_id: String::new(), ..producer.clone() };
    let whom = [("another id", &other), ("an epoch to come", &ahead), ("nobody", &nobody), ("no name", &unnamed)];
    for (what, whom) in whom {
        run.step(what, add_body(whom, &[(name, &[0])], false)).await;
    }
    run.step("a partition that is not there", add_body(&producer, &[(name, &[0, 9])], false)).await;
    let none = run.name("none");
    run.step("a topic that is not there", add_body(&producer, &[(name, &[0]), (&none, &[0])], false)).await;
    run.step("no topics", add_body(&producer, &[], false)).await;
    if run.version >= 4 {
        run.step("what has not joined", add_body(&producer, &[(name, &[0])], true)).await;
    }
    run.step("a partition", add_body(&producer, &[(name, &[0])], false)).await;
    run.step("the same", add_body(&producer, &[(name, &[0])], false)).await;
    run.step("one more", add_body(&producer, &[(name, &[0, 1])], false)).await;
    if run.version >= 4 {
        run.step("one has joined, one has not", add_body(&producer, &[(name, &[0, 2])], true)).await;
        for (what, whom) in whom {
            run.step(&format!("verify {what}"), add_body(whom, &[(name, &[0])], true)).await;
        }
    } else {
        run.step("an internal topic", add_body(&producer, &[("__transaction_state", &[0])], false)).await;
    }
}

pub(super) async fn add_offsets(run: &mut Run) {
    let producer = producer(run, "a").await;
    let group = run.name("g");
    let body = |producer: &Producer, group: &str| {
        value!({
            transactional_id: &producer.transactional_id, producer_id: producer.id, producer_epoch: producer.epoch,
            group_id: group,
        })
    };
    run.step("a group", body(&producer, &group)).await;
    run.step("again", body(&producer, &group)).await;
    run.step("no group", body(&producer, "")).await;
    run.step("another id", body(&Producer { id: producer.id + 1_000_000, ..producer.clone() }, &group)).await;
    run.step("an epoch to come", body(&Producer { epoch: 1, ..producer.clone() }, &group)).await;
    run.step("no name", body(&Producer { transactional_id: String::new(), ..producer.clone() }, &group)).await;
    let nobody = Producer { transactional_id: named(run, "nobody").await, ..producer };
    run.step("nobody", body(&nobody, &group)).await;
}

pub(super) async fn ends(run: &mut Run) {
    let topic = run.topic("t", 1, &[]).await;
    for committed in [true, false] {
        let what = if committed { "commit" } else { "abort" };
        let mut producer = producer(run, what).await;
        run.step(&format!("commit nothing, then {what}"), end_body(&producer, true)).await;
        if run.version < 5 {
            run.step(&format!("abort nothing, then {what}"), end_body(&producer, false)).await;
        }
        write(run, &producer, &topic, 0, &["a"]).await;
        let other = Producer { id: producer.id + 1_000_000, ..producer.clone() };
        run.step(&format!("another id, {what}"), end_body(&other, committed)).await;
        let ahead = Producer { epoch: producer.epoch + 1, ..producer.clone() };
        run.step(&format!("an epoch to come, {what}"), end_body(&ahead, committed)).await;
        let answer = run.step(what, end_body(&producer, committed)).await;
        complete(run, &producer.transactional_id).await;
        run.step(&format!("commit after {what}"), end_body(&producer, true)).await;
        run.step(&format!("abort after {what}"), end_body(&producer, false)).await;
        complete(run, &producer.transactional_id).await;
        if run.version >= 5 && answer["error_code"] == 0 {
            (producer.id, producer.epoch) = (answer["producer_id"].int(), answer["producer_epoch"].int());
            run.step(&format!("commit nothing after {what}"), end_body(&producer, true)).await;
            run.step(&format!("abort nothing after {what}"), end_body(&producer, false)).await;
            complete(run, &producer.transactional_id).await;
        }
    }
    let stranger = producer(run, "a").await;
    let nobody = Producer { transactional_id: named(run, "nobody").await, ..stranger.clone() };
    run.step("nobody", end_body(&nobody, true)).await;
    run.step("no name", end_body(&Producer { transactional_id: String::new(), ..stranger }, true)).await;
}

pub(super) async fn markers(run: &mut Run) {
    let topic = run.topic("t", 1, ONE_SEGMENT).await;
    let producer = producer(run, "a").await;
    write(run, &producer, &topic, 0, &["a"]).await;
    let body = |epoch: i64, name: &str, partitions: &[i32]| {
        let partitions: Vec<Value> = partitions.iter().map(|partition| (*partition).into()).collect();
        let topics = value!([{ name: name, partition_indexes: partitions }]);
        value!({ markers: [{
            producer_id: producer.id, producer_epoch: epoch, transaction_result: false, topics: topics,
            coordinator_epoch: 0,
        }] })
    };
    run.step("partitions that are not there", body(0, &topic.name, &[5, 9])).await;
    run.step("a topic that is not there", body(0, &run.name("none"), &[0])).await;
    run.step("one that is there and one that is not", body(0, &topic.name, &[0, 7])).await;
    run.step("again", body(0, &topic.name, &[0])).await;
    run.step("a later epoch", body(3, &topic.name, &[0])).await;
    run.step("an older epoch", body(2, &topic.name, &[0])).await;
}

pub(super) async fn offset_commits(run: &mut Run) {
    let topic = run.topic("t", 2, &[]).await;
    let group = super::members::group(run, "g").await;
    let producer = producer(run, "a").await;
    let body = |producer: &Producer, group: &str, name: &str, partition: i32, metadata: &str| {
        let partitions = value!([{
            partition_index: partition, committed_offset: 3, committed_leader_epoch: 0, committed_metadata: metadata,
        }]);
        value!({
            transactional_id: &producer.transactional_id, group_id: group, producer_id: producer.id,
            producer_epoch: producer.epoch, generation_id: -1, member_id: "",
            topics: [{ name: name, partitions: partitions }],
        })
    };
    let name = &*topic.name;
    run.step("what has not joined", body(&producer, &group, name, 0, "")).await;
    if run.version < 5 {
        let joining = value!({
            transactional_id: &producer.transactional_id, producer_id: producer.id, producer_epoch: producer.epoch,
            group_id: &group,
        });
        let answer = run.ask(api::ADD_OFFSETS_TO_TXN, 3, joining).await;
        assert_eq!(answer["error_code"], 0, "{answer:?}");
    }
    run.step("an offset", body(&producer, &group, name, 0, "m")).await;
    run.step("a partition that is not there", body(&producer, &group, name, 9, "")).await;
    run.step("a topic that is not there", body(&producer, &group, &run.name("none"), 0, "")).await;
    run.step("long metadata", body(&producer, &group, name, 1, &"x".repeat(4097))).await;
    run.step("no group", body(&producer, "", name, 0, "")).await;
    let with = |name: &'static str, value: Value| {
        let Value::Struct(mut fields) = body(&producer, &group, &topic.name, 0, "") else { unreachable!("it is one") };
        fields.retain(|(field, _)| *field != name);
        fields.push((name, value));
        Value::Struct(fields)
    };
    if run.version >= 3 {
        run.step("a generation of no group", with("generation_id", 4.into())).await;
        run.step("a member of no group", with("member_id", "stranger".into())).await;
    }
    let nobody = Producer { transactional_id: named(run, "nobody").await, id: producer.id + 1_000_000, epoch: 0 };
    run.step("nobody", body(&nobody, &group, name, 0, "")).await;
    run.ask(api::END_TXN, 4, end_body(&producer, false)).await;
    complete(run, &producer.transactional_id).await;
}

pub(super) async fn describes(run: &mut Run) {
    let topic = run.topic("t", 1, &[]).await;
    let mut producer = producer(run, "a").await;
    let nobody = named(run, "nobody").await;
    let of = |ids: &[&str]| value!({ transactional_ids: ids.iter().map(|id| Value::from(*id)).collect::<Vec<_>>() });
    run.step("empty, nobody and no name", of(&[&producer.transactional_id, &nobody, ""])).await;
    write(run, &producer, &topic, 0, &["a"]).await;
    run.step("ongoing", of(&[&producer.transactional_id])).await;
    end(run, &mut producer, true).await;
    run.step("committed", of(&[&producer.transactional_id])).await;
    write(run, &producer, &topic, 0, &["a"]).await;
    end(run, &mut producer, false).await;
    run.step("aborted, twice", of(&[&producer.transactional_id, &producer.transactional_id])).await;
}

pub(super) async fn lists(run: &mut Run) {
    let topic = run.topic("t", 1, &[]).await;
    let producer = producer(run, "a").await;
    write(run, &producer, &topic, 0, &["a"]).await;
    let body = |states: &[&str], ids: &[i64], duration: i64, pattern: Option<&str>| {
        let states: Vec<_> = states.iter().map(|state| Value::from(*state)).collect();
        let ids: Vec<_> = ids.iter().map(|id| Value::from(*id)).collect();
        value!({
            state_filters: states, producer_id_filters: ids, duration_filter: duration,
            transactional_id_pattern: pattern,
        })
    };
    let id = [producer.id];
    run.step("by producer", body(&[], &id, -1, None)).await;
    run.step("by its state", body(&["Ongoing", "Empty"], &id, -1, None)).await;
    run.step("by another state", body(&["Dead"], &id, -1, None)).await;
    run.step("by states that are none", body(&["ongoing", "x"], &id, -1, None)).await;
    run.step("by a state and what is none", body(&["Ongoing", "x"], &id, -1, None)).await;
    run.step("of no producer", body(&[], &[producer.id + 1_000_000], -1, None)).await;
    if run.version >= 1 {
        run.step("for an hour", body(&[], &id, 3_600_000, None)).await;
    }
    if run.version >= 2 {
        run.step("by a pattern", body(&[], &id, -1, Some("a-.*"))).await;
        run.step("by a part of its name", body(&[], &id, -1, Some("a-"))).await;
        run.step("by an empty pattern", body(&[], &id, -1, Some(""))).await;
        run.step("by no pattern", body(&[], &id, -1, Some("("))).await;
    }
    run.ask(api::END_TXN, 5, end_body(&producer, false)).await;
    complete(run, &producer.transactional_id).await;
}

pub(super) async fn produces(run: &mut Run) {
    let topic = run.topic("t", 2, &[]).await;
    let producer = producer(run, "a").await;
    let at = |producer: &Producer, partition: i32, sequence: i32| {
        produce(producer, &topic, partition, batch(producer, sequence, &["a", "b"]))
    };
    run.step("what has not joined", at(&producer, 0, 0)).await;
    if run.version < 12 {
        let added = run.ask(api::ADD_PARTITIONS_TO_TXN, 3, add_body(&producer, &[(&topic.name, &[0])], false)).await;
        let added = &added["results_by_topic_v3_and_below"][0]["results_by_partition"][0];
        assert_eq!(added["partition_error_code"], 0, "{added:?}");
        run.step("what has joined", at(&producer, 0, 0)).await;
        run.step("another partition", at(&producer, 1, 0)).await;
    } else {
        run.step("another partition, not from the beginning", at(&producer, 1, 5)).await;
    }
    run.step("the same", at(&producer, 0, 0)).await;
    run.step("the next", at(&producer, 0, 2)).await;
    run.step("not the next", at(&producer, 0, 7)).await;
    let plain = Batch::of(["c"]).from_producer(producer.id, 0, 4).encode();
    run.step("of no transaction", produce(&producer, &topic, 0, plain)).await;
    run.step("another id", at(&Producer { id: producer.id + 1_000_000, ..producer.clone() }, 0, 0)).await;
    run.step("an epoch to come", at(&Producer { epoch: 1, ..producer.clone() }, 0, 0)).await;
    let nobody = Producer { transactional_id: named(run, "nobody").await, id: producer.id + 2_000_000, epoch: 0 };
    run.step("nobody", at(&nobody, 1, 0)).await;
    run.ask(api::END_TXN, 5, end_body(&producer, false)).await;
    complete(run, &producer.transactional_id).await;
    run.step("after its end", at(&producer, 0, 4)).await;
}

pub(super) async fn reads(run: &mut Run) {
    let topic = run.topic("t", 1, ONE_SEGMENT).await;
    let body = |offset: i64, level: i8| {
        let partition = value!({ partition: 0, fetch_offset: offset, partition_max_bytes: 1_000_000 });
        let topic = value!({ topic: &topic.name, topic_id: topic.id, partitions: [partition] });
        value!({
            replica_id: -1, min_bytes: 1, max_bytes: 1_000_000, session_epoch: -1, isolation_level: level,
            topics: [topic],
        })
    };
    let (mut first, mut second) = (producer(run, "a").await, producer(run, "b").await);
    run.append(&topic, 0, &Batch::of(["before"])).await;
    write(run, &first, &topic, 0, &["a"]).await;
    write(run, &second, &topic, 0, &["b"]).await;
    run.append(&topic, 0, &Batch::of(["after"])).await;
    for (level, what) in [(0, "all"), (1, "committed")] {
        for offset in [0, 1, 3, 4] {
            run.step(&format!("{what} from {offset}, two are open"), body(offset, level)).await;
        }
    }
    end(run, &mut second, false).await;
    run.step("committed from 0, one is open", body(0, 1)).await;
    write(run, &second, &topic, 0, &["c"]).await;
    end(run, &mut second, true).await;
    end(run, &mut first, false).await;
    for (level, what) in [(0, "all"), (1, "committed")] {
        for offset in [0, 2, 5, 7, 8] {
            run.step(&format!("{what} from {offset}, all have ended"), body(offset, level)).await;
        }
    }
}

pub(super) async fn stable_offsets(run: &mut Run) {
    let topic = run.topic("t", 1, &[]).await;
    let mut producer = producer(run, "a").await;
    run.append(&topic, 0, &Batch::of(["before"])).await;
    write(run, &producer, &topic, 0, &["a"]).await;
    let body = |timestamp: i64, level: i8| {
        let partition = value!({ partition_index: 0, timestamp: timestamp });
        let topic = value!({ name: &topic.name, partitions: [partition] });
        value!({ replica_id: -1, isolation_level: level, timeout_ms: 10_000, topics: [topic] })
    };
    for level in [0, 1] {
        run.step(&format!("latest at {level}, one is open"), body(-1, level)).await;
        run.step(&format!("by time at {level}, one is open"), body(0, level)).await;
    }
    end(run, &mut producer, true).await;
    for level in [0, 1] {
        run.step(&format!("latest at {level}, all have ended"), body(-1, level)).await;
    }
}
