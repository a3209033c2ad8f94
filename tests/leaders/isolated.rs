//! A leader that is cut off from the other nodes and does not know that another leads: what it takes, and what is left of it.
//!
//! On a real Kafka the cut is one in time: first the others stand still while the leader goes on alone, then it stands still while
//! they go on without it. Neither can tell that from a network that is cut. It needs a cluster of its own:
//! `tests/real-kafka/real-kafka exec --brokers 3 --property broker.session.timeout.ms=3000 -- env KAFKA_MAY_CRASH=1 cargo test -p
//! system-tests --test leaders isolated::`. More of it, on the mock alone: `tests/system/alone.rs`.

use mockbroker::{Isolated, NodeId};

use super::crash::{may_be_harmed, signal, sorted, until};
use super::*;

const REQUEST_TIMED_OUT: i64 = 7;
const FENCED_LEADER_EPOCH: i64 = 74;
/// What is to be written is, before this.
const LONG_MS: i32 = 30_000;

/// A leader that is cut off.
enum Cut {
    OfMock(Isolated),
    OfReal { node: i64, others: Vec<i64> },
}

impl Cut {
    async fn begin(cluster: &mut Cluster, others: &[i64]) -> Self {
        let node = cluster.leader;
        if let Some(mock) = cluster._broker.steered() {
            return Self::OfMock(mock.node(NodeId(i32::try_from(node).expect("an id"))).isolate());
        }
        others.iter().for_each(|other| signal(*other, "-STOP"));
        // The fetches of the others that are there already would bring them one record more: they end after
        // `replica.fetch.wait.max.ms` (500 ms), before one that comes now and waits for twice as long.
        let nothing = cluster.call(node, FETCH, 12, after(&cluster.topic, 1, 0, 1000)).await;
        assert!(nothing["responses"][0]["partitions"][0]["records"].bytes().is_empty());
        Self::OfReal { node, others: others.to_vec() }
    }

    /// From here on it is the others who are asked.
    fn turn(&self) {
        if let Self::OfReal { node, others } = self {
            signal(*node, "-STOP");
            others.iter().for_each(|other| signal(*other, "-CONT"));
        }
    }

    fn heal(self) {
        match self {
            Self::OfMock(isolated) => isolated.heal(),
            Self::OfReal { node, .. } => signal(node, "-CONT"),
        }
    }
}

fn produce(topic: &str, value: &str, acks: i16, timeout_ms: i32) -> Value {
    let partition = value!({ index: 0, records: Batch::of([value]).encode() });
    value!({ acks: acks, timeout_ms: timeout_ms, topic_data: [{ name: topic, partition_data: [partition] }] })
}

fn after(topic: &str, offset: i64, leader_epoch: i64, max_wait_ms: i32) -> Value {
    let partition = value!({ partition: 0, fetch_offset: offset, partition_max_bytes: 1_000_000,
        current_leader_epoch: leader_epoch, last_fetched_epoch: 0 });
    value!({ max_wait_ms: max_wait_ms, min_bytes: 1, max_bytes: 1_000_000,
        topics: [{ topic: topic, partitions: [partition] }] })
}

fn written(answer: &Value) -> (i64, i64) {
    let partition = &answer["responses"][0]["partition_responses"][0];
    (partition["error_code"].int(), partition["base_offset"].int())
}

fn values(partition: &Value) -> Vec<String> {
    let batches = Batch::decode_all(partition["records"].bytes().clone());
    let values = batches.iter().flat_map(Batch::records).map(|record| record.value.expect("a value").to_vec());
    values.map(|value| String::from_utf8(value).expect("text")).collect()
}

#[tokio::test]
async fn a_leader_that_is_cut_off_goes_on_and_what_it_acknowledged_alone_is_lost() {
    // Source: Partition.makeFollower, ReplicaFetcherThread.truncateOnFetchResponse; KIP-101, KIP-320, KIP-595.
    if !may_be_harmed() {
        return;
    }
    // The records bear times of long ago.
    let configs = [("min.insync.replicas", "2"), ("retention.ms", "-1")];
    let mut cluster = Cluster::with_topic_and(3, &configs).await;
    let (old, topic) = (cluster.leader, cluster.topic.clone());
    let others: Vec<i64> = cluster.nodes.keys().copied().filter(|id| *id != old).collect();
    assert_eq!(written(&cluster.call(old, PRODUCE, 9, produce(&topic, "a", -1, LONG_MS)).await), (0, 0));
    cluster.wait_high_watermark(1).await;
    let metadata = value!({ topics: [{ name: &topic }], allow_auto_topic_creation: false });
    let led = |answer: &Value| {
        let partition = &answer["topics"][0]["partitions"][0];
        (partition["leader_id"].int(), partition["leader_epoch"].int(), sorted(&partition["isr_nodes"]))
    };

    let cut = Cut::begin(&mut cluster, &others).await;
    assert_eq!(written(&cluster.call(old, PRODUCE, 9, produce(&topic, "lost", 1, LONG_MS)).await), (0, 1));
    let told = written(&cluster.call(old, PRODUCE, 9, produce(&topic, "lost, too", -1, 200)).await);
    assert_eq!(told, (REQUEST_TIMED_OUT, 2));
    let told = led(&cluster.call(old, METADATA, 12, metadata.clone()).await);
    assert_eq!(told, (old, 0, cluster.nodes.keys().copied().collect()));
    let told = cluster.call(old, FETCH, 12, cluster.fetch(12)).await["responses"][0]["partitions"][0].clone();
    assert_eq!((told["high_watermark"].int(), values(&told)), (1, vec!["a".to_owned()]), "nobody else has more");
    let latest = value!({ replica_id: -1, topics: [{ name: &topic, partitions: [{ timestamp: -1 }] }] });
    let end = |answer: &Value| {
        let partition = &answer["topics"][0]["partitions"][0];
        (partition["error_code"].int(), partition["offset"].int())
    };
    assert_eq!(end(&cluster.call(old, LIST_OFFSETS, 5, latest.clone()).await), (0, 1));

    cut.turn();
    // Real ones may elect more than once before they agree.
    let write = async {
        loop {
            let told = led(&cluster.call(others[0], METADATA, 12, metadata.clone()).await);
            if !others.contains(&told.0) || told.2 != others {
                continue;
            }
            let ended = end(&cluster.call(told.0, LIST_OFFSETS, 5, latest.clone()).await);
            if ended != (0, 1) {
                assert_ne!(ended.0, 0, "what only the old leader had is not there: {ended:?}");
                continue;
            }
            match written(&cluster.call(told.0, PRODUCE, 9, produce(&topic, "b", -1, LONG_MS)).await) {
                (NOT_LEADER_OR_FOLLOWER, _) => {}
                taken => return taken,
            }
        }
    };
    assert_eq!(patiently("another leader takes what all are to have", write).await, (0, 1));

    cut.heal();
    let mut connection = Raw::connect(&cluster.addresses[&old]).await;
    let is_back = |answer: &Value| others.contains(&led(answer).0) && led(answer).2.len() == 3;
    let (new, epoch, _) = led(&until(&mut connection, (METADATA, 12), metadata, is_back).await);
    assert_eq!(
        written(&connection.call(PRODUCE, 9, produce(&topic, "c", 1, LONG_MS)).await),
        (NOT_LEADER_OR_FOLLOWER, -1)
    );
    let of = |answer: &Value| answer["responses"][0]["partitions"][0].clone();
    let all = vec!["a".to_owned(), "b".to_owned()];
    // A follower gives what it has to those who ask it (KIP-392).
    let has_all = |answer: &Value| values(&of(answer)) == all;
    until(&mut connection, (FETCH, 12), cluster.fetch(12), has_all).await;
    let after = |leader_epoch: i64| after(&topic, 3, leader_epoch, 0);
    assert_eq!(of(&connection.call(FETCH, 12, after(0)).await)["error_code"].int(), FENCED_LEADER_EPOCH);
    let told = of(&cluster.call(new, FETCH, 12, after(epoch)).await);
    assert_eq!(told["error_code"], 0);
    let diverging = &told["diverging_epoch"];
    assert_eq!((diverging["epoch"].int(), diverging["end_offset"].int()), (0, 1));
}
