//! Groups: list, describe, delete, remove members.

use std::{collections::BTreeSet, fmt, sync::Arc};

use bytes::{Buf, Bytes};
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DeleteGroupsRequest, DeleteGroupsResponse,
    DescribeGroupsRequest, DescribeGroupsResponse, LeaveGroupRequest, LeaveGroupResponse, ListGroupsRequest,
    ListGroupsResponse, consumer_group_describe_response as consumer, describe_groups_response as classic,
    leave_group_request::MemberIdentity,
};

use super::{Admin, Listed, Results, ask::Place, name, outcome, text};
use crate::{
    codes::ErrorCode,
    error::{Error, Result},
    record::TopicPartition,
    wire::versions::Api,
};

/// What a group does (`GroupState`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum GroupState {
    /// It has no members; its offsets may be there.
    Empty,
    /// Classic: waits for members to join.
    PreparingRebalance,
    /// Classic: waits for the leader's assignment.
    CompletingRebalance,
    /// Consumer protocol: the assignor has yet to run.
    Assigning,
    /// Consumer protocol: members have yet to take or give up partitions.
    Reconciling,
    /// Every member has what it shall have.
    Stable,
    /// It is gone.
    Dead,
    /// A state that this release does not know, by Kafka's name; empty where the broker did not say (before Kafka 2.6).
    Other(Arc<str>),
}

impl GroupState {
    /// Kafka's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Stable => "Stable",
            Self::Dead => "Dead",
            Self::Other(name) => name,
        }
    }

    fn named(name: &str) -> Self {
        let known = [
            Self::Empty,
            Self::PreparingRebalance,
            Self::CompletingRebalance,
            Self::Assigning,
            Self::Reconciling,
            Self::Stable,
            Self::Dead,
        ];
        known.into_iter().find(|state| state.name() == name).unwrap_or_else(|| Self::Other(name.into()))
    }
}

impl fmt::Display for GroupState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Which protocol a group speaks (`GroupType`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum GroupType {
    /// JoinGroup and SyncGroup.
    Classic,
    /// KIP-848.
    Consumer,
    /// Another one, by Kafka's name: `share`, `streams`; empty where the broker did not say (before Kafka 3.8).
    Other(Arc<str>),
}

impl GroupType {
    /// Kafka's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Classic => "classic",
            Self::Consumer => "consumer",
            Self::Other(name) => name,
        }
    }
}

/// Which groups are listed. What is left out does not matter.
#[derive(Clone, Debug, Default)]
pub struct GroupFilter {
    states: BTreeSet<GroupState>,
    types: BTreeSet<GroupType>,
}

impl GroupFilter {
    /// All groups.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Groups in this state, or in another one that is named so (KIP-518; Kafka 2.6).
    #[must_use]
    pub fn state(mut self, state: GroupState) -> Self {
        self.states.insert(state);
        self
    }

    /// Groups of this type, or of another one that is named so (KIP-848; Kafka 3.8).
    #[must_use]
    pub fn group_type(mut self, group_type: GroupType) -> Self {
        self.types.insert(group_type);
        self
    }
}

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedGroup {
    /// `group.id`.
    pub group_id: Arc<str>,
    /// What its members use it for: `consumer`, `connect`; empty for a group that only has offsets.
    pub protocol_type: Arc<str>,
    /// What it does.
    pub state: GroupState,
    /// Which protocol it speaks.
    pub group_type: GroupType,
}

/// What is known of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupDescription {
    /// `group.id`.
    pub group_id: Arc<str>,
    /// What it does.
    pub state: GroupState,
    /// What its protocol says about it.
    pub protocol: GroupProtocol,
    /// Who is in it.
    pub members: Vec<GroupMember>,
}

/// What one of the two protocols says about a group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupProtocol {
    /// JoinGroup and SyncGroup.
    #[non_exhaustive]
    Classic {
        /// What its members use it for: `consumer`.
        protocol_type: Arc<str>,
        /// The assignor that its members agreed on.
        assignor: Arc<str>,
    },
    /// KIP-848.
    #[non_exhaustive]
    Consumer {
        /// Counts the changes of members and subscriptions.
        group_epoch: i32,
        /// The group epoch that the target assignment was made for.
        target_assignment_epoch: i32,
        /// The assignor on the broker.
        assignor: Arc<str>,
    },
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupMember {
    /// Its id.
    pub member_id: Arc<str>,
    /// `group.instance.id`, if it is static.
    pub group_instance_id: Option<Arc<str>>,
    /// `client.id`.
    pub client_id: Arc<str>,
    /// The address that it connects from.
    pub host: Arc<str>,
    /// What it has. Empty for a classic group whose members are not consumers.
    pub assignment: BTreeSet<TopicPartition>,
    /// Consumer protocol: what it shall have.
    pub target_assignment: Option<BTreeSet<TopicPartition>>,
    /// Consumer protocol: its epoch.
    pub member_epoch: Option<i32>,
}

/// Who shall leave a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum MemberToRemove {
    /// A static member, by `group.instance.id` (KIP-345).
    Static(Arc<str>),
    /// Any member, by member id.
    Member(Arc<str>),
}

impl Admin {
    /// The groups of all nodes.
    pub async fn list_groups(&self, filter: &GroupFilter) -> Listed<ListedGroup> {
        let make = |_| {
            ListGroupsRequest::default()
                .with_states_filter(filter.states.iter().map(|state| text(state.name())).collect())
                .with_types_filter(filter.types.iter().map(|group_type| text(group_type.name())).collect())
        };
        let read = |answer: ListGroupsResponse| {
            outcome(ListGroupsRequest::NAME, answer.error_code, None)?;
            let groups = answer.groups.iter().map(|group| ListedGroup {
                group_id: name(&group.group_id),
                protocol_type: name(&group.protocol_type),
                state: GroupState::named(&group.group_state),
                // GroupType.java ignores case: brokers say Classic and Consumer.
                group_type: match group.group_type.to_ascii_lowercase().as_str() {
                    "classic" => GroupType::Classic,
                    "consumer" => GroupType::Consumer,
                    other => GroupType::Other(other.into()),
                },
            });
            Ok(groups.collect())
        };
        Listed::new(self.every_node(make, read).await)
    }

    /// Describes groups of both protocols. Error: `GROUP_ID_NOT_FOUND`.
    pub async fn describe_groups(
        &self,
        groups: impl IntoIterator<Item = impl Into<Arc<str>>>,
    ) -> Results<Arc<str>, GroupDescription> {
        let mut described = self
            .each(
                groups.into_iter().map(Into::into),
                Place::group,
                |_, groups| {
                    let groups = groups.iter().map(|group| text(group.as_ref()).into());
                    ConsumerGroupDescribeRequest::default().with_group_ids(groups.collect())
                },
                |_, answer: ConsumerGroupDescribeResponse| answer.groups.iter().map(consumer_group).collect(),
            )
            .await;
        // What is no consumer group, or is on a broker that has none, may be a classic one
        // (`DescribeConsumerGroupsHandler`).
        let classic = described.iter().filter(|(_, result)| match result {
            Err(Error::UnsupportedVersion { .. }) => true,
            Err(error) => {
                matches!(error.code(), Some(ErrorCode::GroupIdNotFound | ErrorCode::UnsupportedVersion))
            }
            Ok(_) => false,
        });
        let classic: Vec<Arc<str>> = classic.map(|(group, _)| Arc::clone(group)).collect();
        let classic = self.each(
            classic,
            Place::group,
            |_, groups| {
                let groups = groups.iter().map(|group| text(group.as_ref()).into());
                DescribeGroupsRequest::default().with_groups(groups.collect())
            },
            |_, answer: DescribeGroupsResponse| answer.groups.iter().map(classic_group).collect(),
        );
        described.extend(classic.await);
        described
    }

    /// Deletes groups and their offsets. Errors: `GROUP_ID_NOT_FOUND`, `NON_EMPTY_GROUP`.
    pub async fn delete_groups(&self, groups: impl IntoIterator<Item = impl Into<Arc<str>>>) -> Results<Arc<str>> {
        self.each(
            groups.into_iter().map(Into::into),
            Place::group,
            |_, groups| {
                let groups = groups.iter().map(|group| text(group.as_ref()).into());
                DeleteGroupsRequest::default().with_groups_names(groups.collect())
            },
            |_, answer: DeleteGroupsResponse| {
                let groups = answer.results.iter();
                groups.map(|of| (name(&of.group_id), outcome(DeleteGroupsRequest::NAME, of.error_code, None))).collect()
            },
        )
        .await
    }

    /// Puts members out of a group, which rebalances (Kafka 2.4). Error: `UNKNOWN_MEMBER_ID`.
    pub async fn remove_members(
        &self,
        group: impl Into<Arc<str>>,
        members: impl IntoIterator<Item = MemberToRemove>,
    ) -> Results<MemberToRemove> {
        let group = group.into();
        self.each(
            members,
            |_| Place::group(&group),
            |_, members| {
                let members = members.iter().map(|member| {
                    // KIP-800: a reason for the broker's log.
                    let identity = MemberIdentity::default().with_reason(Some(text("member was removed by an admin")));
                    match member {
                        MemberToRemove::Static(instance) => {
                            identity.with_group_instance_id(Some(text(instance.as_ref())))
                        }
                        MemberToRemove::Member(member_id) => identity.with_member_id(text(member_id.as_ref())),
                    }
                });
                LeaveGroupRequest::default().with_group_id(text(group.as_ref()).into()).with_members(members.collect())
            },
            |asked, answer: LeaveGroupResponse| {
                if let Err(error) = outcome(LeaveGroupRequest::NAME, answer.error_code, None) {
                    return super::all(asked, &error);
                }
                let members = answer.members.iter().map(|of| {
                    let member = match &of.group_instance_id {
                        Some(instance) => MemberToRemove::Static(name(instance)),
                        None => MemberToRemove::Member(name(&of.member_id)),
                    };
                    (member, outcome(LeaveGroupRequest::NAME, of.error_code, None))
                });
                members.collect()
            },
        )
        .await
    }
}

fn consumer_group(of: &consumer::DescribedGroup) -> (Arc<str>, Result<GroupDescription>) {
    let group_id = name(&of.group_id);
    let result = outcome(ConsumerGroupDescribeRequest::NAME, of.error_code, of.error_message.as_ref());
    let partitions = |assignment: &consumer::Assignment| {
        let topics = assignment.topic_partitions.iter();
        let partitions = topics.flat_map(|topic| {
            let topic_name = name(&topic.topic_name);
            topic.partitions.iter().map(move |partition| TopicPartition::new(Arc::clone(&topic_name), *partition))
        });
        partitions.collect::<BTreeSet<_>>()
    };
    let members = of.members.iter().map(|member| GroupMember {
        member_id: name(&member.member_id),
        group_instance_id: member.instance_id.as_ref().map(name),
        client_id: name(&member.client_id),
        host: name(&member.client_host),
        assignment: partitions(&member.assignment),
        target_assignment: Some(partitions(&member.target_assignment)),
        member_epoch: Some(member.member_epoch),
    });
    let description = result.map(|()| GroupDescription {
        group_id: Arc::clone(&group_id),
        state: GroupState::named(&of.group_state),
        protocol: GroupProtocol::Consumer {
            group_epoch: of.group_epoch,
            target_assignment_epoch: of.assignment_epoch,
            assignor: name(&of.assignor_name),
        },
        members: members.collect(),
    });
    (group_id, description)
}

fn classic_group(of: &classic::DescribedGroup) -> (Arc<str>, Result<GroupDescription>) {
    let group_id = name(&of.group_id);
    let state = GroupState::named(&of.group_state);
    // Before v6 a group that is not there is dead (KIP-1043).
    let code = match (of.error_code, &state) {
        (0, GroupState::Dead) => ErrorCode::GroupIdNotFound.number(),
        (code, _) => code,
    };
    let result = outcome(DescribeGroupsRequest::NAME, code, of.error_message.as_ref());
    let is_consumer = of.protocol_type.as_str() == "consumer";
    let members = of.members.iter().map(|member| GroupMember {
        member_id: name(&member.member_id),
        group_instance_id: member.group_instance_id.as_ref().map(name),
        client_id: name(&member.client_id),
        host: name(&member.client_host),
        assignment: match is_consumer {
            true => assignment(member.member_assignment.clone()).unwrap_or_default(),
            false => BTreeSet::new(),
        },
        target_assignment: None,
        member_epoch: None,
    });
    let description = result.map(|()| GroupDescription {
        group_id: Arc::clone(&group_id),
        state,
        protocol: GroupProtocol::Classic { protocol_type: name(&of.protocol_type), assignor: name(&of.protocol_data) },
        members: members.collect(),
    });
    (group_id, description)
}

/// The partitions in what a classic group's leader assigned (ConsumerProtocolAssignment.json): the version, then topics with
/// their partitions, then what the assignor added. `None` if it is something else: members are free to say anything.
fn assignment(mut bytes: Bytes) -> Option<BTreeSet<TopicPartition>> {
    let mut partitions = BTreeSet::new();
    // A member without an assignment has no bytes.
    if bytes.is_empty() {
        return Some(partitions);
    }
    bytes.try_get_i16().ok()?;
    for _ in 0..bytes.try_get_i32().ok()? {
        let length = usize::try_from(bytes.try_get_i16().ok()?).ok().filter(|length| *length <= bytes.len())?;
        let topic: Arc<str> = std::str::from_utf8(&bytes.split_to(length)).ok()?.into();
        for _ in 0..bytes.try_get_i32().ok()? {
            partitions.insert(TopicPartition::new(Arc::clone(&topic), bytes.try_get_i32().ok()?));
        }
    }
    Some(partitions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_read_and_a_lie_about_its_size_ends() {
        // ConsumerProtocolAssignment v1: topic "ab" with partitions 0 and 7, no user data.
        let bytes = b"\0\x01\0\0\0\x01\0\x02ab\0\0\0\x02\0\0\0\0\0\0\0\x07\xff\xff\xff\xff";
        let expected = [TopicPartition::new("ab", 0), TopicPartition::new("ab", 7)];
        assert_eq!(assignment(Bytes::from_static(bytes)), Some(BTreeSet::from(expected)));
        assert_eq!(assignment(Bytes::new()), Some(BTreeSet::new()));
        for lie in
            [&b"\0\x01\x7f\xff\xff\xff"[..], b"\0\x01\0\0\0\x01\x7f\xffab", b"\0\x01\0\0\0\x01\0\x01a\x7f\0\0\0", b"x"]
        {
            assert_eq!(assignment(Bytes::from_static(lie)), None);
        }
    }
}
