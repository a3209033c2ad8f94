//! Faults and gates: what a test makes go wrong goes wrong, there and then, and nowhere else.

use std::time::Duration;

use mockbroker::messages::{FetchResponse, ProduceResponse};
use mockbroker::{ApiKey, Clock, Fault, MockBroker, SeedBatch, on, on_any};
use system_tests::api::{END_TXN, FETCH, LIST_OFFSETS, METADATA, PRODUCE};
use system_tests::batch::Batch;
use system_tests::raw::{Raw, patiently};
use system_tests::value;
use system_tests::value::Value;

const MOMENT: Duration = Duration::from_millis(30);
const NOT_LEADER_OR_FOLLOWER: i16 = 6;

async fn broker() -> MockBroker {
    MockBroker::builder().topic("orders", 2).topic("payments", 1).start().await
}

fn write(topic: &str, acks: i16) -> Value {
    let records = Batch::of(["v"]).encode();
    value!({ acks: acks, timeout_ms: 1000,
        topic_data: [{ name: topic, partition_data: [{ index: 0, records: records }] }] })
}

fn written(answer: &Value) -> i64 {
    answer["responses"][0]["partition_responses"][0]["error_code"].int()
}

/// Where the log of `orders` ends.
async fn end_of_log(broker: &MockBroker) -> i64 {
    let latest =
        value!({ replica_id: -1, topics: [{ name: "orders", partitions: [{ partition_index: 0, timestamp: -1 }] }] });
    let answer = Raw::connect(broker.bootstrap_servers()).await.call(LIST_OFFSETS, 1, latest).await;
    answer["topics"][0]["partitions"][0]["offset"].int()
}

#[tokio::test]
async fn an_error_before_apply_is_answered_in_the_shape_of_the_api_and_nothing_is_written() {
    let broker = broker().await;
    let fault = broker.fault(on(ApiKey::Produce).topic("orders")).before_apply(Fault::Error(NOT_LEADER_OR_FOLLOWER));
    let fault = fault.mount();
    let mut connection = Raw::connect(broker.bootstrap_servers()).await;
    assert_eq!(written(&connection.call(PRODUCE, 9, write("orders", -1)).await), 6);
    assert_eq!(
        written(&connection.call(PRODUCE, 9, write("payments", -1)).await),
        0,
        "another topic is no business of it"
    );
    assert_eq!((fault.hits(), end_of_log(&broker).await), (1, 0));
    drop(fault);
    assert_eq!(written(&connection.call(PRODUCE, 9, write("orders", -1)).await), 0);
}

#[tokio::test]
async fn an_error_after_apply_is_told_although_it_is_written() {
    let broker = broker().await;
    let _fault = broker.fault(on(ApiKey::Produce)).after_apply(Fault::Error(7)).mount();
    let mut connection = Raw::connect(broker.bootstrap_servers()).await;
    assert_eq!(written(&connection.call(PRODUCE, 9, write("orders", -1)).await), 7);
    assert_eq!(end_of_log(&broker).await, 1);
}

#[tokio::test]
async fn a_disconnect_loses_the_request_or_only_its_answer() {
    for (is_after, log_end) in [(false, 0), (true, 1)] {
        let broker = broker().await;
        let fault = broker.fault(on(ApiKey::Produce).nth(1));
        let fault = if is_after { fault.after_apply(Fault::Disconnect) } else { fault.before_apply(Fault::Disconnect) };
        let fault = fault.named("the answer is lost").mount();
        let mut connection = Raw::connect(broker.bootstrap_servers()).await;
        let _unanswered = connection.send(PRODUCE, 9, write("orders", -1)).await;
        connection.closed().await;
        patiently("the fault", fault.wait(1)).await;
        assert_eq!(end_of_log(&broker).await, log_end);
    }
}

#[tokio::test]
async fn silence_leaves_the_connection_open_and_the_others_served() {
    let broker = broker().await;
    let _fault = broker.fault(on(ApiKey::Metadata).nth(1)).after_apply(Fault::Silence).mount();
    let mut connection = Raw::connect(broker.bootstrap_servers()).await;
    let _unanswered = connection.send(METADATA, 9, value!({ topics: null })).await;
    assert!(connection.is_silent_for(MOMENT).await);
    let mut other = Raw::connect(broker.bootstrap_servers()).await;
    assert_eq!(other.call(METADATA, 9, value!({ topics: null })).await["topics"].array().len(), 2);
    drop(connection);
    system_tests::world::eventually("the silent connection ends with its peer", || broker.connection_count() == 1)
        .await;
}

#[tokio::test]
async fn a_delay_is_on_the_clock_of_the_broker() {
    let broker = MockBroker::builder().clock(Clock::manual()).topic("orders", 1).start().await;
    let minute = Duration::from_secs(60);
    let before = broker.fault(on(ApiKey::Produce).nth(1)).before_apply(Fault::Delay(minute)).mount();
    let mut connection = Raw::connect(broker.bootstrap_servers()).await;
    let sent = connection.send(PRODUCE, 9, write("orders", -1)).await;
    patiently("the fault", before.wait(1)).await;
    assert!(connection.is_silent_for(MOMENT).await);
    assert_eq!(end_of_log(&broker).await, 0, "it is not even done");
    broker.advance(minute);
    assert_eq!(written(&connection.receive(sent).await), 0);

    let after = broker.fault(on(ApiKey::Produce).nth(1)).after_apply(Fault::Delay(minute)).mount();
    let sent = connection.send(PRODUCE, 9, write("orders", -1)).await;
    patiently("the fault", after.wait(1)).await;
    assert!(connection.is_silent_for(MOMENT).await);
    assert_eq!(end_of_log(&broker).await, 2, "it is done, and not answered");
    broker.advance(minute);
    assert_eq!(written(&connection.receive(sent).await), 0);
}

#[tokio::test]
async fn a_gate_holds_one_request_before_it_is_applied_until_it_is_released() {
    let broker = broker().await;
    let gate = broker.pause_next(on(ApiKey::Produce).topic("orders")).before_apply();
    let mut connection = Raw::connect(broker.bootstrap_servers()).await;
    let sent = connection.send(PRODUCE, 9, write("orders", -1)).await;
    patiently("the gate", gate.entered()).await;
    assert_eq!(end_of_log(&broker).await, 0);
    // The gate is for one request: the next passes.
    let mut other = Raw::connect(broker.bootstrap_servers()).await;
    assert_eq!(written(&other.call(PRODUCE, 9, write("orders", -1)).await), 0);
    gate.release();
    let answer = connection.receive(sent).await;
    assert_eq!(answer["responses"][0]["partition_responses"][0]["base_offset"], 1);
}

#[tokio::test]
async fn a_gate_for_every_request_holds_all_of_them_until_it_is_released() {
    let broker = broker().await;
    let gate = broker.pause_next(on(ApiKey::Produce)).every().before_apply();
    let mut one = Raw::connect(broker.bootstrap_servers()).await;
    let mut other = Raw::connect(broker.bootstrap_servers()).await;
    let first = one.send(PRODUCE, 9, write("orders", -1)).await;
    let second = other.send(PRODUCE, 9, write("orders", -1)).await;
    broker.journal().produce().waiting().wait_for(2).await;
    assert_eq!(end_of_log(&broker).await, 0);
    gate.release();
    for answer in [one.receive(first).await, other.receive(second).await] {
        assert_eq!(written(&answer), 0);
    }
    assert_eq!(end_of_log(&broker).await, 2);
}

#[tokio::test]
async fn a_gate_after_apply_holds_the_answer_of_what_is_done() {
    let broker = broker().await;
    let gate = broker.pause_next(on(ApiKey::Produce)).after_apply();
    let mut connection = Raw::connect(broker.bootstrap_servers()).await;
    let sent = connection.send(PRODUCE, 9, write("orders", -1)).await;
    patiently("the gate", gate.entered()).await;
    assert!(connection.is_silent_for(MOMENT).await);
    assert_eq!(end_of_log(&broker).await, 1);
    drop(gate);
    assert_eq!(written(&connection.receive(sent).await), 0);
}

#[tokio::test]
async fn a_request_that_waits_for_data_is_hit_when_it_is_answered() {
    let broker = broker().await;
    let _fault = broker.fault(on(ApiKey::Fetch).topic("orders")).after_apply(Fault::Disconnect).mount();
    let mut consumer = Raw::connect(broker.bootstrap_servers()).await;
    let body = value!({ max_wait_ms: 60_000, min_bytes: 1, max_bytes: 1_000_000,
        topics: [{ topic: "orders", partitions: [{ partition: 0, fetch_offset: 0, partition_max_bytes: 1_000_000 }] }] });
    let _unanswered = consumer.send(FETCH, 12, body).await;
    assert!(consumer.is_silent_for(MOMENT).await);
    Raw::connect(broker.bootstrap_servers()).await.call(PRODUCE, 9, write("orders", -1)).await;
    consumer.closed().await;
}

#[tokio::test]
async fn a_produce_that_wants_no_answer_never_gets_one() {
    // What Kafka does with an error for acks=0: the connection ends.
    for is_after in [false, true] {
        let broker = broker().await;
        let fault = broker.fault(on(ApiKey::Produce));
        let fault = if is_after { fault.after_apply(Fault::Error(6)) } else { fault.before_apply(Fault::Error(6)) };
        let _fault = fault.mount();
        let mut connection = Raw::connect(broker.bootstrap_servers()).await;
        let _unanswered = connection.send(PRODUCE, 9, write("orders", 0)).await;
        connection.closed().await;
    }
}

#[tokio::test]
async fn a_fault_is_for_its_client_and_for_its_node() {
    let broker = MockBroker::builder().nodes(2).start().await;
    let nodes: Vec<String> = broker.bootstrap_servers().split(',').map(str::to_owned).collect();
    let other = broker.node_ids()[1];
    let _fault = broker.fault(on_any().node(other)).before_apply(Fault::Disconnect).mount();
    Raw::connect(&nodes[0]).await.call(METADATA, 9, value!({ topics: null })).await;
    let mut connection = Raw::connect(&nodes[1]).await;
    let _unanswered = connection.send(METADATA, 9, value!({ topics: null })).await;
    connection.closed().await;
    let _never = broker.fault(on_any().client_id("somebody else")).before_apply(Fault::Disconnect).maybe().mount();
    Raw::connect(&nodes[0]).await.call(METADATA, 9, value!({ topics: null })).await;
}

#[tokio::test]
async fn a_fault_that_never_fired_fails_the_test_that_mounted_it() {
    let broker = broker().await;
    let fault = broker.fault(on(ApiKey::EndTxn)).before_apply(Fault::Disconnect).named("no commit").mount();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || drop(fault))).expect_err("it panics");
    let said = panicked.downcast_ref::<String>().expect("a text");
    assert_eq!(said, "the fault \"no commit\" on EndTxn never fired: 0 requests were in its scope");
    // A test that fails for a reason of its own fails for that one, and the process goes on.
    let fault = broker.fault(on(ApiKey::EndTxn)).before_apply(Fault::Disconnect).mount();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _dropped_while_panicking = fault;
        panic!("on purpose")
    }));
    assert_eq!(panicked.expect_err("it panics").downcast_ref::<&str>(), Some(&"on purpose"));
    // It is gone all the same.
    Raw::connect(broker.bootstrap_servers()).await.call(METADATA, 9, value!({ topics: null })).await;
    broker.assert_healthy();
}

#[tokio::test]
async fn an_answer_is_edited_by_its_type_records_and_all() {
    let broker = broker().await;
    broker.topic("orders").partition(0).write(SeedBatch::of(["v"]));
    let edit = Fault::edit(|answer: &mut ProduceResponse| {
        answer.responses[0].partition_responses[0].base_offset = 77;
    });
    let edited = broker.fault(on(ApiKey::Produce)).after_apply(edit).mount();
    let mut connection = Raw::connect(broker.bootstrap_servers()).await;
    let answer = connection.call(PRODUCE, 9, write("orders", -1)).await;
    assert_eq!(answer["responses"][0]["partition_responses"][0]["base_offset"], 77);
    assert_eq!((edited.hits(), broker.topic("orders").partition(0).log_end_offset()), (1, 2));
    let doubled = Fault::edit(|answer: &mut FetchResponse| {
        let records = answer.responses[0].partitions[0].records.as_mut().expect("records");
        *records = [&records[..], &records[..]].concat().into();
    });
    let _doubled = broker.fault(on(ApiKey::Fetch)).after_apply(doubled).mount();
    let answer = connection.call(FETCH, 12, fetch_all()).await;
    let batches = Batch::decode_all(answer["responses"][0]["partitions"][0]["records"].bytes().clone());
    assert_eq!(batches.len(), 4, "two batches, twice");
}

#[tokio::test]
async fn an_edit_of_another_api_ends_the_connection_and_says_why() {
    let broker = broker().await;
    let edit = Fault::edit(|_: &mut FetchResponse| {});
    let _wrong = broker.fault(on(ApiKey::Metadata)).after_apply(edit).mount();
    let mut connection = Raw::connect(broker.bootstrap_servers()).await;
    let _unanswered = connection.send(METADATA, 9, value!({ topics: null })).await;
    connection.closed().await;
    let line = broker.journal().metadata().text();
    assert!(line.contains("closed: a fault edits FetchResponse, and this answer is none"), "{line}");
}

#[tokio::test]
async fn corrupted_records_are_refused_when_written_and_seen_when_read() {
    let broker = broker().await;
    let mut connection = Raw::connect(broker.bootstrap_servers()).await;
    let sent = broker.fault(on(ApiKey::Produce).nth(1)).before_apply(Fault::CorruptRecords).mount();
    assert_eq!(written(&connection.call(PRODUCE, 9, write("orders", -1)).await), 2, "CORRUPT_MESSAGE");
    assert_eq!((sent.hits(), end_of_log(&broker).await), (1, 0));
    assert_eq!(written(&connection.call(PRODUCE, 9, write("orders", -1)).await), 0);
    let read = broker.fault(on(ApiKey::Fetch).nth(1)).after_apply(Fault::CorruptRecords).mount();
    let crc_matches = |answer: &Value| {
        let records = answer["responses"][0]["partitions"][0]["records"].bytes().clone();
        u32::from_be_bytes(*records[17..].first_chunk().expect("a batch")) == crc32c::crc32c(&records[21..])
    };
    assert!(!crc_matches(&connection.call(FETCH, 12, fetch_all()).await));
    assert!(crc_matches(&connection.call(FETCH, 12, fetch_all()).await), "the log itself is whole");
    assert_eq!(read.hits(), 1);
}

#[tokio::test]
async fn a_partial_answer_ends_in_the_middle_with_the_connection() {
    let broker = broker().await;
    let _cut = broker.fault(on(ApiKey::Metadata).nth(1)).after_apply(Fault::Partial(10)).mount();
    let mut connection = Raw::connect(broker.bootstrap_servers()).await;
    let _unanswered = connection.send(METADATA, 9, value!({ topics: null })).await;
    let error = connection.try_read_frame().await.expect_err("a frame that is not whole");
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    assert!(broker.journal().metadata().text().contains("closed: a fault sends only 10 bytes of the answer"));
}

#[tokio::test]
async fn a_throttled_client_is_told_and_its_connection_is_not_read() {
    // KIP-219: the answer comes at once, the channel is muted.
    let broker = MockBroker::builder().clock(Clock::manual()).topic("orders", 1).start().await;
    let throttle =
        broker.fault(on(ApiKey::Produce).nth(1)).after_apply(Fault::Throttle(Duration::from_secs(2))).mount();
    let mut connection = Raw::connect(broker.bootstrap_servers()).await;
    let answer = connection.call(PRODUCE, 9, write("orders", -1)).await;
    assert_eq!((answer["throttle_time_ms"].int(), written(&answer), throttle.hits()), (2000, 0, 1));
    let sent = connection.send(PRODUCE, 9, write("orders", -1)).await;
    assert!(connection.is_silent_for(MOMENT).await);
    assert_eq!(broker.journal().produce().count(), 1, "it is not even read");
    broker.advance(Duration::from_secs(2));
    assert_eq!(connection.receive(sent).await["throttle_time_ms"], 0);
}

#[test]
#[should_panic(expected = "Partial(3) happens to an answer: mount it with after_apply")]
fn what_happens_to_an_answer_is_not_mounted_before_there_is_one() {
    let broker = mockbroker::blocking::MockBroker::start();
    drop(broker.fault(on(ApiKey::Produce)).before_apply(Fault::Partial(3)).mount());
}

#[tokio::test]
async fn a_fault_is_for_one_connection_and_for_one_transactional_id() {
    let broker = broker().await;
    let mut one = Raw::connect(broker.bootstrap_servers()).await;
    one.call(METADATA, 9, value!({ topics: null })).await;
    let connection = broker.journal().last().expect("it asked").connection();
    let _fault = broker.fault(on_any().connection(connection)).before_apply(Fault::Disconnect).mount();
    Raw::connect(broker.bootstrap_servers()).await.call(METADATA, 9, value!({ topics: null })).await;
    let _unanswered = one.send(METADATA, 9, value!({ topics: null })).await;
    one.closed().await;
    let mine = broker.fault(on(ApiKey::EndTxn).transactional_id("t")).before_apply(Fault::Error(51)).mount();
    let end = |id: &str| value!({ transactional_id: id, producer_id: 1, producer_epoch: 0, committed: true });
    let mut other = Raw::connect(broker.bootstrap_servers()).await;
    assert_eq!(other.call(END_TXN, 3, end("t")).await["error_code"], 51);
    assert_ne!(other.call(END_TXN, 3, end("u")).await["error_code"], 51);
    assert_eq!(mine.hits(), 1);
}

#[tokio::test]
async fn the_same_seed_draws_the_same_requests() {
    let mut drawn = Vec::new();
    for seed in [7, 7, 8] {
        let broker = MockBroker::builder().seed(seed).start().await;
        let fault = broker.fault(on(ApiKey::Metadata).probability(0.5));
        let _fault = fault.before_apply(Fault::Delay(Duration::ZERO)).named("drawn").mount();
        let mut connection = Raw::connect(broker.bootstrap_servers()).await;
        for _ in 0..32 {
            connection.call(METADATA, 9, value!({ topics: [] })).await;
        }
        let hit = broker.journal().metadata().hit_by("drawn").entries();
        drawn.push(hit.iter().map(mockbroker::Entry::number).collect::<Vec<_>>());
    }
    assert_eq!(drawn[0], drawn[1]);
    assert_ne!(drawn[0], drawn[2]);
    assert!((1..32).contains(&drawn[0].len()), "{drawn:?}");
}

#[tokio::test]
async fn what_is_mounted_and_nobody_meets_is_not_waited_for_for_ever() {
    let broker = MockBroker::builder().patience(MOMENT).start().await;
    let fault = broker.fault(on(ApiKey::EndTxn)).before_apply(Fault::Disconnect).named("no end").maybe().mount();
    let waiting = tokio::spawn(async move { fault.wait(1).await });
    let said = panic_text(waiting).await;
    assert!(said.starts_with("waited 30ms in vain: the fault \"no end\" on EndTxn to fire 1 times"), "{said}");
    let gate = broker.pause_next(on(ApiKey::Produce)).named("the gate of this test").after_apply();
    let said = panic_text(tokio::spawn(async move { gate.entered().await })).await;
    assert!(said.starts_with("waited 30ms in vain: a request at \"the gate of this test\" on Produce"), "{said}");
    let markers = broker.hold_markers();
    let said = panic_text(tokio::spawn(async move { markers.wait(2).await })).await;
    assert!(said.starts_with("waited 30ms in vain: 2 markers pending\n\nmockbroker"), "{said}");
    let loading = broker.hold_loading();
    let said = panic_text(tokio::spawn(async move { loading.wait(1).await })).await;
    assert!(said.starts_with("waited 30ms in vain: 1 coordinators that are to load\n\nmockbroker"), "{said}");
}

async fn panic_text(task: tokio::task::JoinHandle<()>) -> String {
    let panic = patiently("the panic", task).await.expect_err("it panics").into_panic();
    panic.downcast_ref::<String>().expect("a text").clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_brokers_do_not_see_each_others_faults_and_clocks() {
    let one = |number: u64| async move {
        let broker = MockBroker::builder().clock(Clock::manual()).topic("orders", 1).start().await;
        let scope = on(ApiKey::Produce).nth(1 + number % 3);
        let error = i16::try_from(3 + number % 5).expect("a code");
        let fault = broker.fault(scope).before_apply(Fault::Error(error)).named(number.to_string()).mount();
        broker.advance(Duration::from_secs(number));
        let mut connection = Raw::connect(broker.bootstrap_servers()).await;
        let mut codes = Vec::new();
        for _ in 0..3 {
            codes.push(written(&connection.call(PRODUCE, 9, write("orders", -1)).await));
        }
        let mut expected = vec![0; 3];
        expected[usize::try_from(number % 3).expect("small")] = i64::from(error);
        assert_eq!(codes, expected, "{}", broker.report());
        assert_eq!((fault.hits(), broker.journal().produce().count()), (1, 3));
        assert_eq!(broker.topic("orders").partition(0).log_end_offset(), 2);
        let age = format!("{} ms after its start", number * 1000);
        assert!(broker.report().contains(&age), "{}", broker.report());
        // Half of them have a fault that nothing meets: it fails its own test and no other.
        let missed = broker.fault(on(ApiKey::EndTxn)).before_apply(Fault::Disconnect).mount();
        drop(connection);
        if number % 2 == 1 {
            drop(missed);
        } else {
            let _end = Raw::connect(broker.bootstrap_servers())
                .await
                .send(
                    END_TXN,
                    3,
                    value!({ transactional_id: "t",
                producer_id: 1, producer_epoch: 0, committed: true }),
                )
                .await;
            missed.wait(1).await;
        }
    };
    let tasks: Vec<_> = (0..200).map(|number| tokio::spawn(one(number))).collect();
    for (number, task) in tasks.into_iter().enumerate() {
        let ended = task.await;
        assert_eq!(ended.is_err(), number % 2 == 1, "{number}: {ended:?}");
        if let Err(failed) = ended {
            let panic = failed.into_panic();
            let said = panic.downcast_ref::<String>().expect("a text");
            assert!(said.contains("on EndTxn never fired: 0 requests were in its scope"), "{said}");
        }
    }
}

fn fetch_all() -> Value {
    value!({ max_wait_ms: 1000, min_bytes: 1, max_bytes: 1_000_000,
        topics: [{ topic: "orders", partitions: [{ partition: 0, fetch_offset: 0, partition_max_bytes: 1_000_000 }] }] })
}
