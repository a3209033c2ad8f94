//! What coordinators cannot write because fewer replicas are in sync than `min.insync.replicas`: it has not happened, and goes on
//! when the replicas are back. What is too large is in `tests/fidelity/groups_refused.rs`, on a real Kafka as well.

use mockbroker::MockBroker;
use system_tests::api::{
    ADD_PARTITIONS_TO_TXN, CONSUMER_GROUP_DESCRIBE, CONSUMER_GROUP_HEARTBEAT, DELETE_GROUPS, DESCRIBE_GROUPS,
    DESCRIBE_TRANSACTIONS, END_TXN, HEARTBEAT, INIT_PRODUCER_ID, JOIN_GROUP, LEAVE_GROUP, OFFSET_FETCH, SYNC_GROUP,
    TXN_OFFSET_COMMIT,
};
use system_tests::raw::{Raw, patiently};
use system_tests::value;
use system_tests::value::Value;

use super::loading::{ask, commits, on};

const COORDINATOR_NOT_AVAILABLE: i64 = 15;
const REBALANCE_IN_PROGRESS: i64 = 27;
const CONCURRENT_TRANSACTIONS: i64 = 51;
const MEMBER_ID_REQUIRED: i64 = 79;

/// A cluster that writes with two replicas in sync at least. Node 0 coordinates the group `g` and the transactional id `tx`.
async fn cluster() -> (MockBroker, Vec<Raw>) {
    let builder = MockBroker::builder().nodes(3).topic("t", 1).config("group.initial.rebalance.delay.ms", "0");
    on(builder.config("min.insync.replicas", "2").start().await).await
}

fn crash_others(broker: &MockBroker) {
    broker.node(1).crash();
    broker.node(2).crash();
}

fn restart_others(broker: &MockBroker) {
    broker.node(1).restart();
    broker.node(2).restart();
}

fn top(answer: &Value) -> i64 {
    answer["error_code"].int()
}

fn join(member_id: &str) -> Value {
    value!({ group_id: "g", session_timeout_ms: 30_000, rebalance_timeout_ms: 30_000, member_id: member_id,
        protocol_type: "test", protocols: [{ name: "p", metadata: "m".as_bytes() }] })
}

fn sync(member_id: &str, generation: i64) -> Value {
    value!({ group_id: "g", generation_id: generation, member_id: member_id, protocol_type: "test", protocol_name: "p",
        assignments: [{ member_id: member_id, assignment: "all".as_bytes() }] })
}

fn beat(member_id: &str, generation: i64) -> Value {
    value!({ group_id: "g", generation_id: generation, member_id: member_id })
}

async fn committed(node: &mut Raw) -> i64 {
    let fetch = value!({ groups: [{ group_id: "g", topics: [{ name: "t", partition_indexes: [0] }] }] });
    let fetched = ask(node, (OFFSET_FETCH, 8), fetch).await;
    fetched["groups"][0]["topics"][0]["partitions"][0]["committed_offset"].int()
}

async fn state(node: &mut Raw) -> (String, usize) {
    let described = ask(node, (DESCRIBE_GROUPS, 5), value!({ groups: ["g"] })).await["groups"][0].clone();
    (described["group_state"].str().to_owned(), described["members"].array().len())
}

#[tokio::test]
async fn a_classic_group_of_a_partition_with_too_few_in_sync_is_not_written() {
    // Source: CoordinatorOperationExceptionHelper: NOT_ENOUGH_REPLICAS is COORDINATOR_NOT_AVAILABLE to clients.
    let (broker, mut nodes) = cluster().await;
    let node = &mut nodes[0];
    assert_eq!(commits(node, 7).await, 0);
    crash_others(&broker);
    assert_eq!(commits(node, 8).await, COORDINATOR_NOT_AVAILABLE);
    assert_eq!(committed(node).await, 7);
    // A join is not written, an assignment is.
    let told = ask(node, (JOIN_GROUP, 9), join("")).await;
    assert_eq!(top(&told), MEMBER_ID_REQUIRED);
    let id = told["member_id"].str().to_owned();
    assert_eq!(top(&ask(node, (JOIN_GROUP, 9), join(&id)).await), 0);
    assert_eq!(top(&ask(node, (SYNC_GROUP, 5), sync(&id, 1)).await), COORDINATOR_NOT_AVAILABLE);
    assert_eq!(top(&ask(node, (HEARTBEAT, 4), beat(&id, 1)).await), REBALANCE_IN_PROGRESS);
    assert_eq!(state(node).await, ("PreparingRebalance".to_owned(), 1));
    restart_others(&broker);
    assert_eq!(ask(node, (JOIN_GROUP, 9), join(&id)).await["generation_id"], 2);
    assert_eq!(top(&ask(node, (SYNC_GROUP, 5), sync(&id, 2)).await), 0);
    assert_eq!(top(&ask(node, (HEARTBEAT, 4), beat(&id, 2)).await), 0);
    // What it lets go of is gone, written or not.
    crash_others(&broker);
    let leave = value!({ group_id: "g", members: [{ member_id: &id }] });
    assert_eq!(top(&ask(node, (LEAVE_GROUP, 5), leave).await), COORDINATOR_NOT_AVAILABLE);
    assert_eq!(state(node).await, ("Empty".to_owned(), 0));
    let deleted = ask(node, (DELETE_GROUPS, 2), value!({ groups_names: ["g"] })).await;
    assert_eq!(deleted["results"][0]["error_code"], COORDINATOR_NOT_AVAILABLE);
    assert_eq!(committed(node).await, 7, "it is not deleted");
    restart_others(&broker);
    let deleted = ask(node, (DELETE_GROUPS, 2), value!({ groups_names: ["g"] })).await;
    assert_eq!(deleted["results"][0]["error_code"], 0);
    assert_eq!(committed(node).await, -1);
}

#[tokio::test]
async fn a_new_group_that_cannot_be_written_is_not_there() {
    // GroupMetadataManager.classicGroupJoinToClassicGroup: isNewGroup.
    let (broker, mut nodes) = cluster().await;
    let node = &mut nodes[0];
    crash_others(&broker);
    let joined = ask(node, (JOIN_GROUP, 3), join("")).await;
    assert_eq!(top(&joined), COORDINATOR_NOT_AVAILABLE, "it would be in the group at once");
    assert_eq!(state(node).await, ("Dead".to_owned(), 0));
    restart_others(&broker);
    assert_eq!(top(&ask(node, (JOIN_GROUP, 3), join("")).await), 0);
}

#[tokio::test]
async fn a_member_of_a_consumer_group_that_cannot_be_written_changes_nothing() {
    let (broker, mut nodes) = cluster().await;
    let node = &mut nodes[0];
    let beat = |member: &str, epoch: i32| {
        let joins = epoch == 0;
        let names = if joins { value!(["t"]) } else { Value::Null };
        let owned = if joins { value!([]) } else { Value::Null };
        value!({ group_id: "g", member_id: member, member_epoch: epoch, instance_id: null, rack_id: null,
            rebalance_timeout_ms: if joins { 30_000 } else { -1 }, subscribed_topic_names: names,
            subscribed_topic_regex: null, server_assignor: null, topic_partitions: owned })
    };
    let describe = value!({ group_ids: ["g"], include_authorized_operations: false });
    crash_others(&broker);
    assert_eq!(top(&ask(node, (CONSUMER_GROUP_HEARTBEAT, 1), beat("a", 0)).await), COORDINATOR_NOT_AVAILABLE);
    let described = ask(node, (CONSUMER_GROUP_DESCRIBE, 1), describe.clone()).await["groups"][0].clone();
    assert_eq!(described["error_code"], 69, "{described:?}");
    restart_others(&broker);
    let joined = ask(node, (CONSUMER_GROUP_HEARTBEAT, 1), beat("a", 0)).await;
    assert_eq!(top(&joined), 0);
    let epoch = i32::try_from(joined["member_epoch"].int()).expect("an epoch has 32 bits");
    let before = ask(node, (CONSUMER_GROUP_DESCRIBE, 1), describe.clone()).await;
    crash_others(&broker);
    assert_eq!(top(&ask(node, (CONSUMER_GROUP_HEARTBEAT, 1), beat("b", 0)).await), COORDINATOR_NOT_AVAILABLE);
    assert_eq!(top(&ask(node, (CONSUMER_GROUP_HEARTBEAT, 1), beat("a", -1)).await), COORDINATOR_NOT_AVAILABLE);
    assert_eq!(
        top(&ask(node, (CONSUMER_GROUP_HEARTBEAT, 1), beat("a", epoch)).await),
        0,
        "what changes nothing is not written"
    );
    assert_eq!(ask(node, (CONSUMER_GROUP_DESCRIBE, 1), describe.clone()).await, before);
    restart_others(&broker);
    assert_eq!(top(&ask(node, (CONSUMER_GROUP_HEARTBEAT, 1), beat("b", 0)).await), 0);
    let described = ask(node, (CONSUMER_GROUP_DESCRIBE, 1), describe).await["groups"][0].clone();
    let members: Vec<_> = described["members"].array().iter().map(|it| it["member_id"].str().to_owned()).collect();
    assert_eq!(members, ["a", "b"]);
}

#[tokio::test]
async fn a_transaction_that_cannot_be_written_is_where_it_was_and_goes_on_later() {
    // Source: TransactionStateManager.appendTransactionToLog; transaction.state.log.min.isr is 2.
    let (broker, mut nodes) = cluster().await;
    let node = &mut nodes[0];
    let init = value!({ transactional_id: "tx", transaction_timeout_ms: 60_000, producer_id: -1, producer_epoch: -1 });
    let add = |producer: (i64, i64)| {
        value!({ v3_and_below_transactional_id: "tx", v3_and_below_producer_id: producer.0,
            v3_and_below_producer_epoch: producer.1, v3_and_below_topics: [{ name: "t", partitions: [0] }] })
    };
    let end = |producer: (i64, i64)| value!({ transactional_id: "tx", producer_id: producer.0, producer_epoch: producer.1, committed: true });
    let added = |answer: &Value| {
        answer["results_by_topic_v3_and_below"][0]["results_by_partition"][0]["partition_error_code"].int()
    };
    crash_others(&broker);
    assert_eq!(top(&ask(node, (INIT_PRODUCER_ID, 4), init.clone()).await), COORDINATOR_NOT_AVAILABLE);
    restart_others(&broker);
    let answer = ask(node, (INIT_PRODUCER_ID, 4), init).await;
    assert_eq!((top(&answer), answer["producer_epoch"].int()), (0, 0));
    let producer = (answer["producer_id"].int(), 0);
    crash_others(&broker);
    assert_eq!(added(&ask(node, (ADD_PARTITIONS_TO_TXN, 3), add(producer)).await), COORDINATOR_NOT_AVAILABLE);
    restart_others(&broker);
    assert_eq!(added(&ask(node, (ADD_PARTITIONS_TO_TXN, 3), add(producer)).await), 0);
    // An offset in the transaction is pending, or it is not.
    let offset = value!({ transactional_id: "tx", group_id: "g", producer_id: producer.0, producer_epoch: producer.1,
        generation_id: -1, member_id: "",
        topics: [{ name: "t", partitions: [{ partition_index: 0, committed_offset: 9, committed_leader_epoch: -1 }] }] });
    let taken = |answer: &Value| answer["topics"][0]["partitions"][0]["error_code"].int();
    assert_eq!(taken(&ask(node, (TXN_OFFSET_COMMIT, 5), offset.clone()).await), 0);
    crash_others(&broker);
    assert_eq!(taken(&ask(node, (TXN_OFFSET_COMMIT, 5), offset).await), COORDINATOR_NOT_AVAILABLE);
    assert_eq!(top(&ask(node, (END_TXN, 4), end(producer)).await), COORDINATOR_NOT_AVAILABLE);
    let describe = value!({ transactional_ids: ["tx"] });
    let described = ask(node, (DESCRIBE_TRANSACTIONS, 0), describe).await;
    assert_eq!(described["transaction_states"][0]["transaction_state"], "Ongoing");
    restart_others(&broker);
    assert_eq!(top(&ask(node, (END_TXN, 4), end(producer)).await), 0);
    let ended = async { while top(&ask(node, (END_TXN, 4), end(producer)).await) == CONCURRENT_TRANSACTIONS {} };
    patiently("the markers to be written", ended).await;
    assert_eq!(committed(node).await, 9, "what was pending before the refusal");
}

#[tokio::test]
async fn a_marker_waits_for_replicas_and_so_does_the_end_of_its_transaction() {
    let (broker, mut nodes) = cluster().await;
    let node = &mut nodes[0];
    let init = value!({ transactional_id: "tx", transaction_timeout_ms: 60_000, producer_id: -1, producer_epoch: -1 });
    let answer = ask(node, (INIT_PRODUCER_ID, 4), init).await;
    let producer = (answer["producer_id"].int(), answer["producer_epoch"].int());
    let add = value!({ v3_and_below_transactional_id: "tx", v3_and_below_producer_id: producer.0,
        v3_and_below_producer_epoch: producer.1, v3_and_below_topics: [{ name: "t", partitions: [0] }] });
    ask(node, (ADD_PARTITIONS_TO_TXN, 3), add).await;
    let held = broker.hold_markers();
    let end = value!({ transactional_id: "tx", producer_id: producer.0, producer_epoch: producer.1, committed: true });
    assert_eq!(top(&ask(node, (END_TXN, 4), end.clone()).await), 0);
    held.wait(2).await;
    assert!(held.release_next().is_some_and(|step| step.partition.is_some()), "the marker");
    crash_others(&broker);
    held.release_next();
    assert_eq!(held.pending().len(), 1, "the completion cannot be written");
    assert_eq!(top(&ask(node, (END_TXN, 4), end.clone()).await), CONCURRENT_TRANSACTIONS);
    restart_others(&broker);
    drop(held);
    let ended = async { while top(&ask(node, (END_TXN, 4), end.clone()).await) != 0 {} };
    patiently("the completion", ended).await;
}
