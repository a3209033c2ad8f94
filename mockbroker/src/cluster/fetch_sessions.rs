//! Fetch sessions of one node (KIP-227): a client names its partitions once and then only what changes; the node answers
//! only for partitions that have something to say.
//!
//! Source: FetchManager, FetchSession, FetchContext, FetchSessionCacheShard.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::FetchRequest;

use crate::time::Timestamp;
use crate::types::{PartitionId, TopicId, TopicName};

/// A session that was idle for longer than this gives way to a new one.
const EVICTABLE_AFTER_MS: i64 = 120_000;
/// The epoch of a request that wants a new session.
const INITIAL_EPOCH: i32 = 0;
/// The epoch of a request without a session.
const FINAL_EPOCH: i32 = -1;

/// One partition that a client wants to read. Its topic is named, or (v13+) known by its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WantedPartition {
    /// As the request has it: empty from v13 on.
    pub(crate) topic: TopicName,
    /// As the request has it (v13+), or of the topic that has the name now; zero if no topic has.
    pub(crate) topic_id: TopicId,
    /// Whether a topic had this id when the fetch, or an earlier one of its session, began.
    pub(crate) topic_was_known: bool,
    pub(crate) partition: PartitionId,
    pub(crate) fetch_offset: i64,
    pub(crate) max_bytes: i32,
    pub(crate) current_leader_epoch: i32,
    pub(crate) last_fetched_epoch: i32,
}

/// What a fetch request says of sessions and partitions.
#[derive(Debug)]
pub(crate) struct SessionRequest {
    session_id: i32,
    session_epoch: i32,
    uses_topic_ids: bool,
    partitions: Vec<WantedPartition>,
    forgotten: Vec<Key>,
}

/// Which session a fetch belongs to, until it is answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SessionContext {
    /// None, and none is wanted.
    Sessionless,
    /// None yet: one is made when the answer is.
    Full { uses_topic_ids: bool },
    /// This one; its epoch has already moved on to `epoch`.
    Incremental { session_id: i32, epoch: i32 },
}

/// What an answer says of one partition, as far as sessions care.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PartitionFacts {
    pub(crate) high_watermark: i64,
    pub(crate) log_start_offset: i64,
    pub(crate) has_records: bool,
    pub(crate) has_error: bool,
    pub(crate) has_diverging_epoch: bool,
}

/// What goes into the answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(crate) session_id: i32,
    pub(crate) error: Option<ResponseError>,
    /// For each partition whether it is in the answer.
    pub(crate) include: Vec<bool>,
}

/// How a partition is known within a session: by topic id, or by name while the id is zero.
type Key = (TopicId, TopicName, PartitionId);

/// The sessions of one node.
#[derive(Debug)]
pub(crate) struct FetchSessions {
    slots: usize,
    sessions: BTreeMap<i32, Session>,
    /// Who was used when: the first is the first to go.
    by_last_used: BTreeSet<(Timestamp, i32)>,
    /// Who has how many partitions: small old ones give way to larger new ones.
    by_size: BTreeSet<(usize, i32)>,
}

#[derive(Debug)]
struct Session {
    uses_topic_ids: bool,
    created: Timestamp,
    last_used: Timestamp,
    /// The epoch that the next request must have.
    epoch: i32,
    partitions: BTreeMap<Key, Cached>,
    /// The order in which partitions are read, by their `place`.
    order: BTreeMap<u64, Key>,
    next_place: u64,
    /// The size under which the session stands in `by_size`.
    size: usize,
}

#[derive(Debug)]
struct Cached {
    wanted: WantedPartition,
    place: u64,
    /// What was last sent; -1 after an error, so that the partition is sent again once it recovers.
    high_watermark: i64,
    log_start_offset: i64,
}

impl SessionRequest {
    /// What `request` says. Requests before v7 know no sessions. Names are copied: they outlive the request's memory.
    pub(crate) fn new(request: &FetchRequest, version: i16) -> Self {
        let (session_id, session_epoch) =
            if version < 7 { (0, FINAL_EPOCH) } else { (request.session_id, request.session_epoch) };
        let partitions = request.topics.iter().flat_map(|topic| {
            let name = owned(&topic.topic);
            topic.partitions.iter().map(move |partition| WantedPartition {
                topic: name.clone(),
                topic_id: TopicId(topic.topic_id),
                topic_was_known: false,
                partition: PartitionId(partition.partition),
                fetch_offset: partition.fetch_offset,
                max_bytes: partition.partition_max_bytes,
                current_leader_epoch: partition.current_leader_epoch,
                last_fetched_epoch: partition.last_fetched_epoch,
            })
        });
        let forgotten = request.forgotten_topics_data.iter().flat_map(|topic| {
            let name = owned(&topic.topic);
            topic.partitions.iter().map(move |id| (TopicId(topic.topic_id), name.clone(), PartitionId(*id)))
        });
        Self {
            session_id,
            session_epoch,
            uses_topic_ids: version >= 13,
            partitions: last_of_each(partitions.collect()),
            forgotten: forgotten.collect(),
        }
    }
}

/// A partition that is named twice is read once, in the place of its first and as its last says: Kafka gathers them in a
/// map (FetchRequest.fetchData).
fn last_of_each(partitions: Vec<WantedPartition>) -> Vec<WantedPartition> {
    if partitions.len() < 2 {
        return partitions;
    }
    let named = |wanted: &WantedPartition| (wanted.topic_id, wanted.topic.clone(), wanted.partition);
    let distinct: BTreeSet<_> = partitions.iter().map(|it| (it.topic_id, &it.topic, it.partition)).collect();
    if distinct.len() == partitions.len() {
        return partitions;
    }
    let mut places = BTreeMap::new();
    let mut kept: Vec<WantedPartition> = Vec::new();
    for wanted in partitions {
        match places.get(&named(&wanted)) {
            Some(place) => kept[*place] = wanted,
            None => {
                places.insert(named(&wanted), kept.len());
                kept.push(wanted);
            }
        }
    }
    kept
}

fn owned(name: &TopicName) -> TopicName {
    TopicName(kafka_protocol::protocol::StrBytes::from_string(name.to_string()))
}

impl WantedPartition {
    fn key(&self, uses_topic_ids: bool) -> Key {
        if uses_topic_ids {
            (self.topic_id, TopicName::default(), self.partition)
        } else {
            (TopicId::ZERO, self.topic.clone(), self.partition)
        }
    }
}

impl FetchSessions {
    /// No sessions, and room for `slots` (`max.incremental.fetch.session.cache.slots`).
    pub(crate) fn new(slots: usize) -> Self {
        Self { slots, sessions: BTreeMap::new(), by_last_used: BTreeSet::new(), by_size: BTreeSet::new() }
    }

    /// Finds the session of a request, applies what the request changes in it, and says what to read.
    pub(crate) fn begin(
        &mut self,
        request: SessionRequest,
        now: Timestamp,
    ) -> Result<(SessionContext, Vec<WantedPartition>), ResponseError> {
        if request.session_epoch == INITIAL_EPOCH || request.session_epoch == FINAL_EPOCH {
            self.remove(request.session_id);
            let wants_session = request.session_epoch == INITIAL_EPOCH;
            let context = if wants_session {
                SessionContext::Full { uses_topic_ids: request.uses_topic_ids }
            } else {
                SessionContext::Sessionless
            };
            return Ok((context, request.partitions));
        }
        self.continue_session(request, now)
    }

    fn continue_session(
        &mut self,
        request: SessionRequest,
        now: Timestamp,
    ) -> Result<(SessionContext, Vec<WantedPartition>), ResponseError> {
        let session_id = request.session_id;
        let session = self.sessions.get_mut(&session_id).ok_or(ResponseError::FetchSessionIdNotFound)?;
        if session.epoch != request.session_epoch {
            return Err(ResponseError::InvalidFetchSessionEpoch);
        }
        if session.uses_topic_ids != request.uses_topic_ids {
            return Err(ResponseError::FetchSessionTopicIdError);
        }
        session.update(&request);
        if session.partitions.is_empty() {
            self.remove(session_id);
            return Ok((SessionContext::Sessionless, request.partitions));
        }
        session.epoch = next_epoch(session.epoch);
        let epoch = session.epoch;
        let partitions = session.order.values().map(|key| session.partitions[key].wanted.clone()).collect();
        self.touch(session_id, now);
        Ok((SessionContext::Incremental { session_id, epoch }, partitions))
    }

    /// Says what of `facts`, one for each of `partitions` (those that `begin` returned), goes into the answer, and makes the
    /// session that a full fetch wants, with an id that `new_id` draws.
    pub(crate) fn finish(
        &mut self,
        context: &SessionContext,
        partitions: &[WantedPartition],
        facts: &[PartitionFacts],
        now: Timestamp,
        new_id: impl FnMut() -> i32,
    ) -> Finished {
        let all = || vec![true; facts.len()];
        match *context {
            SessionContext::Sessionless => Finished { session_id: 0, error: None, include: all() },
            SessionContext::Full { uses_topic_ids } => {
                let session_id = self.create(uses_topic_ids, partitions, facts, now, new_id);
                Finished { session_id, error: None, include: all() }
            }
            SessionContext::Incremental { session_id, epoch } => {
                let none = vec![false; facts.len()];
                match self.sessions.get_mut(&session_id) {
                    // Evicted while the fetch waited: the answer still counts, the next request learns that it is gone.
                    None => Finished { session_id, error: None, include: all() },
                    Some(session) if session.epoch != epoch => {
                        let error = Some(ResponseError::InvalidFetchSessionEpoch);
                        Finished { session_id, error, include: none }
                    }
                    Some(session) => {
                        let include = session.include(partitions, facts);
                        Finished { session_id, error: None, include }
                    }
                }
            }
        }
    }

    fn create(
        &mut self,
        uses_topic_ids: bool,
        partitions: &[WantedPartition],
        facts: &[PartitionFacts],
        now: Timestamp,
        mut new_id: impl FnMut() -> i32,
    ) -> i32 {
        if !self.make_room(partitions.len(), now) {
            return 0;
        }
        let session_id = loop {
            let id = new_id();
            if !self.sessions.contains_key(&id) {
                break id;
            }
        };
        let mut session = Session {
            uses_topic_ids,
            created: now,
            last_used: now,
            epoch: 1,
            partitions: BTreeMap::new(),
            order: BTreeMap::new(),
            next_place: 0,
            size: 0,
        };
        for (wanted, facts) in partitions.iter().zip(facts) {
            session.put(wanted.clone(), facts.high_watermark, facts.log_start_offset);
        }
        session.size = session.partitions.len();
        self.by_last_used.insert((now, session_id));
        self.by_size.insert((session.size, session_id));
        self.sessions.insert(session_id, session);
        session_id
    }

    /// Whether a session of `size` partitions finds a slot: a free one, that of a session that has been idle, or that of an
    /// older and smaller one.
    fn make_room(&mut self, size: usize, now: Timestamp) -> bool {
        if self.sessions.len() < self.slots {
            return true;
        }
        let is_old = |since: Timestamp| now.as_millis() - since.as_millis() > EVICTABLE_AFTER_MS;
        if let Some((last_used, session_id)) = self.by_last_used.first().copied()
            && is_old(last_used)
        {
            self.remove(session_id);
            return true;
        }
        match self.by_size.first().copied() {
            Some((smallest, session_id)) if smallest < size && is_old(self.sessions[&session_id].created) => {
                self.remove(session_id);
                true
            }
            _ => false,
        }
    }

    fn touch(&mut self, session_id: i32, now: Timestamp) {
        let session = self.sessions.get_mut(&session_id).expect("the caller found it");
        self.by_last_used.remove(&(session.last_used, session_id));
        self.by_size.remove(&(session.size, session_id));
        session.last_used = now;
        session.size = session.partitions.len();
        self.by_last_used.insert((now, session_id));
        self.by_size.insert((session.size, session_id));
    }

    fn remove(&mut self, session_id: i32) {
        if let Some(session) = self.sessions.remove(&session_id) {
            self.by_last_used.remove(&(session.last_used, session_id));
            self.by_size.remove(&(session.size, session_id));
        }
    }
}

impl Session {
    /// Applies what an incremental request lists: new or changed partitions, forgotten ones.
    fn update(&mut self, request: &SessionRequest) {
        for wanted in &request.partitions {
            match self.partitions.get_mut(&wanted.key(self.uses_topic_ids)) {
                Some(cached) => {
                    let topic_was_known = cached.wanted.topic_was_known;
                    cached.wanted = WantedPartition { topic_was_known, ..wanted.clone() };
                }
                None => self.put(wanted.clone(), -1, -1),
            }
        }
        for (topic_id, name, partition) in &request.forgotten {
            let key = if self.uses_topic_ids {
                (*topic_id, TopicName::default(), *partition)
            } else {
                (TopicId::ZERO, name.clone(), *partition)
            };
            if let Some(cached) = self.partitions.remove(&key) {
                self.order.remove(&cached.place);
            }
        }
    }

    fn put(&mut self, wanted: WantedPartition, high_watermark: i64, log_start_offset: i64) {
        let key = wanted.key(self.uses_topic_ids);
        let place = self.next_place;
        self.next_place += 1;
        self.order.insert(place, key.clone());
        let cached = Cached { wanted, place, high_watermark, log_start_offset };
        if let Some(before) = self.partitions.insert(key, cached) {
            self.order.remove(&before.place);
        }
    }

    /// Which partitions have something to say. Those with data go to the end of the order, so that the others get their
    /// share of the bytes next time.
    fn include(&mut self, partitions: &[WantedPartition], facts: &[PartitionFacts]) -> Vec<bool> {
        let mut include = Vec::with_capacity(facts.len());
        for (wanted, facts) in partitions.iter().zip(facts) {
            let key = wanted.key(self.uses_topic_ids);
            let Some(cached) = self.partitions.get_mut(&key) else {
                include.push(true);
                continue;
            };
            let moved =
                cached.high_watermark != facts.high_watermark || cached.log_start_offset != facts.log_start_offset;
            include.push(facts.has_records || facts.has_error || facts.has_diverging_epoch || moved);
            cached.high_watermark = if facts.has_error { -1 } else { facts.high_watermark };
            cached.log_start_offset = facts.log_start_offset;
            cached.wanted.topic_was_known = wanted.topic_was_known;
            if facts.has_records {
                self.order.remove(&cached.place);
                cached.place = self.next_place;
                self.order.insert(self.next_place, key);
                self.next_place += 1;
            }
        }
        include
    }
}

/// Epochs count from 1 and begin there again.
fn next_epoch(epoch: i32) -> i32 {
    epoch.checked_add(1).unwrap_or(1)
}

#[cfg(test)]
#[path = "fetch_sessions_tests.rs"]
mod tests;
