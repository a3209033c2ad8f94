//! Faults and gates: what a test makes go wrong goes wrong, there and then, and nowhere else.

use std::time::Duration;

use mockbroker::{ApiKey, Clock, Fault, MockBroker, on, on_any};
use system_tests::api::{FETCH, LIST_OFFSETS, METADATA, PRODUCE};
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
    // It is gone all the same.
    Raw::connect(broker.bootstrap_servers()).await.call(METADATA, 9, value!({ topics: null })).await;
    broker.assert_healthy();
}
