//! The records of classic groups and of committed offsets: their values.
//!
//! Sources: GroupMetadataValue.json, OffsetCommitValue.json; `GroupCoordinatorRecordHelpers` for which version is written
//! when.

use bytes::Bytes;
use kafka_protocol::protocol::StrBytes;

use super::codec::{Layout, Malformed, Reader, Writer};
use crate::types::TopicId;

/// A classic group as its members last agreed on it (GroupMetadataValue).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupMetadataValue {
    /// Empty for a group that nobody ever joined.
    pub(crate) protocol_type: StrBytes,
    pub(crate) generation: i32,
    pub(crate) protocol: Option<StrBytes>,
    pub(crate) leader: Option<StrBytes>,
    /// When the group came into the state that it was written in; -1 in records before v2.
    pub(crate) current_state_timestamp: i64,
    pub(crate) members: Vec<MemberMetadata>,
}

/// A member of a [`GroupMetadataValue`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemberMetadata {
    pub(crate) member_id: StrBytes,
    pub(crate) group_instance_id: Option<StrBytes>,
    pub(crate) client_id: StrBytes,
    pub(crate) client_host: StrBytes,
    /// -1 in records before v1.
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) session_timeout_ms: i32,
    /// What the member said of the protocol that was chosen.
    pub(crate) subscription: Bytes,
    pub(crate) assignment: Bytes,
}

impl GroupMetadataValue {
    /// At v3, the version that Kafka 4.3 writes.
    pub(super) fn encode(&self) -> Bytes {
        let mut writer = Writer::new(3, Layout::Classic);
        writer.string(&self.protocol_type);
        writer.i32(self.generation);
        writer.nullable_string(self.protocol.as_ref());
        writer.nullable_string(self.leader.as_ref());
        writer.i64(self.current_state_timestamp);
        writer.array(&self.members, |writer, member| {
            writer.string(&member.member_id);
            writer.nullable_string(member.group_instance_id.as_ref());
            writer.string(&member.client_id);
            writer.string(&member.client_host);
            writer.i32(member.rebalance_timeout_ms);
            writer.i32(member.session_timeout_ms);
            writer.bytes(&member.subscription);
            writer.bytes(&member.assignment);
        });
        writer.finish()
    }

    /// Any version that Kafka has written.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let (version, mut reader) = Reader::new(bytes, flexible_from(4))?;
        known(version, 4)?;
        let value = Self {
            protocol_type: reader.string()?,
            generation: reader.i32()?,
            protocol: reader.nullable_string()?,
            leader: reader.nullable_string()?,
            current_state_timestamp: if version >= 2 { reader.i64()? } else { -1 },
            members: reader.array(|reader| MemberMetadata::decode(reader, version))?,
        };
        reader.no_tags()?;
        Ok(value)
    }
}

impl MemberMetadata {
    fn decode(reader: &mut Reader<'_>, version: i16) -> Result<Self, Malformed> {
        let member = Self {
            member_id: reader.string()?,
            group_instance_id: if version >= 3 { reader.nullable_string()? } else { None },
            client_id: reader.string()?,
            client_host: reader.string()?,
            rebalance_timeout_ms: if version >= 1 { reader.i32()? } else { -1 },
            session_timeout_ms: reader.i32()?,
            subscription: reader.bytes()?,
            assignment: reader.bytes()?,
        };
        reader.no_tags()?;
        Ok(member)
    }
}

/// A committed offset (OffsetCommitValue).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OffsetCommitValue {
    pub(crate) offset: i64,
    /// -1 if the consumer did not say.
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: StrBytes,
    /// Milliseconds since 1970.
    pub(crate) commit_timestamp: i64,
    /// Set when the request named a retention of its own (OffsetCommit v2 to v4).
    pub(crate) expire_timestamp: Option<i64>,
    /// [`TopicId::ZERO`] in what older brokers wrote, with an expiry of its own, and in transactions.
    pub(crate) topic_id: TopicId,
}

impl OffsetCommitValue {
    /// At v4; but at v1 with an expiry of its own, which has no room for leader epoch and topic id. As a 4.3.1 broker was
    /// seen to write.
    pub(super) fn encode(&self) -> Bytes {
        let (version, layout) = match self.expire_timestamp {
            Some(_) => (1, Layout::Classic),
            None => (4, Layout::Flexible),
        };
        let mut writer = Writer::new(version, layout);
        writer.i64(self.offset);
        if self.expire_timestamp.is_none() {
            writer.i32(self.leader_epoch);
        }
        writer.string(&self.metadata);
        writer.i64(self.commit_timestamp);
        if let Some(expire_timestamp) = self.expire_timestamp {
            writer.i64(expire_timestamp);
        }
        let topic_id = Some(self.topic_id.0).filter(|id| !id.is_nil());
        writer.tag_zero(topic_id.map(|id| move |field: &mut Writer| field.uuid(id)));
        writer.finish()
    }

    /// Any version that Kafka has written.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let (version, mut reader) = Reader::new(bytes, flexible_from(4))?;
        known(version, 4)?;
        let mut value = Self {
            offset: reader.i64()?,
            leader_epoch: if version >= 3 { reader.i32()? } else { -1 },
            metadata: reader.string()?,
            commit_timestamp: reader.i64()?,
            // -1 is how v1 says that there is none.
            expire_timestamp: if version == 1 { Some(reader.i64()?).filter(|at| *at >= 0) } else { None },
            topic_id: TopicId::ZERO,
        };
        if let Some(topic_id) = reader.tag_zero(Reader::uuid)? {
            value.topic_id = TopicId(topic_id);
        }
        Ok(value)
    }
}

/// The layout of a value that is flexible from version `first`.
pub(super) fn flexible_from(first: i16) -> impl FnOnce(i16) -> Layout {
    move |version| if version >= first { Layout::Flexible } else { Layout::Classic }
}

/// Refuses a version that nobody knows the fields of.
pub(super) fn known(version: i16, greatest: i16) -> Result<(), Malformed> {
    if (0..=greatest).contains(&version) { Ok(()) } else { Err(Malformed("a version that is not known")) }
}
