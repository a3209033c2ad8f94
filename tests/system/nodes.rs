//! Nodes that crash and come back, as clients see it.

use std::time::Duration;

use async_kafka::{Kafka, Offset, OffsetReset, Record};
use mockbroker::{MockBroker, NodeId};
use system_tests::api::{
    ADD_PARTITIONS_TO_TXN, DESCRIBE_QUORUM, END_TXN, FETCH, FIND_COORDINATOR, HEARTBEAT, INIT_PRODUCER_ID, JOIN_GROUP,
    LIST_OFFSETS, METADATA, OFFSET_COMMIT, OFFSET_FETCH, PRODUCE, SYNC_GROUP,
};
use system_tests::batch::Batch;
use system_tests::raw::Raw;
use system_tests::value;
use system_tests::value::Value;
use system_tests::world::eventually;

const LIMIT: Duration = Duration::from_secs(20);

async fn three() -> MockBroker {
    let builder = MockBroker::builder().nodes(3).first_node_id(1).config("default.replication.factor", "3");
    builder.config("group.initial.rebalance.delay.ms", "0").topic("t", 1).start().await
}

/// Leader, leader epoch, ISR of partition 0 of `t`, and the error, as `node` tells them.
async fn told(broker: &MockBroker, node: i32) -> (i64, i64, Vec<i64>, i64) {
    let answer = on(broker, node).await.call(METADATA, 12, value!({ topics: [{ name: "t" }] })).await;
    let partition = &answer["topics"][0]["partitions"][0];
    let isr = partition["isr_nodes"].array().iter().map(Value::int).collect();
    (partition["leader_id"].int(), partition["leader_epoch"].int(), isr, partition["error_code"].int())
}

/// A connection to one node.
async fn on(broker: &MockBroker, node: i32) -> Raw {
    let place = broker.node_ids().iter().position(|id| *id == NodeId(node)).expect("a node");
    Raw::connect(broker.bootstrap_servers().split(',').nth(place).expect("an address")).await
}

fn write(batch: &Batch, transactional_id: Option<&str>) -> Value {
    value!({ transactional_id: transactional_id.map(str::to_owned), acks: -1, timeout_ms: 1000,
        topic_data: [{ name: "t", partition_data: [{ index: 0, records: batch.encode() }] }] })
}

/// Error code and base offset.
async fn produce(connection: &mut Raw, batch: &Batch) -> (i64, i64) {
    let answer = connection.call(PRODUCE, 9, write(batch, None)).await;
    let partition = &answer["responses"][0]["partition_responses"][0];
    (partition["error_code"].int(), partition["base_offset"].int())
}

#[tokio::test]
async fn another_replica_leads_what_a_crashed_node_led() {
    // Source: ReplicationControlManager.handleBrokerFenced, handleBrokerUnfenced; as on three nodes of 4.3.1 (tests/leaders).
    let broker = three().await;
    let (first, epoch, isr, error) = told(&broker, 1).await;
    assert_eq!((epoch, isr.len(), error), (0, 3, 0));
    let first = i32::try_from(first).expect("an id");
    let other = (1..=3).find(|id| *id != first).expect("another");
    broker.node(first).crash();
    let (second, epoch, isr, error) = told(&broker, other).await;
    assert_eq!((epoch, isr.len(), error), (1, 2, 0));
    assert!(!isr.contains(&i64::from(first)) && isr.contains(&second));
    let alive = on(&broker, other).await.call(METADATA, 12, value!({ topics: [] })).await;
    assert_eq!(alive["brokers"].array().len(), 2, "who is down is not told");
    broker.node(first).restart();
    let (leader, epoch, isr, _) = told(&broker, first).await;
    assert_eq!((leader, epoch, isr.len()), (second, 1, 3), "it is in sync again and does not lead");
}

#[tokio::test]
async fn the_connections_of_a_crashed_node_break_and_new_ones_are_refused_until_it_is_back() {
    let broker = MockBroker::builder().nodes(2).start().await;
    let (first, second) = (on(&broker, 0).await, on(&broker, 1).await);
    eventually("both connections are there", || broker.connection_count() == 2).await;
    broker.node(0).crash();
    broker.node(0).crash();
    first.closed().await;
    assert!(!broker.node(0).is_up() && broker.node(1).is_up());
    let address = broker.bootstrap_servers().split(',').next().expect("an address");
    let refused = tokio::net::TcpStream::connect(address).await.expect_err("nobody listens");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    broker.node(0).restart();
    broker.node(0).restart();
    on(&broker, 0).await.call(METADATA, 12, value!({ topics: [] })).await;
    drop(second);
}

#[tokio::test]
async fn a_producer_and_a_consumer_outlive_the_crash_of_every_node_in_turn() {
    let broker = three().await;
    let kafka = Kafka::builder(broker.bootstrap_servers()).connect().await.expect("the mock answers");
    let producer = kafka.producer().linger(Duration::ZERO).build().await.expect("valid settings");
    let consumer = kafka.consumer("g").topics(["t"]).auto_offset_reset(OffsetReset::Earliest);
    let consumer = consumer.heartbeat_interval(Duration::from_millis(100)).build().await.expect("valid settings");
    let mut seen = Vec::new();
    for round in 0..3 {
        let node = broker.node(1 + round);
        node.crash();
        for number in 0..20 {
            let record = Record::to("t").value((20 * round + number).to_string());
            producer.send(record).await.expect("room").await.expect("acknowledged");
        }
        node.restart();
        while seen.len() < 20 * (usize::try_from(round).expect("small") + 1) {
            let record = tokio::time::timeout(LIMIT, consumer.recv()).await.expect("in time").expect("no error");
            let value = record.expect("open").value().expect("a value").to_vec();
            seen.push(String::from_utf8(value).expect("text").parse::<i32>().expect("a number"));
        }
    }
    assert_eq!(seen, (0..60).collect::<Vec<_>>(), "all, once, in order");
    broker.assert_healthy();
}

#[tokio::test]
async fn a_partition_without_a_live_replica_is_offline_until_the_last_leader_is_back() {
    // Source: PartitionChangeBuilder; KIP-966. Nobody in sync: a crash of the last one leaves the partition without a leader.
    let broker = three().await;
    let (leader, ..) = told(&broker, 1).await;
    let last = i32::try_from(leader).expect("an id");
    let others: Vec<i32> = (1..=3).filter(|id| *id != last).collect();
    for node in &others {
        broker.node(*node).crash();
    }
    assert_eq!(told(&broker, last).await, (leader, 0, vec![leader], 0));
    produce(&mut on(&broker, last).await, &Batch::of(["only here"])).await;
    broker.node(last).crash();
    broker.node(others[0]).restart();
    assert_eq!(told(&broker, others[0]).await, (-1, 1, vec![], 5), "it lacks a record, and may not lead");
    broker.node(last).restart();
    let (again, epoch, isr, error) = told(&broker, last).await;
    assert_eq!((again, epoch, isr.len(), error), (leader, 2, 2, 0));
    let latest = value!({ replica_id: -1, topics: [{ name: "t", partitions: [{ timestamp: -1 }] }] });
    let answer = on(&broker, last).await.call(LIST_OFFSETS, 1, latest).await;
    assert_eq!(answer["topics"][0]["partitions"][0]["offset"], 1);
}

#[tokio::test]
async fn the_controllers_and_the_coordinators_move() {
    let broker = three().await;
    let find = value!({ key: "g", key_type: 0 });
    let mut connection = on(&broker, 1).await;
    let mut coordinator = -1;
    while coordinator < 0 {
        coordinator = connection.call(FIND_COORDINATOR, 3, find.clone()).await["node_id"].int();
    }
    let quorum = value!({ topics: [{ topic_name: "__cluster_metadata", partitions: [{ partition_index: 0 }] }] });
    let led = |answer: &Value| {
        let partition = &answer["topics"][0]["partitions"][0];
        (partition["leader_id"].int(), partition["leader_epoch"].int())
    };
    assert_eq!(led(&connection.call(DESCRIBE_QUORUM, 1, quorum.clone()).await), (1, 1));
    broker.node(1).crash();
    let mut connection = on(&broker, 2).await;
    assert_eq!(led(&connection.call(DESCRIBE_QUORUM, 1, quorum).await), (2, 2));
    broker.node(1).restart();
    broker.node(i32::try_from(coordinator).expect("an id")).crash();
    let alive = (1..=3).find(|id| i64::from(*id) != coordinator).expect("another");
    let next = on(&broker, alive).await.call(FIND_COORDINATOR, 3, find).await;
    assert_eq!(next["error_code"], 0);
    assert_ne!(next["node_id"].int(), coordinator);
}

/// A group of one member that is assigned something, and has committed offset 7. The member's id.
async fn member(connection: &mut Raw) -> String {
    let protocol = value!({ name: "range", metadata: bytes::Bytes::new() });
    let join = |member_id: &str| {
        value!({ group_id: "g", session_timeout_ms: 10_000, rebalance_timeout_ms: 10_000, member_id: member_id,
            protocol_type: "consumer", protocols: [protocol.clone()] })
    };
    let mut told = connection.call(JOIN_GROUP, 5, join("")).await;
    while [14, 15, 16].contains(&told["error_code"].int()) {
        connection.call(FIND_COORDINATOR, 3, value!({ key: "g", key_type: 0 })).await;
        told = connection.call(JOIN_GROUP, 5, join("")).await;
    }
    let id = told["member_id"].str().to_owned();
    assert_eq!(connection.call(JOIN_GROUP, 5, join(&id)).await["error_code"], 0);
    let assigned = value!([{ member_id: &id, assignment: bytes::Bytes::new() }]);
    let sync = value!({ group_id: "g", generation_id: 1, member_id: &id, assignments: assigned });
    assert_eq!(connection.call(SYNC_GROUP, 3, sync).await["error_code"], 0);
    let commit = value!({ group_id: "g", generation_id_or_member_epoch: 1, member_id: &id,
        topics: [{ name: "t", partitions: [{ partition_index: 0, committed_offset: 7 }] }] });
    let answer = connection.call(OFFSET_COMMIT, 7, commit).await;
    assert_eq!(answer["topics"][0]["partitions"][0]["error_code"], 0, "{answer:?}");
    id
}

#[tokio::test]
async fn the_only_node_comes_back_with_all_it_had_written_and_nothing_else() {
    let builder = MockBroker::builder().config("group.initial.rebalance.delay.ms", "0").topic("t", 1);
    let broker = builder.start().await;
    let mut connection = on(&broker, 0).await;
    let member_id = member(&mut connection).await;
    // An idempotent producer, and a transaction that is open.
    let init = connection
        .call(INIT_PRODUCER_ID, 2, value!({ transactional_id: Value::Null, transaction_timeout_ms: 1000 }))
        .await;
    let producer_id = init["producer_id"].int();
    let batch = |sequence| Batch::of(["v"]).from_producer(producer_id, 0, sequence);
    assert_eq!(produce(&mut connection, &batch(0)).await, (0, 0));
    let (transaction, in_transaction) = begin(&mut connection).await;
    // A fetch session, and a fetch that waits in it.
    let wanted = |session_id: i64, epoch: i32| {
        value!({ max_wait_ms: 0, session_id: session_id, session_epoch: epoch,
            topics: [{ topic: "t", partitions: [{ partition: 0, fetch_offset: 0, partition_max_bytes: 1000 }] }] })
    };
    let session_id = connection.call(FETCH, 12, wanted(0, 0)).await["session_id"].int();
    assert_ne!(session_id, 0);

    broker.node(0).crash();
    connection.closed().await;
    assert_eq!(broker.parked_request_count(), 0);
    broker.node(0).restart();

    let mut connection = on(&broker, 0).await;
    let (leader, epoch, isr, error) = told(&broker, 0).await;
    assert_eq!((leader, epoch, isr, error), (0, 2, vec![0], 0));
    let heartbeat = value!({ group_id: "g", generation_id: 1, member_id: &member_id });
    assert_eq!(connection.call(HEARTBEAT, 3, heartbeat).await["error_code"], 0, "the group is the same");
    let offsets = value!({ group_id: "g", topics: [{ name: "t", partition_indexes: [0] }] });
    let offsets = connection.call(OFFSET_FETCH, 5, offsets).await;
    assert_eq!(offsets["topics"][0]["partitions"][0]["committed_offset"], 7);
    assert_eq!(produce(&mut connection, &batch(0)).await, (0, 0), "a duplicate is known");
    assert_eq!(produce(&mut connection, &batch(9)).await.0, 45, "and a gap");
    assert_eq!(connection.call(FETCH, 12, wanted(session_id, 1)).await["error_code"], 70, "no session is known");
    // The transaction goes on and is committed.
    let answer = connection.call(PRODUCE, 9, write(&in_transaction(1), Some("tx"))).await;
    assert_eq!(answer["responses"][0]["partition_responses"][0]["error_code"], 0, "{answer:?}");
    assert_eq!(connection.call(END_TXN, 2, transaction).await["error_code"], 0);
    eventually("nobody waits", || broker.parked_request_count() == 0).await;
    let kafka = Kafka::builder(broker.bootstrap_servers()).connect().await.expect("the mock answers");
    let consumer = kafka.assigned_consumer().isolation(async_kafka::IsolationLevel::ReadCommitted);
    let consumer = consumer.assign("t", 0, Offset::Earliest).build().await.expect("assigned");
    for expected in ["v", "in transaction 0", "in transaction 1"] {
        let record = tokio::time::timeout(LIMIT, consumer.recv()).await.expect("in time").expect("no error");
        assert_eq!(record.expect("open").value(), Some(expected.as_bytes()));
    }
    broker.assert_healthy();
}

/// A transaction of `tx` with a record of it in `t`: the request that commits it, and its batches by their sequences.
async fn begin(connection: &mut Raw) -> (Value, impl Fn(i32) -> Batch + use<>) {
    let init = value!({ transactional_id: "tx", transaction_timeout_ms: 60_000 });
    let mut told = connection.call(INIT_PRODUCER_ID, 2, init.clone()).await;
    while [14, 15, 16].contains(&told["error_code"].int()) {
        connection.call(FIND_COORDINATOR, 3, value!({ key: "tx", key_type: 1 })).await;
        told = connection.call(INIT_PRODUCER_ID, 2, init.clone()).await;
    }
    let producer_id = told["producer_id"].int();
    let add = value!({ v3_and_below_transactional_id: "tx", v3_and_below_producer_id: producer_id,
        v3_and_below_producer_epoch: 0, v3_and_below_topics: [{ name: "t", partitions: [0] }] });
    connection.call(ADD_PARTITIONS_TO_TXN, 2, add).await;
    let batch = move |sequence: i32| {
        Batch::of([format!("in transaction {sequence}")]).from_producer(producer_id, 0, sequence).transactional()
    };
    let answer = connection.call(PRODUCE, 9, write(&batch(0), Some("tx"))).await;
    assert_eq!(answer["responses"][0]["partition_responses"][0]["error_code"], 0, "{answer:?}");
    let end = value!({ transactional_id: "tx", producer_id: producer_id, producer_epoch: 0, committed: true });
    (end, batch)
}

#[tokio::test]
#[should_panic(expected = "there is no node 9")]
async fn a_node_that_is_not_there_is_named() {
    drop(MockBroker::start().await.node(9));
}

#[tokio::test]
async fn a_connection_ends_in_the_journal_with_its_node_and_so_does_its_request() {
    let broker = three().await;
    let (leader, ..) = told(&broker, 1).await;
    let leader = i32::try_from(leader).expect("an id");
    let mut connection = on(&broker, leader).await;
    let _unanswered = connection
        .send(
            FETCH,
            12,
            value!({ max_wait_ms: 60_000, min_bytes: 1, max_bytes: 1_000_000,
                topics: [{ topic: "t", partitions: [{ partition: 0, fetch_offset: 0, partition_max_bytes: 1_000_000 }] }] }),
        )
        .await;
    broker.journal().fetch().waiting().wait_for(1).await;
    broker.node(leader).crash();
    connection.closed().await;
    let to_it = format!("to node {leader},");
    let is_open = |line: &str| line.contains(&to_it) && line.ends_with("open");
    eventually("its connections are no longer open", || !broker.report().lines().any(is_open)).await;
    assert!(broker.report().contains("its node crashed"), "{}", broker.report());
    assert_eq!(broker.journal().fetch().waiting().count(), 0, "{}", broker.journal().text());
}
