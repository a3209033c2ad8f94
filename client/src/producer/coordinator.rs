//! What a transactional producer says to coordinators: one conversation, one thing at a time.
//!
//! [`Machine`] decides; here its requests are sent, and answers become what it understands. Requests for
//! partitions and offsets are repeated here until they are answered, because they may be sent twice without harm.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kafka_protocol::{
    messages::{
        AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, EndTxnRequest, GroupId, InitProducerIdRequest, ProducerId,
        TransactionalId, TxnOffsetCommitRequest,
        add_partitions_to_txn_request::AddPartitionsToTxnTopic,
        txn_offset_commit_request::{TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic},
    },
    protocol::StrBytes,
};
use tokio::time::{Instant, sleep_until};

use super::{
    sequence::Identity,
    txn::{Ask, Generation, Machine, Rules, Step, fenced},
};
use crate::{
    cluster::{CallError, Cluster, Coordinated, Lane},
    codes::ErrorCode,
    error::{Error, Result, Written},
    progress::{GroupMetadata, NextOffset},
    record::TopicPartition,
    wire::versions::Api,
};

/// The last versions of the first generation (`EndTxnRequest` and `TxnOffsetCommitRequest`,
/// `LAST_STABLE_VERSION_BEFORE_TRANSACTION_V2`).
const END_TXN_ONE: i16 = 4;
const TXN_OFFSET_COMMIT_ONE: i16 = 4;
/// `transaction.version` from which on brokers add partitions as they are written to (`TransactionVersion.TV_2`).
const IMPLICIT: i16 = 2;

#[derive(Debug)]
pub(crate) struct Conversation {
    pub(crate) id: Arc<str>,
    of: Coordinated,
    cluster: Cluster,
    lane: Lane,
    machine: Mutex<Machine>,
    /// Held by whoever speaks: an end must not overtake what it ends.
    pub(crate) turn: tokio::sync::Mutex<()>,
    /// `max.block.ms`.
    limit: Duration,
}

impl Conversation {
    pub(crate) fn new(id: Arc<str>, cluster: Cluster, timeout: Duration, limit: Duration) -> Self {
        let rules = Rules { backoff: cluster.config().retry_backoff, timeout };
        let lane = cluster.lane();
        let of = Coordinated::Transaction(Arc::clone(&id));
        Self {
            id,
            of,
            cluster,
            lane,
            machine: Mutex::new(Machine::new(rules)),
            turn: tokio::sync::Mutex::default(),
            limit,
        }
    }

    pub(crate) fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.limit
    }

    /// Does what the machine wants until it rests. Dropping the future leaves the rest to the next call.
    pub(crate) async fn drive(&self, deadline: Instant) -> Result<()> {
        loop {
            let step = self.machine().step(Instant::now());
            match step {
                Step::Rest => return self.machine().fatal().map_or(Ok(()), Err),
                Step::Wait(until) if until >= deadline => return Err(self.machine().give_up(self.limit)),
                Step::Wait(until) => sleep_until(until).await,
                Step::Send(Ask::Init(identity)) => {
                    let answer = self.init(identity, deadline).await;
                    self.machine().on_init(answer, Instant::now());
                }
                Step::Send(Ask::End { identity, committed, generation }) => {
                    let answer = self.end(identity, committed, generation, deadline).await;
                    self.machine().on_end(answer, Instant::now());
                }
            }
        }
    }

    /// How long one request may take.
    fn request_limit(&self, deadline: Instant) -> Duration {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        left.min(self.cluster.config().request_timeout)
    }

    async fn call<A: Api>(
        &self,
        make: impl FnOnce(i16) -> A,
        cap: i16,
        deadline: Instant,
    ) -> Result<A::Response, CallError> {
        let limit = self.request_limit(deadline);
        self.cluster.call_coordinator_of(&self.of, &self.lane, make, cap, limit).await
    }

    /// What a code means for the request that it answers. A coordinator that moved is looked up anew.
    fn judge<A: Api>(&self, by: &Coordinated, code: i16) -> Result<(), CallError> {
        let code = ErrorCode::from_number(code);
        if code == ErrorCode::None {
            return Ok(());
        }
        if matches!(code, ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable) {
            self.cluster.forget_coordinator_of(by);
        }
        let written = if code.may_have_been_written() { Written::MaybeWritten } else { Written::NotWritten };
        Err(CallError { error: Error::server(A::NAME, code.number()), written })
    }

    async fn init(&self, old: Option<Identity>, deadline: Instant) -> Result<Identity, CallError> {
        let timeout = self.machine().rules().timeout;
        let make = |version| {
            let request = InitProducerIdRequest::default()
                .with_transactional_id(Some(transactional_id(&self.id)))
                .with_transaction_timeout_ms(i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX));
            let (producer_id, epoch) = old.map_or((-1, -1), |old| (old.producer_id, old.producer_epoch));
            // KIP-360, from v3 on. Before it an id is taken over without a word about its past.
            match version {
                3.. => request.with_producer_id(ProducerId(producer_id)).with_producer_epoch(epoch),
                _ => request,
            }
        };
        let answer = self.call(make, i16::MAX, deadline).await?;
        self.judge::<InitProducerIdRequest>(&self.of, answer.error_code)?;
        Ok(identity(answer.producer_id, answer.producer_epoch))
    }

    async fn end(
        &self,
        of: Identity,
        committed: bool,
        generation: Generation,
        deadline: Instant,
    ) -> Result<Option<Identity>, CallError> {
        let make = |_| {
            EndTxnRequest::default()
                .with_transactional_id(transactional_id(&self.id))
                .with_producer_id(ProducerId(of.producer_id))
                .with_producer_epoch(of.producer_epoch)
                .with_committed(committed)
        };
        let cap = if generation == Generation::One { END_TXN_ONE } else { i16::MAX };
        let answer = self.call(make, cap, deadline).await?;
        self.judge::<EndTxnRequest>(&self.of, answer.error_code)?;
        Ok((answer.producer_id.0 >= 0).then(|| identity(answer.producer_id, answer.producer_epoch)))
    }

    /// After a failed attempt: waits for the next one, or says why there is none.
    async fn pause(&self, failed: CallError, failures: &mut u32, deadline: Instant) -> Result<()> {
        let error = failed.error;
        *failures += 1;
        let next = Instant::now() + self.machine().rules().wait(*failures, error.code());
        if !error.is_retriable() || next >= deadline {
            return Err(fenced(error));
        }
        tracing::debug!(id = %self.id, %error, failures, "asked again");
        sleep_until(next).await;
        Ok(())
    }

    /// How the cluster speaks of transactions now.
    pub(crate) async fn generation(&self, deadline: Instant) -> Result<Generation> {
        let mut failures = 0;
        loop {
            match self.cluster.connect_coordinator(&self.of, &self.lane).await {
                Ok(connection) if connection.finalized_level("transaction.version") >= IMPLICIT => {
                    return Ok(Generation::Two);
                }
                Ok(_) => return Ok(Generation::One),
                Err(error) => self.pause(CallError::not_written(error), &mut failures, deadline).await?,
            }
        }
    }

    /// Adds partitions to the open transaction, in the first generation.
    pub(crate) async fn add_partitions(&self, number: u64, partitions: &[TopicPartition]) -> Result<()> {
        let _turn = self.turn.lock().await;
        let identity = self.writer(number)?;
        self.machine().on_started(number);
        let topics = by_topic(partitions.iter(), |partition| partition).into_iter().map(|(topic, partitions)| {
            let partitions = partitions.into_iter().map(|partition| partition.partition).collect();
            AddPartitionsToTxnTopic::default().with_name(text(topic).into()).with_partitions(partitions)
        });
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(transactional_id(&self.id))
            .with_v3_and_below_producer_id(ProducerId(identity.producer_id))
            .with_v3_and_below_producer_epoch(identity.producer_epoch)
            .with_v3_and_below_topics(topics.collect());
        let deadline = self.deadline();
        let mut failures = 0;
        while let Err(failed) = self.add_partitions_once(&request, deadline).await {
            self.pause(failed, &mut failures, deadline).await?;
        }
        self.machine().on_confirmed(number);
        Ok(())
    }

    async fn add_partitions_once(
        &self,
        request: &AddPartitionsToTxnRequest,
        deadline: Instant,
    ) -> Result<(), CallError> {
        let answer = self.call(|_| request.clone(), i16::MAX, deadline).await?;
        let results = answer.results_by_topic_v3_and_below.iter().flat_map(|topic| &topic.results_by_partition);
        let codes: Vec<_> = results.map(|partition| partition.partition_error_code).collect();
        self.judge::<AddPartitionsToTxnRequest>(&self.of, worst(&codes))
    }

    /// Makes offsets part of the open transaction.
    pub(crate) async fn send_offsets(&self, number: u64, offsets: &[NextOffset], group: &GroupMetadata) -> Result<()> {
        let _turn = self.turn.lock().await;
        let identity = self.writer(number)?;
        let generation = self.machine().generation().ok_or(Error::TransactionEnded)?;
        self.machine().on_started(number);
        let deadline = self.deadline();
        let mut failures = 0;
        if generation == Generation::One {
            while let Err(failed) = self.add_group_once(identity, &group.group_id, deadline).await {
                self.pause(failed, &mut failures, deadline).await?;
            }
            self.machine().on_confirmed(number);
        }
        let request = self.offsets_request(identity, offsets, group);
        failures = 0;
        while let Err(failed) = self.send_offsets_once(&request, &group.group_id, generation, deadline).await {
            self.pause(failed, &mut failures, deadline).await?;
        }
        self.machine().on_confirmed(number);
        Ok(())
    }

    async fn add_group_once(&self, of: Identity, group: &str, deadline: Instant) -> Result<(), CallError> {
        let request = AddOffsetsToTxnRequest::default()
            .with_transactional_id(transactional_id(&self.id))
            .with_producer_id(ProducerId(of.producer_id))
            .with_producer_epoch(of.producer_epoch)
            .with_group_id(GroupId(text(group)));
        let answer = self.call(|_| request, i16::MAX, deadline).await?;
        self.judge::<AddOffsetsToTxnRequest>(&self.of, answer.error_code)
    }

    async fn send_offsets_once(
        &self,
        request: &TxnOffsetCommitRequest,
        group: &Arc<str>,
        generation: Generation,
        deadline: Instant,
    ) -> Result<(), CallError> {
        let cap = if generation == Generation::One { TXN_OFFSET_COMMIT_ONE } else { i16::MAX };
        let limit = self.request_limit(deadline);
        let make = |_| request.clone();
        let by = Coordinated::Group(Arc::clone(group));
        let answer = self.cluster.call_coordinator_of(&by, &self.lane, make, cap, limit).await?;
        let results = answer.topics.iter().flat_map(|topic| &topic.partitions);
        let codes: Vec<_> = results.map(|partition| partition.error_code).collect();
        self.judge::<TxnOffsetCommitRequest>(&by, worst(&codes))
    }

    fn writer(&self, number: u64) -> Result<Identity> {
        let machine = self.machine();
        machine.check(number)?;
        machine.identity().ok_or(Error::TransactionEnded)
    }

    fn offsets_request(&self, of: Identity, offsets: &[NextOffset], group: &GroupMetadata) -> TxnOffsetCommitRequest {
        let topics = by_topic(offsets.iter(), |next| &next.partition).into_iter().map(|(topic, offsets)| {
            let partitions = offsets.into_iter().map(|next| {
                TxnOffsetCommitRequestPartition::default()
                    .with_partition_index(next.partition.partition)
                    .with_committed_offset(next.offset)
                    .with_committed_leader_epoch(next.leader_epoch.unwrap_or(-1))
                    .with_committed_metadata(Some(StrBytes::default()))
            });
            TxnOffsetCommitRequestTopic::default().with_name(text(topic).into()).with_partitions(partitions.collect())
        });
        TxnOffsetCommitRequest::default()
            .with_transactional_id(transactional_id(&self.id))
            .with_group_id(GroupId(text(&group.group_id)))
            .with_producer_id(ProducerId(of.producer_id))
            .with_producer_epoch(of.producer_epoch)
            .with_generation_id(group.generation_id)
            .with_member_id(text(&group.member_id))
            .with_group_instance_id(group.group_instance_id.as_deref().map(text))
            .with_topics(topics.collect())
    }
}

fn identity(producer_id: ProducerId, producer_epoch: i16) -> Identity {
    Identity { producer_id: producer_id.0, producer_epoch, is_transactional: true }
}

/// The code that decides about a request: one that will not go away before one that will; that something was not attempted
/// only says that another thing failed.
fn worst(codes: &[i16]) -> i16 {
    let severity = |code: &i16| match ErrorCode::from_number(*code) {
        ErrorCode::None => 0,
        ErrorCode::OperationNotAttempted => 1,
        code if code.is_retriable() => 2,
        _ => 3,
    };
    codes.iter().copied().max_by_key(severity).unwrap_or(0)
}

fn by_topic<'a, T>(
    items: impl Iterator<Item = &'a T>,
    partition: impl Fn(&'a T) -> &'a TopicPartition,
) -> BTreeMap<&'a str, Vec<&'a T>> {
    let mut topics: BTreeMap<&str, Vec<&T>> = BTreeMap::new();
    items.for_each(|item| topics.entry(&partition(item).topic).or_default().push(item));
    topics
}

fn transactional_id(id: &str) -> TransactionalId {
    TransactionalId(text(id))
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_that_will_not_go_away_decides() {
        let numbers = |codes: &[ErrorCode]| codes.iter().map(|code| code.number()).collect::<Vec<_>>();
        use ErrorCode::{ConcurrentTransactions, None, OperationNotAttempted, TopicAuthorizationFailed};
        let cases = [
            (vec![], None),
            (vec![None, None], None),
            (vec![None, ConcurrentTransactions], ConcurrentTransactions),
            (vec![ConcurrentTransactions, TopicAuthorizationFailed, OperationNotAttempted], TopicAuthorizationFailed),
        ];
        for (codes, decides) in cases {
            assert_eq!(worst(&numbers(&codes)), decides.number(), "{codes:?}");
        }
    }
}
