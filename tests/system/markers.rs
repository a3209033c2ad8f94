//! Markers that a test holds: the gap between the answer of EndTxn and the end of the transaction, step by step.

use std::time::Duration;

use mockbroker::{Clock, HeldMarkers, MockBroker, PartitionId};
use system_tests::api::{
    ADD_OFFSETS_TO_TXN, ADD_PARTITIONS_TO_TXN, END_TXN, FETCH, FIND_COORDINATOR, INIT_PRODUCER_ID, LIST_OFFSETS,
    OFFSET_COMMIT, OFFSET_FETCH, PRODUCE, TXN_OFFSET_COMMIT,
};
use system_tests::batch::Batch;
use system_tests::raw::{Raw, patiently};
use system_tests::value;
use system_tests::value::Value;
use system_tests::world::eventually;

const ID: &str = "mover";
const INVALID_PRODUCER_EPOCH: i16 = 47;
const CONCURRENT_TRANSACTIONS: i64 = 51;
const UNSTABLE_OFFSET_COMMIT: i64 = 88;

/// A producer of one transaction over both partitions of `orders`, as version 1 of the protocol has it.
struct Session {
    broker: MockBroker,
    connection: Raw,
    producer: (i64, i64),
    sequence: i32,
}

impl Session {
    async fn start() -> Self {
        Self::on(MockBroker::builder().topic("orders", 2).start().await).await
    }

    async fn on(broker: MockBroker) -> Self {
        let mut connection = Raw::connect(broker.bootstrap_servers()).await;
        for (key, key_type) in [(ID, 1_i8), ("billing", 0)] {
            let body = value!({ coordinator_keys: [key], key_type: key_type });
            // The first asks for the topic, the second finds it.
            connection.call(FIND_COORDINATOR, 4, body.clone()).await;
            let found = connection.call(FIND_COORDINATOR, 4, body).await;
            assert_eq!(found["coordinators"][0]["error_code"], 0, "{found:?}");
        }
        let mut session = Self { broker, connection, producer: (-1, -1), sequence: 0 };
        session.producer = session.init().await.expect("nobody else has the id");
        session
    }

    async fn init(&mut self) -> Result<(i64, i64), i64> {
        let body =
            value!({ transactional_id: ID, transaction_timeout_ms: 60_000, producer_id: -1, producer_epoch: -1 });
        let answer = self.connection.call(INIT_PRODUCER_ID, 4, body).await;
        outcome(&answer).map(|()| (answer["producer_id"].int(), answer["producer_epoch"].int()))
    }

    async fn add(&mut self, partitions: &[i32]) -> i64 {
        let partitions: Vec<Value> = partitions.iter().map(|partition| (*partition).into()).collect();
        let topics = value!([{ name: "orders", partitions: partitions }]);
        let body = value!({
            v3_and_below_transactional_id: ID, v3_and_below_producer_id: self.producer.0,
            v3_and_below_producer_epoch: self.producer.1, v3_and_below_topics: topics,
        });
        let answer = self.connection.call(ADD_PARTITIONS_TO_TXN, 3, body).await;
        let topic = &answer["results_by_topic_v3_and_below"][0];
        topic["results_by_partition"][0]["partition_error_code"].int()
    }

    async fn write(&mut self, partition: i32, value: &str) {
        let epoch = i16::try_from(self.producer.1).expect("an epoch has 16 bits");
        let records = Batch::of([value]).from_producer(self.producer.0, epoch, self.sequence).transactional().encode();
        let body = value!({ transactional_id: ID, acks: -1, timeout_ms: 1000,
            topic_data: [{ name: "orders", partition_data: [{ index: partition, records: records }] }] });
        let answer = self.connection.call(PRODUCE, 9, body).await;
        assert_eq!(answer["responses"][0]["partition_responses"][0]["error_code"], 0, "{answer:?}");
    }

    /// An open transaction with a record in each partition.
    async fn fill(&mut self) {
        assert_eq!(self.add(&[0, 1]).await, 0);
        for partition in [0, 1] {
            self.write(partition, "v").await;
        }
        self.sequence += 1;
    }

    /// The offset of `orders` 0 for the group `billing` is part of the transaction.
    async fn send_offset(&mut self, offset: i64) {
        let (id, epoch) = self.producer;
        let body = value!({ transactional_id: ID, producer_id: id, producer_epoch: epoch, group_id: "billing" });
        let added = self.connection.call(ADD_OFFSETS_TO_TXN, 3, body).await;
        assert_eq!(added["error_code"], 0, "{added:?}");
        let topics = value!([{ name: "orders", partitions: [{ partition_index: 0, committed_offset: offset }] }]);
        let body = value!({ transactional_id: ID, group_id: "billing", producer_id: id, producer_epoch: epoch,
            topics: topics });
        let sent = self.connection.call(TXN_OFFSET_COMMIT, 3, body).await;
        assert_eq!(sent["topics"][0]["partitions"][0]["error_code"], 0, "{sent:?}");
    }

    async fn end(&mut self, commits: bool) -> i64 {
        let (id, epoch) = self.producer;
        let body = value!({ transactional_id: ID, producer_id: id, producer_epoch: epoch, committed: commits });
        self.connection.call(END_TXN, 3, body).await["error_code"].int()
    }

    /// The last stable offset of both partitions, and how many of the aborted transactions are told of.
    async fn stable(&mut self) -> [(i64, usize); 2] {
        let partition = |index: i32| value!({ partition: index, fetch_offset: 0, partition_max_bytes: 1_000_000 });
        let topics = value!([{ topic: "orders", partitions: [partition(0), partition(1)] }]);
        let body = value!({ max_wait_ms: 0, min_bytes: 0, isolation_level: 1, topics: topics });
        let answer = self.connection.call(FETCH, 11, body).await;
        let of = |index: usize| {
            let partition = &answer["responses"][0]["partitions"][index];
            (partition["last_stable_offset"].int(), partition["aborted_transactions"].array().len())
        };
        [of(0), of(1)]
    }

    /// The offset of the group, asked for as a consumer of exactly once does.
    async fn offset(&mut self) -> Result<i64, i64> {
        let topics = value!([{ name: "orders", partition_indexes: [0] }]);
        let body = value!({ require_stable: true, groups: [{ group_id: "billing", topics: topics }] });
        let answer = self.connection.call(OFFSET_FETCH, 8, body).await;
        let partition = &answer["groups"][0]["topics"][0]["partitions"][0];
        outcome(partition).map(|()| partition["committed_offset"].int())
    }
}

fn outcome(answer: &Value) -> Result<(), i64> {
    match answer["error_code"].int() {
        0 => Ok(()),
        code => Err(code),
    }
}

fn pending(held: &HeldMarkers) -> Vec<Option<(String, i32)>> {
    let steps = held.pending().into_iter();
    steps.map(|step| step.partition.map(|(topic, PartitionId(partition))| (topic, partition))).collect()
}

fn orders(partition: i32) -> Option<(String, i32)> {
    Some(("orders".to_owned(), partition))
}

#[tokio::test]
async fn a_transaction_becomes_visible_partition_by_partition() {
    for (commits, told) in [(true, 0), (false, 1)] {
        let mut session = Session::start().await;
        session.fill().await;
        let held = session.broker.hold_markers();
        assert_eq!(session.end(commits).await, 0, "it is answered although no marker is written");
        assert_eq!(pending(&held), [orders(0), orders(1), None]);
        let step = &held.pending()[0];
        assert_eq!((&*step.transactional_id, step.is_commit), (ID, commits));
        assert_eq!((step.producer_id.0, i64::from(step.producer_epoch)), session.producer);
        assert_eq!(session.stable().await, [(0, 0), (0, 0)]);
        assert_eq!(held.release_next().unwrap(), *step);
        assert_eq!(session.stable().await, [(2, told), (0, 0)], "one half is there");
        assert_eq!(session.add(&[0]).await, CONCURRENT_TRANSACTIONS);
        held.release_next().unwrap();
        assert_eq!(session.stable().await, [(2, told), (2, told)]);
        assert_eq!(session.add(&[0]).await, CONCURRENT_TRANSACTIONS, "all is visible, but it is not complete");
        assert_eq!(held.release_next().unwrap().partition, None);
        assert_eq!(session.add(&[0]).await, 0);
        assert_eq!(held.release_next(), None);
    }
}

#[tokio::test]
async fn offsets_of_a_transaction_are_pending_until_the_marker_of_their_group() {
    for (commits, then) in [(true, 7), (false, 3)] {
        let mut session = Session::start().await;
        let topics = value!([{ name: "orders", partitions: [{ partition_index: 0, committed_offset: 3 }] }]);
        let body = value!({ group_id: "billing", generation_id_or_member_epoch: -1, topics: topics });
        session.connection.call(OFFSET_COMMIT, 8, body).await;
        let held = session.broker.hold_markers();
        session.fill().await;
        session.send_offset(7).await;
        assert_eq!(session.offset().await, Err(UNSTABLE_OFFSET_COMMIT));
        assert_eq!(session.end(commits).await, 0);
        // The internal topic comes first by its name.
        let first = held.pending()[0].partition.clone().unwrap();
        assert_eq!(first.0, "__consumer_offsets");
        assert_eq!(session.offset().await, Err(UNSTABLE_OFFSET_COMMIT), "decided, and not yet so");
        held.release_next();
        assert_eq!(session.offset().await, Ok(then));
        assert_eq!(session.stable().await, [(0, 0), (0, 0)], "the records are not there yet");
        assert_eq!(held.release_all(), 3);
        assert!(held.pending().is_empty());
    }
}

#[tokio::test]
async fn a_new_producer_of_the_same_id_waits_for_the_markers_of_the_old_one() {
    let mut session = Session::start().await;
    session.fill().await;
    let held = session.broker.hold_markers();
    assert_eq!(session.init().await, Err(CONCURRENT_TRANSACTIONS), "the open transaction is aborted first");
    assert!(held.pending().iter().all(|step| !step.is_commit));
    assert_eq!(session.init().await, Err(CONCURRENT_TRANSACTIONS));
    held.release_all();
    let (id, epoch) = session.producer;
    assert_eq!(session.init().await, Ok((id, epoch + 2)));
}

#[tokio::test]
async fn a_marker_that_fails_is_tried_again() {
    let mut session = Session::start().await;
    session.fill().await;
    let held = session.broker.hold_markers();
    session.end(true).await;
    for error in [3, 6, 7, 19, 20, 56] {
        assert_eq!(held.fail_next(error).unwrap().partition, Some(("orders".to_owned(), PartitionId(0))));
        assert_eq!(pending(&held), [orders(0), orders(1), None], "{error}");
        assert_eq!(session.stable().await, [(0, 0), (0, 0)]);
    }
    held.release_next();
    held.release_next();
    assert_eq!(held.fail_next(7).unwrap().partition, None, "so is the completion");
    assert_eq!(session.add(&[0]).await, CONCURRENT_TRANSACTIONS);
    assert_eq!((held.release_all(), session.add(&[0]).await), (1, 0));
}

#[tokio::test]
async fn a_coordinator_that_is_fenced_gives_up() {
    // Nothing helps but another coordinator: the transaction is stuck, as in Kafka.
    let mut session = Session::start().await;
    session.fill().await;
    let held = session.broker.hold_markers();
    session.end(true).await;
    held.release_next();
    held.fail_next(INVALID_PRODUCER_EPOCH).unwrap();
    assert!(held.pending().is_empty());
    drop(held);
    assert_eq!(session.stable().await, [(2, 0), (0, 0)]);
    assert_eq!(session.add(&[0]).await, CONCURRENT_TRANSACTIONS);
    assert_eq!(session.init().await, Err(CONCURRENT_TRANSACTIONS));
}

#[tokio::test]
#[should_panic(expected = "a marker cannot fail with the error code 10")]
async fn an_error_that_kafka_does_not_survive_is_refused() {
    let broker = MockBroker::start().await;
    let _step = broker.hold_markers().fail_next(10);
}

#[tokio::test]
async fn what_is_held_is_written_when_the_last_guard_is_gone() {
    let mut session = Session::start().await;
    session.fill().await;
    let (first, second) = (session.broker.hold_markers(), session.broker.hold_markers());
    session.end(true).await;
    drop(first);
    assert_eq!((session.add(&[0]).await, second.pending().len()), (CONCURRENT_TRANSACTIONS, 3));
    drop(second);
    let broker = session.broker.clone();
    // Not at once, but without anybody's doing.
    eventually("the markers are written", || broker.hold_markers().pending().is_empty()).await;
    assert_eq!(session.stable().await, [(2, 0), (2, 0)]);
}

#[tokio::test]
async fn a_test_waits_for_markers_and_a_consumer_for_their_release() {
    let mut session = Session::start().await;
    session.fill().await;
    let held = session.broker.hold_markers();
    // A consumer's long poll, which only the marker ends.
    let mut consumer = Raw::connect(session.broker.bootstrap_servers()).await;
    let topics = value!([{ topic: "orders",
        partitions: [{ partition: 1, fetch_offset: 0, partition_max_bytes: 1_000_000 }] }]);
    let body = value!({ max_wait_ms: 60_000, min_bytes: 1, max_bytes: 1_000_000, isolation_level: 1, topics: topics });
    let polled = consumer.send(FETCH, 11, body).await;
    let (waited, ended) = tokio::join!(patiently("three steps", held.wait(3)), session.end(true));
    assert_eq!((waited, ended), ((), 0));
    held.release_next();
    assert!(consumer.is_silent_for(Duration::from_millis(30)).await, "the other partition's marker is none of its");
    held.release_next();
    let answer = consumer.receive(polled).await;
    assert_eq!(answer["responses"][0]["partitions"][0]["last_stable_offset"], 2);
}

#[tokio::test]
async fn a_timeout_is_held_too() {
    // The records bear an old time.
    let builder = MockBroker::builder().topic("orders", 2).config("log.retention.ms", "-1");
    let broker = builder.clock(Clock::manual()).start().await;
    let mut session = Session::on(broker).await;
    session.fill().await;
    let held = session.broker.hold_markers();
    session.broker.advance(Duration::from_secs(70));
    patiently("the abort", held.wait(3)).await;
    let step = &held.pending()[0];
    assert_eq!((step.is_commit, i64::from(step.producer_epoch)), (false, session.producer.1 + 1));
    held.release_all();
    assert_eq!(session.stable().await, [(2, 1), (2, 1)]);
}

#[tokio::test]
async fn without_a_guard_the_gap_is_there_and_short() {
    // Whoever sends EndTxn and what comes next in one go is told to come back, as by Kafka: the markers come after the answer.
    let mut session = Session::start().await;
    let mut concurrent = 0;
    for _ in 0..50 {
        while session.add(&[0, 1]).await == CONCURRENT_TRANSACTIONS {}
        for partition in [0, 1] {
            session.write(partition, "v").await;
        }
        session.sequence += 1;
        let (id, epoch) = session.producer;
        let body = value!({ transactional_id: ID, producer_id: id, producer_epoch: epoch, committed: true });
        let ended = session.connection.send(END_TXN, 3, body.clone()).await;
        let again = session.connection.send(END_TXN, 3, body).await;
        assert_eq!(session.connection.receive(ended).await["error_code"], 0);
        match session.connection.receive(again).await["error_code"].int() {
            0 => {}
            code => {
                assert_eq!(code, CONCURRENT_TRANSACTIONS);
                concurrent += 1;
            }
        }
    }
    assert!(concurrent > 0, "the gap was never met in 50 transactions");
    let latest = value!({ replica_id: -1, isolation_level: 1,
        topics: [{ name: "orders", partitions: [{ partition_index: 0, timestamp: -1 }] }] });
    while session.add(&[0]).await == CONCURRENT_TRANSACTIONS {}
    let answer = session.connection.call(LIST_OFFSETS, 5, latest).await;
    assert_eq!(answer["topics"][0]["partitions"][0]["offset"], 100);
}
