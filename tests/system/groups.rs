//! Consumers that share a group: who reads what, what is committed, and what becomes of both when members come and go. On the
//! mock, or on a real Kafka with `KAFKA_BOOTSTRAP`.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_kafka::{
    Assignor, Backoff, Consumer, ConsumerBuilder, Error, Kafka, Offset, OffsetReset, PartitionStream, Rebalance,
    RebalanceKind, Record, TopicPartition,
};
use mockbroker::MockBroker;
use system_tests::api::{
    CREATE_TOPICS, FIND_COORDINATOR, HEARTBEAT, JOIN_GROUP, OFFSET_COMMIT, OFFSET_FETCH, SYNC_GROUP,
};
use system_tests::line::{Fate, Lines};
use system_tests::value;
use system_tests::value::Value;
use system_tests::world::{Broker, unique};

const LIMIT: Duration = Duration::from_secs(20);

struct World {
    broker: Broker,
    kafka: Kafka,
    topic: Arc<str>,
    group: String,
    partitions: i32,
}

impl World {
    async fn new(partitions: i32) -> Self {
        Self::on(partitions, &Lines::new(|_, _| Fate::Passes)).await
    }

    async fn on(partitions: i32, lines: &Lines) -> Self {
        let broker = match Broker::real() {
            Some(real) => real,
            None => Broker::mock(MockBroker::builder().config("group.initial.rebalance.delay.ms", "0").start().await),
        };
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
        Self { broker, kafka, topic: topic.into(), group: unique("group"), partitions }
    }

    /// Writes the numbers of a range, each to the partition that it names modulo their number.
    async fn produce(&self, range: std::ops::Range<i32>) {
        let producer = self.kafka.producer().build().await.expect("valid settings");
        let record = |n: i32| Record::to(Arc::clone(&self.topic)).partition(n % self.partitions).value(n.to_string());
        for outcome in producer.send_all(range.map(record)).await {
            outcome.expect("acknowledged");
        }
    }

    fn builder(&self) -> ConsumerBuilder {
        let builder = self.kafka.consumer(self.group.as_str()).topics([Arc::clone(&self.topic)]);
        builder.auto_offset_reset(OffsetReset::Earliest).heartbeat_interval(Duration::from_millis(100))
    }

    async fn consumer(&self) -> Consumer {
        self.builder().build().await.expect("valid settings")
    }

    /// What the group has committed, asked without being a member of it.
    async fn committed(&self) -> Vec<Option<i64>> {
        let partitions = Value::Array((0..self.partitions).map(Value::from).collect());
        let topics = value!([{ name: &*self.topic, partition_indexes: partitions }]);
        let body = value!({ group_id: &self.group, topics: topics, require_stable: true });
        let answer = self.broker.connect().await.call(OFFSET_FETCH, 7, body).await;
        assert_eq!(answer["error_code"], 0, "{answer:?}");
        let found = answer["topics"][0]["partitions"].array().iter();
        let mut offsets: Vec<_> = found.map(|p| (p["partition_index"].int(), p["committed_offset"].int())).collect();
        offsets.sort_unstable();
        offsets.into_iter().map(|(_, offset)| Some(offset).filter(|offset| *offset >= 0)).collect()
    }
}

async fn next(consumer: &Consumer) -> i32 {
    let record = tokio::time::timeout(LIMIT, consumer.recv()).await.expect("a record comes").expect("no error");
    number(record.expect("open").value())
}

fn number(value: Option<&[u8]>) -> i32 {
    std::str::from_utf8(value.expect("a value")).expect("text").parse().expect("a number")
}

async fn read(consumer: &Consumer, count: usize) -> BTreeSet<i32> {
    let mut numbers = BTreeSet::new();
    for _ in 0..count {
        assert!(numbers.insert(next(consumer).await), "nothing comes twice");
    }
    numbers
}

/// Waits until a condition holds, which something else brings about.
async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, wait).await.unwrap_or_else(|_| panic!("waited {LIMIT:?} until {what}"));
}

#[tokio::test]
async fn a_group_of_one_reads_everything_and_the_next_member_goes_on_where_it_closed() {
    let world = World::new(3).await;
    world.produce(0..30).await;
    let first = world.consumer().await;
    assert_eq!(read(&first, 30).await, (0..30).collect());
    assert_eq!(first.assignment().len(), 3);
    first.close(LIMIT).await.expect("closed");
    assert_eq!(world.committed().await, [Some(10); 3]);
    world.produce(30..33).await;
    let second = world.consumer().await;
    assert_eq!(read(&second, 3).await, (30..33).collect());
    assert!(first.recv().await.expect("no error").is_none(), "a closed consumer is at its end");
}

#[tokio::test]
async fn what_is_fetched_without_commit_comes_again() {
    // kafka-go: FetchMessage without CommitMessages.
    let world = World::new(1).await;
    world.produce(0..5).await;
    let builder = || world.builder().auto_commit_interval(None);
    let first = builder().build().await.expect("valid settings");
    read(&first, 5).await;
    first.close(LIMIT).await.expect("closed");
    let second = builder().build().await.expect("valid settings");
    let mut records = Vec::new();
    for _ in 0..5 {
        records.push(second.recv().await.expect("no error").expect("open"));
    }
    second.commit_record(&records[2]).await.expect("committed");
    second.commit_record(&records[0]).await.expect("an older record changes nothing");
    second.close(LIMIT).await.expect("closed");
    assert_eq!(world.committed().await, [Some(3)]);
    let third = builder().build().await.expect("valid settings");
    assert_eq!(read(&third, 2).await, [3, 4].into());
}

#[tokio::test]
async fn recv_and_commit_commits_each_record() {
    let world = World::new(1).await;
    world.produce(0..3).await;
    let consumer = world.builder().auto_commit_interval(None).build().await.expect("valid settings");
    consumer.recv_and_commit().await.expect("no error").expect("open");
    assert_eq!(world.committed().await, [Some(1)]);
    let batch = consumer.next_batch().await.expect("no error").expect("open");
    consumer.commit(&batch).await.expect("committed");
    assert_eq!(world.committed().await, [Some(3)]);
}

#[tokio::test]
async fn the_automatic_commit_does_not_commit_what_the_program_is_still_at() {
    let world = World::new(1).await;
    world.produce(0..4).await;
    let builder = world.builder().auto_commit_interval(Some(Duration::from_millis(20)));
    let consumer = builder.build().await.expect("valid settings");
    read(&consumer, 3).await;
    until("two are committed", async || world.committed().await == [Some(2)]).await;
    drop(consumer);
    until("the member has left", async || {
        let again = world.consumer().await;
        let first = next(&again).await;
        assert_eq!(first, 2, "the third was given out and not done with");
        true
    })
    .await;
}

#[tokio::test]
async fn members_share_partitions_and_take_over_from_each_other() {
    for assignors in [
        vec![Assignor::Range],
        vec![Assignor::RoundRobin],
        vec![Assignor::Sticky],
        vec![Assignor::CooperativeSticky],
        vec![Assignor::Range, Assignor::CooperativeSticky],
    ] {
        let world = World::new(4).await;
        world.produce(0..40).await;
        let consumer = async || world.builder().assignors(assignors.clone()).build().await.expect("valid settings");
        let first = consumer().await;
        let mut seen = read(&first, 40).await;
        let second = consumer().await;
        // Both ask for records all the time, as programs do.
        let (one, other) = (first.clone(), second.clone());
        let reader = |consumer: Consumer| async move {
            let mut numbers = Vec::new();
            while let Some(record) = consumer.recv().await.expect("no error") {
                numbers.push(number(record.value()));
            }
            numbers
        };
        let (one, other) = (tokio::spawn(reader(one)), tokio::spawn(reader(other)));
        until("both have two partitions", async || first.assignment().len() == 2 && second.assignment().len() == 2)
            .await;
        let (a, b): (BTreeSet<_>, BTreeSet<_>) =
            (first.assignment().into_iter().collect(), second.assignment().into_iter().collect());
        assert!(a.is_disjoint(&b), "{assignors:?}: {a:?} {b:?}");
        world.produce(40..80).await;
        until("everything is read", async || world.lagless(&[&first, &second])).await;
        second.close(LIMIT).await.expect("closed");
        until("the first has all", async || first.assignment().len() == 4).await;
        world.produce(80..100).await;
        until("everything is read", async || world.lagless(&[&first])).await;
        first.close(LIMIT).await.expect("closed");
        let numbers = [one.await.expect("no panic"), other.await.expect("no panic")].concat();
        for number in numbers {
            assert!(seen.insert(number), "{assignors:?}: {number} came twice");
        }
        assert_eq!(seen, (0..100).collect(), "{assignors:?}");
        assert_eq!(world.committed().await, [Some(25); 4]);
    }
}

impl World {
    /// Whether consumers together have been given everything, as far as they know.
    fn lagless(&self, consumers: &[&Consumer]) -> bool {
        let lags = consumers
            .iter()
            .flat_map(|consumer| consumer.assignment().into_iter().map(|p| consumer.lag(&p.topic, p.partition)));
        let lags: Vec<_> = lags.collect();
        lags.len() == self.partitions as usize && lags.iter().all(|lag| *lag == Some(0))
    }
}

/// What a consumer's listener was told: the kinds and numbers of partitions.
type Told = Arc<Mutex<Vec<(RebalanceKind, usize)>>>;

fn telling(builder: ConsumerBuilder, told: &Told) -> ConsumerBuilder {
    let told = Arc::clone(told);
    builder.on_rebalance(move |event: Rebalance| {
        told.lock().expect("no panic").push((event.kind(), event.partitions().len()));
        async {}
    })
}

#[tokio::test]
async fn a_cooperative_member_keeps_what_stays_and_an_eager_one_gives_all_back() {
    // KIP-429.
    for (assignor, revoked) in [(Assignor::CooperativeSticky, 2), (Assignor::Range, 4)] {
        let world = World::new(4).await;
        let told = Told::default();
        let first = telling(world.builder().assignors([assignor]), &told).build().await.expect("valid settings");
        let reader = first.clone();
        tokio::spawn(async move { reader.recv().await.map(drop) });
        until("the first has all", async || first.assignment().len() == 4).await;
        let second = world.builder().assignors([assignor]).build().await.expect("valid settings");
        let reader = second.clone();
        tokio::spawn(async move { reader.recv().await.map(drop) });
        until("the second has two", async || second.assignment().len() == 2 && first.assignment().len() == 2).await;
        let told: Vec<_> = told.lock().expect("no panic").iter().filter(|(_, count)| *count > 0).copied().collect();
        assert_eq!(told[..2], [(RebalanceKind::Assigned, 4), (RebalanceKind::Revoked, revoked)], "{assignor:?}");
    }
}

#[tokio::test]
async fn a_program_can_commit_before_its_partitions_go() {
    let world = World::new(2).await;
    world.produce(0..10).await;
    let done = Arc::new(Mutex::new(Vec::new()));
    let results = Arc::clone(&done);
    let builder = world.builder().auto_commit_interval(None).on_rebalance(move |event: Rebalance| {
        let results = Arc::clone(&results);
        async move {
            if event.kind() == RebalanceKind::Revoked {
                for (offset, partition) in (3..).zip(event.partitions()) {
                    let result = event.commit(partition, offset).await;
                    results.lock().expect("no panic").push(result.is_ok());
                }
            }
        }
    });
    let consumer = builder.build().await.expect("valid settings");
    read(&consumer, 10).await;
    consumer.close(LIMIT).await.expect("closed");
    assert_eq!(*done.lock().expect("no panic"), [true, true]);
    assert_eq!(world.committed().await, [Some(3), Some(4)]);
}

#[tokio::test]
async fn a_program_that_stops_asking_loses_its_partitions_and_cannot_commit_for_them() {
    // max.poll.interval.ms (KIP-62).
    let world = World::new(1).await;
    world.produce(0..2).await;
    let builder = world.builder().auto_commit_interval(None).max_poll_interval(Duration::from_millis(300));
    let slow = builder.build().await.expect("valid settings");
    let record = slow.recv().await.expect("no error").expect("open");
    let other = world.consumer().await;
    assert_eq!(next(&other).await, 0, "nothing was committed");
    let error = slow.commit_record(&record).await.expect_err("another member has the partition");
    assert!(matches!(error, Error::PartitionLost { partition: 0, .. }), "{error}");
    other.close(LIMIT).await.expect("closed");
    assert_eq!(next(&slow).await, 1, "it asks again, and is a member again");
}

#[tokio::test]
async fn a_static_member_comes_back_to_its_partitions_without_a_rebalance() {
    // KIP-345.
    let world = World::new(2).await;
    world.produce(0..4).await;
    let told = Told::default();
    let builder = telling(world.builder().group_instance_id("one"), &told);
    let steady = builder.build().await.expect("valid settings");
    read(&steady, 4).await;
    let reader = steady.clone();
    tokio::spawn(async move { reader.recv().await.map(drop) });
    let second = world.builder().group_instance_id("two").build().await.expect("valid settings");
    let reader = second.clone();
    tokio::spawn(async move { reader.recv().await.map(drop) });
    until("each has one", async || steady.assignment().len() == 1 && second.assignment().len() == 1).await;
    let had = second.assignment();
    until("it was told", async || told.lock().expect("no panic").len() == 3).await;
    let before = told.lock().expect("no panic").len();
    second.close(LIMIT).await.expect("closed");
    let again = world.builder().group_instance_id("two").build().await.expect("valid settings");
    let reader = again.clone();
    tokio::spawn(async move { reader.recv().await.map(drop) });
    until("it is back", async || again.assignment() == had).await;
    assert_eq!(told.lock().expect("no panic").len(), before, "the other member noticed nothing");
}

#[tokio::test]
async fn a_member_can_seek_pause_and_look() {
    let world = World::new(1).await;
    world.produce(0..10).await;
    let consumer = world.consumer().await;
    assert_eq!(next(&consumer).await, 0);
    assert_eq!(consumer.position(&world.topic, 0).expect("assigned"), Some(1));
    assert_eq!(consumer.lag(&world.topic, 0), Some(9));
    consumer.seek(&world.topic, 0, Offset::At(7)).expect("assigned");
    assert_eq!(next(&consumer).await, 7);
    consumer.pause(&world.topic, 0).expect("assigned");
    let nothing = tokio::time::timeout(Duration::from_millis(100), consumer.recv()).await;
    assert!(nothing.is_err(), "it is paused");
    consumer.resume(&world.topic, 0).expect("assigned");
    assert_eq!(next(&consumer).await, 8);
    let error = consumer.seek(&world.topic, 1, Offset::Earliest).expect_err("there is no such partition");
    assert!(matches!(error, Error::NotAssigned { .. }), "{error}");
    assert_eq!(consumer.assignment(), [TopicPartition::new(Arc::clone(&world.topic), 0)]);
}

#[tokio::test]
async fn without_a_committed_offset_and_without_a_reset_the_program_is_told() {
    let world = World::new(1).await;
    world.produce(0..1).await;
    let consumer = world.builder().auto_offset_reset(OffsetReset::None).build().await.expect("valid settings");
    let error = consumer.recv().await.expect_err("there is nothing to begin at");
    assert!(matches!(error, Error::NoCommittedOffset { partition: 0, .. }), "{error}");
    consumer.seek(&world.topic, 0, Offset::Earliest).expect("assigned");
    assert_eq!(next(&consumer).await, 0);
}

#[tokio::test]
async fn every_answer_of_the_coordinator_can_be_lost_once() {
    for api in [FIND_COORDINATOR, JOIN_GROUP, SYNC_GROUP, HEARTBEAT, OFFSET_FETCH, OFFSET_COMMIT] {
        for fate in [Fate::AnswerLost, Fate::RequestLost] {
            let lines = Lines::new(move |key, number| match (key == api, number) {
                (true, 0) => fate,
                _ => Fate::Passes,
            });
            let world = World::on(2, &lines).await;
            world.produce(0..6).await;
            let builder = world.builder().session_timeout(Duration::from_secs(6));
            let consumer = builder.build().await.expect("valid settings");
            assert_eq!(read(&consumer, 6).await, (0..6).collect(), "API {api}, {fate:?}");
            until("the request was lost", async || {
                let _ = tokio::time::timeout(Duration::from_millis(10), consumer.recv()).await;
                api == OFFSET_COMMIT || lines.seen(api).contains(&fate)
            })
            .await;
            consumer.close(LIMIT).await.expect("closed");
            assert_eq!(world.committed().await, [Some(3), Some(3)], "API {api}, {fate:?}");
            assert!(lines.seen(api).contains(&fate));
        }
    }
}

#[tokio::test]
async fn a_stream_of_a_partition_ends_when_it_goes_and_the_last_commit_is_still_ours() {
    for assignor in [Assignor::Range, Assignor::CooperativeSticky] {
        let world = World::new(4).await;
        let builder = || world.builder().auto_commit_interval(None).assignors([assignor]);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let run = |consumer: Consumer| {
            let seen = Arc::clone(&seen);
            tokio::spawn(async move {
                let (handle, seen) = (&consumer, &seen);
                let task = |mut stream: PartitionStream| async move {
                    let mut last = None;
                    while let Some(batch) = stream.next_batch().await.expect("no error") {
                        let numbers = batch.records().map(|record| number(record.value()));
                        seen.lock().expect("no panic").extend(numbers);
                        last = Some(batch);
                    }
                    if let Some(batch) = last {
                        handle.commit(&batch).await.expect("the partition is ours until the stream is dropped");
                    }
                    drop(stream);
                };
                handle.run_partitions(task).await.expect("no error");
            })
        };
        let read = |count: usize| {
            let seen = Arc::clone(&seen);
            async move { until("all are read", async || seen.lock().expect("no panic").len() >= count).await }
        };
        let first = builder().build().await.expect("valid settings");
        let first_task = run(first.clone());
        world.produce(0..40).await;
        read(40).await;
        let second = builder().build().await.expect("valid settings");
        let second_task = run(second.clone());
        until("both have two", async || first.assignment().len() == 2 && second.assignment().len() == 2).await;
        world.produce(40..80).await;
        read(80).await;
        first.close(LIMIT).await.expect("closed");
        until("the second has all", async || second.assignment().len() == 4).await;
        world.produce(80..100).await;
        read(100).await;
        second.close(LIMIT).await.expect("closed");
        first_task.await.expect("no panic");
        second_task.await.expect("no panic");
        let mut numbers = std::mem::take(&mut *seen.lock().expect("no panic"));
        numbers.sort_unstable();
        assert_eq!(numbers, (0..100).collect::<Vec<_>>(), "{assignor:?}: nothing twice, nothing missing");
        assert_eq!(world.committed().await, [Some(25); 4]);
    }
}

#[tokio::test]
async fn a_commit_whose_caller_goes_away_does_not_fail_those_that_wait_with_it() {
    let world = World::new(1).await;
    world.produce(0..60).await;
    let consumer = world.builder().auto_commit_interval(None).build().await.expect("valid settings");
    for round in 0..20 {
        let mut records = Vec::new();
        for _ in 0..3 {
            records.push(consumer.recv().await.expect("no error").expect("open"));
        }
        let [first, second, third] = [0, 1, 2].map(|index| {
            let (consumer, record) = (consumer.clone(), records[index].clone());
            async move { consumer.commit_record(&record).await }
        });
        let first = tokio::spawn(first);
        // The second one waits, is served with the third, and goes away at one moment or another.
        let mut second = Box::pin(second);
        tokio::task::yield_now().await;
        let served = tokio::time::timeout(Duration::ZERO, &mut second).await.is_ok();
        let third = tokio::spawn(third);
        if !served {
            let _ = tokio::time::timeout(Duration::from_micros(round * 50), &mut second).await;
        }
        drop(second);
        first.await.expect("no panic").expect("committed");
        third.await.expect("no panic").expect("committed");
    }
    assert_eq!(world.committed().await, [Some(60)]);
}
