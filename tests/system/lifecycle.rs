//! A broker starts, serves on the caller's runtime, and leaves nothing behind.

use std::net::TcpListener;

use mockbroker::{MockBroker, NodeId, StartError};
use system_tests::api::{API_VERSIONS, CREATE_TOPICS, FETCH, LIST_OFFSETS, METADATA, PRODUCE};
use system_tests::batch::Batch;
use system_tests::raw::Raw;
use system_tests::value;
use tokio::net::TcpStream;

/// One whole life: start, topic, produce, consume, drop.
async fn one_life() {
    let broker = MockBroker::builder().topic("orders", 1).start().await;
    let mut connection = Raw::connect(broker.bootstrap_servers()).await;
    let records = Batch::of(["v"]).encode();
    let body = value!({ acks: -1, timeout_ms: 1000,
        topic_data: [{ name: "orders", partition_data: [{ index: 0, records: records.clone() }] }] });
    let answer = connection.call(PRODUCE, 9, body).await;
    assert_eq!(answer["responses"][0]["partition_responses"][0]["error_code"], 0);
    let body = value!({ max_wait_ms: 1000, min_bytes: 1, max_bytes: 1_000_000,
        topics: [{ topic: "orders", partitions: [{ partition: 0, fetch_offset: 0, partition_max_bytes: 1_000_000 }] }] });
    let answer = connection.call(FETCH, 12, body).await;
    assert_eq!(answer["responses"][0]["partitions"][0]["records"].bytes().len(), records.len());
    broker.assert_healthy();
}

#[tokio::test]
async fn a_dropped_broker_frees_its_ports_at_once() {
    let broker = MockBroker::builder().nodes(3).start().await;
    let addresses: Vec<String> = broker.bootstrap_servers().split(',').map(str::to_owned).collect();
    assert_eq!(addresses.len(), 3);
    let second_handle = broker.clone();
    drop(broker);
    TcpListener::bind(&addresses[0]).expect_err("a clone of the handle keeps it alive");
    drop(second_handle);
    for address in addresses {
        TcpListener::bind(address).expect("the port is free before anything else has run");
    }
}

#[tokio::test]
async fn shutdown_returns_when_the_last_connection_is_gone() {
    let broker = MockBroker::start().await;
    let mut connection = Raw::connect(broker.bootstrap_servers()).await;
    connection.call(API_VERSIONS, 0, value!({})).await;
    assert_eq!(broker.connection_count(), 1);
    let observer = broker.clone();
    broker.shutdown().await;
    assert_eq!(observer.connection_count(), 0);
    connection.closed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_brokers_live_side_by_side() {
    let mut lives = tokio::task::JoinSet::new();
    for _ in 0..300 {
        lives.spawn(one_life());
    }
    while let Some(life) = lives.join_next().await {
        life.expect("every one of them works");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_thousand_brokers_leave_no_file_descriptor_and_no_thread() {
    let count = |what: &str| std::fs::read_dir(format!("/proc/self/{what}")).expect("procfs").count();
    for _ in 0..100 {
        one_life().await;
    }
    // The connections of the last life end when the runtime has run; other tests of this process come and go.
    let (descriptors, threads) = (count("fd"), count("task"));
    for _ in 0..900 {
        one_life().await;
    }
    assert!(count("fd") < descriptors + 600, "{} file descriptors, {descriptors} after the first 100", count("fd"));
    assert!(count("task") < threads + 20, "{} threads, {threads} after the first 100", count("task"));
}

#[tokio::test]
async fn a_topic_of_the_builder_is_there_at_once_and_spread_over_the_nodes() {
    let broker = MockBroker::builder().nodes(3).first_node_id(5).topic("orders", 6).start().await;
    assert_eq!(broker.node_ids(), [NodeId(5), NodeId(6), NodeId(7)]);
    let first = broker.bootstrap_servers().split(',').next().expect("three").to_owned();
    let mut connection = Raw::connect(&first).await;
    let answer = connection.call(METADATA, 12, value!({ topics: [{ name: "orders" }] })).await;
    let partitions = answer["topics"][0]["partitions"].array();
    let mut leaders: Vec<i64> = partitions.iter().map(|partition| partition["leader_id"].int()).collect();
    leaders.sort_unstable();
    assert_eq!(leaders, [5, 5, 6, 6, 7, 7]);
    let ports: Vec<String> =
        answer["brokers"].array().iter().map(|node| format!("{}:{}", node["host"].str(), node["port"].int())).collect();
    assert_eq!(ports.join(","), broker.bootstrap_servers());
}

#[tokio::test]
async fn the_same_seed_gives_the_same_topic_ids() {
    let topic_id = async |seed| {
        let broker = MockBroker::builder().seed(seed).topic("orders", 1).start().await;
        assert_eq!(broker.seed(), seed);
        let answer = Raw::connect(broker.bootstrap_servers()).await.call(METADATA, 12, value!({ topics: null })).await;
        answer["topics"][0]["topic_id"].uuid()
    };
    assert_eq!(topic_id(7).await, topic_id(7).await);
    assert_ne!(topic_id(7).await, topic_id(8).await);
}

#[tokio::test]
async fn try_start_says_what_is_wrong_and_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port();
    let error = MockBroker::builder().port(port).try_start().await.expect_err("the port is in use");
    assert!(matches!(error, StartError::Bind { .. }));
    assert!(error.to_string().contains("choose another port"), "{error}");
    for (builder, named) in [
        (MockBroker::builder().nodes(0), "at least 1 node"),
        (MockBroker::builder().topic("a b", 1), "a b"),
        (MockBroker::builder().topic("a", 0), "partitions"),
        (MockBroker::builder().topic("a", 1).topic("a", 1), "already exists"),
        (MockBroker::builder().config("message.max.bytes", "-1"), "message.max.bytes"),
        (MockBroker::builder().config("node.9.num.partitions", "1"), "node.9"),
    ] {
        let error = builder.try_start().await.expect_err(named);
        assert!(matches!(error, StartError::Setting(_)));
        assert!(error.to_string().contains(named), "{error}");
    }
}

#[test]
fn without_a_runtime_there_is_an_error_and_not_a_panic() {
    use std::future::Future;
    use std::task::{Context, Poll, Waker};

    let start = std::pin::pin!(MockBroker::try_start());
    match start.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Err(error @ StartError::NoRuntime)) => assert!(error.to_string().contains("blocking")),
        other => panic!("NoRuntime, not {other:?}"),
    }
}

#[tokio::test]
async fn one_bad_client_does_not_disturb_the_others() {
    let broker = MockBroker::start().await;
    let mut good = Raw::connect(broker.bootstrap_servers()).await;
    good.call(API_VERSIONS, 3, value!({ client_software_name: "a", client_software_version: "1" })).await;
    // A frame that never ends, a frame of nonsense, a peer that speaks HTTP, and one that only connects.
    let mut unfinished = Raw::connect(broker.bootstrap_servers()).await;
    unfinished.send_bytes(&[0, 0, 1, 0, 0, 3]).await;
    let mut nonsense = Raw::connect(broker.bootstrap_servers()).await;
    nonsense.send_frame(&[0xff; 40]).await;
    nonsense.closed().await;
    let mut http = Raw::connect(broker.bootstrap_servers()).await;
    http.send_bytes(b"GET / HTTP/1.1\r\n\r\n").await;
    http.closed().await;
    let silent = TcpStream::connect(broker.bootstrap_servers()).await.expect("it listens");
    let answer = good.call(METADATA, 1, value!({ topics: [] })).await;
    assert_eq!(answer["brokers"].array().len(), 1);
    drop((unfinished, silent));
}

#[tokio::test]
async fn records_survive_the_connection_that_wrote_them_and_the_memory_is_given_back_with_the_topic() {
    let broker = MockBroker::start().await;
    let mut connection = Raw::connect(broker.bootstrap_servers()).await;
    let body = value!({ topics: [{ name: "t", num_partitions: 1, replication_factor: 1 }], timeout_ms: 1000 });
    connection.call(CREATE_TOPICS, 5, body).await;
    let large = vec![b'x'; 900_000];
    let records = Batch::of([&large[..]]).encode();
    let produce = value!({ acks: 1, timeout_ms: 1000,
        topic_data: [{ name: "t", partition_data: [{ index: 0, records: records }] }] });
    connection.call(PRODUCE, 9, produce).await;
    drop(connection);
    let mut connection = Raw::connect(broker.bootstrap_servers()).await;
    let fetch = value!({ max_wait_ms: 0, min_bytes: 1, max_bytes: 10_000_000,
        topics: [{ topic: "t", partitions: [{ partition: 0, fetch_offset: 0, partition_max_bytes: 10_000_000 }] }] });
    let answer = connection.call(FETCH, 11, fetch).await;
    let batches = Batch::decode_all(answer["responses"][0]["partitions"][0]["records"].bytes().clone());
    assert_eq!(batches[0].records()[0].value.as_deref(), Some(&large[..]));
    let latest =
        value!({ replica_id: -1, topics: [{ name: "t", partitions: [{ partition_index: 0, timestamp: -1 }] }] });
    let answer = connection.call(LIST_OFFSETS, 1, latest).await;
    assert_eq!(answer["topics"][0]["partitions"][0]["offset"], 1);
}
