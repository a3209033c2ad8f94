//! Where transactions are played: a broker of either generation, topics, a client whose lines may break, and what a reader with
//! `read_committed` finds in the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_kafka::{
    Backoff, Consumer, ConsumerBuilder, IsolationLevel, Kafka, Offset, OffsetReset, Record, TransactionalBuilder,
};
use mockbroker::{MockBroker, MockBrokerBuilder};
use system_tests::api::{CREATE_TOPICS, END_TXN, OFFSET_FETCH, PRODUCE, TXN_OFFSET_COMMIT};
use system_tests::line::{Fate, Lines};
use system_tests::raw::Raw;
use system_tests::value;
use system_tests::value::Value;
use system_tests::world::{Broker, unique};

pub(crate) const LIMIT: Duration = Duration::from_secs(20);
const PARTITIONS: i32 = 2;
/// How the last record of a partition begins, by which a reader knows that it has everything.
const END: &str = "(end)";

pub(crate) struct Stage {
    pub(crate) broker: Broker,
    /// A second handle on the mock, for faults. `None` on a real Kafka.
    pub(crate) mock: Option<MockBroker>,
    /// By way of the lines.
    pub(crate) kafka: Kafka,
    /// Straight to the broker.
    pub(crate) quiet: Kafka,
    pub(crate) input: Arc<str>,
    pub(crate) output: Arc<str>,
    pub(crate) group: String,
    pub(crate) id: String,
}

/// The mock as these tests want it: groups begin at once, and a transaction that timed out is noticed soon.
pub(crate) fn mock(generation: u8) -> MockBrokerBuilder {
    MockBroker::builder()
        .config("group.initial.rebalance.delay.ms", "0")
        .config("group.min.session.timeout.ms", "100")
        .config("transaction.abort.timed.out.transaction.cleanup.interval.ms", "20")
        .config("feature.transaction.version", generation.to_string())
}

/// The generations that the broker under test can be asked for: a real Kafka has the one that it was formatted with.
pub(crate) fn generations() -> &'static [u8] {
    if Broker::real().is_some() { &[2] } else { &[1, 2] }
}

/// A plan of [`Lines`]: of what a transaction consists of every fourth request is lost, now on one of its ways, now on the other.
pub(crate) fn every_fourth_is_lost(api: i16, nth: usize) -> Fate {
    match ([PRODUCE, TXN_OFFSET_COMMIT, END_TXN].contains(&api), nth % 4) {
        (true, 1) if nth % 8 == 1 => Fate::AnswerLost,
        (true, 1) => Fate::RequestLost,
        _ => Fate::Passes,
    }
}

impl Stage {
    pub(crate) async fn new(generation: u8) -> Self {
        Self::on(generation, &Lines::new(|_, _| Fate::Passes)).await
    }

    pub(crate) async fn on(generation: u8, lines: &Lines) -> Self {
        let (broker, mock) = match Broker::real() {
            Some(real) => (real, None),
            None => {
                let mock = mock(generation).start().await;
                (Broker::mock(mock.clone()), Some(mock))
            }
        };
        Self::with(broker, mock, lines).await
    }

    /// On a mock that the test has shaped.
    pub(crate) async fn shaped(mock: MockBroker) -> Self {
        Self::shaped_on(mock, &Lines::new(|_, _| Fate::Passes)).await
    }

    /// The same by way of lines.
    pub(crate) async fn shaped_on(mock: MockBroker, lines: &Lines) -> Self {
        Self::with(Broker::mock(mock.clone()), Some(mock), lines).await
    }

    async fn with(broker: Broker, mock: Option<MockBroker>, lines: &Lines) -> Self {
        let (input, output) = (unique("input"), unique("output"));
        let mut connection = broker.connect().await;
        for name in [&input, &output] {
            let wanted = value!({ name: name, num_partitions: PARTITIONS, replication_factor: 1 });
            let body = value!({ topics: [wanted], timeout_ms: 10_000 });
            let created = connection.call(CREATE_TOPICS, 7, body).await;
            assert_eq!(created["topics"][0]["error_code"], 0, "{created:?}");
        }
        let kafka = client(&broker, lines).connect().await.expect("the broker answers");
        let quiet = Kafka::builder(broker.bootstrap()).connect().await.expect("the broker answers");
        let (input, output) = (input.into(), output.into());
        Self { broker, mock, kafka, quiet, input, output, group: unique("group"), id: unique("id") }
    }

    /// Writes the numbers of a range to the input, each to the partition that it names modulo their number.
    pub(crate) async fn feed(&self, range: std::ops::Range<i32>) {
        let producer = self.quiet.producer().batch_records(3).build().await.expect("valid settings");
        let record = |n: i32| Record::to(Arc::clone(&self.input)).partition(n % PARTITIONS).value(n.to_string());
        for outcome in producer.send_all(range.map(record)).await {
            outcome.expect("acknowledged");
        }
    }

    pub(crate) fn producer(&self) -> TransactionalBuilder {
        self.kafka.transactional(self.id.as_str()).linger(Duration::ZERO)
    }

    pub(crate) fn member(&self) -> ConsumerBuilder {
        let builder = self.kafka.consumer(self.group.as_str()).topics([Arc::clone(&self.input)]);
        let builder = builder.auto_offset_reset(OffsetReset::Earliest).isolation(IsolationLevel::ReadCommitted);
        builder.auto_commit_interval(None).heartbeat_interval(Duration::from_millis(50))
    }

    pub(crate) async fn consumer(&self) -> Consumer {
        self.member().build().await.expect("valid settings")
    }

    /// A record for the output.
    pub(crate) fn result(&self, value: impl ToString) -> Record {
        let value = value.to_string();
        let partition = value.parse::<i32>().unwrap_or(0) % PARTITIONS;
        Record::to(Arc::clone(&self.output)).partition(partition).value(value)
    }

    /// What is committed in the output, by partition and in its order.
    pub(crate) async fn committed(&self) -> Vec<String> {
        self.committed_in(&self.output).await
    }

    pub(crate) async fn committed_in(&self, topic: &Arc<str>) -> Vec<String> {
        let partitions = self.quiet.partition_count(topic).await.expect("the topic is there");
        let partitions = 0..i32::try_from(partitions).expect("a few");
        let last = unique(END);
        let end = self.quiet.producer().build().await.expect("valid settings");
        for partition in partitions.clone() {
            let record = Record::to(Arc::clone(topic)).partition(partition).value(last.clone());
            end.send_all([record]).await.remove(0).expect("acknowledged");
        }
        let builder = self.quiet.assigned_consumer().isolation(IsolationLevel::ReadCommitted);
        let builder = partitions
            .clone()
            .fold(builder, |builder, partition| builder.assign(Arc::clone(topic), partition, Offset::Earliest));
        let consumer = builder.build().await.expect("assigned");
        let mut found: BTreeMap<i32, Vec<String>> = BTreeMap::new();
        while found.values().filter(|values| values.last() == Some(&last)).count() < partitions.len() {
            let next = tokio::time::timeout(LIMIT, consumer.recv()).await;
            let record = next.expect("no transaction is open for ever").expect("no error").expect("open");
            let value = String::from_utf8(record.value().expect("a value").to_vec()).expect("text");
            found.entry(record.partition()).or_default().push(value);
        }
        found.into_values().flatten().filter(|value| !value.starts_with(END)).collect()
    }

    /// The same as numbers in their order.
    pub(crate) async fn numbers(&self) -> Vec<i32> {
        let mut numbers: Vec<i32> =
            self.committed().await.iter().map(|value| value.parse().expect("a number")).collect();
        numbers.sort_unstable();
        numbers
    }

    /// What the group has committed for each partition of the input, asked without being a member.
    pub(crate) async fn offsets(&self) -> Vec<i64> {
        let partitions = Value::Array((0..PARTITIONS).map(Value::from).collect());
        let topics = value!([{ name: &*self.input, partition_indexes: partitions }]);
        let body = value!({ group_id: &self.group, topics: topics, require_stable: true });
        // Whichever node coordinates the group now: the others refuse.
        for node in self.broker.nodes().iter().cycle() {
            let answer = Raw::connect(node).await.call(OFFSET_FETCH, 7, body.clone()).await;
            if answer["error_code"] != 0 {
                tokio::task::yield_now().await;
                continue;
            }
            let found = answer["topics"][0]["partitions"].array();
            let mut offsets: Vec<_> = found
                .iter()
                .filter(|partition| partition["error_code"] == 0)
                .map(|partition| (partition["partition_index"].int(), partition["committed_offset"].int()))
                .collect();
            // Whoever asks before the coordinator is there, or before markers are written, asks again.
            if offsets.len() == PARTITIONS as usize {
                offsets.sort_unstable();
                return offsets.into_iter().map(|(_, offset)| offset).collect();
            }
            tokio::task::yield_now().await;
        }
        unreachable!("a broker has nodes, and the cycle of them does not end")
    }
}

pub(crate) fn client(broker: &Broker, lines: &Lines) -> async_kafka::KafkaBuilder {
    let lines = lines.clone();
    Kafka::builder(broker.bootstrap())
        .dial(move |address| lines.clone().dial(address.host.to_string(), address.port))
        .request_timeout(Duration::from_secs(5))
        .retry_backoff(Backoff { initial: Duration::from_millis(5), maximum: Duration::from_millis(100) })
}

pub(crate) fn number(value: Option<&[u8]>) -> i32 {
    std::str::from_utf8(value.expect("a value")).expect("text").parse().expect("a number")
}

pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.unwrap_or_else(|_| panic!("waited {LIMIT:?} until {what}"))
}
