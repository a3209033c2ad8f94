//! What was asked and what became of it, afterwards and while it happens.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use mockbroker::{ApiKey, Clock, Decision, Entry, Fault, MockBroker, on};
use system_tests::api::{API_VERSIONS, CREATE_TOPICS, DELETE_TOPICS, FETCH, METADATA, PRODUCE};
use system_tests::batch::Batch;
use system_tests::raw::{Raw, patiently};
use system_tests::value;
use system_tests::value::Value;

async fn broker() -> MockBroker {
    MockBroker::builder().clock(Clock::manual()).seed(7).topic("orders", 2).topic("payments", 1).start().await
}

fn write(topic: &str, partition: i32, acks: i16) -> Value {
    let records = Batch::of(["v"]).encode();
    value!({ acks: acks, timeout_ms: 1000,
        topic_data: [{ name: topic, partition_data: [{ index: partition, records: records }] }] })
}

fn long_poll() -> Value {
    value!({ max_wait_ms: 500, min_bytes: 1, max_bytes: 1_000_000,
        topics: [{ topic: "orders", partitions: [{ partition: 1, fetch_offset: 0, partition_max_bytes: 1_000_000 }] }] })
}

/// A test that asks for all there is to ask for.
async fn a_story() -> MockBroker {
    let broker = broker().await;
    let mut producer = Raw::connect(broker.bootstrap_servers()).await;
    producer.call(API_VERSIONS, 3, value!({ client_software_name: "raw", client_software_version: "1" })).await;
    producer.call(PRODUCE, 9, write("orders", 0, -1)).await;
    producer.call(PRODUCE, 9, write("payments", 0, -1)).await;
    producer.call(PRODUCE, 9, write("nowhere", 0, -1)).await;
    let _unanswered = producer.send(PRODUCE, 9, write("payments", 0, 0)).await;
    broker.topic("payments").partition(0).wait_log_end(2).await;
    let mut consumer = Raw::connect(broker.bootstrap_servers()).await;
    let sent = consumer.send(FETCH, 12, long_poll()).await;
    broker.journal().fetch().waiting().wait_for(1).await;
    broker.advance(Duration::from_millis(500));
    consumer.receive(sent).await;
    let refused = broker.fault(on(ApiKey::Produce)).before_apply(Fault::Error(7)).named("times out").mount();
    producer.call(PRODUCE, 9, write("orders", 1, -1)).await;
    drop(refused);
    let lost = broker.fault(on(ApiKey::Produce)).after_apply(Fault::Disconnect).named("answer lost").mount();
    let _unanswered = producer.send(PRODUCE, 9, write("orders", 1, -1)).await;
    producer.closed().await;
    drop(lost);
    consumer.send_frame(&[0, 99, 0, 0, 0, 0, 0, 1, 255, 255]).await;
    consumer.closed().await;
    broker
}

#[tokio::test]
async fn it_tells_the_story_in_the_same_words_every_time() {
    let told = [a_story().await.journal().text(), a_story().await.journal().text()];
    assert_eq!(told[0], told[1]);
    let expected = r"
        c0 n0 - ApiVersions v3 -> ok
        c0 n0 - Produce v9 orders-0 -> ok
        c0 n0 - Produce v9 payments-0 -> ok
        c0 n0 - Produce v9 nowhere-0 -> UNKNOWN_TOPIC_OR_PARTITION
        c0 n0 - Produce v9 payments-0 -> no answer
        c1 n0 - Fetch v12 orders-1 -> ok
        c0 n0 - Produce v9 orders-1 -> REQUEST_TIMED_OUT [times out]
        c0 n0 - Produce v9 orders-1 -> closed: a fault says so: answer lost [answer lost]
        c1 n0 - api key 99 v0 -> closed: api key 99 is not served (v0 was asked for)";
    let expected: Vec<_> = expected.lines().skip(1).map(str::trim).collect();
    let names = told[0].replace(" raw ", " - ");
    assert_eq!(names.lines().map(without_client_id).collect::<Vec<_>>(), expected);
}

/// The kit's connections call themselves what they like.
fn without_client_id(line: &str) -> String {
    let mut words: Vec<_> = line.split(' ').collect();
    words[2] = "-";
    words.join(" ")
}

#[tokio::test]
async fn it_is_asked_by_topic_by_outcome_and_by_fault() {
    let broker = a_story().await;
    let journal = broker.journal();
    assert_eq!(journal.clone().produce().count(), 6);
    assert_eq!(journal.clone().produce().topic("orders").count(), 3);
    assert_eq!(journal.clone().produce().topic("orders").partition(1).count(), 2);
    assert_eq!(journal.clone().produce().succeeded().count(), 2);
    assert_eq!(journal.clone().failed_with(3).count(), 1);
    assert_eq!(journal.clone().hit_by("answer lost").count(), 1);
    assert_eq!(journal.clone().matching(on(ApiKey::Fetch).versions(12..)).count(), 1);
    assert_eq!(journal.clone().node(broker.node_ids()[0]).answered().count(), 6);
    assert!(journal.clone().group("billing").is_empty());
    let fetch = journal.clone().fetch().last().expect("there was one");
    assert_eq!((fetch.took(), fetch.decision()), (Some(Duration::from_millis(500)), Decision::Answered));
    let before = journal.mark();
    assert_eq!(journal.clone().since(before).count(), 0);
    Raw::connect(broker.bootstrap_servers()).await.call(METADATA, 9, value!({ topics: null })).await;
    assert_eq!(journal.since(before).text().lines().count(), 1);
}

#[tokio::test]
async fn requests_and_answers_are_decoded_when_they_are_asked_for() {
    let broker = a_story().await;
    let entries = broker.journal().produce().entries();
    let request = entries[0].request();
    assert_eq!(request["acks"], -1);
    assert_eq!(request["topic_data"][0]["name"], "orders");
    let records = request["topic_data"][0]["partition_data"][0]["records"].as_bytes().expect("bytes").clone();
    assert_eq!(Batch::decode_all(records).len(), 1);
    let answer = entries[0].answer().expect("answered");
    assert_eq!(answer["responses"][0]["partition_responses"][0]["base_offset"], 0);
    assert_eq!(entries[2].errors(), [3]);
    assert_eq!(entries[3].answer(), None, "acks=0");
    // At an unknown version ApiVersions is answered at v0 (KIP-511).
    let mut connection = Raw::connect(broker.bootstrap_servers()).await;
    connection.send_frame(&[0, 18, 0, 99, 0, 0, 0, 1, 255, 255, 0]).await;
    connection.read_frame().await;
    let last = broker.journal().api(ApiKey::ApiVersions).last().expect("it is there");
    assert_eq!(last.answer().expect("answered")["error_code"], 35);
}

#[tokio::test]
async fn a_large_answer_is_kept_as_it_was_sent() {
    let broker = broker().await;
    let mut connection = Raw::connect(broker.bootstrap_servers()).await;
    let records = Batch::of([vec![b'x'; 100_000]]).encode();
    let body = value!({ acks: -1, timeout_ms: 1000,
        topic_data: [{ name: "orders", partition_data: [{ index: 1, records: records.clone() }] }] });
    connection.call(PRODUCE, 9, body).await;
    connection.call(FETCH, 12, long_poll()).await;
    let entry = broker.journal().fetch().last().expect("it is there");
    let answer = entry.answer().expect("answered");
    let sent = answer["responses"][0]["partitions"][0]["records"].as_bytes().expect("bytes").clone();
    assert_eq!(sent[16..], records[16..], "but for the offset, the epoch");
}

#[tokio::test]
async fn a_topic_that_is_deleted_is_still_known_by_its_name() {
    let broker = broker().await;
    let mut connection = Raw::connect(broker.bootstrap_servers()).await;
    let id = broker.topic("orders").id().expect("it exists");
    let records = Batch::of(["v"]).encode();
    let body = value!({ acks: -1, timeout_ms: 1000,
        topic_data: [{ topic_id: id.0, partition_data: [{ index: 0, records: records }] }] });
    connection.call(PRODUCE, 13, body).await;
    let delete = value!({ topics: [{ name: "orders", topic_id: uuid::Uuid::nil() }], timeout_ms: 1000 });
    connection.call(DELETE_TOPICS, 6, delete).await;
    broker.topic("orders").wait_deleted().await;
    assert_eq!(broker.journal().produce().topic("orders").succeeded().count(), 1);
}

#[tokio::test]
async fn what_is_waited_for_is_told_at_once_and_what_does_not_come_with_the_report() {
    let broker = broker().await;
    let address = broker.bootstrap_servers().to_owned();
    let journal = broker.journal().api(ApiKey::CreateTopics).topic("new").succeeded();
    let (created, ()) = tokio::join!(journal.wait_for(1), async {
        let wanted = value!({ name: "new", num_partitions: 1, replication_factor: 1 });
        let body = value!({ topics: [wanted], timeout_ms: 1000 });
        Raw::connect(&address).await.call(CREATE_TOPICS, 7, body).await;
    });
    assert_eq!(created.iter().map(Entry::version).collect::<Vec<_>>(), [7]);
    let never = broker.journal().api(ApiKey::EndTxn).patience(Duration::from_millis(20));
    let task = tokio::spawn(async move { never.wait_for(3).await });
    let panic = patiently("the panic", task).await.expect_err("it panics").into_panic();
    let said = panic.downcast_ref::<String>().expect("a text");
    assert!(said.starts_with("waited 20ms in vain: 3 requests of Journal { scope: EndTxn }"), "{said}");
    assert!(said.contains("orders: 2 partitions") && said.contains("CreateTopics v7 new -> ok"), "{said}");
}

#[tokio::test]
async fn a_broker_that_was_built_without_a_journal_says_so() {
    let broker = MockBroker::builder().journal(false).topic("orders", 2).start().await;
    Raw::connect(broker.bootstrap_servers()).await.call(PRODUCE, 9, write("orders", 0, -1)).await;
    let asked = std::panic::catch_unwind(AssertUnwindSafe(|| broker.journal().count())).expect_err("it panics");
    assert_eq!(asked.downcast_ref::<String>().map(String::as_str), Some("this broker was built without a journal"));
    assert!(broker.report().contains("the broker was built without a journal"));
}

#[tokio::test]
async fn what_is_forgotten_is_not_counted_as_nothing() {
    let broker = broker().await;
    let mut connection = Raw::connect(broker.bootstrap_servers()).await;
    let large = Batch::of([vec![b'x'; 900_000]]).encode();
    for _ in 0..20 {
        let data = value!([{ name: "orders", partition_data: [{ index: 0, records: large.clone() }] }]);
        connection.call(PRODUCE, 9, value!({ acks: -1, timeout_ms: 1000, topic_data: data })).await;
    }
    let asked = std::panic::catch_unwind(AssertUnwindSafe(|| broker.journal().count())).expect_err("it panics");
    let said = asked.downcast_ref::<String>().expect("a text");
    assert!(said.starts_with("the first 2 requests are forgotten"), "{said}");
    assert_eq!(broker.journal().since(2).count(), 18, "16 MiB of them");
}

#[tokio::test]
async fn a_test_that_panics_tells_what_its_broker_was_doing() {
    const ASKED: &str = "JOURNAL_PANICS";
    if std::env::var_os(ASKED).is_some() {
        let broker = broker().await;
        let _also_printed = broker.clone();
        Raw::connect(broker.bootstrap_servers()).await.call(METADATA, 9, value!({ topics: null })).await;
        panic!("on purpose");
    }
    let name = "journal::a_test_that_panics_tells_what_its_broker_was_doing";
    let this = std::env::current_exe().expect("a program");
    let failed = std::process::Command::new(this).args(["--exact", name, "--nocapture"]).env(ASKED, "1").output();
    let failed = failed.expect("it runs");
    assert!(!failed.status.success());
    let said = String::from_utf8_lossy(&failed.stderr);
    assert!(said.contains("on purpose") && said.contains("Metadata v9 -> ok"), "{said}");
    assert_eq!(said.matches("mockbroker, seed 7").count(), 1, "once, however many handles there are: {said}");
}

#[tokio::test]
async fn the_report_is_there_for_whoever_asks() {
    let broker = a_story().await;
    let _mounted = broker.fault(on(ApiKey::EndTxn)).before_apply(Fault::Silence).named("no end").maybe().mount();
    let report = broker.report();
    for part in [
        "mockbroker, seed 7, 500 ms after its start by its manual clock",
        "nodes: 1 of 1 up (0), controller 0",
        "  orders: 2 partitions",
        "    0: log 0..1, high watermark 1, last stable 1; leader 0 epoch 0, replicas [0], isr [0]",
        "  no end on EndTxn: hit 0 of 0 requests",
        "to node 0, +0 ms, ended +500 ms: closed: a fault says so: answer lost",
        "(after 500 ms)",
    ] {
        assert!(report.contains(part), "{part:?} is not in\n{report}");
    }
}
