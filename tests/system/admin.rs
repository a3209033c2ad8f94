//! The admin client: topics, configs, partitions and the cluster. Each resource has a result of its own, and what may pass is
//! asked again. On the mock, or on a real Kafka with `KAFKA_BOOTSTRAP` (`group.initial.rebalance.delay.ms=0`).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_kafka::admin::{
    ConfigChange, ConfigResource, ConfigSource, Election, FeatureChange, FeatureUpgrade, ListedOffset, NewPartitions,
    NewTopic, OffsetSpec, QuotaEntity, QuotaMatch,
};
use async_kafka::{Admin, Backoff, Error, ErrorCode, IsolationLevel, Kafka, Record, Result, Timestamp, TopicPartition};
use mockbroker::{ApiKey, Fault, MockBroker, on};
pub(crate) use system_tests::world::until;
use system_tests::world::{Broker, unique};

pub(crate) const LIMIT: Duration = Duration::from_secs(20);

pub(crate) struct World {
    pub(crate) broker: Broker,
    pub(crate) kafka: Kafka,
    pub(crate) admin: Admin,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::on(Broker::for_test().await).await
    }

    pub(crate) async fn on(broker: Broker) -> Self {
        let backoff = Backoff { initial: Duration::from_millis(10), maximum: Duration::from_millis(200) };
        let kafka = Kafka::builder(broker.bootstrap()).retry_backoff(backoff).connect().await;
        let kafka = kafka.expect("the broker answers");
        let admin = kafka.admin().timeout(LIMIT);
        Self { broker, kafka, admin }
    }

    /// A topic that every node knows.
    pub(crate) async fn topic(&self, partitions: i32) -> Arc<str> {
        let name: Arc<str> = unique("admin").into();
        let created = self.admin.create_topics([NewTopic::new(Arc::clone(&name)).partitions(partitions)]).await;
        created[&name].as_ref().expect("it is created");
        until("the topic is known", async || self.admin.describe_topics([&*name]).await[&name].is_ok()).await;
        name
    }

    pub(crate) async fn produce(&self, records: impl IntoIterator<Item = Record>) {
        let producer = self.kafka.producer().build().await.expect("valid settings");
        for result in producer.send_all(records).await {
            result.expect("acknowledged");
        }
        producer.close(LIMIT).await.expect("closed");
    }
}

pub(crate) fn code<T: std::fmt::Debug>(result: &Result<T>) -> ErrorCode {
    result.as_ref().expect_err("it is refused").code().expect("by a broker")
}

#[tokio::test]
async fn topics_are_created_described_listed_and_deleted() {
    let world = World::new().await;
    let admin = &world.admin;
    let name: Arc<str> = unique("admin").into();
    let new = NewTopic::new(Arc::clone(&name)).partitions(3).replication_factor(1).config("retention.ms", "86400000");
    let created = admin.create_topics([new]).await[&name].clone().expect("it is created");
    assert_eq!((created.partitions, created.replication_factor), (Some(3), Some(1)));
    assert_eq!(created.configs["retention.ms"].as_deref(), Some("86400000"));

    until("it is known", async || admin.describe_topics([&*name]).await[&name].is_ok()).await;
    let described = admin.describe_topics([&*name]).await[&name].clone().expect("it is there");
    assert_eq!((described.topic_id, described.is_internal), (created.topic_id, false));
    assert_eq!(described.partitions.iter().map(|of| of.partition).collect::<Vec<_>>(), [0, 1, 2]);
    let partition = &described.partitions[0];
    assert_eq!(partition.leader, Some(partition.replicas[0]));
    assert_eq!(partition.in_sync_replicas, partition.replicas);
    assert_eq!((partition.leader_epoch, partition.offline_replicas.len()), (Some(0), 0));
    let by_id = admin.describe_topics_by_id([created.topic_id]).await;
    assert_eq!(by_id[&created.topic_id].as_ref().expect("it is there"), &described);

    let listed = admin.list_topics().await.expect("an answer");
    let listed = listed.iter().find(|topic| topic.name == name).expect("it is listed");
    assert_eq!((listed.partitions, listed.topic_id, listed.is_internal), (3, created.topic_id, false));

    admin.delete_topics([&*name]).await[&name].clone().expect("it is deleted");
    until("it is gone", async || admin.describe_topics([&*name]).await[&name].is_err()).await;
    assert_eq!(code(&admin.describe_topics([&*name]).await[&name]), ErrorCode::UnknownTopicOrPartition);
    let by_id = admin.describe_topics_by_id([created.topic_id]).await;
    assert_eq!(code(&by_id[&created.topic_id]), ErrorCode::UnknownTopicId);
}

#[tokio::test]
async fn each_topic_has_a_result_of_its_own_and_the_broker_s_words() {
    let world = World::new().await;
    let (old, new) = (world.topic(1).await, Arc::<str>::from(unique("admin")));
    let wanted = [
        NewTopic::new(Arc::clone(&old)),
        NewTopic::new(Arc::clone(&new)).partitions(1),
        NewTopic::new("no/slash"),
        NewTopic::new("too-many-replicas").replication_factor(1000),
        NewTopic::new("no-such-config").config("no.such.config", "1"),
    ];
    let created = world.admin.create_topics(wanted).await;
    assert_eq!(created.len(), 5);
    assert_eq!(code(&created[&old]), ErrorCode::TopicAlreadyExists);
    assert!(created[&old].as_ref().unwrap_err().to_string().contains(&*old), "{:?}", created[&old]);
    created[&new].as_ref().expect("the others do not matter to it");
    assert_eq!(code(&created["no/slash"]), ErrorCode::InvalidTopicException);
    assert_eq!(code(&created["too-many-replicas"]), ErrorCode::InvalidReplicationFactor);
    assert_eq!(code(&created["no-such-config"]), ErrorCode::InvalidConfig);

    let ids = world.admin.describe_topics([&*old]).await[&old].clone().expect("it is there").topic_id;
    let deleted = world.admin.delete_topics_by_id([ids]).await;
    deleted[&ids].as_ref().expect("by its id");
    until("it is gone", async || world.admin.describe_topics([&*old]).await[&old].is_err()).await;
    let deleted = world.admin.delete_topics([&*old, &*new]).await;
    assert_eq!(code(&deleted[&old]), ErrorCode::UnknownTopicOrPartition);
    deleted[&new].as_ref().expect("it is deleted");
    assert_eq!(code(&world.admin.delete_topics_by_id([ids]).await[&ids]), ErrorCode::UnknownTopicId);
}

#[tokio::test]
async fn what_is_validated_is_not_done() {
    let world = World::new().await;
    let (there, other) = (world.topic(1).await, Arc::<str>::from(unique("admin")));
    let topics = [NewTopic::new(Arc::clone(&there)), NewTopic::new(Arc::clone(&other)).partitions(2)];
    let validated = world.admin.validate_topics(topics).await;
    assert_eq!(code(&validated[&there]), ErrorCode::TopicAlreadyExists);
    assert_eq!(validated[&other].as_ref().expect("it could be created").partitions, Some(2));
    assert_eq!(code(&world.admin.describe_topics([&*other]).await[&other]), ErrorCode::UnknownTopicOrPartition);

    let partitions = world.admin.validate_partitions([NewPartitions::total(Arc::clone(&there), 4)]).await;
    partitions[&there].as_ref().expect("they could be added");
    let described = world.admin.describe_topics([&*there]).await[&there].clone().expect("it is there");
    assert_eq!(described.partitions.len(), 1);

    let topic = ConfigResource::Topic(Arc::clone(&there));
    let change = (topic.clone(), vec![ConfigChange::set("retention.ms", "1")]);
    world.admin.validate_configs([change]).await[&topic].clone().expect("it could be set");
    let configs = world.admin.describe_configs([topic.clone()]).await[&topic].clone().expect("it is there");
    assert!(configs["retention.ms"].is_default());
}

#[tokio::test]
async fn partitions_are_added_and_never_taken_away() {
    let world = World::new().await;
    let (topic, other) = (world.topic(2).await, world.topic(2).await);
    let more = [NewPartitions::total(Arc::clone(&topic), 5), NewPartitions::total(Arc::clone(&other), 1)];
    let added = world.admin.create_partitions(more).await;
    added[&topic].as_ref().expect("they are added");
    assert_eq!(code(&added[&other]), ErrorCode::InvalidPartitions);
    until("they are known", async || {
        world.admin.describe_topics([&*topic]).await[&topic].as_ref().is_ok_and(|it| it.partitions.len() == 5)
    })
    .await;
    // On a node that is there, and on one that is not.
    let node = world.admin.describe_topics([&*topic]).await[&topic].clone().unwrap().partitions[0].replicas[0];
    let assigned = NewPartitions::total(Arc::clone(&topic), 6).assign([vec![node]]);
    world.admin.create_partitions([assigned]).await[&topic].clone().expect("it is added");
    let nowhere = NewPartitions::total(Arc::clone(&other), 3).assign([vec![node + 1000]]);
    let refused = world.admin.create_partitions([nowhere]).await;
    assert_eq!(code(&refused[&other]), ErrorCode::InvalidReplicaAssignment);
}

#[tokio::test]
async fn offsets_are_listed_by_time_and_records_are_deleted() {
    let world = World::new().await;
    let topic = world.topic(2).await;
    let at = |partition| TopicPartition::new(Arc::clone(&topic), partition);
    let record = |millis| Record::to(Arc::clone(&topic)).partition(0).value("v").timestamp(Timestamp(millis));
    let day = Timestamp::now().as_millis() - 3_600_000;
    world.produce([record(day), record(day + 20), record(day + 10)]).await;

    let list = async |spec| {
        let listed = world.admin.list_offsets([(at(0), spec), (at(1), spec)], IsolationLevel::ReadUncommitted).await;
        [0, 1].map(|partition| listed[&at(partition)].clone().expect("it is led"))
    };
    let plain = |listed: [ListedOffset; 2]| listed.map(|it| (it.offset, it.timestamp.map(|at| at.as_millis() - day)));
    assert_eq!(plain(list(OffsetSpec::Earliest).await), [(Some(0), None), (Some(0), None)]);
    assert_eq!(plain(list(OffsetSpec::Latest).await), [(Some(3), None), (Some(0), None)]);
    assert_eq!(plain(list(OffsetSpec::MaxTimestamp).await), [(Some(1), Some(20)), (None, None)]);
    let since = OffsetSpec::Timestamp(Timestamp(day + 5));
    assert_eq!(plain(list(since).await), [(Some(1), Some(20)), (None, None)]);
    let later = OffsetSpec::Timestamp(Timestamp(day + 21));
    assert_eq!(plain(list(later).await), [(None, None), (None, None)]);

    let deleted = world.admin.delete_records([(at(0), Some(2)), (at(1), Some(1))]).await;
    assert_eq!(deleted[&at(0)].clone().expect("it is deleted"), 2);
    assert_eq!(code(&deleted[&at(1)]), ErrorCode::OffsetOutOfRange);
    assert_eq!(plain(list(OffsetSpec::Earliest).await)[0], (Some(2), None));
    let deleted = world.admin.delete_records([(at(0), None)]).await;
    assert_eq!(deleted[&at(0)].clone().expect("all is deleted"), 3);
}

#[tokio::test]
async fn a_partition_that_nobody_leads_is_looked_for_until_the_time_is_over() {
    let world = World::new().await;
    let topic = world.topic(1).await;
    let at = |partition| TopicPartition::new(Arc::clone(&topic), partition);
    let admin = world.admin.clone().timeout(Duration::from_secs(2));
    let asked = [(at(0), OffsetSpec::Latest), (at(7), OffsetSpec::Latest)];
    let listed = admin.list_offsets(asked, IsolationLevel::ReadUncommitted).await;
    assert_eq!(listed[&at(0)].clone().expect("the other one does not matter").offset, Some(0));
    match &listed[&at(7)] {
        Err(Error::Server { topic: Some(of), partition: Some(7), code, .. }) => {
            assert_eq!((of, *code), (&topic, ErrorCode::UnknownTopicOrPartition));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn configs_are_described_with_their_sources_and_altered_one_by_one() {
    let world = World::new().await;
    let topic = ConfigResource::Topic(world.topic(1).await);
    let nowhere = ConfigResource::topic(unique("nowhere"));
    let change =
        |change| [(topic.clone(), vec![change]), (nowhere.clone(), vec![ConfigChange::set("retention.ms", "1")])];
    let described = async || world.admin.describe_configs([topic.clone()]).await[&topic].clone().expect("it is there");

    let altered = world.admin.alter_configs(change(ConfigChange::set("cleanup.policy", "delete"))).await;
    altered[&topic].as_ref().expect("it is set");
    assert_eq!(code(&altered[&nowhere]), ErrorCode::UnknownTopicOrPartition);
    until("it is known", async || described().await["cleanup.policy"].source == ConfigSource::Topic).await;
    let append = ConfigChange::append("cleanup.policy", "compact");
    world.admin.alter_configs([(topic.clone(), vec![append])]).await[&topic].clone().expect("it is added");
    until("it is known", async || described().await["cleanup.policy"].value.as_deref() == Some("delete,compact")).await;
    let subtract = vec![ConfigChange::subtract("cleanup.policy", "delete"), ConfigChange::set("retention.ms", "77")];
    world.admin.alter_configs([(topic.clone(), subtract)]).await[&topic].clone().expect("it is taken out");
    until("it is known", async || described().await["retention.ms"].value.as_deref() == Some("77")).await;
    let configs = described().await;
    assert_eq!(configs["cleanup.policy"].value.as_deref(), Some("compact"));
    let synonyms: Vec<_> = configs["cleanup.policy"].synonyms.iter().map(|it| (it.key.as_str(), it.source)).collect();
    assert_eq!(synonyms[0], ("cleanup.policy", ConfigSource::Topic));
    assert!(synonyms.contains(&("log.cleanup.policy", ConfigSource::Default)), "{synonyms:?}");
    let delete = vec![ConfigChange::delete("retention.ms")];
    world.admin.alter_configs([(topic.clone(), delete)]).await[&topic].clone().expect("it is deleted");
    until("it is known", async || described().await["retention.ms"].is_default()).await;
    let wrong = vec![ConfigChange::set("retention.ms", "soon")];
    assert_eq!(code(&world.admin.alter_configs([(topic.clone(), wrong)]).await[&topic]), ErrorCode::InvalidConfig);
}

#[tokio::test]
async fn nodes_and_groups_have_configs_too() {
    let world = World::new().await;
    let cluster = world.admin.describe_cluster().await.expect("an answer");
    let node_id = *cluster.nodes.keys().next().expect("a node");
    let (node, group) = (ConfigResource::Broker(node_id), ConfigResource::group(unique("group")));
    let configs = world.admin.describe_configs([node.clone()]).await[&node].clone().expect("the node answers");
    assert!(configs["broker.id"].is_read_only || configs.contains_key("node.id"));
    assert_eq!(configs["log.cleaner.threads"].value.as_deref(), Some("1"));

    let set = vec![ConfigChange::set("consumer.session.timeout.ms", "50000")];
    world.admin.alter_configs([(group.clone(), set)]).await[&group].clone().expect("it is set");
    until("it is known", async || {
        let configs = world.admin.describe_configs([group.clone()]).await[&group].clone().expect("it is there");
        let timeout = &configs["consumer.session.timeout.ms"];
        (timeout.value.as_deref(), timeout.source) == (Some("50000"), ConfigSource::Group)
    })
    .await;
    let listed = world.admin.list_config_resources().await.expect("an answer");
    assert!(listed.contains(&group) && listed.contains(&node), "{listed:?}");

    let absent = ConfigResource::Broker(node_id + 1000);
    let admin = world.admin.clone().timeout(Duration::from_secs(2));
    let described = admin.describe_configs([absent.clone(), node.clone()]).await;
    assert!(matches!(described[&absent], Err(Error::Connect { .. })), "{:?}", described[&absent]);
    described[&node].as_ref().expect("the other one does not matter");
}

#[tokio::test]
async fn the_cluster_tells_its_nodes_features_and_directories() {
    let world = World::new().await;
    let cluster = world.admin.describe_cluster().await.expect("an answer");
    assert_eq!(cluster.nodes.len(), world.broker.nodes().len());
    assert!(cluster.cluster_id.is_some_and(|id| !id.is_empty()));
    assert!(cluster.nodes.contains_key(&cluster.controller.expect("there is one")));
    let addresses: BTreeSet<_> = cluster.nodes.values().map(|node| format!("{}:{}", node.host, node.port)).collect();
    let ports = |address: &String| address.rsplit(':').next().map(ToOwned::to_owned);
    assert_eq!(
        addresses.iter().map(ports).collect::<BTreeSet<_>>(),
        world.broker.nodes().iter().map(ports).collect::<BTreeSet<_>>()
    );

    let features = world.admin.describe_features().await.expect("an answer");
    let (lowest, highest) = features.supported["metadata.version"];
    assert!((lowest..=highest).contains(&features.finalized["metadata.version"]), "{features:?}");
    let level = FeatureChange { level: highest + 1, upgrade: FeatureUpgrade::Upgrade };
    let refused = world.admin.validate_features([("metadata.version", level)]).await;
    assert!(matches!(
        code(&refused["metadata.version"]),
        ErrorCode::InvalidUpdateVersion | ErrorCode::FeatureUpdateFailed
    ));

    let topic = world.topic(1).await;
    world.produce([Record::to(Arc::clone(&topic)).value("some bytes")]).await;
    let of = TopicPartition::new(topic, 0);
    let dirs = world.admin.describe_log_dirs(cluster.nodes.keys().copied()).await;
    assert_eq!(dirs.len(), cluster.nodes.len());
    let dirs: Vec<_> = dirs.into_values().flat_map(|dirs| dirs.expect("the node answers")).collect();
    assert!(dirs.iter().all(|dir| dir.error.is_none()));
    let (dir, replica) = dirs.iter().find_map(|dir| Some((dir, dir.replicas.get(&of)?))).expect("somewhere");
    assert_eq!((replica.size_bytes, replica.offset_lag, replica.is_future), (78, 0, false));

    let node_id = *cluster.nodes.keys().next().expect("a node");
    let (here, nowhere) = ((node_id, of.clone()), (node_id, TopicPartition::new(unique("nowhere"), 0)));
    let to: Arc<str> = Arc::clone(&dir.path);
    let moved = world.admin.alter_log_dirs([(here.clone(), Arc::clone(&to)), (nowhere.clone(), to)]).await;
    if dirs.len() == 1 {
        moved[&here].as_ref().expect("it is there already");
    }
    moved[&nowhere].as_ref().expect_err("there is no such topic");
    let elsewhere = world.admin.alter_log_dirs([(here.clone(), "/no/such/dir".into())]).await;
    assert_eq!(code(&elsewhere[&here]), ErrorCode::LogDirNotFound);
}

#[tokio::test]
async fn quotas_are_set_listed_and_taken_back() {
    let world = World::new().await;
    let (user, client): (Arc<str>, Arc<str>) = (unique("user").into(), unique("client").into());
    let entity = QuotaEntity::user(Arc::clone(&user)).and("client-id", Some(Arc::clone(&client)));
    let limits = vec![("producer_byte_rate".to_owned(), Some(1024.0)), ("request_percentage".to_owned(), Some(50.5))];
    let wrong = QuotaEntity::user(Arc::clone(&user));
    let changes = [(entity.clone(), limits), (wrong.clone(), vec![("no_such_rate".to_owned(), Some(1.0))])];
    let altered = world.admin.alter_quotas(changes).await;
    altered[&entity].as_ref().expect("they are set");
    assert_eq!(code(&altered[&wrong]), ErrorCode::InvalidRequest);

    let describe = async || {
        let filter = [("user", QuotaMatch::Name(Arc::clone(&user))), ("client-id", QuotaMatch::Any)];
        world.admin.describe_quotas(filter).await.expect("an answer")
    };
    until("they are known", async || !describe().await.is_empty()).await;
    let quotas = describe().await;
    assert_eq!(quotas.len(), 1);
    assert_eq!(quotas[0].entity, entity);
    let limits: Vec<_> = quotas[0].limits.iter().map(|(key, limit)| (&**key, *limit)).collect();
    assert_eq!(limits, [("producer_byte_rate", 1024.0), ("request_percentage", 50.5)]);
    let back = ["producer_byte_rate", "request_percentage"].map(|key| (key.to_owned(), None));
    world.admin.alter_quotas([(entity.clone(), back.to_vec())]).await[&entity].clone().expect("they are taken back");
    until("they are gone", async || describe().await.is_empty()).await;
}

#[tokio::test]
async fn leaders_are_elected_and_partitions_move() {
    let broker = match Broker::real() {
        Some(real) => real,
        None => Broker::mock(MockBroker::builder().nodes(3).start().await),
    };
    let world = World::on(broker).await;
    let nodes: Vec<i32> = world.admin.describe_cluster().await.expect("an answer").nodes.into_keys().collect();
    let (first, last) = (nodes[0], nodes[nodes.len() - 1]);
    let name: Arc<str> = unique("admin").into();
    let new = NewTopic::new(Arc::clone(&name)).assign(0, [first]);
    world.admin.create_topics([new]).await[&name].clone().expect("it is created");
    let (of, absent) = (TopicPartition::new(Arc::clone(&name), 0), TopicPartition::new(Arc::clone(&name), 9));
    until("it is known", async || world.admin.describe_topics([&*name]).await[&name].is_ok()).await;

    let elected = world.admin.elect_leaders(Election::Preferred, Some(&[of.clone(), absent.clone()])).await;
    let elected = elected.expect("an answer");
    assert_eq!(code(&elected[&of]), ErrorCode::ElectionNotNeeded);
    assert_eq!(code(&elected[&absent]), ErrorCode::UnknownTopicOrPartition);
    let all = world.admin.elect_leaders(Election::Unclean, None).await.expect("an answer");
    assert!(!all.contains_key(&of), "{all:?}");

    let moves = [(of.clone(), Some(vec![last])), (absent.clone(), Some(vec![first]))];
    let moved = world.admin.alter_reassignments(moves).await;
    moved[&of].as_ref().expect("it begins");
    assert_eq!(code(&moved[&absent]), ErrorCode::UnknownTopicOrPartition);
    until("it is there", async || {
        let described = world.admin.describe_topics([&*name]).await[&name].clone().expect("it is there");
        described.partitions[0].replicas == [last] && described.partitions[0].leader == Some(last)
    })
    .await;
    until("it is done", async || {
        world.admin.list_reassignments(Some(std::slice::from_ref(&of))).await.expect("an answer").is_empty()
    })
    .await;
    assert!(world.admin.list_reassignments(None).await.expect("an answer").is_empty());
    let cancelled = world.admin.alter_reassignments([(of.clone(), None)]).await;
    assert_eq!(code(&cancelled[&of]), ErrorCode::NoReassignmentInProgress);
    let nowhere = world.admin.alter_reassignments([(of.clone(), Some(vec![last + 1000]))]).await;
    assert_eq!(code(&nowhere[&of]), ErrorCode::InvalidReplicaAssignment);
    // The leader that was known has gone: the new one is found.
    world.produce([Record::to(Arc::clone(&name)).partition(0).value("v")]).await;
    let listed = world.admin.list_offsets([(of.clone(), OffsetSpec::Latest)], IsolationLevel::ReadUncommitted).await;
    assert_eq!(listed[&of].clone().expect("it is led").offset, Some(1));
}

#[tokio::test]
async fn what_may_pass_is_asked_again() {
    // AdminApiDriver: a lost connection, another controller, another leader. Faults are the mock's.
    let mock = MockBroker::builder().topic("orders", 1).start().await;
    let lost = mock.fault(on(ApiKey::CreateTopics).nth(1)).before_apply(Fault::Disconnect).mount();
    let moved = mock.fault(on(ApiKey::CreateTopics).nth(1)).before_apply(Fault::Error(41)).mount();
    let led = mock.fault(on(ApiKey::ListOffsets).nth(1)).before_apply(Fault::Error(6)).mount();
    let world = World::on(Broker::mock(mock)).await;
    let name: Arc<str> = "again".into();
    let created = world.admin.create_topics([NewTopic::new(Arc::clone(&name)).partitions(1)]).await;
    created[&name].as_ref().expect("at the third time");
    let of = TopicPartition::new("orders", 0);
    let listed = world.admin.list_offsets([(of.clone(), OffsetSpec::Latest)], IsolationLevel::ReadCommitted).await;
    assert_eq!(listed[&of].clone().expect("at the second time").offset, Some(0));
    assert_eq!((lost.hits(), moved.hits(), led.hits()), (1, 1, 1));
}

#[tokio::test]
async fn what_never_passes_ends_with_the_last_reason() {
    let mock = MockBroker::start().await;
    let moved = mock.fault(on(ApiKey::CreateTopics)).before_apply(Fault::Error(41)).mount();
    let world = World::on(Broker::mock(mock)).await;
    let admin = world.admin.clone().timeout(Duration::from_secs(1));
    let created = admin.create_topics([NewTopic::new("a"), NewTopic::new("b")]).await;
    assert_eq!((code(&created["a"]), code(&created["b"])), (ErrorCode::NotController, ErrorCode::NotController));
    assert!(moved.hits() > 2, "it was asked again: {}", moved.hits());
}
