//! A member of a consumer group (KIP-848) with a connection of its own, for the tests of groups.

use system_tests::world::{Broker, unique};
use system_tests::{Raw, Value, api, value};

use super::ask::{Topic, call, until, with};
use super::code::NONE;
use super::member::{Member, start as start_group};

const VERSION: i16 = 1;

/// What a member is, and the connection that it speaks on.
pub(crate) struct Consumer {
    pub(crate) connection: Raw,
    pub(crate) group: String,
    pub(crate) id: String,
    pub(crate) epoch: i32,
    pub(crate) instance: Option<String>,
    pub(crate) topics: Vec<String>,
    pub(crate) assignor: Option<&'static str>,
    pub(crate) rebalance_timeout_ms: i32,
    /// What it was told to own, as an answer says it.
    pub(crate) owned: Value,
}

/// A broker and a new group, whose target is computed whenever it must be.
pub(crate) async fn start() -> (Broker, String, Raw) {
    let (broker, group) = start_group().await;
    let mut connection = broker.connect().await;
    configure(&mut connection, &group, "consumer.assignment.interval.ms", "0").await;
    (broker, group, connection)
}

/// Sets a config of a group, and waits until its coordinator has it.
pub(crate) async fn configure(connection: &mut Raw, group: &str, name: &str, value: &str) {
    let config = value!({ name: name, config_operation: 0, value: value });
    let body = value!({ resources: [{ resource_type: 32, resource_name: group, configs: [config] }] });
    let answer = call(connection, api::INCREMENTAL_ALTER_CONFIGS, 1, body).await;
    assert_eq!(answer["responses"][0]["error_code"], NONE, "{answer:?}");
    let body = value!({ resources: [{ resource_type: 32, resource_name: group, configuration_keys: [name] }] });
    let is_set = |answer: &Value| answer["results"][0]["configs"][0]["value"] == value;
    until(connection, (api::DESCRIBE_CONFIGS, 4), body, is_set).await;
}

impl Consumer {
    pub(crate) async fn new(broker: &Broker, group: &str, topics: &[&Topic]) -> Self {
        Self {
            connection: broker.connect().await,
            group: group.to_owned(),
            id: unique("member"),
            epoch: 0,
            instance: None,
            topics: topics.iter().map(|topic| topic.name.clone()).collect(),
            assignor: None,
            rebalance_timeout_ms: 60_000,
            owned: value!([]),
        }
    }

    /// A first heartbeat, which says everything.
    pub(crate) fn join(&self) -> Value {
        let topics: Vec<_> = self.topics.iter().map(|topic| Value::from(topic.as_str())).collect();
        value!({
            group_id: &self.group, member_id: &self.id, member_epoch: 0, instance_id: self.instance.as_deref(),
            rack_id: null, rebalance_timeout_ms: self.rebalance_timeout_ms, subscribed_topic_names: topics,
            subscribed_topic_regex: null, server_assignor: self.assignor, topic_partitions: [],
        })
    }

    /// A heartbeat that says nothing new.
    pub(crate) fn beat(&self) -> Value {
        value!({
            group_id: &self.group, member_id: &self.id, member_epoch: self.epoch, instance_id: self.instance.as_deref(),
            rack_id: null, rebalance_timeout_ms: -1, subscribed_topic_names: null, subscribed_topic_regex: null,
            server_assignor: null, topic_partitions: null,
        })
    }

    /// A heartbeat that says what it owns.
    pub(crate) fn owning(&self) -> Value {
        with(&self.beat(), "topic_partitions", self.owned.clone())
    }

    /// The same heartbeat at another epoch.
    pub(crate) fn at(heartbeat: &Value, epoch: i32) -> Value {
        with(heartbeat, "member_epoch", epoch)
    }

    /// The answer to a heartbeat, which changes nothing of what the member knows.
    pub(crate) async fn asks(&mut self, heartbeat: Value) -> Value {
        call(&mut self.connection, api::CONSUMER_GROUP_HEARTBEAT, VERSION, heartbeat).await
    }

    /// The code of a heartbeat that is refused.
    pub(crate) async fn refused(&mut self, heartbeat: Value) -> i16 {
        let answer = self.asks(heartbeat).await;
        assert_ne!(answer["error_code"], NONE, "{answer:?}");
        answer["error_code"].int().try_into().expect("a code has 16 bits")
    }

    /// Sends a heartbeat that is accepted, and takes what it is told: whether that was an assignment.
    pub(crate) async fn says(&mut self, heartbeat: Value) -> bool {
        let answer = self.asks(heartbeat).await;
        assert_eq!(answer["error_code"], NONE, "{answer:?}");
        self.heard(&answer)
    }

    fn heard(&mut self, answer: &Value) -> bool {
        self.epoch = answer["member_epoch"].int().try_into().expect("an epoch has 32 bits");
        let is_told = !answer["assignment"].is_null();
        if is_told {
            self.owned = answer["assignment"]["topic_partitions"].clone();
        }
        is_told
    }

    /// Joins: what it may own at once.
    pub(crate) async fn joins(&mut self) -> Vec<i64> {
        self.owned = value!([]);
        self.says(self.join()).await;
        self.partitions()
    }

    /// Joins a group in which so many partitions are free for it: what it may own. A real coordinator may hear of a new topic
    /// a moment after its leader does.
    pub(crate) async fn joins_and_owns(&mut self, count: usize) -> Vec<i64> {
        self.joins().await;
        while self.partitions().len() < count {
            self.is_told().await;
        }
        self.partitions()
    }

    /// Says nothing new: whether it was told an assignment.
    pub(crate) async fn beats(&mut self) -> bool {
        self.says(self.beat()).await
    }

    /// Says that it owns what it was told to: whether it was told another assignment.
    pub(crate) async fn confirms(&mut self) -> bool {
        self.says(self.owning()).await
    }

    /// Leaves, for good or for a while.
    pub(crate) async fn leaves(&mut self, epoch: i32) {
        let answer = self.asks(Self::at(&self.beat(), epoch)).await;
        assert_eq!((answer["error_code"].int(), answer["member_epoch"].int()), (0, i64::from(epoch)), "{answer:?}");
    }

    /// Asks again and again until the coordinator tells an assignment.
    pub(crate) async fn is_told(&mut self) -> Vec<i64> {
        let beat = self.beat();
        let told = |answer: &Value| answer["error_code"] != NONE || !answer["assignment"].is_null();
        let answer = until(&mut self.connection, (api::CONSUMER_GROUP_HEARTBEAT, VERSION), beat, told).await;
        assert_eq!(answer["error_code"], NONE, "{answer:?}");
        self.heard(&answer);
        self.partitions()
    }

    /// The partitions that it was told to own, of all its topics.
    pub(crate) fn partitions(&self) -> Vec<i64> {
        let topics = self.owned.array().iter();
        let mut all: Vec<_> = topics.flat_map(|topic| topic["partitions"].array().iter().map(Value::int)).collect();
        all.sort_unstable();
        all
    }

    /// The partitions of one topic that it was told to own.
    pub(crate) fn partitions_of(&self, topic: &Topic) -> Vec<i64> {
        let mine = self.owned.array().iter().filter(|it| it["topic_id"].uuid() == topic.id);
        let mut all: Vec<_> = mine.flat_map(|it| it["partitions"].array().iter().map(Value::int)).collect();
        all.sort_unstable();
        all
    }

    /// A member of the classic protocol as this one would be: its id and its epoch as a generation.
    pub(crate) async fn as_classic(&self, broker: &Broker) -> Member {
        let mut member = Member::new(broker, &self.group).await;
        member.id.clone_from(&self.id);
        member.generation = self.epoch;
        member
    }

    /// How its group is described.
    pub(crate) async fn describe(&mut self) -> Value {
        let body = value!({ group_ids: [&*self.group], include_authorized_operations: false });
        call(&mut self.connection, api::CONSUMER_GROUP_DESCRIBE, VERSION, body).await["groups"][0].clone()
    }

    /// The code of an OffsetCommit at an epoch.
    pub(crate) async fn commits(&mut self, topic: &Topic, partition: i32, epoch: i32) -> i64 {
        let partition = value!({ partition_index: partition, committed_offset: 7, committed_leader_epoch: -1 });
        let body = value!({
            group_id: &self.group, generation_id_or_member_epoch: epoch, member_id: &self.id,
            topics: [{ name: &topic.name, partitions: [partition] }],
        });
        let answer = call(&mut self.connection, api::OFFSET_COMMIT, 9, body).await;
        answer["topics"][0]["partitions"][0]["error_code"].int()
    }

    /// The code of an OffsetFetch at an epoch, and the offset of partition 0.
    pub(crate) async fn committed(&mut self, topic: &Topic, member_id: Option<&str>, epoch: i32) -> (i64, i64) {
        let topics = value!([{ name: &topic.name, partition_indexes: [0] }]);
        let group = value!({ group_id: &self.group, member_id: member_id, member_epoch: epoch, topics: topics });
        let answer = call(&mut self.connection, api::OFFSET_FETCH, 9, value!({ groups: [group] })).await;
        let group = &answer["groups"][0];
        let offset = group["topics"].array().first().map_or(-1, |it| it["partitions"][0]["committed_offset"].int());
        (group["error_code"].int(), offset)
    }
}

/// Lets members say what they own until all is as it should be.
pub(crate) async fn settle(members: &mut [&mut Consumer]) {
    for _ in 0..8 {
        let mut told = false;
        for member in &mut *members {
            told |= member.confirms().await;
        }
        if !told {
            return;
        }
    }
    panic!("the group does not come to rest");
}
