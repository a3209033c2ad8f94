//! Which batches go into which request.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::Arc,
};

use tokio::time::Instant;

use super::Sender;
use crate::{
    cluster::Connection,
    producer::{
        answer::Placed,
        batcher::{Batcher, LaneId},
    },
    wire::produce::TopicData,
};

impl Sender {
    /// Sends to each broker that has room one request with the oldest batches. `true` when there may be more to send.
    pub(super) fn drain(&mut self, now: Instant) -> bool {
        let mut requests: BTreeMap<i32, Request> = BTreeMap::new();
        let mut wanted = BTreeSet::new();
        let shared = Arc::clone(&self.shared);
        {
            let mut queues = shared.queues();
            let lanes: Vec<_> =
                queues.batcher.ready().map(|(id, topic, of, route)| (id, Arc::clone(topic), of, route)).collect();
            let mut lingered = BTreeSet::new();
            for lane in lanes {
                let was_open = queues.batcher.is_open(lane.0);
                let placed = self.place(&mut queues.batcher, lane, &mut requests, &mut wanted);
                lingered.extend(placed.filter(|_| was_open));
            }
            if !lingered.is_empty() {
                self.take_along(&mut queues.batcher, &lingered, &mut requests, &mut wanted);
            }
        }
        for node_id in wanted {
            self.dial(node_id);
        }
        let mut sent = false;
        for (node_id, request) in requests {
            if !request.batches.is_empty() {
                self.submit(node_id, request, now);
                sent = true;
            }
        }
        sent
    }

    /// Tells the batcher which brokers take nothing of what waits for them. In Java the time counts from the last request that
    /// a broker took (`RecordAccumulator.updateNodeLatencyStats`), though it may have been idle since then; here from when
    /// something began to wait.
    pub(super) fn note_stalls(&self) {
        if self.shared.config.availability_timeout.is_zero() {
            return;
        }
        let mut queues = self.shared.queues();
        let mut stalled: BTreeMap<i32, Instant> = BTreeMap::new();
        for (topic, partition, since) in queues.batcher.waiting() {
            if let Some((node_id, _)) = self.cluster.metadata().leader(topic, partition) {
                let served_at = self.nodes.get(&node_id).and_then(|node| node.served_at);
                let since = served_at.map_or(since, |served_at| since.max(served_at));
                stalled.entry(node_id).and_modify(|first| *first = since.min(*first)).or_insert(since);
            }
        }
        queues.batcher.stalled(stalled);
    }

    /// Puts the next batch of a lane into the request for its broker, and says which that is.
    fn place(
        &mut self,
        batcher: &mut Batcher,
        (id, topic, partition, route): (LaneId, Arc<str>, i32, Option<u64>),
        requests: &mut BTreeMap<i32, Request>,
        wanted: &mut BTreeSet<i32>,
    ) -> Option<i32> {
        let Some((node_id, _)) = self.cluster.metadata().leader(&topic, partition) else {
            self.stale.insert(topic);
            return None;
        };
        let size = batcher.next_size(id);
        let Some(request) = self.request(requests, node_id, size) else {
            if self.nodes.get(&node_id).is_some_and(|node| node.unreachable) {
                self.stale.insert(topic);
            }
            wanted.insert(node_id);
            return None;
        };
        if route.is_some_and(|route| route != request.route) {
            return None;
        }
        let batch = batcher.take(id, request.route)?;
        request.size_bytes += size;
        request.batches.push(Placed { topic, partition, topic_id: uuid::Uuid::nil(), batch });
        Some(node_id)
    }

    /// Where lingering is what makes a request, whatever else lingers for the same broker goes along, as in Java's
    /// `RecordAccumulator.drainBatchesForOneNode`: requests grow with the brokers, not with the partitions.
    fn take_along(
        &mut self,
        batcher: &mut Batcher,
        nodes: &BTreeSet<i32>,
        requests: &mut BTreeMap<i32, Request>,
        wanted: &mut BTreeSet<i32>,
    ) {
        let is_meant = |topic: &str, partition| {
            self.cluster.metadata().leader(topic, partition).is_some_and(|(node_id, _)| nodes.contains(&node_id))
        };
        let lingering = batcher.lingering().filter(|(_, topic, partition)| is_meant(topic, *partition));
        let lanes: Vec<_> = lingering.map(|(id, topic, partition)| (id, Arc::clone(topic), partition)).collect();
        for (id, topic, partition) in lanes {
            if batcher.hasten(id) {
                let route = batcher.route(id);
                self.place(batcher, (id, topic, partition, route), requests, wanted);
            }
        }
    }

    /// The request under construction for a node, if the node is connected and the request has room.
    fn request<'a>(
        &mut self,
        requests: &'a mut BTreeMap<i32, Request>,
        node_id: i32,
        size: usize,
    ) -> Option<&'a mut Request> {
        let request = match requests.entry(node_id) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let in_flight = self.nodes.get(&node_id).map_or(0, |node| node.in_flight);
                if in_flight >= self.shared.config.max_in_flight {
                    return None;
                }
                let connection = self.cluster.live(&self.lane, node_id)?;
                let node = self.nodes.entry(node_id).or_default();
                let route = match &node.connection {
                    Some((last, route)) if last.is_same(&connection) => *route,
                    _ => {
                        self.routes += 1;
                        node.connection = Some((connection.clone(), self.routes));
                        self.routes
                    }
                };
                entry.insert(Request { connection, route, batches: Vec::new(), size_bytes: 0 })
            }
        };
        let fits = request.batches.is_empty() || request.size_bytes + size <= self.shared.config.max_request_size;
        fits.then_some(request)
    }
}

/// A request under construction.
pub(super) struct Request {
    pub(super) connection: Connection,
    route: u64,
    pub(super) batches: Vec<Placed>,
    size_bytes: usize,
}

/// Groups batches by topic and turns each into its bytes, once and for all its attempts.
pub(super) fn topics(batches: &mut [Placed]) -> Vec<TopicData> {
    batches.sort_by(|a, b| a.topic.cmp(&b.topic));
    let mut topics: Vec<TopicData> = Vec::new();
    for Placed { topic, topic_id, partition, batch } in batches {
        let bytes = batch.bytes();
        match topics.last_mut() {
            Some(last) if last.name == *topic => last.partitions.push((*partition, bytes)),
            _ => topics.push(TopicData {
                name: Arc::clone(topic),
                topic_id: *topic_id,
                partitions: vec![(*partition, bytes)],
            }),
        }
    }
    topics
}
