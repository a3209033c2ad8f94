//! What a consumer lends to those who commit in its stead: transactions, and stores of offsets.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Consumer, ConsumerBatch, ConsumerRecord, Offset, RecordView, group::Group, record::Source, shared::Shared,
};
use crate::{
    config::IsolationLevel,
    error::{Error, Result},
    progress::{Consumed, GroupMetadata, NextOffset},
    record::TopicPartition,
    store::EffectKey,
};

impl Group {
    /// The member as it is now, with the partitions that it has.
    pub(crate) fn metadata(&self) -> GroupMetadata {
        // First who we are, then what we have: a partition that goes is taken away before the member becomes another one, so
        // what is still there afterwards was ours under the identity that was read.
        let membership = self.membership();
        let positions = self.shared.positions();
        let assignments = positions.assigned().map(|(topic, partition, slot)| {
            (TopicPartition::new(Arc::clone(topic), partition), positions.partition(slot).assignment)
        });
        // Who is no member would be taken for nobody in particular, and not be checked.
        let assignments: BTreeMap<_, _> = assignments.filter(|_| membership.is_member).collect();
        GroupMetadata {
            group_id: Arc::clone(&self.config.group_id),
            generation_id: membership.identity.generation_id,
            member_id: membership.identity.member_id,
            group_instance_id: self.config.group_instance_id.clone(),
            assignments: Some(Arc::new(assignments)),
        }
    }
}

impl Consumer {
    /// The member of the group at this moment, for [`Transaction::send_offsets`](crate::Transaction::send_offsets) and for
    /// stores of offsets. Take it when the offsets are sent: a rebalance makes it another one.
    #[must_use]
    pub fn group_metadata(&self) -> GroupMetadata {
        self.handle.group.metadata()
    }

    /// Whether nothing but a transaction commits this consumer's offsets, and it reads only what was committed.
    pub(crate) fn suits_transactions(&self) -> Result<()> {
        let group = &self.handle.group;
        if group.config.background_commits().is_some() {
            return Err(Error::config("auto_commit_interval", "must be None: here transactions commit the offsets"));
        }
        if group.shared.config.isolation != IsolationLevel::ReadCommitted {
            return Err(Error::config(
                "isolation",
                "must be ReadCommitted: else what is aborted upstream is passed on",
            ));
        }
        Ok(())
    }

    /// A batch that is there already, without telling that the program is done with what it was given before.
    pub(crate) fn try_next_batch(&self) -> Option<Result<ConsumerBatch>> {
        let shared = &self.handle.group.shared;
        if shared.is_closed() { None } else { Shared::take_batch(shared) }
    }

    /// Whether a partition has to go, and the group waits for the program to be done with what it was given of it.
    pub(crate) fn is_waited_for(&self) -> bool {
        let positions = self.handle.group.shared.positions();
        positions.assigned().any(|(_, _, slot)| positions.partition(slot).held && positions.is_given(slot))
    }

    /// The program goes on reading, though it is not done with what it was given before.
    pub(crate) fn reads_on(&self) {
        self.handle.group.reads_on();
    }

    /// Whether a partition is still in the assignment under which something of it was read.
    pub(crate) fn still_has(&self, read: &NextOffset) -> bool {
        let positions = self.handle.group.shared.positions();
        let slot = positions.slot(&read.partition.topic, read.partition.partition);
        slot.is_some_and(|slot| read.assignment.is_none_or(|number| positions.partition(slot).assignment == number))
    }

    /// Goes back to where something was read. `false` if the partition went meanwhile.
    pub(crate) fn rewind(&self, read: &NextOffset) -> bool {
        let shared = &self.handle.group.shared;
        let TopicPartition { topic, partition } = &read.partition;
        if !self.still_has(read) {
            return false;
        }
        // It may go at any moment, and then somebody else begins at the committed offset.
        let _ = shared.change(topic, *partition, |positions, slot| positions.seek(slot, Offset::At(read.offset)));
        true
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.handle.group.shared.is_closed()
    }
}

fn next_offset(source: &Source, offset: i64, leader_epoch: i32) -> NextOffset {
    NextOffset {
        topic_id: source.topic_id,
        leader_epoch: Some(leader_epoch).filter(|epoch| *epoch >= 0),
        assignment: source.assignment,
        ..NextOffset::new(TopicPartition::new(Arc::clone(&source.topic), source.partition), offset)
    }
}

impl ConsumerBatch {
    /// Where the batch begins, as far as it was given out.
    pub(crate) fn start(&self) -> NextOffset {
        let first = self.records().next().map_or(self.next_offset(), |record| record.offset());
        next_offset(self.source(), first, -1)
    }
}

impl Consumed for ConsumerBatch {
    fn next_offsets(&self) -> Vec<NextOffset> {
        vec![next_offset(self.source(), self.next_offset(), self.leader_epoch())]
    }
}

impl ConsumerRecord {
    /// What names the effect of the record; see [`EffectKey`].
    #[must_use]
    pub fn effect_key(&self) -> EffectKey {
        EffectKey { topic_id: self.topic_id(), partition: self.partition(), offset: self.offset() }
    }
}

impl RecordView<'_> {
    /// What names the effect of the record; see [`EffectKey`].
    #[must_use]
    pub fn effect_key(&self) -> EffectKey {
        EffectKey { topic_id: self.topic_id(), partition: self.partition(), offset: self.offset() }
    }
}

impl Consumed for ConsumerRecord {
    fn next_offsets(&self) -> Vec<NextOffset> {
        vec![next_offset(self.source(), self.offset() + 1, -1)]
    }
}
