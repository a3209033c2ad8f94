//! Coordinators that begin their work: what they answer before they have read what they lead.

use std::time::Duration;

use async_kafka::{Kafka, OffsetReset, Record};
use mockbroker::{MockBroker, NodeId};
use system_tests::api::{
    CONSUMER_GROUP_HEARTBEAT, DELETE_GROUPS, DESCRIBE_GROUPS, DESCRIBE_TRANSACTIONS, END_TXN, FIND_COORDINATOR,
    HEARTBEAT, INIT_PRODUCER_ID, JOIN_GROUP, LEAVE_GROUP, LIST_GROUPS, LIST_TRANSACTIONS, OFFSET_COMMIT, OFFSET_DELETE,
    OFFSET_FETCH, PRODUCE, SYNC_GROUP, TXN_OFFSET_COMMIT,
};
use system_tests::batch::Batch;
use system_tests::judge::run::fitting;
use system_tests::raw::{Raw, patiently};
use system_tests::value;
use system_tests::value::Value;

const LOAD_IN_PROGRESS: i64 = 14;
const COORDINATOR_NOT_AVAILABLE: i64 = 15;
const NOT_ENOUGH_REPLICAS: i64 = 19;
const LIMIT: Duration = Duration::from_secs(20);

/// Three nodes, a topic `t`, and a connection to each of them.
pub(super) async fn cluster() -> (MockBroker, Vec<Raw>) {
    let builder = MockBroker::builder().nodes(3).topic("t", 1).config("group.initial.rebalance.delay.ms", "0");
    on(builder.start().await).await
}

/// The same of a cluster that is there.
pub(super) async fn on(broker: MockBroker) -> (MockBroker, Vec<Raw>) {
    let mut nodes = Vec::new();
    for address in broker.bootstrap_servers().split(',') {
        nodes.push(Raw::connect(address).await);
    }
    for (key, key_type) in [("g", 0_i8), ("tx", 1)] {
        let body = value!({ key: key, key_type: key_type });
        assert_eq!(nodes[0].call(FIND_COORDINATOR, 3, body).await["error_code"], 0);
    }
    let held = broker.hold_loading();
    broker.move_group_coordinator("g", 0);
    broker.move_transaction_coordinator("tx", 0);
    held.release_all();
    drop(held);
    (broker, nodes)
}

pub(super) async fn ask(node: &mut Raw, api: (i16, i16), body: Value) -> Value {
    node.call(api.0, api.1, fitting(api.0, api.1, body)).await
}

fn commit(offset: i64) -> Value {
    value!({ group_id: "g", generation_id_or_member_epoch: -1, member_id: "",
        topics: [{ name: "t", partitions: [{ partition_index: 0, committed_offset: offset, committed_leader_epoch: -1 }] }] })
}

fn commit_in_transaction(producer: (i64, i64)) -> Value {
    value!({ transactional_id: "tx", group_id: "g", producer_id: producer.0, producer_epoch: producer.1,
        generation_id: -1, member_id: "",
        topics: [{ name: "t", partitions: [{ partition_index: 0, committed_offset: 1, committed_leader_epoch: -1 }] }] })
}

pub(super) fn committed(answer: &Value) -> i64 {
    answer["topics"][0]["partitions"][0]["error_code"].int()
}

pub(super) async fn commits(node: &mut Raw, offset: i64) -> i64 {
    committed(&ask(node, (OFFSET_COMMIT, 8), commit(offset)).await)
}

#[tokio::test]
async fn a_coordinator_of_groups_says_that_it_is_loading_until_it_has_read_its_log() {
    // Source: GroupCoordinatorService, CoordinatorRuntime.withActiveContextOrThrow.
    let (broker, mut nodes) = cluster().await;
    assert_eq!(commits(&mut nodes[0], 7).await, 0);
    let held = broker.hold_loading();
    broker.move_group_coordinator("g", 1);
    held.wait(1).await;
    let pending = held.pending();
    assert_eq!((pending.len(), &*pending[0].topic, pending[0].leader), (1, "__consumer_offsets", Some(NodeId(1))));
    assert_eq!(commits(&mut nodes[0], 8).await, 16, "it was");
    let found = nodes[2].call(FIND_COORDINATOR, 3, value!({ key: "g", key_type: 0 })).await;
    assert_eq!((found["error_code"].int(), found["node_id"].int()), (0, 1), "it is");
    let node = &mut nodes[1];
    let top = |answer: &Value| answer["error_code"].int();
    let join = value!({ group_id: "g", session_timeout_ms: 30_000, rebalance_timeout_ms: 30_000, member_id: "",
        protocol_type: "test", protocols: [{ name: "p", metadata: "m".as_bytes() }] });
    assert_eq!(top(&ask(node, (JOIN_GROUP, 9), join).await), LOAD_IN_PROGRESS);
    let sync =
        value!({ group_id: "g", generation_id: 1, member_id: "nobody", protocol_type: "test", protocol_name: "p" });
    assert_eq!(top(&ask(node, (SYNC_GROUP, 5), sync).await), LOAD_IN_PROGRESS);
    let beat = value!({ group_id: "g", generation_id: 1, member_id: "nobody" });
    assert_eq!(top(&ask(node, (HEARTBEAT, 4), beat).await), 0, "nobody knows better yet");
    let leave = value!({ group_id: "g", members: [{ member_id: "nobody" }] });
    assert_eq!(top(&ask(node, (LEAVE_GROUP, 5), leave).await), LOAD_IN_PROGRESS);
    let beat = value!({ group_id: "g", member_id: "m", member_epoch: 0, rebalance_timeout_ms: 1000,
        subscribed_topic_names: ["t"], topic_partitions: [] });
    assert_eq!(top(&ask(node, (CONSUMER_GROUP_HEARTBEAT, 1), beat).await), LOAD_IN_PROGRESS);
    assert_eq!(commits(node, 8).await, LOAD_IN_PROGRESS);
    let fetch = value!({ groups: [{ group_id: "g", topics: null }], require_stable: true });
    let fetched = ask(node, (OFFSET_FETCH, 8), fetch.clone()).await;
    assert_eq!(fetched["groups"][0]["error_code"], LOAD_IN_PROGRESS);
    let described = ask(node, (DESCRIBE_GROUPS, 5), value!({ groups: ["g"] })).await;
    assert_eq!(described["groups"][0]["error_code"], LOAD_IN_PROGRESS);
    let deleted = ask(node, (DELETE_GROUPS, 2), value!({ groups_names: ["g"] })).await;
    assert_eq!(deleted["results"][0]["error_code"], LOAD_IN_PROGRESS);
    let delete = value!({ group_id: "g", topics: [{ name: "t", partitions: [{ partition_index: 0 }] }] });
    assert_eq!(top(&ask(node, (OFFSET_DELETE, 0), delete).await), LOAD_IN_PROGRESS);
    assert_eq!(top(&ask(node, (LIST_GROUPS, 5), value!({})).await), LOAD_IN_PROGRESS, "of all that it may lead");
    assert_eq!(top(&ask(&mut nodes[2], (LIST_GROUPS, 5), value!({})).await), 0);

    assert_eq!(held.release_next(), Some(pending[0].clone()));
    assert_eq!((held.release_next(), held.release_all()), (None, 0));
    let fetched = ask(&mut nodes[1], (OFFSET_FETCH, 8), fetch).await;
    assert_eq!(fetched["groups"][0]["topics"][0]["partitions"][0]["committed_offset"], 7);
    assert_eq!(commits(&mut nodes[1], 8).await, 0);
}

#[tokio::test]
async fn a_coordinator_of_transactions_says_that_it_is_loading_until_it_has_read_its_log() {
    // Source: TransactionStateManager.getAndMaybeAddTransactionState, ReplicaManager.handleProduceAppend.
    let (broker, mut nodes) = cluster().await;
    let init = value!({ transactional_id: "tx", transaction_timeout_ms: 60_000, producer_id: -1, producer_epoch: -1 });
    let producer = ask(&mut nodes[0], (INIT_PRODUCER_ID, 4), init.clone()).await;
    let producer = (producer["producer_id"].int(), producer["producer_epoch"].int());
    let held = broker.hold_loading();
    broker.move_transaction_coordinator("tx", 1);
    held.wait(1).await;
    let node = &mut nodes[1];
    let top = |answer: &Value| answer["error_code"].int();
    assert_eq!(top(&ask(node, (INIT_PRODUCER_ID, 4), init.clone()).await), LOAD_IN_PROGRESS);
    let end = value!({ transactional_id: "tx", producer_id: producer.0, producer_epoch: producer.1, committed: true });
    assert_eq!(top(&ask(node, (END_TXN, 4), end).await), LOAD_IN_PROGRESS);
    let described = ask(node, (DESCRIBE_TRANSACTIONS, 0), value!({ transactional_ids: ["tx"] })).await;
    assert_eq!(described["transaction_states"][0]["error_code"], LOAD_IN_PROGRESS);
    assert_eq!(top(&ask(node, (LIST_TRANSACTIONS, 1), value!({ duration_filter: -1 })).await), LOAD_IN_PROGRESS);
    let listed = ask(&mut nodes[2], (LIST_TRANSACTIONS, 1), value!({ duration_filter: -1 })).await;
    assert_eq!(listed["error_code"], 0);
    // Whoever leads a partition asks the coordinator for the producer, and passes on that it cannot tell.
    let epoch = i16::try_from(producer.1).expect("an epoch has 16 bits");
    for version in [11, 12] {
        let records = Batch::of(["v"]).from_producer(producer.0, epoch, 0).transactional().encode();
        let body = value!({ transactional_id: "tx", acks: -1, timeout_ms: 1000,
            topic_data: [{ name: "t", partition_data: [{ index: 0, records: records }] }] });
        let mut codes = Vec::new();
        for node in &mut nodes {
            let answer = ask(node, (PRODUCE, version), body.clone()).await;
            codes.push(answer["responses"][0]["partition_responses"][0]["error_code"].int());
        }
        codes.sort_unstable();
        assert_eq!(codes, [6, 6, NOT_ENOUGH_REPLICAS], "v{version}");
    }
    // The group's coordinator has nothing to read, and passes it on as well.
    let answer = ask(&mut nodes[0], (TXN_OFFSET_COMMIT, 5), commit_in_transaction(producer)).await;
    assert_eq!(committed(&answer), LOAD_IN_PROGRESS);
    let answer = ask(&mut nodes[0], (TXN_OFFSET_COMMIT, 1), commit_in_transaction(producer)).await;
    assert_eq!(committed(&answer), COORDINATOR_NOT_AVAILABLE, "old producers might crash of the other (KAFKA-7296)");
    drop(held);
    let node = &mut nodes[1];
    let asked = async {
        loop {
            let answer = ask(node, (INIT_PRODUCER_ID, 4), init.clone()).await;
            if answer["error_code"] != LOAD_IN_PROGRESS {
                return answer;
            }
        }
    };
    let answer = patiently("the log to be read", asked).await;
    assert_eq!((answer["error_code"].int(), answer["producer_id"].int()), (0, producer.0));
}

#[tokio::test]
async fn a_consumer_waits_for_its_coordinator_to_load_and_goes_on() {
    let (broker, _nodes) = cluster().await;
    let kafka = Kafka::builder(broker.bootstrap_servers()).connect().await.expect("the mock answers");
    let consumer = kafka.consumer("g").topics(["t"]).auto_offset_reset(OffsetReset::Earliest);
    let consumer = consumer.heartbeat_interval(Duration::from_millis(50)).build().await.expect("valid settings");
    let producer = kafka.producer().build().await.expect("valid settings");
    producer.send(Record::to("t").value("a")).await.expect("acknowledged");
    let record = tokio::time::timeout(LIMIT, consumer.recv()).await.expect("in time").expect("no error").expect("open");
    let held = broker.hold_loading();
    broker.move_group_coordinator("g", 2);
    held.wait(1).await;
    let commit = consumer.commit_record(&record);
    let refused = async {
        broker.journal().offset_commit().failed_with(14).wait_for(1).await;
        held.release_all();
    };
    let (committed, ()) = tokio::time::timeout(LIMIT, async { tokio::join!(commit, refused) }).await.expect("in time");
    committed.expect("the coordinator has read its log");
    assert_eq!(broker.group("g").committed("t", 0), Some(1));
}
