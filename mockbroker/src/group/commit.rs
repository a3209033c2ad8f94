//! Commits, deletions and expiry of offsets, and the deletion of groups.
//!
//! Sources: `OffsetMetadataManager`, `GroupCoordinatorShard.deleteGroups`, `cleanupGroupMetadata`; KIP-211, KIP-496.

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::classic::ExpiresFrom;
use super::consumer::{CommitScope, CommitterEpoch, ConsumerGroup, OffsetCommitter};
use super::deadlines::Timer;
use super::event::{
    CommitPartition, CommitTopic, DeleteOffsets, Effect, MemberIdentity, OffsetCommit, TopicResult, TxnOffsetCommit,
};
use super::record::{OffsetCommitKey, OffsetCommitValue, Record};
use super::{Ctx, GroupCoordinator};
use crate::cluster::{BrokerConfig, Refusal};
use crate::types::{PartitionId, TopicId};

impl GroupCoordinator {
    /// OffsetCommit.
    pub(super) fn commit(
        &mut self,
        ctx: &mut Ctx<'_>,
        request: &OffsetCommit,
        out: &mut Vec<Effect>,
    ) -> Vec<TopicResult> {
        let member = &request.member;
        let kind = CommitterEpoch::OffsetCommit { knows_member_epochs: request.knows_group_id_not_found };
        let admitted = match (self.consumer.get(&member.group_id), self.classic.get(&member.group_id)) {
            (Some(group), _) => admit_to(group, ctx, member, kind, &request.topics),
            (None, Some(group)) => group.validate_offset_commit(member, false),
            (None, None) if member.generation_id < 0 => Ok(()),
            (None, None) if request.knows_group_id_not_found => Err(ResponseError::GroupIdNotFound),
            (None, None) => Err(ResponseError::IllegalGeneration),
        };
        if let Err(error) = admitted {
            return refuse_all(&request.topics, error);
        }
        self.found(&member.group_id, ctx.now);
        if let Some(mut turn) = self.classic_turn(ctx, &member.group_id, out) {
            turn.has_committed(&member.member_id);
        }
        let now = ctx.now.as_millis();
        let expire_timestamp = request.retention_time_ms.map(|length| now.saturating_add(length));
        commit_each(&request.topics, ctx.config, |topic, partition| {
            let (key, mut value) = to_record(&member.group_id, topic, partition, now);
            if expire_timestamp.is_some() {
                // Its record has no room for the other two.
                value = OffsetCommitValue { expire_timestamp, leader_epoch: -1, topic_id: TopicId::ZERO, ..value };
            }
            self.persist(Record::OffsetCommit(key, Some(value)), out);
        })
    }

    /// TxnOffsetCommit. What is committed counts when the transaction is.
    pub(super) fn commit_in_transaction(
        &mut self,
        ctx: &mut Ctx<'_>,
        request: &TxnOffsetCommit,
        out: &mut Vec<Effect>,
    ) -> Vec<TopicResult> {
        let member = &request.member;
        let kind = CommitterEpoch::TxnOffsetCommit;
        let admitted = match (self.consumer.get(&member.group_id), self.classic.get(&member.group_id)) {
            _ if member.group_id.is_empty() => Err(ResponseError::InvalidGroupId),
            (Some(group), _) => admit_to(group, ctx, member, kind, &request.topics),
            (None, Some(group)) => group.validate_offset_commit(member, true),
            (None, None) if member.generation_id < 0 => Ok(()),
            (None, None) => Err(ResponseError::IllegalGeneration),
        };
        if let Err(error) = admitted {
            return refuse_all(&request.topics, error);
        }
        self.found(&member.group_id, ctx.now);
        let now = ctx.now.as_millis();
        let (producer_id, epoch) = (request.producer_id, request.producer_epoch);
        commit_each(&request.topics, ctx.config, |topic, partition| {
            let (key, value) = to_record(&member.group_id, topic, partition, now);
            let record = Record::OffsetCommit(key, Some(value));
            self.hard.apply_pending(producer_id.0, &record);
            out.push(Effect::PersistPending(producer_id, epoch, record));
        })
    }

    /// OffsetDelete (KIP-496).
    ///
    /// # Errors
    /// What fails all partitions.
    pub(super) fn delete_offsets(
        &mut self,
        request: &DeleteOffsets,
        out: &mut Vec<Effect>,
    ) -> Result<Vec<TopicResult>, ResponseError> {
        let group_id = &request.group_id;
        if group_id.is_empty() {
            return Err(ResponseError::InvalidGroupId);
        }
        match self.classic.get(group_id) {
            Some(group) if !group.is_empty() && !group.uses_consumer_group_protocol() => {
                return Err(ResponseError::NonEmptyGroup);
            }
            None if !self.consumer.contains_key(group_id) => return Err(ResponseError::GroupIdNotFound),
            _ => {}
        }
        let (mut results, mut tombstones) = (Vec::new(), Vec::new());
        for (topic, partitions) in &request.topics {
            let is_subscribed = self.is_subscribed_to(group_id, topic);
            let error = is_subscribed.then_some(ResponseError::GroupSubscribedToTopic);
            let offsets = self.hard.offsets();
            let has_offset = |partition: i32| {
                offsets.committed(group_id, topic, partition).is_some()
                    || offsets.is_pending(group_id, topic, partition)
            };
            if error.is_none() {
                let existing = partitions.iter().copied().filter(|partition| has_offset(*partition));
                tombstones.extend(existing.map(|partition| tombstone(group_id.clone(), topic.clone(), partition)));
            }
            let partitions = partitions.iter().map(|partition| (*partition, error)).collect();
            results.push(TopicResult { name: topic.clone(), topic_id: TopicId::ZERO, partitions });
        }
        for record in tombstones {
            self.persist(record, out);
        }
        Ok(results)
    }

    /// One group of a DeleteGroups, with all its offsets.
    ///
    /// # Errors
    /// Why it stays.
    pub(super) fn delete_group(&mut self, group_id: &StrBytes, out: &mut Vec<Effect>) -> Result<(), ResponseError> {
        let is_empty = match (self.classic.get(group_id), self.consumer.get(group_id)) {
            (Some(group), _) => group.is_empty(),
            (None, Some(group)) => group.is_empty(),
            (None, None) => return Err(ResponseError::GroupIdNotFound),
        };
        if !is_empty {
            return Err(ResponseError::NonEmptyGroup);
        }
        for (topic, partition) in self.hard.offsets().partitions_of_group(group_id) {
            self.persist(tombstone(group_id.clone(), topic, partition), out);
        }
        self.remove_group(group_id, out);
        Ok(())
    }

    /// A topic is gone: so are its offsets (`onPartitionsDeleted`).
    pub(super) fn delete_offsets_of_topic(&mut self, topic: &StrBytes, out: &mut Vec<Effect>) {
        for (group_id, partition) in self.hard.offsets().of_topic(topic) {
            self.persist(tombstone(group_id, topic.clone(), partition), out);
        }
    }

    /// Deletes what is old, and the groups that have nothing left (`cleanupGroupMetadata`).
    pub(super) fn expire_offsets(&mut self, ctx: &mut Ctx<'_>, out: &mut Vec<Effect>) {
        let interval_ms = ctx.config.offsets_retention_check_interval_ms;
        self.deadlines.arm(Timer::OffsetExpiry, ctx.now.plus_millis(interval_ms.max(1)));
        self.expire_offsets_at(ctx, ctx.now.as_millis(), out);
    }

    /// Lets every offset expire that will in time.
    pub(crate) fn expire_all_offsets(&mut self, ctx: &mut Ctx<'_>, out: &mut Vec<Effect>) {
        self.expire_offsets_at(ctx, i64::MAX, out);
    }

    fn expire_offsets_at(&mut self, ctx: &Ctx<'_>, now: i64, out: &mut Vec<Effect>) {
        let retention_ms = i64::from(ctx.config.offsets_retention_minutes) * 60_000;
        let (mut tombstones, mut abandoned) = (Vec::new(), Vec::new());
        let classic =
            self.classic.iter().map(|(group_id, group)| (group_id, group.offsets_expire_from(), group.is_empty()));
        // Of a consumer group only the offsets of what nobody is subscribed to expire, and they do from their commit on.
        let consumer = self.consumer.iter().map(|(group_id, group)| (group_id, ExpiresFrom::Commit, group.is_empty()));
        for (group_id, expires_from, is_empty) in classic.chain(consumer) {
            let expired = self.expired_offsets(group_id, expires_from, now, retention_ms);
            let left = self.hard.offsets().of_group(group_id).count() - expired.len();
            if is_empty && left == 0 && !self.hard.offsets().has_open_transaction(group_id) {
                abandoned.push(group_id.clone());
            }
            tombstones.extend(expired);
        }
        for record in tombstones {
            self.persist(record, out);
        }
        for group_id in abandoned {
            self.remove_group(&group_id, out);
        }
    }

    /// The tombstones of what a group has that is too old.
    fn expired_offsets(
        &self,
        group_id: &StrBytes,
        expires_from: ExpiresFrom,
        now: i64,
        retention_ms: i64,
    ) -> Vec<Record> {
        if expires_from == ExpiresFrom::Never {
            return Vec::new();
        }
        let is_expired = |value: &OffsetCommitValue| {
            let from = match expires_from {
                ExpiresFrom::Instant(instant) => instant,
                _ => value.commit_timestamp,
            };
            // A retention that came with the commit (OffsetCommit v2 to v4) overrides.
            value.expire_timestamp.map_or(now.saturating_sub(from) >= retention_ms, |expires| now >= expires)
        };
        let offsets = self.hard.offsets();
        let expired = offsets.of_group(group_id).filter(|(topic, partition, value)| {
            is_expired(value)
                && !self.is_subscribed_to(group_id, topic)
                && !offsets.is_pending(group_id, topic, *partition)
        });
        expired.map(|(topic, partition, _)| tombstone(group_id.clone(), topic.clone(), partition)).collect()
    }

    /// Whether a member of the group reads `topic`.
    fn is_subscribed_to(&self, group_id: &StrBytes, topic: &str) -> bool {
        match (self.classic.get(group_id), self.consumer.get(group_id)) {
            (Some(group), _) => group.is_subscribed_to(topic),
            (None, Some(group)) => group.is_subscribed_to(topic),
            (None, None) => false,
        }
    }

    fn remove_group(&mut self, group_id: &StrBytes, out: &mut Vec<Effect>) {
        if self.consumer.contains_key(group_id) {
            return self.delete_consumer_group(group_id, out);
        }
        self.persist(Record::GroupMetadata(group_id.clone(), None), out);
        self.remove_classic(group_id);
    }
}

/// Whether a member of a consumer group may commit these offsets. One that it may not commit fails them all; one whose
/// metadata is too large is not asked about.
fn admit_to(
    group: &ConsumerGroup,
    ctx: &Ctx<'_>,
    member: &MemberIdentity,
    kind: CommitterEpoch,
    topics: &[CommitTopic],
) -> Result<(), ResponseError> {
    let is_transactional = kind == CommitterEpoch::TxnOffsetCommit;
    // TxnOffsetCommit has no word for an epoch that is not the member's.
    let named = |refusal: Refusal| match refusal.error {
        ResponseError::StaleMemberEpoch if is_transactional => ResponseError::IllegalGeneration,
        error => error,
    };
    let committer = OffsetCommitter {
        member_id: &member.member_id,
        group_instance_id: member.group_instance_id.as_deref(),
        member_epoch: member.generation_id,
        kind,
    };
    let scope = group.admit_commit(committer).map_err(named)?;
    for topic in topics {
        let topic_id = match is_transactional {
            true => ctx.cluster.topics().id(&topic.name).unwrap_or(TopicId::ZERO),
            false => topic.topic_id,
        };
        if is_transactional && topic_id.is_zero() && scope != CommitScope::All {
            return Err(ResponseError::IllegalGeneration);
        }
        for partition in topic.partitions.iter().filter(|partition| !is_too_large(partition, ctx.config)) {
            scope.check(&topic.name, topic_id, PartitionId(partition.partition)).map_err(named)?;
        }
    }
    Ok(())
}

/// Commits what can be, and says of each partition what became of it.
fn commit_each(
    topics: &[CommitTopic],
    config: &BrokerConfig,
    mut commit: impl FnMut(&CommitTopic, &CommitPartition),
) -> Vec<TopicResult> {
    results(topics, |topic, partition| {
        if is_too_large(partition, config) {
            return Some(ResponseError::OffsetMetadataTooLarge);
        }
        commit(topic, partition);
        None
    })
}

/// `offset.metadata.max.bytes`. Java counts UTF-16 units (`String.length`).
fn is_too_large(partition: &CommitPartition, config: &BrokerConfig) -> bool {
    let greatest = usize::try_from(config.offset_metadata_max_bytes).unwrap_or(0);
    partition.metadata.as_ref().is_some_and(|metadata| metadata.encode_utf16().count() > greatest)
}

fn refuse_all(topics: &[CommitTopic], error: ResponseError) -> Vec<TopicResult> {
    results(topics, |_, _| Some(error))
}

fn results(
    topics: &[CommitTopic],
    mut result: impl FnMut(&CommitTopic, &CommitPartition) -> Option<ResponseError>,
) -> Vec<TopicResult> {
    let of_topic = |topic: &CommitTopic| TopicResult {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: topic.partitions.iter().map(|it| (it.partition, result(topic, it))).collect(),
    };
    topics.iter().map(of_topic).collect()
}

fn to_record(
    group_id: &StrBytes,
    topic: &CommitTopic,
    partition: &CommitPartition,
    now: i64,
) -> (OffsetCommitKey, OffsetCommitValue) {
    let (group_id, name) = (group_id.clone(), topic.name.clone());
    let key = OffsetCommitKey { group_id, topic: name, partition: partition.partition };
    let value = OffsetCommitValue {
        offset: partition.offset,
        leader_epoch: partition.leader_epoch,
        metadata: partition.metadata.clone().unwrap_or_default(),
        commit_timestamp: now,
        expire_timestamp: None,
        topic_id: topic.topic_id,
    };
    (key, value)
}

fn tombstone(group_id: StrBytes, topic: StrBytes, partition: i32) -> Record {
    Record::OffsetCommit(OffsetCommitKey { group_id, topic, partition }, None)
}
