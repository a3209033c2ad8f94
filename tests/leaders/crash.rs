//! The crash of a node: who leads then, under which epoch, who is eligible, and what is refused while too few are in sync.
//!
//! On a real Kafka it needs a cluster of its own, since a node is killed: `tests/real-kafka/real-kafka exec --brokers 3 --property
//! broker.session.timeout.ms=3000 -- env KAFKA_MAY_CRASH=1 cargo test -p system-tests --test leaders crash::`.

use std::env;
use std::process::Command;
use std::time::Duration;

use mockbroker::NodeId;
use system_tests::api::DESCRIBE_TOPIC_PARTITIONS;

use super::moves::numbers;
use super::*;

const NOT_ENOUGH_REPLICAS: i64 = 19;
/// A real controller takes `broker.session.timeout.ms` to notice.
const LIMIT: Duration = Duration::from_secs(60);

/// Kills a node, as `kill -9` does.
fn kill(broker: &Broker, node: i64) {
    match broker.steered() {
        Some(mock) => mock.node(NodeId(i32::try_from(node).expect("an id"))).crash(),
        None => signal(node, "-KILL"),
    }
}

/// Sends the process of a real node a signal.
pub(super) fn signal(node: i64, signal: &str) {
    // `real-kafka exec` says who is who: "1=4711,2=4712,3=4713".
    let processes = env::var("KAFKA_NODE_PIDS").expect("set by real-kafka exec");
    let process = processes.split(',').find_map(|pair| pair.strip_prefix(&format!("{node}="))).expect("a node of it");
    assert!(Command::new("kill").args([signal, process]).status().expect("kill runs").success());
}

/// Whether nodes may be harmed: those of a mock, and of a real cluster that is for nothing else.
pub(super) fn may_be_harmed() -> bool {
    let may = env::var("KAFKA_BOOTSTRAP").is_err() || env::var("KAFKA_MAY_CRASH").is_ok();
    if !may {
        eprintln!("not asked: this harms nodes of the cluster, see the top of the file");
    }
    may
}

/// Asks until the answer is what is waited for.
pub(super) async fn until(
    connection: &mut Raw,
    (key, version): (i16, i16),
    body: Value,
    is_so: impl Fn(&Value) -> bool,
) -> Value {
    let began = tokio::time::Instant::now();
    loop {
        let answer = connection.call(key, version, body.clone()).await;
        if is_so(&answer) {
            return answer;
        }
        assert!(began.elapsed() < LIMIT, "after {LIMIT:?} it still answers {answer:?}");
        tokio::task::yield_now().await;
    }
}

impl Cluster {
    /// Waits until every replica knows how far all of them are. Whoever leads next stands there: with too few in sync it goes
    /// no further, and tells no end of the log before it has what it began with (KIP-207).
    pub(super) async fn wait_high_watermark(&mut self, high_watermark: i64) {
        let knows = |answer: &Value| answer["responses"][0]["partitions"][0]["high_watermark"] == high_watermark;
        let body = self.fetch(12);
        for connection in self.nodes.values_mut() {
            until(connection, (FETCH, 12), body.clone(), knows).await;
        }
    }
}

#[tokio::test]
async fn after_a_crash_another_leads_and_too_few_in_sync_refuse_what_wants_all() {
    // Source: ReplicationControlManager.handleBrokerFenced, PartitionChangeBuilder, Partition.appendRecordsToLeader; KIP-966.
    if !may_be_harmed() {
        return;
    }
    let mut cluster = Cluster::with_topic_and(3, &[("min.insync.replicas", "3"), ("retention.ms", "-1")]).await;
    let (dead, body) = (cluster.leader, cluster.produce(12));
    let find = value!({ key: "g", key_type: 0 });
    let mut connection = Raw::connect(&cluster.addresses[&dead]).await;
    until(&mut connection, (FIND_COORDINATOR, 3), find.clone(), |it| it["error_code"] == 0).await;
    let written = |answer: &Value| {
        let partition = &answer["responses"][0]["partition_responses"][0];
        (partition["error_code"].int(), partition["base_offset"].int())
    };
    assert_eq!(written(&cluster.call(dead, PRODUCE, 12, body.clone()).await), (0, 0));
    let others: Vec<i64> = cluster.nodes.keys().copied().filter(|id| *id != dead).collect();
    cluster.wait_high_watermark(1).await;
    kill(&cluster._broker, dead);

    let mut connection = Raw::connect(&cluster.addresses[&others[0]]).await;
    let metadata = value!({ topics: [{ name: &cluster.topic }], allow_auto_topic_creation: false });
    let led = |answer: &Value| answer["topics"][0]["partitions"][0]["leader_id"].int();
    let told = until(&mut connection, (METADATA, 12), metadata, |it| ![dead, -1].contains(&led(it))).await;
    let partition = &told["topics"][0]["partitions"][0];
    let leader = led(&told);
    assert_eq!((partition["error_code"].int(), partition["leader_epoch"].int()), (0, 1));
    assert_eq!(sorted(&partition["isr_nodes"]), others);
    assert_eq!(sorted(&partition["offline_replicas"]), [dead]);
    assert_eq!(told["brokers"].array().len(), 2);
    let describe = value!({ topics: [{ name: &cluster.topic }], response_partition_limit: 10 });
    let told = connection.call(DESCRIBE_TOPIC_PARTITIONS, 0, describe).await;
    let partition = &told["topics"][0]["partitions"][0];
    assert_eq!(sorted(&partition["eligible_leader_replicas"]), [dead], "it had all that was acknowledged");
    assert!(partition["last_known_elr"].array().is_empty());

    let mut connection = Raw::connect(&cluster.addresses[&leader]).await;
    let latest = value!({ replica_id: -1, topics: [{ name: &cluster.topic, partitions: [{ timestamp: -1 }] }] });
    let is_led = |answer: &Value| answer["topics"][0]["partitions"][0]["error_code"] == 0;
    until(&mut connection, (LIST_OFFSETS, 1), latest.clone(), is_led).await;
    assert_eq!(written(&connection.call(PRODUCE, 12, body).await), (NOT_ENOUGH_REPLICAS, -1));
    let records = Batch::of(["b"]).encode();
    let alone = value!({ acks: 1, timeout_ms: 1000,
        topic_data: [{ name: &cluster.topic, partition_data: [{ index: 0, records: records }] }] });
    assert_eq!(written(&connection.call(PRODUCE, 12, alone).await), (0, 1));
    let answer = connection.call(LIST_OFFSETS, 1, latest).await;
    let end = answer["topics"][0]["partitions"][0]["offset"].int();
    assert!(end <= 1, "the high watermark stands still: {end}");
    let epoch = value!({ replica_id: -1, topics: [{ topic: &cluster.topic,
        partitions: [{ partition: 0, current_leader_epoch: 1, leader_epoch: 0 }] }] });
    let answer = connection.call(OFFSET_FOR_LEADER_EPOCH, 4, epoch).await;
    let end = &answer["topics"][0]["partitions"][0];
    assert_eq!((end["error_code"].int(), end["leader_epoch"].int(), end["end_offset"].int()), (0, 0, 1));
    let found = |it: &Value| it["error_code"] == 0 && it["node_id"].int() != dead;
    until(&mut connection, (FIND_COORDINATOR, 3), find, found).await;
}

pub(super) fn sorted(nodes: &Value) -> Vec<i64> {
    let mut nodes = numbers(nodes);
    nodes.sort_unstable();
    nodes
}
