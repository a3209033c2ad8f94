//! What is mounted through the control address, met by our client.

use std::time::Duration;

use async_kafka::{Backoff, Kafka, Producer, Record};
use serde_json::{Value, json};

use super::client::{Control, start};

async fn producer(bootstrap_servers: &str) -> Producer {
    let kafka = Kafka::builder(bootstrap_servers)
        .retry_backoff(Backoff { initial: Duration::from_millis(1), maximum: Duration::from_millis(10) });
    kafka.connect().await.expect("it serves").producer().build().await.expect("valid settings")
}

async fn send(producer: &Producer, value: &str) {
    producer.send(Record::to("orders").value(value.to_owned())).await.expect("taken").await.expect("acknowledged");
}

async fn values(control: &Control, cluster: &str) -> Vec<Value> {
    let records = control.get(&format!("{cluster}/topics/orders/partitions/0/records")).await;
    records.as_array().expect("a list").iter().map(|record| record["value"].clone()).collect()
}

#[tokio::test]
async fn an_answer_that_is_lost_is_asked_for_again_and_written_once() {
    let program = start();
    let control = &program.control;
    let (cluster, bootstrap_servers) = control.orders().await;
    let fault = json!({
        "scope": { "api": "Produce", "topic": "orders", "nth": 2 },
        "when": "after_apply",
        "fault": { "kind": "disconnect" },
        "name": "answer lost",
    });
    let fault = control.post(&format!("{cluster}/faults"), fault).await;
    assert_eq!(fault["scope"], "Produce topic=orders nth=2");
    let producer = producer(&bootstrap_servers).await;
    for value in ["a", "b", "c"] {
        send(&producer, value).await;
    }
    let path = format!("{cluster}/faults/{}", fault["id"]);
    let fired = control.post(&format!("{path}/wait"), json!({ "hits": 1 })).await;
    assert_eq!((fired["hits"].as_u64(), fired["in_scope"].as_u64()), (Some(1), Some(4)));
    assert_eq!(values(control, &cluster).await, ["a", "b", "c"]);
    let hit = control.get(&format!("{cluster}/journal?hit_by=answer%20lost&bodies=true")).await;
    assert_eq!(hit["entries"][0]["decision"], "closed");
    assert_eq!(hit["entries"][0]["topics"], json!([{ "topic": "orders", "partitions": [0] }]));
    assert_eq!(hit["entries"][0]["request"]["acks"], -1, "{hit}");
    control.delete(&path).await;
    control.ask("GET", &path, None).await.refused(404, "not-found");
}

#[tokio::test]
async fn a_fault_that_never_fired_is_an_error_of_its_own_test_only() {
    let program = start();
    let control = &program.control;
    let (cluster, bootstrap_servers) = control.orders().await;
    let never = |maybe: bool| json!({ "scope": { "api": "EndTxn" }, "when": "before_apply", "fault": { "kind": "silence" }, "name": "never", "maybe": maybe });
    let mount = async |maybe: bool| {
        let id = control.post(&format!("{cluster}/faults"), never(maybe)).await["id"].clone();
        format!("{cluster}/faults/{id}")
    };
    let must = mount(true).await;
    control.delete(&must).await;
    let must = mount(false).await;
    let missed = control.ask("DELETE", &must, None).await.refused(409, "never-fired");
    assert!(
        missed["detail"].as_str().is_some_and(|it| it.contains("\"never\" on EndTxn") && it.contains("0 requests"))
    );
    control.ask("DELETE", &must, None).await.refused(404, "not-found");
    let excused = mount(false).await;
    control.delete(&format!("{excused}?verify=false")).await;
    // Dropping the cluster asks the same of all that is mounted.
    mount(false).await;
    control.ask("DELETE", &cluster, None).await.refused(409, "never-fired");
    control.ask("GET", &cluster, None).await.refused(404, "not-found");
    assert!(tokio::net::TcpStream::connect(&bootstrap_servers).await.is_err(), "it is gone all the same");
    assert_eq!(control.get("/clusters").await.as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn every_kind_of_fault_is_mounted_where_it_can_happen() {
    let program = start();
    let control = &program.control;
    let (cluster, _) = control.orders().await;
    let anywhere = [
        json!({ "kind": "error", "code": 6 }),
        json!({ "kind": "error", "name": "NOT_LEADER_OR_FOLLOWER" }),
        json!({ "kind": "disconnect" }),
        json!({ "kind": "silence" }),
        json!({ "kind": "delay", "delay_ms": 5 }),
        json!({ "kind": "corrupt_records" }),
    ];
    let to_answers = [json!({ "kind": "partial", "bytes": 9 }), json!({ "kind": "throttle", "throttle_ms": 5 })];
    let mount = async |when: &str, fault: &Value| {
        let new = json!({ "scope": { "api": "Fetch" }, "when": when, "fault": fault, "maybe": true });
        control.ask("POST", &format!("{cluster}/faults"), Some(new)).await
    };
    for fault in anywhere.iter().chain(&to_answers) {
        assert_eq!(mount("after_apply", fault).await.ok("mounted")["when"], "after_apply");
    }
    for fault in &anywhere {
        mount("before_apply", fault).await.ok("mounted");
    }
    for fault in &to_answers {
        mount("before_apply", fault).await.refused(400, "bad-request");
    }
    assert_eq!(control.get(&format!("{cluster}/faults")).await.as_array().map(Vec::len), Some(14));
    let report = control.ask("GET", &format!("{cluster}/report"), None).await;
    assert_eq!(report.text().matches("on Fetch: hit 0 of 0 requests").count(), 14);
}

#[tokio::test]
async fn a_gate_holds_a_request_until_it_is_released() {
    let program = start();
    let control = &program.control;
    let (cluster, bootstrap_servers) = control.orders().await;
    let gate = json!({ "scope": { "api": "Produce" }, "when": "before_apply", "name": "write" });
    let gate = format!("{cluster}/gates/{}", control.post(&format!("{cluster}/gates"), gate).await["id"]);
    assert_eq!(control.get(&gate).await["entered"], 0);
    let producer = producer(&bootstrap_servers).await;
    let release = async {
        assert_eq!(control.post(&format!("{gate}/wait"), json!({})).await["entered"], 1);
        assert!(values(control, &cluster).await.is_empty(), "nothing of it has happened");
        let waiting = control.get(&format!("{cluster}/journal?outcome=waiting&api=Produce")).await;
        assert_eq!(waiting["entries"][0]["faults"], json!(["write"]));
        control.delete(&gate).await;
    };
    tokio::join!(send(&producer, "a"), release);
    assert_eq!(values(control, &cluster).await, ["a"]);
    assert_eq!(control.get(&format!("{cluster}/gates")).await, json!([]));
}

#[tokio::test]
async fn a_client_that_is_frozen_goes_on_when_it_is_let() {
    let program = start();
    let control = &program.control;
    let (cluster, bootstrap_servers) = control.orders().await;
    let kafka = Kafka::builder(&bootstrap_servers).client_id("app").connect().await.expect("it serves");
    let frozen = json!({ "kind": "freeze", "client_id": "app" });
    let frozen = control.post(&format!("{cluster}/accidents"), frozen).await;
    assert_eq!((frozen["fault"].is_null(), frozen["gate"]["every"].as_bool()), (true, Some(true)));
    let gate = format!("{cluster}/gates/{}", frozen["gate"]["id"]);
    let thaw = async {
        control.post(&format!("{gate}/wait"), json!({})).await;
        control.delete(&gate).await;
    };
    let (topics, ()) = tokio::join!(async { kafka.admin().describe_cluster().await }, thaw);
    topics.expect("it goes on");
}

#[tokio::test]
async fn what_is_wrong_with_a_node_ends_when_it_is_healed() {
    let program = start();
    let control = &program.control;
    let new = json!({
        "nodes": 3,
        "properties": { "default.replication.factor": 3 },
        "topics": [{ "name": "orders", "partitions": 1 }],
        "clock": { "kind": "manual" },
    });
    let (cluster, _) = control.cluster(new).await;
    let path = |rest: &str| format!("{cluster}/{rest}");
    control.post(&path("topics/orders/partitions/0/leader"), json!({ "node": 0 })).await;
    let stopped = json!({ "kind": "stop_replica", "topic": "orders", "partition": 0 });
    let stopped = control.post(&path("nodes/2/conditions"), stopped).await;
    assert_eq!(stopped["condition"]["kind"], "stop_replica");
    control.post(&path("topics/orders/partitions/0/records"), json!({ "records": [{ "value": "a" }] })).await;
    let lags = control.get(&path("topics/orders/partitions/0")).await;
    assert_eq!(
        (lags["log_end_offset"].as_i64(), lags["high_watermark"].as_i64()),
        (Some(1), Some(0)),
        "it waits for 2"
    );
    control.post(&path("clock/advance"), json!({ "by_ms": 60_000 })).await;
    let shrunk = json!({ "isr": [1, 0], "high_watermark": 1, "timeout_ms": 0 });
    control.post(&path("topics/orders/partitions/0/wait"), shrunk).await;
    control.delete(&path(&format!("conditions/{}", stopped["id"]))).await;
    control.post(&path("topics/orders/partitions/0/wait"), json!({ "isr": [0, 1, 2], "timeout_ms": 0 })).await;

    control.post(&path("nodes/0/crash"), json!({})).await;
    let led = control.get(&path("topics/orders/partitions/0")).await;
    assert_ne!(led["leader"], 0, "{led}");
    let down = json!({ "node": 0 });
    control.ask("POST", &path("topics/orders/partitions/0/leader"), Some(down)).await.refused(409, "conflict");
    assert_eq!(control.post(&path("nodes/0/restart"), json!({})).await["is_up"], true);
    let isolated = control.post(&path("nodes/1/conditions"), json!({ "kind": "isolate" })).await;
    control.post(&path("clock/advance"), json!({ "by_ms": 20_000 })).await;
    let node = control.get(&path("nodes/1")).await;
    assert_eq!((node["is_up"].as_bool(), node["is_alive"].as_bool()), (Some(true), Some(false)), "taken for dead");
    control.delete(&path(&format!("conditions/{}", isolated["id"]))).await;
    assert_eq!(control.get(&path("nodes/1")).await["is_alive"], true);
    assert_eq!(control.get(&path("conditions")).await, json!([]));
}
