//! What the tests of transactions have in common: a producer with a transactional id, and what it sends.

use system_tests::batch::Batch;
use system_tests::raw::patiently;
use system_tests::world::{Broker, unique};
use system_tests::{Raw, Value, api, value};

use crate::ask::{self, Topic, call, fitting, with};
use crate::code;

/// A producer with a transactional id, at the epoch that it was told last.
#[derive(Clone, Debug)]
pub(crate) struct Producer {
    pub(crate) transactional_id: String,
    pub(crate) id: i64,
    pub(crate) epoch: i64,
}

/// How a generation of the protocol speaks (KIP-890).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Generation {
    pub(crate) produce: i16,
    pub(crate) end_txn: i16,
    pub(crate) txn_offset_commit: i16,
    /// Partitions are added one request ahead.
    pub(crate) adds: bool,
}

pub(crate) const V1: Generation = Generation { produce: 11, end_txn: 4, txn_offset_commit: 4, adds: true };
pub(crate) const V2: Generation = Generation { produce: 13, end_txn: 5, txn_offset_commit: 5, adds: false };

/// A topic whose markers, which are of today, do not begin a new segment after the records, which are not: a read stays in
/// one.
pub(crate) async fn one_segment(connection: &mut Raw, partitions: i32) -> Topic {
    ask::topic(connection, partitions, &[("segment.ms", "9000000000000")]).await
}

/// A producer that nobody else is.
pub(crate) async fn producer(connection: &mut Raw) -> Producer {
    let transactional_id = unique("transactional");
    coordinator(connection, &transactional_id, 1).await;
    let answer = init(connection, &transactional_id, None).await;
    assert_eq!(answer["error_code"], code::NONE, "{answer:?}");
    Producer { transactional_id, id: answer["producer_id"].int(), epoch: answer["producer_epoch"].int() }
}

/// Waits until the key has a coordinator: of a group (0) or of a transactional id (1).
pub(crate) async fn coordinator(connection: &mut Raw, key: &str, key_type: i8) {
    let body = value!({ coordinator_keys: [key], key_type: key_type });
    let found = |answer: &Value| answer["coordinators"][0]["error_code"] == code::NONE;
    ask::until(connection, (api::FIND_COORDINATOR, 5), body, found).await;
}

/// InitProducerId, until the coordinator is there and no transaction is just ending.
pub(crate) async fn init(connection: &mut Raw, transactional_id: &str, expected: Option<(i64, i64)>) -> Value {
    let body = init_body(transactional_id, expected);
    ask::until(connection, (api::INIT_PRODUCER_ID, 5), body, |answer| !is_passing(answer)).await
}

pub(crate) fn init_body(transactional_id: &str, expected: Option<(i64, i64)>) -> Value {
    let (producer_id, producer_epoch) = expected.unwrap_or((-1, -1));
    value!({
        transactional_id: transactional_id, transaction_timeout_ms: 60_000, producer_id: producer_id,
        producer_epoch: producer_epoch,
    })
}

/// Whether an answer will be another one in a moment: loading, no coordinator yet, a transaction that is ending.
fn is_passing(answer: &Value) -> bool {
    [14, 15, 16, i64::from(code::CONCURRENT_TRANSACTIONS)].contains(&answer["error_code"].int())
}

/// AddPartitionsToTxn at v3 until no transaction is just ending; the code of each partition, in the order of the answer.
pub(crate) async fn add(connection: &mut Raw, producer: &Producer, topic: &Topic, partitions: &[i32]) -> Vec<i64> {
    let body = add_body(producer, &topic.name, partitions);
    let code = |it: &Value| it["partition_error_code"].int();
    let of_first = |answer: &Value| answer["results_by_topic_v3_and_below"][0]["results_by_partition"].array().to_vec();
    let answer = ask::until(connection, (api::ADD_PARTITIONS_TO_TXN, 3), body, |answer| {
        code(&of_first(answer)[0]) != i64::from(code::CONCURRENT_TRANSACTIONS)
    })
    .await;
    of_first(&answer).iter().map(code).collect()
}

pub(crate) fn add_body(producer: &Producer, topic: &str, partitions: &[i32]) -> Value {
    let partitions: Vec<Value> = partitions.iter().map(|partition| (*partition).into()).collect();
    let topics = value!([{ name: topic, partitions: partitions }]);
    value!({
        v3_and_below_transactional_id: &producer.transactional_id, v3_and_below_producer_id: producer.id,
        v3_and_below_producer_epoch: producer.epoch, v3_and_below_topics: topics,
    })
}

/// The answer to what a broker has to refuse because the partition is not in the transaction, in the words of its version.
///
/// A Kafka asks the coordinator about all that is sent at one moment in one request, and tells all of it what the version of
/// the first can be told (`AddPartitionsToTxnManager.addTxnData`): next to other tests, 48 may come for 120 and the other way
/// round. What asks again is then told otherwise.
pub(crate) async fn not_added<T>(
    broker: &Broker,
    expected: i64,
    code: impl Fn(&T) -> i64,
    mut ask: impl AsyncFnMut() -> T,
) -> T {
    let alone = async {
        loop {
            let answer = ask().await;
            let code = code(&answer);
            if !broker.is_real() || code == expected || ![48, 120].contains(&code) {
                return answer;
            }
        }
    };
    patiently("a partition to be looked for by itself", alone).await
}

/// A Produce in the transaction of `producer`; the answer of the partition.
pub(crate) async fn write(
    connection: &mut Raw,
    version: i16,
    producer: &Producer,
    (topic, partition): (&Topic, i32),
    sequence: i32,
    values: &[&str],
) -> Value {
    let epoch = i16::try_from(producer.epoch).expect("an epoch has 16 bits");
    let batch = Batch::of(values).from_producer(producer.id, epoch, sequence).transactional();
    let body = with(&ask::produce(topic, partition, batch.encode()), "transactional_id", &*producer.transactional_id);
    let body = fitting(api::PRODUCE, version, body);
    let ended = code::CONCURRENT_TRANSACTIONS;
    let answer = ask::until(connection, (api::PRODUCE, version), body, |answer| {
        answer["responses"][0]["partition_responses"][0]["error_code"] != ended
    })
    .await;
    answer["responses"][0]["partition_responses"][0].clone()
}

/// One partition joins, if this generation wants that, and is written. Returns the offset.
pub(crate) async fn send(
    connection: &mut Raw,
    generation: Generation,
    producer: &Producer,
    (topic, partition): (&Topic, i32),
    sequence: i32,
    values: &[&str],
) -> i64 {
    if generation.adds {
        assert_eq!(add(connection, producer, topic, &[partition]).await, [0]);
    }
    let written = write(connection, generation.produce, producer, (topic, partition), sequence, values).await;
    assert_eq!(written["error_code"], code::NONE, "{written:?}");
    written["base_offset"].int()
}

pub(crate) fn end_body(producer: &Producer, committed: bool) -> Value {
    value!({
        transactional_id: &producer.transactional_id, producer_id: producer.id, producer_epoch: producer.epoch,
        committed: committed,
    })
}

/// EndTxn; the answer.
pub(crate) async fn end_at(connection: &mut Raw, version: i16, producer: &Producer, committed: bool) -> Value {
    call(connection, api::END_TXN, version, end_body(producer, committed)).await
}

/// Ends a transaction, waits until it is complete, and returns the producer to go on with.
pub(crate) async fn end(
    connection: &mut Raw,
    generation: Generation,
    producer: &Producer,
    committed: bool,
) -> Producer {
    let answer = end_at(connection, generation.end_txn, producer, committed).await;
    assert_eq!(answer["error_code"], code::NONE, "{answer:?}");
    complete(connection, producer).await;
    if generation.adds {
        return producer.clone();
    }
    Producer { id: answer["producer_id"].int(), epoch: answer["producer_epoch"].int(), ..producer.clone() }
}

/// Waits until no marker is missing.
pub(crate) async fn complete(connection: &mut Raw, producer: &Producer) {
    let wait = async {
        while describe(connection, &producer.transactional_id).await["transaction_state"].str().starts_with("Prepare") {
        }
    };
    patiently("the markers to be written", wait).await;
}

/// DescribeTransactions of one id.
pub(crate) async fn describe(connection: &mut Raw, transactional_id: &str) -> Value {
    let body = value!({ transactional_ids: [transactional_id] });
    call(connection, api::DESCRIBE_TRANSACTIONS, 0, body).await["transaction_states"][0].clone()
}

/// A read_committed Fetch of one partition that does not wait; the answer of the partition.
pub(crate) async fn read_committed(connection: &mut Raw, topic: &Topic, offset: i64) -> Value {
    let body = with(&ask::fetch(topic, 0, offset), "isolation_level", 1);
    let answer = call(connection, api::FETCH, 17, body).await;
    answer["responses"][0]["partitions"][0].clone()
}

/// The aborted transactions that a Fetch tells of: producer and first offset.
pub(crate) fn aborted(read: &Value) -> Vec<(i64, i64)> {
    let all = read["aborted_transactions"].array().iter();
    all.map(|it| (it["producer_id"].int(), it["first_offset"].int())).collect()
}
