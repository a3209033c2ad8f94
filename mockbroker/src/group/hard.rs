//! The hard state: what the records say, and nothing else. Only [`HardState::apply`] and its like write it.
//!
//! A classic group is here as it was last persisted, which is what a coordinator finds after a restart. What its members
//! have done since (joins that wait, a generation that nobody has an assignment for) is soft and lives in `classic`.

use std::collections::BTreeMap;

use kafka_protocol::protocol::StrBytes;

use super::offsets::{Offsets, TransactionResult};
use super::record::{GroupMetadataValue, OffsetCommitKey, OffsetCommitValue, Record};

/// What a fold over all records gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HardState {
    classic_groups: BTreeMap<StrBytes, GroupMetadataValue>,
    offsets: Offsets,
}

impl HardState {
    /// The classic group as it was last persisted.
    #[cfg(test)]
    pub(super) fn classic_group(&self, group_id: &str) -> Option<&GroupMetadataValue> {
        self.classic_groups.get(group_id.as_bytes())
    }

    /// The offset store.
    pub(super) fn offsets(&self) -> &Offsets {
        &self.offsets
    }

    /// Applies a record that no transaction wrote.
    pub(super) fn apply(&mut self, record: &Record) {
        match record {
            Record::OffsetCommit(key, value) => self.offsets.apply(key, value.as_ref()),
            Record::GroupMetadata(group_id, Some(value)) => {
                self.classic_groups.insert(group_id.clone(), value.clone());
            }
            Record::GroupMetadata(group_id, None) => {
                self.classic_groups.remove(group_id);
            }
            // The consumer protocol keeps its own.
            Record::ConsumerGroupMetadata(..)
            | Record::ConsumerGroupPartitionMetadata(..)
            | Record::ConsumerGroupMemberMetadata(..)
            | Record::ConsumerGroupTargetAssignmentMetadata(..)
            | Record::ConsumerGroupTargetAssignmentMember(..)
            | Record::ConsumerGroupCurrentMemberAssignment(..)
            | Record::ConsumerGroupRegularExpression(..) => {}
        }
    }

    /// Applies a record that the transaction of `producer_id` wrote. Only offsets are written in transactions.
    pub(super) fn apply_pending(&mut self, producer_id: i64, record: &Record) {
        if let Record::OffsetCommit(key, value) = record {
            self.offsets.apply_pending(producer_id, key, value.as_ref());
        }
    }

    /// Whether the classic group was ever persisted.
    pub(super) fn has_classic_group(&self, group_id: &str) -> bool {
        self.classic_groups.contains_key(group_id.as_bytes())
    }

    /// Goes back to what the log has of an offset, or of the one that the transaction of `producer_id` has.
    pub(super) fn take_back_offset(
        &mut self,
        producer_id: Option<i64>,
        key: &OffsetCommitKey,
        written: Option<&OffsetCommitValue>,
    ) {
        self.offsets.take_back(producer_id, key, written);
    }

    /// Applies a marker that ends the transaction of `producer_id` for the groups that `is_here` says.
    pub(super) fn end_transaction(
        &mut self,
        producer_id: i64,
        result: TransactionResult,
        is_here: impl Fn(&str) -> bool,
    ) {
        self.offsets.end_transaction(producer_id, result, is_here);
    }

    /// Forgets the groups that `is_gone` says.
    pub(super) fn forget(&mut self, is_gone: impl Fn(&str) -> bool) {
        self.classic_groups.retain(|group_id, _| !is_gone(group_id));
        self.offsets.forget(is_gone);
    }
}
