//! Markers: what is left to do of transactions that are decided, and how it is done, at once or step by step.
//!
//! Markers are written after the answer that decided them, by [`State::write_markers`], which the engine calls a moment
//! later. In between other requests may come: they are told to come back, as in Kafka. While a test holds markers back, it
//! takes the steps itself ([`State::take_step`]): the marker of each partition, then the completion of the transaction.
//!
//! Source: `TransactionMarkerChannelManager`, `TransactionMarkerRequestCompletionHandler`.

use std::collections::{BTreeSet, VecDeque};

use kafka_protocol::error::ResponseError;

use super::State;
use super::transactions::Moved;
use crate::cluster::{CoordinatorType, partition_for};
use crate::group::TransactionResult;
use crate::logs::Marker;
use crate::time::Timestamp;
use crate::txn::{Event, Markers, TopicPartition};
use crate::types::PartitionId;

/// Transactions that are prepared and not complete, in the order in which they were decided.
#[derive(Clone, Debug, Default)]
pub(super) struct MarkerQueue {
    waiting: VecDeque<Markers>,
    /// How many hold the markers back.
    holders: usize,
}

/// What is next of a transaction that is prepared: the marker of a partition, or, once all are written, its completion.
pub(crate) type Step = (Markers, Option<TopicPartition>);

/// What came of a marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    /// It is there, or need not be.
    Done,
    /// It is tried again.
    Again,
    /// The coordinator gives up: the transaction stays prepared until another one takes it up from the log.
    Never,
}

impl MarkerQueue {
    pub(super) fn push(&mut self, markers: Markers) {
        self.waiting.push_back(markers);
    }

    /// Drops what `is_lost` says of the transactional id.
    pub(super) fn give_up(&mut self, is_lost: impl Fn(&str) -> bool) {
        self.waiting.retain(|markers| !is_lost(&markers.transactional_id));
    }
}

impl State {
    /// Whether markers are to be written by [`State::write_markers`].
    pub(crate) fn has_markers(&self) -> bool {
        self.markers.holders == 0 && !self.markers.waiting.is_empty()
    }

    /// One more holds markers back, or one fewer.
    pub(crate) fn hold_markers(&mut self, holds: bool) {
        let holders = &mut self.markers.holders;
        *holders = if holds { *holders + 1 } else { holders.saturating_sub(1) };
    }

    /// Every step that is left, in the order in which they are taken.
    pub(crate) fn pending_steps(&self) -> impl Iterator<Item = Step> + '_ {
        self.markers.waiting.iter().flat_map(|markers| {
            let partitions = markers.partitions.iter().cloned().map(Some);
            partitions.chain([None]).map(|partition| (markers.clone(), partition))
        })
    }

    /// How many steps are left.
    pub(crate) fn pending_count(&self) -> usize {
        self.markers.waiting.iter().map(|markers| markers.partitions.len() + 1).sum()
    }

    /// Writes the markers of every transaction that was prepared before this call, and completes it, unless they are held.
    pub(crate) fn write_markers(&mut self, now: Timestamp) -> Moved {
        let mut moved = Vec::new();
        if self.has_markers() {
            self.release_markers(now, &mut moved);
        }
        moved
    }

    /// The same whether or not they are held.
    pub(crate) fn release_markers(&mut self, now: Timestamp, moved: &mut Moved) {
        for _ in 0..self.markers.waiting.len() {
            self.write_first(now, moved);
        }
    }

    /// Takes the next step of the transaction that was decided first, and returns which it was. With `fault`, the leader of the
    /// partition answers that to the marker and writes nothing.
    pub(crate) fn take_step(
        &mut self,
        fault: Option<ResponseError>,
        now: Timestamp,
        moved: &mut Moved,
    ) -> Option<Step> {
        let mut markers = self.markers.waiting.pop_front()?;
        let partition = markers.partitions.first().cloned();
        let step = (markers.clone(), partition.clone());
        let Some(partition) = partition else {
            if fault.is_some() || !self.complete(&markers, now, moved) {
                self.markers.waiting.push_front(markers);
            }
            return Some(step);
        };
        let outcome = match fault {
            Some(error) => judge(Err(error)),
            None => judge(self.write_marker_at(&markers, &partition, now, moved)),
        };
        match outcome {
            Written::Done => {
                markers.partitions.remove(&partition);
                self.tell_written(&markers, BTreeSet::from([partition]), now, moved);
                self.markers.waiting.push_front(markers);
            }
            Written::Again => self.markers.waiting.push_front(markers),
            Written::Never => tracing::info!(?markers, "the markers of a fenced transaction are given up"),
        }
        Some(step)
    }

    /// Writes all markers of the transaction that was prepared first, and completes it if it can.
    fn write_first(&mut self, now: Timestamp, moved: &mut Moved) {
        let Some(mut markers) = self.markers.waiting.pop_front() else { return };
        let mut written = BTreeSet::new();
        for partition in std::mem::take(&mut markers.partitions) {
            match judge(self.write_marker_at(&markers, &partition, now, moved)) {
                Written::Done => drop(written.insert(partition)),
                Written::Again => drop(markers.partitions.insert(partition)),
                Written::Never => {
                    tracing::info!(?markers, "the markers of a fenced transaction are given up");
                    return;
                }
            }
        }
        self.tell_written(&markers, written, now, moved);
        if !markers.partitions.is_empty() || !self.complete(&markers, now, moved) {
            self.markers.waiting.push_back(markers);
        }
    }

    fn tell_written(
        &mut self,
        markers: &Markers,
        partitions: BTreeSet<TopicPartition>,
        now: Timestamp,
        moved: &mut Moved,
    ) {
        let told = self.step_transactions(&markers.transactional_id, Event::MarkersWritten { partitions }, now, moved);
        debug_assert!(told.is_ok(), "markers are always taken: {told:?}");
    }

    /// Returns whether that is the end of it: a log that takes nothing now is tried again.
    fn complete(&mut self, markers: &Markers, now: Timestamp, moved: &mut Moved) -> bool {
        let told = self.step_transactions(&markers.transactional_id, Event::Complete, now, moved);
        if let Err(error) = told {
            tracing::info!(?error, ?markers, "the transaction stays prepared: its completion cannot be written down");
        }
        told != Err(ResponseError::CoordinatorNotAvailable)
    }

    /// Writes one marker. A topic that is gone needs none.
    fn write_marker_at(
        &mut self,
        markers: &Markers,
        at: &TopicPartition,
        now: Timestamp,
        moved: &mut Moved,
    ) -> Result<(), ResponseError> {
        let id = &markers.transactional_id;
        let coordinator_epoch = self.cluster.topics().by_name(CoordinatorType::Transaction.topic()).and_then(|topic| {
            topic.partition(partition_for(id, topic.partitions().len())).map(|partition| partition.leader_epoch())
        });
        let marker = Marker {
            producer_id: markers.producer_id,
            producer_epoch: markers.producer_epoch,
            is_commit: markers.is_commit,
            coordinator_epoch: coordinator_epoch.unwrap_or(0),
            bumps_epoch: markers.bumps_epoch,
        };
        let leader = self
            .cluster
            .topics()
            .by_name(&at.topic)
            .and_then(|topic| topic.partition(PartitionId(at.partition)).and_then(|partition| partition.leader()));
        // Nobody reaches it, or the followers would never have what it is told: Kafka's markers are written with acks=all.
        if leader.is_some_and(|leader| self.is_isolated(leader)) {
            return Err(ResponseError::NotLeaderOrFollower);
        }
        match self.write_marker(&marker, at, now, moved) {
            Err(ResponseError::UnknownTopicOrPartition) => Ok(()),
            outcome => outcome,
        }
    }

    /// Writes a marker into a partition, and ends the transaction for the offsets that were committed in it, if it is one
    /// of the partition of groups.
    ///
    /// # Errors
    /// UNKNOWN_TOPIC_OR_PARTITION; NOT_LEADER_OR_FOLLOWER if nobody leads it now; NOT_ENOUGH_REPLICAS; what the log says of the
    /// marker.
    pub(crate) fn write_marker(
        &mut self,
        marker: &Marker,
        at: &TopicPartition,
        now: Timestamp,
        moved: &mut Moved,
    ) -> Result<(), ResponseError> {
        let topic = self.cluster.topics().by_name(&at.topic).ok_or(ResponseError::UnknownTopicOrPartition)?;
        let partition = PartitionId(at.partition);
        let led = topic.partition(partition).ok_or(ResponseError::UnknownTopicOrPartition)?;
        led.leader().and_then(|node| self.cluster.alive(node)).ok_or(ResponseError::NotLeaderOrFollower)?;
        if !topic.has_enough_in_sync(partition) {
            return Err(ResponseError::NotEnoughReplicas);
        }
        if self.is_loading_partition(topic.id(), partition) {
            // Of groups, and nobody knows them yet (KafkaApis.handleWriteTxnMarkersRequest).
            return Err(ResponseError::NotLeaderOrFollower);
        }
        self.logs.append_marker(topic, partition, marker, now)?;
        moved.push((topic.id(), partition));
        if *at.topic == *CoordinatorType::Group.topic() {
            let partitions = topic.partitions().len();
            let result = if marker.is_commit { TransactionResult::Committed } else { TransactionResult::Aborted };
            let is_here = |group_id: &str| partition_for(group_id, partitions) == partition;
            self.groups.end_transaction(marker.producer_id, result, is_here);
        }
        Ok(())
    }
}

/// `TransactionMarkerRequestCompletionHandler`.
fn judge(answer: Result<(), ResponseError>) -> Written {
    match answer {
        Ok(()) => Written::Done,
        Err(ResponseError::InvalidProducerEpoch | ResponseError::TransactionCoordinatorFenced) => Written::Never,
        Err(_) => Written::Again,
    }
}
