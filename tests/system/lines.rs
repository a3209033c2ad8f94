//! The line between a node and its clients: slow, narrow, or cut.

use std::time::Duration;

use async_kafka::{Kafka, Record};
use mockbroker::{Clock, MockBroker};
use system_tests::api::{METADATA, PRODUCE};
use system_tests::batch::Batch;
use system_tests::raw::{Raw, patiently};
use system_tests::value;
use system_tests::world::eventually;
use tokio::time::Instant;

const MOMENT: Duration = Duration::from_millis(30);

#[tokio::test]
async fn nothing_passes_a_line_that_is_cut_and_everything_arrives_once_it_is_healed() {
    let broker = MockBroker::builder().topic("t", 1).start().await;
    let mut connection = Raw::connect(broker.bootstrap_servers()).await;
    connection.call(METADATA, 12, value!({ topics: [] })).await;
    let cut = broker.node(0).partition();
    let body = value!({ acks: 1, timeout_ms: 1000,
        topic_data: [{ name: "t", partition_data: [{ index: 0, records: Batch::of(["v"]).encode() }] }] });
    let sent = connection.send(PRODUCE, 9, body).await;
    assert!(connection.is_silent_for(MOMENT).await);
    assert_eq!(broker.connection_count(), 1, "the connection stays");
    cut.heal();
    let answer = connection.receive(sent).await;
    let partition = &answer["responses"][0]["partition_responses"][0];
    assert_eq!((partition["error_code"].int(), partition["base_offset"].int()), (0, 0));
}

#[tokio::test]
async fn a_client_that_hangs_up_behind_a_cut_is_noticed_once_it_is_healed() {
    let broker = MockBroker::start().await;
    let mut connection = Raw::connect(broker.bootstrap_servers()).await;
    connection.call(METADATA, 12, value!({ topics: [] })).await;
    let cut = broker.node(0).partition();
    drop(connection);
    tokio::time::sleep(MOMENT).await;
    assert_eq!(broker.connection_count(), 1);
    drop(cut);
    eventually("the connection is gone", || broker.connection_count() == 0).await;
}

#[tokio::test]
async fn latency_counts_in_each_direction_and_does_not_add_up_over_requests_in_flight() {
    let broker = MockBroker::start().await;
    let mut connection = Raw::connect(broker.bootstrap_servers()).await;
    connection.call(METADATA, 12, value!({ topics: [] })).await;
    let _slow = broker.node(0).latency(Duration::from_millis(50));
    let began = Instant::now();
    let mut sent = Vec::new();
    for _ in 0..20 {
        sent.push(connection.send(METADATA, 12, value!({ topics: [] })).await);
    }
    for sent in sent {
        connection.receive(sent).await;
    }
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(100), "{took:?}");
    assert!(took < Duration::from_millis(1900), "one after the other they would take 2 s: {took:?}");
}

#[tokio::test]
async fn latency_is_on_the_clock_of_the_broker() {
    let broker = MockBroker::builder().clock(Clock::manual()).start().await;
    let mut connection = Raw::connect(broker.bootstrap_servers()).await;
    connection.call(METADATA, 12, value!({ topics: [] })).await;
    let _slow = broker.node(0).latency(Duration::from_secs(60));
    let sent = connection.send(METADATA, 12, value!({ topics: [] })).await;
    assert!(connection.is_silent_for(MOMENT).await);
    let answered = async {
        let receive = connection.receive(sent);
        tokio::pin!(receive);
        loop {
            tokio::select! {
                answer = &mut receive => return answer,
                // A minute for the request, and one for the answer.
                () = tokio::time::sleep(Duration::from_millis(1)) => drop(broker.advance(Duration::from_secs(10))),
            }
        }
    };
    patiently("the answer", answered).await;
}

#[tokio::test]
async fn a_narrow_line_carries_so_much_in_a_second_and_all_of_it() {
    let broker = MockBroker::builder().topic("t", 1).start().await;
    let kafka = Kafka::builder(broker.bootstrap_servers()).connect().await.expect("the mock answers");
    let producer = kafka.producer().linger(Duration::ZERO).build().await.expect("valid settings");
    let send = async |size: usize| {
        let delivery = producer.send(Record::to("t").value(vec![7_u8; size])).await.expect("room");
        delivery.await.expect("acknowledged")
    };
    send(10).await;
    let _narrow = broker.node(0).bandwidth(1_000_000);
    let began = Instant::now();
    send(200_000).await;
    assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
}
