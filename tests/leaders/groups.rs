//! Groups on three nodes: which node speaks for which, what the others say, and how a group goes on when its coordinator moves.

use system_tests::api::{
    ALTER_PARTITION_REASSIGNMENTS, CONSUMER_GROUP_DESCRIBE, CONSUMER_GROUP_HEARTBEAT, DELETE_GROUPS, DESCRIBE_GROUPS,
    ELECT_LEADERS, HEARTBEAT, INCREMENTAL_ALTER_CONFIGS, JOIN_GROUP, LEAVE_GROUP, LIST_GROUPS, OFFSET_COMMIT,
    OFFSET_DELETE, OFFSET_FETCH, SYNC_GROUP, TXN_OFFSET_COMMIT,
};
use system_tests::consumer_protocol::{assigned, subscription};
use system_tests::judge::run::fitting;
use system_tests::raw::PATIENCE;
use tokio::sync::Mutex;

use super::*;

const COORDINATOR_LOAD_IN_PROGRESS: i64 = 14;
const COORDINATOR_NOT_AVAILABLE: i64 = 15;
const NOT_COORDINATOR: i64 = 16;
const GROUP_ID_NOT_FOUND: i64 = 69;
/// What a client asks again after.
const ELSEWHERE_OR_LATER: [i64; 3] = [COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR];
/// Somebody has had it elected already.
const ELECTION_NOT_NEEDED: i64 = 84;
const OFFSETS: &str = "__consumer_offsets";

/// The partitions of `__consumer_offsets` are few, so that tests meet there: what one has moved is not to be moved on by another.
static ALONE: Mutex<()> = Mutex::const_new(());

/// Where an API has its code.
type CodeOf = fn(&Value) -> i64;

impl Cluster {
    /// The node that every node names as the coordinator of a group.
    async fn coordinator(&mut self, group: &str) -> i64 {
        let body = value!({ key_type: 0, coordinator_keys: [group] });
        let ids: Vec<i64> = self.nodes.keys().copied().collect();
        let asked = async {
            loop {
                let mut named = Vec::new();
                for id in &ids {
                    let answer = self.call(*id, FIND_COORDINATOR, 4, body.clone()).await;
                    named.push((
                        answer["coordinators"][0]["error_code"].int(),
                        answer["coordinators"][0]["node_id"].int(),
                    ));
                }
                if named.iter().all(|it| it.0 == 0 && *it == named[0]) {
                    return named[0].1;
                }
            }
        };
        patiently("all nodes to name one coordinator", asked).await
    }

    /// Asks the coordinator, wherever it is by now, until it answers with another code than that it cannot yet. The code is
    /// where `code` finds it.
    async fn ask_coordinator(
        &mut self,
        group: &str,
        api: (i16, i16),
        body: Value,
        code: impl Fn(&Value) -> i64,
    ) -> Value {
        let body = fitting(api.0, api.1, body);
        let mut last = (-1, Value::Null);
        let asked = async {
            loop {
                let node = self.coordinator(group).await;
                let answer = self.call(node, api.0, api.1, body.clone()).await;
                if !ELSEWHERE_OR_LATER.contains(&code(&answer)) {
                    return answer;
                }
                last = (node, answer);
            }
        };
        let answered = tokio::time::timeout(PATIENCE, asked).await;
        answered.unwrap_or_else(|_| panic!("waited {PATIENCE:?} for the coordinator, in vain; it said last {last:?}"))
    }

    /// The partition of `__consumer_offsets` that is a group's, its replicas and its leader.
    async fn partition_of(&mut self, group: &str) -> (i32, Vec<i64>, i64) {
        let body = value!({ topics: [{ name: OFFSETS }], allow_auto_topic_creation: false });
        let node = self.leader;
        let all = self.call(node, METADATA, 12, body).await["topics"][0]["partitions"].clone();
        let partition = hash(group) % i32::try_from(all.array().len()).expect("few partitions");
        let found = all.find("partition_index", partition);
        let replicas = found["replica_nodes"].array().iter().map(Value::int).collect();
        (partition, replicas, found["leader_id"].int())
    }

    /// Makes another node lead the partition of a group's coordinator: that node.
    async fn move_coordinator(&mut self, group: &str) -> i64 {
        let old = self.coordinator(group).await;
        let (partition, replicas, leader) = self.partition_of(group).await;
        assert_eq!(leader, old, "who leads the partition speaks for the group");
        let to = *replicas.iter().find(|id| **id != old).expect("there are replicas");
        let order: Vec<Value> =
            std::iter::once(to).chain(replicas.into_iter().filter(|id| *id != to)).map(Value::from).collect();
        let moved = value!({ partition_index: partition, replicas: order });
        let body = value!({ topics: [{ name: OFFSETS, partitions: [moved] }], timeout_ms: 10_000 });
        let answer = self.call(old, ALTER_PARTITION_REASSIGNMENTS, 1, body).await;
        assert_eq!(answer["responses"][0]["partitions"][0]["error_code"], 0, "{answer:?}");
        let body = value!({
            election_type: 0, topic_partitions: [{ topic: OFFSETS, partitions: [partition] }], timeout_ms: 10_000,
        });
        let elected = async {
            loop {
                let answer = self.call(old, ELECT_LEADERS, 2, body.clone()).await;
                let code = answer["replica_election_results"][0]["partition_result"][0]["error_code"].int();
                if code == 0 || code == ELECTION_NOT_NEEDED {
                    return;
                }
            }
        };
        patiently("the election", elected).await;
        let named = async { while self.coordinator(group).await != to {} };
        patiently("the new coordinator to be named", named).await;
        to
    }

    /// What the heartbeat of a consumer is told: its epoch and its assignment.
    async fn beats(&mut self, group: &str, heartbeat: Value) -> (i32, Value) {
        let answer = self.ask_coordinator(group, (CONSUMER_GROUP_HEARTBEAT, 1), heartbeat, code).await;
        assert_eq!(code(&answer), 0, "{answer:?}");
        (i32::try_from(answer["member_epoch"].int()).expect("an epoch"), answer["assignment"].clone())
    }

    /// Joins as a consumer that reads the topic, and waits until it has a part of that: its epoch.
    async fn has_consumer(&mut self, group: &str, member_id: &str) -> i32 {
        let topics = Value::from(vec![Value::from(&*self.topic)]);
        let join = value!({
            group_id: group, member_id: member_id, member_epoch: 0, instance_id: null, rack_id: null,
            rebalance_timeout_ms: 60_000, subscribed_topic_names: topics, subscribed_topic_regex: null,
            server_assignor: null, topic_partitions: [],
        });
        let (mut epoch, mut assignment) = self.beats(group, join).await;
        while assignment.is_null() || assignment["topic_partitions"].array().is_empty() {
            (epoch, assignment) = self.beats(group, beat(group, member_id, epoch)).await;
        }
        epoch
    }
}

/// `Utils.abs(group.hashCode)`, of ASCII. The absolute value of the least number is 0.
fn hash(group: &str) -> i32 {
    let hash = group.bytes().fold(0_i32, |hash, byte| hash.wrapping_mul(31).wrapping_add(i32::from(byte)));
    hash.checked_abs().unwrap_or(0)
}

fn code(answer: &Value) -> i64 {
    answer["error_code"].int()
}

fn join(group: &str, member_id: &str) -> Value {
    value!({
        group_id: group, session_timeout_ms: 30_000, rebalance_timeout_ms: 30_000, member_id: member_id,
        protocol_type: "test", protocols: [{ name: "p", metadata: "m".as_bytes() }],
    })
}

fn beat(group: &str, member_id: &str, epoch: i32) -> Value {
    value!({
        group_id: group, member_id: member_id, member_epoch: epoch, instance_id: null, rack_id: null,
        rebalance_timeout_ms: -1, subscribed_topic_names: null, subscribed_topic_regex: null, server_assignor: null,
        topic_partitions: null,
    })
}

fn commit(cluster: &Cluster, group: &str, member_id: &str, generation: i64, offset: i64) -> Value {
    let partition = value!({ partition_index: 0, committed_offset: offset, committed_leader_epoch: -1 });
    value!({
        group_id: group, generation_id_or_member_epoch: generation, member_id: member_id,
        topics: [{ name: &cluster.topic, partitions: [partition] }],
    })
}

/// Makes the coordinator compute an assignment in the request that calls for it.
async fn assign_at_once(cluster: &mut Cluster, group: &str) {
    cluster.coordinator(group).await;
    let config = value!({ name: "consumer.assignment.interval.ms", config_operation: 0, value: "0" });
    let body = value!({ resources: [{ resource_type: 32, resource_name: group, configs: [config] }] });
    let node = cluster.leader;
    let altered = cluster.call(node, INCREMENTAL_ALTER_CONFIGS, 1, body).await;
    assert_eq!(altered["responses"][0]["error_code"], 0, "{altered:?}");
}

/// A member of a classic group that has its assignment: its id and generation.
async fn stable_member(cluster: &mut Cluster, group: &str) -> (String, i64) {
    let told = cluster.ask_coordinator(group, (JOIN_GROUP, 9), join(group, ""), code).await;
    let id = told["member_id"].str().to_owned();
    let joined = cluster.ask_coordinator(group, (JOIN_GROUP, 9), join(group, &id), code).await;
    assert_eq!(code(&joined), 0, "{joined:?}");
    let generation = joined["generation_id"].int();
    let body = value!({
        group_id: group, generation_id: generation, member_id: &id, protocol_type: "test", protocol_name: "p",
        assignments: [{ member_id: &id, assignment: "mine".as_bytes() }],
    });
    let synced = cluster.ask_coordinator(group, (SYNC_GROUP, 5), body, code).await;
    assert_eq!(synced["assignment"], "mine".as_bytes());
    (id, generation)
}

/// The code of what describes a group that is there. A coordinator describes what its log has up to the high watermark, of which
/// one that is new hears a moment after it speaks for the group: until then it knows none
/// (`CoordinatorRuntime.scheduleReadOperation`, `lastCommittedOffset`).
fn there(answer: &Value) -> i64 {
    let group = &answer["groups"][0];
    match group["error_code"].int() {
        GROUP_ID_NOT_FOUND => COORDINATOR_LOAD_IN_PROGRESS,
        _ if group["group_state"] == "Dead" => COORDINATOR_LOAD_IN_PROGRESS,
        code => code,
    }
}

#[tokio::test]
async fn groups_are_spread_over_the_nodes_by_their_hash() {
    // GroupCoordinatorService.partitionFor: the leader of the partition speaks for the group, whichever node is asked.
    let _alone = ALONE.lock().await;
    let mut cluster = Cluster::with_topic(1).await;
    let mut coordinators = std::collections::BTreeSet::new();
    for _ in 0..12 {
        let group = unique("spread");
        let coordinator = cluster.coordinator(&group).await;
        assert_eq!(cluster.partition_of(&group).await.2, coordinator);
        coordinators.insert(coordinator);
    }
    assert!(coordinators.len() > 1, "{coordinators:?}");
}

#[tokio::test]
async fn a_node_that_does_not_speak_for_a_group_says_so_in_every_api() {
    let _alone = ALONE.lock().await;
    let mut cluster = Cluster::with_topic(1).await;
    let group = unique("elsewhere");
    let (member_id, generation) = stable_member(&mut cluster, &group).await;
    let committed = commit(&cluster, &group, &member_id, generation, 3);
    let first = |answer: &Value| answer["topics"][0]["partitions"][0]["error_code"].int();
    let taken = cluster.ask_coordinator(&group, (OFFSET_COMMIT, 9), committed.clone(), first).await;
    assert_eq!(first(&taken), 0);
    let coordinator = cluster.coordinator(&group).await;
    let partitions = value!([{ name: &cluster.topic, partitions: [{ partition_index: 0 }] }]);
    let in_transaction = value!({
        transactional_id: "t", group_id: &group, producer_id: 1, producer_epoch: 0, generation_id: -1, member_id: "",
        topics: [{ name: &cluster.topic, partitions: [{ partition_index: 0, committed_offset: 1 }] }],
    });
    let identity = value!({ group_id: &group, generation_id: generation, member_id: &member_id });
    let refusals: [(i16, i16, Value, CodeOf); 12] = [
        (JOIN_GROUP, 9, join(&group, &member_id), code),
        (
            SYNC_GROUP,
            5,
            value!({
                group_id: &group, generation_id: generation, member_id: &member_id, protocol_type: "test", protocol_name: "p",
                assignments: [],
            }),
            code,
        ),
        (HEARTBEAT, 4, identity, code),
        (LEAVE_GROUP, 5, value!({ group_id: &group, members: [{ member_id: &member_id }] }), code),
        (OFFSET_COMMIT, 9, committed, |answer| answer["topics"][0]["partitions"][0]["error_code"].int()),
        (OFFSET_FETCH, 9, value!({ groups: [{ group_id: &group, member_epoch: -1, topics: null }] }), |answer| {
            answer["groups"][0]["error_code"].int()
        }),
        (OFFSET_DELETE, 0, value!({ group_id: &group, topics: partitions }), code),
        (TXN_OFFSET_COMMIT, 3, in_transaction, |answer| answer["topics"][0]["partitions"][0]["error_code"].int()),
        (DESCRIBE_GROUPS, 6, value!({ groups: [&*group] }), |answer| answer["groups"][0]["error_code"].int()),
        (DELETE_GROUPS, 2, value!({ groups_names: [&*group] }), |answer| answer["results"][0]["error_code"].int()),
        (CONSUMER_GROUP_HEARTBEAT, 1, beat(&group, "m", 1), code),
        (CONSUMER_GROUP_DESCRIBE, 1, value!({ group_ids: [&*group] }), |answer| {
            answer["groups"][0]["error_code"].int()
        }),
    ];
    let others: Vec<i64> = cluster.nodes.keys().copied().filter(|id| *id != coordinator).collect();
    for other in others {
        for (key, version, body, code) in &refusals {
            let answer = cluster.call(other, *key, *version, fitting(*key, *version, body.clone())).await;
            assert_eq!(code(&answer), NOT_COORDINATOR, "API {key} of node {other}: {answer:?}");
        }
        let listed = cluster.call(other, LIST_GROUPS, 5, value!({})).await;
        assert!(listed["groups"].array().iter().all(|it| it["group_id"] != group.as_str()), "a node lists its own");
    }
    let body = value!({ group_id: &group, generation_id: generation, member_id: &member_id });
    let answer = cluster.ask_coordinator(&group, (HEARTBEAT, 4), body, code).await;
    assert_eq!(code(&answer), 0, "nothing has happened to it");
}

#[tokio::test]
async fn a_classic_group_goes_on_at_its_new_coordinator_with_its_members_and_offsets() {
    // GroupCoordinatorService.onResignation, onElection; CoordinatorLoader: a stable group is what its record says.
    let _alone = ALONE.lock().await;
    let mut cluster = Cluster::with_topic(1).await;
    let group = unique("classic");
    let (id, generation) = stable_member(&mut cluster, &group).await;
    let first = |answer: &Value| answer["topics"][0]["partitions"][0]["error_code"].int();
    let body = commit(&cluster, &group, &id, generation, 7);
    assert_eq!(first(&cluster.ask_coordinator(&group, (OFFSET_COMMIT, 9), body, first).await), 0);
    let old = cluster.coordinator(&group).await;
    let new = cluster.move_coordinator(&group).await;
    assert_ne!(old, new);
    let identity = value!({ group_id: &group, generation_id: generation, member_id: &id });
    let answer = cluster.ask_coordinator(&group, (HEARTBEAT, 4), identity.clone(), code).await;
    assert_eq!(code(&answer), 0, "the member is known, at its generation");
    let given_up = async { while code(&cluster.call(old, HEARTBEAT, 4, identity.clone()).await) != NOT_COORDINATOR {} };
    patiently("the old coordinator to have given the group up", given_up).await;
    let fetch = value!({ groups: [{ group_id: &group, member_epoch: -1, topics: null }] });
    let fetched = async {
        loop {
            let answer = cluster.call(new, OFFSET_FETCH, 9, fetch.clone()).await;
            // A new coordinator that has loaded shows what its high watermark covers, which comes a moment later.
            if let [topic] = answer["groups"][0]["topics"].array() {
                return topic["partitions"][0]["committed_offset"].int();
            }
        }
    };
    assert_eq!(patiently("the offsets", fetched).await, 7);
    let body = commit(&cluster, &group, &id, generation, 8);
    assert_eq!(first(&cluster.ask_coordinator(&group, (OFFSET_COMMIT, 9), body, first).await), 0);
    let described = value!({ groups: [&*group] });
    let described = cluster
        .ask_coordinator(&group, (DESCRIBE_GROUPS, 5), described, |answer| answer["groups"][0]["error_code"].int())
        .await;
    let described = &described["groups"][0];
    assert_eq!((described["group_state"].str(), described["protocol_data"].str()), ("Stable", "p"));
    assert_eq!(described["members"][0]["member_assignment"], "mine".as_bytes());
    let joined = cluster.ask_coordinator(&group, (JOIN_GROUP, 9), join(&group, &id), code).await;
    assert_eq!((code(&joined), joined["generation_id"].int()), (0, generation + 1), "generations go on");
}

#[tokio::test]
async fn who_waits_for_a_coordinator_that_moves_is_sent_elsewhere() {
    // GroupMetadataManager.onUnloaded.
    let _alone = ALONE.lock().await;
    let mut cluster = Cluster::with_topic(1).await;
    let group = unique("waiting");
    let (_, generation) = stable_member(&mut cluster, &group).await;
    let told = cluster.ask_coordinator(&group, (JOIN_GROUP, 9), join(&group, ""), code).await;
    let old = cluster.coordinator(&group).await;
    let mut waiting = Raw::connect(&cluster.addresses[&old]).await;
    let second = told["member_id"].str().to_owned();
    let sent = waiting.send(JOIN_GROUP, 9, fitting(JOIN_GROUP, 9, join(&group, &second))).await;
    let state = |answer: &Value| answer["groups"][0]["group_state"].str().to_owned();
    let joining = async {
        while state(&cluster.call(old, DESCRIBE_GROUPS, 5, value!({ groups: [&*group] })).await) != "PreparingRebalance"
        {
        }
    };
    patiently("the join to wait", joining).await;
    cluster.move_coordinator(&group).await;
    let answer = patiently("the join to be answered", waiting.receive(sent)).await;
    assert_eq!(code(&answer), NOT_COORDINATOR);
    let joined = cluster.ask_coordinator(&group, (JOIN_GROUP, 9), join(&group, &second), code).await;
    assert_eq!(code(&joined), 25, "an id that was told and not written is unknown there");
    assert!(generation > 0);
}

#[tokio::test]
async fn a_consumer_group_goes_on_at_its_new_coordinator_with_its_epochs_and_assignments() {
    let _alone = ALONE.lock().await;
    let mut cluster = Cluster::with_topic(1).await;
    let group = unique("consumer");
    assign_at_once(&mut cluster, &group).await;
    let epoch = cluster.has_consumer(&group, "m").await;
    let first = |answer: &Value| answer["topics"][0]["partitions"][0]["error_code"].int();
    let body = commit(&cluster, &group, "m", epoch.into(), 7);
    assert_eq!(first(&cluster.ask_coordinator(&group, (OFFSET_COMMIT, 9), body, first).await), 0);
    let old = cluster.coordinator(&group).await;
    let new = cluster.move_coordinator(&group).await;
    let (after, again) = cluster.beats(&group, beat(&group, "m", epoch)).await;
    assert_eq!((after, again.is_null()), (epoch, true), "nothing is new to the member");
    let body = value!({ group_ids: [&*group] });
    let described = cluster.ask_coordinator(&group, (CONSUMER_GROUP_DESCRIBE, 1), body, there).await;
    let described = &described["groups"][0];
    assert_eq!((described["group_state"].str(), described["members"].array().len()), ("Stable", 1));
    assert_eq!(described["members"][0]["assignment"]["topic_partitions"][0]["partitions"].array().len(), 1);
    let fenced = cluster.call(new, CONSUMER_GROUP_HEARTBEAT, 1, beat(&group, "m", epoch + 1)).await;
    assert_eq!(fenced["error_code"], 110, "epochs are checked as before");
    let given_up = async {
        while code(&cluster.call(old, CONSUMER_GROUP_HEARTBEAT, 1, beat(&group, "m", epoch)).await) != NOT_COORDINATOR {
        }
    };
    patiently("the old coordinator to have given the group up", given_up).await;
    let body = commit(&cluster, &group, "m", epoch.into(), 8);
    assert_eq!(first(&cluster.ask_coordinator(&group, (OFFSET_COMMIT, 9), body, first).await), 0);
}

#[tokio::test]
async fn a_rebalance_that_only_the_old_coordinator_knew_of_waits_until_somebody_joins() {
    // GroupMetadataManager.convertToClassicGroup writes down a stable classic group, and prepares its rebalance in memory alone;
    // onLoaded finds what was written. So whoever is left goes on with what it had while there were two.
    let _alone = ALONE.lock().await;
    let mut cluster = Cluster::with_topic(1).await;
    let group = unique("downgraded");
    assign_at_once(&mut cluster, &group).await;
    cluster.has_consumer(&group, "m").await;
    let mut id = String::new();
    let subscribed = subscription(&cluster.topic, &[]);
    let join = |id: &str| {
        value!({
            group_id: &group, session_timeout_ms: 30_000, rebalance_timeout_ms: 30_000, member_id: id,
            protocol_type: "consumer", protocols: [{ name: "range", metadata: subscribed.clone() }],
        })
    };
    let mut joined = cluster.ask_coordinator(&group, (JOIN_GROUP, 9), join(&id), code).await;
    id.push_str(joined["member_id"].str());
    joined = cluster.ask_coordinator(&group, (JOIN_GROUP, 9), join(&id), code).await;
    assert_eq!((code(&joined), joined["leader"].str()), (0, ""), "in a group of both protocols nobody leads");
    let generation = joined["generation_id"].int();
    let sync = value!({
        group_id: &group, generation_id: generation, member_id: &id, protocol_type: "consumer", protocol_name: "range",
        assignments: [],
    });
    let synced = cluster.ask_coordinator(&group, (SYNC_GROUP, 5), sync, code).await;
    assert_eq!(assigned(synced["assignment"].bytes()), [0; 0], "the consumer has the partition");

    cluster.beats(&group, beat(&group, "m", -1)).await;
    let described = async |cluster: &mut Cluster| {
        let body = value!({ groups: [&*group] });
        let answer = cluster.ask_coordinator(&group, (DESCRIBE_GROUPS, 5), body, there).await;
        answer["groups"][0].clone()
    };
    assert_eq!(described(&mut cluster).await["group_state"], "PreparingRebalance");
    cluster.move_coordinator(&group).await;
    let identity = value!({ group_id: &group, generation_id: generation, member_id: &id });
    let answer = cluster.ask_coordinator(&group, (HEARTBEAT, 4), identity, code).await;
    assert_eq!(code(&answer), 0, "the member does not hear of it");
    let found = described(&mut cluster).await;
    assert_eq!((found["group_state"].str(), found["members"].array().len()), ("Stable", 1));
    assert_eq!(assigned(found["members"][0]["member_assignment"].bytes()), [0; 0], "nobody has the partition");
    // ClassicGroup.add: the first to be there leads, though nobody has told it.
    let again = cluster.ask_coordinator(&group, (JOIN_GROUP, 9), join(&id), code).await;
    let expected = (0, id.as_str(), generation + 1);
    assert_eq!(
        (code(&again), again["leader"].str(), again["generation_id"].int()),
        expected,
        "who joins again ends it"
    );
}
