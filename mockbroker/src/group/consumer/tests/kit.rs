//! A group, its cluster and its clock, and the requests that members send.
//!
//! After every step: the records folded over an empty group give the same hard state, no partition is two members', a
//! refusal has written nothing, and nothing that is due is left.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::error::ResponseError;
use uuid::Uuid;

use crate::cluster::Refusal;
use crate::group::consumer::{
    ConsumerConfig, ConsumerGroup, ConsumerGroupState, ConsumerRecord, Ctx, Heartbeat, HeartbeatAnswer, MemberState,
    Partitions, TopicCatalog,
};
use crate::time::Timestamp;
use crate::types::{PartitionId, TopicId};

/// The topics of a cluster.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    topics: BTreeMap<String, (TopicId, i32)>,
    racks: BTreeMap<TopicId, Vec<String>>,
    version: i64,
    created: i64,
    ids: u128,
}

impl Catalog {
    pub(super) fn create(&mut self, name: &str, partitions: i32) -> TopicId {
        self.ids += 1;
        self.version += 1;
        self.created = self.version;
        let id = TopicId(Uuid::from_u128(self.ids));
        self.topics.insert(name.to_owned(), (id, partitions));
        id
    }

    /// Creates a topic whose id is known.
    pub(super) fn create_as(&mut self, name: &str, partitions: i32, id: Uuid) {
        self.create(name, partitions);
        self.topics.insert(name.to_owned(), (TopicId(id), partitions));
    }

    pub(super) fn grow(&mut self, name: &str, partitions: i32) {
        self.version += 1;
        self.topics.get_mut(name).unwrap().1 = partitions;
    }

    pub(super) fn delete(&mut self, name: &str) {
        self.version += 1;
        self.topics.remove(name).unwrap();
    }

    pub(super) fn place(&mut self, id: TopicId, racks: &[&str]) {
        self.version += 1;
        self.racks.insert(id, racks.iter().map(|rack| (*rack).to_owned()).collect());
    }
}

impl TopicCatalog for Catalog {
    fn topic(&self, name: &str) -> Option<(TopicId, i32)> {
        self.topics.get(name).copied()
    }

    fn name(&self, id: TopicId) -> Option<&str> {
        self.topics.iter().find(|(_, (known, _))| *known == id).map(|(name, _)| name.as_str())
    }

    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.topics.keys().map(String::as_str))
    }

    fn racks(&self, id: TopicId, _: PartitionId) -> Vec<String> {
        self.racks.get(&id).cloned().unwrap_or_default()
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn version_of_last_creation(&self) -> i64 {
        self.created
    }
}

/// One group in a cluster.
pub(super) struct World {
    pub(super) group: ConsumerGroup,
    pub(super) topics: Catalog,
    pub(super) config: ConsumerConfig,
    pub(super) now: Timestamp,
    /// All that was ever written.
    pub(super) records: Vec<ConsumerRecord>,
}

impl World {
    /// An empty group `g`, and a topic `t` with four partitions.
    pub(super) fn new() -> Self {
        let mut topics = Catalog::default();
        topics.create("t", 4);
        Self {
            group: ConsumerGroup::new("g"),
            topics,
            config: ConsumerConfig::default(),
            now: Timestamp::from_millis(1_000_000),
            records: Vec::new(),
        }
    }

    /// The id of the topic `t`.
    pub(super) fn t(&self) -> TopicId {
        self.topics.topic("t").unwrap().0
    }

    /// Sends a heartbeat that is not refused.
    pub(super) fn ok(&mut self, request: Heartbeat) -> HeartbeatAnswer {
        self.send(request).expect("the heartbeat is accepted")
    }

    /// Sends a heartbeat that is refused, and nothing is written.
    pub(super) fn refused(&mut self, request: Heartbeat) -> ResponseError {
        let (records, before) = (self.records.len(), self.group.hard_state().clone());
        let refusal = self.send(request).expect_err("the heartbeat is refused");
        assert_eq!(self.records.len(), records, "a refusal writes nothing");
        assert_eq!(*self.group.hard_state(), before, "a refusal changes nothing");
        refusal.error
    }

    pub(super) fn send(&mut self, request: Heartbeat) -> Result<HeartbeatAnswer, Refusal> {
        let ctx = Ctx { now: self.now, topics: &self.topics, config: &self.config };
        let answer = self.group.heartbeat(&ctx, &request, &mut self.records);
        self.assert_sound();
        let (answer, downgrade) = answer?;
        assert_eq!(downgrade, None, "nobody speaks the classic protocol");
        Ok(answer)
    }

    /// Moves time, and does what is due on the way.
    pub(super) fn advance(&mut self, millis: i64) {
        let end = self.now.plus_millis(millis);
        while let Some(due) = self.group.next_deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.expire();
        }
        self.now = end;
    }

    /// Does what is due now.
    pub(super) fn expire(&mut self) {
        let ctx = Ctx { now: self.now, topics: &self.topics, config: &self.config };
        assert_eq!(self.group.expire(&ctx, &mut self.records), None, "nobody speaks the classic protocol");
        assert!(self.group.next_deadline().is_none_or(|due| due > self.now), "nothing that is due is left");
        self.assert_sound();
    }

    fn assert_sound(&self) {
        let mut replayed = ConsumerGroup::new("g");
        for record in &self.records {
            replayed.apply(record);
        }
        assert_eq!(replayed.hard_state(), self.group.hard_state(), "the records alone give the same group");
        let mut owned = BTreeSet::new();
        for member in self.group.hard_state().members().values() {
            let assignment = member.assignment();
            for part in [&assignment.assigned_partitions, &assignment.partitions_pending_revocation] {
                for (topic_id, partitions) in part {
                    for partition in partitions.keys() {
                        assert!(owned.insert((*topic_id, *partition)), "{partition} of {topic_id} has two owners");
                    }
                }
            }
        }
    }

    /// Group epoch and assignment epoch.
    pub(super) fn epochs(&self) -> (i32, i32) {
        (self.group.hard_state().group_epoch(), self.group.hard_state().assignment_epoch())
    }

    pub(super) fn state(&self) -> ConsumerGroupState {
        self.group.state()
    }

    /// The epoch and the state of a member.
    pub(super) fn member(&self, member_id: &str) -> (i32, MemberState) {
        let assignment = self.group.hard_state().member(member_id).expect("the member is there").assignment();
        (assignment.member_epoch, assignment.state)
    }

    /// Whether there is such a member.
    pub(super) fn has(&self, member_id: &str) -> bool {
        self.group.hard_state().member(member_id).is_some()
    }

    /// A stable group: `A` has the partitions 0 and 1 of `t`, `B` 2 and 3, both at epoch 3.
    pub(super) fn pair() -> Self {
        let mut world = Self::new();
        world.ok(join("A", &["t"]));
        world.advance(1000);
        world.ok(join("B", &["t"]));
        world.ok(beat("A", 2));
        let keeps = world.of_t(&[0, 1]);
        world.ok(beat("A", 2).owning(&keeps));
        world.ok(beat("B", 3));
        assert_eq!(world.state(), ConsumerGroupState::Stable);
        world
    }

    /// Partitions of the topic `t`.
    pub(super) fn of_t(&self, partitions: &[i32]) -> Partitions {
        of(self.t(), partitions)
    }
}

/// Partitions of one topic.
pub(super) fn of(topic_id: TopicId, partitions: &[i32]) -> Partitions {
    if partitions.is_empty() {
        return Partitions::new();
    }
    [(topic_id, partitions.iter().copied().map(PartitionId).collect())].into()
}

/// The first heartbeat of a member that is subscribed to `names`.
pub(in crate::group) fn join(member_id: &str, names: &[&str]) -> Heartbeat {
    Heartbeat {
        rebalance_timeout_ms: 60_000,
        subscribed_topic_names: Some(names.iter().map(|name| (*name).to_owned()).collect()),
        topic_partitions: Some(Partitions::new()),
        ..beat(member_id, 0)
    }
}

/// The first heartbeat of a member that is subscribed to a pattern.
pub(in crate::group) fn join_regex(member_id: &str, regex: &str) -> Heartbeat {
    Heartbeat { subscribed_topic_names: None, ..join(member_id, &[]) }.matching(regex)
}

/// A heartbeat that says nothing new.
pub(in crate::group) fn beat(member_id: &str, member_epoch: i32) -> Heartbeat {
    Heartbeat {
        member_id: member_id.to_owned(),
        member_epoch,
        instance_id: None,
        rack_id: None,
        rebalance_timeout_ms: -1,
        subscribed_topic_names: None,
        subscribed_topic_regex: None,
        server_assignor: None,
        topic_partitions: None,
        client_id: "c".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
    }
}

impl Heartbeat {
    pub(in crate::group) fn owning(self, partitions: &Partitions) -> Self {
        Self { topic_partitions: Some(partitions.clone()), ..self }
    }

    pub(in crate::group) fn subscribed(self, names: &[&str]) -> Self {
        Self { subscribed_topic_names: Some(names.iter().map(|name| (*name).to_owned()).collect()), ..self }
    }

    pub(in crate::group) fn matching(self, regex: &str) -> Self {
        Self { subscribed_topic_regex: Some(regex.to_owned()), ..self }
    }

    pub(in crate::group) fn instance(self, instance_id: &str) -> Self {
        Self { instance_id: Some(instance_id.to_owned()), ..self }
    }

    pub(in crate::group) fn assignor(self, name: &str) -> Self {
        Self { server_assignor: Some(name.to_owned()), ..self }
    }
}
