//! What depends on the node that is asked: who leads, who coordinates, who is there. On three nodes.

use uuid::Uuid;

use crate::batch::Batch;
use crate::judge::{Run, Topic};
use crate::{Value, api, value};

/// A partition alone on each node.
const ALONE: &[&[i32]] = &[&[1], &[2], &[3]];

/// A partition on all nodes, which the second of them leads.
const SHARED: &[&[i32]] = &[&[2, 3, 1]];

/// An internal topic of five partitions, so that the coordinators are where they are.
const INTERNAL: &[&[i32]] = &[&[1, 2, 3], &[2, 3, 1], &[3, 1, 2], &[1, 3, 2], &[2, 1, 3]];

pub(super) async fn api_versions(run: &mut Run) {
    for node in run.nodes() {
        run.at(node);
        run.step(&format!("node {node}"), value!({ client_software_name: "judge", client_software_version: "1" }))
            .await;
    }
}

pub(super) async fn metadata(run: &mut Run) {
    let alone = run.placed("a", ALONE, &[]).await;
    let other = run.placed("b", &[&[3, 2]], &[]).await;
    for node in run.nodes() {
        run.at(node);
        let names = value!([{ name: &other.name }, { name: &alone.name }]);
        let body = value!({ topics: names, allow_auto_topic_creation: false });
        run.step(&format!("two topics, of node {node}"), body).await;
        if run.version >= 4 {
            let body = value!({ topics: [{ name: run.name("nowhere") }], allow_auto_topic_creation: false });
            run.step(&format!("an unknown topic, of node {node}"), body).await;
        }
        if run.version >= 10 {
            let ids = value!([{ name: null, topic_id: alone.id }, { name: null, topic_id: Uuid::from_u128(77) }]);
            let body = value!({ topics: ids, allow_auto_topic_creation: false });
            run.step(&format!("by id, of node {node}"), body).await;
        }
    }
}

pub(super) async fn describe(run: &mut Run) {
    for node in run.nodes() {
        run.at(node);
        run.step(&format!("node {node}"), value!({ endpoint_type: 1 })).await;
        if run.version >= 1 {
            run.step(&format!("controllers, of node {node}"), value!({ endpoint_type: 2 })).await;
        }
        if run.version >= 2 {
            let body = value!({ endpoint_type: 1, include_fenced_brokers: true });
            run.step(&format!("fenced ones as well, of node {node}"), body).await;
        }
    }
}

/// The two topics.
async fn topics(run: &mut Run) -> [Topic; 2] {
    [run.placed("alone", ALONE, &[]).await, run.placed("shared", SHARED, &[]).await]
}

/// Every partition of the two topics: the name of its topic, the topic, its number.
fn partitions(topics: &[Topic; 2]) -> impl Iterator<Item = (&'static str, &Topic, i32)> {
    let [alone, shared] = topics;
    [("alone", alone, 0), ("alone", alone, 1), ("alone", alone, 2), ("shared", shared, 0)].into_iter()
}

fn write(acks: i16, topics: &[(&Topic, &[i32])]) -> Value {
    let data = |index: &i32| value!({ index: *index, records: Batch::of(["v"]).encode() });
    let topics = topics.iter().map(|(topic, indices)| {
        let partitions: Vec<_> = indices.iter().map(data).collect();
        value!({ name: &topic.name, topic_id: topic.id, partition_data: partitions })
    });
    value!({ acks: acks, timeout_ms: 10_000, topic_data: topics.collect::<Vec<_>>() })
}

pub(super) async fn produce(run: &mut Run) {
    let both = topics(run).await;
    let [alone, shared] = &both;
    let strict = run.placed("strict", &[&[1, 2]], &[("min.insync.replicas", "3")]).await;
    for node in run.nodes() {
        run.at(node);
        for (name, topic, index) in partitions(&both) {
            run.step(&format!("{name} {index}, of node {node}"), write(-1, &[(topic, &[index])])).await;
        }
        let all: &[(&Topic, &[i32])] = &[(alone, &[0, 1, 2]), (shared, &[0])];
        run.step(&format!("all, of node {node}"), write(1, all)).await;
    }
    run.at(1);
    run.step("a partition that is not there", write(1, &[(alone, &[3])])).await;
    run.step("one that is led and one that is not there", write(1, &[(alone, &[0, 3])])).await;
    for acks in [-1, 1] {
        run.step(&format!("too few in sync, acks {acks}"), write(acks, &[(&strict, &[0])])).await;
    }
    run.step_unanswered("acks 0", write(0, &[(alone, &[0])])).await;
    run.step_unanswered("acks 0, of a node that does not lead", write(0, &[(alone, &[1])])).await;
}

fn read(topics: &[(&Topic, Vec<Value>)]) -> Value {
    let topics = topics
        .iter()
        .map(|(topic, partitions)| value!({ topic: &topic.name, topic_id: topic.id, partitions: partitions.clone() }));
    let topics: Vec<_> = topics.collect();
    value!({ max_wait_ms: 0, min_bytes: 0, max_bytes: 1_000_000, session_epoch: -1, topics: topics })
}

fn from(index: i32, offset: i64, epoch: i32) -> Value {
    value!({
        partition: index, fetch_offset: offset, partition_max_bytes: 1_000_000, current_leader_epoch: epoch,
    })
}

pub(super) async fn fetch(run: &mut Run) {
    let both = topics(run).await;
    let [alone, shared] = &both;
    for (_, topic, index) in partitions(&both) {
        run.append(topic, index, &Batch::of(["x", "y"])).await;
    }
    // A follower hears of the high watermark with the fetch after the one that brought the records (KIP-392).
    for node in [1, 3] {
        run.at(node);
        run.until(api::FETCH, 12, read(&[(shared, vec![from(0, 0, -1)])]), |answer| {
            answer["responses"][0]["partitions"][0]["high_watermark"] == 2
        })
        .await;
    }
    for node in run.nodes() {
        run.at(node);
        for (name, topic, index) in partitions(&both) {
            run.step(&format!("{name} {index}, of node {node}"), read(&[(topic, vec![from(index, 0, -1)])])).await;
            for epoch in [0, 1] {
                let body = read(&[(topic, vec![from(index, 0, epoch)])]);
                run.step(&format!("{name} {index} at leader epoch {epoch}, of node {node}"), body).await;
            }
            let body = read(&[(topic, vec![from(index, 3, -1)])]);
            run.step(&format!("{name} {index} outside of the log, of node {node}"), body).await;
        }
        let all = (0..4).map(|index| from(index, 1, -1)).collect();
        run.step(&format!("all, of node {node}"), read(&[(alone, all), (shared, vec![from(0, 1, -1)])])).await;
    }
}

pub(super) async fn list_offsets(run: &mut Run) {
    let both = topics(run).await;
    let [alone, shared] = &both;
    run.append(shared, 0, &Batch::of(["x", "y"])).await;
    let ask = |topic: &Topic, index: i32, timestamp: i64, epoch: i32| {
        let partition = value!({ partition_index: index, timestamp: timestamp, current_leader_epoch: epoch });
        value!({ replica_id: -1, timeout_ms: 10_000, topics: [{ name: &topic.name, partitions: [partition] }] })
    };
    for node in run.nodes() {
        run.at(node);
        for (name, topic, index) in partitions(&both) {
            for timestamp in [-1, -2, 1_600_000_000_000] {
                let label = format!("{name} {index} at {timestamp}, of node {node}");
                run.step(&label, ask(topic, index, timestamp, -1)).await;
            }
            for epoch in [0, 1] {
                let label = format!("{name} {index} at leader epoch {epoch}, of node {node}");
                run.step(&label, ask(topic, index, -1, epoch)).await;
            }
        }
        run.step(&format!("a partition that is not there, of node {node}"), ask(alone, 3, -1, -1)).await;
    }
}

pub(super) async fn leader_epoch(run: &mut Run) {
    let both = topics(run).await;
    let [alone, shared] = &both;
    run.append(shared, 0, &Batch::of(["x"])).await;
    let of = |topic: &Topic, indices: &[i32], current: i32| {
        let partitions = indices
            .iter()
            .map(|index| value!({ partition: *index, current_leader_epoch: current, leader_epoch: 0 }))
            .collect::<Vec<_>>();
        value!({ topic: &topic.name, partitions: partitions })
    };
    for node in run.nodes() {
        run.at(node);
        let body = value!({ replica_id: -1, topics: [of(shared, &[0], -1), of(alone, &[2, 0, 3, 1], -1)] });
        run.step(&format!("all, of node {node}"), body).await;
        for epoch in [0, 1] {
            let body = value!({ replica_id: -1, topics: [of(shared, &[0], epoch)] });
            run.step(&format!("current epoch {epoch}, of node {node}"), body).await;
        }
    }
}

pub(super) async fn delete_records(run: &mut Run) {
    let both = topics(run).await;
    for (_, topic, index) in partitions(&both) {
        run.append(topic, index, &Batch::of(["x", "y"])).await;
    }
    let of = |topic: &Topic, indices: &[i32]| {
        let partitions: Vec<_> = indices.iter().map(|index| value!({ partition_index: *index, offset: 1 })).collect();
        value!({ name: &topic.name, partitions: partitions })
    };
    let [alone, shared] = &both;
    for node in run.nodes() {
        run.at(node);
        let body = value!({ timeout_ms: 10_000, topics: [of(alone, &[0, 1, 2, 3]), of(shared, &[0])] });
        run.step(&format!("all, of node {node}"), body).await;
    }
}

pub(super) async fn producer_ids(run: &mut Run) {
    let body = value!({ transactional_id: null, transaction_timeout_ms: 60_000, producer_id: -1, producer_epoch: -1 });
    for node in run.nodes() {
        run.at(node);
        // The first of a node may have to wait for its block.
        run.producer_id().await;
        run.step(&format!("an id, of node {node}"), body.clone()).await;
        run.step(&format!("another, of node {node}"), body.clone()).await;
    }
}

/// Makes the topics whose leaders coordinate, where this is known; Kafka would spread them by chance. They stay.
pub(super) async fn internal_topics(run: &mut Run) {
    for name in ["__consumer_offsets", "__transaction_state"] {
        let compact = vec![value!({ name: "cleanup.policy", value: "compact" })];
        run.create(name, INTERNAL, compact).await;
    }
    for node in run.nodes() {
        run.at(node);
        for key_type in [0_i8, 1] {
            for key in ["a", "b", "c", "d", "e"] {
                let body = value!({ key: key, key_type: key_type });
                run.until(api::FIND_COORDINATOR, 3, body, |answer| answer["error_code"] == 0).await;
            }
        }
    }
}

pub(super) async fn coordinators(run: &mut Run) {
    internal_topics(run).await;
    for node in run.nodes() {
        run.at(node);
        for key_type in [0_i8, 1] {
            if run.version >= 4 {
                let keys = value!(["a", "b", "c", "d", "e", "group", ""]);
                let body = value!({ key_type: key_type, coordinator_keys: keys });
                run.step(&format!("key type {key_type}, of node {node}"), body).await;
            } else {
                for key in ["a", "b", "c", "group"] {
                    let body = value!({ key: key, key_type: key_type });
                    run.step(&format!("key {key} of type {key_type}, of node {node}"), body).await;
                }
            }
        }
    }
}
