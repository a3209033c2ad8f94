//! The task of a producer: drains the queues into requests, one per broker, and feeds the answers back.
//!
//! One loop owns all decisions; what takes time (dialling, compression, answers, metadata) runs beside it and comes back as
//! [`Done`]. A batch is submitted to its connection here, synchronously, so the order of the queue is the order on the wire.
//! Batches of one partition that are in flight together are on one connection: a new leader, or the same one by a new
//! connection, gets the next batch when the answers of those before it are known.

mod counting;
mod draining;
mod transactions;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use kafka_protocol::messages::{
    InitProducerIdRequest, InitProducerIdResponse, ProduceRequest, ProduceResponse, ProducerId,
};
use tokio::time::{Instant, sleep_until};
use tracing::Instrument;

use self::draining::{Request, topics};
use super::{
    Shared,
    answer::{Placed, Verdict, verdicts},
    batcher::{Batch, LaneId},
};
use crate::{
    batch::builder::ClosedBatch,
    cluster::{CallError, Cluster, Connection, Expect, Lane},
    codes::ErrorCode,
    config::Acks,
    error::{BatchError, Error, Result, Written},
    metrics::Event,
    wire::{
        produce::{TOPIC_IDS, Terms, encode},
        versions::Api,
    },
};

pub(crate) struct Sender {
    shared: Arc<Shared>,
    cluster: Cluster,
    lane: Lane,
    nodes: BTreeMap<i32, NodeState>,
    /// Topics whose leaders are to be looked up.
    stale: BTreeSet<Arc<str>>,
    refreshing: bool,
    next_refresh: Instant,
    /// The request for a producer id is under way.
    identifying: bool,
    /// Partitions are being added to the transaction.
    adding: bool,
    /// Counts connections, so that each has a number.
    routes: u64,
    work: FuturesUnordered<BoxFuture<'static, Done>>,
}

#[derive(Debug, Default)]
struct NodeState {
    /// Requests without an answer.
    in_flight: usize,
    dialling: bool,
    unreachable: bool,
    /// When the last request went out.
    served_at: Option<Instant>,
    /// The connection of the last request, and its number.
    connection: Option<(Connection, u64)>,
}

/// What came back.
enum Done {
    Dialled { node_id: i32, failed: bool },
    Compressed { lane: LaneId, order: (u64, u32), result: Result<ClosedBatch, BatchError> },
    Answered { node_id: i32, batches: Vec<Placed>, answer: Result<Option<ProduceResponse>, CallError> },
    Refreshed { topics: BTreeSet<Arc<str>>, failed: bool },
    Identified(Result<InitProducerIdResponse>),
    Added { lanes: Vec<LaneId>, transaction: u64, result: Result<()> },
}

impl Sender {
    pub(crate) fn new(shared: Arc<Shared>, cluster: Cluster) -> Self {
        let next_refresh = Instant::now() + cluster.config().metadata_max_age;
        let lane = cluster.lane();
        let (nodes, stale, work) = (BTreeMap::new(), BTreeSet::new(), FuturesUnordered::new());
        let (refreshing, identifying, adding, routes) = (false, false, false, 0);
        Self { shared, cluster, lane, nodes, stale, refreshing, next_refresh, identifying, adding, routes, work }
    }

    pub(crate) async fn run(mut self) {
        loop {
            let now = Instant::now();
            self.expire(now);
            self.compress();
            self.identify();
            self.add_partitions();
            while self.drain(now) {}
            self.note_stalls();
            self.refresh(now);
            let (finished, deadline) = {
                let queues = self.shared.queues();
                let deadline =
                    queues.batcher.next_deadline().map_or(self.next_refresh, |next| next.min(self.next_refresh));
                (queues.abandoned || (queues.closed && queues.batcher.is_empty()), deadline)
            };
            if finished {
                return;
            }
            tokio::select! {
                biased;
                Some(done) = self.work.next(), if !self.work.is_empty() => self.on_done(done),
                () = self.shared.changed.notified() => {}
                () = sleep_until(deadline) => {}
            }
            // Whatever else is ready belongs to the same turn.
            while let Some(Some(done)) = self.work.next().now_or_never() {
                self.on_done(done);
            }
        }
    }

    fn expire(&mut self, now: Instant) {
        let expired = {
            let mut queues = self.shared.queues();
            queues.batcher.poll(now);
            queues.batcher.expire(now)
        };
        let timeout = Error::Timeout { what: "delivery", limit: self.shared.config.delivery_timeout };
        for batch in expired {
            self.fail(batch, timeout.clone());
        }
    }

    /// Asks any broker for a producer id. One without transactional id belongs to nobody else, so asking twice harms nothing.
    fn identify(&mut self) {
        if self.identifying || !self.shared.queues().batcher.wants_producer_id() {
            return;
        }
        self.identifying = true;
        let cluster = self.cluster.clone();
        self.work.push(Box::pin(async move {
            let request = InitProducerIdRequest::default()
                .with_transactional_id(None)
                .with_transaction_timeout_ms(i32::MAX)
                .with_producer_id(ProducerId(-1))
                .with_producer_epoch(-1);
            let answer = cluster.call_any(&request).await;
            let failed = answer.as_ref().map_or(true, |answer| answer.error_code != 0);
            if failed {
                tokio::time::sleep(cluster.config().retry_backoff.wait(1)).await;
            }
            Done::Identified(answer)
        }));
    }

    fn on_identified(&mut self, answer: Result<InitProducerIdResponse>) {
        self.identifying = false;
        let error = match answer {
            Ok(answer) if answer.error_code == 0 => {
                let producer_id = answer.producer_id.0;
                self.cluster.recorder().tell(|| Event::ProducerIdentified { producer_id });
                return self.shared.queues().batcher.identify(producer_id);
            }
            Ok(answer) => Error::server(InitProducerIdRequest::NAME, answer.error_code),
            Err(error) => error,
        };
        tracing::debug!(%error, "no producer id yet");
        if !error.is_retriable() {
            // Whoever sends the next record asks again: a right that is missing can be granted.
            let waiting = self.shared.queues().batcher.drain_unidentified();
            waiting.into_iter().for_each(|batch| batch.fail(error.clone()));
        }
    }

    /// Hands batches to the blocking pool: compression costs ten to a hundred times what everything else does.
    fn compress(&mut self) {
        let (compression, level) = (self.shared.config.compression, self.shared.config.compression_level);
        loop {
            let next = self.shared.queues().batcher.next_to_compress();
            let Some((lane, order, builder)) = next else { return };
            let closing = tokio::task::spawn_blocking(move || builder.close_at(compression, level));
            self.work.push(Box::pin(async move {
                let result = closing.await.unwrap_or(Err(BatchError::Malformed("compression panicked")));
                Done::Compressed { lane, order, result }
            }));
        }
    }

    fn dial(&mut self, node_id: i32) {
        let node = self.nodes.entry(node_id).or_default();
        if node.dialling || self.cluster.live(&self.lane, node_id).is_some() {
            return;
        }
        node.dialling = true;
        let dialling = self.cluster.dial(&self.lane, node_id);
        self.work.push(Box::pin(async move {
            let failed =
                dialling.await.inspect_err(|error| tracing::debug!(node_id, %error, "cannot connect")).is_err();
            Done::Dialled { node_id, failed }
        }));
    }

    fn submit(&mut self, node_id: i32, request: Request, now: Instant) {
        let Request { connection, mut batches, .. } = request;
        let queued = &self.cluster.recorder().producers.queued;
        for placed in &mut batches {
            let topic = self.cluster.metadata().topic(&placed.topic);
            placed.topic_id = topic.map_or(uuid::Uuid::nil(), |topic| topic.topic_id);
            if placed.batch.failures == 0 {
                queued.add(now.saturating_duration_since(placed.batch.created_at));
            }
        }
        // A topic whose id is not known can only be named.
        let cap =
            if batches.iter().any(|placed| placed.topic_id.is_nil()) { TOPIC_IDS - 1 } else { ProduceRequest::MAX };
        let cap = cap.min(self.transaction_cap());
        let version = match connection.version::<ProduceRequest>(cap) {
            Ok(version) => version,
            Err(error) => {
                self.node(node_id).in_flight += 1;
                return self.on_answer(node_id, batches, Err(CallError::not_written(error)), now);
            }
        };
        let limit = self.cluster.config().request_timeout;
        let acks = self.shared.config.acks;
        let timeout_ms = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
        let topics = topics(&mut batches);
        let transactional_id = self.shared.conversation.as_ref().map(|conversation| &*conversation.id);
        let terms = Terms { acks: acks.number(), timeout_ms, transactional_id };
        let encoded = encode(terms, &topics, version, connection.client_id());
        let expect = if acks == Acks::None { Expect::Nothing } else { Expect::Answer };
        self.on_started();
        let span = tracing::debug_span!("produce", node_id, version, batches = batches.len());
        let pending = connection.submit::<ProduceRequest>(encoded, version, expect, limit).instrument(span);
        let node = self.node(node_id);
        (node.in_flight, node.served_at) = (node.in_flight + 1, Some(now));
        self.work.push(Box::pin(async move {
            let answer = pending.await;
            Done::Answered { node_id, batches, answer }
        }));
    }

    fn node(&mut self, node_id: i32) -> &mut NodeState {
        self.nodes.entry(node_id).or_default()
    }

    fn on_done(&mut self, done: Done) {
        let now = Instant::now();
        match done {
            Done::Dialled { node_id, failed } => {
                let node = self.node(node_id);
                (node.dialling, node.unreachable) = (false, failed);
            }
            Done::Compressed { lane, order, result: Ok(closed) } => {
                self.shared.queues().batcher.compressed(lane, order, closed);
            }
            Done::Compressed { lane, order, result: Err(reason) } => {
                let batch = self.shared.queues().batcher.remove(lane, order);
                if let Some(batch) = batch {
                    self.fail(batch, Error::config("compression", format!("failed: {reason}")));
                }
            }
            Done::Added { lanes, transaction, result } => self.on_added(lanes, transaction, result),
            Done::Identified(answer) => self.on_identified(answer),
            Done::Answered { node_id, batches, answer } => self.on_answer(node_id, batches, answer, now),
            Done::Refreshed { topics, failed } => {
                self.refreshing = false;
                if failed {
                    self.stale.extend(topics);
                }
            }
        }
    }

    fn on_answer(
        &mut self,
        node_id: i32,
        batches: Vec<Placed>,
        answer: Result<Option<ProduceResponse>, CallError>,
        now: Instant,
    ) {
        self.node(node_id).in_flight -= 1;
        for (placed, verdict) in verdicts(batches, answer, self.cluster.metadata()) {
            let Placed { topic, batch, .. } = placed;
            match verdict {
                Verdict::Written(acknowledged) => {
                    self.on_confirmed();
                    self.shared.queues().batcher.written(&batch);
                    self.count_written(&batch, acknowledged);
                    batch.ticket.acknowledge(acknowledged);
                    self.shared.queues().batcher.recycle(batch.content);
                }
                Verdict::Failed(failed) => {
                    if failed.error.refreshes_metadata() {
                        self.stale.insert(topic);
                    }
                    self.on_failure(batch, failed, now);
                }
            }
        }
    }

    /// Sends a batch again, in two parts if it is too large, or gives it up.
    fn on_failure(&mut self, mut batch: Batch, failed: CallError, now: Instant) {
        let CallError { error, written } = failed;
        batch.maybe_written |= written == Written::MaybeWritten;
        let in_time = now < batch.created_at + self.shared.config.delivery_timeout;
        let code = error.code();
        if code == Some(ErrorCode::MessageTooLarge) && batch.record_count > 1 && !batch.maybe_written && in_time {
            return self.split(batch);
        }
        let out_of_sequence = batch.stamp.is_some()
            && matches!(code, Some(ErrorCode::OutOfOrderSequenceNumber | ErrorCode::UnknownProducerId));
        if out_of_sequence && in_time && !self.shared.queues().batcher.out_of_sequence(&batch) {
            // It came before what it has to follow, which is no failure of its own.
            return self.shared.queues().batcher.put_back(batch, now, now);
        }
        batch.failures += 1;
        // In a transaction a gap is closed by its abort.
        let retriable = error.is_retriable() || (out_of_sequence && self.shared.conversation.is_none());
        let again = retriable && batch.failures <= self.shared.config.retries && in_time && !self.is_aborting();
        tracing::debug!(batch = batch.number, failures = batch.failures, again, %error, "batch failed");
        if again {
            self.count_retried(&batch, &error);
            let not_before = now + self.backoff(batch.failures, code);
            batch.last_error = Some(error);
            self.shared.queues().batcher.put_back(batch, not_before, now);
        } else {
            self.shared.queues().batcher.given_up(&batch);
            batch.last_error = None;
            self.fail(batch, error);
        }
    }

    fn split(&mut self, batch: Batch) {
        self.count_split(&batch);
        tracing::debug!(batch = batch.number, records = batch.record_count, "too large, sent again as two");
        let split = self.shared.queues().batcher.split(batch);
        if let Err(failed) = split {
            let (batch, reason) = *failed;
            self.shared.queues().batcher.given_up(&batch);
            self.fail(batch, Error::config("batch_size", format!("made a batch that cannot be split: {reason}")));
        }
    }

    /// Looks leaders up: at once for what is stale, from time to time for every topic in use.
    fn refresh(&mut self, now: Instant) {
        if now >= self.next_refresh {
            let idle = self.shared.config.metadata_max_idle;
            self.stale.extend(self.shared.queues().batcher.topics_in_use(now, idle));
            self.next_refresh = now + self.cluster.config().metadata_max_age;
        }
        self.stale.extend(self.shared.queues().batcher.revived());
        if self.refreshing || self.stale.is_empty() {
            return;
        }
        self.refreshing = true;
        let topics = std::mem::take(&mut self.stale);
        let cluster = self.cluster.clone();
        self.work.push(Box::pin(async move {
            let asked = topics.iter().map(|topic| (Arc::clone(topic), true));
            let failed = cluster.refresh(asked).await.is_err();
            if failed {
                // Without this a cluster that is gone would be asked as fast as it refuses.
                tokio::time::sleep(cluster.config().retry_backoff.initial).await;
            }
            Done::Refreshed { topics, failed }
        }));
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        // What is in flight is dropped with `work`, and its tickets say that it may be written.
        let left = {
            let mut queues = self.shared.queues();
            queues.closed = true;
            queues.batcher.drain()
        };
        self.shared.memory.close();
        left.into_iter().for_each(|batch| batch.fail(super::CLOSED));
    }
}
