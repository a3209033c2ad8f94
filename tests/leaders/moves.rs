//! Leaders that move: by an election, by a reassignment. Who may write and read then, under which epoch, and who waits.

use system_tests::api::{
    ALTER_PARTITION_REASSIGNMENTS, DESCRIBE_LOG_DIRS, DESCRIBE_PRODUCERS, DESCRIBE_TOPIC_PARTITIONS, ELECT_LEADERS,
    LIST_PARTITION_REASSIGNMENTS, OFFSET_COMMIT, OFFSET_FETCH,
};

use super::*;

const FENCED_LEADER_EPOCH: i64 = 74;

impl Cluster {
    /// A cluster with a topic of one partition on all nodes, in the order of their ids but for the leader, which is first.
    async fn with_replicas() -> Self {
        Self::with_topic(3).await
    }

    /// What a node says of the partition.
    async fn told(&mut self, node: i64) -> Value {
        let body = value!({ topics: [{ name: &self.topic }], allow_auto_topic_creation: false });
        self.call(node, METADATA, 12, body).await["topics"][0]["partitions"][0].clone()
    }

    /// Asks every node until it says of the partition what is expected.
    async fn until_all_say(&mut self, what: &str, is_so: impl Fn(&Value) -> bool) {
        let ids: Vec<i64> = self.nodes.keys().copied().collect();
        for id in ids {
            let asked = async { while !is_so(&self.told(id).await) {} };
            patiently(what, asked).await;
        }
    }

    /// Asks for the partition to be moved; the error code of it.
    async fn reassign(&mut self, replicas: Option<&[i64]>) -> i64 {
        let replicas: Option<Vec<Value>> = replicas.map(|nodes| nodes.iter().map(|node| Value::from(*node)).collect());
        let partition = value!({ partition_index: 0, replicas: replicas });
        let body = value!({ topics: [{ name: &self.topic, partitions: [partition] }], timeout_ms: 10_000 });
        let node = self.leader;
        let answer = self.call(node, ALTER_PARTITION_REASSIGNMENTS, 1, body).await;
        answer["responses"][0]["partitions"][0]["error_code"].int()
    }

    /// Moves the partition to `replicas`, whose first leads then if the old leader is not among them.
    async fn moved_to(&mut self, replicas: &[i64]) {
        assert_eq!(self.reassign(Some(replicas)).await, 0);
        let expected = replicas.to_vec();
        self.until_all_say("the partition to be moved", |told| numbers(&told["replica_nodes"]) == expected).await;
        let leader = self.leader;
        self.leader = self.told(leader).await["leader_id"].int();
    }

    /// Writes a record until the leader takes it, which it does once it knows that it leads.
    async fn write(&mut self) -> Value {
        let (leader, body) = (self.leader, self.produce(12));
        let written = async {
            loop {
                let answer = self.call(leader, PRODUCE, 12, body.clone()).await;
                let partition = answer["responses"][0]["partition_responses"][0].clone();
                if partition["error_code"] == 0 {
                    return partition;
                }
                assert_eq!(partition["error_code"].int(), NOT_LEADER_OR_FOLLOWER);
            }
        };
        patiently("the leader to take a record", written).await
    }

    /// What a fetch at `version` of offset `offset` with this leader epoch gets from a node.
    async fn read(&mut self, node: i64, version: i16, offset: i64, leader_epoch: i64) -> Value {
        let partition = value!({
            partition: 0, fetch_offset: offset, partition_max_bytes: 1_000_000, current_leader_epoch: leader_epoch,
        });
        let topic = value!({ topic: &self.topic, topic_id: self.topic_id, partitions: [partition] });
        let body = value!({ max_wait_ms: 0, min_bytes: 0, max_bytes: 1_000_000, session_epoch: -1, topics: [topic] });
        self.call(node, FETCH, version, system_tests::judge::run::fitting(FETCH, version, body)).await
    }

    async fn elect(&mut self, election_type: i8) -> i64 {
        let partition = value!({ topic: &self.topic, partitions: [0] });
        let body = value!({ election_type: election_type, topic_partitions: [partition], timeout_ms: 10_000 });
        let node = self.leader;
        let answer = self.call(node, ELECT_LEADERS, 2, body).await;
        answer["replica_election_results"][0]["partition_result"][0]["error_code"].int()
    }

    /// The nodes but for `first`, which comes first.
    fn others_after(&self, first: i64) -> Vec<i64> {
        let others = self.nodes.keys().copied().filter(|id| *id != first);
        std::iter::once(first).chain(others).collect()
    }
}

pub(super) fn numbers(array: &Value) -> Vec<i64> {
    array.array().iter().map(Value::int).collect()
}

#[tokio::test]
async fn a_preferred_election_gives_the_partition_to_its_first_replica_in_a_new_epoch() {
    // KIP-460; PartitionChangeBuilder.electPreferredLeader.
    let mut cluster = Cluster::with_replicas().await;
    cluster.write().await;
    let (old, new) = (cluster.leader, cluster.another());
    cluster.moved_to(&cluster.others_after(new)).await;
    assert_eq!(cluster.leader, old, "the order of the replicas moves no leader");
    assert_eq!(cluster.told(old).await["leader_epoch"], 0);
    assert_eq!(cluster.elect(0).await, 0);
    cluster.until_all_say("the new leader", |told| told["leader_id"].int() == new).await;
    cluster.leader = new;
    assert_eq!(cluster.told(new).await["leader_epoch"], 1);
    assert_eq!(cluster.elect(0).await, 84);
    assert_eq!(cluster.elect(1).await, 84);
    assert_eq!(cluster.write().await["base_offset"], 1);
    let body = value!({ topics: [{ name: &cluster.topic }], response_partition_limit: 10 });
    let described = cluster.call(new, DESCRIBE_TOPIC_PARTITIONS, 0, body).await;
    let partition = &described["topics"][0]["partitions"][0];
    assert_eq!((partition["leader_id"].int(), partition["leader_epoch"].int()), (new, 1));
}

#[tokio::test]
async fn each_epoch_is_in_the_batches_and_in_the_answer_of_where_it_ended() {
    // KIP-101, KIP-320; LeaderEpochFileCache.
    let mut cluster = Cluster::with_replicas().await;
    cluster.write().await;
    cluster.write().await;
    let new = cluster.another();
    cluster.moved_to(&[new]).await;
    assert_eq!(cluster.leader, new);
    cluster.write().await;
    let answer = cluster.read(new, 12, 0, -1).await;
    let records = answer["responses"][0]["partitions"][0]["records"].bytes().clone();
    let epochs: Vec<_> = Batch::decode_all(records).iter().map(|batch| batch.partition_leader_epoch).collect();
    assert_eq!(epochs, [0, 0, 1]);
    for (epoch, expected) in [(0, (0, 2)), (1, (1, 3)), (2, (-1, -1))] {
        let partition = value!({ partition: 0, leader_epoch: epoch, current_leader_epoch: -1 });
        let body = value!({ replica_id: -1, topics: [{ topic: &cluster.topic, partitions: [partition] }] });
        let answer = cluster.call(new, OFFSET_FOR_LEADER_EPOCH, 4, body).await;
        let ended = &answer["topics"][0]["partitions"][0];
        assert_eq!((ended["leader_epoch"].int(), ended["end_offset"].int()), expected, "epoch {epoch}");
    }
}

#[tokio::test]
async fn the_old_leader_refuses_and_names_the_new_one() {
    // KIP-951, KIP-320. A follower serves a consumer from v11 on (KIP-392), so the old leader loses its replica here.
    let mut cluster = Cluster::with_replicas().await;
    cluster.write().await;
    let (old, new) = (cluster.leader, cluster.another());
    cluster.moved_to(&[new]).await;
    cluster.write().await;
    let refused = async {
        loop {
            let answer = cluster.call(old, PRODUCE, 13, cluster.produce(13)).await;
            if answer["responses"][0]["partition_responses"][0]["error_code"] != 0 {
                return answer;
            }
        }
    };
    let answer = patiently("the old leader to know", refused).await;
    let partition = &answer["responses"][0]["partition_responses"][0];
    assert_eq!(partition["error_code"].int(), NOT_LEADER_OR_FOLLOWER);
    let hint = &partition["current_leader"];
    assert_eq!((hint["leader_id"].int(), hint["leader_epoch"].int()), (new, 1));
    assert_eq!(answer["node_endpoints"][0]["node_id"].int(), new);
    let answer = cluster.read(old, 16, 0, 0).await;
    let partition = &answer["responses"][0]["partitions"][0];
    assert_eq!(partition["error_code"].int(), NOT_LEADER_OR_FOLLOWER);
    assert_eq!(
        (partition["current_leader"]["leader_id"].int(), partition["current_leader"]["leader_epoch"].int()),
        (new, 1)
    );
    assert_eq!(answer["node_endpoints"][0]["node_id"].int(), new);
    let answer = cluster.read(new, 16, 0, 0).await;
    let partition = &answer["responses"][0]["partitions"][0];
    assert_eq!(partition["error_code"].int(), FENCED_LEADER_EPOCH);
    assert_eq!(partition["current_leader"]["leader_epoch"], 1);
    let ahead = cluster.read(new, 16, 0, 2).await;
    assert_eq!(ahead["responses"][0]["partitions"][0]["error_code"], 75);
}

#[tokio::test]
async fn a_fetch_that_waits_is_answered_when_the_leader_moves() {
    // DelayedFetch.tryComplete: below v11 only a leader answers a consumer.
    let mut cluster = Cluster::with_replicas().await;
    cluster.write().await;
    let (old, new) = (cluster.leader, cluster.another());
    let partition = value!({ partition: 0, fetch_offset: 1, partition_max_bytes: 1_000_000 });
    let topic = value!({ topic: &cluster.topic, partitions: [partition] });
    let body = value!({ max_wait_ms: 60_000, min_bytes: 1, max_bytes: 1_000_000, session_epoch: -1, topics: [topic] });
    let mut waiting = Raw::connect(&cluster.addresses[&old]).await;
    let sent = waiting.send(FETCH, 10, body).await;
    cluster.moved_to(&cluster.others_after(new)).await;
    assert_eq!(cluster.elect(0).await, 0);
    let answer = patiently("the waiting fetch to be answered", waiting.receive(sent)).await;
    assert_eq!(answer["responses"][0]["partitions"][0]["error_code"].int(), NOT_LEADER_OR_FOLLOWER);
}

#[tokio::test]
async fn a_reassignment_is_listed_until_it_ends_and_cannot_be_taken_back_then() {
    // KIP-455; KIP-860.
    let mut cluster = Cluster::with_topic(1).await;
    let (old, new) = (cluster.leader, cluster.another());
    cluster.moved_to(&[new]).await;
    assert_eq!(cluster.leader, new);
    let ended = async {
        let body = value!({ topics: null, timeout_ms: 10_000 });
        let name = cluster.topic.clone();
        loop {
            let answer = cluster.call(new, LIST_PARTITION_REASSIGNMENTS, 0, body.clone()).await;
            if answer["topics"].array().iter().all(|topic| topic["name"] != name.as_str()) {
                return;
            }
        }
    };
    patiently("the reassignment to end", ended).await;
    assert_eq!(cluster.reassign(None).await, 85);
    let partition = value!({ partition_index: 0, replicas: [old, new] });
    let topics = value!([{ name: &cluster.topic, partitions: [partition] }]);
    let body = value!({ topics: topics, timeout_ms: 10_000, allow_replication_factor_change: false });
    let answer = cluster.call(new, ALTER_PARTITION_REASSIGNMENTS, 1, body).await;
    let partition = &answer["responses"][0]["partitions"][0];
    let text = "The replication factor is changed from 1 to 2";
    assert_eq!((partition["error_code"].int(), partition["error_message"].str()), (38, text));
}

#[tokio::test]
async fn the_epoch_rises_when_a_replica_is_taken_away_and_not_when_one_is_added() {
    // PartitionChangeBuilder.triggerLeaderEpochBumpForReplicaReassignmentIfNeeded.
    let mut cluster = Cluster::with_topic(1).await;
    let (leader, other) = (cluster.leader, cluster.another());
    let mut epochs = Vec::new();
    for replicas in [&[leader, other][..], &[other, leader], &[leader, other], &[leader]] {
        cluster.moved_to(replicas).await;
        let in_sync = replicas.len();
        cluster.until_all_say("all in sync", |told| told["isr_nodes"].array().len() == in_sync).await;
        epochs.push(cluster.told(leader).await["leader_epoch"].int());
        assert_eq!(cluster.leader, leader);
    }
    assert_eq!(epochs, [0, 0, 0, 1]);
}

#[tokio::test]
async fn a_node_tells_of_the_logs_and_producers_of_its_own_replicas_only() {
    // ReplicaManager.describeLogDirs, activeProducerState.
    let mut cluster = Cluster::with_topic(1).await;
    cluster.write().await;
    let (leader, other) = (cluster.leader, cluster.another());
    let dirs = value!({ topics: [{ topic: &cluster.topic, partitions: [0] }] });
    let producers = value!({ topics: [{ name: &cluster.topic, partition_indexes: [0] }] });
    for (node, count, error_code) in [(leader, 1, 0), (other, 0, NOT_LEADER_OR_FOLLOWER)] {
        let told = cluster.call(node, DESCRIBE_LOG_DIRS, 4, dirs.clone()).await;
        assert_eq!(told["results"][0]["topics"].array().len(), count);
        let told = cluster.call(node, DESCRIBE_PRODUCERS, 0, producers.clone()).await;
        assert_eq!(told["topics"][0]["partitions"][0]["error_code"].int(), error_code);
    }
}

#[tokio::test]
async fn a_fetch_session_survives_that_the_leader_comes_back() {
    // KIP-227: a session is a node's; what a partition is told in it changes with who leads.
    let mut cluster = Cluster::with_replicas().await;
    cluster.write().await;
    let (old, new) = (cluster.leader, cluster.another());
    let partition = value!({ partition: 0, fetch_offset: 1, partition_max_bytes: 1_000_000 });
    let topic = value!({ topic: &cluster.topic, partitions: [partition] });
    let body = value!({ max_wait_ms: 0, min_bytes: 0, max_bytes: 1_000_000, session_epoch: 0, topics: [topic] });
    let begun = cluster.call(old, FETCH, 10, body).await;
    let session_id = begun["session_id"].int();
    assert!(session_id > 0, "{begun:?}");
    let go_on = |epoch: i64| {
        value!({
            max_wait_ms: 0, min_bytes: 0, max_bytes: 1_000_000, session_id: session_id, session_epoch: epoch, topics: [],
        })
    };
    cluster.moved_to(&cluster.others_after(new)).await;
    assert_eq!(cluster.elect(0).await, 0);
    let mut epoch = 1;
    let refused = async {
        loop {
            let answer = cluster.call(old, FETCH, 10, go_on(epoch)).await;
            assert_eq!((answer["error_code"].int(), answer["session_id"].int()), (0, session_id));
            epoch += 1;
            if let [topic] = answer["responses"].array() {
                return topic["partitions"][0]["error_code"].int();
            }
        }
    };
    assert_eq!(patiently("the session to tell of the move", refused).await, NOT_LEADER_OR_FOLLOWER);
    cluster.leader = new;
    cluster.moved_to(&cluster.others_after(old)).await;
    assert_eq!(cluster.elect(0).await, 0);
    let back = async {
        loop {
            let answer = cluster.call(old, FETCH, 10, go_on(epoch)).await;
            epoch += 1;
            match answer["responses"].array() {
                [topic] if topic["partitions"][0]["error_code"] == 0 => return,
                _ => {}
            }
        }
    };
    patiently("the session to tell that the leader is back", back).await;
}

#[tokio::test]
async fn a_group_goes_with_its_partition_to_another_coordinator() {
    // GroupCoordinatorService.onResignation, onElection: committed offsets are read back from the log.
    let mut cluster = Cluster::with_topic(1).await;
    let group = unique("moving");
    let first = cluster.leader;
    let find = value!({ key_type: 0, coordinator_keys: [&*group] });
    let found = async {
        loop {
            let answer = cluster.call(first, FIND_COORDINATOR, 4, find.clone()).await;
            if answer["coordinators"][0]["error_code"] == 0 {
                return answer["coordinators"][0]["node_id"].int();
            }
        }
    };
    let coordinator = patiently("a coordinator", found).await;
    let committed =
        value!({ partition_index: 0, committed_offset: 7, committed_leader_epoch: -1, committed_metadata: "m" });
    let commit = value!({
        group_id: &group, generation_id_or_member_epoch: -1, member_id: "",
        topics: [{ name: &cluster.topic, partitions: [committed] }],
    });
    let taken = async {
        while cluster.call(coordinator, OFFSET_COMMIT, 8, commit.clone()).await["topics"][0]["partitions"][0]["error_code"]
            != 0
        {}
    };
    patiently("the commit to be taken", taken).await;
    let offsets = value!({ topics: [{ name: "__consumer_offsets" }], allow_auto_topic_creation: false });
    let all = cluster.call(first, METADATA, 12, offsets).await["topics"][0]["partitions"].clone();
    let count = i32::try_from(all.array().len()).expect("few partitions");
    let partition = i64::from(partition_for(&group, count));
    let replicas = numbers(&all.find("partition_index", partition)["replica_nodes"]);
    let to = *cluster.nodes.keys().find(|id| **id != coordinator).expect("there are three");
    let order: Vec<Value> =
        std::iter::once(to).chain(replicas.into_iter().filter(|id| *id != to)).map(Value::from).collect();
    let moved = value!({ partition_index: partition, replicas: order });
    let body = value!({ topics: [{ name: "__consumer_offsets", partitions: [moved] }], timeout_ms: 10_000 });
    let answer = cluster.call(first, ALTER_PARTITION_REASSIGNMENTS, 1, body).await;
    assert_eq!(answer["responses"][0]["partitions"][0]["error_code"], 0);
    let body = value!({
        election_type: 0, topic_partitions: [{ topic: "__consumer_offsets", partitions: [partition] }], timeout_ms: 10_000,
    });
    let elected = cluster.call(first, ELECT_LEADERS, 2, body).await;
    let result = &elected["replica_election_results"][0]["partition_result"][0];
    assert_eq!(result["error_code"], 0, "{elected:?}");
    let fetch = value!({ groups: [{ group_id: &group, topics: null }], require_stable: false });
    let read = async {
        loop {
            let answer = cluster.call(to, OFFSET_FETCH, 8, fetch.clone()).await;
            // A new coordinator that has loaded shows what its high watermark covers, which comes a moment later.
            if let [topic] = answer["groups"][0]["topics"].array() {
                return topic["partitions"][0]["committed_offset"].int();
            }
        }
    };
    assert_eq!(patiently("the new coordinator to have loaded", read).await, 7);
    let gone = async {
        while cluster.call(coordinator, OFFSET_FETCH, 8, fetch.clone()).await["groups"][0]["error_code"] != 16 {}
    };
    patiently("the old coordinator to say NOT_COORDINATOR", gone).await;
}

/// `Utils.abs(group.hashCode) % count`, of ASCII. The absolute value of the least number is 0.
fn partition_for(group: &str, count: i32) -> i32 {
    let hash = group.bytes().fold(0_i32, |hash, byte| hash.wrapping_mul(31).wrapping_add(i32::from(byte)));
    hash.checked_abs().unwrap_or(0) % count
}
