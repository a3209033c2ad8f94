//! What is decided for the whole cluster and asked of any node, or of the very node it is about. On three nodes.

use crate::judge::Run;
use crate::{Value, api, value};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

fn ids(nodes: &[i32]) -> Vec<Value> {
    nodes.iter().map(|node| Value::from(*node)).collect()
}

fn create_one(name: &str, partitions: i32, replicas: i16) -> Value {
    let topic = value!({ name: name, num_partitions: partitions, replication_factor: replicas });
    value!({ timeout_ms: 10_000, topics: [topic] })
}

pub(super) async fn create(run: &mut Run) {
    for node in run.nodes() {
        run.at(node);
        let name = |what: &str| run.name(&format!("{what}{node}"));
        let (three, defaults, four) = (name("three"), name("defaults"), name("four"));
        run.step(&format!("three replicas, of node {node}"), create_one(&three, 3, 3)).await;
        run.step(&format!("it exists, of node {node}"), create_one(&three, 3, 3)).await;
        run.step(&format!("the broker's defaults, of node {node}"), create_one(&defaults, -1, -1)).await;
        run.step(&format!("four replicas, of node {node}"), create_one(&four, 1, 4)).await;
    }
    run.at(1);
    type Placement<'a> = &'a [&'a [i32]];
    let placements: &[(&str, Placement<'_>)] = &[
        ("a replica on each", &[&[3, 1, 2], &[1, 2, 3]]),
        ("fewer for the second", &[&[3, 1], &[1]]),
        ("more for the second", &[&[3], &[1, 2]]),
        ("a node twice", &[&[1, 2, 1]]),
        ("a node that is not there", &[&[1, 2, 4]]),
        ("only a node that is not there", &[&[4]]),
    ];
    for (index, (label, replicas)) in (0..).zip(placements) {
        let placed = replicas.iter().zip(0_i32..);
        let placed: Vec<_> =
            placed.map(|(nodes, index)| value!({ partition_index: index, broker_ids: ids(nodes) })).collect();
        let topic = value!({
            name: run.name(&format!("placed{index}")), num_partitions: -1, replication_factor: -1, assignments: placed,
        });
        run.step(label, value!({ timeout_ms: 10_000, topics: [topic] })).await;
    }
}

pub(super) async fn partitions(run: &mut Run) {
    let topic = run.placed("a", &[&[1, 2]], &[]).await;
    for node in run.nodes() {
        run.at(node);
        let grow = |count: i32, assignments: Option<Vec<Value>>| {
            let topic = value!({ name: &topic.name, count: count, assignments: assignments });
            value!({ timeout_ms: 10_000, topics: [topic] })
        };
        let on = |nodes: &[i32]| value!({ broker_ids: ids(nodes) });
        run.step(&format!("one more, of node {node}"), grow(node + 1, None)).await;
        run.step(&format!("fewer, of node {node}"), grow(1, None)).await;
        for (label, assignments) in [
            ("another factor", vec![on(&[3])]),
            ("more than there are", vec![on(&[1, 2, 3])]),
            ("a node that is not there", vec![on(&[3, 4])]),
            ("a node twice", vec![on(&[3, 3])]),
            ("factors that differ", vec![on(&[3, 1]), on(&[2])]),
        ] {
            let count = node + 1 + i32::try_from(assignments.len()).expect("two at most");
            run.step(&format!("{label}, of node {node}"), grow(count, Some(assignments))).await;
        }
    }
}

pub(super) async fn delete(run: &mut Run) {
    for node in run.nodes() {
        let topic = run.placed(&format!("a{node}"), &[&[1, 2, 3]], &[]).await;
        run.at(node);
        let ask = |name: &str| value!({ timeout_ms: 10_000, topics: [{ name: name }], topic_names: [name] });
        run.step(&format!("a topic, of node {node}"), ask(&topic.name)).await;
        let gone = value!({ topics: [{ name: &topic.name }], allow_auto_topic_creation: false });
        run.until(api::METADATA, 12, gone, |answer| answer["topics"][0]["error_code"] == 3).await;
        run.step(&format!("it is gone, of node {node}"), ask(&topic.name)).await;
    }
}

pub(super) async fn describe_partitions(run: &mut Run) {
    let topic = run.placed("a", &[&[1, 2], &[3, 1], &[2, 3]], &[("min.insync.replicas", "2")]).await;
    for node in run.nodes() {
        run.at(node);
        let body = value!({ topics: [{ name: &topic.name }], response_partition_limit: 2, cursor: null });
        run.step(&format!("two of three, of node {node}"), body).await;
        let cursor = value!({ topic_name: &topic.name, partition_index: 2 });
        let body = value!({ topics: [{ name: &topic.name }], response_partition_limit: 2, cursor: cursor });
        run.step(&format!("the last one, of node {node}"), body).await;
    }
}

fn resource(kind: i8, name: &str, keys: &[&str]) -> Value {
    let keys: Vec<_> = keys.iter().map(|key| Value::from(*key)).collect();
    value!({ resource_type: kind, resource_name: name, configuration_keys: keys })
}

pub(super) async fn describe_configs(run: &mut Run) {
    let topic = run.placed("a", &[&[1, 2, 3]], &[("min.insync.replicas", "2")]).await;
    let keys = &["node.id", "broker.id", "broker.rack", "default.replication.factor", "min.insync.replicas"];
    for node in run.nodes() {
        run.at(node);
        let all: Vec<_> = ["1", "2", "3", "4", ""].iter().map(|name| resource(BROKER, name, keys)).collect();
        for resource in all {
            let label = format!("broker {:?}, of node {node}", resource["resource_name"].str());
            run.step(&label, value!({ resources: [resource], include_synonyms: true })).await;
        }
        let keys = &["min.insync.replicas", "retention.ms", "segment.bytes"];
        let body = value!({ resources: [resource(TOPIC, &topic.name, keys)], include_synonyms: true });
        run.step(&format!("a topic, of node {node}"), body).await;
    }
}

pub(super) async fn alter(run: &mut Run) {
    let pair = |name: &str, value: &str| value!({ name: name, value: value });
    let topic = run.placed("a", &[&[1, 2, 3]], &[]).await;
    for node in run.nodes() {
        run.at(node);
        for name in ["1", "2", "3", "4", ""] {
            let configs = vec![pair("log.retention.ms", "5000")];
            let resource = value!({ resource_type: BROKER, resource_name: name, configs: configs });
            let body = value!({ resources: [resource], validate_only: true });
            run.step(&format!("broker {name:?}, of node {node}"), body).await;
        }
        let configs = vec![pair("segment.ms", &format!("{node}000")), pair("retention.ms", "-1")];
        let resource = value!({ resource_type: TOPIC, resource_name: &topic.name, configs: configs });
        run.step(&format!("a topic, of node {node}"), value!({ resources: [resource] })).await;
        seen_by_all(run, &topic.name, &format!("{node}000")).await;
    }
}

pub(super) async fn incremental(run: &mut Run) {
    let set = |name: &str, value: Option<&str>| value!({ name: name, config_operation: i8::from(value.is_none()), value: value });
    let topic = run.placed("a", &[&[1, 2, 3]], &[]).await;
    for node in run.nodes() {
        run.at(node);
        for name in ["1", "2", "3", "4", ""] {
            let configs = vec![set("log.retention.ms", Some("5000"))];
            let resource = value!({ resource_type: BROKER, resource_name: name, configs: configs });
            let body = value!({ resources: [resource], validate_only: true });
            run.step(&format!("broker {name:?}, of node {node}"), body).await;
        }
        let configs = vec![set("segment.ms", Some(&format!("{node}000")))];
        let resource = value!({ resource_type: TOPIC, resource_name: &topic.name, configs: configs });
        run.step(&format!("a topic, of node {node}"), value!({ resources: [resource] })).await;
        seen_by_all(run, &topic.name, &format!("{node}000")).await;
    }
}

/// Waits until every node knows of a change that one of them was asked for.
async fn seen_by_all(run: &mut Run, topic: &str, expected: &str) {
    for node in run.nodes() {
        run.at(node);
        let body = value!({ resources: [resource(TOPIC, topic, &["segment.ms"])] });
        run.until(api::DESCRIBE_CONFIGS, 4, body, |answer| answer["results"][0]["configs"][0]["value"] == expected)
            .await;
    }
}

pub(super) async fn list_config_resources(run: &mut Run) {
    for node in run.nodes() {
        run.at(node);
        run.step(&format!("brokers, of node {node}"), value!({ resource_types: [BROKER] })).await;
        run.step(&format!("loggers, of node {node}"), value!({ resource_types: [8] })).await;
    }
}
