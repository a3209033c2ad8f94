//! ApiVersions, Metadata, DescribeCluster, FindCoordinator.

use uuid::Uuid;

use crate::judge::Run;
use crate::{Value, api, value};

pub(super) async fn api_versions(run: &mut Run) {
    let from = |name: &str, version: &str| value!({ client_software_name: name, client_software_version: version });
    run.step("usual", from("judge", "1.0.0-a")).await;
    let wrong = [("", "1"), ("a", ""), ("a b", "1"), ("a", "-1"), ("a", "1."), ("-a", "1"), ("ä", "1"), ("a_b", "1")];
    for (name, version) in wrong {
        run.step(&format!("software {name:?} {version:?}"), from(name, version)).await;
    }
    for version in [-1, 5, 99, i16::MAX] {
        run.step_bytes(&format!("version {version}"), api::API_VERSIONS, version, &[]).await;
    }
}

fn of(names: &[&str]) -> Value {
    let names: Vec<_> = names.iter().map(|name| value!({ name: *name })).collect();
    value!({ topics: names, allow_auto_topic_creation: false })
}

pub(super) async fn metadata(run: &mut Run) {
    let (first, second) = (run.topic("a", 2, &[]).await, run.topic("b", 1, &[]).await);
    run.step("one", of(&[&first.name])).await;
    run.step("two", of(&[&first.name, &second.name])).await;
    run.step("the other way round", of(&[&second.name, &first.name])).await;
    run.step("one twice", of(&[&first.name, &first.name])).await;
    run.step("no topic", of(&[])).await;
    if run.version >= 1 {
        run.step("all", value!({ topics: null, allow_auto_topic_creation: false })).await;
        run.step("all and make them", value!({ topics: null, allow_auto_topic_creation: true })).await;
    }
    for (cluster, topic) in [(true, false), (false, true), (true, true)] {
        let body = value!({
            topics: [{ name: &first.name }], allow_auto_topic_creation: false,
            include_cluster_authorized_operations: cluster, include_topic_authorized_operations: topic,
        });
        run.step(&format!("operations of the cluster {cluster}, of the topic {topic}"), body).await;
    }
    if run.version >= 10 {
        let body = value!({ topics: [{ name: null, topic_id: first.id }], allow_auto_topic_creation: false });
        run.step("by id", body).await;
        let body = value!({ topics: [{ name: null, topic_id: first.id }, { name: &second.name }] });
        run.step("by id and by name", body).await;
        let body = value!({ topics: [{ name: &first.name, topic_id: first.id }] });
        run.step("by both", body).await;
        let body = value!({ topics: [{ name: &second.name, topic_id: first.id }] });
        run.step("by both, contradicting", body).await;
        let body = value!({ topics: [{ name: null, topic_id: Uuid::from_u128(77) }] });
        run.step("by an unknown id", body).await;
        let body = value!({ topics: [{ name: null, topic_id: Uuid::nil() }] });
        run.step("by neither", body).await;
        let body =
            value!({ topics: [{ name: null, topic_id: first.id }, { name: null, topic_id: Uuid::from_u128(77) }] });
        run.step("by a known id and an unknown one", body).await;
    }
}

pub(super) async fn metadata_refusals(run: &mut Run) {
    let topic = run.topic("a", 1, &[]).await;
    let long = "x".repeat(250);
    for (label, bad) in
        [("no name", ""), ("one dot", "."), ("two dots", ".."), ("a space", "a b"), ("250 letters", long.as_str())]
    {
        run.step(label, of(&[bad])).await;
        run.step(&format!("{label}, make it"), value!({ topics: [{ name: bad }], allow_auto_topic_creation: true }))
            .await;
    }
    if run.version >= 4 {
        run.step("an unknown topic", of(&[&run.name("nowhere")])).await;
        run.step("an unknown topic and a known one", of(&[&run.name("nowhere"), &topic.name])).await;
        run.step("a known topic and an unknown one", of(&[&topic.name, &run.name("nowhere"), "a b"])).await;
    }
    let name = run.name("made");
    let made = value!({ topics: [{ name: &name }], allow_auto_topic_creation: true });
    run.step("a topic is made", made.clone()).await;
    run.until(api::METADATA, 12, made.clone(), |answer| answer["topics"][0]["error_code"] == 0).await;
    run.wait_for(&name, 1).await;
    run.step("it is there", made).await;
}

pub(super) async fn describe(run: &mut Run) {
    for operations in [false, true] {
        let body = value!({ include_cluster_authorized_operations: operations, endpoint_type: 1 });
        run.step(&format!("operations {operations}"), body).await;
    }
    run.step("fenced ones as well", value!({ include_fenced_brokers: true })).await;
    if run.version >= 1 {
        for endpoint_type in [0, 2, 3, -1] {
            run.step(&format!("endpoint type {endpoint_type}"), value!({ endpoint_type: endpoint_type })).await;
        }
    }
}

/// A FindCoordinator, in the form that the version has.
fn coordinator(key_type: i8, keys: &[&str]) -> Value {
    let all: Vec<_> = keys.iter().map(|key| Value::from(*key)).collect();
    value!({ key: keys.first().copied().unwrap_or_default(), key_type: key_type, coordinator_keys: all })
}

pub(super) async fn coordinators(run: &mut Run) {
    for key_type in [0, 1] {
        // The first question makes the internal topic (B.9).
        run.until(api::FIND_COORDINATOR, 3, coordinator(key_type, &["a"]), |answer| answer["error_code"] == 0).await;
        run.step(&format!("key type {key_type}"), coordinator(key_type, &["a"])).await;
        run.step(&format!("no key, key type {key_type}"), coordinator(key_type, &[""])).await;
        if run.version >= 4 {
            run.step(&format!("three, key type {key_type}"), coordinator(key_type, &["a", "b", "c"])).await;
            run.step(&format!("one twice, key type {key_type}"), coordinator(key_type, &["a", "a"])).await;
            run.step(&format!("none, key type {key_type}"), coordinator(key_type, &[])).await;
        }
    }
}

pub(super) async fn coordinator_refusals(run: &mut Run) {
    run.step("none of them", coordinator(0, &["b"])).await;
    if run.version == 0 {
        return;
    }
    for key_type in [2, 3, -1, 127] {
        run.step(&format!("key type {key_type}"), coordinator(key_type, &["a"])).await;
    }
    for key in ["", ":", "a:b", "a:b:c", "a:AAAAAAAAAAAAAAAAAAAATQ:x", "a:AAAAAAAAAAAAAAAAAAAATQ:"] {
        run.step(&format!("share key {key:?}"), coordinator(2, &[key])).await;
    }
    if run.version >= 4 {
        run.step("two keys of an unknown type", coordinator(9, &["a", "b"])).await;
    }
}
