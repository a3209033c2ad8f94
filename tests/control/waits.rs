//! Waiting for states, and what is answered when they do not come.

use std::time::Duration;

use async_kafka::{Kafka, OffsetReset, Record};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::client::{LIMIT, start};

/// What a waiter is to be told soon, that nothing comes.
const SHORT_MS: u64 = 30;

#[tokio::test]
async fn what_does_not_come_is_told_with_the_report() {
    let program = start();
    let control = &program.control;
    let (cluster, _) = control.orders().await;
    let fault = json!({ "scope": { "api": "Produce" }, "when": "after_apply", "fault": { "kind": "disconnect" }, "name": "lost" });
    let fault = control.post(&format!("{cluster}/faults"), fault).await["id"].clone();
    let gate = json!({ "scope": { "api": "EndTxn" }, "when": "before_apply" });
    let gate = control.post(&format!("{cluster}/gates"), gate).await["id"].clone();
    control.post(&format!("{cluster}/markers"), json!({})).await;
    control.post(&format!("{cluster}/loading"), json!({})).await;
    let waits = [
        (format!("faults/{fault}/wait"), json!({}), "lost"),
        (format!("gates/{gate}/wait"), json!({}), "EndTxn"),
        ("topics/new/wait".into(), json!({}), "created"),
        ("topics/orders/wait".into(), json!({ "exists": false }), "deleted"),
        ("topics/orders/partitions/0/wait".into(), json!({ "log_end_offset": 3 }), "log end at 3"),
        ("topics/orders/partitions/7/wait".into(), json!({ "leader": 0 }), "led by 0"),
        ("groups/billing/wait".into(), json!({ "state": "Stable", "members": 2 }), "Stable, with 2 members"),
        (
            "groups/billing/wait".into(),
            json!({ "committed": [{ "topic": "orders", "partition": 0, "offset": 5 }] }),
            "orders-0",
        ),
        ("transactions/payments-1/wait".into(), json!({ "state": "CompleteCommit" }), "CompleteCommit"),
        ("markers/wait".into(), json!({ "pending": 1 }), "1 markers"),
        ("loading/wait".into(), json!({ "pending": 1 }), "1 coordinators"),
        ("connections/wait".into(), json!({ "open": 9 }), "9 connections"),
        ("journal/wait".into(), json!({ "filter": { "api": "Fetch" }, "count": 2 }), "2 requests"),
    ];
    for (path, mut body, told) in waits {
        body["timeout_ms"] = SHORT_MS.into();
        let refused = control.ask("POST", &format!("{cluster}/{path}"), Some(body)).await;
        let problem = refused.refused(408, "timeout");
        let detail = problem["detail"].as_str().expect("text");
        assert!(detail.contains(told) && detail.contains("30ms"), "{detail}");
        let report = problem["report"].as_str().expect("text");
        assert!(report.contains("orders") && report.contains("faults and gates:\n  lost on Produce"), "{report}");
    }
}

#[tokio::test]
async fn a_waiter_is_answered_when_the_state_comes() {
    let program = start();
    let control = &program.control;
    let (cluster, bootstrap_servers) = control.orders().await;
    let wait = async |path: &str, body: Value| control.post(&format!("{cluster}/{path}"), body).await;
    let kafka = Kafka::builder(&bootstrap_servers).client_id("app").connect().await.expect("it serves");
    let write = async {
        let producer = kafka.producer().build().await.expect("valid settings");
        producer.send(Record::to("orders").value("first")).await.expect("taken").await.expect("acknowledged");
    };
    let (written, ()) = tokio::join!(wait("topics/orders/partitions/0/wait", json!({ "log_end_offset": 1 })), write);
    assert_eq!((written["log_end_offset"].as_i64(), written["leader"].as_i64()), (Some(1), Some(0)));

    let builder = kafka.consumer("billing").topics(["orders"]).auto_offset_reset(OffsetReset::Earliest);
    let consumer = builder.build().await.expect("valid settings");
    let record = timeout(LIMIT, consumer.recv()).await.expect("in time").expect("it reads").expect("it goes on");
    assert_eq!(record.value(), Some(&b"first"[..]));
    let group = wait("groups/billing/wait", json!({ "state": "Stable", "members": 1 })).await;
    assert_eq!(group["members"][0]["client_id"], "app");
    assert_eq!(group["members"][0]["assignment"], json!([{ "topic": "orders", "partitions": [0] }]));
    let committed = json!({ "committed": [{ "topic": "orders", "partition": 0, "offset": 1 }] });
    let (committed, closed) = tokio::join!(wait("groups/billing/wait", committed), consumer.close(LIMIT));
    closed.expect("it commits what it gave out, and leaves");
    assert_eq!(committed["offsets"][0]["offset"], 1);
    wait("groups/billing/wait", json!({ "without_member": group["members"][0]["member_id"] })).await;
    let asked =
        wait("journal/wait", json!({ "filter": { "api": "JoinGroup", "outcome": "succeeded", "client_id": "app" } }))
            .await;
    assert_eq!(asked["entries"][0]["groups"], json!(["billing"]));
}

#[tokio::test]
async fn whoever_waits_on_a_cluster_that_is_dropped_is_told_at_once() {
    let program = start();
    let control = &program.control;
    let (cluster, _) = control.orders().await;
    let began = Instant::now();
    let path = format!("{cluster}/groups/billing/wait");
    let wait = control.ask("POST", &path, Some(json!({ "members": 1, "timeout_ms": 600_000 })));
    let drop = async {
        // The waiter is there first: its request was sent before, and both go through one accept loop.
        control.get(&format!("{cluster}/clock")).await;
        control.delete(&cluster).await;
    };
    let (told, ()) = tokio::join!(wait, drop);
    told.refused(404, "not-found");
    assert!(began.elapsed() < Duration::from_secs(60));
}
