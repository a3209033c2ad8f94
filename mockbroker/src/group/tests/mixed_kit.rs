//! What members of both protocols do in one group, and topics for them to read.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::kit::*;
use crate::cluster::configs::Resource;
use crate::cluster::{NewTopic, Refusal};
use crate::group::consumer::{
    ConsumerGroupState, DescribedGroup, DescribedMember, Heartbeat, HeartbeatAnswer, Partitions,
};
use crate::group::*;
use crate::ids::IdSource;
use crate::types::{PartitionId, TopicId};

/// Assigned partitions by topic, as a SyncGroup says them.
pub(super) type Named = Vec<(String, Vec<i32>)>;

impl Kit {
    /// A coordinator in a cluster with the topic `t` of four partitions.
    pub(super) fn with_topic(configure: impl FnOnce(&mut BrokerConfig)) -> Self {
        let mut kit = Self::with(configure);
        kit.create_topic("t", 4);
        kit
    }

    pub(super) fn create_topic(&mut self, name: &str, partitions: i32) -> TopicId {
        let new = NewTopic { num_partitions: partitions, ..NewTopic::named(name) };
        let planned = self.cluster.plan_topic(&new, &mut IdSource::new(u64::from(name.as_bytes()[0]))).unwrap();
        self.cluster.add_topic(planned)
    }

    /// Sets a config of the group.
    pub(super) fn set_group_config(&mut self, name: &str, value: &str) {
        let properties = [(name.to_owned(), value.to_owned())].into();
        self.cluster.set_configs(Resource::Group(GROUP.to_owned()), properties);
    }

    /// Partitions of the topic `t`.
    pub(super) fn of_t(&self, partitions: &[i32]) -> Partitions {
        let id = self.cluster.topics().id("t").unwrap();
        match partitions {
            [] => Partitions::new(),
            _ => [(id, partitions.iter().copied().map(PartitionId).collect())].into(),
        }
    }

    /// The answer to a ConsumerGroupHeartbeat.
    pub(super) fn beat(&mut self, heartbeat: Heartbeat) -> Result<HeartbeatAnswer, Refusal> {
        let request = ConsumerGroupHeartbeat { group_id: GROUP.into(), requires_member_id: true, heartbeat };
        let ticket = self.ask(|ticket| Event::ConsumerGroupHeartbeat(ticket, request));
        let Response::ConsumerGroupHeartbeat(answer) = self.answer(ticket) else { panic!("not a heartbeat") };
        answer.clone()
    }

    /// The epoch that a member has after its heartbeat, and what it may own now if that is another than before.
    pub(super) fn beats(&mut self, heartbeat: Heartbeat) -> (i32, Option<Partitions>) {
        let answer = self.beat(heartbeat).expect("the heartbeat is accepted");
        (answer.member_epoch, answer.assignment)
    }

    /// The error of a ConsumerGroupHeartbeat, and that nothing has been written.
    pub(super) fn beat_error(&mut self, heartbeat: Heartbeat) -> ResponseError {
        let before = self.records.len();
        let refusal = self.beat(heartbeat).expect_err("the heartbeat is refused");
        assert_eq!(self.records.len(), before, "a refusal writes nothing");
        refusal.error
    }

    pub(super) fn described(&mut self) -> DescribedGroup {
        let mut described = None;
        self.run(|coordinator, ctx, _| described = coordinator.describe_consumer(ctx.cluster, ctx.config, GROUP).ok());
        described.expect("there is a consumer group")
    }

    pub(super) fn described_member(&mut self, member_id: &str) -> DescribedMember {
        let members = self.described().members;
        members.into_iter().find(|member| member.member_id == member_id).expect("there is such a member")
    }

    pub(super) fn consumer_state(&mut self) -> ConsumerGroupState {
        self.described().group_state
    }

    pub(super) fn group_type(&self) -> Option<GroupType> {
        self.coordinator.group_type(GROUP)
    }

    /// Generation, protocol and error of a JoinGroup that is answered at once.
    pub(super) fn joins(&mut self, request: Join) -> Joined {
        let ticket = self.join(request);
        self.joined(ticket)
    }

    /// What a SyncGroup that is answered at once assigns.
    pub(super) fn syncs(&mut self, member_id: &str, generation_id: i32) -> Result<Named, ResponseError> {
        let request = sync(&text(member_id), generation_id);
        let ticket = self.sync(request);
        self.synced(ticket).map(|synced| named(&synced.assignment))
    }

    pub(super) fn heartbeats(&mut self, member_id: &str, generation_id: i32) -> Result<(), ResponseError> {
        self.heartbeat(identity(&text(member_id), generation_id))
    }

    /// A stable classic group at generation 1. The two members have the partitions 0 and 1, 2 and 3 of `t`.
    pub(super) fn classic_pair(&mut self) -> [StrBytes; 2] {
        let members = self.completing(&[classic(&["t"], &[]), classic(&["t"], &[])]);
        let [first, second] = [members[0].clone(), members[1].clone()];
        let assignments = vec![
            (first.clone(), assignment(&[("t", &[0, 1])], None)),
            (second.clone(), assignment(&[("t", &[2, 3])], None)),
        ];
        let leader = self.sync(Sync { assignments, ..sync(&first, 1) });
        assert!(self.synced(leader).is_ok());
        assert!(self.syncs(&second, 1).is_ok());
        [first, second]
    }

    /// The keys of the records written since `from`, by their numbers.
    pub(super) fn kinds_since(&self, from: usize) -> Vec<u8> {
        self.records[from..].iter().map(|record| record.key()[1]).collect()
    }
}

/// A consumer of the classic protocol that reads `topics` and owns these partitions of `t`, as a client of today says it.
pub(super) fn classic(topics: &[&str], owned: &[i32]) -> Join {
    let metadata = subscription_owning(topics, &[("t", owned)]);
    Join { protocols: vec![Protocol { name: "range".into(), metadata }], ..consumer() }
}

/// The same, which already has an id.
pub(super) fn classic_again(member_id: &str, owned: &[i32]) -> Join {
    Join { member_id: text(member_id), ..classic(&["t"], owned) }
}

/// ConsumerProtocolSubscription v3: topics, no user data, owned partitions, generation, rack.
pub(super) fn subscription_owning(topics: &[&str], owned: &[(&str, &[i32])]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(3);
    bytes.put_i32(topics.len().try_into().unwrap());
    for topic in topics {
        put_string(&mut bytes, topic);
    }
    bytes.put_i32(-1);
    put_partitions(&mut bytes, owned);
    bytes.put_i32(-1);
    bytes.put_i16(-1);
    bytes.freeze()
}

/// ConsumerProtocolAssignment v3: partitions by topic, user data.
pub(super) fn assignment(assigned: &[(&str, &[i32])], user_data: Option<&[u8]>) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(3);
    put_partitions(&mut bytes, assigned);
    match user_data {
        None => bytes.put_i32(-1),
        Some(data) => {
            bytes.put_i32(data.len().try_into().unwrap());
            bytes.put_slice(data);
        }
    }
    bytes.freeze()
}

fn put_partitions(bytes: &mut BytesMut, topics: &[(&str, &[i32])]) {
    bytes.put_i32(topics.len().try_into().unwrap());
    for (topic, partitions) in topics {
        put_string(bytes, topic);
        bytes.put_i32(partitions.len().try_into().unwrap());
        partitions.iter().for_each(|partition| bytes.put_i32(*partition));
    }
}

fn put_string(bytes: &mut BytesMut, text: &str) {
    bytes.put_i16(text.len().try_into().unwrap());
    bytes.put_slice(text.as_bytes());
}

/// What an assignment says, read by hand.
pub(super) fn named(bytes: &[u8]) -> Named {
    let read = record::Assignment::decode(bytes).expect("it is an assignment");
    assert!(!read.has_user_data);
    read.assigned_partitions.into_iter().map(|(topic, partitions)| (topic.to_string(), partitions)).collect()
}

/// Partitions of `t` as an assignment says them.
pub(super) fn t(partitions: &[i32]) -> Named {
    if partitions.is_empty() { Vec::new() } else { vec![("t".to_owned(), partitions.to_vec())] }
}
