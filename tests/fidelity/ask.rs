//! The usual requests, for what a test needs and is not about. It knows no answer but success.
//!
//! Bodies are written down once, with the fields of every version; [`call`] leaves out what a version lacks.

use std::future::Future;
use std::ops::RangeInclusive;
use std::time::SystemTime;

use bytes::Bytes;
use mockbroker::schema;
use system_tests::batch::Batch;
pub(crate) use system_tests::judge::run::fitting;
use system_tests::raw::{Sent, patiently};
use system_tests::world::{Broker, unique};
use system_tests::{Raw, Value, api, value};
use uuid::Uuid;

/// A topic that a test has made for itself.
#[derive(Clone, Debug)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) id: Uuid,
}

/// The broker of this test and a connection to it.
pub(crate) async fn start() -> (Broker, Raw) {
    let broker = Broker::for_test().await;
    let connection = broker.connect().await;
    (broker, connection)
}

/// Sends what this version has of `body` and waits for the answer.
pub(crate) async fn call(connection: &mut Raw, api_key: i16, version: i16, body: Value) -> Value {
    connection.call(api_key, version, fitting(api_key, version, body)).await
}

/// Sends what this version has of `body`.
pub(crate) async fn send(connection: &mut Raw, api_key: i16, version: i16, body: Value) -> Sent {
    connection.send(api_key, version, fitting(api_key, version, body)).await
}

/// The same struct with this field set.
pub(crate) fn with(value: &Value, name: &'static str, field: impl Into<Value>) -> Value {
    let Value::Struct(fields) = value else { panic!("{value:?} is no struct") };
    let others = fields.iter().filter(|(known, _)| *known != name).cloned();
    Value::Struct(others.chain([(name, field.into())]).collect())
}

/// The versions of this API that the broker advertises and that can be spoken: Produce 0 to 2 cannot (KAFKA-18659).
pub(crate) async fn versions(connection: &mut Raw, api_key: i16) -> RangeInclusive<i16> {
    let advertised = connection.call(api::API_VERSIONS, 0, value!({})).await;
    let range = advertised["api_keys"].find("api_key", api_key);
    let real = schema::request(api_key).expect("a test asks for an API that exists").versions;
    let bound = |name: &str| i16::try_from(range[name].int()).expect("a version has 16 bits");
    bound("min_version").max(real.min)..=bound("max_version").min(real.max)
}

/// Asks again and again until the answer is as `ready` says.
pub(crate) async fn until(
    connection: &mut Raw,
    (api_key, version): (i16, i16),
    body: Value,
    ready: impl Fn(&Value) -> bool,
) -> Value {
    let mut last = Value::Null;
    let asked = async {
        loop {
            last = call(connection, api_key, version, body.clone()).await;
            if ready(&last) {
                return;
            }
        }
    };
    let what = format!("API {api_key} to answer otherwise to {body:?}");
    patiently(&what, asked).await;
    last
}

/// A topic of this many partitions, every one of which can be written.
///
/// Retention is off unless `configs` says otherwise: the batches of the kit are years old.
pub(crate) async fn topic(connection: &mut Raw, partitions: i32, configs: &[(&str, &str)]) -> Topic {
    let name = unique("fidelity");
    let mut all = vec![("retention.ms", "-1")];
    all.extend(configs);
    let created = create(connection, &name, partitions, &all).await;
    assert_eq!(created["error_code"], 0, "{created:?}");
    let topic = Topic { name, id: created["topic_id"].uuid() };
    wait_for_leaders(connection, &topic.name, partitions).await;
    topic
}

/// Creates a topic, and does not judge nor wait.
pub(crate) async fn create(connection: &mut Raw, name: &str, partitions: i32, configs: &[(&str, &str)]) -> Value {
    let configs: Vec<_> = configs.iter().map(|(name, value)| value!({ name: *name, value: *value })).collect();
    let topic = value!({ name: name, num_partitions: partitions, replication_factor: 1, configs: configs });
    let answer = connection.call(api::CREATE_TOPICS, 7, value!({ topics: [topic], timeout_ms: 10_000 })).await;
    answer["topics"][0].clone()
}

/// Waits until every partition of a topic is led: metadata is ahead of the logs, so it is the leader that is asked.
pub(crate) async fn wait_for_leaders(connection: &mut Raw, name: &str, partitions: i32) {
    let asked: Vec<_> = (0..partitions).map(|index| value!({ partition_index: index, timestamp: -1 })).collect();
    let body = value!({ replica_id: -1, topics: [{ name: name, partitions: asked }] });
    until(connection, (api::LIST_OFFSETS, 7), body, |answer| {
        answer["topics"][0]["partitions"].array().iter().all(|partition| partition["error_code"] == 0)
    })
    .await;
}

/// Waits until the broker no longer knows a topic.
pub(crate) async fn wait_until_gone(connection: &mut Raw, name: &str) {
    let body = value!({ topics: [{ name: name }], allow_auto_topic_creation: false });
    until(connection, (api::METADATA, 12), body, |answer| answer["topics"][0]["error_code"] != 0).await;
}

/// A Produce with acks=all to one partition.
pub(crate) fn produce(topic: &Topic, partition: i32, records: impl Into<Value>) -> Value {
    let partition = value!({ index: partition, records: records.into() });
    let topic = value!({ name: &topic.name, topic_id: topic.id, partition_data: [partition] });
    value!({ acks: -1, timeout_ms: 10_000, topic_data: [topic] })
}

/// Writes a batch; the answer of its partition.
pub(crate) async fn write(connection: &mut Raw, topic: &Topic, partition: i32, batch: &Batch) -> Value {
    write_bytes(connection, topic, partition, batch.encode()).await
}

/// Writes records as they are; the answer of their partition.
pub(crate) async fn write_bytes(connection: &mut Raw, topic: &Topic, partition: i32, records: Bytes) -> Value {
    let answer = connection.call(api::PRODUCE, 13, fitting(api::PRODUCE, 13, produce(topic, partition, records))).await;
    answer["responses"][0]["partition_responses"][0].clone()
}

/// Writes a batch that has to be taken, and says where it is.
pub(crate) async fn append(connection: &mut Raw, topic: &Topic, partition: i32, batch: &Batch) -> i64 {
    let answer = write(connection, topic, partition, batch).await;
    assert_eq!(answer["error_code"], 0, "{answer:?}");
    answer["base_offset"].int()
}

/// A sessionless Fetch of one partition that does not wait.
pub(crate) fn fetch(topic: &Topic, partition: i32, offset: i64) -> Value {
    fetch_all(&[(topic, partition, offset)])
}

/// A sessionless Fetch of several partitions, each in an entry of its own, that does not wait.
pub(crate) fn fetch_all(wanted: &[(&Topic, i32, i64)]) -> Value {
    let topics: Vec<_> =
        wanted.iter().map(|(topic, partition, offset)| fetch_topic(topic, *partition, *offset)).collect();
    value!({
        replica_id: -1, max_wait_ms: 0, min_bytes: 1, max_bytes: 10_000_000, session_epoch: -1, topics: topics,
    })
}

/// One partition of a Fetch.
pub(crate) fn fetch_topic(topic: &Topic, partition: i32, offset: i64) -> Value {
    let partition = value!({ partition: partition, fetch_offset: offset, partition_max_bytes: 10_000_000 });
    value!({ topic: &topic.name, topic_id: topic.id, partitions: [partition] })
}

/// Reads one partition; its part of the answer.
pub(crate) async fn read(connection: &mut Raw, topic: &Topic, partition: i32, offset: i64) -> Value {
    let answer = call(connection, api::FETCH, 17, fetch(topic, partition, offset)).await;
    answer["responses"][0]["partitions"][0].clone()
}

/// All whole batches from an offset on.
pub(crate) async fn batches(connection: &mut Raw, topic: &Topic, partition: i32, offset: i64) -> Vec<Batch> {
    let answer = read(connection, topic, partition, offset).await;
    assert_eq!(answer["error_code"], 0, "{answer:?}");
    Batch::decode_all(answer["records"].bytes().clone())
}

/// The values of all records from an offset on, of batches that are not compressed.
pub(crate) async fn values(connection: &mut Raw, topic: &Topic, partition: i32, offset: i64) -> Vec<Bytes> {
    let batches = batches(connection, topic, partition, offset).await;
    batches.iter().flat_map(Batch::records).map(|record| record.value.expect("a value")).collect()
}

/// Asks for the offset of a timestamp; the answer of the partition.
pub(crate) async fn list_offsets(connection: &mut Raw, topic: &Topic, partition: i32, timestamp: i64) -> Value {
    let answer = call(connection, api::LIST_OFFSETS, 10, offset_at(topic, partition, timestamp)).await;
    answer["topics"][0]["partitions"][0].clone()
}

/// A ListOffsets of one partition.
pub(crate) fn offset_at(topic: &Topic, partition: i32, timestamp: i64) -> Value {
    let partition = value!({ partition_index: partition, timestamp: timestamp });
    value!({ replica_id: -1, timeout_ms: 10_000, topics: [{ name: &topic.name, partitions: [partition] }] })
}

/// Deletes the records of one partition below an offset; the answer of the partition.
pub(crate) async fn delete_records(connection: &mut Raw, topic: &Topic, partition: i32, offset: i64) -> Value {
    let partition = value!({ partition_index: partition, offset: offset });
    let body = value!({ timeout_ms: 10_000, topics: [{ name: &topic.name, partitions: [partition] }] });
    let answer = call(connection, api::DELETE_RECORDS, 2, body).await;
    answer["topics"][0]["partitions"][0].clone()
}

/// A producer id that nobody else has.
pub(crate) async fn producer_id(connection: &mut Raw) -> i64 {
    let body = value!({ transactional_id: null, transaction_timeout_ms: 60_000 });
    let answer = until(connection, (api::INIT_PRODUCER_ID, 5), body, |answer| answer["error_code"] != 14).await;
    assert_eq!(answer["error_code"], 0, "{answer:?}");
    answer["producer_id"].int()
}

/// The time, in milliseconds, for rules that compare a timestamp with the broker's clock.
#[expect(clippy::disallowed_methods, reason = "a real Kafka has no clock but this one")]
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("1970 is over");
    since.as_millis().try_into().expect("milliseconds have 64 bits")
}

/// Runs both, neither waiting for the other.
pub(crate) async fn both<A, B>(first: impl Future<Output = A>, second: impl Future<Output = B>) -> (A, B) {
    tokio::join!(first, second)
}
