//! Figure `groups`: what members cost the broker, and what groups cost that nobody asks for.
//!
//! The members are bytes over TCP, each of a classic group with a connection of its own since a JoinGroup waits; the
//! broker is in this process and its clock is moved by hand. CPU time is that of the process, members included.

use std::time::{Duration, Instant};

use async_kafka::{Kafka, OffsetReset, Record};
use mockbroker::{Clock, MockBroker};
use serde_json::json;
use tokio::net::TcpStream;

use crate::Effort;
use crate::machine::own_cpu_time;
use crate::members::{self, Member};
use crate::processes::Programs;
use crate::raw;
use crate::report::{Row, Verdict};
use crate::statistics::median;

const MEMBERS: usize = 1_000;
const CLASSIC_BAR_SECONDS: f64 = 1.0;
const CONSUMER_BAR_SECONDS: f64 = 2.0;
const IDLE_GROUPS: usize = 10_000;
/// A produce beside 10,000 groups may cost this many times one beside none.
const IDLE_BAR: f64 = 1.1;
const FIRST_RECORD_BAR_MS: f64 = 50.0;
const TOPIC: &str = "groups";

/// The promises.
pub fn run(programs: &Programs, effort: Effort) -> Vec<Row> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut rows = vec![runtime.block_on(classic()), runtime.block_on(consumer()), runtime.block_on(idle(effort))];
    rows.push(first_record(programs, effort));
    // Our client needs threads of its own: its two consumers and their feeder are as busy as librdkafka's.
    let threads = tokio::runtime::Runtime::new().expect("a runtime");
    rows.push(threads.block_on(first_record_of_ours(programs, effort)).expect("the client works"));
    rows
}

async fn broker(partitions: i32) -> MockBroker {
    MockBroker::builder().topic(TOPIC, partitions).clock(Clock::manual()).start().await
}

async fn connect(broker: &MockBroker) -> TcpStream {
    let stream = TcpStream::connect(broker.bootstrap_servers()).await.expect("the broker accepts");
    stream.set_nodelay(true).expect("a TCP socket");
    stream
}

/// Asks until there is a coordinator: the first question makes the topic of the offsets.
async fn find_coordinator(stream: &mut TcpStream, group: &str, answer: &mut Vec<u8>) {
    for _ in 0..10 {
        raw::exchange(stream, &members::find_coordinator(group), answer).await.expect("FindCoordinator is answered");
        if members::coordinator_error(answer) == 0 {
            return;
        }
    }
    panic!("no coordinator for {group}");
}

/// From the first join to the last assignment.
async fn classic() -> Row {
    let broker = broker(1).await;
    let mut streams = Vec::with_capacity(MEMBERS);
    for _ in 0..MEMBERS {
        streams.push(connect(&broker).await);
    }
    let mut answer = Vec::new();
    find_coordinator(&mut streams[0], "classic", &mut answer).await;
    let before = own_cpu_time();
    let mut ids = Vec::with_capacity(MEMBERS);
    for stream in &mut streams {
        raw::exchange(stream, &members::join("classic", "", TOPIC), &mut answer).await.expect("JoinGroup is answered");
        let asked = members::joined(&answer);
        assert_eq!(asked.error, members::MEMBER_ID_REQUIRED);
        ids.push(asked.member_id);
    }
    let joins: Vec<_> = streams
        .into_iter()
        .zip(ids)
        .map(|(mut stream, id)| {
            tokio::spawn(async move {
                let mut answer = Vec::new();
                let request = members::join("classic", &id, TOPIC);
                raw::exchange(&mut stream, &request, &mut answer).await.expect("JoinGroup is answered");
                (stream, members::joined(&answer))
            })
        })
        .collect();
    while broker.parked_request_count() < MEMBERS {
        tokio::task::yield_now().await;
    }
    // `group.initial.rebalance.delay.ms`, extended or not, and less than a session.
    broker.advance(Duration::from_secs(10));
    let syncs: Vec<_> = joins
        .into_iter()
        .map(|join| {
            tokio::spawn(async move {
                let (mut stream, joined) = join.await.expect("the member has joined");
                assert_eq!(joined.error, 0, "JoinGroup is answered with an error");
                assert_eq!(joined.members.is_empty(), joined.leader != joined.member_id);
                let mut answer = Vec::new();
                let request = members::sync("classic", joined.generation_id, &joined.member_id, &joined.members);
                raw::exchange(&mut stream, &request, &mut answer).await.expect("SyncGroup is answered");
                members::expect_synced(&answer);
                stream
            })
        })
        .collect();
    for sync in syncs {
        sync.await.expect("the member has its assignment");
    }
    let seconds = (own_cpu_time() - before).as_secs_f64();
    Row::info("groups", "1,000 classic members, first join to all assigned, CPU", format!("{seconds:.2} s"))
        .judged(format!("<= {CLASSIC_BAR_SECONDS} s"), Verdict::at_most(seconds, CLASSIC_BAR_SECONDS))
}

/// Rounds of heartbeats until each has its partition and nothing changes any more.
async fn consumer() -> Row {
    let broker = broker(i32::try_from(MEMBERS).expect("not so many members")).await;
    let mut stream = connect(&broker).await;
    let mut answer = Vec::new();
    find_coordinator(&mut stream, "consumer", &mut answer).await;
    let before = own_cpu_time();
    let mut members: Vec<Member> = (0..MEMBERS).map(|_| Member::default()).collect();
    let (mut rounds, mut is_news) = (0, true);
    while is_news || members.iter().any(|member| member.partitions.len() != 1) {
        assert!(rounds < 50, "the members do not come to rest");
        is_news = false;
        for member in &mut members {
            let request = member.heartbeat("consumer", TOPIC);
            raw::exchange(&mut stream, &request, &mut answer).await.expect("the heartbeat is answered");
            is_news |= member.on_answer(&answer);
        }
        rounds += 1;
        // `group.consumer.assignment.interval.ms`: an assignment is computed once a second at most.
        broker.advance(Duration::from_secs(1));
    }
    let seconds = (own_cpu_time() - before).as_secs_f64();
    Row::info("groups", "1,000 members of KIP-848, first join to all assigned, CPU", format!("{seconds:.2} s"))
        .judged(format!("<= {CONSUMER_BAR_SECONDS} s"), Verdict::at_most(seconds, CONSUMER_BAR_SECONDS))
        .detail(json!({ "rounds_of_heartbeats": rounds }))
}

/// A produce beside 10,000 groups that hold offsets, through one beside none.
async fn idle(effort: Effort) -> Row {
    let (with, without) = (broker(1).await, broker(1).await);
    let (mut busy, mut empty) = (connect(&with).await, connect(&without).await);
    let mut answer = Vec::new();
    find_coordinator(&mut busy, "idle", &mut answer).await;
    for number in 0..IDLE_GROUPS {
        let request = members::commit(&format!("idle-{number}"), TOPIC, 1);
        raw::exchange(&mut busy, &request, &mut answer).await.expect("OffsetCommit is answered");
        assert_eq!(members::commit_error(TOPIC, &answer), 0, "OffsetCommit is answered with an error");
    }
    let produce = raw::produce(TOPIC, 0, &raw::batch(1, 100));
    let (mut beside_many, mut beside_none) = (Vec::new(), Vec::new());
    for _ in 0..effort.pick(20, 100) {
        beside_many.push(thousand(&mut busy, &produce, &mut answer).await);
        beside_none.push(thousand(&mut empty, &produce, &mut answer).await);
    }
    let (many, none) = (median(&beside_many), median(&beside_none));
    let ratio = many / none;
    Row::info("groups", "a produce beside 10,000 idle groups", format!("{many:.1} us"))
        .against(format!("{none:.1} us (beside none)"), format!("{ratio:.2}"))
        .judged(format!("<= {IDLE_BAR}"), Verdict::at_most(ratio, IDLE_BAR))
        .detail(json!({ "beside_many_us": beside_many, "beside_none_us": beside_none }))
}

/// Microseconds for one of a thousand.
async fn thousand(stream: &mut TcpStream, request: &[u8], answer: &mut Vec<u8>) -> f64 {
    let begin = Instant::now();
    for _ in 0..1_000 {
        raw::exchange(stream, request, answer).await.expect("Produce is answered");
        raw::expect_produced(TOPIC, answer);
    }
    begin.elapsed().as_secs_f64() * 1e3
}

/// Two consumers of librdkafka in one group with the broker's defaults, from the second subscribe to a record for each.
fn first_record(programs: &Programs, effort: Effort) -> Row {
    let broker = programs.mockbroker(2, &[]);
    let mut lengths = Vec::new();
    for _ in 0..effort.pick(10, 50) {
        let driven = programs.drive(&broker, &["join"]);
        lengths.push(driven.wall.as_secs_f64() * 1e3);
    }
    let length = median(&lengths);
    Row::info("groups", "two consumers of librdkafka, second subscribe to a record for each", format!("{length:.1} ms"))
        .judged(format!("<= {FIRST_RECORD_BAR_MS} ms"), Verdict::at_most(length, FIRST_RECORD_BAR_MS))
        .detail(json!({ "milliseconds": lengths }))
}

/// The same with two consumers of our client. Records are written all the while: a consumer that is alone for a moment reads
/// all there is, and what it has read is not for the other one.
async fn first_record_of_ours(programs: &Programs, effort: Effort) -> async_kafka::Result<Row> {
    let broker = programs.mockbroker(2, &[]);
    let connect = async || Kafka::builder(broker.bootstrap.as_str()).connect().await;
    let producer = connect().await?.producer().build().await?;
    let feeder = tokio::spawn(async move {
        loop {
            for partition in 0..2 {
                producer.send(Record::to("bench").partition(partition).value("x")).await.expect("the broker takes it");
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    let mut lengths = Vec::new();
    for round in 0..effort.pick(10, 50) {
        let (one, other) = (connect().await?, connect().await?);
        let group = format!("ours-{round}");
        let consumer = async |kafka: &Kafka| {
            kafka.consumer(group.as_str()).topics(["bench"]).auto_offset_reset(OffsetReset::Earliest).build().await
        };
        let first = consumer(&one).await?;
        let begin = Instant::now();
        let second = consumer(&other).await?;
        let (mut first_waits, mut second_waits) = (true, true);
        // Who has got a record goes on asking, or it would give nothing up.
        while first_waits || second_waits {
            tokio::select! {
                record = first.recv() => first_waits &= record?.is_none(),
                record = second.recv() => second_waits &= record?.is_none(),
            }
            assert!(begin.elapsed() < Duration::from_secs(30), "no record for both within 30 s");
        }
        lengths.push(begin.elapsed().as_secs_f64() * 1e3);
        for consumer in [first, second] {
            consumer.close(Duration::from_secs(10)).await?;
        }
    }
    feeder.abort();
    let length = median(&lengths);
    Ok(Row::info(
        "groups",
        "two consumers of async-kafka, second subscribe to a record for each",
        format!("{length:.1} ms"),
    )
    .judged(format!("<= {FIRST_RECORD_BAR_MS} ms"), Verdict::at_most(length, FIRST_RECORD_BAR_MS))
    .detail(json!({ "milliseconds": lengths })))
}
