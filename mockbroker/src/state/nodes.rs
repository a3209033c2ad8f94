//! Nodes that crash and come back: what the cluster makes of it, and what the node forgets.
//!
//! What is in the logs stays, since a process that is killed loses no page that it has written. All else is forgotten: fetch
//! sessions and what logs know of producers here, what groups and transactions have not written when the partitions move
//! (`Effect::LeaderMoved`), requests that wait with their connections.

use super::State;
use super::replicas::Changed;
use crate::cluster::{FetchSessions, HeldBack, PlannedPartition};
use crate::time::Timestamp;
use crate::types::{NodeId, PartitionId, TopicId};

impl State {
    /// `node` is gone from one moment to the next. Nothing happens if it is down already.
    pub(crate) fn crash(&mut self, node: NodeId, now: Timestamp) -> Changed {
        if !self.cluster.is_running(node) {
            return Changed::default();
        }
        self.cluster.set_running(node, false);
        self.producer_ids.forget(node);
        if let Some(sessions) = self.sessions.get_mut(&node) {
            let slots = self.cluster.settings().max_incremental_fetch_session_cache_slots;
            *sessions = FetchSessions::new(slots);
        }
        for (topic_id, partition) in self.replicas_on(node) {
            let log_end_offset = self.log_end_offset(topic_id, partition);
            self.cluster.replicas_mut().hold((topic_id, partition), node, None, log_end_offset, now);
        }
        if self.cluster.alive(node).is_none() {
            // It was taken for dead already.
            return Changed::default();
        }
        let planned = self.cluster.fence(node);
        self.change_all(planned, now)
    }

    /// The others do not hear of `node` any longer. Nothing happens if it is down, or isolated already.
    pub(crate) fn isolate(&mut self, node: NodeId, now: Timestamp) {
        if !self.cluster.is_running(node) || self.isolated.contains_key(&node) {
            return;
        }
        let session_ms = self.cluster.settings().broker_session_timeout_ms;
        self.isolated.insert(node, now.plus_millis(session_ms));
        self.cut_links(now);
    }

    /// The others hear of `node` again.
    pub(crate) fn reconnect(&mut self, node: NodeId, now: Timestamp) -> Changed {
        if self.isolated.remove(&node).is_none() {
            return Changed::default();
        }
        let mut changed = Changed::default();
        if self.cluster.is_running(node) && self.cluster.alive(node).is_none() {
            let planned = self.cluster.unfence(node);
            changed.add(self.change_all(planned, now));
        }
        self.cut_links(now);
        self.cluster.release_replicas();
        let planned = self.cluster.expand_in_sync();
        changed.add(self.change_all(planned, now));
        changed.in_sync.extend(self.replicas_on(node));
        for (topic_id, partition) in changed.in_sync.clone() {
            self.replicate(topic_id, partition, now);
        }
        changed
    }

    /// When the next node that nobody hears of is taken for dead.
    pub(crate) fn next_fencing(&self) -> Timestamp {
        self.isolated.values().min().copied().unwrap_or(Timestamp::MAX)
    }

    /// Takes for dead whoever has not been heard of for long enough.
    pub(crate) fn fence_isolated(&mut self, now: Timestamp) -> Changed {
        let mut changed = Changed::default();
        while let Some((node, _)) = self.isolated.iter().map(|(node, at)| (*node, *at)).find(|(_, at)| *at <= now) {
            self.isolated.insert(node, Timestamp::MAX);
            if self.cluster.alive(node).is_some() {
                for (topic_id, partition) in self.replicas_on(node) {
                    let log_end_offset = self.log_end_offset(topic_id, partition);
                    self.cluster.replicas_mut().hold((topic_id, partition), node, None, log_end_offset, now);
                }
                let planned = self.cluster.fence(node);
                changed.add(self.change_all(planned, now));
            }
        }
        // Whoever followed it follows another now.
        self.cut_links(now);
        self.cluster.release_replicas();
        let planned = self.cluster.expand_in_sync();
        changed.add(self.change_all(planned, now));
        for (topic_id, partition) in changed.leaders.clone() {
            self.replicate(topic_id, partition, now);
        }
        changed
    }

    /// Holds back every replica that does not reach its leader, because either is isolated, and no other.
    fn cut_links(&mut self, now: Timestamp) {
        self.cluster.replicas_mut().reach();
        let isolated: Vec<NodeId> = self.isolated.keys().copied().collect();
        for node in isolated {
            for (topic_id, id) in self.replicas_on(node) {
                let topic = self.cluster.topics().by_id(topic_id);
                let Some(partition) = topic.and_then(|topic| topic.partition(id)) else { continue };
                let cut_off = match partition.leader() {
                    Some(leader) if leader == node => {
                        partition.replicas().iter().copied().filter(|other| *other != node).collect()
                    }
                    _ => vec![node],
                };
                let end = self.log_end_offset(topic_id, id);
                for follower in cut_off {
                    let held = Some(HeldBack::Unreachable);
                    self.cluster.replicas_mut().hold((topic_id, id), follower, held, end, now);
                }
                self.replicate(topic_id, id, now);
            }
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

    fn change_all(&mut self, planned: Vec<PlannedPartition>, now: Timestamp) -> Changed {
        let mut changed = Changed::default();
        for planned in planned {
            self.change(planned, &mut changed, now);
        }
        changed
    }

    fn replicas_on(&self, node: NodeId) -> Vec<(TopicId, PartitionId)> {
        let topics = self.cluster.topics().iter();
        let all = topics.flat_map(|topic| (0..).map(move |id| (topic.id(), PartitionId(id))).zip(topic.partitions()));
        all.filter(|(_, partition)| partition.replicas().contains(&node)).map(|(at, _)| at).collect()
    }
}

impl Changed {
    fn add(&mut self, mut other: Self) {
        self.leaders.append(&mut other.leaders);
        self.in_sync.append(&mut other.in_sync);
        self.leaders.sort_unstable();
        self.leaders.dedup();
    }
}
