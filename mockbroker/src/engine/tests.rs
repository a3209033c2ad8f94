//! Tests of what only the engine joins: groups, their log, those who wait, time; and transactions with all that they touch
//! (`gaps`: a crash in each, `history`: random ones, `transactor`: what both are made of).

mod gaps;
mod history;
mod transactor;

use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, OffsetCommitRequest, SyncGroupRequest,
    SyncGroupResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::*;
use crate::cluster::{CONSUMER_OFFSETS, Cluster, Node, TRANSACTION_STATE};
use crate::handlers::table::Request;
use crate::handlers::{Effect, follow};
use crate::ids::IdSource;
use crate::types::{PartitionId, TopicId};
use crate::wire::request::RequestHeader;

const JOIN_GROUP: (i16, i16) = (11, 9);
const SYNC_GROUP: (i16, i16) = (14, 5);
const HEARTBEAT: (i16, i16) = (12, 4);
const OFFSET_COMMIT: (i16, i16) = (8, 9);

/// One node, a topic `t`, a clock that stands still.
struct World(Arc<Engine>);

impl World {
    fn new() -> Self {
        Self::with(&[])
    }

    fn with(properties: &[(&str, &str)]) -> Self {
        let node = Node::new(NodeId(1), "localhost".to_owned(), 9092);
        let mut ids = IdSource::new(1);
        let properties = properties.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        let cluster = Cluster::new(vec![node], &properties, &mut ids).unwrap();
        let mut state = State::new(cluster, ids);
        state.create_topic_at_start("t", 2).unwrap();
        state.auto_create(CONSUMER_OFFSETS);
        let start = Timestamp::from_millis(1_700_000_000_000);
        Self(Engine::new(state, &clock::Clock::manual_at(start), &Options::default()))
    }

    fn submit(&self, (api_key, api_version): (i16, i16), request: Request) -> Outcome {
        let address = std::net::Ipv4Addr::LOCALHOST.into();
        let origin = Origin { node: NodeId(1), connection: ConnectionId(1), client_address: address };
        let client_id = StrBytes::from_static_str("test");
        self.0.submit(origin, &RequestHeader { api_key, api_version, correlation_id: 1, client_id }, request)
    }

    fn now(&self, api: (i16, i16), request: Request) -> Response {
        match self.submit(api, request) {
            Outcome::Answer(response) => response,
            other => panic!("{other:?} is not an answer at once"),
        }
    }

    fn parked(&self, api: (i16, i16), request: Request) -> Pending {
        match self.submit(api, request) {
            Outcome::Parked(pending) => pending,
            other => panic!("{other:?} does not wait"),
        }
    }

    fn join(&self, member_id: &StrBytes) -> Pending {
        self.parked(JOIN_GROUP, Request::JoinGroup(join(member_id)))
    }

    /// A group of one member, which is assigned something. Its id.
    async fn stable_group(&self) -> StrBytes {
        let told = self.now(JOIN_GROUP, Request::JoinGroup(join(&StrBytes::default())));
        let Response::JoinGroup(told) = told else { panic!("{told:?}") };
        assert_eq!(told.error_code, 79);
        let mut pending = self.join(&told.member_id);
        self.0.advance(Duration::from_secs(3));
        let joined = joined(&mut pending).await;
        assert_eq!((joined.error_code, joined.generation_id), (0, 1));
        let synced = self.now(SYNC_GROUP, sync(&told.member_id, 1));
        let Response::SyncGroup(SyncGroupResponse { error_code: 0, assignment, .. }) = synced else {
            panic!("{synced:?}")
        };
        assert_eq!(assignment, "assigned");
        told.member_id
    }

    fn heartbeat(&self, member_id: &StrBytes, generation_id: i32) -> i16 {
        let request = HeartbeatRequest::default()
            .with_group_id(group())
            .with_member_id(member_id.clone())
            .with_generation_id(generation_id);
        let Response::Heartbeat(answer) = self.now(HEARTBEAT, Request::Heartbeat(request)) else { panic!() };
        answer.error_code
    }

    fn commit(&self, member_id: &StrBytes, generation_id: i32, offset: i64) -> i16 {
        let partition = OffsetCommitRequestPartition::default().with_partition_index(1).with_committed_offset(offset);
        let name = TopicName(StrBytes::from_static_str("t"));
        let topic = OffsetCommitRequestTopic::default().with_name(name).with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(group())
            .with_member_id(member_id.clone())
            .with_generation_id_or_member_epoch(generation_id)
            .with_topics(vec![topic]);
        let answer = self.now(OFFSET_COMMIT, Request::OffsetCommit(request));
        let Response::OffsetCommit(answer) = answer else { panic!("{answer:?}") };
        answer.topics[0].partitions[0].error_code
    }

    /// Another leader of every partition of the groups' topic.
    fn move_coordinators(&self) {
        let topic_id = self.consumer_offsets();
        let effects = (0..50).map(|partition| Effect::LeaderMoved(topic_id, PartitionId(partition))).collect();
        self.0.lock().carry_out(effects, self.0.now());
    }

    /// They have read what they lead.
    fn load_coordinators(&self) {
        let mut shared = self.0.lock();
        let loaded = shared.state.finish_loading(self.0.now());
        shared.carry_out(follow(loaded).collect(), self.0.now());
    }

    fn consumer_offsets(&self) -> TopicId {
        self.0.read(|state| state.cluster.topics().id(CONSUMER_OFFSETS).unwrap())
    }

    /// All that can be asked of groups.
    fn groups(&self) -> String {
        self.0.read(|state| {
            let described: Vec<_> =
                state.groups.list().map(|group| state.groups.describe_classic(&group.group_id)).collect();
            let offsets = state.groups.fetch_all_offsets("g", crate::group::RequireStable::No);
            format!("{described:?} {offsets:?}")
        })
    }

    fn log_end_offsets(&self) -> i64 {
        let topic_id = self.consumer_offsets();
        let end = |state: &State, index| {
            state.logs.partition(topic_id, PartitionId(index)).map_or(0, crate::log::PartitionLog::log_end_offset)
        };
        self.0.read(|state| (0..50).map(|index| end(state, index)).sum())
    }
}

fn group() -> GroupId {
    GroupId(StrBytes::from_static_str("g"))
}

fn join(member_id: &StrBytes) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default().with_name(StrBytes::from_static_str("range"));
    JoinGroupRequest::default()
        .with_group_id(group())
        .with_member_id(member_id.clone())
        .with_protocol_type(StrBytes::from_static_str("test"))
        .with_protocols(vec![protocol])
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(60_000)
}

fn sync(member_id: &StrBytes, generation_id: i32) -> Request {
    let assignment =
        SyncGroupRequestAssignment::default().with_member_id(member_id.clone()).with_assignment("assigned".into());
    Request::SyncGroup(
        SyncGroupRequest::default()
            .with_group_id(group())
            .with_member_id(member_id.clone())
            .with_generation_id(generation_id)
            .with_protocol_type(Some(StrBytes::from_static_str("test")))
            .with_protocol_name(Some(StrBytes::from_static_str("range")))
            .with_assignments(vec![assignment]),
    )
}

async fn joined(pending: &mut Pending) -> JoinGroupResponse {
    match pending.answer().await.map(|(answer, _)| answer) {
        Some(Response::JoinGroup(answer)) => answer,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_group_at_rest_is_the_same_on_the_node_that_takes_it_over() {
    // Source: CoordinatorRuntime.scheduleLoadOperation. What a coordinator writes is all that the next one needs.
    let world = World::new();
    let member_id = world.stable_group().await;
    assert_eq!(world.commit(&member_id, 1, 42), 0);
    let (before, written) = (world.groups(), world.log_end_offsets());
    assert_eq!(written, 3, "the new group, its assignment, an offset");
    world.move_coordinators();
    world.load_coordinators();
    assert_eq!(world.groups(), before);
    assert_eq!(world.log_end_offsets(), written, "nothing is written by reading");
    assert_eq!(world.heartbeat(&member_id, 1), 0);
    assert_eq!(world.commit(&member_id, 1, 43), 0);
    // The session begins anew with the new coordinator.
    world.0.advance(Duration::from_millis(9999));
    assert_eq!(world.heartbeat(&member_id, 1), 0);
    world.0.advance(Duration::from_secs(10));
    assert_eq!(world.heartbeat(&member_id, 1), 25);
}

#[tokio::test]
async fn who_waits_for_a_coordinator_that_moves_is_told_and_what_was_not_written_is_lost() {
    let world = World::new();
    let member_id = world.stable_group().await;
    let told = world.now(JOIN_GROUP, Request::JoinGroup(join(&StrBytes::default())));
    let Response::JoinGroup(told) = told else { panic!("{told:?}") };
    let mut pending = world.join(&told.member_id);
    assert_eq!(world.heartbeat(&member_id, 1), 27);
    world.move_coordinators();
    world.load_coordinators();
    assert_eq!(joined(&mut pending).await.error_code, 16);
    assert_eq!(world.heartbeat(&member_id, 1), 0, "the generation that was written is the one that counts");
    assert_eq!(world.0.parked(), 0);
}

#[tokio::test]
async fn what_is_due_at_once_is_done_at_once_on_a_clock_that_stands_still() {
    // `group.initial.rebalance.delay.ms` of 0: the join phase ends when it begins.
    let world = World::with(&[("group.initial.rebalance.delay.ms", "0")]);
    let told = world.now(JOIN_GROUP, Request::JoinGroup(join(&StrBytes::default())));
    let Response::JoinGroup(told) = told else { panic!("{told:?}") };
    assert_eq!(joined(&mut world.join(&told.member_id)).await.generation_id, 1);
}

/// A group with a member that says two megabytes of itself, and what its SyncGroup is answered.
async fn verbose_group(world: &World) -> (StrBytes, i16) {
    let told = world.now(JOIN_GROUP, Request::JoinGroup(join(&StrBytes::default())));
    let Response::JoinGroup(told) = told else { panic!("{told:?}") };
    let mut request = join(&told.member_id);
    request.protocols[0].metadata = vec![7; 2 << 20].into();
    let mut pending = world.parked(JOIN_GROUP, Request::JoinGroup(request));
    world.0.advance(Duration::from_secs(3));
    assert_eq!(joined(&mut pending).await.error_code, 0);
    let Response::SyncGroup(synced) = world.now(SYNC_GROUP, sync(&told.member_id, 1)) else { panic!() };
    (told.member_id, synced.error_code)
}

#[tokio::test]
async fn what_a_group_has_done_is_in_the_log_as_long_as_it_may_be() {
    let world = World::with(&[("message.max.bytes", "4194304")]);
    let (member_id, synced) = verbose_group(&world).await;
    assert_eq!(synced, 0);
    let before = world.groups();
    world.move_coordinators();
    world.load_coordinators();
    assert_eq!(world.groups(), before);
    assert_eq!(world.heartbeat(&member_id, 1), 0);
}

#[tokio::test]
async fn what_is_longer_than_a_message_may_be_has_not_happened() {
    let world = World::new();
    let (member_id, synced) = verbose_group(&world).await;
    assert_eq!(synced, -1);
    assert_eq!(world.heartbeat(&member_id, 1), 27, "all join again");
    assert_eq!(world.log_end_offsets(), 1, "the empty group");
    world.move_coordinators();
    world.load_coordinators();
    assert_eq!(world.heartbeat(&member_id, 1), 25, "a coordinator that reads the log knows nobody");
}

/// How many bytes the logs of a topic have.
fn size_bytes(world: &World, topic: &str) -> u64 {
    let size = |state: &State, topic_id, index| {
        state.logs.partition(topic_id, PartitionId(index)).map_or(0, crate::log::PartitionLog::size_bytes)
    };
    world.0.read(|state| {
        let topic_id = state.cluster.topics().id(topic).unwrap();
        (0..50).map(|index| size(state, topic_id, index)).sum::<u64>()
    })
}

#[tokio::test]
async fn the_log_of_a_group_that_commits_for_ever_stays_small_and_still_says_all() {
    // `cleanup.policy=compact`: of each partition the last offset is kept. With Kafka's `offsets.topic.segment.bytes` of 100 MiB.
    let world = World::new();
    let member_id = world.stable_group().await;
    for _ in 0..2 {
        for offset in 0..9_000 {
            assert_eq!(world.commit(&member_id, 1, offset), 0);
        }
        // The cleaner looks every 15 s (`log.cleaner.backoff.ms`).
        for _ in 0..4 {
            world.0.advance(Duration::from_secs(5));
            assert_eq!(world.heartbeat(&member_id, 1), 0);
        }
        let size = size_bytes(&world, CONSUMER_OFFSETS);
        assert!(size < 1_200_000, "one segment and what is left of the others: {size} bytes");
    }
    let before = world.groups();
    world.move_coordinators();
    world.load_coordinators();
    assert_eq!(world.groups(), before);
    assert_eq!(world.heartbeat(&member_id, 1), 0);
}

#[tokio::test]
async fn the_log_of_a_transactional_id_that_begins_for_ever_stays_small() {
    // `transaction.state.log.segment.bytes` is 100 MiB, too.
    let world = World::new();
    world.0.lock().state.auto_create(TRANSACTION_STATE);
    let init = kafka_protocol::messages::InitProducerIdRequest::default()
        .with_transactional_id(Some(kafka_protocol::messages::TransactionalId(StrBytes::from_static_str("tx"))))
        .with_transaction_timeout_ms(60_000);
    let mut last = (-1, -1);
    for _ in 0..14_000 {
        let answer = world.now((22, 4), Request::InitProducerId(init.clone()));
        let Response::InitProducerId(answer) = answer else { panic!("{answer:?}") };
        assert_eq!(answer.error_code, 0);
        assert!((answer.producer_id.0, answer.producer_epoch) > last);
        last = (answer.producer_id.0, answer.producer_epoch);
    }
    let before = size_bytes(&world, TRANSACTION_STATE);
    world.0.advance(Duration::from_secs(20));
    let after = size_bytes(&world, TRANSACTION_STATE);
    assert!(before > 1_400_000 && after < 1_200_000, "{before} bytes, and {after}");
}

#[tokio::test]
async fn groups_and_transactions_at_rest_are_not_looked_at() {
    // Ten thousand groups and a thousand open transactions: what is due next is known without looking at any of them.
    let world = World::new();
    world.0.lock().state.auto_create(TRANSACTION_STATE);
    let topic = StrBytes::from_static_str("t");
    let now = world.0.now();
    let mut shared = world.0.lock();
    let topic_id = shared.state.cluster.topics().id("t").unwrap();
    for number in 0..10_000 {
        let group_id = StrBytes::from_string(format!("g{number}"));
        let member = crate::group::MemberIdentity { group_id, generation_id: -1, ..Default::default() };
        let offset = crate::group::CommitPartition { partition: 0, offset: 1, leader_epoch: -1, metadata: None };
        let topics = vec![crate::group::CommitTopic { name: topic.clone(), topic_id, partitions: vec![offset] }];
        let commit = crate::group::OffsetCommit { member, topics, ..Default::default() };
        let ticket = shared.state.new_ticket();
        let done = shared.state.step_groups(crate::group::Event::OffsetCommit(ticket, commit), now);
        assert_eq!(done.answers.len(), 1);
    }
    for number in 0..1_000 {
        let id = StrBytes::from_string(format!("tx{number}"));
        let mut moved = Vec::new();
        let init = crate::txn::Event::InitProducerId { timeout_ms: 900_000, expected: None };
        let producer = shared.state.step_transactions(&id, init, now, &mut moved).unwrap();
        let at = crate::txn::TopicPartition { topic: topic.clone(), partition: 0 };
        let client_version = crate::txn::ClientVersion::V2;
        let add = crate::txn::Event::AddPartitions { producer, partitions: [at].into(), client_version };
        shared.state.step_transactions(&id, add, now, &mut moved).unwrap();
    }
    drop(shared);
    let due =
        || world.0.read(|state| (state.groups.next_deadline().unwrap(), state.transactions.next_deadline().unwrap()));
    // Groups without members have no deadline but the one for all of them; the first transaction times out in 15 minutes.
    let check = world.0.read(|state| state.cluster.settings().offsets_retention_check_interval_ms);
    assert_eq!(due(), (now.plus_millis(check), now.plus_millis(900_000 + 10_000)));
    let mut ticks = 0;
    while world.0.lock().next_deadline() < now.plus_millis(300_000) {
        let next = world.0.lock().next_deadline();
        world.0.advance(Duration::from_millis(u64::try_from(next.as_millis() - world.0.now().as_millis()).unwrap()));
        ticks += 1;
    }
    // The cleaner's looks and the broker's chores: as many as without anybody.
    let empty = World::new();
    let mut empty_ticks = 0;
    while empty.0.lock().next_deadline() < now.plus_millis(300_000) {
        let next = empty.0.lock().next_deadline();
        empty.0.advance(Duration::from_millis(u64::try_from(next.as_millis() - empty.0.now().as_millis()).unwrap()));
        empty_ticks += 1;
    }
    assert_eq!(ticks, empty_ticks);
}
