//! The records of consumer groups (KIP-848): their values.
//!
//! Sources: ConsumerGroup*Value.json of Kafka 4.3. Here are the formats only; what they mean is the group's business.
//! Two tagged fields are nullable, and their default is not null but empty: null is written as a field of one zero byte, and
//! a field that is not there is empty. That is what the message files come to (`"default": null` is no default at all), and
//! what a 4.3.1 broker was seen to write.
//!
//! Not here: the value of ConsumerGroupPartitionMetadata (key 4), which brokers since 4.1 do not write (KIP-1101).

use bytes::Bytes;
use kafka_protocol::protocol::StrBytes;

use super::classic::known;
use super::codec::{Layout, Malformed, Reader, Writer};
use crate::types::TopicId;

/// The epoch of a group (ConsumerGroupMetadataValue).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConsumerGroupMetadataValue {
    pub(crate) epoch: i32,
    /// A hash of the subscribed topics (KIP-1101); 0 for none.
    pub(crate) metadata_hash: i64,
}

/// What a member said of itself (ConsumerGroupMemberMetadataValue).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConsumerGroupMemberMetadataValue {
    pub(crate) instance_id: Option<StrBytes>,
    pub(crate) rack_id: Option<StrBytes>,
    pub(crate) client_id: StrBytes,
    pub(crate) client_host: StrBytes,
    pub(crate) subscribed_topic_names: Vec<StrBytes>,
    pub(crate) subscribed_topic_regex: Option<StrBytes>,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) server_assignor: Option<StrBytes>,
    /// Set for a member that speaks the classic protocol.
    pub(crate) classic_member_metadata: Option<ClassicMemberMetadata>,
}

/// What a member of a consumer group that speaks the classic protocol offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClassicMemberMetadata {
    pub(crate) session_timeout_ms: i32,
    /// Name and metadata, in the member's order.
    pub(crate) supported_protocols: Vec<(StrBytes, Bytes)>,
}

/// For which group epoch there is a target assignment (ConsumerGroupTargetAssignmentMetadataValue).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TargetAssignmentMetadataValue {
    pub(crate) assignment_epoch: i32,
    /// When it was computed (KIP-1263); 0 if that is not known.
    pub(crate) assignment_timestamp: i64,
}

/// What a member is to have (ConsumerGroupTargetAssignmentMemberValue): partitions by topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TargetAssignmentMemberValue {
    pub(crate) topic_partitions: Vec<(TopicId, Vec<i32>)>,
}

/// What a member has now (ConsumerGroupCurrentMemberAssignmentValue).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CurrentMemberAssignmentValue {
    pub(crate) member_epoch: i32,
    pub(crate) previous_member_epoch: i32,
    /// The number of Kafka's `MemberState`.
    pub(crate) state: i8,
    pub(crate) assigned_partitions: Vec<AssignedTopic>,
    pub(crate) partitions_pending_revocation: Vec<AssignedTopic>,
}

/// Partitions of a topic in a [`CurrentMemberAssignmentValue`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AssignedTopic {
    pub(crate) topic_id: TopicId,
    pub(crate) partitions: Vec<i32>,
    /// The epoch at which each of them was assigned (KIP-1251), of the same length.
    pub(crate) assignment_epochs: Option<Vec<i32>>,
}

/// What a regular expression was resolved to (ConsumerGroupRegularExpressionValue).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RegularExpressionValue {
    pub(crate) topics: Vec<StrBytes>,
    /// The offset of the metadata that it was resolved against.
    pub(crate) version: i64,
    /// Milliseconds since 1970.
    pub(crate) timestamp: i64,
}

impl ConsumerGroupMetadataValue {
    pub(super) fn encode(&self) -> Bytes {
        let mut writer = writer();
        writer.i32(self.epoch);
        let hash = Some(self.metadata_hash).filter(|hash| *hash != 0);
        writer.tag_zero(hash.map(|hash| move |field: &mut Writer| field.i64(hash)));
        writer.finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = reader(bytes)?;
        Ok(Self { epoch: reader.i32()?, metadata_hash: reader.tag_zero(Reader::i64)?.unwrap_or(0) })
    }
}

impl ConsumerGroupMemberMetadataValue {
    pub(super) fn encode(&self) -> Bytes {
        let mut writer = writer();
        writer.nullable_string(self.instance_id.as_ref());
        writer.nullable_string(self.rack_id.as_ref());
        writer.string(&self.client_id);
        writer.string(&self.client_host);
        writer.array(&self.subscribed_topic_names, |writer, name| writer.string(name));
        writer.nullable_string(self.subscribed_topic_regex.as_ref());
        writer.i32(self.rebalance_timeout_ms);
        writer.nullable_string(self.server_assignor.as_ref());
        let metadata = self.classic_member_metadata.as_ref();
        let is_default = metadata.is_some_and(|metadata| *metadata == ClassicMemberMetadata::default());
        writer.tag_zero((!is_default).then_some(|field: &mut Writer| match metadata {
            None => field.null(),
            Some(metadata) => metadata.encode(field),
        }));
        writer.finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = reader(bytes)?;
        Ok(Self {
            instance_id: reader.nullable_string()?,
            rack_id: reader.nullable_string()?,
            client_id: reader.string()?,
            client_host: reader.string()?,
            subscribed_topic_names: reader.array(Reader::string)?,
            subscribed_topic_regex: reader.nullable_string()?,
            rebalance_timeout_ms: reader.i32()?,
            server_assignor: reader.nullable_string()?,
            classic_member_metadata: reader
                .tag_zero(ClassicMemberMetadata::decode)?
                .unwrap_or_else(|| Some(ClassicMemberMetadata::default())),
        })
    }
}

impl ClassicMemberMetadata {
    fn encode(&self, field: &mut Writer) {
        // A nullable struct says by its first byte that it is there.
        field.i8(1);
        field.i32(self.session_timeout_ms);
        field.array(&self.supported_protocols, |field, (name, metadata)| {
            field.string(name);
            field.bytes(metadata);
            field.no_tags();
        });
        field.no_tags();
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Option<Self>, Malformed> {
        if reader.i8()? <= 0 {
            return Ok(None);
        }
        let metadata = Self {
            session_timeout_ms: reader.i32()?,
            supported_protocols: reader.array(|reader| {
                let protocol = (reader.string()?, reader.bytes()?);
                reader.no_tags()?;
                Ok(protocol)
            })?,
        };
        reader.no_tags()?;
        Ok(Some(metadata))
    }
}

impl TargetAssignmentMetadataValue {
    pub(super) fn encode(&self) -> Bytes {
        let mut writer = writer();
        writer.i32(self.assignment_epoch);
        let timestamp = Some(self.assignment_timestamp).filter(|at| *at != 0);
        writer.tag_zero(timestamp.map(|at| move |field: &mut Writer| field.i64(at)));
        writer.finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = reader(bytes)?;
        Ok(Self { assignment_epoch: reader.i32()?, assignment_timestamp: reader.tag_zero(Reader::i64)?.unwrap_or(0) })
    }
}

impl TargetAssignmentMemberValue {
    pub(super) fn encode(&self) -> Bytes {
        let mut writer = writer();
        writer.array(&self.topic_partitions, |writer, (topic_id, partitions)| {
            writer.uuid(topic_id.0);
            writer.array(partitions, |writer, partition| writer.i32(*partition));
            writer.no_tags();
        });
        writer.no_tags();
        writer.finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = reader(bytes)?;
        let topic_partitions = reader.array(|reader| {
            let topic = (TopicId(reader.uuid()?), reader.array(Reader::i32)?);
            reader.no_tags()?;
            Ok(topic)
        })?;
        reader.no_tags()?;
        Ok(Self { topic_partitions })
    }
}

impl CurrentMemberAssignmentValue {
    pub(super) fn encode(&self) -> Bytes {
        let mut writer = writer();
        writer.i32(self.member_epoch);
        writer.i32(self.previous_member_epoch);
        writer.i8(self.state);
        writer.array(&self.assigned_partitions, |writer, topic| topic.encode(writer));
        writer.array(&self.partitions_pending_revocation, |writer, topic| topic.encode(writer));
        writer.no_tags();
        writer.finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = reader(bytes)?;
        let value = Self {
            member_epoch: reader.i32()?,
            previous_member_epoch: reader.i32()?,
            state: reader.i8()?,
            assigned_partitions: reader.array(AssignedTopic::decode)?,
            partitions_pending_revocation: reader.array(AssignedTopic::decode)?,
        };
        reader.no_tags()?;
        Ok(value)
    }
}

impl AssignedTopic {
    fn encode(&self, writer: &mut Writer) {
        writer.uuid(self.topic_id.0);
        writer.array(&self.partitions, |writer, partition| writer.i32(*partition));
        let epochs = self.assignment_epochs.as_ref();
        let is_empty = epochs.is_some_and(Vec::is_empty);
        writer.tag_zero((!is_empty).then_some(|field: &mut Writer| match epochs {
            None => field.null(),
            Some(epochs) => field.array(epochs, |field, epoch| field.i32(*epoch)),
        }));
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            topic_id: TopicId(reader.uuid()?),
            partitions: reader.array(Reader::i32)?,
            assignment_epochs: reader
                .tag_zero(|field| field.nullable_array(Reader::i32))?
                .unwrap_or_else(|| Some(Vec::new())),
        })
    }
}

impl RegularExpressionValue {
    pub(super) fn encode(&self) -> Bytes {
        let mut writer = writer();
        writer.array(&self.topics, |writer, topic| writer.string(topic));
        writer.i64(self.version);
        writer.i64(self.timestamp);
        writer.no_tags();
        writer.finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = reader(bytes)?;
        let value = Self { topics: reader.array(Reader::string)?, version: reader.i64()?, timestamp: reader.i64()? };
        reader.no_tags()?;
        Ok(value)
    }
}

/// All of them have one version, 0, and it is flexible.
fn writer() -> Writer {
    Writer::new(0, Layout::Flexible)
}

fn reader(bytes: &[u8]) -> Result<Reader<'_>, Malformed> {
    let (version, reader) = Reader::new(bytes, |_| Layout::Flexible)?;
    known(version, 0)?;
    Ok(reader)
}
