//! The records in which a consumer group is kept, field for field as Kafka's `ConsumerGroup*Key` and `ConsumerGroup*Value`
//! schemas have them. How they look as bytes in `__consumer_offsets` is not here.
//!
//! Of `ConsumerGroupPartitionMetadata` (key 4) there is the tombstone only: Kafka has not written the value since 4.1 (KIP-1101).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::types::{PartitionId, TopicId};

/// Partitions by topic.
pub(crate) type Partitions = BTreeMap<TopicId, BTreeSet<PartitionId>>;

/// Partitions by topic, each with the epoch at which the member was given it (KIP-1251). A record that has no epochs, as
/// Kafka 4.2 wrote them, is read as if each were the member's epoch.
pub(crate) type AssignedPartitions = BTreeMap<TopicId, BTreeMap<PartitionId, i32>>;

/// One change of a consumer group. `value: None` is a tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ConsumerRecord {
    /// Key 3.
    GroupMetadata { group_id: String, value: Option<GroupMetadataValue> },
    /// Key 4: a tombstone, in case that an older Kafka wrote one.
    PartitionMetadata { group_id: String },
    /// Key 5.
    MemberMetadata { group_id: String, member_id: String, value: Option<MemberMetadataValue> },
    /// Key 6.
    TargetAssignmentMetadata { group_id: String, value: Option<TargetAssignmentMetadataValue> },
    /// Key 7.
    TargetAssignmentMember { group_id: String, member_id: String, value: Option<TargetAssignmentMemberValue> },
    /// Key 8.
    CurrentMemberAssignment { group_id: String, member_id: String, value: Option<CurrentMemberAssignmentValue> },
    /// Key 16.
    RegularExpression { group_id: String, regular_expression: String, value: Option<RegularExpressionValue> },
}

impl ConsumerRecord {
    /// Whether it says that something is gone.
    pub(crate) fn is_tombstone(&self) -> bool {
        match self {
            Self::GroupMetadata { value, .. } => value.is_none(),
            Self::PartitionMetadata { .. } => true,
            Self::MemberMetadata { value, .. } => value.is_none(),
            Self::TargetAssignmentMetadata { value, .. } => value.is_none(),
            Self::TargetAssignmentMember { value, .. } => value.is_none(),
            Self::CurrentMemberAssignment { value, .. } => value.is_none(),
            Self::RegularExpression { value, .. } => value.is_none(),
        }
    }

    /// The group that it changes.
    pub(crate) fn group_id(&self) -> &str {
        match self {
            Self::GroupMetadata { group_id, .. }
            | Self::PartitionMetadata { group_id }
            | Self::MemberMetadata { group_id, .. }
            | Self::TargetAssignmentMetadata { group_id, .. }
            | Self::TargetAssignmentMember { group_id, .. }
            | Self::CurrentMemberAssignment { group_id, .. }
            | Self::RegularExpression { group_id, .. } => group_id,
        }
    }
}

/// `ConsumerGroupMetadataValue`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupMetadataValue {
    /// The group epoch.
    pub(crate) epoch: i32,
    /// Tag 0: the hash of all subscribed topics; another hash means that the group must be rebalanced.
    pub(crate) metadata_hash: i64,
}

/// `ConsumerGroupMemberMetadataValue`: what a member said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemberMetadataValue {
    pub(crate) instance_id: Option<String>,
    pub(crate) rack_id: Option<String>,
    pub(crate) client_id: String,
    /// As Java prints an address: `/127.0.0.1`.
    pub(crate) client_host: String,
    /// In the order of their names, as Kafka sorts them.
    pub(crate) subscribed_topic_names: BTreeSet<String>,
    /// Kafka writes the empty text, not null, for a member without one.
    pub(crate) subscribed_topic_regex: Option<String>,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) server_assignor: Option<String>,
    /// Tag 0; `None` for a member that speaks the consumer protocol.
    pub(crate) classic_member_metadata: Option<ClassicMemberMetadata>,
}

/// What a member that speaks the classic protocol said besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClassicMemberMetadata {
    pub(crate) session_timeout_ms: i32,
    pub(crate) supported_protocols: Vec<ClassicProtocol>,
}

/// A protocol of JoinGroup with its metadata as the member sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClassicProtocol {
    pub(crate) name: String,
    pub(crate) metadata: Bytes,
}

/// `ConsumerGroupTargetAssignmentMetadataValue`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TargetAssignmentMetadataValue {
    pub(crate) assignment_epoch: i32,
    /// Tag 0: when the target was computed, in milliseconds since 1970 (KIP-1263).
    pub(crate) assignment_timestamp: i64,
}

/// `ConsumerGroupTargetAssignmentMemberValue`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TargetAssignmentMemberValue {
    pub(crate) topic_partitions: Partitions,
}

/// `ConsumerGroupCurrentMemberAssignmentValue`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CurrentMemberAssignmentValue {
    pub(crate) member_epoch: i32,
    /// The epoch with which a member comes back that has not seen the answer with the new one.
    pub(crate) previous_member_epoch: i32,
    pub(crate) state: MemberState,
    /// What the member may own now.
    pub(crate) assigned_partitions: AssignedPartitions,
    /// What it must give up before it may go on.
    pub(crate) partitions_pending_revocation: AssignedPartitions,
}

/// `ConsumerGroupRegularExpressionValue`: the topics that a pattern stood for when it was last looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RegularExpressionValue {
    pub(crate) topics: BTreeSet<String>,
    /// The version of the cluster's metadata in which they were found.
    pub(crate) version: i64,
    /// When, in milliseconds since 1970.
    pub(crate) timestamp: i64,
}

/// How far a member is with its assignment (`MemberState`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemberState {
    /// It has all that the target gives it.
    Stable,
    /// It must give up partitions, and stays at its epoch until it has.
    UnrevokedPartitions,
    /// It waits for partitions that others have not given up.
    UnreleasedPartitions,
    /// A state of a Kafka that is newer than this one.
    Unknown,
}

impl MemberState {
    /// The number in the record.
    pub(crate) fn code(self) -> i8 {
        match self {
            Self::Stable => 0,
            Self::UnrevokedPartitions => 1,
            Self::UnreleasedPartitions => 2,
            Self::Unknown => 127,
        }
    }

    /// The state with the number `code`.
    pub(crate) fn from_code(code: i8) -> Self {
        match code {
            0 => Self::Stable,
            1 => Self::UnrevokedPartitions,
            2 => Self::UnreleasedPartitions,
            _ => Self::Unknown,
        }
    }
}
