//! Requests that have no meaning: each is refused, and nothing else happens.

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::{Control, Program, start};

async fn still_serves(program: &Program) {
    assert_eq!(program.control.get("/clusters/main").await["bootstrap_servers"], program.bootstrap_servers.as_str());
    let kafka = async_kafka::Kafka::builder(&program.bootstrap_servers).connect().await.expect("Kafka is served");
    kafka.admin().describe_cluster().await.expect("and answered");
}

async fn raw(control: &Control, method: &str, path: &str, body: impl Into<Bytes>) -> super::client::Answer {
    let request = Request::builder().method(method).uri(path).header("host", control.address.to_string());
    let request = request.header("content-type", "application/json").body(Full::new(body.into()));
    control.whole(request.expect("a valid request")).await
}

#[tokio::test]
async fn bodies_that_are_no_json_too_large_or_too_deep_are_refused() {
    let program = start();
    let control = &program.control;
    for body in ["{", "[]", "null", "\"x\"", "{}{}", "{\"nodes\":1,}", "\u{feff}{}", "{\"nodes\":1} x", "\0"] {
        raw(control, "POST", "/clusters", body).await.refused(400, "bad-request");
    }
    raw(control, "POST", "/clusters", &b"{\"name\":\"\xff\"}"[..]).await.refused(400, "bad-request");
    raw(control, "POST", "/clusters", "[".repeat(500_000)).await.refused(400, "bad-request");
    let deep = format!("{{\"properties\":{}", "{\"a\":".repeat(100_000));
    raw(control, "POST", "/clusters", deep).await.refused(400, "bad-request");
    let large = format!("{{\"name\":\"{}\"}}", "x".repeat(1024 * 1024));
    raw(control, "POST", "/clusters", large).await.refused(413, "too-large");
    let form = control.request("POST", "/clusters", None).map(|_| Full::new(Bytes::from_static(b"nodes=1")));
    control.whole(form).await.refused(415, "unsupported-media-type");
    assert_eq!(control.get("/clusters").await.as_array().map(Vec::len), Some(1), "nothing was created");
    still_serves(&program).await;
}

#[tokio::test]
async fn values_without_meaning_are_refused_and_the_refusal_names_the_field() {
    let program = start();
    let control = &program.control;
    let (orders, _) = control.orders().await;
    let fault = |scope: Value, fault: Value| json!({ "scope": scope, "when": "before_apply", "fault": fault });
    let silence = json!({ "kind": "silence" });
    let records = format!("{orders}/topics/orders/partitions/0/records");
    let clusters = "/clusters".to_owned();
    let cases = [
        (&clusters, json!({ "nodes": 0 }), "nodes"),
        (&clusters, json!({ "nodes": 65_535 }), "nodes"),
        (&clusters, json!({ "nodes": -1 }), "nodes"),
        (&clusters, json!({ "node": 1 }), "node"),
        (&clusters, json!({ "name": "../main" }), "name"),
        (&clusters, json!({ "name": ".." }), "name"),
        (&clusters, json!({ "name": "" }), "name"),
        (&clusters, json!({ "topics": [{ "name": "a", "partitions": i32::MAX }] }), "partitions"),
        (&clusters, json!({ "topics": [{ "name": "a", "partitions": 0 }] }), "artitions"),
        (&clusters, json!({ "topics": [{ "name": "a/b", "partitions": 1 }] }), "a/b"),
        (
            &clusters,
            json!({ "topics": [{ "name": "a", "partitions": 6000 }, { "name": "b", "partitions": 6000 }] }),
            "12000",
        ),
        (
            &clusters,
            json!({ "properties": { "offsets.topic.num.partitions": i32::MAX } }),
            "offsets.topic.num.partitions",
        ),
        (&clusters, json!({ "properties": { "message.max.bytes": "x" } }), "message.max.bytes"),
        (&clusters, json!({ "properties": { "message.max.bytes": [1] } }), "properties.message.max.bytes"),
        (&clusters, json!({ "clock": { "kind": "slow" } }), "clock.kind"),
        (&clusters, json!({ "clock": { "kind": "manual", "start_ms": -1 } }), "clock.start_ms"),
        (&clusters, json!({ "port": 70_000 }), "port"),
        (&format!("{orders}/faults"), fault(json!({ "nth": 0 }), silence.clone()), "scope.nth"),
        (&format!("{orders}/faults"), fault(json!({ "probability": 1.5 }), silence.clone()), "scope.probability"),
        (&format!("{orders}/faults"), fault(json!({ "api": "produce" }), silence.clone()), "scope.api"),
        (&format!("{orders}/faults"), fault(json!({ "apis": "Produce" }), silence.clone()), "scope.apis"),
        (&format!("{orders}/faults"), fault(json!({}), json!({ "kind": "explode" })), "explode"),
        (&format!("{orders}/faults"), fault(json!({}), json!({ "kind": "error" })), "code"),
        (&format!("{orders}/faults"), fault(json!({}), json!({ "kind": "error", "code": 0 })), "code 0"),
        (&format!("{orders}/faults"), fault(json!({}), json!({ "kind": "error", "name": "OOPS" })), "OOPS"),
        (&format!("{orders}/faults"), fault(json!({}), json!({ "kind": "disconnect", "code": 6 })), "code"),
        (&format!("{orders}/faults"), json!({ "fault": silence }), "when"),
        (
            &format!("{orders}/nodes/0/conditions"),
            json!({ "kind": "bandwidth", "bytes_per_second": 0 }),
            "bytes_per_second",
        ),
        (
            &format!("{orders}/accidents"),
            json!({ "kind": "rebalance_before_commit", "api": "Produce", "group": "g" }),
            "api",
        ),
        (&records, json!({ "records": [] }), "records"),
        (&records, json!({ "records": [{ "value": "a", "value_base64": "YQ==" }] }), "value_base64"),
        (&records, json!({ "records": [{ "value_base64": "?" }] }), "value_base64"),
        (&records, json!({ "records": [{ "timestamp_ms": i64::MAX }] }), "timestamp_ms"),
        (&records, json!({ "records": [{}], "base_offset": i64::MAX }), "base_offset"),
        (&records, json!({ "records": [{}], "producer": { "producer_id": -5, "producer_epoch": 0 } }), "producer"),
        (&format!("{orders}/groups/g/wait"), json!({ "state": "stable" }), "state"),
        (&format!("{orders}/groups/g/wait"), json!({ "timeout_ms": 1_000_000_000 }), "timeout_ms"),
    ];
    for (path, body, field) in cases {
        let problem = control.ask("POST", path, Some(body.clone())).await.refused(400, "bad-request");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(field)), "{body}: {problem}");
    }
    still_serves(&program).await;
}

#[tokio::test]
async fn what_is_not_there_is_not_found_and_what_cannot_be_done_now_is_a_conflict() {
    let program = start();
    let control = &program.control;
    let (orders, _) = control.orders().await;
    for path in [
        "/nowhere",
        "/clusters/none",
        "/clusters/none/report",
        "/clusters/main/nodes/9",
        "/clusters/main/topics/none",
        "/clusters/main/topics/none/partitions/0",
        "/clusters/main/topics/none/partitions/0/records",
        "/clusters/main/groups/none",
        "/clusters/main/groups/%00%2F%E2%82%AC",
        "/clusters/main/transactions/none",
        "/clusters/main/faults/1",
        "/clusters/main/gates/1",
    ] {
        control.ask("GET", path, None).await.refused(404, "not-found");
    }
    control.ask("GET", &format!("{orders}/topics/orders/partitions/1"), None).await.refused(404, "not-found");
    for path in [
        "/clusters/main/nodes/x",
        "/clusters/main/faults/-1",
        "/clusters/main/journal?since=x",
        "/clusters/main/journal?apis=x",
    ] {
        control.ask("GET", path, None).await.refused(400, "bad-request");
    }
    control.ask("PUT", "/clusters", None).await.refused(405, "method-not-allowed");
    for (path, body) in [
        (format!("{orders}/topics/orders/compact"), json!({})),
        (format!("{orders}/topics/orders/partitions/0/leader"), json!({ "node": 7 })),
        (format!("{orders}/topics/orders/partitions/0/delete-records"), json!({ "before_offset": 100 })),
        (format!("{orders}/markers/release"), json!({})),
        (format!("{orders}/markers/fail"), json!({ "code": 6 })),
        (format!("{orders}/loading/release"), json!({})),
        (format!("{orders}/groups/g/coordinator"), json!({ "node": 7 })),
    ] {
        control.ask("POST", &path, Some(body)).await.refused(409, "conflict");
    }
    let silent = control.post("/clusters", json!({ "journal": false })).await;
    let journal = format!("/clusters/{}/journal", silent["name"].as_str().expect("text"));
    for path in [journal.clone(), format!("{journal}/count"), format!("{journal}/text"), format!("{journal}/pcapng")] {
        control.ask("GET", &path, None).await.refused(409, "conflict");
    }
    still_serves(&program).await;
}

#[tokio::test]
async fn every_route_refuses_nonsense_without_a_panic() {
    let program = start();
    let control = &program.control;
    let (orders, _) = control.orders().await;
    let document = control.get("/openapi.json").await;
    let values = [
        json!(null),
        json!(-1),
        json!(u64::MAX),
        json!(1e300),
        json!(""),
        json!("\0"),
        json!([]),
        json!([[]]),
        json!({}),
        json!(true),
    ];
    for (template, methods) in document["paths"].as_object().expect("paths") {
        let path = template.replace("{cluster}", orders.trim_start_matches("/clusters/")).replace("{topic}", "orders");
        let path =
            path.replace("{partition}", "0").replace("{node}", "0").replace("{id}", "1").replace("{snapshot}", "1");
        let path = path.replace("{group_id}", "g").replace("{transactional_id}", "t");
        let schema = methods["post"]["requestBody"]["content"]["application/json"]["schema"].clone();
        if schema.is_null() {
            continue;
        }
        let target =
            schema["$ref"].as_str().map(|it| document.pointer(it.trim_start_matches('#')).expect("it is there"));
        let of_choices = target.and_then(|it| it["oneOf"].as_array()).into_iter().flatten();
        let names =
            target.into_iter().chain(of_choices).filter_map(|it| it["properties"].as_object()).flat_map(|it| it.keys());
        for name in names.chain([&"nonsense".to_owned()]) {
            // Without a time waiters wait for 10 s.
            for value in values.iter().filter(|value| !(name == "timeout_ms" && value.is_null())) {
                let mut body = json!({ name: value });
                // Nobody is to wait for what never comes.
                if template.ends_with("/wait") && name != "timeout_ms" {
                    body["timeout_ms"] = 0.into();
                }
                let answer = control.ask("POST", &path, Some(body.clone())).await;
                assert!(answer.status.as_u16() < 500, "{path} {body}: {}", answer.text());
            }
        }
    }
    still_serves(&program).await;
}

#[tokio::test]
async fn what_is_no_http_ends_its_connection_only() {
    let program = start();
    for bytes in [&b"\x00\x00\x00\x10hello kafka"[..], b"GET /\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", &[b'A'; 100_000]] {
        let mut stream = TcpStream::connect(program.control.address).await.expect("it listens");
        drop(stream.write_all(bytes).await);
        drop(stream.shutdown().await);
        let mut answer = Vec::new();
        drop(tokio::time::timeout(super::client::LIMIT, stream.read_to_end(&mut answer)).await.expect("it ends"));
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&answer));
    }
    still_serves(&program).await;
}
