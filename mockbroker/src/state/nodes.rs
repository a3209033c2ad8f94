//! Nodes that crash and come back: what the cluster makes of it, and what the node forgets. Nodes that nobody hears of are in
//! `isolation`.
//!
//! What is in the logs stays, since a process that is killed loses no page that it has written. All else is forgotten: fetch
//! sessions and what logs know of producers here, what groups and transactions have not written when the partitions move
//! (`Effect::LeaderMoved`), requests that wait with their connections.

use super::State;
use super::replicas::Changed;
use crate::cluster::{FetchSessions, PlannedPartition};
use crate::time::Timestamp;
use crate::types::{NodeId, PartitionId, TopicId};

impl State {
    /// `node` is gone from one moment to the next. Nothing happens if it is down already.
    pub(crate) fn crash(&mut self, node: NodeId, now: Timestamp) -> Changed {
        if !self.cluster.is_running(node) {
            return Changed::default();
        }
        self.cluster.set_running(node, false);
        let was_isolated = self.forget_isolation(node);
        self.producer_ids.forget(node);
        if let Some(sessions) = self.sessions.get_mut(&node) {
            let slots = self.cluster.settings().max_incremental_fetch_session_cache_slots;
            *sessions = FetchSessions::new(slots);
        }
        self.hold_replicas_on(node, now);
        let mut changed = Changed::default();
        // Unless it was taken for dead already.
        if self.cluster.alive(node).is_some() {
            let planned = self.cluster.fence(node);
            changed.add(self.change_all(planned, now));
        }
        if was_isolated {
            changed.add(self.relink(now));
        }
        changed
    }

    /// The replicas on `node` have what they have, and get no more.
    pub(super) fn hold_replicas_on(&mut self, node: NodeId, now: Timestamp) {
        for (topic_id, partition) in self.replicas_on(node) {
            let log_end_offset = self.log_end_offset(topic_id, partition);
            self.cluster.replicas_mut().hold((topic_id, partition), node, None, log_end_offset, now);
        }
    }

    /// `node` is back after a crash. Nothing happens if it is up.
    pub(crate) fn restart(&mut self, node: NodeId, now: Timestamp) -> Changed {
        if self.cluster.is_running(node) {
            return Changed::default();
        }
        self.cluster.set_running(node, true);
        let planned = self.cluster.register_after_crash(node);
        let mut changed = self.change_all(planned, now);
        let planned = self.cluster.unfence(node);
        let elected = self.change_all(planned, now);
        for (topic_id, partition) in elected.leaders.iter().copied() {
            self.recover_log(topic_id, partition, now);
        }
        changed.add(elected);
        self.cluster.release_replicas();
        let planned = self.cluster.expand_in_sync();
        changed.add(self.change_all(planned, now));
        changed
    }

    pub(super) fn change_all(&mut self, planned: Vec<PlannedPartition>, now: Timestamp) -> Changed {
        let mut changed = Changed::default();
        for planned in planned {
            self.change(planned, &mut changed, now);
        }
        changed
    }

    pub(super) fn replicas_on(&self, node: NodeId) -> Vec<(TopicId, PartitionId)> {
        let topics = self.cluster.topics().iter();
        let all = topics.flat_map(|topic| (0..).map(move |id| (topic.id(), PartitionId(id))).zip(topic.partitions()));
        all.filter(|(_, partition)| partition.replicas().contains(&node)).map(|(at, _)| at).collect()
    }
}

impl Changed {
    pub(super) fn add(&mut self, mut other: Self) {
        self.leaders.append(&mut other.leaders);
        self.in_sync.append(&mut other.in_sync);
        self.leaders.sort_unstable();
        self.leaders.dedup();
    }
}
