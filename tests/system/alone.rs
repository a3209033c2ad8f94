//! Nodes that the others have given up and that do not know it: what they take, what they tell, and what is left of it when they
//! are heard of again. How it begins, and how it is on a real Kafka: `tests/leaders/isolated.rs`.

use std::time::Duration;

use async_kafka::{Acks, Kafka, Record};
use mockbroker::{Clock, MockBroker, MockBrokerBuilder, NodeId};
use system_tests::api::{
    CREATE_TOPICS, FETCH, FIND_COORDINATOR, HEARTBEAT, INIT_PRODUCER_ID, JOIN_GROUP, LIST_OFFSETS, METADATA,
    OFFSET_COMMIT, OFFSET_FETCH, PRODUCE, SYNC_GROUP,
};
use system_tests::judge::run::fitting;
use system_tests::raw::{Raw, patiently};
use system_tests::value;
use system_tests::value::Value;
use system_tests::world::eventually;

use super::loading::{ask, commits, committed, on};
use super::replicas::{World, fetch, produce, written};

const NOT_LEADER_OR_FOLLOWER: i64 = 6;
const REQUEST_TIMED_OUT: i64 = 7;
const COORDINATOR_NOT_AVAILABLE: i64 = 15;
const NOT_COORDINATOR: i64 = 16;
const FENCED_LEADER_EPOCH: i64 = 74;
/// `broker.session.timeout.ms`.
const SESSION: Duration = Duration::from_secs(9);

fn three_nodes() -> MockBrokerBuilder {
    let builder = MockBroker::builder().nodes(3).clock(Clock::manual()).topic("t", 1);
    builder.config("group.initial.rebalance.delay.ms", "0")
}

fn join(member_id: &str) -> Value {
    value!({ group_id: "g", session_timeout_ms: 300_000, rebalance_timeout_ms: 300_000, member_id: member_id,
        protocol_type: "test", protocols: [{ name: "p", metadata: "m".as_bytes() }] })
}

/// Sends `body`, and wants its answer after `length` and no sooner.
async fn after(broker: &MockBroker, node: &mut Raw, api: (i16, i16), body: Value, length: Duration) -> Value {
    let sent = node.send(api.0, api.1, fitting(api.0, api.1, body)).await;
    broker.advance(length - Duration::from_millis(1)).await;
    assert!(node.is_silent_for(Duration::from_millis(20)).await, "a millisecond is missing");
    broker.advance(Duration::from_millis(1)).await;
    node.receive(sent).await
}

#[tokio::test]
async fn a_leader_that_others_have_replaced_goes_on_and_loses_what_it_acknowledged() {
    // Source: Partition.makeFollower; KIP-101, KIP-320. What an acknowledgement by the leader alone is worth.
    let world = World::new(&[]).await;
    let (old, broker) = (world.leader, &world.broker);
    assert_eq!(world.write("a", -1).await, (0, 0));
    let isolated = broker.node(old).isolate();
    broker.advance(SESSION).await;
    let (leader, epoch, _) = world.told(world.others[0]).await;
    assert_eq!((leader == i64::from(old), epoch), (false, 1));

    assert_eq!(world.told(old).await, (i64::from(old), 0, vec![0, 1, 2]), "it has not heard of it");
    assert_eq!(world.write("lost", 1).await, (0, 1));
    let mut waits = world.on(old).await;
    let sent = world.begin_to_write(&mut waits, "lost, too").await;
    assert_eq!(world.read(0).await, (1, vec!["a".to_owned()]), "nobody else has them");
    let latest = value!({ replica_id: -1, topics: [{ name: "t", partitions: [{ timestamp: -1 }] }] });
    let end = world.on(old).await.call(LIST_OFFSETS, 5, latest).await["topics"][0]["partitions"][0].clone();
    assert_eq!((end["offset"].int(), end["leader_epoch"].int()), (1, 0));
    broker.advance(Duration::from_secs(20)).await;
    assert_eq!(written(&waits.receive(sent).await), (REQUEST_TIMED_OUT, 2));

    let mut new = world.on(i32::try_from(leader).expect("an id")).await;
    assert_eq!(written(&new.call(PRODUCE, 9, produce("b", -1)).await), (0, 1));
    isolated.heal();
    assert_eq!(world.told(old).await, (leader, 1, vec![0, 1, 2]));
    assert_eq!(world.write("c", 1).await.0, NOT_LEADER_OR_FOLLOWER);
    let values: Vec<_> =
        broker.topic("t").partition(0).records().into_iter().filter_map(|record| record.value).collect();
    assert_eq!(values, [&b"a"[..], b"b"]);
    let told_ok = broker.journal().produce().succeeded().count();
    assert_eq!(told_ok, 3, "and lost was acknowledged");
    // A consumer that had it by the old epoch is told so.
    let mut connection = world.on(old).await;
    let told = connection.call(FETCH, 12, fetch(3, 0, 0)).await["responses"][0]["partitions"][0].clone();
    assert_eq!(told["error_code"], FENCED_LEADER_EPOCH);
    let told = new.call(FETCH, 12, fetch(3, 1, 0)).await["responses"][0]["partitions"][0].clone();
    let diverging = &told["diverging_epoch"];
    assert_eq!((diverging["epoch"].int(), diverging["end_offset"].int()), (0, 1));
}

#[tokio::test]
async fn a_producer_that_asks_one_replica_is_told_of_records_that_are_lost_and_one_that_asks_all_is_not() {
    let world = World::new(&[]).await;
    let (old, broker) = (NodeId(world.leader), &world.broker);
    let kafka = Kafka::builder(broker.bootstrap_servers()).connect().await.expect("the mock answers");
    let alone = kafka.producer().idempotence(false).acks(Acks::Leader).build().await.expect("valid settings");
    let all = kafka.producer().build().await.expect("valid settings");
    let deliver = async |producer: &async_kafka::Producer, value: &'static str| {
        let delivery = producer.send(Record::to("t").value(value)).await.expect("room");
        patiently("the delivery", delivery).await.expect("acknowledged").offset
    };
    assert_eq!((deliver(&alone, "a").await, deliver(&all, "b").await), (Some(0), Some(1)));
    let isolated = broker.node(old).isolate();
    broker.advance(SESSION).await;
    assert_eq!(deliver(&alone, "lost").await, Some(2));
    let delivery = all.send(Record::to("t").value("kept")).await.expect("room");
    eventually("it waits for replicas", || broker.parked_request_count() > 0).await;
    isolated.heal();
    assert_eq!(patiently("the delivery", delivery).await.expect("acknowledged").offset, Some(2));
    let records = broker.topic("t").partition(0).records();
    let values: Vec<_> = records.into_iter().filter_map(|record| record.value).collect();
    assert_eq!(values, [&b"a"[..], b"b", b"kept"]);
}

#[tokio::test]
async fn what_nobody_else_could_lead_comes_back_with_all_that_was_acknowledged() {
    // The only replica in sync: it leads again, with its own log (ReplicationControlManager.handleBrokerUnfenced).
    let broker = three_nodes().start().await;
    let leader = broker.topic("t").partition(0).state().and_then(|state| state.leader).expect("somebody leads");
    let (broker, mut nodes) = on(broker).await;
    let place = usize::try_from(leader.0).expect("a place");
    let write = async |node: &mut Raw, value: &str| written(&node.call(PRODUCE, 9, produce(value, -1)).await);
    assert_eq!(write(&mut nodes[place], "a").await, (0, 0));
    for ends_by_a_crash in [false, true] {
        let end = broker.topic("t").partition(0).records().len();
        let isolated = broker.node(leader).isolate();
        broker.advance(SESSION).await;
        let other = (place + 1) % 3;
        let told = nodes[other].call(METADATA, 12, value!({ topics: [{ name: "t" }] })).await;
        assert_eq!(told["topics"][0]["partitions"][0]["leader_id"], -1);
        assert_eq!(
            write(&mut nodes[place], "b").await,
            (0, i64::try_from(end).expect("few")),
            "it is all that are in sync"
        );
        if ends_by_a_crash {
            broker.node(leader).crash();
            broker.node(leader).restart();
            let address = broker.bootstrap_servers().split(',').nth(place).expect("an address").to_owned();
            nodes[place] = Raw::connect(&address).await;
        }
        drop(isolated);
        let state = broker.topic("t").partition(0).state().expect("it is there");
        assert_eq!((state.leader, broker.topic("t").partition(0).records().len()), (Some(leader), end + 1));
        assert_eq!(write(&mut nodes[place], "c").await.0, 0);
    }
}

#[tokio::test]
async fn a_coordinator_that_is_cut_off_commits_nothing_and_says_so_after_its_time() {
    // offsets.commit.timeout.ms; CoordinatorRuntime.OperationTimeout, CoordinatorOperationExceptionHelper.
    let (broker, mut nodes) = on(three_nodes().start().await).await;
    let told = ask(&mut nodes[0], (JOIN_GROUP, 9), join("")).await;
    let id = told["member_id"].str().to_owned();
    ask(&mut nodes[0], (JOIN_GROUP, 9), join(&id)).await;
    let sync = value!({ group_id: "g", generation_id: 1, member_id: &id, protocol_type: "test", protocol_name: "p",
        assignments: [{ member_id: &id, assignment: "all".as_bytes() }] });
    assert_eq!(ask(&mut nodes[0], (SYNC_GROUP, 5), sync).await["error_code"], 0);
    let own = |offset: i64| {
        value!({ group_id: "g", generation_id_or_member_epoch: 1, member_id: &id,
            topics: [{ name: "t", partitions: [{ partition_index: 0, committed_offset: offset, committed_leader_epoch: -1 }] }] })
    };
    assert_eq!(committed(&ask(&mut nodes[0], (OFFSET_COMMIT, 8), own(7)).await), 0);
    let offsets = value!({ groups: [{ group_id: "g", topics: [{ name: "t", partition_indexes: [0] }] }] });
    let offset = |answer: &Value| answer["groups"][0]["topics"][0]["partitions"][0]["committed_offset"].int();

    let isolated = broker.node(0).isolate();
    let commit_timeout = Duration::from_secs(5);
    // Whether or not the others have taken it for dead.
    for _ in 0..2 {
        let told = after(&broker, &mut nodes[0], (OFFSET_COMMIT, 8), own(8), commit_timeout).await;
        assert_eq!(committed(&told), COORDINATOR_NOT_AVAILABLE);
        assert_eq!(offset(&ask(&mut nodes[0], (OFFSET_FETCH, 8), offsets.clone()).await), 7);
        let beat = value!({ group_id: "g", generation_id: 1, member_id: &id });
        assert_eq!(ask(&mut nodes[0], (HEARTBEAT, 4), beat).await["error_code"], 0, "nothing is written for it");
        broker.advance(SESSION).await;
    }
    let found = nodes[1].call(FIND_COORDINATOR, 3, value!({ key: "g", key_type: 0_i8 })).await["node_id"].int();
    assert_ne!(found, 0);
    let found = usize::try_from(found).expect("a place");
    assert_eq!(offset(&ask(&mut nodes[found], (OFFSET_FETCH, 8), offsets.clone()).await), 7);
    assert_eq!(committed(&ask(&mut nodes[found], (OFFSET_COMMIT, 8), own(9)).await), 0, "the member is in the log");
    isolated.heal();
    assert_eq!(commits(&mut nodes[0], 10).await, NOT_COORDINATOR);
    assert_eq!(offset(&ask(&mut nodes[found], (OFFSET_FETCH, 8), offsets).await), 9);
}

#[tokio::test]
async fn a_coordinator_of_transactions_that_is_cut_off_begins_none() {
    // TransactionStateManager.appendTransactionToLog: with acks=all, for as long as a transaction may take.
    let (broker, mut nodes) = on(three_nodes().start().await).await;
    let init = value!({ transactional_id: "tx", transaction_timeout_ms: 4000, producer_id: -1, producer_epoch: -1 });
    let told = ask(&mut nodes[0], (INIT_PRODUCER_ID, 4), init.clone()).await;
    assert_eq!((told["error_code"].int(), told["producer_epoch"].int()), (0, 0));
    let isolated = broker.node(0).isolate();
    let length = Duration::from_secs(4);
    for _ in 0..2 {
        let told = after(&broker, &mut nodes[0], (INIT_PRODUCER_ID, 4), init.clone(), length).await;
        assert_eq!(told["error_code"], COORDINATOR_NOT_AVAILABLE);
        broker.advance(SESSION).await;
    }
    let found = nodes[1].call(FIND_COORDINATOR, 3, value!({ key: "tx", key_type: 1_i8 })).await["node_id"].int();
    let found = usize::try_from(found).expect("a place");
    let told = ask(&mut nodes[found], (INIT_PRODUCER_ID, 4), init.clone()).await;
    assert_eq!((told["error_code"].int(), told["producer_epoch"].int()), (0, 1));
    isolated.heal();
    assert_eq!(ask(&mut nodes[0], (INIT_PRODUCER_ID, 4), init).await["error_code"], NOT_COORDINATOR);
}

#[tokio::test]
async fn what_is_for_the_controllers_times_out_and_what_they_do_meanwhile_is_not_known() {
    // BrokerServer: the channel `forwarding` tries for a minute. AutoTopicCreationManager asks the same way.
    let broker = three_nodes().start().await;
    let mut nodes = Vec::new();
    for address in broker.bootstrap_servers().split(',') {
        nodes.push(Raw::connect(address).await);
    }
    let isolated = broker.node(0).isolate();
    broker.advance(SESSION).await;
    let create =
        |name: &str| value!({ topics: [{ name: name, num_partitions: 1, replication_factor: 1 }], timeout_ms: 1000 });
    let minute = Duration::from_secs(60);
    let told = after(&broker, &mut nodes[0], (CREATE_TOPICS, 7), create("never"), minute).await;
    assert_eq!(told["topics"][0]["error_code"], REQUEST_TIMED_OUT);
    let told = ask(&mut nodes[1], (CREATE_TOPICS, 7), create("new")).await;
    assert_eq!(told["topics"][0]["error_code"], 0);
    let find = value!({ key: "g", key_type: 0_i8 });
    for _ in 0..2 {
        let told = nodes[0].call(FIND_COORDINATOR, 3, find.clone()).await;
        assert_eq!(told["error_code"], COORDINATOR_NOT_AVAILABLE, "there is no such topic, and it can make none");
    }
    let of = async |node: &mut Raw, name: &str| {
        let body = value!({ topics: [{ name: name }], allow_auto_topic_creation: true });
        node.call(METADATA, 12, body).await["topics"][0]["error_code"].int()
    };
    const UNKNOWN_TOPIC_OR_PARTITION: i64 = 3;
    for _ in 0..2 {
        assert_eq!(of(&mut nodes[0], "new").await, UNKNOWN_TOPIC_OR_PARTITION);
        assert_eq!(of(&mut nodes[0], "auto").await, UNKNOWN_TOPIC_OR_PARTITION, "it can make none");
    }
    let told = nodes[0].call(METADATA, 12, value!({ topics: [] })).await;
    assert_eq!(told["brokers"].array().len(), 3, "for all that it knows");
    isolated.heal();
    assert_eq!(of(&mut nodes[0], "new").await, 0);
    assert_eq!(nodes[0].call(FIND_COORDINATOR, 3, find).await["error_code"], 0);
}

#[tokio::test]
async fn who_waits_at_a_node_that_was_replaced_waits_until_it_hears_of_it() {
    // DelayedFetch.tryComplete: FENCED_LEADER_EPOCH; GroupCoordinatorService.onResignation.
    let builder = three_nodes().config("default.replication.factor", "3");
    let broker = builder.start().await;
    let leader = broker.topic("t").partition(0).state().and_then(|state| state.leader).expect("somebody leads");
    let (broker, mut nodes) = on(broker).await;
    broker.move_group_coordinator("g", leader);
    let place = usize::try_from(leader.0).expect("a place");
    let old = &mut nodes[place];
    let told = ask(old, (JOIN_GROUP, 3), join("")).await;
    assert_eq!(told["error_code"], 0, "a member of its own");
    let address = broker.bootstrap_servers().split(',').nth(place).expect("an address").to_owned();
    let mut second = Raw::connect(&address).await;
    let joins = second.send(JOIN_GROUP, 3, fitting(JOIN_GROUP, 3, join(""))).await;
    eventually("it waits for the first", || broker.parked_request_count() == 1).await;
    let wanted = value!({ partition: 0, fetch_offset: 0, partition_max_bytes: 1_000_000, current_leader_epoch: 0,
        last_fetched_epoch: -1 });
    let body = value!({ max_wait_ms: 300_000, min_bytes: 1, max_bytes: 1_000_000,
        topics: [{ topic: "t", partitions: [wanted] }] });
    let reads = old.send(FETCH, 12, body).await;
    eventually("both wait", || broker.parked_request_count() == 2).await;

    let isolated = broker.node(leader).isolate();
    broker.advance(SESSION * 2).await;
    assert_eq!(broker.parked_request_count(), 2, "it knows of no other leader");
    isolated.heal();
    let told = old.receive(reads).await["responses"][0]["partitions"][0]["error_code"].int();
    assert_eq!(told, FENCED_LEADER_EPOCH);
    assert_eq!(second.receive(joins).await["error_code"], NOT_COORDINATOR);
}

#[tokio::test]
async fn a_leader_is_given_up_at_once_when_a_partition_of_it_is_moved() {
    let world = World::new(&[]).await;
    let (old, broker) = (world.leader, &world.broker);
    let isolated = broker.node(old).isolate();
    broker.move_leader("t", 0, world.others[1]);
    assert_eq!(world.told(world.others[0]).await.0, i64::from(world.others[1]));
    assert_eq!(world.told(old).await, (i64::from(old), 0, vec![0, 1, 2]));
    assert_eq!(world.write("lost", 1).await, (0, 0));
    isolated.heal();
    assert_eq!(world.told(old).await.0, i64::from(world.others[1]));
    assert_eq!(broker.topic("t").partition(0).records().len(), 0);
}

#[tokio::test]
async fn a_crash_ends_it_and_the_node_comes_back_as_any_other() {
    let world = World::new(&[]).await;
    let (old, broker) = (world.leader, &world.broker);
    let isolated = broker.node(old).isolate();
    broker.advance(SESSION).await;
    assert_eq!(world.write("lost", 1).await, (0, 0));
    broker.node(old).crash();
    broker.node(old).restart();
    let (leader, _, isr) = world.told(old).await;
    assert_eq!((leader == i64::from(old), isr), (false, vec![0, 1, 2]));
    let new = World { leader: i32::try_from(leader).expect("an id"), ..world };
    assert_eq!(new.write("kept", -1).await, (0, 0));
    isolated.heal();
    assert_eq!(new.told(old).await.2, [0, 1, 2]);
}

#[tokio::test]
async fn a_snapshot_has_both_of_its_leaders() {
    let world = World::new(&[]).await;
    let place = |node: i32| usize::try_from(node).expect("a place");
    assert_eq!(world.write("a", -1).await, (0, 0));
    let _isolated = world.broker.node(world.leader).isolate();
    world.broker.advance(SESSION).await;
    assert_eq!(world.write("alone", 1).await, (0, 1));
    let new = world.told(world.others[0]).await.0;
    let snapshot = world.broker.snapshot();
    for _ in 0..2 {
        let broker = snapshot.start().await;
        let mut nodes = Vec::new();
        for address in broker.bootstrap_servers().split(',') {
            nodes.push(Raw::connect(address).await);
        }
        let old = &mut nodes[place(world.leader)];
        assert_eq!(written(&old.call(PRODUCE, 9, produce("alone, too", 1)).await), (0, 2));
        let new = &mut nodes[place(i32::try_from(new).expect("an id"))];
        assert_eq!(written(&new.call(PRODUCE, 9, produce("b", -1)).await), (0, 1));
        assert_eq!(broker.topic("t").partition(0).records().len(), 2);
    }
}
