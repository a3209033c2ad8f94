//! ElectLeaders, AlterPartitionReassignments, ListPartitionReassignments on three nodes: leaders that really move, and what
//! metadata says afterwards. What those see who read and write meanwhile is in target `leaders`.

use crate::judge::{Run, Topic};
use crate::{Value, api, value};

fn numbers(numbers: &[i32]) -> Vec<Value> {
    numbers.iter().map(|number| Value::from(*number)).collect()
}

fn elect(topic: &Topic, election_type: i8) -> Value {
    value!({
        election_type: election_type, topic_partitions: [{ topic: &topic.name, partitions: [0] }], timeout_ms: 10_000,
    })
}

fn to(topic: &Topic, replicas: Option<&[i32]>, allow: bool) -> Value {
    let partition = value!({ partition_index: 0, replicas: replicas.map(numbers) });
    value!({
        topics: [{ name: &topic.name, partitions: [partition] }], timeout_ms: 10_000,
        allow_replication_factor_change: allow,
    })
}

/// Waits until every node says that the partition has these replicas, all in sync, and this leader and epoch.
async fn settle(run: &mut Run, topic: &Topic, replicas: &[i32], leader: i32, epoch: i32) {
    let body = value!({ topics: [{ name: &topic.name }], allow_auto_topic_creation: false });
    let expected = Value::Array(numbers(replicas));
    for node in run.nodes() {
        run.at(node);
        run.until(api::METADATA, 12, body.clone(), |answer| {
            let partition = &answer["topics"][0]["partitions"][0];
            partition["replica_nodes"] == expected
                && partition["isr_nodes"].array().len() == replicas.len()
                && partition["leader_id"] == leader
                && partition["leader_epoch"] == epoch
        })
        .await;
    }
    run.at(1);
}

pub(super) async fn elections(run: &mut Run) {
    let topic = run.placed("a", &[&[1, 2, 3]], &[]).await;
    run.step("the preferred one leads", elect(&topic, 0)).await;
    run.ask(api::ALTER_PARTITION_REASSIGNMENTS, 1, to(&topic, Some(&[2, 3, 1]), true)).await;
    settle(run, &topic, &[2, 3, 1], 1, 0).await;
    run.at(3);
    if run.version >= 1 {
        run.step("nothing unclean to do", elect(&topic, 1)).await;
    }
    run.step("another is preferred", elect(&topic, 0)).await;
    settle(run, &topic, &[2, 3, 1], 2, 1).await;
    run.step("it leads now", elect(&topic, 0)).await;
    run.ask(api::ALTER_PARTITION_REASSIGNMENTS, 1, to(&topic, Some(&[3, 1, 2]), true)).await;
    settle(run, &topic, &[3, 1, 2], 2, 1).await;
    let all = value!({ election_type: 0, topic_partitions: null, timeout_ms: 10_000 });
    let told = run.ask(api::ELECT_LEADERS, 2, all).await;
    assert_eq!(told["error_code"], 0, "{told:?}");
    settle(run, &topic, &[3, 1, 2], 3, 2).await;
}

pub(super) async fn reassignments(run: &mut Run) {
    let topic = run.placed("a", &[&[1]], &[]).await;
    run.step("to another node", to(&topic, Some(&[2]), true)).await;
    settle(run, &topic, &[2], 2, 1).await;
    run.step("to two", to(&topic, Some(&[3, 2]), true)).await;
    settle(run, &topic, &[3, 2], 2, 1).await;
    run.step("in another order", to(&topic, Some(&[2, 3]), true)).await;
    settle(run, &topic, &[2, 3], 2, 1).await;
    run.step("nothing to take back", to(&topic, None, true)).await;
    run.step("an unknown node beside", to(&topic, Some(&[2, 9]), true)).await;
    if run.version >= 1 {
        run.step("to more than may be", to(&topic, Some(&[1, 2, 3]), false)).await;
        run.step("to less than may be", to(&topic, Some(&[1]), false)).await;
        run.step("to as many", to(&topic, Some(&[2, 1]), false)).await;
        settle(run, &topic, &[2, 1], 2, 2).await;
    }
    run.at(3);
    run.step("to one again", to(&topic, Some(&[3]), true)).await;
    settle(run, &topic, &[3], 3, if run.version >= 1 { 3 } else { 2 }).await;
}

pub(super) async fn list(run: &mut Run) {
    let topic = run.placed("a", &[&[1]], &[]).await;
    run.ask(api::ALTER_PARTITION_REASSIGNMENTS, 1, to(&topic, Some(&[2]), true)).await;
    settle(run, &topic, &[2], 2, 1).await;
    for node in run.nodes() {
        run.at(node);
        run.step(&format!("none is moving, of node {node}"), value!({ topics: null, timeout_ms: 10_000 })).await;
    }
}

pub(super) async fn log_dirs(run: &mut Run) {
    let topic = run.placed("a", &[&[1, 2], &[2, 3], &[3, 1], &[2, 1]], &[]).await;
    for (node, replicas) in [(1, 3), (2, 3), (3, 2)] {
        run.at(node);
        let body = value!({ topics: [{ topic: &topic.name, partitions: [0, 1, 2, 3] }] });
        // A follower has its log a moment after the leader.
        run.until(api::DESCRIBE_LOG_DIRS, 4, body.clone(), |answer| {
            let topics = answer["results"][0]["topics"].array();
            topics.first().is_some_and(|topic| topic["partitions"].array().len() == replicas)
        })
        .await;
        run.step(&format!("node {node}"), body).await;
    }
}

pub(super) async fn moves(run: &mut Run) {
    let topic = run.placed("a", &[&[1], &[2], &[3]], &[]).await;
    for node in run.nodes() {
        run.at(node);
        let told = run.ask(api::DESCRIBE_LOG_DIRS, 4, value!({ topics: [] })).await;
        let here = told["results"][0]["log_dir"].str().to_owned();
        let body = value!({ dirs: [{ path: here, topics: [{ name: &topic.name, partitions: [0, 1, 2] }] }] });
        run.step(&format!("node {node}"), body).await;
    }
}

pub(super) async fn producers(run: &mut Run) {
    let topic = run.placed("a", &[&[1], &[2], &[3]], &[]).await;
    for node in run.nodes() {
        run.at(node);
        let body = value!({ topics: [{ name: &topic.name, partition_indexes: [0, 1, 2] }] });
        run.step(&format!("node {node}"), body).await;
    }
}
