//! What consumers of the classic protocol say within JoinGroup and SyncGroup: their subscription, and what they are assigned.
//! Opaque bytes to a classic group; a consumer group reads and writes them for its members that speak the classic protocol.
//!
//! Sources: ConsumerProtocolSubscription.json, ConsumerProtocolAssignment.json, `ConsumerProtocol`: two bytes of version, then
//! the message. A version above 3 is read as 3.

use bytes::Bytes;
use kafka_protocol::protocol::StrBytes;

use super::codec::{Layout, Malformed, Reader, Writer};

/// The greatest version that is known.
const HIGHEST_VERSION: i16 = 3;

/// Partitions by the name of their topic.
pub(crate) type NamedPartitions = Vec<(StrBytes, Vec<i32>)>;

/// What a consumer subscribes to (ConsumerProtocolSubscription).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) topics: Vec<StrBytes>,
    /// From v1. A consumer of v0 says nothing, which counts as owning nothing.
    pub(crate) owned_partitions: NamedPartitions,
    /// From v3; the empty text is none.
    pub(crate) rack_id: Option<StrBytes>,
}

/// What a consumer is assigned (ConsumerProtocolAssignment).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) assigned_partitions: NamedPartitions,
    /// Whether an assignor put in something of its own, which no other assignor can keep.
    pub(crate) has_user_data: bool,
}

impl Subscription {
    /// Reads a subscription.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let (version, mut reader) = versioned(bytes)?;
        let topics = reader.array(Reader::string)?;
        let _user_data = reader.nullable_bytes()?;
        let owned_partitions = if version >= 1 { reader.array(named_partitions)? } else { Vec::new() };
        let _generation_id = if version >= 2 { reader.i32()? } else { -1 };
        let rack_id = if version >= 3 { reader.nullable_string()? } else { None };
        Ok(Self { topics, owned_partitions, rack_id: rack_id.filter(|rack_id| !rack_id.is_empty()) })
    }
}

impl Assignment {
    /// Reads an assignment.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let (_, mut reader) = versioned(bytes)?;
        let assigned_partitions = reader.array(named_partitions)?;
        let user_data = reader.nullable_bytes()?;
        Ok(Self { assigned_partitions, has_user_data: user_data.is_some_and(|data| !data.is_empty()) })
    }

    /// An assignment without user data, at the version of `subscription`, so that its sender can read it.
    ///
    /// # Errors
    /// The subscription is too short to have a version, or has one below 0.
    pub(crate) fn encode(assigned: &NamedPartitions, subscription: &[u8]) -> Result<Bytes, Malformed> {
        let (version, _) = versioned(subscription)?;
        let mut writer = Writer::new(version, Layout::Classic);
        writer.array(assigned, |writer, (topic, partitions)| {
            writer.string(topic);
            writer.array(partitions, |writer, partition| writer.i32(*partition));
        });
        // User data: null.
        writer.i32(-1);
        Ok(writer.finish())
    }
}

/// The version, as far as it is known, and what comes after it.
fn versioned(bytes: &[u8]) -> Result<(i16, Reader<'_>), Malformed> {
    let (version, reader) = Reader::new(bytes, |_| Layout::Classic)?;
    if version < 0 {
        return Err(Malformed("a version below 0"));
    }
    Ok((version.min(HIGHEST_VERSION), reader))
}

fn named_partitions(reader: &mut Reader<'_>) -> Result<(StrBytes, Vec<i32>), Malformed> {
    Ok((reader.string()?, reader.array(Reader::i32)?))
}
