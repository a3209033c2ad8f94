//! Every route of the document once, with what it answers held against the document; and the document against what is committed.

use std::cell::RefCell;
use std::collections::BTreeSet;

use async_kafka::{Kafka, OffsetReset, Record};
use serde_json::{Value, json};

use super::client::{Answer, Control, Program, start};
use super::schema;

/// Asks, judges every answer by the document, and remembers which routes were asked.
struct Walker<'a> {
    control: &'a Control,
    document: Value,
    walked: RefCell<BTreeSet<String>>,
}

impl Walker<'_> {
    /// Asks for what is granted, and returns its JSON.
    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let answer = self.control.ask(&method.to_uppercase(), path, body).await;
        assert!(answer.status.is_success(), "{method} {path}: {}", answer.text());
        let granted = if answer.content_type == "application/json" { answer.json() } else { Value::Null };
        self.judge(method, path, &answer, &granted);
        granted
    }

    async fn get(&self, path: &str) -> Value {
        self.ask("get", path, None).await
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.ask("post", path, Some(body)).await
    }

    async fn delete(&self, path: &str) {
        self.ask("delete", path, None).await;
    }

    /// What is answered is documented: the status, the type, every field.
    fn judge(&self, method: &str, path: &str, answer: &Answer, granted: &Value) {
        let template = self.template(method, path);
        let operation = &self.document["paths"][&template][method];
        let of_status = &operation["responses"][answer.status.as_str()];
        assert!(of_status.is_object(), "{method} {template} answers {}: {}", answer.status, answer.text());
        assert!(
            operation["description"].is_string() || operation["summary"].is_string(),
            "{template} says what it does"
        );
        let place = format!("{method} {template}");
        match of_status["content"].as_object().and_then(|content| content.iter().next()) {
            None => assert!(answer.body.is_empty(), "{place} has no body in the document"),
            Some((kind, of_kind)) => {
                assert!(answer.content_type.starts_with(kind), "{place} answers {} for {kind}", answer.content_type);
                if kind == "application/json" {
                    schema::check(&self.document, &of_kind["schema"], granted, &place);
                }
            }
        }
        self.walked.borrow_mut().insert(place);
    }

    /// The route that a path is of: the one with the fewest parameters that fits.
    fn template(&self, method: &str, path: &str) -> String {
        let path = path.split('?').next().expect("the path");
        let fits = |template: &&String| {
            let (wanted, given) = (template.split('/'), path.split('/'));
            wanted.clone().count() == given.clone().count()
                && wanted
                    .zip(given)
                    .all(|(wanted, given)| wanted == given || wanted.starts_with('{') && !given.is_empty())
        };
        let templates = self.document["paths"].as_object().expect("paths");
        let of_method =
            templates.iter().filter(|(_, methods)| methods[method].is_object()).map(|(template, _)| template);
        let found = of_method.filter(fits).min_by_key(|template| template.matches('{').count());
        found.unwrap_or_else(|| panic!("{method} {path} is not in the document")).clone()
    }
}

#[tokio::test]
async fn every_route_answers_what_the_document_says() {
    let program = start();
    let document = program.control.get("/openapi.json").await;
    let walker = Walker { control: &program.control, document, walked: RefCell::default() };
    walker.get("/").await;
    walker.get("/openapi.json").await;
    let new = json!({ "nodes": 3, "topics": [{ "name": "orders", "partitions": 2 }], "clock": { "kind": "manual" },
        "properties": { "log.cleanup.policy": "compact", "default.replication.factor": 3 } });
    let cluster = walker.post("/clusters", new).await;
    let at = format!("/clusters/{}", cluster["name"].as_str().expect("text"));
    let bootstrap_servers = cluster["bootstrap_servers"].as_str().expect("text");
    walk_clusters(&walker, &at).await;
    walk_topics(&walker, &at).await;
    walk_groups(&walker, &at, bootstrap_servers).await;
    walk_transactions(&walker, &at, bootstrap_servers).await;
    walk_faults(&walker, &at).await;
    walk_nodes(&walker, &at).await;
    walk_journal(&walker, &program, &at).await;
    walker.delete(&at).await;

    let routes = walker.document["paths"].as_object().expect("paths").iter();
    let routes = routes.flat_map(|(template, methods)| {
        let methods = methods.as_object().expect("methods");
        methods.keys().filter(|name| *name != "parameters").map(move |method| format!("{method} {template}"))
    });
    let forgotten: Vec<_> = routes.filter(|route| !walker.walked.borrow().contains(route)).collect();
    assert!(forgotten.is_empty(), "routes that nobody walks: {forgotten:#?}");
}

async fn walk_clusters(walker: &Walker<'_>, at: &str) {
    walker.get("/clusters").await;
    walker.get(at).await;
    walker.get(&format!("{at}/clock")).await;
    walker.post(&format!("{at}/clock/advance"), json!({ "by_ms": 1 })).await;
    walker.get(&format!("{at}/report")).await;
    let snapshot = walker.post(&format!("{at}/snapshots"), json!({})).await["id"].clone();
    assert_eq!(walker.get("/snapshots").await.as_array().map(Vec::len), Some(1));
    let fork = walker.post(&format!("/snapshots/{snapshot}/clusters"), json!({})).await;
    walker.delete(&format!("/clusters/{}", fork["name"].as_str().expect("text"))).await;
    walker.delete(&format!("/snapshots/{snapshot}")).await;
}

async fn walk_topics(walker: &Walker<'_>, at: &str) {
    walker.get(&format!("{at}/topics")).await;
    let topic = format!("{at}/topics/orders");
    walker.get(&topic).await;
    walker.post(&format!("{topic}/wait"), json!({})).await;
    walker.post(&format!("{at}/topics/none/wait"), json!({ "exists": false })).await;
    let partition = format!("{topic}/partitions/0");
    walker.get(&partition).await;
    let record =
        json!({ "key": "k", "value_base64": "/w==", "headers": [{ "key": "h", "value": "v" }], "timestamp_ms": 1000 });
    for (batch, codec) in [("committed", "zstd"), ("aborted", "lz4"), ("open", "gzip")] {
        let producer = json!({ "producer_id": 7, "producer_epoch": 0, "transaction": batch });
        walker
            .post(&format!("{partition}/records"), json!({ "records": [record], "codec": codec, "producer": producer }))
            .await;
    }
    let records = walker.get(&format!("{partition}/records?from_offset=2&limit=3")).await;
    let told: Vec<_> =
        records.as_array().expect("a list").iter().map(|it| (it["offset"].as_i64(), it["marker"].as_str())).collect();
    assert_eq!(told, [(Some(2), None), (Some(3), Some("abort")), (Some(4), None)]);
    assert_eq!((&records[0]["value"], &records[0]["value_base64"]), (&Value::Null, &json!("/w==")));
    assert_eq!((&records[0]["key"], &records[0]["batch"]["compression"]), (&json!("k"), &json!("lz4")));
    assert_eq!(records[0]["headers"], json!([{ "key": "h", "value": "v", "value_base64": "dg==" }]));
    assert_eq!((&records[0]["timestamp_ms"], &records[2]["batch"]["producer_id"]), (&json!(1000), &json!(7)));
    let state =
        walker.post(&format!("{partition}/wait"), json!({ "log_end_offset": 5, "last_stable_offset": 4 })).await;
    assert_eq!(state["last_stable_offset"], 4, "a transaction is open");
    walker.post(&format!("{topic}/roll-segments"), json!({})).await;
    walker.post(&format!("{topic}/compact"), json!({})).await;
    let deleted = walker.post(&format!("{partition}/delete-records"), json!({ "before_offset": 4 })).await;
    assert_eq!(deleted["log_start_offset"], 4);
    let led = walker.post(&format!("{partition}/leader"), json!({ "node": 1 })).await;
    assert_eq!(led["leader"], 1);
}

async fn walk_groups(walker: &Walker<'_>, at: &str, bootstrap_servers: &str) {
    let kafka = Kafka::builder(bootstrap_servers).client_id("walker").connect().await.expect("it serves");
    let producer = kafka.producer().build().await.expect("valid settings");
    producer
        .send(Record::to("orders").partition(1).key("k").value("v"))
        .await
        .expect("taken")
        .await
        .expect("acknowledged");
    let builder = kafka.consumer("g/1").topics(["orders"]).auto_offset_reset(OffsetReset::Earliest);
    let consumer = builder.build().await.expect("valid settings");
    let group = format!("{at}/groups/g%2F1");
    // The members' first rebalance waits for 3 s (`group.initial.rebalance.delay.ms`) on the broker's clock.
    let joined = json!({ "filter": { "api": "JoinGroup", "group": "g/1", "outcome": "waiting" } });
    let (record, ()) = tokio::join!(consumer.recv(), async {
        walker.post(&format!("{at}/journal/wait"), joined).await;
        walker.post(&format!("{at}/clock/advance"), json!({ "by_ms": 3_000 })).await;
    });
    record.expect("it reads").expect("it goes on");
    // The other partition has the record of an open transaction.
    consumer.recv().await.expect("it reads").expect("it goes on");
    walker.post(&format!("{group}/wait"), json!({ "state": "Stable", "members": 1 })).await;
    consumer.close(super::client::LIMIT).await.expect("it commits and leaves");
    let committed =
        json!([{ "topic": "orders", "partition": 0, "offset": 5 }, { "topic": "orders", "partition": 1, "offset": 1 }]);
    let committed = json!({ "committed": committed, "state": "Empty" });
    walker.post(&format!("{group}/wait"), committed).await;
    assert_eq!(walker.get(&group).await["offsets"].as_array().map(Vec::is_empty), Some(false));
    walker.get(&format!("{at}/groups")).await;
    walker.post(&format!("{at}/expire-offsets"), json!({})).await;
    walker.post(&format!("{group}/wait"), json!({ "exists": false })).await;
    // A coordinator that takes over loads first.
    let loading = format!("{at}/loading");
    assert_eq!(walker.post(&loading, json!({})).await["is_held"], true);
    for node in [1, 2] {
        walker.post(&format!("{group}/coordinator"), json!({ "node": node })).await;
    }
    let waits = walker.post(&format!("{loading}/wait"), json!({ "pending": 1 })).await["pending"].clone();
    let load = &waits.as_array().expect("a list")[0];
    assert_eq!((&load["topic"], &load["leader"]), (&json!("__consumer_offsets"), &json!(2)));
    assert_eq!(walker.get(&loading).await["pending"], waits);
    assert_eq!(walker.post(&format!("{loading}/release"), json!({ "count": 1 })).await["released"][0], *load);
    walker.delete(&loading).await;
    walker.get(&format!("{at}/connections")).await;
    drop((consumer, producer, kafka));
    walker.post(&format!("{at}/connections/wait"), json!({ "open": 0 })).await;
}

async fn walk_transactions(walker: &Walker<'_>, at: &str, bootstrap_servers: &str) {
    let kafka = Kafka::builder(bootstrap_servers).connect().await.expect("it serves");
    let producer = kafka.transactional("t-1").build().await.expect("initialised");
    let held = walker.post(&format!("{at}/markers"), json!({})).await;
    assert_eq!((held["is_held"].as_bool(), held["pending"].as_array().map(Vec::len)), (Some(true), Some(0)));
    let transaction = producer.begin().await.expect("begun");
    transaction
        .send(Record::to("orders").partition(1).key("k").value("in"))
        .await
        .expect("taken")
        .await
        .expect("acknowledged");
    let ongoing = format!("{at}/transactions/t-1");
    walker.post(&format!("{ongoing}/wait"), json!({ "state": "Ongoing" })).await;
    transaction.commit().await.expect("the end is decided");
    walker.post(&format!("{at}/markers/wait"), json!({ "pending": 2 })).await;
    let failed = walker.post(&format!("{at}/markers/fail"), json!({ "name": "NOT_LEADER_OR_FOLLOWER" })).await;
    assert_eq!(failed["partition"], json!({ "topic": "orders", "partition": 1 }));
    let pending = walker.get(&format!("{at}/markers")).await;
    assert_eq!(pending["pending"].as_array().map(Vec::len), Some(2), "it is tried again");
    let released = walker.post(&format!("{at}/markers/release"), json!({ "count": 1 })).await;
    assert_eq!(released["released"][0]["is_commit"], true);
    assert_eq!(walker.get(&ongoing).await["state"], "PrepareCommit");
    walker.delete(&format!("{at}/markers")).await;
    walker.post(&format!("{ongoing}/wait"), json!({ "state": "CompleteCommit" })).await;
    walker.get(&format!("{at}/transactions")).await;
    walker.post(&format!("{ongoing}/coordinator"), json!({ "node": 2 })).await;
}

async fn walk_faults(walker: &Walker<'_>, at: &str) {
    let scope = json!({ "api": "ApiVersions", "min_version": 0, "client_id": "walker", "node": 0, "times": 2, "probability": 1.0 });
    let fault = json!({ "scope": scope, "when": "after_apply", "fault": { "kind": "delay", "delay_ms": 0 } });
    let fault = walker.post(&format!("{at}/faults"), fault).await["id"].clone();
    let gate =
        json!({ "scope": { "api": "ApiVersions", "client_id": "walker" }, "when": "before_apply", "every": true });
    let gate = walker.post(&format!("{at}/gates"), gate).await["id"].clone();
    walker.get(&format!("{at}/faults")).await;
    walker.get(&format!("{at}/gates")).await;
    let first = walker.get(&format!("{at}/nodes/0")).await;
    let address = format!("{}:{}", first["host"].as_str().expect("text"), first["port"]);
    let connect = Kafka::builder(address).client_id("walker").connect();
    let release = async {
        walker.post(&format!("{at}/gates/{gate}/wait"), json!({ "entered": 1 })).await;
        walker.get(&format!("{at}/gates/{gate}")).await;
        walker.delete(&format!("{at}/gates/{gate}")).await;
        walker.post(&format!("{at}/faults/{fault}/wait"), json!({})).await;
        walker.post(&format!("{at}/clock/advance"), json!({ "by_ms": 1 })).await;
    };
    let (connected, ()) = tokio::join!(connect, release);
    connected.expect("it goes on");
    assert!(walker.get(&format!("{at}/faults/{fault}")).await["hits"].as_u64().is_some_and(|hits| hits > 0));
    walker.delete(&format!("{at}/faults/{fault}")).await;
    for accident in [
        json!({ "kind": "lose_commit_answers", "transactional_id": "t" }),
        json!({ "kind": "lose_produce_answer", "topic": "orders" }),
        json!({ "kind": "lose_transaction_offsets_answer", "group": "g" }),
        json!({ "kind": "lose_offset_commit_answers", "group": "g" }),
        json!({ "kind": "rebalance_before_commit", "api": "OffsetCommit", "group": "g" }),
    ] {
        let mounted = walker.post(&format!("{at}/accidents"), accident).await["fault"].clone();
        walker.delete(&format!("{at}/faults/{}?verify=false", mounted["id"])).await;
    }
}

async fn walk_nodes(walker: &Walker<'_>, at: &str) {
    walker.get(&format!("{at}/nodes")).await;
    walker.post(&format!("{at}/nodes/2/crash"), json!({})).await;
    walker.post(&format!("{at}/nodes/2/restart"), json!({})).await;
    for condition in [
        json!({ "kind": "partition" }),
        json!({ "kind": "latency", "latency_ms": 30 }),
        json!({ "kind": "bandwidth", "bytes_per_second": 1000 }),
        json!({ "kind": "isolate" }),
        json!({ "kind": "stop_replica", "topic": "orders", "partition": 1 }),
        json!({ "kind": "lag_replica", "topic": "orders", "partition": 1, "records": 2 }),
    ] {
        let begun = walker.post(&format!("{at}/nodes/2/conditions"), condition.clone()).await;
        assert_eq!(begun["condition"], condition);
        walker.get(&format!("{at}/conditions")).await;
        walker.delete(&format!("{at}/conditions/{}", begun["id"])).await;
    }
}

async fn walk_journal(walker: &Walker<'_>, program: &Program, at: &str) {
    let all = walker.get(&format!("{at}/journal?bodies=true")).await;
    let count = walker.get(&format!("{at}/journal/count")).await;
    assert_eq!(count["count"].as_u64().map(|count| count > 10), Some(true));
    assert_eq!(
        (all["entries"].as_array().map(Vec::len), &all["next"]),
        (count["count"].as_u64().map(|it| it as usize), &count["next"])
    );
    let produce = format!("{at}/journal/text?api=Produce&topic=orders&min_version=3&outcome=answered");
    walker.get(&produce).await;
    let text = program.control.ask("GET", &produce, None).await;
    assert!(text.text().lines().count() == 2 && text.text().contains("Produce v"), "{}", text.text());
    walker.get(&format!("{at}/journal/pcapng")).await;
    let file = program.control.ask("GET", &format!("{at}/journal/pcapng"), None).await;
    assert_eq!(&file.body[..4], &0x0A0D_0D0A_u32.to_be_bytes(), "the section header of pcapng");
    // It has no end: the events have tests of their own.
    let events = program.control.send(program.control.request("GET", &format!("{at}/events"), None)).await;
    assert_eq!(
        (events.status().as_u16(), &events.headers()["content-type"]),
        (200, &"text/event-stream".parse().expect("valid"))
    );
    walker.walked.borrow_mut().insert("get /clusters/{cluster}/events".into());
}

#[test]
fn the_page_has_an_example_of_every_route() {
    let page = include_str!("../../docs/CONTROL.md");
    let document: Value = serde_json::from_str(include_str!("../../docs/openapi.json")).expect("JSON");
    let said = |template: &str| {
        let shown = template.replace("{cluster}", "main").replace("{topic}", "orders").replace("{partition}", "0");
        let shown = shown.replace("{node}", "1").replace("{id}", "1").replace("{snapshot}", "1");
        let shown = shown.replace("{group_id}", "billing").replace("{transactional_id}", "payments-1");
        page.split(|c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '`' | '?' | ')'))
            .any(|word| word == format!("$CONTROL{shown}"))
    };
    let missing: Vec<_> = document["paths"].as_object().expect("paths").keys().filter(|path| !said(path)).collect();
    assert!(missing.is_empty(), "docs/CONTROL.md has no example of {missing:#?}");
}
