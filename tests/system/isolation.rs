//! Transactions as a consumer sees them: what was aborted is left out with `read_committed`, and the end is the last stable offset.

use std::time::Duration;

use async_kafka::{AssignedConsumer, IsolationLevel, Kafka, Offset};
use system_tests::api::{ADD_PARTITIONS_TO_TXN, CREATE_TOPICS, END_TXN, FIND_COORDINATOR, INIT_PRODUCER_ID, PRODUCE};
use system_tests::batch::Batch;
use system_tests::raw::Raw;
use system_tests::value;
use system_tests::value::Value;
use system_tests::world::{Broker, unique};

struct Transaction<'a> {
    connection: &'a mut Raw,
    id: String,
    topic: &'a str,
    producer_id: i64,
    epoch: i64,
    sequence: i32,
}

async fn repeatedly(connection: &mut Raw, api: i16, version: i16, body: Value, code: impl Fn(&Value) -> i64) -> Value {
    loop {
        let answer = connection.call(api, version, body.clone()).await;
        // The coordinator is found, loaded, or still at the last transaction's markers.
        if ![14, 15, 16, 51].contains(&code(&answer)) {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl<'a> Transaction<'a> {
    async fn begin(connection: &'a mut Raw, topic: &'a str) -> Self {
        let id = unique("txn");
        let body = value!({ key: &id, key_type: 1 });
        repeatedly(connection, FIND_COORDINATOR, 3, body, |answer| answer["error_code"].int()).await;
        let body = value!({ transactional_id: &id, transaction_timeout_ms: 60_000 });
        let got = repeatedly(connection, INIT_PRODUCER_ID, 2, body, |answer| answer["error_code"].int()).await;
        assert_eq!(got["error_code"], 0, "{got:?}");
        let (producer_id, epoch) = (got["producer_id"].int(), got["producer_epoch"].int());
        Self { connection, id, topic, producer_id, epoch, sequence: 0 }
    }

    async fn write(&mut self, value: &str) {
        let body = value!({ v3_and_below_transactional_id: &self.id, v3_and_below_producer_id: self.producer_id,
            v3_and_below_producer_epoch: self.epoch,
            v3_and_below_topics: [{ name: self.topic, partitions: [0] }] });
        let code = |answer: &Value| {
            answer["results_by_topic_v3_and_below"][0]["results_by_partition"][0]["partition_error_code"].int()
        };
        repeatedly(self.connection, ADD_PARTITIONS_TO_TXN, 2, body, code).await;
        let batch =
            Batch::of([value]).from_producer(self.producer_id, self.epoch as i16, self.sequence).transactional();
        self.sequence += 1;
        let body = value!({ transactional_id: &self.id, acks: -1, timeout_ms: 5000,
            topic_data: [{ name: self.topic, partition_data: [{ index: 0, records: batch.encode() }] }] });
        let answer = self.connection.call(PRODUCE, 9, body).await;
        assert_eq!(answer["responses"][0]["partition_responses"][0]["error_code"], 0, "{answer:?}");
    }

    async fn end(&mut self, committed: bool) {
        let body = value!({ transactional_id: &self.id, producer_id: self.producer_id, producer_epoch: self.epoch,
            committed: committed });
        let answer = repeatedly(self.connection, END_TXN, 2, body, |answer| answer["error_code"].int()).await;
        assert_eq!(answer["error_code"], 0, "{answer:?}");
    }
}

async fn read(consumer: &AssignedConsumer) -> Vec<String> {
    let mut values = Vec::new();
    while let Ok(record) = tokio::time::timeout(Duration::from_secs(1), consumer.recv()).await {
        let record = record.expect("no error").expect("open");
        values.push(String::from_utf8(record.value().expect("a value").to_vec()).expect("text"));
    }
    values
}

#[tokio::test]
async fn read_committed_leaves_out_what_was_aborted_and_stops_before_what_is_open() {
    let broker = Broker::for_test().await;
    let topic = unique("isolation");
    let wanted = value!({ name: &topic, num_partitions: 1, replication_factor: 1 });
    let mut connection = broker.connect().await;
    let created = connection.call(CREATE_TOPICS, 7, value!({ topics: [wanted], timeout_ms: 10_000 })).await;
    assert_eq!(created["topics"][0]["error_code"], 0, "{created:?}");
    let mut other = broker.connect().await;
    let (mut one, mut two) =
        (Transaction::begin(&mut connection, &topic).await, Transaction::begin(&mut other, &topic).await);
    one.write("committed").await;
    two.write("aborted").await;
    one.end(true).await;
    two.end(false).await;
    one.write("aborted too").await;
    one.end(false).await;
    two.write("committed too").await;
    two.end(true).await;
    one.write("open").await;
    two.write("committed behind the open one").await;
    two.end(true).await;

    let kafka = Kafka::builder(broker.bootstrap()).connect().await.expect("the broker answers");
    let consumer = async |isolation, offset| {
        let builder = kafka.assigned_consumer().assign(topic.as_str(), 0, offset).isolation(isolation);
        builder.build().await.expect("assigned")
    };
    let committed = consumer(IsolationLevel::ReadCommitted, Offset::Earliest).await;
    assert_eq!(read(&committed).await, ["committed", "committed too"]);
    let latest = consumer(IsolationLevel::ReadCommitted, Offset::Latest).await;
    assert_eq!(read(&latest).await, [""; 0]);
    let all = consumer(IsolationLevel::ReadUncommitted, Offset::Earliest).await;
    assert_eq!(read(&all).await.len(), 6);
    one.end(true).await;
    assert_eq!(read(&committed).await, ["open", "committed behind the open one"]);
    assert_eq!(read(&latest).await, ["open", "committed behind the open one"], "it began at the last stable offset");
}
