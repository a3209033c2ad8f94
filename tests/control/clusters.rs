//! Clusters on demand: each its own, and nothing is left of those that are dropped.

use async_kafka::{Kafka, Record};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::client::{Control, start};

async fn write(bootstrap_servers: &str, value: &str) {
    let kafka = Kafka::builder(bootstrap_servers).connect().await.expect("it serves");
    let producer = kafka.producer().build().await.expect("valid settings");
    producer.send(Record::to("orders").value(value.to_owned())).await.expect("taken").await.expect("acknowledged");
}

async fn values(control: &Control, cluster: &str) -> Vec<String> {
    let records = control.get(&format!("{cluster}/topics/orders/partitions/0/records")).await;
    let value = |record: &Value| record["value"].as_str().expect("text").to_owned();
    records.as_array().expect("a list").iter().map(value).collect()
}

#[tokio::test]
async fn a_cluster_has_its_own_nodes_topics_properties_clock_and_seed() {
    let program = start();
    let control = &program.control;
    let new = json!({
        "name": "three",
        "nodes": 3,
        "first_node_id": 1,
        "topics": [{ "name": "orders", "partitions": 2 }],
        "properties": { "default.replication.factor": 3, "auto.create.topics.enable": false, "node.2.broker.rack": "b" },
        "clock": { "kind": "manual", "start_ms": 1_700_000_000_000_i64 },
        "seed": 7,
    });
    let cluster = control.post("/clusters", new.clone()).await;
    assert_eq!(cluster["clock"], json!({ "kind": "manual", "now_ms": 1_700_000_000_000_i64 }));
    assert_eq!((cluster["seed"].as_i64(), cluster["name"].as_str()), (Some(7), Some("three")));
    let ids: Vec<_> = cluster["nodes"].as_array().expect("a list").iter().map(|node| node["node_id"].clone()).collect();
    assert_eq!(ids, [1, 2, 3]);
    let partition = control.get("/clusters/three/topics/orders/partitions/1").await;
    assert_eq!(partition["isr"].as_array().map(Vec::len), Some(3));
    let again = control.ask("POST", "/clusters", Some(new)).await.refused(409, "conflict");
    assert!(again["detail"].as_str().is_some_and(|detail| detail.contains("three")), "{again}");
    let kafka =
        Kafka::builder(cluster["bootstrap_servers"].as_str().expect("text")).connect().await.expect("it serves");
    assert_eq!(kafka.admin().describe_cluster().await.expect("it answers").nodes.len(), 3);
    let names: Vec<_> =
        control.get("/clusters").await.as_array().expect("a list").iter().map(|it| it["name"].clone()).collect();
    assert_eq!(names, ["main", "three"]);
}

#[tokio::test]
async fn time_is_moved_for_one_cluster_and_refused_where_it_passes_by_itself() {
    let program = start();
    let control = &program.control;
    let (manual, _) = control.cluster(json!({ "clock": { "kind": "manual" } })).await;
    let (other, _) = control.cluster(json!({ "clock": { "kind": "manual", "start_ms": 5 } })).await;
    let before = control.get(&format!("{manual}/clock")).await["now_ms"].as_i64().expect("a time");
    let after = control.post(&format!("{manual}/clock/advance"), json!({ "by_ms": 45_000 })).await;
    assert_eq!(after, json!({ "kind": "manual", "now_ms": before + 45_000 }));
    assert_eq!(control.get(&format!("{other}/clock")).await["now_ms"], 5);
    let refused = control.ask("POST", "/clusters/main/clock/advance", Some(json!({ "by_ms": 1 }))).await;
    refused.refused(409, "conflict");
    let decades = control.ask("POST", &format!("{manual}/clock/advance"), Some(json!({ "by_ms": u64::MAX }))).await;
    decades.refused(400, "bad-request");
}

#[tokio::test]
async fn clusters_that_are_dropped_leave_no_port_connection_or_file() {
    let program = start();
    let control = &program.control;
    let mut settled = 0;
    for round in 0..12 {
        let (cluster, bootstrap_servers) = control.orders().await;
        control
            .post(&format!("{cluster}/gates"), json!({ "scope": { "api": "EndTxn" }, "when": "before_apply" }))
            .await;
        control.post(&format!("{cluster}/nodes/0/conditions"), json!({ "kind": "latency", "latency_ms": 1 })).await;
        control.post(&format!("{cluster}/markers"), json!({})).await;
        let mut connection = TcpStream::connect(&bootstrap_servers).await.expect("it serves");
        control.post(&format!("{cluster}/connections/wait"), json!({ "open": 1 })).await;
        control.delete(&cluster).await;
        // The client sees its connection end, and the port is free.
        let mut rest = Vec::new();
        let ended = tokio::io::AsyncReadExt::read_to_end(&mut connection, &mut rest).await;
        assert!(ended.is_err() || rest.is_empty());
        assert!(TcpStream::connect(&bootstrap_servers).await.is_err(), "nobody listens");
        control.ask("GET", &cluster, None).await.refused(404, "not-found");
        if round == 5 {
            settled = program.open_files();
        }
    }
    // Connections of the control address itself come and go: what they hold is a handful at any moment.
    let now = program.open_files();
    assert!(now <= settled + 4, "{settled} files open after 6 clusters, {now} after 12");
    assert_eq!(control.get("/clusters").await.as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_snapshot_is_forked_as_often_as_a_test_wants() {
    let program = start();
    let control = &program.control;
    let (warmed, bootstrap_servers) = control.orders().await;
    write(&bootstrap_servers, "warm").await;
    let snapshot = control.post(&format!("{warmed}/snapshots"), json!({})).await["id"].as_u64().expect("a number");
    write(&bootstrap_servers, "later").await;
    for case in ["a", "b"] {
        let fork = control.post(&format!("/snapshots/{snapshot}/clusters"), json!({ "name": case })).await;
        write(fork["bootstrap_servers"].as_str().expect("text"), case).await;
        assert_eq!(values(control, &format!("/clusters/{case}")).await, ["warm", case]);
    }
    assert_eq!(values(control, &warmed).await, ["warm", "later"]);
    control.delete(&format!("/snapshots/{snapshot}")).await;
    let forgotten = control.ask("POST", &format!("/snapshots/{snapshot}/clusters"), None).await;
    forgotten.refused(404, "not-found");
}

#[tokio::test]
async fn clusters_do_not_see_each_other() {
    let program = start();
    let control = &program.control;
    let (one, one_servers) = control.orders().await;
    let (_, two_servers) = control.orders().await;
    let refuse = json!({ "scope": { "api": "Produce" }, "when": "before_apply", "fault": { "kind": "error", "name": "INVALID_TOPIC_EXCEPTION" } });
    control.post(&format!("{one}/faults"), refuse).await;
    write(&two_servers, "unharmed").await;
    let kafka = Kafka::builder(one_servers).connect().await.expect("it serves");
    let producer = kafka.producer().build().await.expect("valid settings");
    let sent = producer.send(Record::to("orders").value("x")).await.expect("taken").await;
    assert!(sent.is_err(), "INVALID_TOPIC_EXCEPTION is final");
}
