//! What becomes of partitions: given back, taken up, let go to the program, committed.

use std::{collections::BTreeMap, sync::Arc};

use tokio::time::{Instant, sleep, timeout};

use super::driver::{Done, Driver};
use crate::{
    codes::ErrorCode,
    config::OffsetReset,
    consumer::{
        Offset,
        group::{CommittedOffset, Group},
        positions::{Positions, Slot},
        rebalance::{Rebalance, RebalanceKind},
        stats::count,
    },
    error::Error,
    record::TopicPartition,
};

impl Driver {
    /// Gives partitions back: nothing more of them is given out, the program finishes what it has, and what it is done with
    /// is committed.
    pub(super) fn release(&mut self, partitions: Vec<TopicPartition>, lost: bool) {
        let group = Arc::clone(&self.group);
        {
            let mut positions = group.shared.positions();
            for partition in &partitions {
                if let Some(slot) = positions.slot(&partition.topic, partition.partition) {
                    positions.hold(slot, true);
                }
            }
        }
        group.shared.woken();
        self.work.push(Box::pin(async move {
            if lost {
                remove(&group, &partitions);
                tell(&group, RebalanceKind::Lost, partitions).await;
                return Done::Released;
            }
            let limit = group.config.max_poll_interval;
            let _ = timeout(limit, finished(&group, &partitions)).await;
            tell(&group, RebalanceKind::Revoked, partitions.clone()).await;
            if group.config.background_commits().is_some() {
                let offsets = group.finished(|partition| partitions.contains(partition));
                if let Err(error) = group.commit(offsets).await {
                    tracing::warn!(%error, "what was read of partitions that go is not committed");
                }
            }
            remove(&group, &partitions);
            Done::Released
        }));
    }

    /// Finds where to begin in new partitions, tells the program, and lets them go. While that takes, they may go again, and
    /// even come back: then somebody else finds where to begin in them.
    pub(super) fn adopt(&mut self, partitions: Vec<TopicPartition>) {
        let group = Arc::clone(&self.group);
        count(&group.shared.counters.rebalances, 1);
        let adopted: Vec<Adopted> = {
            let mut positions = group.shared.positions();
            let hold = |partition: TopicPartition| {
                let slot = positions.add(Arc::clone(&partition.topic), partition.partition);
                positions.hold(slot, true);
                (partition, positions.partition(slot).assignment)
            };
            partitions.into_iter().map(hold).collect()
        };
        self.work.push(Box::pin(async move {
            let committed = committed(&group, &adopted).await;
            {
                let mut positions = group.shared.positions();
                for (partition, committed) in committed {
                    let Some(slot) = slot_of(&positions, &adopted, &partition) else { continue };
                    match (committed, group.shared.config.auto_offset_reset) {
                        (Some(committed), _) => {
                            positions.seek_to(slot, committed.offset, committed.leader_epoch.unwrap_or(-1));
                            positions.on_committed(slot, committed.offset);
                        }
                        (None, OffsetReset::None) => {
                            let TopicPartition { topic, partition } = partition;
                            positions.report(slot, Error::NoCommittedOffset { topic, partition });
                        }
                        (None, reset) => positions.seek(slot, Offset::of(reset)),
                    }
                }
            }
            tell(&group, RebalanceKind::Assigned, still_ours(&group, &adopted)).await;
            Done::Adopted(adopted)
        }));
    }

    /// Lets the program have partitions, as far as they did not go again meanwhile.
    pub(super) fn let_go(&self, adopted: &[Adopted]) {
        let mut positions = self.group.shared.positions();
        for (partition, _) in adopted.iter().filter(|(partition, _)| self.member.may_read(partition)) {
            if let Some(slot) = slot_of(&positions, adopted, partition) {
                positions.hold(slot, false);
            }
        }
        drop(positions);
        self.group.shared.woken();
        self.group.assigned.notify_waiters();
    }

    /// Commits what the program is done with, from time to time.
    pub(super) fn commit(&mut self, now: Instant) {
        let (Some(interval), Some(due)) = (self.group.config.background_commits(), self.next_commit) else { return };
        if due > now || self.committing {
            return;
        }
        self.next_commit = Some(now + interval);
        let offsets = self.group.finished(|_| true);
        if offsets.is_empty() {
            return;
        }
        self.committing = true;
        let group = Arc::clone(&self.group);
        self.work.push(Box::pin(async move {
            if let Err(error) = group.commit(offsets).await {
                tracing::warn!(%error, "an automatic commit failed; the next one tries again");
            }
            Done::Committed
        }));
    }
}

/// Waits until the program is done with what it was given of the partitions.
async fn finished(group: &Group, partitions: &[TopicPartition]) {
    loop {
        let mut progress = std::pin::pin!(group.progress.notified());
        progress.as_mut().enable();
        let closed = group.shared.is_closed();
        let at_work = {
            let positions = group.shared.positions();
            let slot = |partition: &TopicPartition| positions.slot(&partition.topic, partition.partition);
            // After the end nobody asks for more; a stream still ends by itself.
            let busy = |slot| if closed { positions.is_streamed(slot) } else { positions.is_given(slot) };
            partitions.iter().filter_map(slot).any(busy)
        };
        if !at_work {
            return;
        }
        progress.await;
    }
}

async fn tell(group: &Arc<Group>, kind: RebalanceKind, partitions: Vec<TopicPartition>) {
    if let Some(listener) = &group.listener
        && !partitions.is_empty()
    {
        listener.tell(Rebalance::new(kind, partitions, Arc::clone(group))).await;
    }
}

fn remove(group: &Group, partitions: &[TopicPartition]) {
    let mut positions = group.shared.positions();
    for partition in partitions {
        if let Some(slot) = positions.slot(&partition.topic, partition.partition) {
            positions.remove(slot);
        }
    }
    drop(positions);
    group.shared.woken();
}

/// A partition, and the number of the assignment in which it came.
pub(super) type Adopted = (TopicPartition, u64);

/// Where a partition is, if it is in the assignment in which it was adopted.
fn slot_of(positions: &Positions, adopted: &[Adopted], partition: &TopicPartition) -> Option<Slot> {
    let (_, assignment) = adopted.iter().find(|(adopted, _)| adopted == partition)?;
    let slot = positions.slot(&partition.topic, partition.partition)?;
    Some(slot).filter(|slot| positions.partition(*slot).assignment == *assignment)
}

fn still_ours(group: &Group, adopted: &[Adopted]) -> Vec<TopicPartition> {
    let positions = group.shared.positions();
    let partitions = adopted.iter().map(|(partition, _)| partition);
    partitions.filter(|partition| slot_of(&positions, adopted, partition).is_some()).cloned().collect()
}

/// What the group has committed for partitions, asked as long as they are ours.
async fn committed(group: &Group, adopted: &[Adopted]) -> BTreeMap<TopicPartition, Option<CommittedOffset>> {
    let mut failures = 0;
    loop {
        let ours = still_ours(group, adopted);
        if ours.is_empty() || group.shared.is_closed() {
            return BTreeMap::new();
        }
        let deadline = Instant::now() + group.cluster.config().request_timeout;
        match group.fetch_committed(&ours, deadline).await {
            Ok(committed) => return committed,
            Err(error) if error.is_retriable() || is_stale(&error) => {
                tracing::debug!(%error, "committed offsets are not known yet");
                // Who we are by now is heard with the next heartbeat, which asking does not hasten.
                failures += 1;
                sleep(group.cluster.config().retry_backoff.wait(failures)).await;
            }
            Err(error) => {
                group.fail(error);
                return BTreeMap::new();
            }
        }
    }
}

/// Whether the coordinator took us for another member than we are by now, or will be when we have heard of it (KIP-848).
pub(crate) fn is_stale(error: &Error) -> bool {
    matches!(error.code(), Some(ErrorCode::StaleMemberEpoch | ErrorCode::UnknownMemberId))
}
