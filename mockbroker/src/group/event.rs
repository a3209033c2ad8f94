//! Everything that can happen to groups, and every answer, in wire terms that are already checked.
//!
//! A handler maps a request to an [`Event`] and a [`Response`] to its answer. What the version of a request decides is a
//! field here, so no rule of the core looks at a version. What has not to be said at an old version is said anyway; the
//! handler leaves it out.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::consumer::{Heartbeat, HeartbeatAnswer};
use super::record::Record;
use crate::cluster::{BrokerConfig, Refusal};
use crate::types::{ProducerId, Ticket, TopicId};

/// What happens to groups. Each that carries a ticket is answered once, now or later.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Join(Ticket, Join),
    Sync(Ticket, Sync),
    Heartbeat(Ticket, MemberIdentity),
    Leave(Ticket, Leave),
    ConsumerGroupHeartbeat(Ticket, ConsumerGroupHeartbeat),
    OffsetCommit(Ticket, OffsetCommit),
    TxnOffsetCommit(Ticket, TxnOffsetCommit),
    DeleteOffsets(Ticket, DeleteOffsets),
    /// The groups of a DeleteGroups, each once.
    DeleteGroups(Ticket, Vec<StrBytes>),
    /// A topic is gone, and its offsets with it.
    TopicDeleted(StrBytes),
}

/// What a step asks for. Records that follow each other without an answer between them are one batch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    /// Append this record to the group's partition. It is already applied.
    Persist(Record),
    /// The same in the transaction of this producer, with its epoch.
    PersistPending(ProducerId, i16, Record),
    /// Answer this request.
    Answer(Ticket, Response),
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Response {
    Join(Joined),
    Sync(Result<Synced, ResponseError>),
    Heartbeat(Result<(), ResponseError>),
    /// Each member in the order of the request; or what fails them all.
    Leave(Result<Vec<Left>, ResponseError>),
    ConsumerGroupHeartbeat(Result<HeartbeatAnswer, Refusal>),
    /// Both of OffsetCommit and of TxnOffsetCommit.
    OffsetCommit(Vec<TopicResult>),
    DeleteOffsets(Result<Vec<TopicResult>, ResponseError>),
    DeleteGroups(Vec<(StrBytes, Option<ResponseError>)>),
}

/// Who a member says that it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MemberIdentity {
    pub(crate) group_id: StrBytes,
    pub(crate) member_id: StrBytes,
    pub(crate) group_instance_id: Option<StrBytes>,
    /// -1 if it is in no group. For a consumer group the member epoch.
    pub(crate) generation_id: i32,
}

/// A JoinGroup.
#[derive(Clone, Debug, Default)]
pub(crate) struct Join {
    pub(crate) group_id: StrBytes,
    pub(crate) member_id: StrBytes,
    pub(crate) group_instance_id: Option<StrBytes>,
    pub(crate) client_id: StrBytes,
    /// As Java prints an address: `/127.0.0.1`.
    pub(crate) client_host: StrBytes,
    pub(crate) protocol_type: StrBytes,
    /// In the member's order.
    pub(crate) protocols: Vec<Protocol>,
    pub(crate) session_timeout_ms: i32,
    /// Before v1 the session timeout.
    pub(crate) rebalance_timeout_ms: i32,
    /// From v4 a member without an id is told one, and asked to join with it (KIP-394).
    pub(crate) requires_known_member_id: bool,
    /// From v9 a leader can be told not to assign (KIP-814).
    pub(crate) supports_skipping_assignment: bool,
}

/// A protocol that a member of a classic group offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Protocol {
    pub(crate) name: StrBytes,
    pub(crate) metadata: Bytes,
}

/// The answer to a JoinGroup.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Joined {
    pub(crate) error: Option<ResponseError>,
    /// -1 with an error.
    pub(crate) generation_id: i32,
    pub(crate) protocol_type: Option<StrBytes>,
    /// Before v7 null is written as "".
    pub(crate) protocol_name: Option<StrBytes>,
    pub(crate) leader: StrBytes,
    pub(crate) skip_assignment: bool,
    pub(crate) member_id: StrBytes,
    /// For the leader only.
    pub(crate) members: Vec<JoinedMember>,
}

/// A member, as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JoinedMember {
    pub(crate) member_id: StrBytes,
    pub(crate) group_instance_id: Option<StrBytes>,
    pub(crate) metadata: Bytes,
}

/// A SyncGroup. From v5 both protocol fields must be there, which the handler checks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sync {
    pub(crate) member: MemberIdentity,
    pub(crate) protocol_type: Option<StrBytes>,
    pub(crate) protocol_name: Option<StrBytes>,
    /// By member id; empty unless the leader asks.
    pub(crate) assignments: Vec<(StrBytes, Bytes)>,
}

/// What a member is assigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Synced {
    pub(crate) protocol_type: Option<StrBytes>,
    pub(crate) protocol_name: Option<StrBytes>,
    pub(crate) assignment: Bytes,
}

/// A LeaveGroup. Before v3 it has one member, whose error is the answer's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leave {
    pub(crate) group_id: StrBytes,
    /// Member id and instance id.
    pub(crate) members: Vec<(StrBytes, Option<StrBytes>)>,
}

/// What became of one member of a [`Leave`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Left {
    pub(crate) member_id: StrBytes,
    pub(crate) group_instance_id: Option<StrBytes>,
    pub(crate) error: Option<ResponseError>,
}

/// A ConsumerGroupHeartbeat.
#[derive(Clone, Debug)]
pub(crate) struct ConsumerGroupHeartbeat {
    pub(crate) group_id: StrBytes,
    /// From v1 a member brings its id; before, one that joins may be given one.
    pub(crate) requires_member_id: bool,
    pub(crate) heartbeat: Heartbeat,
}

/// An OffsetCommit, without the partitions that the handler has refused.
#[derive(Clone, Debug, Default)]
pub(crate) struct OffsetCommit {
    pub(crate) member: MemberIdentity,
    /// From v9 an unknown group is GROUP_ID_NOT_FOUND, before ILLEGAL_GENERATION; and members of the consumer protocol
    /// commit by these versions only.
    pub(crate) knows_group_id_not_found: bool,
    /// `None` for the broker's own, which is -1 on the wire.
    pub(crate) retention_time_ms: Option<i64>,
    pub(crate) topics: Vec<CommitTopic>,
}

/// A TxnOffsetCommit, without the partitions that the handler has refused. The transaction is verified.
#[derive(Clone, Debug)]
pub(crate) struct TxnOffsetCommit {
    pub(crate) member: MemberIdentity,
    pub(crate) producer_id: ProducerId,
    pub(crate) producer_epoch: i16,
    pub(crate) topics: Vec<CommitTopic>,
}

/// Offsets of one topic.
#[derive(Clone, Debug)]
pub(crate) struct CommitTopic {
    pub(crate) name: StrBytes,
    /// Of the topic that has this name now, for OffsetCommit at every version. TxnOffsetCommit has [`TopicId::ZERO`]: what it
    /// writes has no topic id.
    pub(crate) topic_id: TopicId,
    pub(crate) partitions: Vec<CommitPartition>,
}

/// The offset of one partition.
#[derive(Clone, Debug)]
pub(crate) struct CommitPartition {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// -1 for none.
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: Option<StrBytes>,
}

/// An OffsetDelete, without the partitions that the handler has refused.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeleteOffsets {
    pub(crate) group_id: StrBytes,
    /// Partitions by topic.
    pub(crate) topics: Vec<(StrBytes, Vec<i32>)>,
}

/// What became of the partitions of one topic, in the order of the request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TopicResult {
    pub(crate) name: StrBytes,
    /// [`TopicId::ZERO`] where the request had none.
    pub(crate) topic_id: TopicId,
    pub(crate) partitions: Vec<(i32, Option<ResponseError>)>,
}

impl Join {
    /// What is wrong with it whatever the group: what Kafka looks at before it asks who coordinates the group.
    ///
    /// # Errors
    /// INVALID_GROUP_ID, INVALID_SESSION_TIMEOUT.
    pub(crate) fn check(&self, config: &BrokerConfig) -> Result<(), ResponseError> {
        let allowed = config.group_min_session_timeout_ms..=config.group_max_session_timeout_ms;
        if self.group_id.is_empty() {
            Err(ResponseError::InvalidGroupId)
        } else if !allowed.contains(&i64::from(self.session_timeout_ms)) {
            Err(ResponseError::InvalidSessionTimeout)
        } else {
            Ok(())
        }
    }
}

impl Joined {
    /// A refusal that names the member `member_id`.
    pub(crate) fn refused(error: ResponseError, member_id: StrBytes) -> Self {
        Self {
            error: Some(error),
            generation_id: -1,
            protocol_type: None,
            protocol_name: None,
            leader: StrBytes::new(),
            skip_assignment: false,
            member_id,
            members: Vec::new(),
        }
    }
}
