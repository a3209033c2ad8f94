//! The admin client: groups of both protocols and their offsets, transactions and the producers behind them. On the mock, or
//! on a real Kafka with `KAFKA_BOOTSTRAP` (`group.initial.rebalance.delay.ms=0`).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_kafka::admin::{
    GroupFilter, GroupOffset, GroupProtocol, GroupState, GroupType, HangingTransaction, MemberToRemove, OffsetSpec,
    TransactionFilter, TransactionState,
};
use async_kafka::{Consumer, ConsumerRecord, ErrorCode, IsolationLevel, OffsetReset, Record, TopicPartition};
use mockbroker::{ApiKey, Fault, MockBroker, on};
use system_tests::api::{ADD_PARTITIONS_TO_TXN, CONSUMER_GROUP_HEARTBEAT, END_TXN, INIT_PRODUCER_ID, PRODUCE};
use system_tests::batch::Batch;
use system_tests::raw::Raw;
use system_tests::world::{Broker, unique};
use system_tests::{Value, value};

use crate::admin::{LIMIT, World, code, until};

async fn world() -> World {
    let broker = match Broker::real() {
        Some(real) => real,
        None => Broker::mock(MockBroker::builder().config("group.initial.rebalance.delay.ms", "0").start().await),
    };
    World::on(broker).await
}

/// A member of a new group that has read the one record of the topic.
async fn member(world: &World, group: &str, topic: &Arc<str>) -> (Consumer, ConsumerRecord) {
    world.produce([Record::to(Arc::clone(topic)).partition(0).value("v")]).await;
    let builder = world.kafka.consumer(group).topics([Arc::clone(topic)]).auto_commit_interval(None);
    let builder = builder.auto_offset_reset(OffsetReset::Earliest).heartbeat_interval(Duration::from_millis(100));
    let consumer = builder.build().await.expect("valid settings");
    let record = tokio::time::timeout(LIMIT, consumer.recv()).await.expect("in time").expect("no error");
    (consumer, record.expect("a record"))
}

#[tokio::test]
async fn a_classic_group_is_listed_described_and_deleted_once_it_is_empty() {
    let world = world().await;
    let (topic, group) = (world.topic(2).await, unique("group"));
    let (consumer, _) = member(&world, &group, &topic).await;

    let described = world.admin.describe_groups([&*group]).await[&*group].clone().expect("it is there");
    assert_eq!(described.state, GroupState::Stable);
    match &described.protocol {
        GroupProtocol::Classic { protocol_type, assignor, .. } => {
            assert_eq!((&**protocol_type, &**assignor), ("consumer", "range"));
        }
        other => panic!("{other:?}"),
    }
    let [member] = &described.members[..] else { panic!("{described:?}") };
    let both: BTreeSet<_> = [0, 1].map(|partition| TopicPartition::new(Arc::clone(&topic), partition)).into();
    assert_eq!((&member.assignment, &member.target_assignment), (&both, &None));
    assert!(!member.member_id.is_empty() && member.group_instance_id.is_none());

    let list = async |filter: GroupFilter| {
        let listed = world.admin.list_groups(&filter).await.complete().expect("all nodes answer");
        listed.into_iter().find(|it| *it.group_id == *group)
    };
    let listed = list(GroupFilter::all()).await.expect("it is listed");
    assert_eq!(
        (&*listed.protocol_type, listed.state, listed.group_type),
        ("consumer", GroupState::Stable, GroupType::Classic)
    );
    assert!(list(GroupFilter::all().state(GroupState::Stable).group_type(GroupType::Classic)).await.is_some());
    assert!(list(GroupFilter::all().state(GroupState::Empty)).await.is_none());
    assert!(list(GroupFilter::all().group_type(GroupType::Consumer)).await.is_none());

    let deleted = world.admin.delete_groups([&*group]).await;
    assert_eq!(code(&deleted[&*group]), ErrorCode::NonEmptyGroup);
    consumer.close(LIMIT).await.expect("closed");
    until("it is empty", async || {
        world.admin.describe_groups([&*group]).await[&*group].as_ref().is_ok_and(|it| it.state == GroupState::Empty)
    })
    .await;
    let absent = unique("nobody");
    let deleted = world.admin.delete_groups([&*group, &*absent]).await;
    deleted[&*group].as_ref().expect("it is deleted");
    assert_eq!(code(&deleted[&*absent]), ErrorCode::GroupIdNotFound);
    assert_eq!(code(&world.admin.describe_groups([&*group]).await[&*group]), ErrorCode::GroupIdNotFound);
}

#[tokio::test]
async fn a_consumer_group_is_described_with_what_its_members_have_and_shall_have() {
    // KIP-848, spoken by hand.
    let world = world().await;
    let (topic, group) = (world.topic(2).await, unique("group"));
    // Finds, and makes, the coordinator.
    assert_eq!(code(&world.admin.describe_groups([&*group]).await[&*group]), ErrorCode::GroupIdNotFound);
    let mut connection = world.broker.connect().await;
    let joined = joined(&mut connection, &group, &topic).await;

    let described = world.admin.describe_groups([&*group]).await[&*group].clone().expect("it is there");
    assert_eq!(described.state, GroupState::Stable);
    match &described.protocol {
        GroupProtocol::Consumer { group_epoch, target_assignment_epoch, assignor, .. } => {
            assert_eq!((group_epoch, &**assignor), (target_assignment_epoch, "uniform"));
        }
        other => panic!("{other:?}"),
    }
    let [member] = &described.members[..] else { panic!("{described:?}") };
    let both: BTreeSet<_> = [0, 1].map(|partition| TopicPartition::new(Arc::clone(&topic), partition)).into();
    assert_eq!((&member.assignment, &member.target_assignment), (&both, &Some(both.clone())));
    assert_eq!((&*member.member_id, member.member_epoch.map(i64::from)), (&*joined.0, Some(joined.1)));

    let filter = GroupFilter::all().group_type(GroupType::Consumer);
    let listed = world.admin.list_groups(&filter).await.complete().expect("all nodes answer");
    let listed = listed.iter().find(|it| *it.group_id == *group).expect("it is listed");
    assert_eq!((&listed.group_type, &listed.state), (&GroupType::Consumer, &GroupState::Stable));
}

/// A member that has both partitions of the topic, and its epoch.
async fn joined(connection: &mut Raw, group: &str, topic: &str) -> (String, i64) {
    let member_id = unique("member");
    let heartbeat = |epoch: i64, owned: Value, topics: Value| {
        value!({
            group_id: group, member_id: &member_id, member_epoch: epoch, instance_id: Value::Null,
            rack_id: Value::Null, rebalance_timeout_ms: if epoch == 0 { 60_000 } else { -1 },
            subscribed_topic_names: topics, subscribed_topic_regex: Value::Null, server_assignor: Value::Null,
            topic_partitions: owned,
        })
    };
    let mut next = heartbeat(0, Value::Array(Vec::new()), Value::Array(vec![Value::from(topic)]));
    let mut owned = Value::Array(Vec::new());
    let deadline = tokio::time::Instant::now() + LIMIT;
    loop {
        let answer = connection.call(CONSUMER_GROUP_HEARTBEAT, 1, next.clone()).await;
        assert!(tokio::time::Instant::now() < deadline, "nothing was assigned: {next:?} {answer:?}");
        // The coordinator of a group that nobody had may have to be loaded, and the target is computed a moment later.
        if answer["error_code"] == 0 {
            let epoch = answer["member_epoch"].int();
            if !answer["assignment"].is_null() {
                owned = answer["assignment"]["topic_partitions"].clone();
            } else if !owned.array().is_empty() {
                return (member_id, epoch);
            }
            next = heartbeat(epoch, owned.clone(), Value::Null);
        }
    }
}

#[tokio::test]
async fn members_are_put_out_of_a_group() {
    let world = world().await;
    let (topic, group) = (world.topic(1).await, unique("group"));
    let (consumer, _) = member(&world, &group, &topic).await;
    let described = world.admin.describe_groups([&*group]).await[&*group].clone().expect("it is there");
    let before = Arc::clone(&described.members[0].member_id);
    let (there, absent) = (MemberToRemove::Member(Arc::clone(&before)), MemberToRemove::Static("nobody".into()));
    let removed = world.admin.remove_members(&*group, [there.clone(), absent.clone()]).await;
    removed[&there].as_ref().expect("it is removed");
    assert_eq!(code(&removed[&absent]), ErrorCode::UnknownMemberId);
    until("it is out", async || {
        let described = world.admin.describe_groups([&*group]).await[&*group].clone().expect("it is there");
        described.members.iter().all(|member| member.member_id != before)
    })
    .await;
    consumer.close(LIMIT).await.expect("closed");
}

#[tokio::test]
async fn offsets_of_a_group_are_listed_altered_and_deleted() {
    let world = world().await;
    let (topic, group) = (world.topic(2).await, unique("group"));
    let at = |partition| TopicPartition::new(Arc::clone(&topic), partition);
    let absent = TopicPartition::new(unique("nowhere"), 0);
    assert!(world.admin.list_group_offsets(&*group).await.expect("an answer").is_empty());

    let offsets = [(at(0), GroupOffset::new(7).metadata("by hand")), (absent.clone(), GroupOffset::new(1))];
    let altered = world.admin.alter_group_offsets(&*group, offsets).await;
    altered[&at(0)].as_ref().expect("it is committed");
    assert_eq!(code(&altered[&absent]), ErrorCode::UnknownTopicOrPartition);
    let listed = world.admin.list_group_offsets(&*group).await.expect("an answer");
    assert_eq!(listed.into_iter().collect::<Vec<_>>(), [(at(0), GroupOffset::new(7).metadata("by hand"))]);
    let some = world.admin.group_offsets(&*group, &[at(0), at(1)]).await.expect("an answer");
    assert_eq!(some[&at(0)].as_ref().expect("an answer").as_ref().map(|it| it.offset), Some(7));
    assert_eq!(some[&at(1)].as_ref().expect("an answer"), &None);

    let deleted = world.admin.delete_group_offsets(&*group, [at(0), absent.clone()]).await;
    deleted[&at(0)].as_ref().expect("it is deleted");
    assert_eq!(code(&deleted[&absent]), ErrorCode::UnknownTopicOrPartition);
    let group = unique("group");
    let refused = world.admin.delete_group_offsets(&*group, [at(0)]).await;
    assert_eq!(code(&refused[&at(0)]), ErrorCode::GroupIdNotFound);

    // While it has members the group's offsets are theirs.
    let (consumer, record) = member(&world, &group, &topic).await;
    let altered = world.admin.alter_group_offsets(&*group, [(at(0), GroupOffset::new(3))]).await;
    assert_eq!(code(&altered[&at(0)]), ErrorCode::UnknownMemberId);
    consumer.commit_record(&record).await.expect("committed");
    let deleted = world.admin.delete_group_offsets(&*group, [at(0)]).await;
    assert_eq!(code(&deleted[&at(0)]), ErrorCode::GroupSubscribedToTopic);
    let listed = world.admin.list_group_offsets(&*group).await.expect("an answer");
    assert_eq!(listed[&at(0)].offset, 1);
    consumer.close(LIMIT).await.expect("closed");
}

/// A transactional producer, spoken by hand.
struct Transactional {
    connection: Raw,
    id: String,
    producer_id: i64,
    epoch: i64,
}

impl Transactional {
    async fn begin(world: &World, topic: &Arc<str>) -> Self {
        let id = unique("transactional");
        // Finds, and makes, the coordinator; and fences nobody.
        world.admin.fence_producers([&*id]).await[&*id].clone().expect("it has a producer id");
        let mut connection = world.broker.connect().await;
        let init = value!({
            transactional_id: &id, transaction_timeout_ms: 60_000, producer_id: -1, producer_epoch: -1
        });
        let answer = connection.call(INIT_PRODUCER_ID, 4, init).await;
        assert_eq!(answer["error_code"], 0, "{answer:?}");
        let (producer_id, epoch) = (answer["producer_id"].int(), answer["producer_epoch"].int());
        let mut producer = Self { connection, id, producer_id, epoch };
        producer.write(topic).await;
        producer
    }

    async fn write(&mut self, topic: &Arc<str>) {
        let add = value!({
            v3_and_below_transactional_id: &self.id, v3_and_below_producer_id: self.producer_id,
            v3_and_below_producer_epoch: self.epoch, v3_and_below_topics: [{ name: &**topic, partitions: [0] }],
        });
        let answer = self.connection.call(ADD_PARTITIONS_TO_TXN, 3, add).await;
        let result = &answer["results_by_topic_v3_and_below"][0]["results_by_partition"][0];
        assert_eq!(result["partition_error_code"], 0, "{answer:?}");
        let epoch = i16::try_from(self.epoch).expect("an epoch has 16 bits");
        let records = Batch::of(["v"]).from_producer(self.producer_id, epoch, 0).transactional().encode();
        let produce = value!({
            transactional_id: &self.id, acks: -1, timeout_ms: 10_000,
            topic_data: [{ name: &**topic, partition_data: [{ index: 0, records: records }] }],
        });
        let answer = self.connection.call(PRODUCE, 9, produce).await;
        assert_eq!(answer["responses"][0]["partition_responses"][0]["error_code"], 0, "{answer:?}");
    }

    async fn end(&mut self) -> i64 {
        let end = value!({
            transactional_id: &self.id, producer_id: self.producer_id, producer_epoch: self.epoch, committed: true,
        });
        self.connection.call(END_TXN, 3, end).await["error_code"].int()
    }
}

#[tokio::test]
async fn transactions_are_listed_described_and_their_producers_fenced() {
    let world = world().await;
    let topic = world.topic(1).await;
    let mut producer = Transactional::begin(&world, &topic).await;
    let (id, of) = (producer.id.clone(), TopicPartition::new(Arc::clone(&topic), 0));

    let described = world.admin.describe_transactions([&*id, "nobody"]).await;
    assert_eq!(code(&described["nobody"]), ErrorCode::TransactionalIdNotFound);
    let described = described[&*id].clone().expect("it is there");
    assert_eq!(described.state, TransactionState::Ongoing);
    assert_eq!((described.producer_id, i64::from(described.producer_epoch)), (producer.producer_id, producer.epoch));
    assert_eq!((described.timeout, described.partitions), (Duration::from_secs(60), vec![of.clone()]));
    assert!(described.started_at.is_some());

    let list = async |filter: TransactionFilter| {
        let listed = world.admin.list_transactions(&filter).await.complete().expect("all nodes answer");
        listed.into_iter().find(|it| *it.transactional_id == *id)
    };
    let open = list(TransactionFilter::all().state(TransactionState::Ongoing)).await.expect("it is listed");
    assert_eq!((open.producer_id, open.state), (producer.producer_id, TransactionState::Ongoing));
    assert!(list(TransactionFilter::all().producer_id(producer.producer_id)).await.is_some());
    assert!(list(TransactionFilter::all().producer_id(producer.producer_id + 1_000_000)).await.is_none());
    assert!(list(TransactionFilter::all().state(TransactionState::CompleteCommit)).await.is_none());
    assert!(list(TransactionFilter::all().longer_than(Duration::from_secs(3600))).await.is_none());

    let producers = world.admin.describe_producers([of.clone()]).await[&of].clone().expect("it is led");
    let [writing] = &producers[..] else { panic!("{producers:?}") };
    assert_eq!((writing.producer_id, i64::from(writing.producer_epoch)), (producer.producer_id, producer.epoch));
    assert_eq!((writing.last_sequence, writing.current_transaction_start_offset), (0, Some(0)));

    let fenced = world.admin.fence_producers([&*id]).await[&*id].expect_fenced();
    assert!(fenced > producer.epoch, "{fenced} after {}", producer.epoch);
    // INVALID_PRODUCER_EPOCH or PRODUCER_FENCED.
    assert!([47, 90].contains(&producer.end().await));
    until("it is aborted", async || {
        let described = world.admin.describe_transactions([&*id]).await[&*id].clone().expect("it is there");
        described.state != TransactionState::Ongoing && described.state != TransactionState::PrepareAbort
    })
    .await;
    let latest = [(of.clone(), OffsetSpec::Latest)];
    let listed = world.admin.list_offsets(latest, IsolationLevel::ReadCommitted).await;
    assert_eq!(listed[&of].clone().expect("it is led").offset, Some(2), "the record and its marker");
}

trait Fenced {
    fn expect_fenced(&self) -> i64;
}

impl Fenced for async_kafka::Result<async_kafka::admin::FencedProducer> {
    fn expect_fenced(&self) -> i64 {
        i64::from(self.as_ref().expect("it is fenced").producer_epoch)
    }
}

#[tokio::test]
async fn a_hanging_transaction_is_aborted_where_it_hangs() {
    // KIP-664: the marker of an admin client ends it for the partition, the coordinator does not learn of it.
    let world = world().await;
    let topic = world.topic(1).await;
    let _producer = Transactional::begin(&world, &topic).await;
    let of = TopicPartition::new(Arc::clone(&topic), 0);
    let stable = async || {
        let latest = [(of.clone(), OffsetSpec::Latest)];
        world.admin.list_offsets(latest, IsolationLevel::ReadCommitted).await[&of].clone().expect("it is led").offset
    };
    assert_eq!(stable().await, Some(0), "the open transaction holds readers back");
    let producers = world.admin.describe_producers([of.clone()]).await[&of].clone().expect("it is led");
    let hanging = HangingTransaction::of(of.clone(), &producers[0]).expect("it is open");
    let stale = HangingTransaction { producer_epoch: hanging.producer_epoch - 1, ..hanging.clone() };
    let refused = world.admin.abort_transaction(&stale).await;
    assert_eq!(code(&refused), ErrorCode::InvalidProducerEpoch);
    world.admin.abort_transaction(&hanging).await.expect("it is aborted");
    until("readers go on", async || stable().await == Some(2)).await;
    let producers = world.admin.describe_producers([of.clone()]).await[&of].clone().expect("it is led");
    assert_eq!(HangingTransaction::of(of, &producers[0]), None);
}

#[tokio::test]
async fn a_coordinator_that_moves_is_found_again_and_a_node_that_fails_is_named() {
    let mock = MockBroker::builder().nodes(3).start().await;
    let nodes: Vec<i32> = mock.node_ids().iter().map(|node| node.0).collect();
    let moved = mock.fault(on(ApiKey::OffsetCommit).nth(1)).before_apply(Fault::Error(16)).mount();
    let lost = mock.fault(on(ApiKey::OffsetFetch).nth(1)).after_apply(Fault::Disconnect).mount();
    let refused = mock.fault(on(ApiKey::ListGroups).node(mock.node_ids()[1])).before_apply(Fault::Error(31)).mount();
    let world = World::on(Broker::mock(mock)).await;
    let of = TopicPartition::new(world.topic(1).await, 0);
    let groups = ["a", "b", "c", "d"];
    for group in groups {
        let altered = world.admin.alter_group_offsets(group, [(of.clone(), GroupOffset::new(5))]).await;
        altered[&of].as_ref().expect("whoever coordinates it");
        let offsets = world.admin.list_group_offsets(group).await.expect("whoever coordinates it");
        assert_eq!(offsets[&of].offset, 5);
    }
    assert_eq!((moved.hits(), lost.hits()), (1, 1));
    let listed = world.admin.list_groups(&GroupFilter::all()).await;
    assert_eq!(listed.failed.keys().copied().collect::<Vec<_>>(), [nodes[1]]);
    assert_eq!(code::<()>(&Err(listed.failed[&nodes[1]].clone())), ErrorCode::ClusterAuthorizationFailed);
    assert!(!listed.found.is_empty() && refused.hits() > 0);
    drop(refused);
    let all = world.admin.list_groups(&GroupFilter::all()).await.complete().expect("all nodes answer");
    let all: BTreeSet<_> = all.iter().map(|group| &*group.group_id).collect();
    assert_eq!(all, BTreeSet::from(groups));
}
