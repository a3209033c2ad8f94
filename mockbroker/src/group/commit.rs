//! Commits, deletions and expiry of offsets, and the deletion of groups.
//!
//! Sources: `OffsetMetadataManager`, `GroupCoordinatorShard.deleteGroups`, `cleanupGroupMetadata`; KIP-211, KIP-496.

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::classic::{ClassicGroup, ExpiresFrom};
use super::deadlines::Timer;
use super::event::{CommitPartition, CommitTopic, DeleteOffsets, Effect, OffsetCommit, TopicResult, TxnOffsetCommit};
use super::record::{OffsetCommitKey, OffsetCommitValue, Record};
use super::{Ctx, GroupCoordinator};
use crate::cluster::BrokerConfig;
use crate::types::TopicId;

impl GroupCoordinator {
    /// OffsetCommit.
    pub(super) fn commit(
        &mut self,
        ctx: &mut Ctx<'_>,
        request: &OffsetCommit,
        out: &mut Vec<Effect>,
    ) -> Vec<TopicResult> {
        let member = &request.member;
        let admitted = match self.classic.get(&member.group_id) {
            Some(group) => group.validate_offset_commit(member, false),
            None if member.generation_id < 0 => Ok(()),
            None if request.knows_group_id_not_found => Err(ResponseError::GroupIdNotFound),
            None => Err(ResponseError::IllegalGeneration),
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
        let admitted = match self.classic.get(&member.group_id) {
            _ if member.group_id.is_empty() => Err(ResponseError::InvalidGroupId),
            Some(group) => group.validate_offset_commit(member, true),
            None if member.generation_id < 0 => Ok(()),
            None => Err(ResponseError::IllegalGeneration),
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
        let group = self.classic.get(group_id).ok_or(ResponseError::GroupIdNotFound)?;
        if !group.is_empty() && !group.uses_consumer_group_protocol() {
            return Err(ResponseError::NonEmptyGroup);
        }
        let (mut results, mut tombstones) = (Vec::new(), Vec::new());
        for (topic, partitions) in &request.topics {
            let error = group.is_subscribed_to(topic).then_some(ResponseError::GroupSubscribedToTopic);
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
        let group = self.classic.get(group_id).ok_or(ResponseError::GroupIdNotFound)?;
        if !group.is_empty() {
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
        let retention_ms = i64::from(ctx.config.offsets_retention_minutes) * 60_000;
        let now = ctx.now.as_millis();
        let (mut tombstones, mut abandoned) = (Vec::new(), Vec::new());
        for (group_id, group) in &self.classic {
            let expired = self.expired_offsets(group_id, group, now, retention_ms);
            let left = self.hard.offsets().of_group(group_id).count() - expired.len();
            if group.is_empty() && left == 0 && !self.hard.offsets().has_open_transaction(group_id) {
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
    fn expired_offsets(&self, group_id: &StrBytes, group: &ClassicGroup, now: i64, retention_ms: i64) -> Vec<Record> {
        let expires_from = group.offsets_expire_from();
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
            is_expired(value) && !group.is_subscribed_to(topic) && !offsets.is_pending(group_id, topic, *partition)
        });
        expired.map(|(topic, partition, _)| tombstone(group_id.clone(), topic.clone(), partition)).collect()
    }

    fn remove_group(&mut self, group_id: &StrBytes, out: &mut Vec<Effect>) {
        self.persist(Record::GroupMetadata(group_id.clone(), None), out);
        self.remove_classic(group_id);
    }
}

/// Commits what can be, and says of each partition what became of it.
fn commit_each(
    topics: &[CommitTopic],
    config: &BrokerConfig,
    mut commit: impl FnMut(&CommitTopic, &CommitPartition),
) -> Vec<TopicResult> {
    // Java counts UTF-16 units (`String.length`).
    let greatest = usize::try_from(config.offset_metadata_max_bytes).unwrap_or(0);
    let is_too_large = |metadata: &StrBytes| metadata.encode_utf16().count() > greatest;
    results(topics, |topic, partition| {
        if partition.metadata.as_ref().is_some_and(is_too_large) {
            return Some(ResponseError::OffsetMetadataTooLarge);
        }
        commit(topic, partition);
        None
    })
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
