//! Fetches that wait for data: which partitions they wait for, until when, and how much has come.
//!
//! An append asks only about its own partition: what a fetch waits for is counted, never scanned.
//! Source: DelayedFetch, and the watcher lists of DelayedOperationPurgatory.

use std::collections::{BTreeMap, BTreeSet};

use crate::fetch_plan::FetchPlan;
use crate::time::Timestamp;
use crate::types::{NodeId, PartitionId, Ticket, TopicId};

/// The fetches of a cluster that wait.
#[derive(Debug, Default)]
pub(crate) struct HeldFetches {
    fetches: BTreeMap<Ticket, Held>,
    by_partition: BTreeMap<(TopicId, PartitionId), BTreeSet<(Ticket, usize)>>,
    by_deadline: BTreeSet<(Timestamp, Ticket)>,
}

#[derive(Debug)]
struct Held {
    plan: FetchPlan,
    deadline: Timestamp,
    /// For each partition of the plan, the bytes that are there for it.
    available_bytes: Vec<usize>,
    total_bytes: usize,
}

impl HeldFetches {
    /// Holds `plan`, which is of the request `ticket`, until `deadline`. `available_bytes` says for each of its partitions what
    /// is there already.
    pub(crate) fn hold(&mut self, ticket: Ticket, plan: FetchPlan, deadline: Timestamp, available_bytes: Vec<usize>) {
        for (index, wanted) in plan.partitions.iter().enumerate() {
            self.by_partition.entry((wanted.topic_id, wanted.partition)).or_default().insert((ticket, index));
        }
        self.by_deadline.insert((deadline, ticket));
        let total_bytes = available_bytes.iter().sum();
        self.fetches.insert(ticket, Held { plan, deadline, available_bytes, total_bytes });
    }

    /// The fetches that wait for the partition: ticket, plan, and which of the plan's partitions it is.
    pub(crate) fn waiting_for(
        &self,
        topic_id: TopicId,
        partition: PartitionId,
    ) -> impl Iterator<Item = (Ticket, &FetchPlan, usize)> {
        let waiting = self.by_partition.get(&(topic_id, partition));
        waiting.into_iter().flatten().map(|(ticket, index)| (*ticket, &self.fetches[ticket].plan, *index))
    }

    /// Notes that `available_bytes` are there now for one partition of a fetch. Returns whether it has enough.
    pub(crate) fn count(&mut self, ticket: Ticket, index: usize, available_bytes: usize) -> bool {
        let held = self.fetches.get_mut(&ticket).expect("a ticket of a held fetch");
        held.total_bytes = held.total_bytes - held.available_bytes[index] + available_bytes;
        held.available_bytes[index] = available_bytes;
        held.total_bytes >= held.plan.min_bytes
    }

    /// Takes a fetch out, to answer it.
    pub(crate) fn take(&mut self, ticket: Ticket) -> Option<FetchPlan> {
        let held = self.fetches.remove(&ticket)?;
        self.by_deadline.remove(&(held.deadline, ticket));
        for (index, wanted) in held.plan.partitions.iter().enumerate() {
            let key = (wanted.topic_id, wanted.partition);
            if let Some(waiting) = self.by_partition.get_mut(&key) {
                waiting.remove(&(ticket, index));
                if waiting.is_empty() {
                    self.by_partition.remove(&key);
                }
            }
        }
        Some(held.plan)
    }

    /// Lets the fetches of `node` wait in `other`.
    pub(crate) fn hand_over(&mut self, node: NodeId, other: &mut Self) {
        let of_node = self.fetches.iter().filter(|(_, held)| held.plan.node == node);
        let of_node: Vec<_> =
            of_node.map(|(ticket, held)| (*ticket, held.deadline, held.available_bytes.clone())).collect();
        for (ticket, deadline, available_bytes) in of_node {
            if let Some(plan) = self.take(ticket) {
                other.hold(ticket, plan, deadline, available_bytes);
            }
        }
    }

    /// Drops a fetch whose connection is gone.
    pub(crate) fn give_up(&mut self, ticket: Ticket) {
        drop(self.take(ticket));
    }

    /// Takes out a fetch that has waited long enough.
    pub(crate) fn take_due(&mut self, now: Timestamp) -> Option<(Ticket, FetchPlan)> {
        let (_, ticket) = *self.by_deadline.first().filter(|(deadline, _)| *deadline <= now)?;
        self.take(ticket).map(|plan| (ticket, plan))
    }

    /// When the first fetch has waited long enough.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.by_deadline.first().map(|(deadline, _)| *deadline)
    }
}
