//! A group: its members, what they are assigned, what it has committed.

use bytes::{Buf, Bytes};

use crate::group::{GroupType, RequireStable};
use crate::state::State;

/// A group at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupState {
    /// Its id.
    pub group_id: String,
    /// `classic` or `consumer` (KIP-848), as ListGroups says it.
    pub group_type: &'static str,
    /// Kafka's name of its state: `Empty`, `PreparingRebalance`, `CompletingRebalance`, `Stable`, `Assigning`, `Reconciling`.
    pub state: &'static str,
    /// The generation of a classic group, the epoch of a consumer group.
    pub epoch: i32,
    /// The members, by id.
    pub members: Vec<GroupMember>,
    /// What is committed, by topic and partition.
    pub offsets: Vec<GroupOffset>,
    /// What open transactions will have committed if they commit, by topic and partition.
    pub pending: Vec<PendingOffset>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupMember {
    /// Its id.
    pub member_id: String,
    /// `group.instance.id`, of a static member.
    pub instance_id: Option<String>,
    /// `client.id`.
    pub client_id: String,
    /// Where it connects from, as Kafka writes it: `/127.0.0.1`.
    pub client_host: String,
    /// The epoch of a member of a consumer group; -1 in a classic group, whose generation is that of all.
    pub epoch: i32,
    /// Topics with their partitions, by name. Of a classic group that is not one of consumers, and of a member that was
    /// assigned nothing yet, none.
    pub assignment: Vec<(String, Vec<i32>)>,
}

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupOffset {
    /// Of which topic.
    pub topic: String,
    /// Of which partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// The leader epoch of the last record that was consumed; -1 for none.
    pub leader_epoch: i32,
    /// What the committer wrote beside it.
    pub metadata: String,
}

/// An offset that counts if its transaction commits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingOffset {
    /// Whose transaction.
    pub producer_id: i64,
    /// Of which topic.
    pub topic: String,
    /// Of which partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

impl GroupState {
    /// What is committed of a partition.
    pub fn offset(&self, topic: &str, partition: i32) -> Option<i64> {
        let is_it = |it: &&GroupOffset| it.topic == topic && it.partition == partition;
        self.offsets.iter().find(is_it).map(|it| it.offset)
    }
}

/// The group of this id, if there is one.
pub(crate) fn group(state: &State, group_id: &str) -> Option<GroupState> {
    let group_type = state.groups.group_type(group_id)?;
    let (name, epoch, members) = match group_type {
        GroupType::Classic => classic(state, group_id)?,
        GroupType::Consumer => consumer(state, group_id)?,
    };
    let committed = state.groups.fetch_all_offsets(group_id, RequireStable::No);
    let offsets = committed.into_iter().flat_map(|(topic, partitions)| {
        partitions.into_iter().map(move |(partition, committed)| GroupOffset {
            topic: topic.to_string(),
            partition,
            offset: committed.offset,
            leader_epoch: committed.leader_epoch,
            metadata: committed.metadata.to_string(),
        })
    });
    let pending = state.groups.pending_offsets(group_id).map(|(producer_id, topic, partition, offset)| PendingOffset {
        producer_id,
        topic: topic.to_string(),
        partition,
        offset,
    });
    Some(GroupState {
        group_id: group_id.to_owned(),
        group_type: group_type.name(),
        state: name,
        epoch,
        members,
        offsets: offsets.collect(),
        pending: pending.collect(),
    })
}

/// All groups, by kind and id.
pub(crate) fn groups(state: &State) -> Vec<GroupState> {
    state.groups.list().filter_map(|listed| group(state, &listed.group_id)).collect()
}

fn classic(state: &State, group_id: &str) -> Option<(&'static str, i32, Vec<GroupMember>)> {
    let described = state.groups.describe_classic(group_id)?;
    let is_of_consumers = &*described.protocol_type == "consumer";
    let members = described.members.into_iter().map(|member| GroupMember {
        member_id: member.member_id.to_string(),
        instance_id: member.group_instance_id.map(|id| id.to_string()),
        client_id: member.client_id.to_string(),
        client_host: member.client_host.to_string(),
        epoch: -1,
        assignment: if is_of_consumers { assignment(member.assignment).unwrap_or_default() } else { Vec::new() },
    });
    let generation_id = state.groups.generation_id(group_id).unwrap_or(-1);
    Some((described.state.name(), generation_id, members.collect()))
}

fn consumer(state: &State, group_id: &str) -> Option<(&'static str, i32, Vec<GroupMember>)> {
    let described = state.groups.describe_consumer(&state.cluster, state.cluster.settings(), group_id).ok()?;
    let members = described.members.into_iter().map(|member| GroupMember {
        member_id: member.member_id,
        instance_id: member.instance_id,
        client_id: member.client_id,
        client_host: member.client_host,
        epoch: member.member_epoch,
        assignment: member
            .assignment
            .into_iter()
            .map(|of| (of.topic_name, of.partitions.into_iter().map(|partition| partition.0).collect()))
            .collect(),
    });
    Some((described.group_state.name(), described.group_epoch, members.collect()))
}

/// `ConsumerProtocolAssignment`: version i16, then an array of topic (string) and partitions (array of i32). What follows is
/// of no interest; what is not of this form is `None`.
fn assignment(mut bytes: Bytes) -> Option<Vec<(String, Vec<i32>)>> {
    bytes.try_get_i16().ok()?;
    let topics = bytes.try_get_i32().ok()?;
    let mut assigned = Vec::new();
    for _ in 0..topics {
        let size = usize::try_from(bytes.try_get_i16().ok()?).ok()?;
        if size > bytes.len() {
            return None;
        }
        let topic = String::from_utf8(bytes.split_to(size).into()).ok()?;
        let count = bytes.try_get_i32().ok()?;
        let mut partitions = Vec::new();
        for _ in 0..count {
            partitions.push(bytes.try_get_i32().ok()?);
        }
        assigned.push((topic, partitions));
    }
    assigned.sort();
    Some(assigned)
}
