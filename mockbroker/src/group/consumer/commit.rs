//! May this member commit these offsets, may it fetch them? The offsets themselves are not here.
//!
//! A member that has not yet heard of its new epoch may commit for what it has had since before (KIP-1251).

use kafka_protocol::error::ResponseError;

use super::ConsumerGroup;
use super::record::{AssignedPartitions, CurrentMemberAssignmentValue};
use crate::cluster::Refusal;
use crate::types::{PartitionId, TopicId};

/// Who commits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OffsetCommitter<'a> {
    pub(crate) member_id: &'a str,
    pub(crate) group_instance_id: Option<&'a str>,
    /// The member epoch, or the generation of a member of the classic protocol.
    pub(crate) member_epoch: i32,
    pub(crate) kind: CommitterEpoch,
}

/// By which request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommitterEpoch {
    /// OffsetCommit; whether it is of v9 or above, as members of the consumer protocol must use it.
    OffsetCommit { knows_member_epochs: bool },
    /// TxnOffsetCommit. The handler answers ILLEGAL_GENERATION where this says STALE_MEMBER_EPOCH.
    TxnOffsetCommit,
}

/// For which partitions a request that was let in may commit. One that it may not fails the whole request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CommitScope<'a> {
    /// For all.
    All,
    /// For those that the member was given at `member_epoch` or before.
    AssignedBy {
        /// What the member has.
        assignment: &'a CurrentMemberAssignmentValue,
        /// The epoch that it knows of.
        member_epoch: i32,
        /// Whether it speaks the classic protocol, which has another error.
        uses_classic_protocol: bool,
    },
}

impl CommitScope<'_> {
    /// Whether offsets of this partition may be committed. A topic that does not exist has the id zero.
    ///
    /// # Errors
    /// STALE_MEMBER_EPOCH, or ILLEGAL_GENERATION for a member of the classic protocol.
    pub(crate) fn check(&self, topic: &str, topic_id: TopicId, partition: PartitionId) -> Result<(), Refusal> {
        let Self::AssignedBy { assignment, member_epoch, uses_classic_protocol } = self else { return Ok(()) };
        let since = |partitions: &AssignedPartitions| partitions.get(&topic_id)?.get(&partition).copied();
        let assigned = since(&assignment.assigned_partitions);
        let Some(since) = assigned.or_else(|| since(&assignment.partitions_pending_revocation)) else {
            let text = format!("Partition {topic}-{partition} is not assigned or pending revocation for member.");
            return Err(Refusal::new(stale(*uses_classic_protocol), text));
        };
        if *member_epoch >= since {
            return Ok(());
        }
        let what = if *uses_classic_protocol { "generation id" } else { "member epoch" };
        let text = format!(
            "Received {what} {member_epoch} is older than assignment epoch {since} for partition {topic}-{partition}."
        );
        Err(Refusal::new(stale(*uses_classic_protocol), text))
    }
}

impl ConsumerGroup {
    /// Lets a commit in (`ConsumerGroup.validateOffsetCommit`).
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID, UNSUPPORTED_VERSION, STALE_MEMBER_EPOCH, ILLEGAL_GENERATION.
    pub(crate) fn admit_commit(&self, committer: OffsetCommitter<'_>) -> Result<CommitScope<'_>, Refusal> {
        let OffsetCommitter { member_id, group_instance_id, member_epoch, kind } = committer;
        // An administrator resets the offsets of a group that nobody is in.
        if member_epoch < 0 && self.hard.members().is_empty() {
            return Ok(CommitScope::All);
        }
        let is_transactional = kind == CommitterEpoch::TxnOffsetCommit;
        // Producers before 2.5 (KIP-447) do not say for which member they commit.
        if is_transactional && member_epoch == -1 && member_id.is_empty() && group_instance_id.is_none() {
            return Ok(CommitScope::All);
        }
        let Some(member) = self.hard.member(member_id) else { return Err(self.unknown_member(member_id)) };
        let uses_classic_protocol = member.uses_classic_protocol();
        if matches!(kind, CommitterEpoch::OffsetCommit { knows_member_epochs: false }) && !uses_classic_protocol {
            let text = "OffsetCommit version 9 or above must be used by members using the consumer group protocol";
            return Err(Refusal::new(ResponseError::UnsupportedVersion, text));
        }
        let assignment = &member.assignment;
        let known = assignment.member_epoch;
        if member_epoch == known {
            return Ok(CommitScope::All);
        }
        if member_epoch > known {
            let what = if uses_classic_protocol { "generation id" } else { "member epoch" };
            let text = format!("Received {what} {member_epoch} is newer than current member epoch {known}.");
            return Err(Refusal::new(stale(uses_classic_protocol), text));
        }
        Ok(CommitScope::AssignedBy { assignment, member_epoch, uses_classic_protocol })
    }

    /// Lets a fetch of offsets in (`ConsumerGroup.validateOffsetFetch`). Versions before 9 say nothing of a member:
    /// `None` and -1.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID, STALE_MEMBER_EPOCH, ILLEGAL_GENERATION; UNKNOWN_SERVER_ERROR for an epoch of nobody.
    pub(crate) fn admit_fetch(&self, member_id: Option<&str>, member_epoch: i32) -> Result<(), Refusal> {
        let Some(member_id) = member_id else {
            // Kafka looks null up in its table of members, which throws.
            return if member_epoch < 0 { Ok(()) } else { Err(Refusal::code(ResponseError::UnknownServerError)) };
        };
        let Some(member) = self.hard.member(member_id) else { return Err(self.unknown_member(member_id)) };
        let known = member.assignment.member_epoch;
        if member_epoch == known {
            return Ok(());
        }
        let uses_classic_protocol = member.uses_classic_protocol();
        let what = if uses_classic_protocol { "generation id" } else { "member epoch" };
        let text = format!("The received {what} {member_epoch} does not match the expected member epoch {known}.");
        Err(Refusal::new(stale(uses_classic_protocol), text))
    }
}

/// The error of an epoch that is not the member's.
fn stale(uses_classic_protocol: bool) -> ResponseError {
    if uses_classic_protocol { ResponseError::IllegalGeneration } else { ResponseError::StaleMemberEpoch }
}
