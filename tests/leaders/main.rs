//! Target `leaders`: what a cluster of three nodes answers where it matters which node is asked. The mock by default; a real
//! Kafka of three nodes with `KAFKA_BOOTSTRAP=host:port,host:port,host:port`.
//!
//! - here: who answers for a partition, and who is named instead
//! - `crash`: a node that is killed
//! - `isolated`: a leader that is cut off from the others, and goes on
//! - `moves`: elections and reassignments, and what they do to those who read and write
//! - `groups`: who speaks for a group, and how it goes on when that is another node
//! - `transactions`: the same of transactional ids, and markers in partitions that others lead

mod crash;
mod groups;
mod isolated;
mod moves;
mod transactions;

use std::collections::BTreeMap;

use mockbroker::MockBroker;
use system_tests::api::{
    CREATE_TOPICS, DELETE_RECORDS, DESCRIBE_CLUSTER, FETCH, FIND_COORDINATOR, LIST_OFFSETS, METADATA,
    OFFSET_FOR_LEADER_EPOCH, PRODUCE,
};
use system_tests::batch::Batch;
use system_tests::raw::{Raw, patiently};
use system_tests::value;
use system_tests::value::Value;
use system_tests::world::{Broker, unique};
use uuid::Uuid;

const NOT_LEADER_OR_FOLLOWER: i64 = 6;

/// Three nodes, a connection to each, and a topic.
struct Cluster {
    _broker: Broker,
    nodes: BTreeMap<i64, Raw>,
    addresses: BTreeMap<i64, String>,
    topic: String,
    topic_id: Uuid,
    leader: i64,
}

impl Cluster {
    /// A cluster with a topic of one partition on `replicas` nodes.
    async fn with_topic(replicas: i16) -> Self {
        Self::with_topic_and(replicas, &[]).await
    }

    /// The same with configs of the topic.
    async fn with_topic_and(replicas: i16, configs: &[(&str, &str)]) -> Self {
        // Real nodes are taken for dead as soon as their properties say.
        let builder = MockBroker::builder().nodes(3).config("broker.session.timeout.ms", "300");
        let broker = match Broker::real() {
            Some(real) => real,
            None => Broker::mock(builder.start().await),
        };
        assert_eq!(broker.bootstrap().split(',').count(), 3, "KAFKA_BOOTSTRAP is to name three nodes");
        let mut first = broker.connect().await;
        let topic = unique("leaders");
        let configs = configs.iter().map(|(name, value)| value!({ name: *name, value: *value })).collect();
        let configs = Value::Array(configs);
        let wanted = value!({ name: &topic, num_partitions: 1, replication_factor: replicas, configs: configs });
        let created = first.call(CREATE_TOPICS, 7, value!({ topics: [wanted], timeout_ms: 10_000 })).await;
        assert_eq!(created["topics"][0]["error_code"], 0, "{created:?}");
        let (mut nodes, mut addresses) = (BTreeMap::new(), BTreeMap::new());
        for node in first.call(METADATA, 12, value!({ topics: [] })).await["brokers"].array() {
            let address = format!("{}:{}", node["host"].str(), node["port"].int());
            nodes.insert(node["node_id"].int(), Raw::connect(&address).await);
            addresses.insert(node["node_id"].int(), address);
        }
        let topic_id = created["topics"][0]["topic_id"].uuid();
        let mut cluster = Self { _broker: broker, nodes, addresses, topic, topic_id, leader: -1 };
        patiently("every node to know the topic and its leader", cluster.settle(replicas)).await;
        cluster
    }

    /// Waits until every node tells of the topic, and its replicas host it.
    async fn settle(&mut self, replicas: i16) {
        let body = value!({ topics: [{ name: &self.topic }], allow_auto_topic_creation: false });
        let ids: Vec<i64> = self.nodes.keys().copied().collect();
        for id in ids {
            loop {
                let answer = self.call(id, METADATA, 12, body.clone()).await;
                let partitions = answer["topics"][0]["partitions"].array();
                let Some(partition) = partitions.first() else { continue };
                if partition["error_code"] == 0 && partition["isr_nodes"].array().len() == replicas as usize {
                    self.leader = partition["leader_id"].int();
                    break;
                }
            }
        }
        let latest = value!({ replica_id: -1, topics: [{ name: &self.topic, partitions: [{ timestamp: -1 }] }] });
        while self.call(self.leader, LIST_OFFSETS, 1, latest.clone()).await["topics"][0]["partitions"][0]["error_code"]
            != 0
        {}
    }

    async fn call(&mut self, node: i64, key: i16, version: i16, body: Value) -> Value {
        self.nodes.get_mut(&node).expect("one of the three").call(key, version, body).await
    }

    fn another(&self) -> i64 {
        *self.nodes.keys().find(|id| **id != self.leader).expect("there are three")
    }

    fn produce(&self, version: i16) -> Value {
        let partition = value!({ index: 0, records: Batch::of(["v"]).encode() });
        let topic = if version >= 13 {
            value!({ topic_id: self.topic_id, partition_data: [partition] })
        } else {
            value!({ name: &self.topic, partition_data: [partition] })
        };
        value!({ acks: -1, timeout_ms: 10_000, topic_data: [topic] })
    }

    fn fetch(&self, version: i16) -> Value {
        let partition = value!({ partition: 0, fetch_offset: 0, partition_max_bytes: 1_000_000 });
        let topic = if version >= 13 {
            value!({ topic_id: self.topic_id, partitions: [partition] })
        } else {
            value!({ topic: &self.topic, partitions: [partition] })
        };
        value!({ max_wait_ms: 0, min_bytes: 0, max_bytes: 1_000_000, topics: [topic] })
    }
}

#[tokio::test]
async fn a_node_that_does_not_lead_refuses_a_produce_and_from_v10_on_names_the_one_that_does() {
    // KIP-951; KafkaApis.handleProduceRequest.
    let mut cluster = Cluster::with_topic(1).await;
    let (leader, other) = (cluster.leader, cluster.another());
    for version in 3..=13 {
        let answer = cluster.call(other, PRODUCE, version, cluster.produce(version)).await;
        let partition = &answer["responses"][0]["partition_responses"][0];
        assert_eq!(partition["error_code"].int(), NOT_LEADER_OR_FOLLOWER, "v{version}");
        assert_eq!(partition["base_offset"], -1);
        if version >= 10 {
            assert_eq!(partition["current_leader"]["leader_id"].int(), leader, "v{version}");
            assert_eq!(partition["current_leader"]["leader_epoch"], 0);
            let endpoints = answer["node_endpoints"].array();
            assert_eq!(endpoints.iter().map(|node| node["node_id"].int()).collect::<Vec<_>>(), [leader]);
            assert!(endpoints[0]["port"].int() > 0);
        }
    }
    let taken = cluster.call(leader, PRODUCE, 13, cluster.produce(13)).await;
    assert_eq!(taken["responses"][0]["partition_responses"][0]["error_code"], 0);
}

#[tokio::test]
async fn a_node_without_a_replica_refuses_a_fetch_and_from_v16_on_names_the_leader() {
    // KIP-951; KafkaApis.handleFetchRequest.
    let mut cluster = Cluster::with_topic(1).await;
    let (leader, other) = (cluster.leader, cluster.another());
    for version in 4..=18 {
        let answer = cluster.call(other, FETCH, version, cluster.fetch(version)).await;
        let partition = &answer["responses"][0]["partitions"][0];
        assert_eq!(partition["error_code"].int(), NOT_LEADER_OR_FOLLOWER, "v{version}");
        if version >= 16 {
            assert_eq!(partition["current_leader"]["leader_id"].int(), leader, "v{version}");
            assert_eq!(answer["node_endpoints"][0]["node_id"].int(), leader, "v{version}");
        }
    }
}

#[tokio::test]
async fn a_follower_answers_a_fetch_from_v11_on() {
    // KIP-392: the version says that the client knows what to do with it.
    let mut cluster = Cluster::with_topic(3).await;
    let (leader, follower) = (cluster.leader, cluster.another());
    cluster.call(leader, PRODUCE, 12, cluster.produce(12)).await;
    let old = cluster.call(follower, FETCH, 10, cluster.fetch(10)).await;
    assert_eq!(old["responses"][0]["partitions"][0]["error_code"].int(), NOT_LEADER_OR_FOLLOWER);
    let body = cluster.fetch(11);
    let read = async {
        loop {
            let answer = cluster.call(follower, FETCH, 11, body.clone()).await;
            let partition = answer["responses"][0]["partitions"][0].clone();
            assert_eq!(partition["error_code"], 0);
            if !partition["records"].bytes().is_empty() {
                return partition;
            }
        }
    };
    let partition = patiently("the follower to have the record", read).await;
    assert_eq!(Batch::decode_all(partition["records"].bytes().clone())[0].record_count, 1);
}

#[tokio::test]
async fn only_the_leader_tells_offsets_and_deletes_records() {
    // Partition.localLogWithEpochOrThrow with requireLeader.
    let mut cluster = Cluster::with_topic(3).await;
    let follower = cluster.another();
    let body = value!({ replica_id: -1, topics: [{ name: &cluster.topic, partitions: [{ timestamp: -1 }] }] });
    let answer = cluster.call(follower, LIST_OFFSETS, 5, body).await;
    assert_eq!(answer["topics"][0]["partitions"][0]["error_code"].int(), NOT_LEADER_OR_FOLLOWER);
    let body = value!({ replica_id: -1, topics: [{ topic: &cluster.topic, partitions: [{ leader_epoch: 0 }] }] });
    let answer = cluster.call(follower, OFFSET_FOR_LEADER_EPOCH, 4, body).await;
    assert_eq!(answer["topics"][0]["partitions"][0]["error_code"].int(), NOT_LEADER_OR_FOLLOWER);
    let body = value!({ topics: [{ name: &cluster.topic, partitions: [{ offset: 0 }] }], timeout_ms: 1000 });
    let answer = cluster.call(follower, DELETE_RECORDS, 2, body).await;
    assert_eq!(answer["topics"][0]["partitions"][0]["error_code"].int(), NOT_LEADER_OR_FOLLOWER);
}

#[tokio::test]
async fn every_node_names_the_same_coordinator_and_the_same_nodes() {
    // GroupCoordinator.partitionFor: the hash of the group decides, whoever is asked.
    let mut cluster = Cluster::with_topic(1).await;
    let ids: Vec<i64> = cluster.nodes.keys().copied().collect();
    let group = unique("group");
    let body = value!({ key_type: 0, coordinator_keys: [&*group] });
    let mut coordinators = Vec::new();
    for id in &ids {
        let ask = async {
            loop {
                let answer = cluster.call(*id, FIND_COORDINATOR, 4, body.clone()).await;
                let coordinator = &answer["coordinators"][0];
                if coordinator["error_code"] == 0 {
                    return coordinator["node_id"].int();
                }
            }
        };
        coordinators.push(patiently("the internal topic", ask).await);
        let described = cluster.call(*id, DESCRIBE_CLUSTER, 1, value!({ endpoint_type: 1 })).await;
        let mut nodes: Vec<i64> = described["brokers"].array().iter().map(|node| node["broker_id"].int()).collect();
        nodes.sort_unstable();
        assert_eq!(nodes, ids);
    }
    assert!(coordinators.iter().all(|node| *node == coordinators[0]), "{coordinators:?}");
    assert!(ids.contains(&coordinators[0]));
}
