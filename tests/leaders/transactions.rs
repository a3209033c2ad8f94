//! Transactions on three nodes: who speaks for a transactional id, markers in partitions that others lead, and what goes on when
//! a leader moves in the middle: that of a partition, or the coordinator itself.

use system_tests::api::{
    ADD_OFFSETS_TO_TXN, ADD_PARTITIONS_TO_TXN, ALTER_PARTITION_REASSIGNMENTS, DESCRIBE_PRODUCERS,
    DESCRIBE_TRANSACTIONS, ELECT_LEADERS, END_TXN, INIT_PRODUCER_ID, LIST_TRANSACTIONS,
};
use system_tests::judge::run::fitting;

use super::*;

const NOT_COORDINATOR: i64 = 16;
const CONCURRENT_TRANSACTIONS: i64 = 51;
/// What a leader says while the coordinator, which it asks about the partition, is being moved by another test.
const NOT_ENOUGH_REPLICAS: i64 = 19;
/// COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR, CONCURRENT_TRANSACTIONS.
const LATER: [i64; 4] = [14, 15, NOT_COORDINATOR, CONCURRENT_TRANSACTIONS];
const STATE: &str = "__transaction_state";

/// A request, and where its answer has the code.
type Asked = (i16, i16, Value, fn(&Value) -> i64);

/// A producer with a transactional id.
struct Producer {
    transactional_id: String,
    id: i64,
    epoch: i64,
    sequence: i32,
}

impl Cluster {
    /// The node that every node names as the coordinator of a transactional id.
    async fn transaction_coordinator(&mut self, id: &str) -> i64 {
        let body = value!({ key_type: 1, coordinator_keys: [id] });
        let ids: Vec<i64> = self.nodes.keys().copied().collect();
        let asked = async {
            loop {
                let mut named = Vec::new();
                for node in &ids {
                    let answer = self.call(*node, FIND_COORDINATOR, 4, body.clone()).await;
                    let coordinator = &answer["coordinators"][0];
                    named.push((coordinator["error_code"].int(), coordinator["node_id"].int()));
                }
                if named.iter().all(|it| it.0 == 0 && *it == named[0]) {
                    return named[0].1;
                }
            }
        };
        patiently("all nodes to name one coordinator", asked).await
    }

    /// Asks the coordinator, wherever it is by now, until it can answer. The code is where `code` finds it.
    async fn ask_it(&mut self, id: &str, api: (i16, i16), body: Value, code: fn(&Value) -> i64) -> Value {
        let asked = async {
            loop {
                let node = self.transaction_coordinator(id).await;
                let answer = self.call(node, api.0, api.1, body.clone()).await;
                if !LATER.contains(&code(&answer)) {
                    return answer;
                }
            }
        };
        patiently("the coordinator to answer", asked).await
    }

    async fn producer(&mut self) -> Producer {
        let transactional_id = unique("mover");
        let answer = self.ask_it(&transactional_id, (INIT_PRODUCER_ID, 5), init(&transactional_id), code).await;
        assert_eq!(code(&answer), 0, "{answer:?}");
        let (id, epoch) = (answer["producer_id"].int(), answer["producer_epoch"].int());
        Producer { transactional_id, id, epoch, sequence: 0 }
    }

    /// Writes one record in the transaction of `producer`, which begins in passing. Its offset.
    async fn write_in(&mut self, producer: &mut Producer, value: &str) -> i64 {
        let epoch = i16::try_from(producer.epoch).expect("an epoch has 16 bits");
        // Of today, as its marker will be: both are in one segment, and in one answer.
        let now = now_ms();
        let batch = Batch { base_timestamp: now, max_timestamp: now, ..Batch::of([value]) };
        let batch = batch.from_producer(producer.id, epoch, producer.sequence).transactional();
        let partition = value!({ index: 0, records: batch.encode() });
        let body = value!({
            transactional_id: &producer.transactional_id, acks: -1, timeout_ms: 10_000,
            topic_data: [{ name: &self.topic, partition_data: [partition] }],
        });
        let leader = self.leader;
        let written = async {
            loop {
                let answer = self.call(leader, PRODUCE, 12, body.clone()).await;
                let partition = answer["responses"][0]["partition_responses"][0].clone();
                let code = code(&partition);
                if code == 0 {
                    return partition["base_offset"].int();
                }
                let is_passing = [NOT_LEADER_OR_FOLLOWER, NOT_ENOUGH_REPLICAS].contains(&code) || LATER.contains(&code);
                assert!(is_passing, "{partition:?}");
            }
        };
        let offset = patiently("the record to be taken", written).await;
        producer.sequence += 1;
        offset
    }

    /// Ends the transaction and waits for its markers. What the producer is then.
    async fn end(&mut self, producer: &mut Producer, commits: bool) {
        let body = value!({
            transactional_id: &producer.transactional_id, producer_id: producer.id, producer_epoch: producer.epoch,
            committed: commits,
        });
        let id = producer.transactional_id.clone();
        let answer = self.ask_it(&id, (END_TXN, 5), body, code).await;
        assert_eq!(code(&answer), 0, "{answer:?}");
        producer.epoch = answer["producer_epoch"].int();
        producer.sequence = 0;
        let expected = if commits { "CompleteCommit" } else { "CompleteAbort" };
        let complete = async { while self.state(&id).await != expected {} };
        patiently("the transaction to be complete", complete).await;
    }

    async fn state(&mut self, id: &str) -> String {
        let body = value!({ transactional_ids: [id] });
        let code = |answer: &Value| answer["transaction_states"][0]["error_code"].int();
        let answer = self.ask_it(id, (DESCRIBE_TRANSACTIONS, 0), body, code).await;
        answer["transaction_states"][0]["transaction_state"].str().to_owned()
    }

    /// What `read_committed` gets from the leader: last stable offset, aborted transactions, batches.
    async fn committed(&mut self) -> (i64, Vec<(i64, i64)>, Vec<Batch>) {
        let partition = value!({ partition: 0, fetch_offset: 0, partition_max_bytes: 1_000_000 });
        let body = value!({
            max_wait_ms: 0, min_bytes: 0, max_bytes: 1_000_000, isolation_level: 1,
            topics: [{ topic: &self.topic, partitions: [partition] }],
        });
        let leader = self.leader;
        let answer = self.call(leader, FETCH, 12, fitting(FETCH, 12, body)).await;
        let partition = &answer["responses"][0]["partitions"][0];
        assert_eq!(code(partition), 0, "{partition:?}");
        let aborted = partition["aborted_transactions"].array().iter();
        let aborted = aborted.map(|it| (it["producer_id"].int(), it["first_offset"].int())).collect();
        let batches = Batch::decode_all(partition["records"].bytes().clone());
        (partition["last_stable_offset"].int(), aborted, batches)
    }

    /// Makes another node lead a partition, by a new order of its replicas and an election.
    async fn lead(&mut self, topic: &str, partition: i32) -> i64 {
        let at = |answer: &Value| answer["topics"][0]["partitions"].find("partition_index", partition).clone();
        let metadata = value!({ topics: [{ name: topic }], allow_auto_topic_creation: false });
        let asked = self.another();
        let told = at(&self.call(asked, METADATA, 12, metadata.clone()).await);
        let old = told["leader_id"].int();
        let replicas: Vec<i64> = told["replica_nodes"].array().iter().map(Value::int).collect();
        let to = *replicas.iter().find(|id| **id != old).expect("there are three");
        let order: Vec<Value> =
            std::iter::once(to).chain(replicas.into_iter().filter(|id| *id != to)).map(Value::from).collect();
        let moved = value!({ partition_index: partition, replicas: order });
        let body = value!({ topics: [{ name: topic, partitions: [moved] }], timeout_ms: 10_000 });
        let answer = self.call(old, ALTER_PARTITION_REASSIGNMENTS, 1, body).await;
        assert_eq!(code(&answer["responses"][0]["partitions"][0]), 0, "{answer:?}");
        let body = value!({
            election_type: 0, topic_partitions: [{ topic: topic, partitions: [partition] }], timeout_ms: 10_000,
        });
        let elected = async {
            loop {
                let answer = self.call(old, ELECT_LEADERS, 2, body.clone()).await;
                if code(&answer["replica_election_results"][0]["partition_result"][0]) == 0 {
                    return;
                }
            }
        };
        patiently("the election", elected).await;
        let ids: Vec<i64> = self.nodes.keys().copied().collect();
        for node in ids {
            let told =
                async { while at(&self.call(node, METADATA, 12, metadata.clone()).await)["leader_id"].int() != to {} };
            patiently("all nodes to know", told).await;
        }
        to
    }

    /// Makes another node the coordinator of a transactional id.
    async fn move_transaction_coordinator(&mut self, id: &str) -> i64 {
        let body = value!({ topics: [{ name: STATE }], allow_auto_topic_creation: false });
        let node = self.leader;
        let answer = self.call(node, METADATA, 12, body).await;
        let count = answer["topics"][0]["partitions"].array().len();
        let to = self.lead(STATE, hash(id) % i32::try_from(count).expect("few partitions")).await;
        let named = async { while self.transaction_coordinator(id).await != to {} };
        patiently("the new coordinator to be named", named).await;
        to
    }
}

/// `Utils.abs(id.hashCode)`, of ASCII. The absolute value of the least number is 0.
fn hash(id: &str) -> i32 {
    let hash = id.bytes().fold(0_i32, |hash, byte| hash.wrapping_mul(31).wrapping_add(i32::from(byte)));
    hash.checked_abs().unwrap_or(0)
}

#[expect(clippy::disallowed_methods, reason = "the time of a real Kafka is that of the machine")]
fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is after 1970");
    i64::try_from(now.as_millis()).expect("not for a while")
}

fn code(answer: &Value) -> i64 {
    answer["error_code"].int()
}

fn init(id: &str) -> Value {
    value!({ transactional_id: id, transaction_timeout_ms: 60_000, producer_id: -1, producer_epoch: -1 })
}

#[tokio::test]
async fn only_its_coordinator_speaks_for_a_transactional_id() {
    // TransactionStateManager.getTransactionState: NOT_COORDINATOR from whoever does not lead the partition of the id.
    let mut cluster = Cluster::with_topic(1).await;
    let mut producer = cluster.producer().await;
    cluster.write_in(&mut producer, "a").await;
    let id = &*producer.transactional_id.clone();
    let coordinator = cluster.transaction_coordinator(id).await;
    let other = *cluster.nodes.keys().find(|node| **node != coordinator).expect("there are three");
    let of = value!({ transactional_id: id, producer_id: producer.id, producer_epoch: producer.epoch });
    let topics = value!([{ name: &cluster.topic, partitions: [0] }]);
    let add = value!({
        v3_and_below_transactional_id: id, v3_and_below_producer_id: producer.id,
        v3_and_below_producer_epoch: producer.epoch, v3_and_below_topics: topics,
    });
    let added: fn(&Value) -> i64 =
        |it| it["results_by_topic_v3_and_below"][0]["results_by_partition"][0]["partition_error_code"].int();
    let described: fn(&Value) -> i64 = |it| it["transaction_states"][0]["error_code"].int();
    let with = |name: &'static str, value: Value| {
        let Value::Struct(fields) = of.clone() else { panic!("{of:?} is no struct") };
        Value::Struct(fields.into_iter().chain([(name, value)]).collect())
    };
    let group = with("group_id", Value::from("g"));
    let asked: [Asked; 5] = [
        (INIT_PRODUCER_ID, 5, init(id), code),
        (ADD_PARTITIONS_TO_TXN, 3, add, added),
        (ADD_OFFSETS_TO_TXN, 4, group, code),
        (END_TXN, 5, with("committed", Value::from(true)), code),
        (DESCRIBE_TRANSACTIONS, 0, value!({ transactional_ids: [id] }), described),
    ];
    for (key, version, body, code) in asked {
        let answer = cluster.call(other, key, version, body).await;
        assert_eq!(code(&answer), NOT_COORDINATOR, "api {key}: {answer:?}");
    }
    // Each lists what is its own.
    let filters = value!({ state_filters: ["Ongoing"], producer_id_filters: [producer.id] });
    for node in cluster.nodes.keys().copied().collect::<Vec<_>>() {
        let listed = cluster.call(node, LIST_TRANSACTIONS, 0, filters.clone()).await["transaction_states"].clone();
        assert_eq!(listed.array().len(), usize::from(node == coordinator), "node {node}");
    }
    cluster.end(&mut producer, true).await;
}

#[tokio::test]
async fn markers_go_to_whoever_leads() {
    // Three partitions of three leaders; one of them, or none, is the coordinator's own.
    let mut cluster = Cluster::with_topic(1).await;
    let mut producer = cluster.producer().await;
    let mut topics = Vec::new();
    let nodes: Vec<i64> = cluster.nodes.keys().copied().collect();
    for node in &nodes {
        let topic = unique("markers");
        let wanted = value!({
            name: &topic, num_partitions: -1, replication_factor: -1,
            assignments: [{ partition_index: 0, broker_ids: [*node] }],
        });
        let created = cluster.call(*node, CREATE_TOPICS, 7, value!({ topics: [wanted], timeout_ms: 10_000 })).await;
        assert_eq!(created["topics"][0]["error_code"], 0, "{created:?}");
        topics.push((topic, created["topics"][0]["topic_id"].uuid()));
    }
    for commits in [true, false] {
        for ((topic, topic_id), node) in topics.iter().zip(&nodes) {
            (cluster.topic, cluster.topic_id, cluster.leader) = (topic.clone(), *topic_id, *node);
            patiently("the topic to be there", cluster.settle(1)).await;
            producer.sequence = 0;
            cluster.write_in(&mut producer, "a").await;
        }
        let (id, epoch) = (producer.id, producer.epoch);
        cluster.end(&mut producer, commits).await;
        for ((topic, _), node) in topics.iter().zip(&nodes) {
            (cluster.topic, cluster.leader) = (topic.clone(), *node);
            let (stable, aborted, batches) = cluster.committed().await;
            let marker = batches.last().expect("a marker");
            assert_eq!((marker.attributes, i64::from(marker.producer_epoch)), (0x30, epoch + 1));
            // Or more: a marker whose answer is late is written again.
            assert!(stable >= if commits { 2 } else { 4 }, "{stable}");
            let aborted: Vec<_> = aborted.into_iter().map(|(id, first)| (id, first >= 2)).collect();
            assert_eq!(aborted, if commits { vec![] } else { vec![(id, true)] });
        }
    }
}

#[tokio::test]
async fn a_partition_that_gets_another_leader_keeps_its_open_transaction() {
    // The new leader knows the producer, the last stable offset and what was aborted from its own copy of the log.
    let mut cluster = Cluster::with_topic(3).await;
    let mut producer = cluster.producer().await;
    cluster.write_in(&mut producer, "a").await;
    cluster.end(&mut producer, false).await;
    // 2, or more: a marker whose answer is late is written again.
    let open = cluster.write_in(&mut producer, "b").await;
    assert!(open >= 2, "{open}");
    let topic = cluster.topic.clone();
    cluster.leader = cluster.lead(&topic, 0).await;
    assert_eq!(cluster.write_in(&mut producer, "c").await, open + 1, "no verification is wanted: it has joined");
    let (stable, aborted, _) = cluster.committed().await;
    assert_eq!((stable, aborted), (open, vec![(producer.id, 0)]));
    let body = value!({ topics: [{ name: &cluster.topic, partition_indexes: [0] }] });
    let leader = cluster.leader;
    let described = cluster.call(leader, DESCRIBE_PRODUCERS, 0, body).await;
    let active = &described["topics"][0]["partitions"][0]["active_producers"][0];
    let seen =
        ["producer_id", "producer_epoch", "last_sequence", "current_txn_start_offset"].map(|it| active[it].int());
    assert_eq!(seen, [producer.id, producer.epoch, 1, open]);
    cluster.end(&mut producer, true).await;
    let (stable, aborted, batches) = cluster.committed().await;
    assert!(stable >= open + 3 && aborted.len() == 1, "{stable} {aborted:?}");
    assert_eq!(batches.last().expect("a marker").partition_leader_epoch, 1);
}

#[tokio::test]
async fn an_open_transaction_goes_on_with_another_coordinator() {
    // KIP-98: the new one reads the log of the ids that it takes over; its markers bear its own epoch.
    let mut cluster = Cluster::with_topic(3).await;
    let mut producer = cluster.producer().await;
    let id = producer.transactional_id.clone();
    cluster.write_in(&mut producer, "a").await;
    let old = cluster.transaction_coordinator(&id).await;
    let new = cluster.move_transaction_coordinator(&id).await;
    assert_ne!(old, new);
    assert_eq!(cluster.state(&id).await, "Ongoing");
    let body = value!({ transactional_ids: [&*id] });
    let refused = cluster.call(old, DESCRIBE_TRANSACTIONS, 0, body).await;
    assert_eq!(code(&refused["transaction_states"][0]), NOT_COORDINATOR);
    cluster.write_in(&mut producer, "b").await;
    cluster.end(&mut producer, true).await;
    let (stable, _, batches) = cluster.committed().await;
    assert!(stable >= 3, "{stable}");
    let marker = batches.last().expect("a marker").records().remove(0);
    assert_eq!(marker.value.as_deref(), Some(&[0, 0, 0, 0, 0, 1][..]), "version 0, coordinator epoch 1");
    // And a retry of what the old one was asked.
    cluster.write_in(&mut producer, "c").await;
    cluster.move_transaction_coordinator(&id).await;
    cluster.end(&mut producer, false).await;
    assert!(cluster.committed().await.0 >= stable + 2);
}
