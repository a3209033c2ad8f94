//! The offset store: what groups have committed, and what open transactions will have committed for them.
//!
//! Every change is a record. Not here: who may commit, and when an offset expires (the group knows).
//!
//! A transactional commit is kept apart until its transaction ends. It then replaces what is committed, unless that was
//! written later in the log (`OffsetMetadataManager.replayEndTransactionMarker`).

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::protocol::StrBytes;

use super::record::{OffsetCommitKey, OffsetCommitValue};

/// Offsets of one group by topic and partition.
type ByTopic = BTreeMap<StrBytes, BTreeMap<i32, Committed>>;

/// An offset, and when its record was applied, which is the order of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Committed {
    value: OffsetCommitValue,
    applied_as: u64,
}

/// All offsets of all groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offsets {
    committed: BTreeMap<StrBytes, ByTopic>,
    /// By producer id, then by group.
    pending: BTreeMap<i64, BTreeMap<StrBytes, ByTopic>>,
    /// The producers with pending offsets of a group.
    open_transactions: BTreeMap<StrBytes, BTreeSet<i64>>,
    applied: u64,
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransactionResult {
    /// Its records hold.
    Committed,
    /// Its records never were.
    Aborted,
}

impl Offsets {
    /// The committed offset of a partition.
    pub(super) fn committed(&self, group_id: &str, topic: &str, partition: i32) -> Option<&OffsetCommitValue> {
        let by_topic = self.committed.get(group_id.as_bytes())?;
        by_topic.get(topic.as_bytes())?.get(&partition).map(|committed| &committed.value)
    }

    /// All committed offsets of a group, by topic and partition.
    pub(super) fn of_group(&self, group_id: &str) -> impl Iterator<Item = (&StrBytes, i32, &OffsetCommitValue)> {
        self.committed.get(group_id.as_bytes()).into_iter().flatten().flat_map(|(topic, partitions)| {
            partitions.iter().map(move |(partition, committed)| (topic, *partition, &committed.value))
        })
    }

    /// Whether an open transaction has an offset of this partition.
    pub(super) fn is_pending(&self, group_id: &str, topic: &str, partition: i32) -> bool {
        self.pending_of(group_id)
            .any(|by_topic| by_topic.get(topic.as_bytes()).is_some_and(|offsets| offsets.contains_key(&partition)))
    }

    /// The offsets of a group that open transactions have: producer id, topic, partition, offset.
    pub(super) fn pending_of_group(&self, group_id: &str) -> impl Iterator<Item = (i64, &StrBytes, i32, i64)> {
        self.pending.iter().flat_map(move |(producer_id, groups)| {
            let by_topic = groups.get(group_id.as_bytes()).into_iter().flatten();
            by_topic.flat_map(move |(topic, offsets)| {
                offsets.iter().map(move |(partition, it)| (*producer_id, topic, *partition, it.value.offset))
            })
        })
    }

    /// Whether an open transaction has offsets of this group.
    pub(super) fn has_open_transaction(&self, group_id: &str) -> bool {
        self.open_transactions.contains_key(group_id.as_bytes())
    }

    /// The partitions of a group that have an offset, committed or pending, each once.
    pub(super) fn partitions_of_group(&self, group_id: &str) -> BTreeSet<(StrBytes, i32)> {
        let committed = self.committed.get(group_id.as_bytes()).into_iter();
        committed.chain(self.pending_of(group_id)).flat_map(partitions).collect()
    }

    /// The groups and partitions that have an offset of `topic`, committed or pending, each once.
    pub(super) fn of_topic(&self, topic: &str) -> BTreeSet<(StrBytes, i32)> {
        let pending = self.pending.values().flatten();
        let all = self.committed.iter().chain(pending);
        all.filter_map(|(group_id, by_topic)| Some((group_id, by_topic.get(topic.as_bytes())?)))
            .flat_map(|(group_id, offsets)| offsets.keys().map(|partition| (group_id.clone(), *partition)))
            .collect()
    }

    fn pending_of(&self, group_id: &str) -> impl Iterator<Item = &ByTopic> {
        let producers = self.open_transactions.get(group_id.as_bytes()).into_iter().flatten();
        producers.filter_map(move |producer_id| self.pending.get(producer_id)?.get(group_id.as_bytes()))
    }
}

/// What records do. Nothing else changes an offset.
impl Offsets {
    /// A commit outside of a transaction, or a tombstone, which deletes pending offsets, too.
    pub(super) fn apply(&mut self, key: &OffsetCommitKey, value: Option<&OffsetCommitValue>) {
        let Some(value) = value else { return self.delete(key) };
        let committed = self.committed_now(value);
        insert(self.committed.entry(key.group_id.clone()).or_default(), key, committed);
    }

    /// A commit within the transaction of `producer_id`.
    pub(super) fn apply_pending(&mut self, producer_id: i64, key: &OffsetCommitKey, value: Option<&OffsetCommitValue>) {
        let Some(value) = value else { return self.delete(key) };
        let committed = self.committed_now(value);
        let of_producer = self.pending.entry(producer_id).or_default();
        insert(of_producer.entry(key.group_id.clone()).or_default(), key, committed);
        self.open_transactions.entry(key.group_id.clone()).or_default().insert(producer_id);
    }

    /// The end of the transaction of `producer_id` for those groups that `is_here` says: there is a marker in every
    /// partition, and each counts for the groups of its own.
    pub(super) fn end_transaction(
        &mut self,
        producer_id: i64,
        result: TransactionResult,
        is_here: impl Fn(&str) -> bool,
    ) {
        let Some(of_producer) = self.pending.get_mut(&producer_id) else { return };
        let ended: Vec<_> = of_producer.extract_if(.., |group_id, _| is_here(group_id)).collect();
        if of_producer.is_empty() {
            self.pending.remove(&producer_id);
        }
        for (group_id, by_topic) in ended {
            if let Some(producers) = self.open_transactions.get_mut(&group_id) {
                producers.remove(&producer_id);
                if producers.is_empty() {
                    self.open_transactions.remove(&group_id);
                }
            }
            if result == TransactionResult::Committed {
                self.commit(group_id, by_topic);
            }
        }
    }

    /// Forgets the groups that `is_gone` says: they are coordinated elsewhere now.
    pub(super) fn forget(&mut self, is_gone: impl Fn(&str) -> bool) {
        self.committed.retain(|group_id, _| !is_gone(group_id));
        self.open_transactions.retain(|group_id, _| !is_gone(group_id));
        self.pending.retain(|_, groups| {
            groups.retain(|group_id, _| !is_gone(group_id));
            !groups.is_empty()
        });
    }

    fn commit(&mut self, group_id: StrBytes, by_topic: ByTopic) {
        let committed = self.committed.entry(group_id.clone()).or_default();
        for (topic, offsets) in by_topic {
            let of_topic = committed.entry(topic).or_default();
            for (partition, offset) in offsets {
                let existing = of_topic.get(&partition);
                if existing.is_none_or(|existing| existing.applied_as < offset.applied_as) {
                    of_topic.insert(partition, offset);
                }
            }
        }
        // What was pending may have been deleted meanwhile.
        tidy(&mut self.committed, &group_id);
    }

    /// The log did not take a commit, or a tombstone: what it has instead counts again. With `producer_id` that is what its
    /// transaction has.
    pub(super) fn take_back(
        &mut self,
        producer_id: Option<i64>,
        key: &OffsetCommitKey,
        written: Option<&OffsetCommitValue>,
    ) {
        match (producer_id, written) {
            (None, Some(_)) => self.apply(key, written),
            (None, None) => remove(&mut self.committed, key),
            (Some(producer_id), Some(_)) => self.apply_pending(producer_id, key, written),
            (Some(producer_id), None) => {
                let Some(groups) = self.pending.get_mut(&producer_id) else { return };
                remove(groups, key);
                let is_open = groups.contains_key(&key.group_id);
                if let Some(open) = self.open_transactions.get_mut(&key.group_id).filter(|_| !is_open) {
                    open.remove(&producer_id);
                    if open.is_empty() {
                        self.open_transactions.remove(&key.group_id);
                    }
                }
            }
        }
    }

    fn delete(&mut self, key: &OffsetCommitKey) {
        remove(&mut self.committed, key);
        for groups in self.pending.values_mut() {
            // The transaction stays open for the group, as in Kafka, until its marker comes.
            if let Some(by_topic) = groups.get_mut(&key.group_id) {
                remove_partition(by_topic, key);
            }
        }
    }

    fn committed_now(&mut self, value: &OffsetCommitValue) -> Committed {
        self.applied += 1;
        Committed { value: value.clone(), applied_as: self.applied }
    }
}

fn partitions(by_topic: &ByTopic) -> impl Iterator<Item = (StrBytes, i32)> {
    by_topic.iter().flat_map(|(topic, offsets)| offsets.keys().map(|partition| (topic.clone(), *partition)))
}

fn insert(by_topic: &mut ByTopic, key: &OffsetCommitKey, committed: Committed) {
    by_topic.entry(key.topic.clone()).or_default().insert(key.partition, committed);
}

fn remove(groups: &mut BTreeMap<StrBytes, ByTopic>, key: &OffsetCommitKey) {
    if let Some(by_topic) = groups.get_mut(&key.group_id) {
        remove_partition(by_topic, key);
    }
    tidy(groups, &key.group_id);
}

fn remove_partition(by_topic: &mut ByTopic, key: &OffsetCommitKey) {
    if let Some(offsets) = by_topic.get_mut(&key.topic) {
        offsets.remove(&key.partition);
        if offsets.is_empty() {
            by_topic.remove(&key.topic);
        }
    }
}

/// A group without an offset is not kept.
fn tidy(groups: &mut BTreeMap<StrBytes, ByTopic>, group_id: &StrBytes) {
    if groups.get(group_id).is_some_and(BTreeMap::is_empty) {
        groups.remove(group_id);
    }
}
