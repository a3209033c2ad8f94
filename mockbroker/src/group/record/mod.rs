//! The hard state of groups as records of `__consumer_offsets`, in Kafka's own formats.
//!
//! A record is a key and a value, or a tombstone: the key alone. A key begins with the number of its type, a value with
//! that of its version (`CoordinatorRecordSerde`); the fields are those of Kafka's `coordinator-key` and
//! `coordinator-value` message files. Written at the versions that Kafka 4.3 writes, read at all.
//!
//! Not here: record batches, partitions, offsets in the log.

mod classic;
mod codec;
mod consumer;
mod embedded;

use bytes::Bytes;
use kafka_protocol::protocol::StrBytes;

pub(crate) use self::classic::{GroupMetadataValue, MemberMetadata, OffsetCommitValue};
pub(crate) use self::codec::Malformed;
use self::codec::{Layout, Reader, Writer};
pub(crate) use self::consumer::{
    AssignedTopic, ClassicMemberMetadata, ConsumerGroupMemberMetadataValue, ConsumerGroupMetadataValue,
    CurrentMemberAssignmentValue, RegularExpressionValue, TargetAssignmentMemberValue, TargetAssignmentMetadataValue,
};
pub(crate) use self::embedded::{Assignment, NamedPartitions, Subscription};

/// One record. Without a value it is a tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// Key 1.
    OffsetCommit(OffsetCommitKey, Option<OffsetCommitValue>),
    /// Key 2, by group.
    GroupMetadata(StrBytes, Option<GroupMetadataValue>),
    /// Key 3, by group.
    ConsumerGroupMetadata(StrBytes, Option<ConsumerGroupMetadataValue>),
    /// Key 4, by group. Only ever a tombstone: brokers since 4.1 do not write the value (KIP-1101), and delete what an older
    /// one may have written.
    ConsumerGroupPartitionMetadata(StrBytes),
    /// Key 5.
    ConsumerGroupMemberMetadata(MemberKey, Option<ConsumerGroupMemberMetadataValue>),
    /// Key 6, by group.
    ConsumerGroupTargetAssignmentMetadata(StrBytes, Option<TargetAssignmentMetadataValue>),
    /// Key 7.
    ConsumerGroupTargetAssignmentMember(MemberKey, Option<TargetAssignmentMemberValue>),
    /// Key 8.
    ConsumerGroupCurrentMemberAssignment(MemberKey, Option<CurrentMemberAssignmentValue>),
    /// Key 16.
    ConsumerGroupRegularExpression(RegularExpressionKey, Option<RegularExpressionValue>),
}

/// Whose offset, and of what (OffsetCommitKey).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OffsetCommitKey {
    pub(crate) group_id: StrBytes,
    pub(crate) topic: StrBytes,
    pub(crate) partition: i32,
}

/// A member of a consumer group (ConsumerGroupMemberMetadataKey and its like).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemberKey {
    pub(crate) group_id: StrBytes,
    pub(crate) member_id: StrBytes,
}

/// A regular expression of a consumer group (ConsumerGroupRegularExpressionKey).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RegularExpressionKey {
    pub(crate) group_id: StrBytes,
    pub(crate) regular_expression: StrBytes,
}

impl Record {
    /// The group that it is of. Its partition is that of the record.
    pub(crate) fn group_id(&self) -> &StrBytes {
        match self {
            Self::OffsetCommit(key, _) => &key.group_id,
            Self::GroupMetadata(group_id, _)
            | Self::ConsumerGroupMetadata(group_id, _)
            | Self::ConsumerGroupPartitionMetadata(group_id)
            | Self::ConsumerGroupTargetAssignmentMetadata(group_id, _) => group_id,
            Self::ConsumerGroupMemberMetadata(key, _)
            | Self::ConsumerGroupTargetAssignmentMember(key, _)
            | Self::ConsumerGroupCurrentMemberAssignment(key, _) => &key.group_id,
            Self::ConsumerGroupRegularExpression(key, _) => &key.group_id,
        }
    }

    /// The key's bytes. Keys are never flexible: compaction compares them.
    pub(crate) fn key(&self) -> Bytes {
        let mut writer = Writer::new(self.api_key(), Layout::Classic);
        writer.string(self.group_id());
        match self {
            Self::OffsetCommit(key, _) => {
                writer.string(&key.topic);
                writer.i32(key.partition);
            }
            Self::ConsumerGroupMemberMetadata(key, _)
            | Self::ConsumerGroupTargetAssignmentMember(key, _)
            | Self::ConsumerGroupCurrentMemberAssignment(key, _) => writer.string(&key.member_id),
            Self::ConsumerGroupRegularExpression(key, _) => writer.string(&key.regular_expression),
            Self::GroupMetadata(..)
            | Self::ConsumerGroupMetadata(..)
            | Self::ConsumerGroupPartitionMetadata(..)
            | Self::ConsumerGroupTargetAssignmentMetadata(..) => {}
        }
        writer.finish()
    }

    /// The value's bytes; `None` for a tombstone.
    pub(crate) fn value(&self) -> Option<Bytes> {
        match self {
            Self::OffsetCommit(_, value) => value.as_ref().map(OffsetCommitValue::encode),
            Self::GroupMetadata(_, value) => value.as_ref().map(GroupMetadataValue::encode),
            Self::ConsumerGroupMetadata(_, value) => value.as_ref().map(ConsumerGroupMetadataValue::encode),
            Self::ConsumerGroupPartitionMetadata(_) => None,
            Self::ConsumerGroupMemberMetadata(_, value) => value.as_ref().map(ConsumerGroupMemberMetadataValue::encode),
            Self::ConsumerGroupTargetAssignmentMetadata(_, value) => {
                value.as_ref().map(TargetAssignmentMetadataValue::encode)
            }
            Self::ConsumerGroupTargetAssignmentMember(_, value) => {
                value.as_ref().map(TargetAssignmentMemberValue::encode)
            }
            Self::ConsumerGroupCurrentMemberAssignment(_, value) => {
                value.as_ref().map(CurrentMemberAssignmentValue::encode)
            }
            Self::ConsumerGroupRegularExpression(_, value) => value.as_ref().map(RegularExpressionValue::encode),
        }
    }

    /// Reads a record back. `None` if its type is not one of these, which Kafka skips, too
    /// (`UnknownRecordTypeException`).
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub(crate) fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Self>, Malformed> {
        fn with<T>(
            value: Option<&[u8]>,
            decode: impl FnOnce(&[u8]) -> Result<T, Malformed>,
        ) -> Result<Option<T>, Malformed> {
            value.map(decode).transpose()
        }
        let (api_key, mut reader) = Reader::new(key, |_| Layout::Classic)?;
        let reader = &mut reader;
        Ok(Some(match api_key {
            // 0 is how the first brokers wrote what is 1 now; the fields of the key are the same.
            0 | 1 => Self::OffsetCommit(OffsetCommitKey::decode(reader)?, with(value, OffsetCommitValue::decode)?),
            2 => Self::GroupMetadata(reader.string()?, with(value, GroupMetadataValue::decode)?),
            3 => Self::ConsumerGroupMetadata(reader.string()?, with(value, ConsumerGroupMetadataValue::decode)?),
            4 if value.is_none() => Self::ConsumerGroupPartitionMetadata(reader.string()?),
            5 => Self::ConsumerGroupMemberMetadata(
                MemberKey::decode(reader)?,
                with(value, ConsumerGroupMemberMetadataValue::decode)?,
            ),
            6 => Self::ConsumerGroupTargetAssignmentMetadata(
                reader.string()?,
                with(value, TargetAssignmentMetadataValue::decode)?,
            ),
            7 => Self::ConsumerGroupTargetAssignmentMember(
                MemberKey::decode(reader)?,
                with(value, TargetAssignmentMemberValue::decode)?,
            ),
            8 => Self::ConsumerGroupCurrentMemberAssignment(
                MemberKey::decode(reader)?,
                with(value, CurrentMemberAssignmentValue::decode)?,
            ),
            16 => Self::ConsumerGroupRegularExpression(
                RegularExpressionKey::decode(reader)?,
                with(value, RegularExpressionValue::decode)?,
            ),
            _ => return Ok(None),
        }))
    }

    fn api_key(&self) -> i16 {
        match self {
            Self::OffsetCommit(..) => 1,
            Self::GroupMetadata(..) => 2,
            Self::ConsumerGroupMetadata(..) => 3,
            Self::ConsumerGroupPartitionMetadata(..) => 4,
            Self::ConsumerGroupMemberMetadata(..) => 5,
            Self::ConsumerGroupTargetAssignmentMetadata(..) => 6,
            Self::ConsumerGroupTargetAssignmentMember(..) => 7,
            Self::ConsumerGroupCurrentMemberAssignment(..) => 8,
            Self::ConsumerGroupRegularExpression(..) => 16,
        }
    }
}

impl OffsetCommitKey {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { group_id: reader.string()?, topic: reader.string()?, partition: reader.i32()? })
    }
}

impl MemberKey {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { group_id: reader.string()?, member_id: reader.string()? })
    }
}

impl RegularExpressionKey {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { group_id: reader.string()?, regular_expression: reader.string()? })
    }
}
