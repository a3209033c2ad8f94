//! What tests of groups share: a topic, a group, members of either protocol. On the mock, or on a real Kafka with
//! `KAFKA_BOOTSTRAP`, which wants `group.consumer.min.heartbeat.interval.ms=50` and `group.consumer.heartbeat.interval.ms=100`
//! to be as quick.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_kafka::{
    Backoff, Consumer, ConsumerBuilder, GroupProtocol, Kafka, OffsetReset, Rebalance, RebalanceKind, Record,
};
use mockbroker::{MockBroker, MockBrokerBuilder};
use system_tests::api::{CREATE_TOPICS, OFFSET_FETCH};
use system_tests::line::{Fate, Lines};
use system_tests::raw::Raw;
use system_tests::value;
use system_tests::value::Value;
use system_tests::world::{Broker, unique};

/// Both of Kafka's group protocols.
pub(crate) const BOTH: [GroupProtocol; 2] = [GroupProtocol::Classic, GroupProtocol::Consumer];

pub(crate) const LIMIT: Duration = Duration::from_secs(20);

pub(crate) struct World {
    pub(crate) broker: Broker,
    pub(crate) kafka: Kafka,
    pub(crate) topic: Arc<str>,
    pub(crate) group: String,
    pub(crate) partitions: i32,
    pub(crate) protocol: GroupProtocol,
    /// One connection for all questions, which are asked in loops.
    raw: tokio::sync::Mutex<Raw>,
}

/// A mock whose groups are quick.
pub(crate) fn mock() -> MockBrokerBuilder {
    MockBroker::builder()
        .config("group.initial.rebalance.delay.ms", "0")
        .config("group.consumer.min.heartbeat.interval.ms", "50")
        .config("group.consumer.heartbeat.interval.ms", "100")
}

impl World {
    pub(crate) async fn new(protocol: GroupProtocol, partitions: i32) -> Self {
        Self::on(protocol, partitions, &Lines::new(|_, _| Fate::Passes)).await
    }

    pub(crate) async fn on(protocol: GroupProtocol, partitions: i32, lines: &Lines) -> Self {
        let broker = match Broker::real() {
            Some(real) => real,
            None => Broker::mock(mock().start().await),
        };
        Self::at(broker, protocol, partitions, lines).await
    }

    pub(crate) async fn at(broker: Broker, protocol: GroupProtocol, partitions: i32, lines: &Lines) -> Self {
        let topic = unique("groups");
        let wanted = value!({ name: &topic, num_partitions: partitions, replication_factor: 1 });
        let mut connection = broker.connect().await;
        let created = connection.call(CREATE_TOPICS, 7, value!({ topics: [wanted], timeout_ms: 10_000 })).await;
        assert_eq!(created["topics"][0]["error_code"], 0, "{created:?}");
        let lines = lines.clone();
        let kafka = Kafka::builder(broker.bootstrap())
            .dial(move |address| lines.clone().dial(address.host.to_string(), address.port))
            .retry_backoff(Backoff { initial: Duration::from_millis(10), maximum: Duration::from_millis(200) });
        let kafka = kafka.connect().await.expect("the broker answers");
        Self {
            broker,
            kafka,
            topic: topic.into(),
            group: unique("group"),
            partitions,
            protocol,
            raw: connection.into(),
        }
    }

    /// Writes the numbers of a range, each to the partition that it names modulo their number.
    pub(crate) async fn produce(&self, range: std::ops::Range<i32>) {
        let producer = self.kafka.producer().build().await.expect("valid settings");
        let record = |n: i32| Record::to(Arc::clone(&self.topic)).partition(n % self.partitions).value(n.to_string());
        for outcome in producer.send_all(range.map(record)).await {
            outcome.expect("acknowledged");
        }
    }

    pub(crate) fn builder(&self) -> ConsumerBuilder {
        let builder = self.kafka.consumer(self.group.as_str()).topics([Arc::clone(&self.topic)]);
        let builder = builder.group_protocol(self.protocol);
        builder.auto_offset_reset(OffsetReset::Earliest).heartbeat_interval(Duration::from_millis(100))
    }

    pub(crate) async fn consumer(&self) -> Consumer {
        self.builder().build().await.expect("valid settings")
    }

    /// Asks the broker without a client.
    pub(crate) async fn ask(&self, api_key: i16, version: i16, body: Value) -> Value {
        self.raw.lock().await.call(api_key, version, body).await
    }

    /// What the group has committed, asked without being a member of it.
    pub(crate) async fn committed(&self) -> Vec<Option<i64>> {
        let partitions = Value::Array((0..self.partitions).map(Value::from).collect());
        let topics = value!([{ name: &*self.topic, partition_indexes: partitions }]);
        let body = value!({ group_id: &self.group, topics: topics, require_stable: true });
        let answer = self.ask(OFFSET_FETCH, 7, body).await;
        assert_eq!(answer["error_code"], 0, "{answer:?}");
        let found = answer["topics"][0]["partitions"].array().iter();
        let mut offsets: Vec<_> = found.map(|p| (p["partition_index"].int(), p["committed_offset"].int())).collect();
        offsets.sort_unstable();
        offsets.into_iter().map(|(_, offset)| Some(offset).filter(|offset| *offset >= 0)).collect()
    }
}

pub(crate) async fn next(consumer: &Consumer) -> i32 {
    let record = tokio::time::timeout(LIMIT, consumer.recv()).await.expect("a record comes").expect("no error");
    number(record.expect("open").value())
}

pub(crate) fn number(value: Option<&[u8]>) -> i32 {
    std::str::from_utf8(value.expect("a value")).expect("text").parse().expect("a number")
}

pub(crate) async fn read(consumer: &Consumer, count: usize) -> BTreeSet<i32> {
    let mut numbers = BTreeSet::new();
    for _ in 0..count {
        assert!(numbers.insert(next(consumer).await), "nothing comes twice");
    }
    numbers
}

/// Waits until a condition holds, which something else brings about.
pub(crate) async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, wait).await.unwrap_or_else(|_| panic!("waited {LIMIT:?} until {what}"));
}

impl World {
    /// Whether consumers together have been given everything, as far as they know.
    pub(crate) fn lagless(&self, consumers: &[&Consumer]) -> bool {
        let lags = consumers
            .iter()
            .flat_map(|consumer| consumer.assignment().into_iter().map(|p| consumer.lag(&p.topic, p.partition)));
        let lags: Vec<_> = lags.collect();
        lags.len() == self.partitions as usize && lags.iter().all(|lag| *lag == Some(0))
    }
}

/// What a consumer's listener was told: the kinds and numbers of partitions.
pub(crate) type Told = Arc<Mutex<Vec<(RebalanceKind, usize)>>>;

pub(crate) fn telling(builder: ConsumerBuilder, told: &Told) -> ConsumerBuilder {
    let told = Arc::clone(told);
    builder.on_rebalance(move |event: Rebalance| {
        told.lock().expect("no panic").push((event.kind(), event.partitions().len()));
        async {}
    })
}
