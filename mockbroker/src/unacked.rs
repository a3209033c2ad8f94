//! Produces with acks=all that are in the log of the leader and wait for the replicas in sync.
//!
//! Source: DelayedProduce.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::messages::ProduceResponse;

use crate::time::Timestamp;
use crate::types::{NodeId, PartitionId, Ticket, TopicId};

/// A partition of a request that is not replicated yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) topic_id: TopicId,
    pub(crate) partition: PartitionId,
    /// What the high watermark has to reach.
    pub(crate) required_offset: i64,
    /// Where it stands in the answer: topic, partition.
    pub(crate) place: (usize, usize),
}

/// A request that waits.
#[derive(Debug)]
pub(crate) struct UnackedProduce {
    /// The node that was asked.
    pub(crate) node: NodeId,
    /// The version that it is answered at.
    pub(crate) version: i16,
    /// The answer, if all goes well.
    pub(crate) response: ProduceResponse,
    pub(crate) waiting: Vec<Waiting>,
    /// `timeout.ms` after the append.
    pub(crate) deadline: Timestamp,
}

/// The requests of a cluster that wait.
#[derive(Debug, Default)]
pub(crate) struct UnackedProduces {
    requests: BTreeMap<Ticket, UnackedProduce>,
    by_partition: BTreeSet<(TopicId, PartitionId, Ticket)>,
    by_deadline: BTreeSet<(Timestamp, Ticket)>,
}

impl UnackedProduces {
    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Lets a request wait.
    pub(crate) fn hold(&mut self, ticket: Ticket, request: UnackedProduce) {
        self.by_partition.extend(request.waiting.iter().map(|it| (it.topic_id, it.partition, ticket)));
        self.by_deadline.insert((request.deadline, ticket));
        self.requests.insert(ticket, request);
    }

    /// Those that wait for the partition.
    pub(crate) fn waiting_for(&self, topic_id: TopicId, partition: PartitionId) -> Vec<Ticket> {
        let all = (topic_id, partition, Ticket(0))..=(topic_id, partition, Ticket(u64::MAX));
        self.by_partition.range(all).map(|(.., ticket)| *ticket).collect()
    }

    /// Takes a request out.
    pub(crate) fn take(&mut self, ticket: Ticket) -> Option<UnackedProduce> {
        let request = self.requests.remove(&ticket)?;
        self.by_deadline.remove(&(request.deadline, ticket));
        for it in &request.waiting {
            self.by_partition.remove(&(it.topic_id, it.partition, ticket));
        }
        Some(request)
    }

    /// Lets the requests of `node` wait in `other`.
    pub(crate) fn hand_over(&mut self, node: NodeId, other: &mut Self) {
        let of_node: Vec<_> =
            self.requests.iter().filter(|(_, it)| it.node == node).map(|(ticket, _)| *ticket).collect();
        for ticket in of_node {
            if let Some(request) = self.take(ticket) {
                other.hold(ticket, request);
            }
        }
    }

    /// Takes out a request that has waited long enough.
    pub(crate) fn take_due(&mut self, now: Timestamp) -> Option<(Ticket, UnackedProduce)> {
        let (_, ticket) = *self.by_deadline.first().filter(|(deadline, _)| *deadline <= now)?;
        self.take(ticket).map(|request| (ticket, request))
    }

    /// When the first has waited long enough.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.by_deadline.first().map(|(deadline, _)| *deadline)
    }
}
