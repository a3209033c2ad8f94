//! The APIs of transactions, and those of consumer groups, asked of the node that coordinates and of two that do not.

use super::groups_of_nodes::{group, of_all};
use super::nodes::internal_topics;
use super::transactions::{Producer, add_body, complete, end_body, init_body, producer};
use crate::judge::Run;
use crate::{api, value};

/// A producer with a transactional id, and the node that coordinates it, which is asked next.
async fn coordinated(run: &mut Run) -> (Producer, i32) {
    internal_topics(run).await;
    let body = value!({ key: run.name("a"), key_type: 1 });
    let found = run.until(api::FIND_COORDINATOR, 3, body, |answer| answer["error_code"] == 0).await;
    let node = i32::try_from(found["node_id"].int()).expect("a node id has 32 bits");
    run.at(node);
    (producer(run, "a").await, node)
}

pub(super) async fn init(run: &mut Run) {
    let (producer, _) = coordinated(run).await;
    of_all(run, "again", init_body(&producer.transactional_id, 60_000, None)).await;
    of_all(run, "a timeout of 0", init_body(&producer.transactional_id, 0, None)).await;
    of_all(run, "no name", init_body("", 60_000, None)).await;
}

pub(super) async fn adds(run: &mut Run) {
    let (producer, node) = coordinated(run).await;
    let topic = run.placed("t", &[&[1]], &[]).await;
    of_all(run, "a partition", add_body(&producer, &[(&topic.name, &[0])], false)).await;
    of_all(run, "an unknown partition", add_body(&producer, &[(&topic.name, &[7])], false)).await;
    abort(run, &producer, node).await;
}

pub(super) async fn add_offsets(run: &mut Run) {
    let (producer, node) = coordinated(run).await;
    let group = group(run).await;
    let body = value!({
        transactional_id: &producer.transactional_id, producer_id: producer.id, producer_epoch: producer.epoch,
        group_id: group,
    });
    of_all(run, "a group", body).await;
    abort(run, &producer, node).await;
}

pub(super) async fn ends(run: &mut Run) {
    let (producer, _) = coordinated(run).await;
    of_all(run, "of nothing", end_body(&producer, true)).await;
}

pub(super) async fn offset_commits(run: &mut Run) {
    let (producer, node) = coordinated(run).await;
    let topic = run.placed("t", &[&[1]], &[]).await;
    let group = group(run).await;
    let partition =
        value!({ partition_index: 0, committed_offset: 3, committed_leader_epoch: 0, committed_metadata: "" });
    let body = value!({
        transactional_id: &producer.transactional_id, group_id: group, producer_id: producer.id,
        producer_epoch: producer.epoch, generation_id: -1, member_id: "",
        topics: [{ name: &topic.name, partitions: [partition] }],
    });
    of_all(run, "an offset", body).await;
    abort(run, &producer, node).await;
}

pub(super) async fn describes(run: &mut Run) {
    let (producer, _) = coordinated(run).await;
    of_all(run, "empty", value!({ transactional_ids: [&*producer.transactional_id, ""] })).await;
}

pub(super) async fn lists(run: &mut Run) {
    let (producer, _) = coordinated(run).await;
    let body = value!({
        state_filters: [], producer_id_filters: [producer.id], duration_filter: -1, transactional_id_pattern: null,
    });
    of_all(run, "by producer", body).await;
}

pub(super) async fn beats(run: &mut Run) {
    let group = group(run).await;
    let stranger = value!({
        group_id: group, member_id: "stranger", member_epoch: 5, instance_id: null, rack_id: null,
        rebalance_timeout_ms: -1, subscribed_topic_names: null, subscribed_topic_regex: null, server_assignor: null,
        topic_partitions: null,
    });
    of_all(run, "a stranger", stranger).await;
}

pub(super) async fn described_groups(run: &mut Run) {
    let group = group(run).await;
    of_all(run, "no group", value!({ group_ids: [&*group, ""], include_authorized_operations: false })).await;
}

/// Ends what is open, if anything is, so that nothing stays.
async fn abort(run: &mut Run, producer: &Producer, node: i32) {
    run.at(node);
    run.ask(api::END_TXN, 4, end_body(producer, false)).await;
    complete(run, &producer.transactional_id).await;
}
