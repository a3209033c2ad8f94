//! A coordinator that is watched. After every step: a fold of all records over an empty machine gives the same hard state; a
//! group at rest is what a restart would find; each ticket is answered at most once; after `expire` nothing is overdue. At
//! the end each ticket has been answered.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use crate::cluster::tests::cluster;
use crate::cluster::{BrokerConfig, Cluster};
use crate::group::*;
use crate::ids::IdSource;
use crate::time::Timestamp;
use crate::types::{ProducerId, Ticket, TopicId};

/// The group that tests are about, unless they name another one.
pub(super) const GROUP: &str = "g";

/// A coordinator, its time, and all it was seen to do.
#[derive(Debug)]
pub(super) struct Kit {
    pub(super) coordinator: GroupCoordinator,
    pub(super) config: BrokerConfig,
    pub(super) now: Timestamp,
    /// What was persisted, oldest first.
    pub(super) records: Vec<Record>,
    pub(super) cluster: Cluster,
    ids: IdSource,
    replica: GroupCoordinator,
    tickets: u64,
    waiting: BTreeSet<Ticket>,
    answers: BTreeMap<Ticket, Response>,
}

impl Kit {
    pub(super) fn new() -> Self {
        Self::with(|_| ())
    }

    pub(super) fn with(configure: impl FnOnce(&mut BrokerConfig)) -> Self {
        let mut config = BrokerConfig::default();
        configure(&mut config);
        let mut kit = Self {
            coordinator: GroupCoordinator::default(),
            config,
            now: Timestamp::from_millis(1_000_000),
            records: Vec::new(),
            cluster: cluster(1, &[]),
            ids: IdSource::new(1),
            replica: GroupCoordinator::default(),
            tickets: 0,
            waiting: BTreeSet::new(),
            answers: BTreeMap::new(),
        };
        kit.run(|coordinator, ctx, out| coordinator.load(ctx, |_| true, out));
        kit
    }

    /// Runs an event that is answered.
    pub(super) fn ask(&mut self, event: impl FnOnce(Ticket) -> Event) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.waiting.insert(ticket);
        self.run(|coordinator, ctx, out| coordinator.step(ctx, event(ticket), out));
        ticket
    }

    /// Runs a move of the coordinator, and holds it to its contract.
    pub(super) fn run(&mut self, step: impl FnOnce(&mut GroupCoordinator, &mut Ctx<'_>, &mut Vec<Effect>)) {
        let mut out = Vec::new();
        let mut ctx = Ctx { now: self.now, cluster: &self.cluster, config: &self.config, ids: &mut self.ids };
        step(&mut self.coordinator, &mut ctx, &mut out);
        for effect in out {
            match effect {
                Effect::Persist(record) => {
                    self.replica.apply(&through_bytes(&record));
                    self.records.push(record);
                }
                Effect::PersistPending(producer_id, _, record) => {
                    self.replica.apply_pending(producer_id.0, &through_bytes(&record));
                    self.records.push(record);
                }
                Effect::Answer(ticket, response) => {
                    assert!(self.waiting.remove(&ticket), "{ticket:?} does not wait: {response:?}");
                    self.answers.insert(ticket, response);
                }
            }
        }
        assert_eq!(self.coordinator.hard, self.replica.hard, "records say something else");
        assert_eq!(consumer_groups(&self.coordinator), consumer_groups(&self.replica), "records say something else");
        self.assert_kinds_and_owners();
        self.assert_at_rest_as_persisted();
    }

    /// A group is of one kind, and no partition is two members'.
    fn assert_kinds_and_owners(&self) {
        for (group_id, group) in &self.coordinator.consumer {
            assert!(!self.coordinator.classic.contains_key(group_id), "{group_id} is of two kinds");
            let mut owned = BTreeSet::new();
            for member in group.hard_state().members().values() {
                let assignment = member.assignment();
                for part in [&assignment.assigned_partitions, &assignment.partitions_pending_revocation] {
                    for partition in
                        part.iter().flat_map(|(id, partitions)| partitions.keys().map(move |it| (*id, *it)))
                    {
                        assert!(owned.insert(partition), "{partition:?} has two owners");
                    }
                }
            }
        }
    }

    /// What is stable or empty has been written as it is.
    fn assert_at_rest_as_persisted(&self) {
        for (group_id, group) in &self.coordinator.classic {
            let is_at_rest = matches!(group.state(), ClassicState::Stable | ClassicState::Empty);
            if let Some(value) = self.coordinator.hard.classic_group(group_id).filter(|_| is_at_rest) {
                let found = ClassicGroup::from_record(value);
                assert_eq!(found.state(), group.state());
                assert_eq!(found.describe(), group.describe(), "{group_id} would not be found as it is");
            }
        }
    }

    /// Lets time pass, and does all that falls due on the way, in its order.
    pub(super) fn advance(&mut self, length_ms: i64) {
        let target = self.now.plus_millis(length_ms);
        while let Some(next) = self.coordinator.next_deadline().filter(|next| *next <= target) {
            self.now = self.now.max(next);
            self.expire();
        }
        self.now = target;
    }

    /// Does what is due now.
    pub(super) fn expire(&mut self) {
        self.run(GroupCoordinator::expire);
        let next = self.coordinator.next_deadline();
        assert!(next.is_none_or(|next| next > self.now), "{next:?} is overdue at {:?}", self.now);
    }

    /// A restart: all that is soft is lost, and comes back from the records.
    pub(super) fn restart(&mut self) {
        // Nobody waits for these answers after a restart; here they are taken as those of a coordinator that moved.
        self.replica.unload(|_| true, &mut Vec::new());
        self.run(|coordinator, _, out| coordinator.unload(|_| true, out));
        for record in &self.records {
            self.replica.apply(record);
            self.coordinator.apply(record);
        }
        self.run(|coordinator, ctx, out| coordinator.load(ctx, |_| true, out));
    }

    /// The marker of a transaction.
    pub(super) fn end_transaction(&mut self, producer_id: i64, result: TransactionResult) {
        self.replica.end_transaction(producer_id, result, |_| true);
        self.run(|coordinator, _, _| coordinator.end_transaction(producer_id, result, |_| true));
    }

    pub(super) fn answer(&self, ticket: Ticket) -> &Response {
        self.answers.get(&ticket).unwrap_or_else(|| panic!("{ticket:?} waits"))
    }

    pub(super) fn waits(&self, ticket: Ticket) -> bool {
        self.waiting.contains(&ticket)
    }

    pub(super) fn state(&self) -> ClassicState {
        self.coordinator.describe_classic(GROUP).map_or(ClassicState::Dead, |group| group.state)
    }
}

impl Drop for Kit {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let mut out = Vec::new();
            self.coordinator.unload(|_| true, &mut out);
            for effect in out {
                let Effect::Answer(ticket, _) = effect else { panic!("{effect:?} by a group that is given up") };
                assert!(self.waiting.remove(&ticket), "{ticket:?} is answered twice");
            }
            assert!(self.waiting.is_empty(), "never answered: {:?}", self.waiting);
        }
    }
}

/// What the records of the consumer groups say.
fn consumer_groups(coordinator: &GroupCoordinator) -> BTreeMap<&StrBytes, &consumer::HardState> {
    coordinator.consumer.iter().map(|(group_id, group)| (group_id, group.hard_state())).collect()
}

/// The record, written and read.
fn through_bytes(record: &Record) -> Record {
    let read = Record::decode(&record.key(), record.value().as_deref());
    let read = read.unwrap().expect("its type is known");
    assert_eq!(read, *record);
    read
}

/// What members do.
impl Kit {
    pub(super) fn join(&mut self, request: Join) -> Ticket {
        self.ask(|ticket| Event::Join(ticket, request))
    }

    pub(super) fn joined(&self, ticket: Ticket) -> Joined {
        let Response::Join(joined) = self.answer(ticket) else { panic!("not a JoinGroup") };
        joined.clone()
    }

    /// The error of a JoinGroup that is answered at once.
    pub(super) fn join_error(&mut self, request: Join) -> Option<ResponseError> {
        let ticket = self.join(request);
        self.joined(ticket).error
    }

    /// A dynamic member asks for an id and joins with it.
    pub(super) fn join_with_new_id(&mut self, request: Join) -> (StrBytes, Ticket) {
        let ticket = self.join(request.clone());
        let member_id = self.joined(ticket).member_id;
        let ticket = self.join(Join { member_id: member_id.clone(), ..request });
        (member_id, ticket)
    }

    /// A stable group of these members at generation 1. Their ids, as given; the first one leads. Each is assigned its
    /// own number in the order of the requests.
    pub(super) fn stable(&mut self, requests: &[Join]) -> Vec<StrBytes> {
        let members = self.completing(requests);
        self.assign(&members, 1);
        assert_eq!(self.state(), ClassicState::Stable);
        members
    }

    /// As [`Kit::stable`], but nobody has asked for its assignment.
    pub(super) fn completing(&mut self, requests: &[Join]) -> Vec<StrBytes> {
        let mut members = Vec::new();
        for request in requests {
            if request.group_instance_id.is_some() || !request.requires_known_member_id {
                let ticket = self.join(request.clone());
                members.push(ticket);
            } else {
                let (_, ticket) = self.join_with_new_id(request.clone());
                members.push(ticket);
            }
        }
        self.advance(self.config.group_initial_rebalance_delay_ms * 2);
        assert_eq!(self.state(), ClassicState::CompletingRebalance);
        members.into_iter().map(|ticket| self.joined(ticket).member_id).collect()
    }

    /// All members ask for their assignments; the first one leads.
    pub(super) fn assign(&mut self, members: &[StrBytes], generation_id: i32) {
        let numbered = members.iter().zip(1_u8..);
        let assignments = numbered.map(|(member, number)| (member.clone(), vec![number].into())).collect();
        let request = |member| Sync { protocol_type: None, protocol_name: None, ..sync(member, generation_id) };
        let leader = self.sync(Sync { assignments, ..request(&members[0]) });
        assert!(self.synced(leader).is_ok());
        for member in &members[1..] {
            let follower = self.sync(request(member));
            assert!(self.synced(follower).is_ok());
        }
    }

    pub(super) fn sync(&mut self, request: Sync) -> Ticket {
        self.ask(|ticket| Event::Sync(ticket, request))
    }

    pub(super) fn synced(&self, ticket: Ticket) -> Result<Synced, ResponseError> {
        let Response::Sync(synced) = self.answer(ticket) else { panic!("not a SyncGroup") };
        synced.clone()
    }

    pub(super) fn heartbeat(&mut self, member: MemberIdentity) -> Result<(), ResponseError> {
        let ticket = self.ask(|ticket| Event::Heartbeat(ticket, member));
        let Response::Heartbeat(result) = self.answer(ticket) else { panic!("not a Heartbeat") };
        *result
    }

    /// The error of each.
    pub(super) fn leave(&mut self, members: &[(&str, Option<&str>)]) -> Vec<Option<ResponseError>> {
        let members = members.iter().map(|(member_id, instance)| (text(member_id), instance.map(text))).collect();
        let request = Leave { group_id: GROUP.into(), members };
        let ticket = self.ask(|ticket| Event::Leave(ticket, request));
        let Response::Leave(Ok(left)) = self.answer(ticket) else { panic!("not a LeaveGroup") };
        left.iter().map(|left| left.error).collect()
    }

    /// The error of each partition.
    pub(super) fn commit(&mut self, request: OffsetCommit) -> Vec<Option<ResponseError>> {
        let ticket = self.ask(|ticket| Event::OffsetCommit(ticket, request));
        self.errors(ticket)
    }

    pub(super) fn commit_in_transaction(&mut self, request: TxnOffsetCommit) -> Vec<Option<ResponseError>> {
        let ticket = self.ask(|ticket| Event::TxnOffsetCommit(ticket, request));
        self.errors(ticket)
    }

    pub(super) fn delete_offsets(&mut self, topic: &str) -> Result<Vec<Option<ResponseError>>, ResponseError> {
        let request = DeleteOffsets { group_id: GROUP.into(), topics: vec![(text(topic), vec![0])] };
        let ticket = self.ask(|ticket| Event::DeleteOffsets(ticket, request));
        let Response::DeleteOffsets(result) = self.answer(ticket) else { panic!("not an OffsetDelete") };
        result.clone().map(|topics| errors_of(&topics))
    }

    pub(super) fn delete_group(&mut self, group_id: &str) -> Option<ResponseError> {
        let ticket = self.ask(|ticket| Event::DeleteGroups(ticket, vec![text(group_id)]));
        let Response::DeleteGroups(results) = self.answer(ticket) else { panic!("not a DeleteGroups") };
        results[0].1
    }

    /// The committed offset of partition 0 of `topic`; -1 for none.
    pub(super) fn offset(&self, topic: &str) -> i64 {
        self.fetched(topic, RequireStable::No).offset
    }

    pub(super) fn fetched(&self, topic: &str, require_stable: RequireStable) -> FetchedOffset {
        self.coordinator.fetch_offset(GROUP, topic, None, 0, require_stable)
    }

    fn errors(&self, ticket: Ticket) -> Vec<Option<ResponseError>> {
        let Response::OffsetCommit(topics) = self.answer(ticket) else { panic!("not an OffsetCommit") };
        errors_of(topics)
    }
}

fn errors_of(topics: &[TopicResult]) -> Vec<Option<ResponseError>> {
    topics.iter().flat_map(|topic| topic.partitions.iter().map(|(_, error)| *error)).collect()
}

pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A consumer that asks to join without an id, as a client of today.
pub(super) fn consumer() -> Join {
    Join {
        group_id: GROUP.into(),
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
        protocol_type: "consumer".into(),
        protocols: vec![protocol("range", &["t"])],
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        requires_known_member_id: true,
        supports_skipping_assignment: true,
        ..Join::default()
    }
}

/// As [`consumer`], with these protocols of equal metadata.
pub(super) fn offering(protocols: &[&str]) -> Join {
    Join { protocols: protocols.iter().map(|name| protocol(name, &["t"])).collect(), ..consumer() }
}

/// As [`consumer`], static.
pub(super) fn static_consumer(group_instance_id: &str) -> Join {
    Join { group_instance_id: Some(text(group_instance_id)), ..consumer() }
}

/// As [`consumer`], with an id.
pub(super) fn rejoining(member_id: &StrBytes) -> Join {
    Join { member_id: member_id.clone(), ..consumer() }
}

pub(super) fn protocol(name: &str, topics: &[&str]) -> Protocol {
    Protocol { name: text(name), metadata: subscription(topics) }
}

/// A subscription as consumers write it (ConsumerProtocolSubscription v0).
pub(super) fn subscription(topics: &[&str]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(0);
    bytes.put_i32(topics.len().try_into().unwrap());
    for topic in topics {
        bytes.put_i16(topic.len().try_into().unwrap());
        bytes.put_slice(topic.as_bytes());
    }
    bytes.put_i32(-1);
    bytes.freeze()
}

pub(super) fn sync(member_id: &StrBytes, generation_id: i32) -> Sync {
    Sync {
        member: identity(member_id, generation_id),
        protocol_type: Some("consumer".into()),
        protocol_name: Some("range".into()),
        assignments: Vec::new(),
    }
}

pub(super) fn identity(member_id: &StrBytes, generation_id: i32) -> MemberIdentity {
    MemberIdentity { group_id: GROUP.into(), member_id: member_id.clone(), group_instance_id: None, generation_id }
}

/// Nobody in particular, as tools are.
pub(super) fn nobody() -> MemberIdentity {
    identity(&StrBytes::new(), -1)
}

/// A commit of partition 0 of `topic`.
pub(super) fn offset_commit(member: MemberIdentity, topic: &str, offset: i64) -> OffsetCommit {
    OffsetCommit {
        member,
        knows_group_id_not_found: true,
        retention_time_ms: None,
        topics: commit_topics(topic, offset),
    }
}

/// The same in the transaction of producer `producer_id`.
pub(super) fn txn_commit(member: MemberIdentity, producer_id: i64, topic: &str, offset: i64) -> TxnOffsetCommit {
    let mut topics = commit_topics(topic, offset);
    topics[0].topic_id = TopicId::ZERO;
    TxnOffsetCommit { member, producer_id: ProducerId(producer_id), producer_epoch: 0, topics }
}

fn commit_topics(topic: &str, offset: i64) -> Vec<CommitTopic> {
    let partition = CommitPartition { partition: 0, offset, leader_epoch: 3, metadata: Some("m".into()) };
    vec![CommitTopic { name: text(topic), topic_id: TopicId(uuid::Uuid::from_u128(7)), partitions: vec![partition] }]
}
