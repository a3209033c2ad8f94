//! Nodes that the others do not hear of: what becomes of the cluster, and what such a node makes of it.
//!
//! For `broker.session.timeout.ms` an isolated node leads what it led, and its replicas and those that follow it lack what is
//! written. Then the others take it for dead and lead in its place, and it does not know. From there on it goes on in a state of
//! its own: the cluster as it was, in which nobody else answers. There it takes what wants no other replica, and that is lost
//! when it is heard of again, since its log is cut where it parts from the new leader's. What nobody has led in its place it
//! brings back. So only here, and only as long as that lasts, a partition has two logs; they share what they have in common.
//!
//! What a coordinator on it would write waits for replicas until its time is up, and is refused
//! (`CoordinatorRuntime.OperationTimeout`, `TransactionStateManager.appendTransactionToLog`): here it is refused, and the answer
//! waits as long ([`State::take_wait`]).
//! Source: `BrokerHeartbeatManager`, `ReplicationControlManager.handleBrokerFenced`, `Partition.submitAlterPartition`, which gets
//! no answer.

use std::collections::BTreeMap;
use std::time::Duration;

use super::replicas::Changed;
use super::{Outcome, State};
use crate::cluster::{CoordinatorType, HeldBack, Partition};
use crate::group;
use crate::time::Timestamp;
use crate::types::{NodeId, PartitionId, TopicId};

/// Who is cut off from the others.
#[derive(Debug, Default)]
pub(super) struct Isolation {
    /// The nodes that the others do not hear of, and when they are taken for dead; never, once they are.
    nodes: BTreeMap<NodeId, Timestamp>,
    /// The states of those that have been taken for dead.
    alone: BTreeMap<NodeId, Box<State>>,
    /// How long the answer to the request at hand has to wait.
    wait: Option<Duration>,
}

impl Isolation {
    /// The same for another engine.
    pub(super) fn fork(&self) -> Self {
        let alone = self.alone.iter().map(|(node, own)| (*node, Box::new(own.fork()))).collect();
        Self { nodes: self.nodes.clone(), alone, wait: None }
    }

    /// The request at hand has asked others who do not answer: it is told so after this long.
    pub(super) fn wait(&mut self, length_ms: i64) {
        self.wait = Some(Duration::from_millis(u64::try_from(length_ms).unwrap_or(0)));
    }

    /// Whether the leader of `partition` is isolated, and wants replicas that it does not reach.
    pub(super) fn cuts_off(&self, partition: &Partition) -> bool {
        let leader = partition.leader().filter(|_| partition.isr().len() > 1);
        leader.is_some_and(|leader| self.nodes.contains_key(&leader))
    }
}

/// What follows for requests.
impl State {
    /// Whether every node hears of every other. A cluster that is whole looks here, and has nothing else of
    /// what this file is about.
    pub(crate) fn is_whole(&self) -> bool {
        self.isolation.nodes.is_empty()
    }

    /// Whether the others, and with them the controllers, do not hear of `node`.
    pub(crate) fn is_isolated(&self, node: NodeId) -> bool {
        !self.is_whole() && self.isolation.nodes.contains_key(&node)
    }

    /// Whether nodes hear of each other.
    pub(crate) fn reach_each_other(&self, one: NodeId, other: NodeId) -> bool {
        one == other || !(self.is_isolated(one) || self.is_isolated(other))
    }

    /// The request at hand has asked others who do not answer: it is told so after this long.
    pub(crate) fn wait_in_vain(&mut self, length_ms: i64) {
        self.isolation.wait(length_ms);
    }

    /// How long the answer to the request at hand has to wait. It is the next request's turn then.
    pub(crate) fn take_wait(&mut self) -> Option<Duration> {
        self.isolation.wait.take()
    }
}

/// States of their own.
impl State {
    /// Makes this the state of `node`, if that has one of its own, and returns what it was; to be given back to
    /// [`State::leave`]. Tickets and ids are drawn from one source.
    pub(crate) fn enter(&mut self, node: NodeId) -> Option<Box<Self>> {
        let mut own = self.isolation.alone.remove(&node)?;
        self.exchange(&mut own);
        Some(own)
    }

    /// Makes this the state of the cluster again.
    pub(crate) fn leave(&mut self, node: NodeId, mut whole: Box<Self>) {
        self.exchange(&mut whole);
        self.isolation.alone.insert(node, whole);
    }

    fn exchange(&mut self, other: &mut Self) {
        std::mem::swap(self, other);
        std::mem::swap(&mut self.ids, &mut other.ids);
        self.next_ticket = other.next_ticket;
    }

    /// Whether `node` has a state of its own.
    pub(crate) fn is_alone(&self, node: NodeId) -> bool {
        self.isolation.alone.contains_key(&node)
    }

    /// The nodes that have states of their own.
    pub(crate) fn alone(&self) -> Vec<NodeId> {
        self.isolation.alone.keys().copied().collect()
    }

    /// The earliest instant at which something is due in one of those.
    pub(crate) fn next_deadline_alone(&self) -> Timestamp {
        let deadlines = self.isolation.alone.values().map(|own| own.next_deadline());
        deadlines.min().unwrap_or(Timestamp::MAX)
    }

    /// Lets go of a request whose connection is gone.
    pub(crate) fn give_up(&mut self, ticket: crate::types::Ticket) {
        self.held.give_up(ticket);
        drop(self.unacked.take(ticket));
        self.isolation.alone.values_mut().for_each(|own| own.give_up(ticket));
    }

    /// Gives `node`, which is isolated, a state of its own: that of the cluster now. Whoever waits at the node waits there.
    fn part_with(&mut self, node: NodeId, now: Timestamp) {
        if self.is_alone(node) {
            return;
        }
        let mut own = Box::new(self.fork());
        own.isolation = Isolation { nodes: BTreeMap::from([(node, Timestamp::MAX)]), ..Isolation::default() };
        own.producer_ids.cut_off();
        own.markers.give_up(|_| true);
        own.sessions = self.sessions.remove(&node).map(|sessions| (node, sessions)).into_iter().collect();
        self.held.hand_over(node, &mut own.held);
        self.unacked.hand_over(node, &mut own.unacked);
        drop(own.finish_loading(now));
        let cluster = &self.cluster;
        let speaks_for = |kind, key: &str| cluster.coordinator(kind, key).is_some_and(|it| it.id == node);
        let mut nobody = Vec::new();
        own.groups.unload(|group_id| !speaks_for(CoordinatorType::Group, group_id), &mut nobody);
        own.transactions.unload(|id| !speaks_for(CoordinatorType::Transaction, id));
        self.groups.unload(|group_id| speaks_for(CoordinatorType::Group, group_id), &mut nobody);
        self.isolation.alone.insert(node, own);
    }

    /// Another node is about to lead what `leader` leads. If that does not hear of it, it goes on by itself, and the others take
    /// it for dead now: they have done without it.
    pub(super) fn lead_without(&mut self, leader: NodeId, now: Timestamp) {
        if self.is_isolated(leader) && !self.is_alone(leader) {
            self.part_with(leader, now);
            self.isolation.nodes.insert(leader, now);
        }
    }

    /// Gives up the groups of a state: the members that wait are told.
    pub(crate) fn give_up_all_groups(&mut self, now: Timestamp) -> Outcome<group::Response> {
        self.with_groups(now, |groups, _, out| groups.unload(|_| true, out))
    }

    /// `node` knows what the cluster knows again. Its logs are what it had of them, where nobody else has led since; who waits at
    /// it waits for what the cluster makes of that.
    pub(super) fn rejoin(&mut self, node: NodeId) {
        let Some(mut own) = self.isolation.alone.remove(&node) else { return };
        own.held.hand_over(node, &mut self.held);
        own.unacked.hand_over(node, &mut self.unacked);
        self.sessions.append(&mut own.sessions);
        self.producer_ids.take_over(node, &own.producer_ids);
        for (topic_id, id) in self.replicas_on(node) {
            let of = |state: &Self| state.cluster.topics().by_id(topic_id).and_then(|it| it.partition(id)).cloned();
            let (Some(now), Some(then)) = (of(self), of(&own)) else { continue };
            if now.leader().is_some() || !now.awaits(node) || then.leader() != Some(node) {
                continue;
            }
            let logs = (self.logs.partition_mut(topic_id, id), own.logs.partition_mut(topic_id, id));
            if let (Some(log), Some(own)) = logs {
                std::mem::swap(log, own);
                let log_end_offset = log.log_end_offset();
                self.cluster.replicas_mut().truncate((topic_id, id), node, log_end_offset);
            }
        }
    }
}

/// What a test, and time, do to nodes.
impl State {
    /// The others do not hear of `node` any longer. Nothing happens if it is down, or isolated already.
    pub(crate) fn isolate(&mut self, node: NodeId, now: Timestamp) {
        if !self.cluster.is_running(node) || self.is_isolated(node) {
            return;
        }
        let session_ms = self.cluster.settings().broker_session_timeout_ms;
        self.isolation.nodes.insert(node, now.plus_millis(session_ms));
        self.cut_links(now);
    }

    /// The others hear of `node` again.
    pub(crate) fn reconnect(&mut self, node: NodeId, now: Timestamp) -> Changed {
        if self.isolation.nodes.remove(&node).is_none() {
            return Changed::default();
        }
        self.rejoin(node);
        let mut changed = Changed::default();
        if self.cluster.alive(node).is_none() {
            let planned = self.cluster.unfence(node);
            changed.add(self.change_all(planned, now));
        }
        changed.add(self.relink(now));
        changed.in_sync.extend(self.replicas_on(node));
        for (topic_id, partition) in changed.in_sync.clone() {
            self.replicate(topic_id, partition, now);
        }
        changed
    }

    /// A node that has crashed was cut off from nobody when it is back. Returns whether it was before.
    pub(super) fn forget_isolation(&mut self, node: NodeId) -> bool {
        self.rejoin(node);
        self.isolation.nodes.remove(&node).is_some()
    }

    /// When the next node that nobody hears of is taken for dead.
    pub(crate) fn next_fencing(&self) -> Timestamp {
        self.isolation.nodes.values().min().copied().unwrap_or(Timestamp::MAX)
    }

    /// Takes for dead whoever has not been heard of for long enough.
    pub(crate) fn fence_isolated(&mut self, now: Timestamp) -> Changed {
        let mut changed = Changed::default();
        let due = |nodes: &BTreeMap<NodeId, Timestamp>| nodes.iter().find(|(_, at)| **at <= now).map(|(node, _)| *node);
        while let Some(node) = due(&self.isolation.nodes) {
            self.isolation.nodes.insert(node, Timestamp::MAX);
            if self.cluster.alive(node).is_some() {
                self.part_with(node, now);
                self.hold_replicas_on(node, now);
                let planned = self.cluster.fence(node);
                changed.add(self.change_all(planned, now));
            }
        }
        changed.add(self.relink(now));
        for (topic_id, partition) in changed.leaders.clone() {
            self.replicate(topic_id, partition, now);
        }
        changed
    }

    /// Whoever followed one node may follow another now, and whoever may fetch again has caught up.
    pub(super) fn relink(&mut self, now: Timestamp) -> Changed {
        self.cut_links(now);
        self.cluster.release_replicas();
        let planned = self.cluster.expand_in_sync();
        self.change_all(planned, now)
    }

    /// Holds back every replica that does not reach its leader, because either is isolated, and no other.
    fn cut_links(&mut self, now: Timestamp) {
        self.cluster.replicas_mut().reach();
        let isolated: Vec<NodeId> = self.isolation.nodes.keys().copied().collect();
        for node in isolated {
            for (topic_id, id) in self.replicas_on(node) {
                self.cut_links_of((topic_id, id), node, now);
            }
        }
    }

    fn cut_links_of(&mut self, (topic_id, id): (TopicId, PartitionId), node: NodeId, now: Timestamp) {
        let topic = self.cluster.topics().by_id(topic_id);
        let Some(partition) = topic.and_then(|topic| topic.partition(id)) else { return };
        let cut_off = match partition.leader() {
            Some(leader) if leader == node => {
                partition.replicas().iter().copied().filter(|other| *other != node).collect()
            }
            _ => vec![node],
        };
        let end = self.log_end_offset(topic_id, id);
        for follower in cut_off {
            self.cluster.replicas_mut().hold((topic_id, id), follower, Some(HeldBack::Unreachable), end, now);
        }
        self.replicate(topic_id, id, now);
    }
}
