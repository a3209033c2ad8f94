//! The task of a consumer: looks offsets up, keeps one fetch at each broker while there is room, and hands bytes over.
//!
//! It decides nothing about records: it asks [`Positions`](super::positions::Positions) what is wanted and tells it what
//! came. One fetch at a time goes to a broker, with every partition that is wanted there, so the long poll of one broker
//! never delays another's data. Fetches are full ones; fetch sessions (KIP-227) are not used yet.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use kafka_protocol::messages::{FetchResponse, ListOffsetsResponse};
use tokio::time::{Instant, sleep_until};

use super::{
    Offset,
    positions::Wanted,
    requests::{FetchOutcome, fetch_outcomes, fetch_request, list_offsets_outcomes, list_offsets_request},
    shared::Shared,
};
use crate::{
    cluster::{Cluster, Lane},
    codes::ErrorCode,
    config::OffsetReset,
    error::{Error, Result},
    wire::versions::Api,
};

/// The last version of Fetch that names topics.
const FETCH_BY_NAME: i16 = 12;

pub(crate) struct Fetcher {
    shared: Arc<Shared>,
    cluster: Cluster,
    lane: Arc<Lane>,
    /// Brokers that have a fetch of ours.
    busy: HashSet<i32>,
    stale: BTreeSet<Arc<str>>,
    refreshing: bool,
    next_refresh: Instant,
    work: FuturesUnordered<BoxFuture<'static, Done>>,
}

enum Done {
    Resolved { wanted: Vec<Wanted<Offset>>, answer: Result<ListOffsetsResponse> },
    Fetched { node_id: i32, wanted: Vec<Wanted<i64>>, topics: Topics, answer: Result<FetchResponse> },
    Refreshed { topics: BTreeSet<Arc<str>>, failed: bool },
}

/// The ids of the topics of a request.
pub(crate) type Topics = HashMap<Arc<str>, uuid::Uuid>;

impl Fetcher {
    pub(crate) fn new(shared: Arc<Shared>, cluster: Cluster) -> Self {
        let next_refresh = Instant::now() + cluster.config().metadata_max_age;
        let lane = Arc::new(cluster.lane());
        let (busy, stale, work) = (HashSet::new(), BTreeSet::new(), FuturesUnordered::new());
        Self { shared, cluster, lane, busy, stale, refreshing: false, next_refresh, work }
    }

    pub(crate) async fn run(mut self) {
        while !self.shared.is_closed() {
            let now = Instant::now();
            self.resolve(now);
            self.fetch(now);
            self.refresh(now);
            let deadline = self.shared.positions().next_deadline(now);
            let deadline = deadline.map_or(self.next_refresh, |deadline| deadline.min(self.next_refresh));
            tokio::select! {
                biased;
                Some(done) = self.work.next(), if !self.work.is_empty() => self.on_done(done),
                () = self.shared.changed.notified() => {}
                () = sleep_until(deadline) => {}
            }
            while let Some(Some(done)) = self.work.next().now_or_never() {
                self.on_done(done);
            }
        }
    }

    /// Looks up the offsets that are asked for by name or time.
    fn resolve(&mut self, now: Instant) {
        let wanted = self.shared.positions().start_resolving(now);
        for (node_id, wanted) in self.by_leader(wanted, now) {
            let leaders: Vec<_> = wanted.iter().map(|wanted| self.leader_epoch(wanted)).collect();
            let request = list_offsets_request(&wanted, &leaders, self.shared.config.isolation);
            let (cluster, lane) = (self.cluster.clone(), Arc::clone(&self.lane));
            self.work.push(Box::pin(async move {
                let answer = cluster.call(&lane, node_id, &request).await.map_err(Error::from);
                Done::Resolved { wanted, answer }
            }));
        }
    }

    fn fetch(&mut self, now: Instant) {
        let (wanted, room) = self.shared.positions().start_fetching(now, self.shared.config.prefetch_bytes);
        for (node_id, wanted) in self.by_leader(wanted, now) {
            if !self.busy.insert(node_id) {
                // Its answer will make room for these.
                self.give_back(wanted);
                continue;
            }
            let leaders: Vec<_> = wanted.iter().map(|wanted| self.leader_epoch(wanted)).collect();
            let topics: Topics = wanted
                .iter()
                .filter_map(|wanted| self.cluster.metadata().topic(&wanted.topic))
                .map(|topic| (Arc::clone(&topic.name), topic.topic_id))
                .collect();
            let request = fetch_request(&self.shared.config, room, &wanted, &leaders, &topics);
            let named = topics.values().any(uuid::Uuid::is_nil);
            let cap = if named { FETCH_BY_NAME } else { kafka_protocol::messages::FetchRequest::MAX };
            let (cluster, lane) = (self.cluster.clone(), Arc::clone(&self.lane));
            self.work.push(Box::pin(async move {
                let answer = async {
                    let connection = cluster.connect(&lane, node_id).await?;
                    let limit = cluster.config().request_timeout;
                    Ok(connection.call_capped(&request, cap, limit).await?)
                };
                let answer = answer.await;
                Done::Fetched { node_id, wanted, topics, answer }
            }));
        }
    }

    /// Groups partitions by their leaders. Those without one wait for metadata.
    fn by_leader<T>(&mut self, wanted: Vec<Wanted<T>>, now: Instant) -> BTreeMap<i32, Vec<Wanted<T>>> {
        let mut groups: BTreeMap<i32, Vec<_>> = BTreeMap::new();
        for wanted in wanted {
            match self.cluster.metadata().leader(&wanted.topic, wanted.partition) {
                Some((node_id, _)) => groups.entry(node_id).or_default().push(wanted),
                None => {
                    self.failed(&wanted, now);
                    self.stale.insert(wanted.topic);
                }
            }
        }
        groups
    }

    fn leader_epoch<T>(&self, wanted: &Wanted<T>) -> i32 {
        self.cluster.metadata().leader(&wanted.topic, wanted.partition).map_or(-1, |(_, epoch)| epoch)
    }

    fn failed<T>(&self, wanted: &Wanted<T>, now: Instant) {
        let backoff = self.cluster.config().retry_backoff;
        self.shared.positions().on_failed(wanted, now, |failures| backoff.wait(failures));
    }

    fn give_back(&self, wanted: Vec<Wanted<i64>>) {
        let mut positions = self.shared.positions();
        wanted.iter().for_each(|wanted| positions.not_asked(wanted));
    }

    fn on_done(&mut self, done: Done) {
        let now = Instant::now();
        match done {
            Done::Resolved { wanted, answer: Ok(answer) } => {
                for (wanted, result) in list_offsets_outcomes(wanted, &answer) {
                    self.on_resolved(&wanted, result, now);
                }
            }
            Done::Resolved { wanted, answer: Err(error) } => self.on_failure(&wanted, &error, now),
            Done::Fetched { node_id, wanted, topics, answer } => {
                self.busy.remove(&node_id);
                match answer {
                    Ok(answer) if answer.error_code == 0 => {
                        let isolation = self.shared.config.isolation;
                        for (wanted, outcome) in
                            fetch_outcomes(wanted, &topics, isolation, answer, self.cluster.metadata())
                        {
                            let topic_id = topics.get(&wanted.topic).copied().unwrap_or_default();
                            self.shared.positions().on_identified(&wanted, topic_id);
                            self.on_fetched(&wanted, outcome, now);
                        }
                        self.shared.arrived.notify_waiters();
                    }
                    Ok(answer) => self.on_failure(&wanted, &Error::server("Fetch", answer.error_code), now),
                    Err(error) => self.on_failure(&wanted, &error, now),
                }
            }
            Done::Refreshed { topics, failed } => {
                self.refreshing = false;
                if failed {
                    self.stale.extend(topics);
                }
            }
        }
    }

    fn on_resolved(&mut self, wanted: &Wanted<Offset>, result: Result<Option<i64>>, now: Instant) {
        match result {
            Ok(Some(offset)) => self.shared.positions().on_resolved(wanted, offset),
            // No record is so late: the next one that is written will be.
            Ok(None) => self.shared.positions().resolve_instead(wanted, Offset::Latest),
            Err(error) => self.on_failure(std::slice::from_ref(wanted), &error, now),
        }
    }

    fn on_fetched(&mut self, wanted: &Wanted<i64>, outcome: FetchOutcome, now: Instant) {
        match outcome {
            FetchOutcome::Records(bytes, aborted, end_offset) => {
                self.shared.positions().on_fetched(wanted, bytes, aborted, end_offset);
            }
            FetchOutcome::Failed(Error::Server { code: ErrorCode::OffsetOutOfRange, .. }) => self.out_of_range(wanted),
            FetchOutcome::Failed(error) => self.on_failure(std::slice::from_ref(wanted), &error, now),
        }
    }

    fn out_of_range(&self, wanted: &Wanted<i64>) {
        let Wanted { topic, partition, what: offset, .. } = wanted;
        tracing::warn!(%topic, partition, offset, reset = ?self.shared.config.auto_offset_reset, "offset out of range");
        let mut positions = self.shared.positions();
        match self.shared.config.auto_offset_reset {
            OffsetReset::None => {
                let (topic, partition, offset) = (Arc::clone(topic), *partition, *offset);
                positions.tell(wanted, Error::OffsetOutOfRange { topic, partition, offset }, true);
            }
            reset => positions.reset(wanted, Offset::of(reset)),
        }
        drop(positions);
        self.shared.arrived.notify_waiters();
    }

    /// Waits and asks again; the program learns only what waiting does not cure.
    fn on_failure<T>(&mut self, wanted: &[Wanted<T>], error: &Error, now: Instant) {
        tracing::debug!(%error, partitions = wanted.len(), "fetching failed");
        for wanted in wanted {
            self.failed(wanted, now);
            if error.refreshes_metadata() {
                self.stale.insert(Arc::clone(&wanted.topic));
            }
            if !error.is_retriable() {
                self.shared.positions().tell(wanted, error.clone(), false);
            }
        }
        self.shared.arrived.notify_waiters();
    }

    /// Looks leaders up: at once for what is stale, from time to time for every topic.
    fn refresh(&mut self, now: Instant) {
        if now >= self.next_refresh {
            self.stale.extend(self.shared.positions().topics().map(Arc::clone));
            self.next_refresh = now + self.cluster.config().metadata_max_age;
        }
        if self.refreshing || self.stale.is_empty() {
            return;
        }
        self.refreshing = true;
        let topics = std::mem::take(&mut self.stale);
        let cluster = self.cluster.clone();
        self.work.push(Box::pin(async move {
            // A topic that was there and is gone was deleted: to look for it must not bring it back.
            let asked = topics.iter().map(|topic| (Arc::clone(topic), false));
            let failed = cluster.refresh(asked).await.is_err();
            if failed {
                tokio::time::sleep(cluster.config().retry_backoff.initial).await;
            }
            Done::Refreshed { topics, failed }
        }));
    }
}
