//! The task of a consumer: looks offsets up, keeps one fetch at each broker while there is room, and hands bytes over.
//!
//! It decides nothing about records: it asks [`Positions`](super::positions::Positions) what is wanted and tells it what
//! came. One fetch at a time goes to a broker, with every partition that is wanted there, so the long poll of one broker
//! never delays another's data. Each broker may bring its share of `prefetch_bytes`, so that all of them together stay below
//! it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use kafka_protocol::messages::{FetchRequest, FetchResponse, ListOffsetsResponse, OffsetForLeaderEpochResponse};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::{
    Offset,
    fetch_session::{Asked, FetchSession},
    leader_epochs,
    positions::Wanted,
    requests::{
        FetchOutcome, fetch_outcomes, fetch_request, last_fetch_request, list_offsets_outcomes, list_offsets_request,
    },
    shared::Shared,
    stats::count,
};
use crate::{
    cluster::{Cluster, Lane},
    codes::ErrorCode,
    error::{Error, Result},
    wire::versions::Api,
};

/// The last version of Fetch that names topics.
const FETCH_BY_NAME: i16 = 12;

pub(crate) struct Fetcher {
    shared: Arc<Shared>,
    cluster: Cluster,
    lane: Arc<Lane>,
    /// Brokers that have a fetch of ours, and how much it may bring.
    // In order, so that the same run asks in the same one.
    busy: BTreeMap<i32, usize>,
    sessions: BTreeMap<i32, FetchSession>,
    stale: BTreeSet<Arc<str>>,
    refreshing: bool,
    next_refresh: Instant,
    work: FuturesUnordered<BoxFuture<'static, Done>>,
}

enum Done {
    Resolved { wanted: Vec<Wanted<Offset>>, answer: Result<ListOffsetsResponse> },
    Confirmed { wanted: Vec<Wanted<i64>>, leaders: Vec<i32>, answer: Result<OffsetForLeaderEpochResponse> },
    Fetched { node_id: i32, fetched: Vec<(Wanted<i64>, Asked)>, is_full: bool, answer: Result<FetchResponse> },
    Refreshed { topics: BTreeSet<Arc<str>>, failed: bool },
}

impl Fetcher {
    pub(crate) fn new(shared: Arc<Shared>, cluster: Cluster) -> Self {
        let next_refresh = Instant::now() + cluster.config().metadata_max_age;
        let lane = Arc::new(cluster.lane());
        let (busy, sessions) = (BTreeMap::new(), BTreeMap::new());
        let (stale, work) = (BTreeSet::new(), FuturesUnordered::new());
        Self { shared, cluster, lane, busy, sessions, stale, refreshing: false, next_refresh, work }
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
        self.close_sessions().await;
    }

    /// Tells the brokers that they need not remember us; those that do not hear it forget us after a while.
    async fn close_sessions(self) {
        let Self { shared, cluster, lane, sessions, .. } = self;
        // A broker may be at a fetch of ours still.
        let limit = shared.config.fetch_max_wait + Duration::from_secs(1);
        let open = sessions.iter().filter_map(|(node_id, session)| Some((*node_id, session.open_id()?)));
        let closing = open.filter_map(|(node_id, session_id)| {
            let connection = cluster.live(&lane, node_id)?;
            Some(async move { connection.call_capped(&last_fetch_request(session_id), i16::MAX, limit).await.err() })
        });
        for error in futures::future::join_all(closing).await.into_iter().flatten() {
            tracing::debug!(error = %error.error, "a fetch session was not closed");
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
        if wanted.is_empty() {
            return;
        }
        let wanted = self.of_known_topics(wanted);
        let groups = self.by_leader(wanted, now);
        let groups = self.confirm(groups);
        let groups = self.by_source(groups, now);
        let nodes = groups.keys().filter(|node_id| !self.busy.contains_key(node_id)).count() + self.busy.len();
        let share = (self.shared.config.prefetch_bytes / nodes.max(1)).max(1);
        for (node_id, wanted) in groups {
            let room = room.saturating_sub(self.busy.values().sum()).min(share);
            if self.busy.contains_key(&node_id) || room == 0 {
                // Its answer, or the program, will make room for these.
                self.give_back(wanted);
                continue;
            }
            self.busy.insert(node_id, room);
            self.send_fetch(node_id, wanted, room);
        }
    }

    fn send_fetch(&mut self, node_id: i32, wanted: Vec<Wanted<i64>>, room: usize) {
        let ids: HashMap<Arc<str>, Uuid> = wanted
            .iter()
            .filter_map(|wanted| self.cluster.metadata().topic(&wanted.topic))
            .map(|topic| (Arc::clone(&topic.name), topic.topic_id))
            .collect();
        let by_id = wanted.iter().all(|wanted| ids.get(&wanted.topic).is_some_and(|id| !id.is_nil()));
        let asked: Vec<_> = wanted
            .iter()
            .map(|wanted| Asked {
                topic: Arc::clone(&wanted.topic),
                topic_id: ids.get(&wanted.topic).copied().filter(|_| by_id).unwrap_or_default(),
                partition: wanted.partition,
                offset: wanted.what,
                current_leader_epoch: self.leader_epoch(wanted),
                last_fetched_epoch: wanted.epoch,
            })
            .collect();
        let session = self.sessions.entry(node_id).or_default();
        let plan = session.plan(by_id, &asked);
        let request = fetch_request(&self.shared.config, room, &asked, &plan);
        let cap = if by_id { FetchRequest::MAX } else { FETCH_BY_NAME };
        let is_full = plan.is_full();
        let (cluster, lane) = (self.cluster.clone(), Arc::clone(&self.lane));
        self.work.push(Box::pin(async move {
            let answer = async {
                let connection = cluster.connect(&lane, node_id).await?;
                let limit = cluster.config().request_timeout;
                Ok(connection.call_capped(&request, cap, limit).await?)
            };
            let answer = answer.await;
            Done::Fetched { node_id, fetched: wanted.into_iter().zip(asked).collect(), is_full, answer }
        }));
    }

    /// Leaves out partitions of topics that were created anew since they were fetched first: those begin again (KIP-516).
    fn of_known_topics(&self, mut wanted: Vec<Wanted<i64>>) -> Vec<Wanted<i64>> {
        let mut told = BTreeSet::new();
        let reset = self.shared.config.auto_offset_reset;
        let mut positions = self.shared.positions();
        wanted.retain(|wanted| {
            let Some(topic) = self.cluster.metadata().topic(&wanted.topic) else { return true };
            let is_same = positions.is_of(wanted, topic.topic_id);
            if !is_same {
                let tells = told.insert(Arc::clone(&wanted.topic));
                positions.recreated(wanted, topic.topic_id, reset, tells);
            }
            is_same
        });
        drop(positions);
        if !told.is_empty() {
            self.shared.woken();
        }
        wanted
    }

    /// Asks new leaders whether they have what was read, and leaves out those partitions until they have said so.
    fn confirm(&mut self, groups: BTreeMap<i32, Vec<Wanted<i64>>>) -> BTreeMap<i32, Vec<Wanted<i64>>> {
        let mut known = BTreeMap::new();
        for (node_id, wanted) in groups {
            let leaders: Vec<_> = wanted.iter().map(|wanted| self.leader_epoch(wanted)).collect();
            let mut positions = self.shared.positions();
            let (mut open, mut epochs, mut confirmed) = (Vec::new(), Vec::new(), Vec::new());
            for (wanted, leader_epoch) in wanted.into_iter().zip(leaders) {
                if positions.wants_confirming(&wanted, leader_epoch) {
                    positions.start_confirming(&wanted);
                    epochs.push(leader_epoch);
                    open.push(wanted);
                } else {
                    confirmed.push(wanted);
                }
            }
            drop(positions);
            if !confirmed.is_empty() {
                known.insert(node_id, confirmed);
            }
            if open.is_empty() {
                continue;
            }
            let request = leader_epochs::request(&open, &epochs);
            let (cluster, lane) = (self.cluster.clone(), Arc::clone(&self.lane));
            self.work.push(Box::pin(async move {
                let answer = cluster.call(&lane, node_id, &request).await.map_err(Error::from);
                Done::Confirmed { wanted: open, leaders: epochs, answer }
            }));
        }
        known
    }

    /// Groups partitions by where they are read: at their leaders, or where those sent us (KIP-392).
    fn by_source(&self, groups: BTreeMap<i32, Vec<Wanted<i64>>>, now: Instant) -> BTreeMap<i32, Vec<Wanted<i64>>> {
        if self.shared.config.client_rack.is_none() {
            return groups;
        }
        let positions = self.shared.positions();
        let mut sources: BTreeMap<i32, Vec<_>> = BTreeMap::new();
        for (leader, wanted) in groups.into_iter().flat_map(|(id, all)| all.into_iter().map(move |it| (id, it))) {
            let preferred = positions.preferred(wanted.slot, now);
            let reachable = preferred.filter(|node_id| self.cluster.metadata().address(*node_id).is_some());
            sources.entry(reachable.unwrap_or(leader)).or_default().push(wanted);
        }
        sources
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
            Done::Confirmed { wanted, leaders, answer } => self.on_confirmed(wanted, &leaders, answer, now),
            Done::Fetched { node_id, fetched, is_full, answer } => {
                self.busy.remove(&node_id);
                self.on_answer(node_id, fetched, is_full, answer, now);
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

    fn on_confirmed(
        &mut self,
        wanted: Vec<Wanted<i64>>,
        leaders: &[i32],
        answer: Result<OffsetForLeaderEpochResponse>,
        now: Instant,
    ) {
        let verdicts: Vec<_> = match answer {
            Ok(answer) => leader_epochs::verdicts(wanted, &answer),
            // A broker that cannot say is believed, as it was before KIP-320.
            Err(Error::UnsupportedVersion { .. }) => {
                wanted.into_iter().map(|wanted| (wanted, Ok(leader_epochs::Verdict::Unknown))).collect()
            }
            Err(error) => return self.on_failure(&wanted, &error, now),
        };
        let reset = self.shared.config.auto_offset_reset;
        for ((wanted, verdict), leader_epoch) in verdicts.into_iter().zip(leaders) {
            match verdict {
                Ok(verdict) => self.shared.positions().on_verdict(&wanted, *leader_epoch, verdict, reset),
                Err(error) => self.on_failure(std::slice::from_ref(&wanted), &error, now),
            }
        }
        self.shared.arrived.notify_waiters();
    }

    /// A fetch was answered, or not.
    fn on_answer(
        &mut self,
        node_id: i32,
        fetched: Vec<(Wanted<i64>, Asked)>,
        is_full: bool,
        answer: Result<FetchResponse>,
        now: Instant,
    ) {
        let session = self.sessions.entry(node_id).or_default();
        let error = match answer {
            Ok(answer) if answer.error_code == 0 => {
                session.on_answer(answer.session_id);
                count(&self.shared.counters.fetches, 1);
                let (isolation, metadata) = (self.shared.config.isolation, self.cluster.metadata());
                for (wanted, outcome) in fetch_outcomes(fetched, is_full, isolation, answer, metadata) {
                    self.on_fetched(node_id, &wanted, outcome, now);
                }
                self.shared.arrived.notify_waiters();
                return;
            }
            Ok(answer) => {
                let code = ErrorCode::from_number(answer.error_code);
                session.on_refused(code);
                if code == ErrorCode::FetchSessionIdNotFound {
                    // The broker needed the room for others. The next request names everything.
                    return self.give_back(fetched.into_iter().map(|(wanted, _)| wanted).collect());
                }
                Error::server(FetchRequest::NAME, answer.error_code)
            }
            Err(error) => {
                session.on_lost();
                error
            }
        };
        let wanted: Vec<_> = fetched.into_iter().map(|(wanted, _)| wanted).collect();
        let mut positions = self.shared.positions();
        for wanted in &wanted {
            positions.prefer_leader(wanted, node_id);
        }
        drop(positions);
        self.on_failure(&wanted, &error, now);
    }

    fn on_fetched(&mut self, node_id: i32, wanted: &Wanted<i64>, outcome: FetchOutcome, now: Instant) {
        let mut positions = self.shared.positions();
        match outcome {
            FetchOutcome::Records(bytes, aborted, end_offset) => {
                count(&self.shared.counters.bytes, bytes.len() as u64);
                positions.on_fetched(wanted, bytes, aborted, end_offset);
            }
            FetchOutcome::Nothing => positions.on_nothing(wanted),
            FetchOutcome::Elsewhere(replica) => {
                // Java's subscriptions keep it for as long as metadata.
                positions.prefer(wanted, replica, now + self.cluster.config().metadata_max_age);
            }
            FetchOutcome::Diverged(verdict) => {
                let leader = self.cluster.metadata().leader(&wanted.topic, wanted.partition);
                let leader_epoch = leader.map_or(-1, |(_, leader_epoch)| leader_epoch);
                positions.on_verdict(wanted, leader_epoch, verdict, self.shared.config.auto_offset_reset);
            }
            FetchOutcome::Failed(error) => {
                // A follower may be behind: only the leader's word counts.
                let was_follower = positions.prefer_leader(wanted, node_id);
                drop(positions);
                match error {
                    Error::Server { code: ErrorCode::OffsetOutOfRange, .. } if was_follower => {
                        self.shared.positions().not_asked(wanted);
                    }
                    Error::Server { code: ErrorCode::OffsetOutOfRange, .. } => self.out_of_range(wanted, now),
                    error => self.on_failure(std::slice::from_ref(wanted), &error, now),
                }
            }
        }
    }

    fn out_of_range(&self, wanted: &Wanted<i64>, now: Instant) {
        let Wanted { topic, partition, what: offset, .. } = wanted;
        let reset = self.shared.config.auto_offset_reset;
        let mut positions = self.shared.positions();
        // Kafka says the same where it does not know the epoch of what was read last.
        if positions.forget_epoch(wanted) {
            return;
        }
        tracing::warn!(%topic, partition, offset, ?reset, "offset out of range");
        let is_reset = positions.reset(wanted, reset);
        drop(positions);
        if !is_reset {
            self.failed(wanted, now);
        }
        self.shared.arrived.notify_waiters();
    }

    /// Waits and asks again; the program learns only what waiting does not cure.
    fn on_failure<T>(&mut self, wanted: &[Wanted<T>], error: &Error, now: Instant) {
        count(&self.shared.counters.fetch_errors, 1);
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
