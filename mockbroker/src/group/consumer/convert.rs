//! A group's records as [`Record`]s of `__consumer_offsets`, and back.
//!
//! The two say the same in different shapes: within a group partitions are sets, in a record they are lists.

use std::collections::BTreeMap;

use kafka_protocol::protocol::StrBytes;

use super::record::{
    AssignedPartitions, ClassicMemberMetadata, ClassicProtocol, ConsumerRecord, CurrentMemberAssignmentValue,
    GroupMetadataValue, MemberMetadataValue, MemberState, Partitions, RegularExpressionValue,
    TargetAssignmentMemberValue, TargetAssignmentMetadataValue,
};
use crate::group::record::{self, AssignedTopic, MemberKey, Record, RegularExpressionKey};
use crate::types::{PartitionId, TopicId};

impl ConsumerRecord {
    /// As it is written.
    pub(crate) fn to_record(&self) -> Record {
        let key = |group_id: &str, member_id: &str| MemberKey { group_id: text(group_id), member_id: text(member_id) };
        match self {
            Self::GroupMetadata { group_id, value } => {
                let value = value.as_ref().map(|value| record::ConsumerGroupMetadataValue {
                    epoch: value.epoch,
                    metadata_hash: value.metadata_hash,
                });
                Record::ConsumerGroupMetadata(text(group_id), value)
            }
            Self::PartitionMetadata { group_id } => Record::ConsumerGroupPartitionMetadata(text(group_id)),
            Self::MemberMetadata { group_id, member_id, value } => {
                Record::ConsumerGroupMemberMetadata(key(group_id, member_id), value.as_ref().map(from_member))
            }
            Self::TargetAssignmentMetadata { group_id, value } => {
                let value = value.as_ref().map(|value| record::TargetAssignmentMetadataValue {
                    assignment_epoch: value.assignment_epoch,
                    assignment_timestamp: value.assignment_timestamp,
                });
                Record::ConsumerGroupTargetAssignmentMetadata(text(group_id), value)
            }
            Self::TargetAssignmentMember { group_id, member_id, value } => {
                let value = value.as_ref().map(|value| record::TargetAssignmentMemberValue {
                    topic_partitions: from_partitions(&value.topic_partitions),
                });
                Record::ConsumerGroupTargetAssignmentMember(key(group_id, member_id), value)
            }
            Self::CurrentMemberAssignment { group_id, member_id, value } => {
                let value = value.as_ref().map(from_assignment);
                Record::ConsumerGroupCurrentMemberAssignment(key(group_id, member_id), value)
            }
            Self::RegularExpression { group_id, regular_expression, value } => {
                let (group_id, regular_expression) = (text(group_id), text(regular_expression));
                let value = value.as_ref().map(|value| record::RegularExpressionValue {
                    topics: value.topics.iter().map(|topic| text(topic)).collect(),
                    version: value.version,
                    timestamp: value.timestamp,
                });
                Record::ConsumerGroupRegularExpression(RegularExpressionKey { group_id, regular_expression }, value)
            }
        }
    }

    /// As a group applies it; `None` for a record that is not of a consumer group.
    pub(crate) fn of_record(record: &Record) -> Option<Self> {
        let ids = |key: &MemberKey| (key.group_id.to_string(), key.member_id.to_string());
        Some(match record {
            Record::OffsetCommit(..) | Record::GroupMetadata(..) => return None,
            Record::ConsumerGroupMetadata(group_id, value) => {
                let value = value
                    .as_ref()
                    .map(|value| GroupMetadataValue { epoch: value.epoch, metadata_hash: value.metadata_hash });
                Self::GroupMetadata { group_id: group_id.to_string(), value }
            }
            Record::ConsumerGroupPartitionMetadata(group_id) => {
                Self::PartitionMetadata { group_id: group_id.to_string() }
            }
            Record::ConsumerGroupMemberMetadata(key, value) => {
                let (group_id, member_id) = ids(key);
                Self::MemberMetadata { group_id, member_id, value: value.as_ref().map(to_member) }
            }
            Record::ConsumerGroupTargetAssignmentMetadata(group_id, value) => {
                let value = value.as_ref().map(|value| TargetAssignmentMetadataValue {
                    assignment_epoch: value.assignment_epoch,
                    assignment_timestamp: value.assignment_timestamp,
                });
                Self::TargetAssignmentMetadata { group_id: group_id.to_string(), value }
            }
            Record::ConsumerGroupTargetAssignmentMember(key, value) => {
                let (group_id, member_id) = ids(key);
                let value = value.as_ref().map(|value| TargetAssignmentMemberValue {
                    topic_partitions: to_partitions(&value.topic_partitions),
                });
                Self::TargetAssignmentMember { group_id, member_id, value }
            }
            Record::ConsumerGroupCurrentMemberAssignment(key, value) => {
                let (group_id, member_id) = ids(key);
                Self::CurrentMemberAssignment { group_id, member_id, value: value.as_ref().map(to_assignment) }
            }
            Record::ConsumerGroupRegularExpression(key, value) => {
                let value = value.as_ref().map(|value| RegularExpressionValue {
                    topics: value.topics.iter().map(ToString::to_string).collect(),
                    version: value.version,
                    timestamp: value.timestamp,
                });
                let (group_id, regular_expression) = (key.group_id.to_string(), key.regular_expression.to_string());
                Self::RegularExpression { group_id, regular_expression, value }
            }
        })
    }
}

fn from_member(value: &MemberMetadataValue) -> record::ConsumerGroupMemberMetadataValue {
    let nullable = |value: &Option<String>| value.as_deref().map(text);
    record::ConsumerGroupMemberMetadataValue {
        instance_id: nullable(&value.instance_id),
        rack_id: nullable(&value.rack_id),
        client_id: text(&value.client_id),
        client_host: text(&value.client_host),
        subscribed_topic_names: value.subscribed_topic_names.iter().map(|name| text(name)).collect(),
        subscribed_topic_regex: nullable(&value.subscribed_topic_regex),
        rebalance_timeout_ms: value.rebalance_timeout_ms,
        server_assignor: nullable(&value.server_assignor),
        classic_member_metadata: value.classic_member_metadata.as_ref().map(|classic| {
            let protocols = classic.supported_protocols.iter();
            record::ClassicMemberMetadata {
                session_timeout_ms: classic.session_timeout_ms,
                supported_protocols: protocols.map(|it| (text(&it.name), it.metadata.clone())).collect(),
            }
        }),
    }
}

fn to_member(value: &record::ConsumerGroupMemberMetadataValue) -> MemberMetadataValue {
    let nullable = |value: &Option<StrBytes>| value.as_ref().map(ToString::to_string);
    MemberMetadataValue {
        instance_id: nullable(&value.instance_id),
        rack_id: nullable(&value.rack_id),
        client_id: value.client_id.to_string(),
        client_host: value.client_host.to_string(),
        subscribed_topic_names: value.subscribed_topic_names.iter().map(ToString::to_string).collect(),
        subscribed_topic_regex: nullable(&value.subscribed_topic_regex),
        rebalance_timeout_ms: value.rebalance_timeout_ms,
        server_assignor: nullable(&value.server_assignor),
        classic_member_metadata: value.classic_member_metadata.as_ref().map(|classic| {
            let protocols = classic.supported_protocols.iter();
            let to_protocol = |(name, metadata): &(StrBytes, bytes::Bytes)| ClassicProtocol {
                name: name.to_string(),
                metadata: metadata.clone(),
            };
            ClassicMemberMetadata {
                session_timeout_ms: classic.session_timeout_ms,
                supported_protocols: protocols.map(to_protocol).collect(),
            }
        }),
    }
}

fn from_assignment(value: &CurrentMemberAssignmentValue) -> record::CurrentMemberAssignmentValue {
    let topics = |partitions: &AssignedPartitions| {
        let topic = |(topic_id, partitions): (&TopicId, &BTreeMap<PartitionId, i32>)| AssignedTopic {
            topic_id: *topic_id,
            partitions: partitions.keys().map(|partition| partition.0).collect(),
            assignment_epochs: Some(partitions.values().copied().collect()),
        };
        partitions.iter().map(topic).collect()
    };
    record::CurrentMemberAssignmentValue {
        member_epoch: value.member_epoch,
        previous_member_epoch: value.previous_member_epoch,
        state: value.state.code(),
        assigned_partitions: topics(&value.assigned_partitions),
        partitions_pending_revocation: topics(&value.partitions_pending_revocation),
    }
}

fn to_assignment(value: &record::CurrentMemberAssignmentValue) -> CurrentMemberAssignmentValue {
    // Without epochs, or with the wrong number of them: the member's (`Utils.assignmentFromTopicPartitions`).
    let member_epoch = value.member_epoch.max(0);
    let partitions = |topics: &[AssignedTopic]| {
        let topic = |topic: &AssignedTopic| {
            let epochs = topic.assignment_epochs.as_ref().filter(|epochs| epochs.len() == topic.partitions.len());
            let epoch_of = |index: usize| epochs.map_or(member_epoch, |epochs| epochs[index]);
            let numbered = topic.partitions.iter().enumerate();
            let partitions = numbered.map(|(index, partition)| (PartitionId(*partition), epoch_of(index)));
            (topic.topic_id, partitions.collect())
        };
        topics.iter().map(topic).collect()
    };
    CurrentMemberAssignmentValue {
        member_epoch: value.member_epoch,
        previous_member_epoch: value.previous_member_epoch,
        state: MemberState::from_code(value.state),
        assigned_partitions: partitions(&value.assigned_partitions),
        partitions_pending_revocation: partitions(&value.partitions_pending_revocation),
    }
}

fn from_partitions(partitions: &Partitions) -> Vec<(TopicId, Vec<i32>)> {
    let topic = |(topic_id, partitions): (&TopicId, &std::collections::BTreeSet<PartitionId>)| {
        (*topic_id, partitions.iter().map(|partition| partition.0).collect())
    };
    partitions.iter().map(topic).collect()
}

fn to_partitions(topics: &[(TopicId, Vec<i32>)]) -> Partitions {
    let topic = |(topic_id, partitions): &(TopicId, Vec<i32>)| {
        (*topic_id, partitions.iter().map(|partition| PartitionId(*partition)).collect())
    };
    topics.iter().map(topic).collect()
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
