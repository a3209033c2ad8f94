//! Telling the group how far its members are: OffsetCommit, and OffsetFetch.
//!
//! One commit of a consumer is under way at a time, so that an older one never overtakes a newer one; whoever asks meanwhile
//! is served together with all others by the next. A commit is tried again while the partition is ours: with the generation
//! that the member has by then, and at the coordinator that the group has by then.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use kafka_protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse,
    offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic},
    offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics},
};
use tokio::{sync::oneshot, time::Instant};

use super::{
    group::{CommittedOffset, Group, Membership},
    member::requests::{Identity, group_id, instance_id, text},
    stats::count,
};
use crate::{
    codes::ErrorCode,
    error::{Error, Result},
    record::TopicPartition,
    retry::Retry,
    wire::versions::Api,
};

/// Offsets by partition.
pub(crate) type Offsets = BTreeMap<TopicPartition, CommittedOffset>;
type Results = BTreeMap<TopicPartition, Result<()>>;

/// What somebody wants committed, and where the result goes.
type Wish = (Offsets, oneshot::Sender<Result<()>>);

/// Commits that wait for their turn.
#[derive(Debug, Default)]
pub(crate) struct Commits {
    wishes: Mutex<Vec<Wish>>,
    turn: tokio::sync::Mutex<()>,
}

impl Commits {
    fn wishes(&self) -> MutexGuard<'_, Vec<Wish>> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Taken<'_> {
        Taken { wishes: std::mem::take(&mut *self.wishes()), commits: self }
    }
}

/// Wishes that are being fulfilled. If whoever does it goes away, the next one does it.
struct Taken<'a> {
    wishes: Vec<Wish>,
    commits: &'a Commits,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.commits.wishes().splice(..0, self.wishes.drain(..));
    }
}

impl Group {
    /// Commits offsets of partitions that this member has. Fails with the first error of any of them.
    ///
    /// Dropping the future leaves open whether the offsets are committed.
    pub(crate) async fn commit(&self, offsets: Offsets) -> Result<()> {
        if offsets.is_empty() {
            return Ok(());
        }
        let (sender, mut done) = oneshot::channel();
        self.commits.wishes().push((offsets, sender));
        let _turn = self.commits.turn.lock().await;
        if let Ok(result) = done.try_recv() {
            return result;
        }
        let mut taken = self.commits.take();
        let mut merged = Offsets::new();
        for (offsets, _) in &taken.wishes {
            merged.extend(offsets.iter().map(|(partition, offset)| (partition.clone(), offset.clone())));
        }
        let results = self.commit_now(merged).await;
        for (offsets, sender) in taken.wishes.drain(..) {
            let failed = offsets.keys().find_map(|partition| results.get(partition).cloned().and_then(Result::err));
            // Who asked may have gone.
            let _ = sender.send(failed.map_or(Ok(()), Err));
        }
        done.try_recv().unwrap_or(Err(Error::Closed { what: "consumer" }))
    }

    async fn commit_now(&self, mut left: Offsets) -> Results {
        let limit = self.cluster.config().api_timeout;
        let mut retry = Retry::until(Instant::now() + limit, self.cluster.config().retry_backoff);
        let mut results = Results::new();
        loop {
            let membership = self.membership();
            left.retain(|partition, _| {
                let ours = membership.is_member && self.has(partition);
                if !ours {
                    results.insert(partition.clone(), Err(lost(partition)));
                }
                ours
            });
            if left.is_empty() {
                return results;
            }
            let make = |version| commit_request(self, &membership.identity, &left, version);
            let limit = self.cluster.config().request_timeout;
            let answer = self.cluster.call_coordinator(&self.lane, &self.config.group_id, make, limit).await;
            count(&self.shared.counters.commits, u64::from(answer.is_ok()));
            let mut last = None;
            for (partition, error) in outcomes(&left, answer) {
                let verdict =
                    error.map_or(Ok(true), |error| self.judge(&partition, error, &membership.identity, &mut last));
                match verdict {
                    Ok(false) => {}
                    Ok(true) => {
                        let offset = left.remove(&partition).expect("it was asked for").offset;
                        self.on_committed(&partition, offset);
                        results.insert(partition, Ok(()));
                    }
                    Err(error) => {
                        left.remove(&partition);
                        results.insert(partition, Err(error));
                    }
                }
            }
            let Some(error) = last else { return results };
            if !retry.pause().await {
                results.extend(left.into_keys().map(|partition| (partition, Err(error.clone()))));
                return results;
            }
        }
    }

    /// `Ok(false)` to try again (and `last` says why), `Err` to give up.
    fn judge(
        &self,
        partition: &TopicPartition,
        error: Error,
        sent_as: &Identity,
        last: &mut Option<Error>,
    ) -> Result<bool> {
        let membership = self.membership();
        let again = match error.code() {
            Some(ErrorCode::RebalanceInProgress) => true,
            // While we join, the generation that we get will do; otherwise the group goes on without us.
            Some(ErrorCode::IllegalGeneration | ErrorCode::UnknownMemberId) => {
                if !membership.is_joining && membership.identity.generation_id == sent_as.generation_id {
                    self.suspect();
                    return Err(lost(partition));
                }
                true
            }
            // A heartbeat tells the epoch that we have by now, or that we have none any more.
            Some(ErrorCode::StaleMemberEpoch) => {
                self.suspect();
                true
            }
            Some(ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable) => {
                self.cluster.forget_coordinator(&self.config.group_id);
                true
            }
            _ => error.is_retriable(),
        };
        if !again {
            return Err(error);
        }
        *last = Some(error);
        Ok(false)
    }

    /// What the group has committed for partitions. `None` where it has nothing. Waits for transactions that commit offsets
    /// (KIP-447), until the deadline.
    pub(crate) async fn fetch_committed(
        &self,
        partitions: &[TopicPartition],
        deadline: Instant,
    ) -> Result<BTreeMap<TopicPartition, Option<CommittedOffset>>> {
        let mut retry = Retry::until(deadline, self.cluster.config().retry_backoff);
        loop {
            let make = |version| fetch_request(self, &self.membership(), partitions, version);
            let limit = self.cluster.config().request_timeout;
            let answer = self.cluster.call_coordinator(&self.lane, &self.config.group_id, make, limit).await;
            let error = match answer.and_then(|answer| fetched(partitions, answer)) {
                Ok(committed) => return Ok(committed),
                Err(error) => error,
            };
            if matches!(error.code(), Some(ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable)) {
                self.cluster.forget_coordinator(&self.config.group_id);
            }
            if !error.is_retriable() || !retry.pause().await {
                return Err(error);
            }
        }
    }
}

fn lost(partition: &TopicPartition) -> Error {
    Error::PartitionLost { topic: partition.topic.clone(), partition: partition.partition }
}

fn by_topic<'a>(
    partitions: impl Iterator<Item = &'a TopicPartition>,
) -> BTreeMap<&'a std::sync::Arc<str>, Vec<&'a TopicPartition>> {
    let mut topics: BTreeMap<_, Vec<_>> = BTreeMap::new();
    partitions.for_each(|partition| topics.entry(&partition.topic).or_default().push(partition));
    topics
}

fn commit_request(group: &Group, identity: &Identity, offsets: &Offsets, version: i16) -> OffsetCommitRequest {
    let topics = by_topic(offsets.keys()).into_iter().map(|(topic, partitions)| {
        let partitions = partitions.into_iter().map(|partition| {
            let committed = &offsets[partition];
            let entry = OffsetCommitRequestPartition::default()
                .with_partition_index(partition.partition)
                .with_committed_offset(committed.offset)
                .with_committed_metadata(Some(text(&committed.metadata)));
            // KIP-320, from v6 on.
            if version >= 6 { entry.with_committed_leader_epoch(committed.leader_epoch.unwrap_or(-1)) } else { entry }
        });
        OffsetCommitRequestTopic::default().with_name(text(topic).into()).with_partitions(partitions.collect())
    });
    let request = OffsetCommitRequest::default()
        .with_group_id(group_id(&group.config))
        .with_generation_id_or_member_epoch(identity.generation_id)
        .with_member_id(text(&identity.member_id))
        .with_topics(topics.collect());
    if version >= 7 { request.with_group_instance_id(instance_id(&group.config)) } else { request }
}

/// What an answer says about each partition; one that it leaves out may be committed or not, and is asked for again.
fn outcomes(asked: &Offsets, answer: Result<OffsetCommitResponse>) -> Vec<(TopicPartition, Option<Error>)> {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return asked.keys().map(|partition| (partition.clone(), Some(error.clone()))).collect(),
    };
    let outcome = |partition: &TopicPartition| {
        let topic = answer.topics.iter().find(|topic| **topic.name == *partition.topic);
        let found = topic.and_then(|topic| topic.partitions.iter().find(|p| p.partition_index == partition.partition));
        let code = found.map_or(ErrorCode::RequestTimedOut.number(), |found| found.error_code);
        let (topic, code) = (&partition.topic, ErrorCode::from_number(code));
        let error = Error::of_partition(OffsetCommitRequest::NAME, topic, partition.partition, code);
        (code != ErrorCode::None).then_some(error)
    };
    asked.keys().map(|partition| (partition.clone(), outcome(partition))).collect()
}

fn fetch_request(
    group: &Group,
    membership: &Membership,
    partitions: &[TopicPartition],
    version: i16,
) -> OffsetFetchRequest {
    let topics = by_topic(partitions.iter());
    let numbers = |of: Vec<&TopicPartition>| of.into_iter().map(|partition| partition.partition).collect();
    // Transactions' offsets are waited for from v7 on (KIP-447).
    let request = OffsetFetchRequest::default().with_require_stable(version >= 7);
    // Many groups can be asked for from v8 on (KIP-709).
    if version >= 8 {
        let topics = topics.into_iter().map(|(topic, partitions)| {
            let entry = OffsetFetchRequestTopics::default().with_name(text(topic).into());
            entry.with_partition_indexes(numbers(partitions))
        });
        let wanted = OffsetFetchRequestGroup::default().with_group_id(group_id(&group.config));
        // From v9 on a member says who it is, so that one that was put out does not begin where it may not (KIP-848).
        let identity =
            Some(&membership.identity).filter(|_| version >= 9 && membership.has_epoch && membership.is_member);
        let wanted = wanted
            .with_member_id(identity.map(|identity| text(&identity.member_id)))
            .with_member_epoch(identity.map_or(-1, |identity| identity.generation_id))
            .with_topics(Some(topics.collect()));
        return request.with_groups(vec![wanted]);
    }
    let topics = topics.into_iter().map(|(topic, partitions)| {
        let entry = OffsetFetchRequestTopic::default().with_name(text(topic).into());
        entry.with_partition_indexes(numbers(partitions))
    });
    request.with_group_id(group_id(&group.config)).with_topics(Some(topics.collect()))
}

fn fetched(
    asked: &[TopicPartition],
    answer: OffsetFetchResponse,
) -> Result<BTreeMap<TopicPartition, Option<CommittedOffset>>> {
    let group_code = answer.groups.first().map_or(answer.error_code, |group| group.error_code);
    if group_code != 0 {
        return Err(Error::server(OffsetFetchRequest::NAME, group_code));
    }
    // (topic, partition, code, offset, epoch, metadata), from either form of the answer.
    let old = answer.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|p| {
            (&topic.name, p.partition_index, p.error_code, p.committed_offset, p.committed_leader_epoch, &p.metadata)
        })
    });
    let new = answer.groups.iter().flat_map(|group| &group.topics).flat_map(|topic| {
        topic.partitions.iter().map(|p| {
            (&topic.name, p.partition_index, p.error_code, p.committed_offset, p.committed_leader_epoch, &p.metadata)
        })
    });
    let mut found = BTreeMap::new();
    for (topic, partition, code, offset, leader_epoch, metadata) in old.chain(new) {
        let partition = TopicPartition::new(topic.as_str(), partition);
        if code != 0 {
            let code = ErrorCode::from_number(code);
            return Err(Error::of_partition(OffsetFetchRequest::NAME, &partition.topic, partition.partition, code));
        }
        // -1 is none, and not the beginning.
        let committed = (offset >= 0).then(|| CommittedOffset {
            offset,
            leader_epoch: Some(leader_epoch).filter(|epoch| *epoch >= 0),
            metadata: metadata.as_ref().map(|metadata| metadata.to_string()).unwrap_or_default(),
        });
        found.entry(partition).or_insert(committed);
    }
    // A partition that was left out is asked for again: to begin anywhere would be a guess.
    asked
        .iter()
        .map(|partition| match found.remove(partition) {
            Some(committed) => Ok((partition.clone(), committed)),
            None => Err(Error::server(OffsetFetchRequest::NAME, ErrorCode::RequestTimedOut.number())),
        })
        .collect()
}
