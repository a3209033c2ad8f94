//! The group APIs, asked of the node that coordinates the group and of two that do not.

use crate::judge::Run;
use crate::scenarios::members::Member;
use crate::scenarios::nodes::internal_topics;
use crate::{Value, api, value};

/// A group that nobody is in, with a coordinator that serves it.
pub(super) async fn group(run: &mut Run) -> String {
    internal_topics(run).await;
    let group = run.name("group");
    let body = value!({ key: &group, key_type: 0 });
    let found = run.until(api::FIND_COORDINATOR, 3, body, |answer| answer["error_code"] == 0).await;
    run.at(i32::try_from(found["node_id"].int()).expect("a node id has 32 bits"));
    // Metadata is ahead of the coordinator, which reads its partition first.
    let body = value!({ group_id: &group, generation_id: 0, member_id: "stranger" });
    run.until(api::HEARTBEAT, 4, body, |answer| answer["error_code"] == 25).await;
    group
}

/// Asks each node the same.
pub(super) async fn of_all(run: &mut Run, label: &str, body: Value) {
    for node in run.nodes() {
        run.at(node);
        run.step(&format!("{label}, of node {node}"), body.clone()).await;
    }
}

/// What a client without a membership commits.
fn commit(group: &str, topic: &str) -> Value {
    let partition = value!({
        partition_index: 0, committed_offset: 7, committed_leader_epoch: -1, committed_metadata: "judged",
    });
    value!({
        group_id: group, generation_id_or_member_epoch: -1, member_id: "", retention_time_ms: -1,
        topics: [{ name: topic, partitions: [partition] }],
    })
}

/// Commits as `commit` says, where that is taken, and goes on with that node.
async fn committed(run: &mut Run, group: &str, topic: &str) {
    run.until(api::OFFSET_COMMIT, 9, commit(group, topic), |answer| {
        answer["topics"][0]["partitions"][0]["error_code"] == 0
    })
    .await;
}

/// Deletes the group, wherever it is.
async fn delete(run: &mut Run, group: &str) {
    for node in run.nodes() {
        run.at(node);
        run.ask(api::DELETE_GROUPS, 2, value!({ groups_names: [group] })).await;
    }
}

pub(super) async fn join(run: &mut Run) {
    let stranger = Member { member_id: "stranger".to_owned(), ..Member::new(&group(run).await) };
    of_all(run, "a stranger", stranger.join()).await;
    of_all(run, "a bad timeout", Member { session_timeout_ms: 1, ..stranger.clone() }.join()).await;
    of_all(run, "no group id", Member { group_id: String::new(), ..stranger }.join()).await;
}

pub(super) async fn sync(run: &mut Run) {
    let stranger = Member { member_id: "stranger".to_owned(), ..Member::new(&group(run).await) };
    of_all(run, "a stranger", stranger.sync(&[])).await;
}

pub(super) async fn heartbeat(run: &mut Run) {
    let group = group(run).await;
    of_all(run, "a stranger", value!({ group_id: group, generation_id: 1, member_id: "stranger" })).await;
}

pub(super) async fn leave(run: &mut Run) {
    let group = group(run).await;
    let members = value!([{ member_id: "stranger" }, { member_id: "", group_instance_id: "instance" }]);
    of_all(run, "strangers", value!({ group_id: group, member_id: "stranger", members: members })).await;
}

pub(super) async fn commits(run: &mut Run) {
    let group = group(run).await;
    let topic = run.placed("a", &[&[1]], &[]).await;
    of_all(run, "of nobody", commit(&group, &topic.name)).await;
    of_all(run, "an unknown topic", commit(&group, &run.name("nowhere"))).await;
    delete(run, &group).await;
}

pub(super) async fn fetches(run: &mut Run) {
    let group = group(run).await;
    let topic = run.placed("a", &[&[1]], &[]).await;
    committed(run, &group, &topic.name).await;
    let topics = value!([{ name: &topic.name, partition_indexes: [0] }]);
    let one = value!({
        group_id: &group, topics: topics.clone(), groups: [{ group_id: &group, member_epoch: -1, topics: topics }],
    });
    of_all(run, "a partition", one).await;
    if run.version >= 2 {
        let all = value!({
            group_id: &group, topics: null, groups: [{ group_id: &group, member_epoch: -1, topics: null }],
        });
        of_all(run, "all", all).await;
    }
    delete(run, &group).await;
}

pub(super) async fn describes(run: &mut Run) {
    let group = group(run).await;
    let topic = run.placed("a", &[&[1]], &[]).await;
    committed(run, &group, &topic.name).await;
    of_all(run, "a group", value!({ groups: [&*group] })).await;
    delete(run, &group).await;
}

pub(super) async fn lists(run: &mut Run) {
    let group = group(run).await;
    let topic = run.placed("a", &[&[1]], &[]).await;
    committed(run, &group, &topic.name).await;
    of_all(run, "all", value!({})).await;
    delete(run, &group).await;
}

pub(super) async fn deletes(run: &mut Run) {
    let group = group(run).await;
    let topic = run.placed("a", &[&[1]], &[]).await;
    committed(run, &group, &topic.name).await;
    of_all(run, "a group", value!({ groups_names: [&*group] })).await;
}

pub(super) async fn offset_deletes(run: &mut Run) {
    let group = group(run).await;
    let topic = run.placed("a", &[&[1]], &[]).await;
    committed(run, &group, &topic.name).await;
    let topics = value!([{ name: &topic.name, partitions: [{ partition_index: 0 }] }]);
    of_all(run, "an offset", value!({ group_id: &group, topics: topics })).await;
    delete(run, &group).await;
}
